"""Rules that give flattened names their dots back: a pattern for names that differ in numbers and in one word."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptnames.errors import RuleError
from ckptnames.rules.pattern import quoted
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Stage
from ckptnames.rules.slots import Choice

_NUMBER = re.compile(r"[0-9]+")
_STYLES = ("", "_")
"""What stands in the place of a dot."""
_LONGEST = 80
"""The words of one line have so many characters at most, on both sides together."""

Segments = tuple[str, ...]


class Spelling(NamedTuple):
    """Flattened keys, each with its name in dots; all keys begin with ``lead``, for which ``prefix`` is written."""

    lead: str
    prefix: str
    names: Mapping[str, str]

    def becomes(self, key: str) -> str:
        """Give the whole name of a key."""
        return ".".join(filter(None, [self.prefix, self.names[key]]))


def respelled(spellings: Sequence[Spelling], keys: Iterable[str]) -> Stage:
    """Find few rules that give flattened keys their names, and leave all others as they are.

    >>> names = {"ema_a_0_w": "a.0.w", "ema_a_1_w": "a.1.w", "ema_a_1_b": "a.1.b"}
    >>> respelled([Spelling("ema_", "ema", names)], [*names, "x"]).rules
    (Rule.parse('ema_a_{i:d}_{p:w|b} -> ema.a.{i}.{p:w|b}'),)
    """
    wanted = {key: spelling.becomes(key) for spelling in spellings for key in spelling.names}
    stage = Stage([rule for spelling in spellings for rule in _patterns(spelling)])
    right = {id(found[0]) for key in wanted if (found := stage.decide(key)) and found[1] == (wanted[key],)}
    stage = Stage([rule for rule in stage.rules if id(rule) in right])
    # What two patterns match has a line of its own, above them.
    exceptions = [
        Rule.parse(f"{quoted(key)} -> {quoted(wanted.get(key, key))}")
        for key in keys
        if (found[1] if (found := stage.decide(key)) else (key,)) != (wanted.get(key, key),)
    ]
    return Stage([*exceptions, *stage.rules])


def _patterns(spelling: Spelling) -> Iterator[Rule]:
    style = next((each for each in _STYLES if _is_spelled(spelling, each)), None)
    if style is None:
        return
    for name, numbers in _templates(spelling.names.values()):
        yield from _rule(spelling, style, name, numbers)


def _is_spelled(spelling: Spelling, style: str) -> bool:
    return all(key == spelling.lead + name.replace(".", style) for key, name in spelling.names.items())


class _Word(NamedTuple):
    """A segment that is one of several."""

    members: tuple[str, ...]


def _templates(names: Iterable[str]) -> Iterator[tuple[tuple[str | _Word, ...], list[tuple[int, int]]]]:
    """Give names that differ in numbers, or in one segment without any, as one; with the range of each number."""
    numbers: defaultdict[Segments, list[list[int]]] = defaultdict(list)
    for name in names:
        numbers[tuple(_NUMBER.sub("#", name).split("."))].append([int(n) for n in _NUMBER.findall(name)])
    left = {template: [(min(n), max(n)) for n in zip(*found, strict=True)] for template, found in numbers.items()}
    while left:
        first = next(iter(left))
        alike = max((_alike(first, at, left) for at in range(len(first)) if "#" not in first[at]), key=len, default=[])
        at, members = _hole(first, alike), alike if len(alike) > 1 else [first]
        ranges = [(min(low), max(high)) for low, high in _transposed([left.pop(member) for member in members])]
        words = tuple(member[at] for member in members)
        yield (first if len(members) == 1 else (*first[:at], _Word(words), *first[at + 1 :])), ranges


def _alike(first: Segments, at: int, left: Iterable[Segments]) -> list[Segments]:
    def outside(template: Segments) -> Segments:
        return (*template[:at], *template[at + 1 :])

    found, length = [], 0
    for other in left:
        if len(other) == len(first) and outside(other) == outside(first) and "#" not in other[at]:
            length += 2 * len(other[at]) + 2
            if length > _LONGEST:
                break
            found.append(other)
    return found


def _hole(first: Segments, alike: Sequence[Segments]) -> int:
    return next((at for at, words in enumerate(zip(*alike, strict=True)) if len(set(words)) > 1), len(first) - 1)


def _transposed(ranges: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[list[int], list[int]]]:
    return [([low for low, _ in each], [high for _, high in each]) for each in zip(*ranges, strict=True)]


def _rule(
    spelling: Spelling, style: str, name: Sequence[str | _Word], numbers: Sequence[tuple[int, int]]
) -> Iterator[Rule]:
    """Write the rule for one template; none where the language has no word for it."""
    names = iter("ijklmnabcdefgh")
    slots = iter(zip(names, numbers, strict=False))
    before, after = [], []
    for segment in name:
        if isinstance(segment, _Word):
            before.append(str(Choice("p", tuple(word.replace(".", style) for word in segment.members))))
            after.append(str(Choice("p", segment.members)))
            continue
        pieces = [quoted(piece) if piece else "" for piece in segment.split("#")]
        ours, theirs = pieces[0], pieces[0]
        for piece in pieces[1:]:
            slot, (low, high) = next(slots)
            if low == high:
                ours, theirs = f"{ours}{low}{piece}", f"{theirs}{low}{piece}"
                continue
            ours += f"{{{slot}:{_kind(style, low, high)}}}{piece}"
            theirs += f"{{{slot}}}{piece}"
        before.append(ours)
        after.append(theirs)
    prefix = [quoted(part) for part in spelling.prefix.split(".") if part]
    lead = ".".join(quoted(part) if part else "" for part in spelling.lead.split("."))
    try:
        yield Rule.parse(f"{lead}{style.join(before)} -> {'.'.join([*prefix, *after])}")
    except RuleError:
        return


def _kind(style: str, low: int, high: int) -> str:
    """Write what a slot takes: where no sign parts two numbers, their ranges do, and `00` is no number below ten."""
    if style:
        return "d"
    return f"{low}..{high}" if high > 9 else "|".join(map(str, range(low, high + 1)))
