"""What is in a checkpoint: its containers, its keys as few patterns, and all that is not keys."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any

from ckptnames.errors import shown
from ckptnames.folding import fold
from ckptnames.formats.checkpoint import BlockedGlobal, Checkpoint
from ckptnames.manifest import Manifest
from ckptnames.report.text import PLAIN, WIDTH, Paint, amount_text, columns, counted, shape_text, size_text

_MOST_LISTED = 10
"""Lines of one kind below the keys; the rest is counted."""

_ROLES = {"ema": "EMA, an averaged copy", "module": "a pickled nn.Module", "optimizer": "optimizer state, not weights"}


def ls_text(
    checkpoint: Checkpoint,
    container: str | None = None,
    *,
    width: int = WIDTH,
    paint: Paint = PLAIN,
    list_ties: bool = True,
) -> str:
    """Say on one screen what is in a checkpoint; ``container`` names the one whose keys are shown."""
    manifest = checkpoint.manifest(container)
    name = paint("bold", shown(str(checkpoint.path)))
    parts = [
        [f"{name}  {checkpoint.format}, {size_text(checkpoint.n_bytes)}"],
        _containers(checkpoint, manifest.container, paint),
        [""],
        _keys(manifest, width, paint),
        [paint("bold", _totals(manifest))],
        _ties(manifest) if list_ties else [],
        _section("beside the tensors:", manifest.other.items(), width),
        _section("elsewhere in the file:", checkpoint.contents, width),
        _blocked(checkpoint.blocked),
        [f"{paint('yellow', 'note:')} {shown(note)}" for note in checkpoint.notes],
    ]
    return "".join(line + "\n" for part in parts for line in part)


def manifest_text(manifest: Manifest) -> str:
    """Say on one screen what is in a manifest.

    >>> from ckptnames.manifest import TensorInfo
    >>> print(manifest_text(Manifest({"fc.bias": TensorInfo("F32", (10,), 40)}, name="m.safetensors")), end="")
    m.safetensors
    <BLANKLINE>
    KEY      SHAPE  DTYPE
    fc.bias     10  F32
    <BLANKLINE>
    1 key, 10 elements, 40 bytes F32
    """
    head = [shown(manifest.name) or "(in memory)", ""]
    lines = [*head, *_keys(manifest, WIDTH, PLAIN), _totals(manifest), *_ties(manifest)]
    return "".join(line + "\n" for line in lines)


def ls_flat(manifest: Manifest) -> str:
    r"""Write one key a line, with its shape and dtype behind tabs, for ``grep`` and ``cut``.

    >>> from ckptnames.manifest import TensorInfo
    >>> ls_flat(Manifest({"fc.weight": TensorInfo("F32", (10, 4), 160)}))
    'fc.weight\t10×4\tF32\n'
    """
    lines = (f"{shown(key)}\t{shape_text(info.shape)}\t{info.dtype or '?'}\n" for key, info in manifest.items())
    return "".join(lines)


def ls_json(manifest: Manifest) -> dict[str, Any]:
    """Compose what ``ls --json`` prints; it can be read again as a manifest."""
    return {
        "format": manifest.format,
        "container": manifest.container,
        "containers": [info._asdict() for info in manifest.containers],
        "tensors": {
            key: {"dtype": info.dtype, "shape": info.shape, "nbytes": info.nbytes} for key, info in manifest.items()
        },
        "ties": manifest.ties,
        "notes": manifest.notes,
    }


def _containers(checkpoint: Checkpoint, chosen: str, paint: Paint) -> Iterator[str]:
    infos = [container.info for container in checkpoint.containers]
    others = [info for info in infos if info.name != chosen]
    for info in infos:
        if info.name == chosen and (others or chosen):
            name = paint("bold", shown(info.name) or "the root")
            yield ", ".join(
                filter(None, [f"container: {name}", counted(info.n_keys, "key"), _ROLES.get(info.role, "")])
            )
    if others:
        example = shlex.quote(f"{checkpoint.path}#{others[0].name}")
        yield f"others, shown as by: ckptnames ls {shown(example)}"
        rows = [(f"  #{shown(info.name)}", counted(info.n_keys, "key"), _ROLES.get(info.role, "")) for info in others]
        yield from columns(rows, right=[1])


def _keys(manifest: Manifest, width: int, paint: Paint) -> Iterator[str]:
    groups = fold((key, (info.dtype, info.shape)) for key, info in manifest.items())
    if not groups:
        return
    rows = [
        (group.pattern, shape_text(shape), dtype or "?", f"{group.n_keys:,}" if group.n_keys > 1 else "")
        for group in groups
        for dtype, shape in [group.label]
    ]
    n_keys = "KEYS" if len(groups) < len(manifest) else ""
    table = columns([("KEY", "SHAPE", "DTYPE", n_keys), *rows], width=width, right=[1, 3])
    yield paint("dim", next(table))
    yield from table
    yield ""


def _totals(manifest: Manifest) -> str:
    again = {key for tie in manifest.ties for key in tie[1:]}
    infos = [info for key, info in manifest.items() if key not in again]
    n_bytes: Counter[str] = Counter()
    for info in infos:
        n_bytes[info.dtype or "unknown dtype"] += info.nbytes or 0
    parts = [counted(len(manifest), "key")]
    shapes = [info.shape for info in infos if info.shape is not None]
    if shapes:
        parts.append(f"{amount_text(sum(map(prod, shapes)))} elements")
    if any(info.nbytes is not None for info in infos):
        by_dtype = " + ".join(f"{size_text(n)} {dtype}" for dtype, n in n_bytes.most_common())
        parts.append(f"{size_text(n_bytes.total())} = {by_dtype}" if len(n_bytes) > 1 else by_dtype)
    return ", ".join(parts) + (" (ties counted once)" if again else "")


def _ties(manifest: Manifest) -> Iterator[str]:
    return _few([f"tied: {' = '.join(map(shown, tie))}" for tie in manifest.ties], "ties")


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    lines = list(columns([(f"  {shown(name)}", shown(what)) for name, what in rows], width=width))
    if lines:
        yield title
        yield from _few(lines, "lines")


def _blocked(blocked: Iterable[BlockedGlobal]) -> Iterator[str]:
    lines = [line for each in blocked for line in (f"  {shown(each.name)}", f"    {shown(each.cure)}") if line.strip()]
    if lines:
        yield "torch.load(weights_only=True) stops at these; the line below a name lets it pass:"
        yield from _few(lines, "lines")


def _few(lines: Sequence[str], noun: str) -> Iterator[str]:
    yield from lines[:_MOST_LISTED]
    if len(lines) > _MOST_LISTED:
        yield f"  … and {len(lines) - _MOST_LISTED:,} more {noun}"
