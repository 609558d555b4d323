"""Rules that undo rules: turned round line by line, put in an order that works, and proved on every key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckptnames.errors import BadArithmetic, NotInvertible, RuleSyntax
from ckptnames.rules.arithmetic import names_in
from ckptnames.rules.pattern import Pattern
from ckptnames.rules.rule import DROP, Rule
from ckptnames.rules.ruleset import Rules, Stage
from ckptnames.rules.slots import Choice, Digits, Item, Literal, Members, Stars, Sum, Text, texts_of

_NO_HELP = "keep the file that the rules were applied to"
_READ_ALIKE = "its results read like those of another line"
_GIVE_KEYS = "name the keys that the rules were applied to: rules.inverse(keys)"


def inverse(rules: Rules, keys: Iterable[str] | None) -> Rules:
    """Give the rules that undo ``rules``; see ``Rules.inverse``."""
    name = f"inverse of {rules.name}"
    if keys is None:
        return _parsed([_inverse_of_all(stage) for stage in reversed(rules.stages)], name)
    names = list(dict.fromkeys(keys))
    undone: list[tuple[str, ...]] = []
    for stage in rules.stages:
        lines, names = _inverse_on(stage, names)
        undone.append(lines)
    return _parsed(list(reversed(undone)), name)


def _parsed(stages: Sequence[Sequence[str]], name: str) -> Rules:
    return Rules.parse("\n---\n".join("\n".join(lines) for lines in stages), name)


# On given keys


class _Move(NamedTuple):
    """A name before and after a stage, and the rule that decided it."""

    before: str
    after: tuple[str, ...]
    rule: Rule | None


def _inverse_on(stage: Stage, names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Undo one stage for the names that come into it, and give the names that leave it."""
    moves = [_moved(stage, name) for name in names]
    _check_one_to_one(moves)
    turned = {id(move.rule): (move.rule, turned_round(move.rule)) for move in moves if move.rule is not None}
    lines = {key: [_read(text, rule) for text in texts] for key, (rule, texts) in turned.items()}
    ordered = _ordered(lines, moves)
    kept = _caught(ordered, moves)
    after = [name for move in moves for name in move.after]
    return (*(f"{name} -> {name}" for name in map(_spelled, kept)), *map(str, ordered)), after


def _spelled(name: str) -> Pattern:
    return Pattern((Literal(name),))


def _moved(stage: Stage, name: str) -> _Move:
    found = stage.decide(name)
    if found is None:
        return _Move(name, (name,), None)
    rule, names = found
    if rule.action:
        reason = "a dropped key does not come back" if rule.action == DROP else "what is open is not decided"
        raise NotInvertible(rule.where, str(rule), reason, _NO_HELP)
    return _Move(name, names, rule)


def _check_one_to_one(moves: Sequence[_Move]) -> None:
    holders: dict[str, _Move] = {}
    for move in moves:
        for name in move.after:
            holder = holders.setdefault(name, move)
            rule = move.rule or holder.rule
            if holder is not move and rule is not None:
                reason = f"'{holder.before}' and '{move.before}' both become '{name}'"
                raise NotInvertible(rule.where, str(rule), reason, "give them different targets")


def _ordered(lines: Mapping[int, Sequence[Rule]], moves: Sequence[_Move]) -> list[Rule]:
    """Put the turned rules into an order in which each name meets the one that brings it back before any other."""
    flat = [(owner, line) for owner, rules in lines.items() for line in rules]
    later: dict[int, set[int]] = {n: set() for n in range(len(flat))}
    stage = Stage(line for _, line in flat)
    position = {id(line): n for n, (_, line) in enumerate(flat)}
    for move in moves:
        for name in move.after if move.rule is not None else ():
            wanted = (move.before,) if name == move.after[0] else ()
            results = {position[id(line)]: _applied(line, name) for line in stage.candidates(name)}
            right = [n for n, result in results.items() if result == wanted and flat[n][0] == id(move.rule)]
            if not right:
                assert move.rule is not None
                reason = f"'{move.before}' does not come back from '{name}'"
                raise NotInvertible(move.rule.where, str(move.rule), reason, _NO_HELP)
            for n, result in results.items():
                if result is not None and result != wanted:
                    later[n].add(right[0])
    return [flat[n][1] for n in _topological(later, flat, moves)]


