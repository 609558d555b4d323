"""A ``Diff`` on one screen: the cause in words, the rules with counts, what is left, the command to paste."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from ckptnames.diffs import Diff, DtypeMismatch, ShapeMismatch
from ckptnames.errors import shown
from ckptnames.folding import fold
from ckptnames.infer.explanation import Cause
from ckptnames.manifest import Manifest
from ckptnames.report.text import columns, counted, shape_text
from ckptnames.rules import Rules

_MOST_LINES = 12
"""Patterns listed of one kind; the rest is counted, and stands in `--json`."""


def diff_text(diff: Diff) -> str:
    """Say on one screen what differs, why, and what mends it."""
    return "\n".join(_lines(diff)) + "\n"


def _lines(diff: Diff) -> Iterator[str]:
    yield f"source  {_described(diff.source)}"
    yield f"target  {_described(diff.target)}"
    yield ""
    if diff.same:
        yield f"Nothing differs: {counted(diff.matched, 'key')}, the same names, shapes and dtypes."
        return
    yield from _causes(diff)
    for obstacle in diff.obstacles:
        yield f"No rename mends this: {obstacle.message}."
        yield from _patterns((key, "") for key in obstacle.keys)
        yield f"  help: {obstacle.help}"
        yield ""
    left = diff.after_rules or diff
    yield from _left(left)
    yield from _commands(diff)


def _described(manifest: Manifest) -> str:
    where = shown(manifest.name) or "(in memory)"
    container = f"#{shown(manifest.container)}" if manifest.container else ""
    partial = ", as far as the error message tells" if manifest.partial else ""
    return f"{where}{container}  {counted(len(manifest), 'key')}{partial}"


def _causes(diff: Diff) -> Iterator[str]:
    if diff.choices:
        yield f"{len(diff.choices)} copies in the source fit equally well; names cannot tell which one you want:"
        rows = [(f"  {shown(c.strip)}.", counted(c.n_keys, "key"), _copy_kind(c.strip)) for c in diff.choices]
        yield from columns(rows)
        yield ""
    for cause in diff.causes:
        yield cause_text(cause)
    if diff.rules is not None and not diff.causes:
        yield "Under the given rules:"
        yield from (f"  {line}" for line in str(diff.rules).strip().splitlines())
    if diff.rules is None and not diff.choices and not diff.obstacles and (diff.missing or diff.unexpected):
        yield "No wrapper or prefix explains the difference in names."
    if diff.causes or diff.rules is not None:
        yield ""


def cause_text(cause: Cause) -> str:
    """Give a cause with its counts.

    >>> cause_text(Cause("strip `module.`", 122, 122))
    '122 of 122 keys: strip `module.`'
    """
    return f"{cause.n_keys:,} of {counted(cause.n_source, 'key')}: {shown(cause.words)}"


def _copy_kind(prefix: str) -> str:
    words = prefix.lower().replace(".", "_").split("_")
    return "(an averaged copy)" if "ema" in words else ""


def _left(diff: Diff) -> Iterator[str]:
    if diff.same:
        yield f"After that nothing differs: all {counted(diff.matched, 'key')} match in name, shape and dtype."
        yield ""
        return
    yield f"{counted(diff.matched, 'key')} match in name and shape. What differs:"
    yield ""
    weights = [key for key in diff.missing if key not in diff.droppable]
    buffers = [key for key in (*diff.missing, *diff.unexpected) if key in diff.droppable]
    extra = [key for key in diff.unexpected if key not in diff.droppable]
    yield from _section("missing: in the target only", [(key, _facts(diff.target, key)) for key in weights])
    yield from _section("unexpected: in the source only", [(key, _facts(diff.source, key)) for key in extra])
    yield from _section("another shape (source, target)", [(m.key, _shapes(m)) for m in diff.shape_mismatch])
    yield from _section("another dtype (source, target)", [(m.key, _dtypes(m)) for m in diff.dtype_mismatch])
    yield from _section(
        "buffers that carry no weights", [(key, "missing" if key in diff.target else "unexpected") for key in buffers]
    )
    near = [(missing, other) for missing, other in diff.nearest.items() if missing in weights]
    if near:
        yield "spelled most alike (not a proof):"
        yield from columns([(f"  {shown(missing)}", f"{shown(other)}") for missing, other in near[:_MOST_LINES]])
        yield ""


def _section(title: str, items: list[tuple[str, str]]) -> Iterator[str]:
    if items:
        yield f"{title}: {counted(len(items), 'key')}"
        yield from _patterns(items)
        yield ""


def _patterns(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    groups = fold(items)
    rows = [(f"  {shown(g.pattern)}", g.label, f"×{g.n_keys}" if g.n_keys > 1 else "") for g in groups[:_MOST_LINES]]
    yield from columns(rows)
    if len(groups) > _MOST_LINES:
        yield f"  … and {sum(g.n_keys for g in groups[_MOST_LINES:]):,} more keys"


def _facts(manifest: Manifest, key: str) -> str:
    info = manifest[key]
    return f"{shape_text(info.shape)} {info.dtype or ''}".strip()


def _shapes(mismatch: ShapeMismatch) -> str:
    return f"{shape_text(mismatch.source)}, {shape_text(mismatch.target)}"


def _dtypes(mismatch: DtypeMismatch) -> str:
    return f"{mismatch.source}, {mismatch.target}"


def _commands(diff: Diff) -> Iterator[str]:
    if diff.obstacles or not diff.source.name:
        return
    if diff.source.format == "model" and diff.target.format != "model" and diff.target.name:
        yield "The source is a model, and no file to write again; the checkpoint's names are mended by what this says:"
        yield f"  {shlex.join(['ckptnames', 'diff', diff.target.name, diff.source.name])}"
        return
    for command in fix_commands(diff):
        yield f"  {command}"
    after = diff.after_rules
    if diff.rules is not None and after is not None:
        rules = str(diff.rules).strip()
        argument = f"rules={rules!r}" if len(rules) < 80 else f"like={diff.target.name!r}"
        yield from ("", "or in Python", "")
        yield f"  model.load_state_dict(ckptnames.remap(state_dict, {argument}))"
    if after is not None and not after.settled:
        yield ""
        yield from _hints(after)


def _hints(after: Diff) -> Iterator[str]:
    if any(key not in after.droppable for key in after.missing):
        yield "The target's missing keys stay unfilled: --like refuses to write until they are mapped or allowed."
    if after.shape_mismatch:
        pattern = fold((m.key, "") for m in after.shape_mismatch)[0].pattern
        yield f"To leave out what has another shape: --allow shape-mismatch={shlex.quote(pattern)}"
    if any(key not in after.droppable for key in after.unexpected):
        yield "Unexpected keys stay in the file; --drop-unexpected leaves them out."


def fix_commands(diff: Diff) -> list[str]:
    """Give the ``ckptnames fix`` commands that carry the rules out, shell-quoted: one, or one for each rival copy."""
    if diff.source.format == "model":
        return []
    if diff.choices:
        return [
            _command(diff, ["--rule", f"{c.strip}.** -> {c.add + '.' if c.add else ''}**", "--drop-unexpected"])
            for c in diff.choices
        ]
    if diff.rules is None:
        return []
    return [_command(diff, edit_flags(diff.rules) or [])]


def _command(diff: Diff, flags: list[str]) -> str:
    source = PurePath(diff.source.name)
    operand = str(source)
    default = diff.source.containers[0].name if diff.source.containers else ""
    if diff.source.container != default:
        operand += f"#{diff.source.container}"
    like = ["--like", diff.target.name] if diff.target.name and not diff.target.partial else []
    out = str(source.with_name(f"{source.stem}.fixed{source.suffix}"))
    return shlex.join(["ckptnames", "fix", operand, *flags, *like, "-o", out])


def edit_flags(rules: Rules) -> list[str] | None:
    """Spell rules as flags of ``fix``, or ``None`` where two stages of general rules would run into one.

    >>> edit_flags(Rules.parse("module.** -> **"))
    ['--strip', 'module']
    """
    flags: list[str] = []
    for stage in str(rules).strip().split("\n---\n"):
        lines = stage.splitlines()
        before, after = lines[0].split(" -> ", 1) if len(lines) == 1 else ("", "")
        if after == "**" and _is_literal(before.removesuffix(".**")):
            flags += ["--strip", before.removesuffix(".**")]
        elif before == "**" and _is_literal(after.removesuffix(".**")):
            flags += ["--add", after.removesuffix(".**")]
        elif flags[-2:-1] == ["--rule"]:
            return None
        else:
            for line in lines:
                flags += ["--rule", line]
    return flags


def _is_literal(pattern: str) -> bool:
    return bool(pattern) and not any(mark in pattern for mark in '*{}"?')


def diff_json(diff: Diff) -> Mapping[str, Any]:
    """Give the object that ``ckptnames diff --json`` prints."""
    after = diff.after_rules
    return {
        **_members(diff),
        "rules": str(diff.rules) if diff.rules is not None else None,
        "after_rules": _members(after) if after is not None else None,
        "cautions": [],
    }


def _members(diff: Diff) -> dict[str, Any]:
    return {
        "missing": list(diff.missing),
        "unexpected": list(diff.unexpected),
        "shape_mismatch": [
            {"key": m.key, "source": list(m.source), "target": list(m.target)} for m in diff.shape_mismatch
        ],
        "dtype_mismatch": [{"key": m.key, "source": m.source, "target": m.target} for m in diff.dtype_mismatch],
        "matched": diff.matched,
    }
