"""Rules that might say how names changed: proposed from the names that changed alike, right or not for others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from ckptnames.inference.rulemaking.numbering import Row, numberings
from ckptnames.rules.slots import quoted

_NUMBER = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,17})(?![0-9])")
_SLOT = re.compile(r"\{[^}]*\}")

MOST_ALIKE = 60
"""So many names that differ in numbers only are all looked at; of more the first and last of each number."""

_ENDS = (3, 2)

OPEN = "!open"
"""What stands for the new name of a key that is not decided."""

Segments = tuple[str, ...]


class Proposal(NamedTuple):
    """A rule as text, its two sides."""

    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.left} -> {self.right}"

    @property
    def outline(self) -> str:
        """The left side with 0 for every number: it matches the outline of each key that the rule matches."""
        return outline_of(_SLOT.sub("0", self.left))


def proposals(changes: Mapping[str, str], effort: int = 0) -> list[Proposal]:
    """Propose rules for source keys with the names that they become, or with ``!open``.

    With an effort of 1 those that go less far are among them, with 2 one rule for each key.

    >>> found = proposals({"m.0.a.w": "n.0.b.w", "m.1.a.w": "n.1.b.w"})
    >>> sorted(map(str, found))[-1]
    'm.{i:d}.a.w -> n.{i}.b.w'
    """
    heads: dict[_Shape, dict[tuple[str, str], None]] = {}
    for source, target in changes.items():
        for part in _parts(source, target, effort > 0):
            heads.setdefault(part.shape, {})[part.source, part.target] = None
    found = (proposal for shape, pairs in heads.items() for proposal in shape.rules(list(pairs), effort > 0))
    alone = (
        Proposal(quoted(source), target if target == OPEN else quoted(target))
        for source, target in changes.items()
        if effort > 1
    )
    return list(dict.fromkeys(chain(found, alone)))


class _Part(NamedTuple):
    """What is left of a pair without segments that are the same at its ends, for which ``**`` stands."""

    source: str
    target: str
    has_head: bool
    has_tail: bool

    @property
    def shape(self) -> _Shape:
        return _Shape(_texts(self.source), _texts(self.target), self.has_head, self.has_tail)


class _Shape(NamedTuple):
    """The texts between the numbers of two names, and at which ends more may stand."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    has_head: bool
    has_tail: bool

    def rules(self, pairs: Sequence[tuple[str, str]], is_thorough: bool) -> Iterator[Proposal]:
        sources, targets = [_numbers(source) for source, _ in pairs], [_numbers(target) for _, target in pairs]
        for found in numberings(sources, targets, is_thorough):
            yield Proposal(self._whole(self.source, found.left), self._whole(self.target, found.right))

    def _whole(self, texts: Sequence[str], numbers: Sequence[str]) -> str:
        if texts == (OPEN,):
            return OPEN
        written = "".join(chain.from_iterable(zip_longest(map(_quoted, texts), numbers, fillvalue="")))
        return ".".join([*["**"] * self.has_head, *[written] * bool(written), *["**"] * self.has_tail])


def _quoted(text: str) -> str:
    return quoted(text) if text else ""


def _parts(source: str, target: str, is_thorough: bool) -> Iterator[_Part]:
    """Cut a pair where its common end begins, at its last segment, in a thorough search at each between, and nowhere.

    The common beginning is cut off too, for what happens wherever a name stands.
    """
    ours, theirs = tuple(source.split(".")), tuple(target.split("."))
    n_tail = len(ours) - 1 if target == OPEN else _common(ours[::-1], theirs[::-1])
    tails = range(n_tail + 1) if is_thorough else dict.fromkeys((0, min(1, n_tail), n_tail))
    for n in tails:
        left = theirs if target == OPEN else theirs[: len(theirs) - n]
        yield _Part(".".join(ours[: len(ours) - n]), ".".join(left), False, n > 0)
    n_head = 0 if target == OPEN else min(_common(ours, theirs), min(len(ours), len(theirs)) - n_tail)
    if 0 < n_head < len(ours) - n_tail:
        end = len(ours) - n_tail, len(theirs) - n_tail
        yield _Part(".".join(ours[n_head : end[0]]), ".".join(theirs[n_head : end[1]]), True, True)
        yield _Part(".".join(ours[n_head:]), ".".join(theirs[n_head:]), True, False)


def _common(ours: Segments, theirs: Segments) -> int:
    n = 0
    while n < min(len(ours), len(theirs)) and ours[n] == theirs[n]:
        n += 1
    return n


def outline_of(key: str) -> str:
    """Write a key with 0 for every number.

    >>> outline_of("layer1.12.conv2")
    'layer0.0.conv0'
    """
    return _NUMBER.sub("0", key)


def _texts(name: str) -> tuple[str, ...]:
    return tuple(_NUMBER.split(name)[::2])


def _numbers(name: str) -> Row:
    return tuple(map(int, _NUMBER.findall(name)))


def sampled(changes: Mapping[str, str], most_alike: int) -> dict[str, str]:
    """Leave out most of what differs in numbers only: the first and last of each say how they count."""
    groups: dict[tuple[str, ...], list[tuple[Sequence[str], str]]] = {}
    for source, target in changes.items():
        parts = _NUMBER.split(source)
        groups.setdefault((*parts[::2], "", *_NUMBER.split(target)[::2]), []).append((parts[1::2], source))
    kept = chain.from_iterable(rows if len(rows) <= most_alike else _ends(rows) for rows in groups.values())
    return {source: changes[source] for _, source in kept}


def _ends(rows: Sequence[tuple[Sequence[str], str]]) -> Sequence[tuple[Sequence[str], str]]:
    kept = []
    for column in zip(*(numbers for numbers, _ in rows), strict=True):
        values = sorted(set(column), key=int)
        kept.append({*values[: _ENDS[0]], *values[-_ENDS[1] :]})
    return [row for row in rows if all(n in k for n, k in zip(row[0], kept, strict=True))]
