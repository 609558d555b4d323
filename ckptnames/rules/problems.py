"""The problems of a plan: one function finds each, and one turns those of a code into the error that says them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple, Protocol

from ckptnames.droppable import is_droppable
from ckptnames.errors import (
    BadArithmetic,
    KeyCollision,
    KeyTooLong,
    OpenKey,
    OpenTarget,
    PlanError,
    ShadowedRule,
    ShapeMismatch,
    SplitSiblings,
    UnfilledTarget,
    UnmatchedRule,
)
from ckptnames.manifest import Manifest
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Fate, Rules, Stage
from ckptnames.rules.siblings import companions
from ckptnames.rules.slots import quoted

_MOST_COMPARED = 2000
"""Nearest names are looked for among this many."""
_OTHER_LANGUAGE = re.compile(r"(?<!\*)\*(?!\*)|[\\^$(]")
"""Signs of shell patterns and regular expressions, which mean themselves in a rule."""
_MOST_COVERING = 3
"""Problems in more modules than this are not accepted in passing."""


class Problem(NamedTuple):
    """Something wrong with a plan. ``keys`` are source keys, ``targets`` target keys, ``where`` rule lines."""

    code: str
    severity: str
    """``error``, which blocks, or ``warning``."""
    message: str
    keys: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    """For each key or rule the line that decides, as in ``llama.rules:4``; ``identity`` where none does."""
    rule: str = ""
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Of the source and of the target."""
    dtypes: tuple[str, str] | None = None


Fates = Mapping[str, tuple[Fate, ...]]
Claims = dict[str, dict[str, Fate]]
"""For each name the source keys that would become it."""


class Decided(Protocol):
    """What the search for parted siblings reads of a decision."""

    @property
    def source(self) -> str:
        """The source key."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The keys it becomes."""

    @property
    def fates(self) -> tuple[Fate, ...]:
        """Who decided."""


def open_keys(fates: Fates) -> Iterator[Problem]:
    """Find keys whose rule says ``!open``."""
    for key, found in fates.items():
        for fate in found:
            if fate.is_open:
                yield Problem("open-key", "error", f"'{key}' is not decided", (key,), where=(fate.where,))


def collisions(claims: Claims) -> Iterator[Problem]:
    """Find names that several source keys would become."""
    for name, keys in claims.items():
        if len(keys) > 1:
            both = "both" if len(keys) == 2 else "all"
            where = _where_they_meet(list(keys.values()))
            message = f"{len(keys)} source keys would {both} become '{name}'"
            yield Problem("key-collision", "error", message, tuple(keys), (name,), where)


def _where_they_meet(fates: Sequence[Fate]) -> tuple[str, ...]:
    """Give for each fate the line that decided it last before all had one name: later stages only carry it along."""
    last = max((step.stage for fate in fates for step in fate.steps), default=0)
    meeting = next(n for n in range(last + 1) if len({fate.after(n) for fate in fates}) == 1)
    return tuple(fate.decided_by(meeting) for fate in fates)


def idle_rules(rules: Rules, fates: Fates) -> list[Problem]:
    """Find rules that decide no key: they match none, or earlier lines take all that they match."""
    used = {id(step.rule) for found in fates.values() for fate in found for step in fate.steps}
    unmatched: list[Problem] = []
    shadowed: list[Problem] = []
    for number, stage in enumerate(rules.stages):
        idle = [rule for rule in stage.rules if id(rule) not in used and not rule.optional]
        takers = _takers(idle, _decided_in(number, fates)) if idle else {}
        for rule in idle:
            if id(rule) in takers:
                shadowed.append(_shadowed(rule, takers[id(rule)]))
            else:
                message = f"'{rule}' matches no key"
                unmatched.append(Problem("unmatched-rule", "error", message, where=(rule.where,), rule=str(rule)))
    return [*unmatched, *shadowed]


def _decided_in(number: int, fates: Fates) -> dict[str, list[str]]:
    """For each line that decides in a stage the names that it does, as they come in."""
    found: dict[str, list[str]] = {}
    for fate in (fate for several in fates.values() for fate in several):
        for step in fate.steps:
            if step.stage == number:
                found.setdefault(step.rule.where, []).append(step.key)
    return found


def _takers(idle: Sequence[Rule], decided: Mapping[str, Sequence[str]]) -> dict[int, list[str]]:
    """For each idle rule that matches something, the lines that come before it there."""
    takers: dict[int, list[str]] = {}
    for where, names in decided.items():
        waiting = Stage(idle)
        for name in names:
            taken = {id(rule) for rule in waiting.candidates(name) if _matches(rule, name)}
            if taken:
                for rule in taken:
                    takers.setdefault(rule, []).append(where)
                waiting = Stage(rule for rule in waiting.rules if id(rule) not in taken)
    return takers