def _applied(rule: Rule, name: str) -> tuple[str, ...] | None:
    try:
        return rule.apply(name)
    except BadArithmetic:
        # It would stop at this name, so it must not be asked before the right line.
        return ("",)


def _topological(
    later: Mapping[int, set[int]], flat: Sequence[tuple[int, Rule]], moves: Sequence[_Move]
) -> Iterator[int]:
    waiting = dict(later)
    while waiting:
        free = next((n for n, before in waiting.items() if not before & waiting.keys()), None)
        if free is None:
            owner = flat[next(iter(waiting))][0]
            rule = next(move.rule for move in moves if move.rule is not None and id(move.rule) == owner)
            raise NotInvertible(rule.where, str(rule), _READ_ALIKE, _NO_HELP)
        del waiting[free]
        yield free


def _caught(ordered: Sequence[Rule], moves: Sequence[_Move]) -> list[str]:
    """Find names that no rule moved, and that the turned rules would move."""
    stage = Stage(ordered)
    still = (move.before for move in moves if move.rule is None)
    return [
        name for name in still if any(_applied(line, name) not in (None, (name,)) for line in stage.candidates(name))
    ]


# Turning one rule round


def _read(text: str, rule: Rule) -> Rule:
    try:
        return Rule.parse(text)
    except RuleSyntax as error:
        raise NotInvertible(rule.where, str(rule), error.message, _NO_HELP) from None


def turned_round(rule: Rule) -> tuple[str, ...]:
    """Give the lines that lead back from the targets of a rule; raises ``not-invertible``."""
    _check_turnable(rule)
    source, target = rule.source.items, rule.targets[0].items
    types = {item.name: item for item in (*source, *target) if isinstance(item, Digits)}
    choices = {item.name: item for item in source if isinstance(item, Choice)}
    plain = {item.name for item in target if isinstance(item, Text)}
    turned = Pattern([_typed(item, types, choices) for item in target])
    solved = {name for item in target if isinstance(item, Sum) for name in names_in(item.expression)}
    standing = {item.name for item in turned.items if isinstance(item, Digits | Text | Choice)}
    back: list[Item] = []
    for item in source:
        if isinstance(item, Digits):
            unsolved = item.name in solved and item.name not in standing
            back.append(item if unsolved else Text(item.name))
        elif isinstance(item, Choice) and item.name in plain:
            back.append(Text(item.name))
        else:
            back.append(item)
    others = [Pattern([_typed(item, types, choices) for item in other.items]) for other in rule.targets[1:]]
    optional = " ?" if rule.optional else ""
    return f"{turned} -> {Pattern(back)}{optional}", *(f"{other} -> {DROP}{optional}" for other in others)


def _typed(item: Item, types: Mapping[str, Digits], choices: Mapping[str, Choice]) -> Item:
    if isinstance(item, Text):
        return types.get(item.name) or choices.get(item.name) or item
    return item


def _check_turnable(rule: Rule) -> None:
    def refuse(reason: str) -> NotInvertible:
        return NotInvertible(rule.where, str(rule), reason, _NO_HELP)

    source, target = rule.source.items, rule.targets[0].items
    lost = sorted(_slots(source) - _slots(target))
    if lost:
        raise refuse(f"slot '{lost[0]}' is not in the target")
    if sum(isinstance(i, Members) for i in source) != sum(isinstance(i, Members) for i in target):
        raise refuse("a set of the source is not in the target")
    for item in target:
        if isinstance(item, Choice | Members) and item.repeated() is not None:
            raise refuse(f"{item} gives several choices one name")
    if _removes_segments(source, target):
        raise refuse("where the removed segments stood is not in the target")
    for other in rule.targets[1:]:
        if any(isinstance(item, Sum) for item in other.items):
            raise refuse("arithmetic in a second target")


def _slots(items: Sequence[Item]) -> set[str]:
    found: set[str] = set()
    for item in items:
        if isinstance(item, Text | Digits | Choice):
            found.add(item.name)
        elif isinstance(item, Sum):
            found |= names_in(item.expression)
    return found


