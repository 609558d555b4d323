"""What is in a checkpoint: its containers, its keys as few patterns, and all that is not keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any

from ckptnames.folding import fold
from ckptnames.formats.checkpoint import BlockedGlobal, Checkpoint, described
from ckptnames.manifest import Manifest
from ckptnames.report.text import PLAIN, WIDTH, Paint, amount_text, columns, size_text
from ckptnames.wording import counted, path_in_shell, shape_text, shown

_MOST_LISTED = 10
"""Lines of one kind below the keys; the rest is counted."""
_MOST_BLOCKED = 50


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
        _open(manifest, width, paint),
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
    m.safetensors  manifest
    <BLANKLINE>
    KEY      SHAPE  DTYPE
    fc.bias     10  F32
    <BLANKLINE>
    1 key, 10 elements, 40 bytes F32
    """
    container = f"#{shown(manifest.container)}" if manifest.container else ""
    head = [f"{shown(manifest.name) or '(in memory)'}{container}  {manifest.format}"]
    head += [
        f"beside it: #{shown(i.name)}, {described(i)}" for i in manifest.containers if i.name != manifest.container
    ]
    keys = [*_keys(manifest, WIDTH, PLAIN), _totals(manifest), *_open(manifest, WIDTH, PLAIN)]
    lines = [*head, "", *keys, *_ties(manifest)]
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
        **({"open": [part.as_json() for part in manifest.open]} if manifest.open else {}),
    }


def _containers(checkpoint: Checkpoint, chosen: str, paint: Paint) -> Iterator[str]:
    infos = [container.info for container in checkpoint.containers]
    others = [info for info in infos if info.name != chosen]
    for info in infos:
        if info.name == chosen and (others or chosen):
            yield f"container: {paint('bold', shown(info.name) or 'the root')}, {described(info)}"
    if others:
        yield f"others, shown as by: ckptnames ls {path_in_shell(f'{checkpoint.path}#{others[0].name}')}"
        yield from columns([(f"  #{shown(info.name)}", described(info)) for info in others])


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
        if info.nbytes is not None:
            n_bytes[info.dtype or "unknown dtype"] += info.nbytes
    parts = [counted(len(manifest), "key")]
    shapes = [info.shape for info in infos if info.shape is not None]
    if shapes:
        parts.append(f"{amount_text(sum(map(prod, shapes)))} elements")
    if n_bytes:
        by_dtype = " + ".join(f"{size_text(n)} {dtype}" for dtype, n in n_bytes.most_common())
        parts.append(f"{size_text(n_bytes.total())} = {by_dtype}" if len(n_bytes) > 1 else by_dtype)
    return ", ".join(parts) + (" (ties counted once)" if again else "")


def _open(manifest: Manifest, width: int, paint: Paint) -> Iterator[str]:
    """List the parts of which the keys are not known, each with the line that stopped whoever read the source."""
    if not manifest.open:
        return
    yield ""
    yield paint("yellow", "open, with the line that does not tell what is there:")
    rows = [(f"  {shown(part.pattern)}", shown(part.reason), shown(part.where)) for part in manifest.open]
    yield from _few(list(columns(rows, width=width)), "parts")


def _ties(manifest: Manifest) -> Iterator[str]:
    return _few([f"tied: {' = '.join(map(shown, tie))}" for tie in manifest.ties], "ties")


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    lines = list(columns([(f"  {shown(name)}", shown(what)) for name, what in rows], width=width))
    if lines:
        yield title
        yield from _few(lines, "lines")


def _blocked(blocked: Sequence[BlockedGlobal]) -> Iterator[str]:
    if blocked:
        yield "torch.load(weights_only=True) stops at these, unless told by the line below:"
    # Without one of the lines torch still stops: they are not cut to a few.
    for each in blocked[:_MOST_BLOCKED]:
        yield f"  {shown(each.name)}"
        if each.cure:
            yield f"    {shown(each.cure)}"
    if len(blocked) > _MOST_BLOCKED:
        yield f"  … and {len(blocked) - _MOST_BLOCKED:,} more classes"


def _few(lines: Sequence[str], noun: str) -> Iterator[str]:
    yield from lines[:_MOST_LISTED]
    if len(lines) > _MOST_LISTED:
        yield f"  … and {len(lines) - _MOST_LISTED:,} more {noun}"
