"""An ``Inference`` on one screen: rules with counts, what must be checked, what is open and which line decides it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from ckptnames.droppable import is_droppable
from ckptnames.folding import fold
from ckptnames.inference.cautions import Caution
from ckptnames.inference.inference import Evidence, Inference
from ckptnames.inference.undecided import Ambiguity
from ckptnames.manifest import Manifest
from ckptnames.report.following import next_lines, open_keys, reshaped_keys
from ckptnames.report.text import PLAIN, WIDTH, Paint, columns
from ckptnames.rules.pattern import Pattern
from ckptnames.rules.recipes import PREFIX, Recipe
from ckptnames.rules.rule import OPEN
from ckptnames.wording import counted, shape_text, shown

_MOST_RULES = 12
"""Rules shown; `-o FILE` writes them all."""
_MOST_QUESTIONS = 4
_MOST_LISTED = 6
"""Patterns listed of one kind, and lines that would decide one question."""


def inference_text(
    inference: Inference, *, given: str = "", written: str = "", width: int = WIDTH, paint: Paint = PLAIN
) -> str:
    """Say on one screen which rules lead from source to target, why, what must be checked, and what is open.

    ``given`` is where the decided lines came from, ``written`` the file that the rules went to.
    """
    source, target = inference.source, inference.target
    blocks: list[Iterable[str]] = [
        [f"source  {_described(source)}", f"target  {_described(target)}"],
        [
            paint("bold", _headline(inference)),
            *_flattened(inference),
            *rule_lines(_deciding(inference), width, reasons=True, most=_MOST_RULES),
        ],
        *caution_blocks(inference.cautions, width, paint),
        *open_blocks(inference.ambiguous, width, paint),
        *_left(inference, width),
        next_lines(inference, given, written, paint),
    ]
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines) + "\n"


def _described(manifest: Manifest) -> str:
    container = f"#{shown(manifest.container)}" if manifest.container else ""
    return f"{shown(manifest.name) or '(in memory)'}{container}  {counted(len(manifest), 'key')}"


def _deciding(inference: Inference) -> list[Evidence]:
    """Leave out the lines that only say that a key is open."""
    return [each for each in inference.evidence if not each.rule.endswith(f" -> {OPEN}")]


def _headline(inference: Inference) -> str:
    n, n_all = len(inference.mapping), len(inference.target)
    filled = f"{n:,} of {counted(n_all, 'target key')} {'is' if n == 1 else 'are'} filled"
    rules = _deciding(inference)
    if rules:
        return f"{counted(len(rules), 'rule')}, and {filled}:"
    if inference.flattened:
        return f"{filled[:1].upper()}{filled[1:]}:"
    if len(inference.rules) > len(inference.evidence):
        return f"Under the given rules, {filled}."
    if n:
        return f"No rule is needed: {filled}."
    return f"Nothing is decided: {filled}.{'' if inference.ambiguous else ' These may be two different models.'}"


def _flattened(inference: Inference) -> Iterator[str]:
    """Say which names got their dots back; the rules that do it are many, and stand in a file."""
    flat = inference.flattened
    if flat is not None:
        rules = f"{counted(len(flat.rules), 'rule')}, which `-o FILE` writes down"
        yield from (
            f"  {shown(line)}" for line in wrap(f"{counted(len(flat.names), 'key')}: {flat.words}: {rules}", 78)
        )


def rule_lines(
    evidence: Sequence[Evidence], width: int, *, reasons: bool = False, most: int | None = None
) -> Iterator[str]:
    """Give rules with the number of keys that each renames, and what decided it."""
    for each in evidence[:most]:
        count = f"{counted(each.n_keys, 'key')}{f': {each.why}' if reasons and each.why else ''}"
        yield from columns([(f"  {shown(each.rule)}", count)], width=width)
    if most is not None and len(evidence) > most:
        rest = evidence[most:]
        yield f"  … and {counted(len(rest), 'more rule')} for {counted(sum(e.n_keys for e in rest), 'key')}"


def caution_blocks(cautions: Sequence[Caution], width: int, paint: Paint) -> Iterator[list[str]]:
    """Say which renames are not proved by names and shapes, and why."""
    for caution in cautions:
        plain = f"caution[{caution.code}]"
        said = f"{plain}: {counted(len(caution.targets), 'key')}: {caution.message}."
        first, *others = wrap(said, width, subsequent_indent="  ", break_on_hyphens=False)
        yield [
            first.replace(plain, paint("yellow", plain), 1),
            *others,
            *_patterns(caution.targets, width),
        ]


def open_blocks(ambiguous: Sequence[Ambiguity], width: int, paint: Paint) -> Iterator[list[str]]:
    """Say what is undecided, and for each candidate the line that would decide it."""
    for each in ambiguous[:_MOST_QUESTIONS]:
        what = each.targets or each.sources
        yield [
            paint("bold", f"Undecided: {counted(len(what), 'key')}."),
            *wrap(f"{each.message[:1].upper()}{each.message[1:]}.", width, break_on_hyphens=False),
            *_patterns(what, width),
            *(
                ["one of these lines decides:"]
                if len(each.lines) > 1
                else ["this line would decide:"] * bool(each.lines)
            ),
            *(f"  {paint('cyan', shown(line))}" for line in each.lines[:_MOST_LISTED]),
        ]
    rest = ambiguous[_MOST_QUESTIONS:]
    if rest:
        n_keys = sum(len(each.targets or each.sources) for each in rest)
        yield [
            f"… and {counted(len(rest), 'more question')} about {counted(n_keys, 'key')}; a file of rules has them all."
        ]


def _left(inference: Inference, width: int) -> Iterator[list[str]]:
    asked = {key for each in inference.ambiguous for key in each.targets}
    offered = {key for each in inference.ambiguous for key in each.sources}
    source, target = inference.source, inference.target
    reshaped = reshaped_keys(inference)
    if reshaped:
        rows = [(key, f"{_shape(source, key)}, {_shape(target, key)}") for key in reshaped]
        yield [f"another shape (source, target): {counted(len(reshaped), 'key')}", *_folded(rows, width)]
    opened = [key for key in open_keys(inference) if key not in {*offered, *reshaped}]
    dropped = [key for key in inference.unused_source if inference.draft(key) is None]
    # Of a question between whole copies nobody knows yet which keys it is about.
    until = " until that is decided" if any(not each.targets for each in inference.ambiguous) else ""
    sides = (
        (f"not filled{until}", target, [key for key in inference.unfilled_target if key not in {*asked, *reshaped}]),
        ("left open", source, opened),
        (
            "not used",
            source,
            [key for key in inference.unused_source if key not in {*offered, *reshaped, *opened, *dropped}],
        ),
    )
    for title, manifest, keys in sides:
        weights = [key for key in keys if not is_droppable(key, manifest[key], manifest)]
        if weights:
            rows = [(key, _shape(manifest, key)) for key in weights]
            yield [f"{title}: {counted(len(weights), 'key')}", *_folded(rows, width)]
        if len(keys) > len(weights) and manifest is target:
            yield [f"{counted(len(keys) - len(weights), 'buffer')} without weights {title}."]
    if dropped:
        yield [f"left out by the given rules: {counted(len(dropped), 'key')}"]
    turned = [key for key in inference.transposed if key in inference.unfilled_target]
    if turned:
        yield [f"of these, {counted(len(turned), 'key')} would need a transposed tensor, which no rename gives."]


def _patterns(keys: Iterable[str], width: int) -> Iterator[str]:
    return _folded(((key, "") for key in keys), width)


def _folded(items: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    groups = fold(items)
    rows = [(f"  {shown(g.pattern)}", g.label, f"×{g.n_keys}" if g.n_keys > 1 else "") for g in groups[:_MOST_LISTED]]
    yield from columns(rows, width=width)
    if len(groups) > _MOST_LISTED:
        yield f"  … and {counted(sum(g.n_keys for g in groups[_MOST_LISTED:]), 'more key')}"


def _shape(manifest: Manifest, key: str) -> str:
    return "" if manifest[key].shape is None else shape_text(manifest[key].shape)


def recipes_text(recipes: Sequence[Recipe], *, width: int = WIDTH) -> str:
    """List recipes as they are named in a command, each with what it does."""
    rows = [(f"{PREFIX}{recipe.name}", recipe.title) for recipe in recipes]
    return "\n".join(columns(rows, width=width)) + "\n"


def recipes_json(recipes: Sequence[Recipe]) -> Mapping[str, Any]:
    """Give the object that ``ckptnames infer --recipes --json`` prints."""
    return {"recipes": [{"name": each.name, "title": each.title, "rules": str(each.rules)} for each in recipes]}


def inference_json(inference: Inference) -> Mapping[str, Any]:
    """Give the object that ``ckptnames infer --json`` prints."""
    return {
        "rules": str(inference.rules),
        "mapping": dict(inference.mapping),
        "evidence": [each._asdict() for each in inference.evidence],
        "ambiguous": [{"code": each.code, **each._asdict()} for each in inference.ambiguous],
        "cautions": [each._asdict() for each in inference.cautions],
        "unused_source": list(inference.unused_source),
        "unfilled_target": list(inference.unfilled_target),
        "transposed": dict(inference.transposed),
        "complete": inference.complete,
    }


def rule_file(inference: Inference) -> str:
    """Give the rules as a file for people: counts and reasons as comments, what is open as ``!open`` lines.

    The file can be given again (``--given``) once some of its lines are decided.
    """
    return "\n".join(_file_lines(inference)) + "\n"


def _file_lines(inference: Inference) -> Iterator[str]:
    yield "# ckptnames rules 1"
    yield f"# from {_described(inference.source)}"
    yield f"# to   {_described(inference.target)}"
    yield f"# {_headline(inference).rstrip(':.')}"
    evidence = inference.evidence
    for caution in inference.cautions:
        yield from ("", *caution_comment(caution))
    remarks = {each.rule: f"{counted(each.n_keys, 'key')}{f': {each.why}' if each.why else ''}" for each in evidence}
    remarks |= {rule: _why_open(rule, inference) for rule in remarks if rule.endswith(f" -> {OPEN}")}
    if inference.flattened is not None:
        flat = inference.flattened
        remarks[str(next(iter(flat.rules)))] = f"{counted(len(flat.names), 'key')}: {flat.words}"
    questions = {line: each for each in reversed(inference.ambiguous) for line in each.open[:1]}
    for number, stage in enumerate(inference.draft.stages):
        if number or stage.name:
            yield from ("", f"--- {stage.name}".rstrip())
        for place, rule in enumerate(map(str, stage.rules)):
            remark = _comment(remarks[rule]) if rule in remarks else []
            question = _question(questions[rule]) if rule in questions else []
            said = [*remark, *question]
            yield from ["", *said] if said or not place else []
            yield rule
    for title, keys in (("nothing fills", inference.unfilled_target), ("not used", inference.unused_source)):
        if keys:
            yield from ("", f"# {title}: {counted(len(keys), 'key')}")
            yield from (f"#   {shown(group.pattern)}" for group in fold((key, "") for key in keys))


def caution_comment(caution: Caution) -> Iterator[str]:
    """Say as a comment in a file of rules what they do not prove."""
    yield from _comment(f"caution[{caution.code}]: {counted(len(caution.targets), 'key')}: {caution.message}")
    yield from (f"# {line.strip()}" for line in _patterns(caution.targets, WIDTH))


def _why_open(line: str, inference: Inference) -> str:
    """Say why a line leaves keys open that are no part of a question, and which line would leave them out."""
    pattern = line.removesuffix(f" -> {OPEN}")
    matched = Pattern.parse(pattern)
    keys = [key for key in inference.source if matched.match(key) is not None]
    is_reshaped = {*keys} <= {*reshaped_keys(inference)}
    why = "that the target has in another shape" if is_reshaped else "that nothing decides"
    return f"{counted(len(keys), 'key')} {why}; to leave out: {pattern} -> !drop"


def _question(ambiguity: Ambiguity) -> Iterator[str]:
    yield from _comment(f"undecided: {ambiguity.message}")
    if ambiguity.lines:
        which = "one of these" if len(ambiguity.lines) > 1 else "this"
        yield f"# {which} in the place of `!open` lines would decide it:"
        yield from (f"#   {shown(line)}" for line in ambiguity.lines)


def _comment(text: str) -> list[str]:
    return wrap(shown(text), 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
