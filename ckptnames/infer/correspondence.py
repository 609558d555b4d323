"""Which column of blocks corresponds to which: the candidates, what each covers, and whether one stands out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import NamedTuple

from ckptnames.infer.assignment import MARGIN, Likeness
from ckptnames.infer.columns import Column, Lists
from ckptnames.infer.units import Node
from ckptnames.infer.words import OBJECTION

EQUAL, SHARED, ALIKE = 3, 2, 1
"""Blocks hold equal shapes one by one; do so once what stands on one side only is left out; hold much in common."""

_LEAST_SHARED = 4
_LEAST_UNITS = 3
_LEAST_ALIKE = 0.5
_NEAR = 0.8


class Candidate(NamedTuple):
    """Two columns that may correspond, the blocks paired in order, and how much of the target that would cover."""

    covered: float
    trust: int
    source: Column
    target: Column
    pairs: tuple[tuple[Node, Node], ...]


def candidates(sources: Sequence[Column], targets: Sequence[Column]) -> list[Candidate]:
    """List the columns of blocks that may correspond, those that cover most first."""
    sources, targets = list(filter(_holds_blocks, sources)), list(filter(_holds_blocks, targets))
    found = [*_equal(sources, targets), *_shared(sources, targets), *_alike(sources, targets)]
    return sorted(found, key=lambda c: (-c.covered, -c.trust, len(c.pairs)))


def _holds_blocks(column: Column) -> bool:
    return any(column.lists) and any(len(node.units) > 1 for node in column.nodes)


def _equal(sources: Sequence[Column], targets: Sequence[Column]) -> Iterator[Candidate]:
    by_bags: defaultdict[tuple[tuple[int, ...], ...], list[Column]] = defaultdict(list)
    for column in sources:
        by_bags[column.bags].append(column)
    for column in targets:
        bags = column.bags
        backwards = tuple(row[::-1] for row in bags)
        for source in by_bags.get(bags, ()):
            yield _paired(EQUAL, source, column, source.lists, column.lists)
        # A decoder may count its blocks from the other end.
        if bags not in by_bags:
            for source in by_bags.get(backwards, ()):
                yield _paired(EQUAL, source, column, source.lists, tuple(nodes[::-1] for nodes in column.lists))


def _paired(trust: int, source: Column, target: Column, ours: Lists, theirs: Lists) -> Candidate:
    pairs = tuple(pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True))
    return Candidate(sum(len(node.units) for _, node in pairs), trust, source, target, pairs)


def _shared(sources: Sequence[Column], targets: Sequence[Column]) -> Iterator[Candidate]:
    def prepared(columns: Sequence[Column]) -> Iterator[tuple[Column, Lists, frozenset[int]]]:
        for column in columns:
            if not column.is_of_kind:
                blocks = tuple(tuple(node for node in nodes if len(node.units) > 1) for nodes in column.lists)
                yield column, blocks, frozenset(node.bag for nodes in blocks for node in nodes)

    others = list(prepared(targets))
    for source, ours, our_bags in prepared(sources):
        for target, theirs, their_bags in others:
            common = our_bags & their_bags
            if not common:
                continue
            left = _only(ours, common), _only(theirs, common)
            found = _paired_where_equal(source, target, *left)
            if found and len(found.pairs) > 1 and found.covered >= _LEAST_SHARED:
                yield found


def _only(lists: Lists, bags: frozenset[int]) -> Lists:
    return tuple(tuple(node for node in nodes if node.bag in bags) for nodes in lists)


def _paired_where_equal(source: Column, target: Column, ours: Lists, theirs: Lists) -> Candidate | None:
    if any([n.bag for n in a] != [n.bag for n in b] for a, b in zip(ours, theirs, strict=True)):
        return None
    return _paired(SHARED, source, target, ours, theirs)


def _alike(sources: Sequence[Column], targets: Sequence[Column]) -> Iterator[Candidate]:
    def prepared(columns: Sequence[Column]) -> Iterator[tuple[Column, tuple[int, ...], list[Counter[int]]]]:
        for column in columns:
            lengths = tuple(map(len, column.lists))
            if (column.is_whole or column.is_of_kind) and sum(lengths) > 1 and column.n_units >= _LEAST_UNITS * sum(lengths):
                yield column, lengths, [_sizes(node) for node in column.nodes]

    others = list(prepared(targets))
    for source, lengths, ours in prepared(sources):
        for target, their_lengths, theirs in others:
            if lengths != their_lengths:
                continue
            common = sum(sum((a & b).values()) for a, b in zip(ours, theirs, strict=True))
            least = sum(min(a.total(), b.total()) for a, b in zip(ours, theirs, strict=True))
            if common >= _LEAST_ALIKE * least:
                found = _paired(ALIKE, source, target, source.lists, target.lists)
                yield found._replace(covered=found.covered * common / max(1, sum(map(Counter.total, theirs))))


def _sizes(node: Node) -> Counter[int]:
    """Count the parameters by their number of elements, which no transposing or reshaping changes."""
    return Counter(prod(shape) for unit in node.units for _, shape in unit.shapes if shape is not None)


def choice(ranked: Sequence[Candidate], likeness: Likeness, note: Callable[[Candidate, Candidate], None]) -> Candidate | None:
    """Give the first candidate that no rival comes near to; ``note`` is told of each two that cannot be told apart."""
    for candidate in ranked:
        score = likeness(candidate.source.name, candidate.target.name)
        if score == OBJECTION:
            continue
        rival = next((r for r in ranked if _is_rival(candidate, score, r, likeness)), None)
        if rival is None:
            return candidate
        note(candidate, rival)
    return None


def _is_rival(candidate: Candidate, score: float, other: Candidate, likeness: Likeness) -> bool:
    """Tell whether another candidate claims some of the same blocks for other ones, with as good reasons."""
    if other is candidate or other.covered < _NEAR * candidate.covered:
        return False
    ours, theirs = _claims(candidate), _claims(other)
    if not (ours[0] & theirs[0] or ours[1] & theirs[1]):
        return False
    if all(a <= b for a, b in zip(ours, theirs, strict=True)) or all(a >= b for a, b in zip(ours, theirs, strict=True)):
        return False
    rating = likeness(other.source.name, other.target.name)
    if rating <= score - MARGIN:
        return False
    return other.covered >= candidate.covered or other.trust >= candidate.trust or rating > score + MARGIN


def _claims(candidate: Candidate) -> tuple[frozenset[int], frozenset[int]]:
    return (
        frozenset(id(unit) for node, _ in candidate.pairs for unit in node.units),
        frozenset(id(unit) for _, node in candidate.pairs for unit in node.units),
    )