def _matches(rule: Rule, name: str) -> bool:
    try:
        return rule.apply(name) is not None
    except (BadArithmetic, KeyTooLong):
        return True


def _shadowed(rule: Rule, takers: Sequence[str]) -> Problem:
    message = f"'{rule}' never decides: {takers[0]} takes the keys"
    return Problem("shadowed-rule", "error", message, where=(rule.where, *takers), rule=str(rule))


def shape_mismatches(source: Manifest, target: Manifest, mapping: Mapping[str, str]) -> Iterator[Problem]:
    """Find tensors whose shape is known to be another than that of the key they fill."""
    for name, key in mapping.items():
        info = target.tensors.get(name)
        have = source[key].shape
        if info is not None and have is not None and info.shape is not None and have != info.shape:
            message = f"'{name}' has another shape in the source than in the target"
            yield Problem("shape-mismatch", "error", message, (key,), (name,), shapes=(have, info.shape))


def dtype_mismatches(source: Manifest, target: Manifest, mapping: Mapping[str, str]) -> Iterator[Problem]:
    """Find tensors whose dtype is known to be another than that of the key they fill; torch converts on loading."""
    for name, key in mapping.items():
        info = target.tensors.get(name)
        have = source[key].dtype
        if info is not None and have is not None and info.dtype is not None and have != info.dtype:
            message = f"'{name}' is {have} in the source and {info.dtype} in the target"
            yield Problem("dtype-mismatch", "warning", message, (key,), (name,), dtypes=(have, info.dtype))


def unfilled_targets(
    target: Manifest, mapping: Mapping[str, str], excused: set[str]
) -> tuple[list[Problem], list[str]]:
    """Find target keys that nothing fills, and apart from them those that carry no weights."""
    empty = [name for name in target if name not in mapping and name not in excused]
    droppable = [name for name in empty if is_droppable(name, target[name], target)]
    weights = dict.fromkeys(empty)
    for name in droppable:
        del weights[name]
    return [
        Problem("unfilled-target", "error", f"nothing fills '{name}'", targets=(name,)) for name in weights
    ], droppable


def open_targets(target: Manifest) -> Iterator[Problem]:
    """Find the parts of a target of which the keys are not known: whether they are filled, nobody can tell."""
    for part in target.open:
        yield Problem("open-target", "error", str(part), targets=(part.pattern,))


def unexpected_keys(source: Manifest, target: Manifest, mapping: Mapping[str, str]) -> tuple[list[Problem], list[str]]:
    """Find names that the target does not have, and apart from them those of tensors that carry no weights."""
    problems, droppable = [], []
    for name, key in mapping.items():
        if name in target or target.may_have(name):
            continue
        if is_droppable(key, source[key], source):
            droppable.append(name)
        else:
            problems.append(Problem("unexpected-key", "warning", f"the target has no '{name}'", (key,), (name,)))
    return problems, droppable


def split_siblings(source: Manifest, decisions: Sequence[Decided], target: Manifest | None) -> Iterator[Problem]:
    """Find tensors that move without the companions that give them meaning, or the reverse.

    Where the target has both beside each other, the companion may have another name there.
    """
    if source.partial:
        return
    found = list(companions(source))
    if not found:
        return
    by_key = {decision.source: decision for decision in decisions}
    for companion in found:
        owner, other = by_key[companion.owner], by_key[companion.key]
        expected = tuple(companion.under(name) for name in owner.targets)
        if set(expected) == set(other.targets) or any(f.is_open for f in (*owner.fates, *other.fates)):
            continue
        if target is not None and _stand_together(owner.targets, other.targets, target):
            continue
        message = f"'{companion.owner}' would part from '{companion.key}', which gives it meaning"
        where = owner.fates[0].where, other.fates[0].where
        yield Problem("split-siblings", "error", message, (companion.owner, companion.key), expected, where)


def _stand_together(owners: Sequence[str], others: Sequence[str], target: Manifest) -> bool:
    modules = [{name.rpartition(".")[0] for name in names} for names in (owners, others)]
    return bool(owners) and modules[0] == modules[1] and all(name in target for name in (*owners, *others))


# Errors


