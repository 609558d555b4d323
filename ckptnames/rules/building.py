"""The right side of a rule, compiled: from what the left side found to the new key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from ckptnames.rules.arithmetic import MAX_DIGITS, Expression, evaluate, names_in
from ckptnames.rules.matching import Match, Matcher
from ckptnames.rules.slots import CANONICAL, Choice, Digits, Item, Literal, Members, Stars, Sum, Text

_MOST_TABLED = 1000

Part = str | int | Callable[[Match], str]
"""Literal text, the index of a found text that is copied, or what computes the text."""


class ArithmeticFault(Exception):
    """An expression that gives no index for this key."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(reason)
        self.expression, self.reason = expression, reason


class Template:
    """One target pattern; ``sets`` counts the sets of the targets built so far."""

    def __init__(self, items: Sequence[Item], matcher: Matcher, sets: Iterator[int] | None = None) -> None:
        places = _places(matcher, Stars)
        stars = iter(places)
        self._matcher = matcher
        self._sets = count() if sets is None else sets
        self._parts = [next(stars) if isinstance(item, Stars) else self._part(item) for item in items]

    def build(self, found: Match) -> str:
        """Compose the text, with a dot at its end."""
        texts = found.texts
        return "".join(
            [
                part if isinstance(part, str) else texts[part] if isinstance(part, int) else part(found)
                for part in self._parts
            ]
        )

    def _part(self, item: Item) -> Part:
        matcher = self._matcher
        if isinstance(item, Literal):
            return item.text
        if isinstance(item, Sum):
            return self._computed(item.expression)
        if isinstance(item, Members):
            return self._paired(item)
        assert isinstance(item, Text | Digits | Choice)
        place = matcher.places.get(item.name)
        if place is None:
            name = item.name
            return lambda found: str(found.numbers[name])
        if isinstance(item, Choice):
            left = matcher.ops[matcher.captures[place]]
            assert isinstance(left, Choice)
            table = dict(zip(left.texts, item.texts, strict=True))
            return lambda found: table[found.texts[place]]
        return place

    def _paired(self, item: Members) -> Part:
        place = _places(self._matcher, Members)[next(self._sets)]
        left = self._matcher.ops[self._matcher.captures[place]]
        assert isinstance(left, Members)
        if len(left) <= _MOST_TABLED:
            table = dict(zip(left, item, strict=True))
            return lambda found: table[found.texts[place]]
        return lambda found: item[left.index(found.texts[place]) or 0]

    def _computed(self, expression: Expression) -> Part:
        names = sorted(names_in(expression))
        places = self._matcher.places

        def compute(found: Match) -> str:
            values = {
                name: index_of(found.texts[places[name]], str(expression)) if name in places else found.numbers[name]
                for name in names
            }
            try:
                value = evaluate(expression, values)
            except ZeroDivisionError:
                raise ArithmeticFault(str(expression), "divides by zero") from None
            if value < 0:
                raise ArithmeticFault(str(expression), f"is {value}")
            return str(value)

        return compute


def index_of(digits: str, expression: str) -> int:
    """Read an index that arithmetic is done with; raises ``ArithmeticFault`` for one like ``007``."""
    if not CANONICAL.fullmatch(digits):
        raise ArithmeticFault(expression, f"computes with the leading zeros of '{digits}'")
    if len(digits) > MAX_DIGITS:
        raise ArithmeticFault(expression, f"computes with a number of {len(digits)} digits")
    return int(digits)


def _places(matcher: Matcher, kind: type[Item]) -> list[int]:
    return [place for place, op in enumerate(matcher.captures) if isinstance(matcher.ops[op], kind)]
