"""How the numbers of one name follow from those of another: the same, counted from elsewhere, computed, or listed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

from ckptnames.rules.slots import Choice

_NAMES = "ijklmnopqrstuvw"
_MOST_LISTED = 24
_LEAST_COMPUTED = 4
_MOST_PARTED = 6
_OFFSETS = range(-8, 9)
_DIVISORS = range(2, 13)

Column = tuple[int, ...]
Row = tuple[int, ...]


class Numbering(NamedTuple):
    """What stands in a rule for each number of the source, and for each of the target."""

    left: tuple[str, ...]
    right: tuple[str, ...]


def numberings(sources: Sequence[Row], targets: Sequence[Row], is_thorough: bool = False) -> Iterator[Numbering]:
    """Say how the rows of the target follow from those of the source, in general first, then for listed numbers only.

    >>> next(numberings([(1, 0), (2, 0), (2, 1)], [(0, 0), (1, 0), (1, 1)]))
    Numbering(left=('{i:d}', '{j:d}'), right=('{i-1}', '{j}'))
    >>> next(numberings([(0,), (2,), (5,)], [(0, 0), (0, 1), (1, 0)]))
    Numbering(left=('{i:0|2|5}',), right=('{i:0|0|1}', '{i:0|1|0}'))

    Where no one number of the source tells one of the target, each value of one of them has a numbering of its own. A
    thorough search lists these too, and every single number.
    """
    columns = _columns(sources)
    fit = _Fit(columns, _columns(targets))
    found = fit.numbering()
    if found is not None:
        yield found
        listable = [at for at in fit.varying if len(set(columns[at])) <= _MOST_LISTED]
        for listed in dict.fromkeys([tuple(listable), *((at,) for at in listable if is_thorough)]):
            narrow = fit.numbering(listed) if listed else None
            if narrow is not None and narrow != found:
                yield narrow
    values = [set(column) for column in columns]
    at = min((at for at in range(len(columns)) if len(values[at]) > 1), key=lambda at: len(values[at]), default=None)
    if at is None or (found is not None and not (is_thorough and len(values[at]) <= _MOST_PARTED)):
        return
    for value in sorted(values[at]):
        rows = [row for row, numbers in enumerate(sources) if numbers[at] == value]
        yield from numberings([sources[row] for row in rows], [targets[row] for row in rows], is_thorough)


def _columns(rows: Sequence[Row]) -> list[Column]:
    return list(zip(*rows, strict=True))


class _Fit:
    """The columns of both sides, and what stands for each."""

    def __init__(self, sources: list[Column], targets: list[Column]) -> None:
        self.sources, self.targets = sources, targets
        firsts: dict[Column, int] = {}
        self.same = [firsts.setdefault(column, at) for at, column in enumerate(sources)]
        self.varying = [at for at, column in enumerate(sources) if self.same[at] == at and len(set(column)) > 1]
        names = iter(_NAMES)
        self.names = {at: next(names) for at in self.varying}

    def numbering(self, narrow: Collection[int] = ()) -> Numbering | None:
        """Say what stands for each column, the numbers of those in ``narrow`` listed one by one."""
        if len(self.varying) > len(_NAMES):
            return None
        listed = set(narrow)
        while True:
            before = set(listed)
            right = [self._right(column, listed) for column in self.targets]
            if listed == before:
                break
        if any(text is None for text in right):
            return None
        left = [self._left(at, listed) for at in range(len(self.sources))]
        return Numbering(tuple(left), tuple(text for text in right if text is not None))

    def _left(self, at: int, listed: set[int]) -> str:
        column = self.sources[at]
        if len(set(column)) == 1:
            return str(column[0])
        if self.same[at] != at:
            return f"{{{self.names[self.same[at]]}}}"
        if at in listed:
            return _choice(self.names[at], sorted(set(column)))
        return f"{{{self.names[at]}:d}}"

    def _right(self, column: Column, listed: set[int]) -> str | None:
        if len(set(column)) == 1:
            return str(column[0])
        for at in self.varying:
            if self.sources[at] == column:
                return f"{{{self.names[at]}}}"
        free = [at for at in self.varying if at not in listed]
        text = self._shifted(column, free) or self._computed(column, free)
        if text:
            return f"{{{text}}}"
        return self._listed(column, listed)

    def _shifted(self, column: Column, free: Sequence[int]) -> str | None:
        for at in free:
            offsets = {value - source for value, source in zip(column, self.sources[at], strict=True)}
            if len(offsets) == 1:
                return f"{self.names[at]}{offsets.pop():+d}"
        return None

    def _computed(self, column: Column, free: Sequence[int]) -> str | None:
        if (
            len(set(column)) < _LEAST_COMPUTED
            and max((len(set(self.sources[at])) for at in self.varying), default=0) < _LEAST_COMPUTED
        ):
            return None
        for at in free:
            found = _divided(self.names[at], self.sources[at], column)
            if found:
                return found
        for at, other in permutations(free, 2):
            found = self._summed(at, other, column)
            if found:
                return found
        return None

    def _summed(self, at: int, other: int, column: Column) -> str | None:
        """Write ``3*i+j+1``: a number for each pair of two numbers."""
        rests: dict[int, set[int]] = {}
        rows = list(zip(self.sources[at], self.sources[other], column, strict=True))
        first = min(rows)
        after = next((row for row in sorted(rows) if row[1] == first[1] and row[0] != first[0]), None)
        if after is None or (after[2] - first[2]) % (after[0] - first[0]):
            return None
        factor = (after[2] - first[2]) // (after[0] - first[0])
        for x, y, value in rows:
            rests.setdefault(value - factor * x - y, set()).add(y)
        if factor < 1 or len(rests) != 1:
            return None
        (rest,) = rests
        times = f"{factor}*{self.names[at]}" if factor > 1 else self.names[at]
        return f"{times}+{self.names[other]}{f'{rest:+d}' if rest else ''}"

    def _listed(self, column: Column, listed: set[int]) -> str | None:
        for at in sorted(self.varying, key=lambda at: len(set(self.sources[at]))):
            table = dict(zip(self.sources[at], column, strict=True))
            is_function = all(table[source] == value for source, value in zip(self.sources[at], column, strict=True))
            if is_function and len(table) <= _MOST_LISTED:
                listed.add(at)
                return _choice(self.names[at], [table[source] for source in sorted(table)])
        return None


def _divided(name: str, source: Column, column: Column) -> str | None:
    """Write ``(i-1)//3``, ``(i-1)%3`` or ``2*i+1``."""
    pairs = list(zip(source, column, strict=True))
    for offset in sorted(_OFFSETS, key=abs):
        shifted = name if not offset else f"({name}{offset:+d})"
        for divisor in _DIVISORS:
            if all((number + offset) >= 0 and (number + offset) // divisor == value for number, value in pairs):
                return f"{shifted}//{divisor}"
            if all((number + offset) >= 0 and (number + offset) % divisor == value for number, value in pairs):
                return f"{shifted}%{divisor}"
            if all(divisor * number + offset == value for number, value in pairs):
                return f"{divisor}*{name}{f'{offset:+d}' if offset else ''}"
    return None


def _choice(name: str, numbers: Sequence[int]) -> str:
    return str(Choice(name, tuple(map(str, numbers))))