def _removes_segments(source: Sequence[Item], target: Sequence[Item]) -> bool:
    """Tell ``**.X.** -> **.**``: afterwards nothing stands where ``X`` stood."""
    between = [_between_stars(side) for side in (source, target)]
    around = isinstance(source[0], Stars) and isinstance(source[-1], Stars)
    return around and between[0] != [Literal(".")] and between[1] == [Literal(".")]


def _between_stars(items: Sequence[Item]) -> list[Item]:
    stars = [n for n, item in enumerate(items) if isinstance(item, Stars)]
    return list(items[stars[0] + 1 : stars[1]]) if len(stars) == 2 else []


# For every key set


def _inverse_of_all(stage: Stage) -> tuple[str, ...]:
    """Undo a stage whatever the keys are: it moves every key, or its rules only exchange what they match."""
    turned = [_read(text, rule) for rule in stage.rules for text in _turned_alone(rule)]
    lines = tuple(map(str, turned))
    if len(stage.rules) == 1 and stage.rules[0].source.items == (Stars(),):
        return lines
    sources = {_nameless(rule.source) for rule in stage.rules}
    results: set[str] = set()
    for rule, back in zip(stage.rules, turned, strict=True):
        result = _nameless(back.source)
        if result not in sources:
            reason = f"a key that reads like '{rule.targets[0]}' before would be taken for one that was renamed"
            raise NotInvertible(rule.where, str(rule), reason, _GIVE_KEYS)
        if result in results:
            raise NotInvertible(rule.where, str(rule), _READ_ALIKE, _NO_HELP)
        results.add(result)
    segments = [rule.source.segments for rule in stage.rules]
    for n, rule in enumerate(stage.rules):
        sides = rule.source, rule.targets[0]
        if not all(map(_is_plain, sides)) or not all(_apart(segments[n], other) for other in segments[:n]):
            raise NotInvertible(rule.where, str(rule), "it cannot be proved for every key", _GIVE_KEYS)
    return lines


def _turned_alone(rule: Rule) -> tuple[str, ...]:
    if rule.action or len(rule.targets) > 1:
        reason = "a dropped key does not come back" if rule.action else "two names of one key are no single key"
        raise NotInvertible(rule.where, str(rule), reason, _NO_HELP)
    return turned_round(rule)


def _nameless(pattern: Pattern) -> str:
    """Write a pattern so that patterns of the same keys are equal: slots by number, choices and sets in one order."""
    names: dict[str, int] = {}
    parts = []
    for item in pattern.items:
        if isinstance(item, Text | Digits | Choice):
            renamed = f"s{names.setdefault(item.name, len(names))}"
            item = replace(item, name=renamed)
        if isinstance(item, Choice):
            item = replace(item, texts=tuple(sorted(item.texts)))
        elif isinstance(item, Members):
            item = Members(tuple(sorted(item.members, key=str)))
        parts.append(str(item))
    return "".join(parts)


def _is_plain(pattern: Pattern) -> bool:
    """Tell whether there is only one way to match: whole segments, one `**` at most, no arithmetic."""
    segments: list[int] = [0]
    for item in pattern.items:
        if isinstance(item, Literal):
            segments += [0] * item.text.count(".")
        elif isinstance(item, Sum) or (
            isinstance(item, Choice | Members) and any("." in text for text in texts_of(item))
        ):
            return False
        elif not isinstance(item, Stars):
            segments[-1] += 1
    return max(segments) <= 1 and sum(isinstance(item, Stars) for item in pattern.items) <= 1


Segments = Sequence[str | Stars | None]


def _apart(ours: Segments, theirs: Segments) -> bool:
    """Tell whether no key can match two patterns, as far as the literal segments at either end show."""
    if Stars() not in ours and Stars() not in theirs and len(ours) != len(theirs):
        return True
    ends = ((ours, theirs), (ours[::-1], theirs[::-1]))
    return any(_differ(a, b) for a, b in ends)


def _differ(ours: Segments, theirs: Segments) -> bool:
    for a, b in zip(ours, theirs, strict=False):
        if isinstance(a, Stars) or isinstance(b, Stars):
            return False
        if a is not None and b is not None and a != b:
            return True
    return False