def error_of(
    problems: Sequence[Problem], source: Manifest, target: Manifest | None, mapping: Mapping[str, str]
) -> PlanError:
    """Compose the error for problems of one code."""
    first = problems[0]
    if first.code == "key-collision":
        kept = next((key for key, where in zip(first.keys, first.where, strict=True) if where == "identity"), None)
        leave_out = "" if kept is None else f"{quoted(kept)} -> !drop"
        claims = list(zip(first.keys, first.where, strict=True))
        return KeyCollision(first.targets[0], claims, len(problems) - 1, leave_out)
    if first.code == "open-key":
        return OpenKey([(problem.keys[0], problem.where[0]) for problem in problems])
    if first.code == "open-target":
        assert target is not None
        return OpenTarget([str(part) for part in target.open], target.name or "TARGET")
    if first.code == "unmatched-rule":
        return UnmatchedRule([(p.where[0], p.rule, why_unmatched(p.rule, source)) for p in problems])
    if first.code == "shadowed-rule":
        return ShadowedRule([(problem.where[0], problem.rule, problem.where[1:]) for problem in problems])
    if first.code == "shape-mismatch":
        items = [(p.keys[0], p.targets[0], *p.shapes) for p in problems if p.shapes is not None]
        assert target is not None
        names = [problem.targets[0] for problem in problems]
        return ShapeMismatch(items, _covering(names, target), _names(source, target))
    if first.code == "unfilled-target":
        assert target is not None
        names = [problem.targets[0] for problem in problems]
        rule = _filling(names[0], source, target, mapping)
        return UnfilledTarget(names, len(target), rule, _covering(names, target), _names(source, target))
    parted = [(p.keys[0], p.keys[1], p.targets[0] if p.targets else "") for p in problems]
    _, companion, belongs = parted[0]
    return SplitSiblings(parted, f"{quoted(companion)} -> {quoted(belongs) if belongs else '!drop'}")


def _filling(name: str, source: Manifest, target: Manifest, mapping: Mapping[str, str]) -> str:
    """Give a rule that fills a target key with the key left over that is spelled most alike and fits, if one is."""
    wants = target[name].shape
    unused = [
        key
        for after, key in mapping.items()
        if after not in target and (wants is None or source[key].shape in (None, wants))
    ]
    near = _nearest(name, unused)
    return f"{quoted(near)} -> {quoted(name)}" if near else ""


def why_unmatched(rule: str, keys: Mapping[str, object]) -> str:
    """Say what may be wrong with a rule that matches no key: its language, or its spelling; empty where nothing shows.

    >>> why_unmatched("modul.** -> **", {"module.fc.bias": 0})
    'nearest key: module.fc.bias'
    >>> why_unmatched("fc.* -> head.*", {"fc.bias": 0})
    'signs mean themselves: {p} is any one segment, ** any number'
    """
    left = rule.split(" -> ")[0]
    if _OTHER_LANGUAGE.search(left):
        return "signs mean themselves: {p} is any one segment, ** any number"
    near = _nearest_key(left, keys)
    return near and f"nearest key: {near}"


def _nearest_key(pattern: str, keys: Mapping[str, object]) -> str:
    """Give the key that is spelled most like a pattern, or that begins most like what stands before ``**``."""
    prefix = pattern.removesuffix(".**")
    if prefix == pattern or "**" in prefix:
        return _nearest(pattern.replace("**", ""), list(keys))
    n_segments = prefix.count(".") + 1
    begins: dict[str, str] = {}
    for key in keys:
        begins.setdefault(".".join(key.split(".", n_segments)[:n_segments]), key)
    return begins.get(_nearest(prefix, list(begins)), "")


def _nearest(name: str, keys: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, keys, n=1) if len(keys) <= _MOST_COMPARED else []
    return close[0] if close else ""


def _names(source: Manifest, target: Manifest) -> tuple[str, str]:
    return source.name or "SOURCE", (target and target.name) or "TARGET"


def _covering(keys: Sequence[str], target: Manifest) -> list[str]:
    """Give the one pattern, or the few, that cover the keys and little else: the modules that they share.

    What is wrong with most of the target is no detail that could be accepted: then there is none.
    """
    if 2 * len(keys) > len(target):
        return []
    whole = _common(keys)
    if whole:
        return [whole]
    parts: dict[str, list[str]] = {}
    for key in keys:
        parts.setdefault(key.partition(".")[0], []).append(key)
    patterns = [_common(part) for part in parts.values()]
    return patterns if len(patterns) <= _MOST_COVERING and all(patterns) else []


def _common(keys: Sequence[str]) -> str:
    """Give the pattern of the innermost module that all keys are in, or of the one key; empty where there is none."""
    if len(keys) == 1:
        return quoted(keys[0])
    paths = [key.split(".")[:-1] for key in keys]
    # What the first and the last have in common, all between them have.
    common = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(min(paths), max(paths), strict=False))]
    return ".".join([*map(quoted, common), "**"]) if common else ""
