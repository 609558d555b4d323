"""A ``Diff`` on one screen: the cause in words, the rules with counts, what is left, the command to paste."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from ckptnames.diffs import Diff, DtypeMismatch, ShapeMismatch
from ckptnames.folding import fold
from ckptnames.formats.checkpoint import described
from ckptnames.inference.wrappers.explanation import Cause
from ckptnames.inference.wrappers.pairing import Choice
from ckptnames.manifest import Manifest
from ckptnames.report import commands
from ckptnames.report.inference import caution_blocks, open_blocks, rule_lines
from ckptnames.report.remedy import remedy
from ckptnames.report.text import PLAIN, WIDTH, Paint, columns
from ckptnames.rules.rule import OPEN
from ckptnames.rules.ruleset import Rules
from ckptnames.values.comparing import ValueDiff
from ckptnames.wording import counted, either, in_one_line, not_run, path_in_shell, shape_text, shown

_MOST_CHANGES = 6
_MOST_LINES = 12
"""Patterns listed of one kind; the rest is counted, and stands in `--json`."""
_MOST_RULES = 8
_MOST_BESIDE = 4


def diff_text(diff: Diff, *, width: int = WIDTH, paint: Paint = PLAIN) -> str:
    """Say on one screen what differs, why, and what mends it."""
    blocks: list[Iterable[str]] = [
        [
            f"source  {_described(diff.source)}",
            *_beside(diff.source),
            f"target  {_described(diff.target)}",
            *_unsafe(diff, paint),
            *(f"{paint('yellow', 'note:')} {note}" for note in diff.target.notes if _is_told(diff)),
        ],
        *([_nothing(diff)] if diff.same else _found(diff, width, paint)),
        list(_open(diff, width, paint)),
        *_values(diff, width, paint),
    ]
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines) + "\n"


def _described(manifest: Manifest) -> str:
    where = shown(manifest.name) or "(in memory)"
    container = f"#{shown(manifest.container)}" if manifest.container else ""
    told = ", as far as the message tells" if manifest.format == "torch-error" else ""
    more = f", and {counted(len(manifest.open), 'open part')}" if manifest.open else ""
    return f"{where}{container}  {counted(len(manifest), 'key')}{more}{told}"


def _beside(source: Manifest) -> Iterator[str]:
    """Name the other containers of weights, any of which may be the one that is wanted."""
    others = [info for info in source.containers if info.name != source.container and info.role != "optimizer"]
    yield from (f"  beside it: #{shown(info.name)}, {described(info)}" for info in others[:_MOST_BESIDE])
    if len(others) > _MOST_BESIDE:
        yield f"  … and {counted(len(others) - _MOST_BESIDE, 'more container')}"


def _unsafe(diff: Diff, paint: Paint) -> Iterator[str]:
    for side, manifest in (("source", diff.source), ("target", diff.target)):
        if manifest.unsafe:
            yield f"{paint('yellow', 'note:')} {side}: {shown(not_run(manifest.unsafe))}"


def _open(diff: Diff, width: int, paint: Paint) -> Iterator[str]:
    """Say what was not compared, since the source of a model does not tell it."""
    sides = [("source", part) for part in diff.source.open] + [("target", part) for part in diff.target.open]
    if sides:
        yield paint("yellow", "Not compared, since the code does not tell which keys are there:")
        rows = [(f"  {side}", shown(p.pattern), shown(p.reason), shown(p.where)) for side, p in sides[:_MOST_LINES]]
        yield from columns(rows, width=width)
    if len(sides) > _MOST_LINES:
        yield f"  … and {counted(len(sides) - _MOST_LINES, 'more part')}"


def _nothing(diff: Diff) -> list[str]:
    same = "the same names and shapes" if _is_told(diff) else "the same names, shapes and dtypes"
    if not diff.complete:
        return [f"Nothing differs in what is known: {counted(diff.matched, 'key')}, {same}."]
    return [f"Nothing differs: {counted(diff.matched, 'key')}, {same}.", *_inside(diff.source.container)]


def _inside(container: str) -> Iterator[str]:
    """Say of names that are right where they stand: who loads the whole file misses all of them."""
    if container:
        part = f"checkpoint[{container!r}]" if container.isidentifier() else "that part of the file"
        yield f"They stand inside {container!r}: load {part}."


def _is_told(diff: Diff) -> bool:
    """Tell whether the target is what an error message tells, which has no dtypes."""
    return diff.target.format == "torch-error"


def _found(diff: Diff, width: int, paint: Paint) -> Iterator[Iterable[str]]:
    yield _causes(diff, width, paint)
    yield from caution_blocks(diff.cautions, width, paint)
    for obstacle in diff.obstacles:
        keys = _patterns(((key, "") for key in obstacle.keys), width)
        said = wrap(_sentence(obstacle.message), width, break_on_hyphens=False)
        yield [paint("bold", "No rename mends this."), *said, *keys]
        yield wrap(f"help: {obstacle.help}", width, subsequent_indent="  ", break_on_hyphens=False)
    left = diff.after_rules or diff
    if not (diff.choices or (diff.obstacles and not left.matched)):
        yield from _left(diff, left, width)
    yield from open_blocks(diff.ambiguous, width, paint)
    yield from _remedy(diff, paint)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{shown(text[1:])}."


def _causes(diff: Diff, width: int, paint: Paint) -> Iterator[str]:
    if diff.choices:
        side, _, names = _copies(diff.choices)
        yield paint("bold", f"{len(names)} copies in the {side} fit equally well; names do not tell which is wanted:")
        copies = zip(diff.choices, names, strict=True)
        yield from columns([(f"  {name}", counted(each.n_keys, "key"), _kind(each)) for each, name in copies])
    for cause in diff.causes:
        yield from (paint("bold", line) for line in _in_lines(cause_text(cause), width))
    if diff.evidence:
        n_keys = sum(each.n_keys for each in diff.evidence)
        rules = counted(len(diff.evidence), "rule")
        yield paint("bold", f"{n_keys:,} of {counted(len(diff.source), 'key')} stand under other names: {rules}")
        yield from rule_lines(diff.evidence, width, most=_MOST_RULES)
    elif diff.rules is not None and not diff.causes:
        yield paint("bold", "Under the given rules:")
        yield from (f"  {shown(line)}" for line in str(diff.rules).strip().splitlines())
    if diff.rules is None and not diff.choices and not diff.obstacles and (diff.missing or diff.unexpected):
        yield from _unexplained(diff, paint)


def _unexplained(diff: Diff, paint: Paint) -> Iterator[str]:
    if not diff.matched and not diff.shape_mismatch:
        yield paint("bold", "The two have no key in common, under any prefix.")
        n_alike = (_shapes_of(diff.source) & _shapes_of(diff.target)).total()
        yield f"By shape, {n_alike:,} of {counted(len(diff.target), 'target key')} have a counterpart in the source."
    elif diff.droppable >= {*diff.missing, *diff.unexpected}:
        yield paint("bold", "The weights have the same names: only buffers that carry no weights differ.")
    else:
        yield paint("bold", "No wrapper or prefix explains the difference in names.")


def _shapes_of(manifest: Manifest) -> Counter[tuple[int, ...]]:
    return Counter(info.shape for info in manifest.values() if info.shape is not None)


def cause_text(cause: Cause) -> str:
    """Give a cause with its counts.

    >>> cause_text(Cause("strip `module.`", 122, 122))
    '122 of 122 keys: strip `module.`'
    """
    return f"{cause.n_keys:,} of {counted(cause.n_source, 'key')}: {shown(cause.words)}"


def _in_lines(cause: str, width: int) -> Iterator[str]:
    """Put what stands in parentheses on a line of its own, where the whole is too long for one."""
    what, opened, who = cause.rpartition(" (")
    if len(cause) <= width or not opened:
        yield cause
    else:
        yield from (what, f"  ({who}")


def _copies(choices: Sequence[Choice]) -> tuple[str, str, list[str]]:
    """Say on which side the copies are, what they fit, and what each is called."""
    is_in_target = in_one_line([choice.rule for choice in choices]) is not None
    side, other = ("target", "source") if is_in_target else ("source", "target")
    paths = [choice.add if is_in_target else choice.strip for choice in choices]
    return side, other, [f"{shown(path)}." if path else "(as it stands)" for path in paths]


def _kind(choice: Choice) -> str:
    words = (choice.strip or choice.add).lower().replace(".", "_").split("_")
    said = [*["an averaged copy"] * ("ema" in words), *["its dots are flattened"] * choice.is_flattened]
    return f"({', '.join(said)})" if said else ""


def _left(diff: Diff, left: Diff, width: int) -> Iterator[list[str]]:
    then = "After that " if diff.after_rules else ""
    if left.same and diff.target.format == "torch-error" and diff.target.partial:
        yield [f"After that {_all_match(left.matched, ' that the message names')}."]
        return
    if left.same:
        alike = "name and shape" if _is_told(diff) else "name, shape and dtype"
        known = "" if diff.complete else " in what is known"
        yield [f"After that nothing differs{known}: {_all_match(left.matched)} in {alike}."]
        return
    match = "matches" if left.matched == 1 else "match"
    yield [f"{then}{counted(left.matched, 'key')} {match} in name and shape. What differs:"]
    weights = [key for key in left.missing if key not in left.droppable]
    extra = [key for key in left.unexpected if key not in left.droppable]
    buffers = [key for key in (*left.missing, *left.unexpected) if key in left.droppable]
    sides = [(key, "missing" if key in left.target else "unexpected") for key in buffers]
    sections = (
        ("missing: in the target only", [(key, _facts(left.target, key)) for key in weights]),
        ("unexpected: in the source only", [(key, _facts(left.source, key)) for key in extra]),
        ("another shape (source, target)", [(m.key, _shapes(m)) for m in left.shape_mismatch]),
        ("another dtype (source, target)", [(m.key, _dtypes(m)) for m in left.dtype_mismatch]),
        ("buffers that carry no weights", sides),
    )
    for title, items in sections:
        if items:
            yield [f"{title}: {counted(len(items), 'key')}", *_patterns(items, width)]
    near = [(f"  {shown(key)}", shown(other)) for key, other in left.nearest.items() if key in weights]
    if near:
        yield ["spelled most alike (not a proof):", *columns(near[:_MOST_LINES], width=width)]


def _all_match(n: int, which: str = "") -> str:
    return f"the one key{which} matches" if n == 1 else f"all {counted(n, 'key')}{which} match"


def _patterns(items: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    groups = fold(items)
    rows = [(f"  {shown(g.pattern)}", g.label, f"×{g.n_keys}" if g.n_keys > 1 else "") for g in groups[:_MOST_LINES]]
    yield from columns(rows, width=width)
    if len(groups) > _MOST_LINES:
        yield f"  … and {counted(sum(g.n_keys for g in groups[_MOST_LINES:]), 'more key')}"


def _facts(manifest: Manifest, key: str) -> str:
    info = manifest[key]
    return "" if info[:2] == (None, None) else f"{shape_text(info.shape)} {info.dtype or ''}".strip()


def _shapes(mismatch: ShapeMismatch) -> str:
    return f"{shape_text(mismatch.source)}, {shape_text(mismatch.target)}"


def _dtypes(mismatch: DtypeMismatch) -> str:
    return f"{mismatch.source}, {mismatch.target}"


def _remedy(diff: Diff, paint: Paint) -> Iterator[list[str]]:
    found = remedy(diff)
    if found.lead:
        yield [found.lead]
    if found.commands:
        yield [f"  {paint('cyan', command)}" for command in found.commands]
    if found.python:
        yield ["or in Python" if found.commands else "In Python"]
        yield [f"  {paint('cyan', found.python)}"]
    if found.otherwise:
        yield [found.otherwise]
        yield [f"  {paint('cyan', command)}" for command in found.other_commands]


def _values(diff: Diff, width: int, paint: Paint) -> Iterator[list[str]]:
    """Say what the tensors hold: how many the same, which layers differ, and where by most."""
    values = diff.values
    if values is None:
        return
    n_equal, changed = len(values.equal), values.changed
    n_all = n_equal + len(changed)
    if not changed:
        yield [paint("bold", f"Values: {counted(n_all, 'tensor')} compared, and all hold the same.")]
    else:
        yield [
            paint("bold", f"Values: {len(changed):,} of {counted(n_all, 'tensor')} differ:"),
            *_patterns(((change.key, "") for change in changed), width),
        ]
        by_most = sorted(changed, key=lambda change: _size(change.max_difference), reverse=True)
        rows = [
            (f"  {shown(c.key)}", _amount(c.max_difference), f"in {c.n_different:,} of {c.n_numbers:,}")
            for c in by_most[:_MOST_CHANGES]
        ]
        yield ["differ by most (largest difference, numbers that differ):", *columns(rows, width=width)]
    if values.not_compared:
        keys = ((key, "") for key in values.not_compared)
        yield [
            f"not compared, of another shape or kind: {counted(len(values.not_compared), 'key')}",
            *_patterns(keys, width),
        ]


def _size(difference: float | None) -> float:
    return math.inf if difference is None or math.isnan(difference) else difference


def _amount(difference: float | None) -> str:
    if difference is None:
        return "other bytes"
    return "not a number on one side" if math.isnan(difference) else f"{difference:.3g}"


def unwritten_text(diff: Diff, path: Path) -> str:
    """Say why the rules of a diff are no history of names that could be written, and what to do; empty where they are.

    A history holds only what is decided: it is applied to every older file, by whoever loads one.
    """
    nothing = f"Nothing was written to {path_in_shell(path)}"
    lines = [rule for stage in (diff.rules or Rules()).stages for rule in stage.rules]
    asked = {key for each in diff.ambiguous for key in each.targets or each.sources}
    if diff.choices:
        return f"{nothing}: {len(diff.choices)} copies fit equally well, and which is wanted has to be decided first."
    if asked or any(rule.action == OPEN for rule in lines):
        what = f"{counted(len(asked), 'key')} {'is' if len(asked) == 1 else 'are'}" if asked else "some keys are"
        infer = commands.infer(diff.source, diff.target, "decided.rules")
        how = f" Decide there what is open, and add the lines as the next version:\n  {infer}" if infer else ""
        return f"{nothing}: {what} undecided.{how}"
    return "" if lines else f"{nothing}: no rules lead from the one to the other."


def diff_json(diff: Diff) -> Mapping[str, Any]:
    """Give the object that ``ckptnames diff --json`` prints."""
    after = diff.after_rules
    return {
        **_members(diff),
        "rules": str(diff.rules) if diff.rules is not None else None,
        "after_rules": _members(after) if after is not None else None,
        "cautions": list(_cautions(diff)),
        **({} if diff.values is None else {"values": _values_json(diff.values)}),
    }


def _values_json(values: ValueDiff) -> dict[str, Any]:
    return {
        "equal": list(values.equal),
        "changed": [{**each._asdict(), "max_difference": _number(each.max_difference)} for each in values.changed],
        "not_compared": list(values.not_compared),
    }


def _number(difference: float | None) -> float | str | None:
    """Give what JSON has a word for: it has none for what is infinite or not a number."""
    return difference if difference is None or math.isfinite(difference) else str(difference)


def _cautions(diff: Diff) -> Iterator[dict[str, Any]]:
    """Say why no rename is enough, or why none is chosen."""
    for obstacle in diff.obstacles:
        yield {"code": obstacle.code, "targets": [], "message": obstacle.message}
    for caution in diff.cautions:
        yield {"code": caution.code, "targets": list(caution.targets), "message": caution.message}
    for each in diff.ambiguous:
        yield {"code": each.code, "targets": list(each.targets), "message": each.message}
    if diff.choices:
        side, other, names = _copies(diff.choices)
        message = f"{len(names)} copies in the {side} fit the {other} equally well: {either(names, 'and')}"
        yield {"code": "ambiguous-inference", "targets": [], "message": message}
    for side, manifest in (("source", diff.source), ("target", diff.target)):
        for part in manifest.open:
            yield {"code": f"open-{side}", "targets": [part.pattern], "message": str(part)}


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
