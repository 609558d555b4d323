"""What has to hold between the two sides of a rule before it means anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptnames.rules.arithmetic import Interval, is_solvable, names_in
from ckptnames.rules.lexer import Lexed, Line
from ckptnames.rules.matching import range_of
from ckptnames.rules.pattern import check_source
from ckptnames.rules.slots import Choice, Digits, Item, Members, Stars, Sum, Text

Side = Sequence[Lexed]


def checked(line: Line, source: Side, targets: Sequence[Side]) -> dict[str, Interval]:
    """Refuse a rule whose sides do not fit each other; give the range of each slot that arithmetic has to solve.

    Raises ``rule-syntax``.
    """
    kinds = _kinds(source)
    typed = _typed(line, kinds, targets)
    check_source(line, source, typed)
    unknown = {name for found in source for name in _names(found.item) if name not in kinds}
    for item, start, end in source:
        if isinstance(item, Sum) and not is_solvable(item.expression, unknown):
            cure = "multiply by numbers only, and divide by numbers only, where a slot has to be solved for"
            raise line.error(f"'{item.expression}' cannot be solved", start, end, cure)
    for side in targets:
        _check_target(line, source, side, kinds, unknown)
    for n, side in enumerate(targets):
        for other in targets[:n]:
            if [found.item for found in side] == [found.item for found in other]:
                raise line.error("the same target twice", side[0].start, side[-1].end, "name each target once")
    return {name: range_of(typed[name]) for name in sorted(unknown)}


def _kinds(source: Side) -> dict[str, Item]:
    """The slots that the left side itself captures; a type, given at any of its places, holds at all of them."""
    kinds: dict[str, Item] = {}
    for item, _, _ in source:
        if isinstance(item, Digits | Choice):
            kinds[item.name] = item
        elif isinstance(item, Text):
            kinds.setdefault(item.name, item)
    return kinds


def _typed(line: Line, kinds: Mapping[str, Item], targets: Sequence[Side]) -> dict[str, Digits]:
    typed: dict[str, Digits] = {}
    for item, start, end in (found for side in targets for found in side):
        if not isinstance(item, Digits):
            continue
        known = kinds.get(item.name)
        if (known is not None and known != item and not isinstance(known, Text)) or (
            typed.setdefault(item.name, item) != item
        ):
            raise line.error(f"slot '{item.name}' has two types", start, end, f"write {{{item.name}}} here")
    return typed


def _names(item: Item) -> set[str]:
    if isinstance(item, Sum):
        return names_in(item.expression)
    return {item.name} if isinstance(item, Text | Digits | Choice) else set()


def _check_target(line: Line, source: Side, side: Side, kinds: Mapping[str, Item], unknown: set[str]) -> None:
    whole = side[0].start, side[-1].end
    n_stars = [sum(isinstance(found.item, Stars) for found in one) for one in (source, side)]
    if n_stars[0] != n_stars[1]:
        cure = "write as many `**` on the right as on the left: the n-th stands for what the n-th found"
        raise line.error(f"{n_stars[0]} `**` on the left and {n_stars[1]} on the right", *whole, cure)
    sets = [found.item for found in source if isinstance(found.item, Members)]
    n_sets = 0
    for found in side:
        if isinstance(found.item, Members):
            _check_set(line, found, sets, n_sets)
            n_sets += 1
        elif isinstance(found.item, Choice):
            _check_choice(line, found, kinds.get(found.item.name))
        elif isinstance(found.item, Sum):
            _check_computed(line, found, kinds, unknown)
        _check_bound(line, found, kinds, unknown)


def _check_set(line: Line, found: Lexed, sets: Sequence[Members], n: int) -> None:
    item, start, end = found
    assert isinstance(item, Members)
    if n >= len(sets):
        cure = "put the set on the left that it pairs with, or give both a name, as in {w:a|b}"
        raise line.error("a set without a partner on the left", start, end, cure)
    if len(item) != len(sets[n]):
        counts = f"{len(sets[n])} members on the left and {len(item)} on the right"
        raise line.error(counts, start, end, f"write one member for each of {sets[n]}")


def _check_choice(line: Line, found: Lexed, partner: Item | None) -> None:
    item, start, end = found
    assert isinstance(item, Choice)
    if partner is None:
        return
    if not isinstance(partner, Choice):
        raise line.error(f"slot '{item.name}' is no choice on the left", start, end, f"write {{{item.name}}} here")
    if len(item.texts) != len(partner.texts):
        counts = f"{len(partner.texts)} choices on the left and {len(item.texts)} on the right"
        raise line.error(counts, start, end, f"write one for each of {partner}")


def _check_computed(line: Line, found: Lexed, kinds: Mapping[str, Item], unknown: set[str]) -> None:
    item, start, end = found
    assert isinstance(item, Sum)
    for name in sorted(names_in(item.expression) - unknown):
        if name in kinds and not isinstance(kinds[name], Digits):
            cure = f"type the slot on the left: {{{name}:d}}"
            raise line.error(f"arithmetic over '{name}', which is no digit slot", start, end, cure)


def _check_bound(line: Line, found: Lexed, kinds: Mapping[str, Item], unknown: set[str]) -> None:
    for name in sorted(_names(found.item)):
        if name not in kinds and name not in unknown:
            known = ", ".join(f"{{{name}}}" for name in sorted({*kinds, *unknown}))
            cure = f"use a slot of the left side: {known}" if known else "put the slot on the left side too"
            raise line.error(f"slot '{name}' is not on the left", found.start, found.end, cure)
