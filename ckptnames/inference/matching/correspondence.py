"""Which column of blocks corresponds to which: the candidates, what each covers, and whether one stands out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod
from typing import NamedTuple

from ckptnames.inference.matching.assignment import MARGIN, Likeness
from ckptnames.inference.matching.columns import Column, Lists
from ckptnames.inference.matching.units import Node
from ckptnames.inference.naming.vocabulary import PLAIN_LIST
from ckptnames.inference.naming.words import OBJECTION, meaning, overlap, words
from ckptnames.keys import is_index

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
    sources, targets = [c for c in sources if c.holds_blocks], [c for c in targets if c.holds_blocks]
    found = [*_equal(sources, targets), *_shared(sources, targets), *_alike(sources, targets)]
    found = [c for c in found if not any(_is_list_and_member(a, b) or _is_list_and_member(b, a) for a, b in c.pairs)]
    return sorted(found, key=lambda c: (-c.covered, -c.trust, len(c.pairs)))


def _is_list_and_member(node: Node, other: Node) -> bool:
    """Tell whether a module is a list of blocks, and another one of the blocks of such a list."""
    return _is_list(node) and not _is_list(other) and other.parent is not None and _is_list(other.parent)


def _is_list(node: Node) -> bool:
    """Tell whether a module holds blocks of one kind, with numbers for names, and nothing else, at whatever level."""
    while len(node.children) == 1 and node.unit is None:
        node = node.children[0]
    if len(node.children) < 2 or not all(is_index(child.path[-1]) for child in node.children):
        return False
    least = min((child.structure for child in node.children), key=len)
    return len(least) > 1 and all(least <= child.structure for child in node.children)


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
    common = _Common()

    def prepared(columns: Sequence[Column]) -> list[tuple[Column, list[int]]]:
        found = []
        for column in columns:
            n_nodes = len(column.nodes)
            if (column.is_whole or column.is_of_kind) and n_nodes > 1 and column.n_units >= _LEAST_UNITS * n_nodes:
                found.append((column, [common.number(node) for node in column.nodes]))
        return found

    others = prepared(targets)
    for source, ours in prepared(sources):
        for target, theirs in others:
            if source.lengths != target.lengths:
                continue
            n_common, n_least, n_theirs = common.among(ours, theirs)
            if n_common >= _LEAST_ALIKE * n_least:
                found = _paired(ALIKE, source, target, source.lists, target.lists)
                yield found._replace(covered=found.covered * n_common / max(1, n_theirs))


class _Common:
    """Counts the parameters that modules have in common, by their number of elements: no reshaping changes that."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._sizes: list[Counter[int]] = []

    def number(self, node: Node) -> int:
        """Give modules with parameters of the same shapes the same number."""
        number = self._numbers.setdefault(node.bag, len(self._sizes))
        if number == len(self._sizes):
            self._sizes.append(
                Counter(prod(shape) for unit in node.units for _, shape in unit.shapes if shape is not None)
            )
        return number

    def among(self, sources: Sequence[int], targets: Sequence[int]) -> tuple[int, int, int]:
        """Count what paired modules have in common, the smaller side of each pair, and the target's side."""
        n_common = n_least = n_targets = 0
        for (source, target), times in Counter(zip(sources, targets, strict=True)).items():
            ours, theirs = self._sizes[source], self._sizes[target]
            n_common += times * (ours & theirs).total()
            n_least += times * min(ours.total(), theirs.total())
            n_targets += times * theirs.total()
        return n_common, n_least, n_targets


def _counts_alike(candidate: Candidate) -> bool:
    """Tell whether two lists may be taken to count from the same end.

    Where the blocks differ, their shapes show it. Where all hold the same, only a plain list (`layers`, `blocks`) on
    both sides, or a name for both that is alike, tells that the first is the first: the decoder of a U-Net often counts
    backwards, that of a transformer does not.
    """
    if len({node.bag for _, node in candidate.pairs}) > 1 or all(map(_holds_attention, candidate.pairs[0])):
        return True
    ours = Counter(_list_names(candidate.source.name, [node for node, _ in candidate.pairs]))
    theirs = Counter(_list_names(candidate.target.name, [node for _, node in candidate.pairs]))
    # A list that both sides call the same is counted the same.
    ours, theirs = ours - theirs, theirs - ours
    odd = [found for found in (*ours, *theirs) if found and not any(map(PLAIN_LIST.search, found))]
    _, alone, others = overlap(".".join(chain(*ours)), ".".join(chain(*theirs)))
    return not odd or not (alone or others)


def _holds_attention(block: Node) -> bool:
    return any("attention" in meaning(block.below(unit)).get("sort", ()) for unit in block.units)


def _list_names(name: str, nodes: Sequence[Node]) -> list[tuple[str, ...]]:
    """Give the words of each segment that has a number which varies, or of the one before it where it is bare."""
    segments = name.split(".")
    columns = list(zip(*(node.slots for node in nodes), strict=True))
    numbered = [at for at, segment in enumerate(segments) for _ in range(segment.count("#"))]
    varying = {
        at for at, numbers in zip(numbered, columns[len(columns) - len(numbered) :], strict=True) if len({*numbers}) > 1
    }
    return [words(segments[at]) or (words(segments[at - 1]) if at else ()) for at in sorted(varying)]


class Choice:
    """Candidates, from which one after the other is chosen that no rival comes near to."""

    def __init__(self, ranked: Sequence[Candidate], likeness: Likeness) -> None:
        self._left = list(ranked)
        self._likeness = likeness
        self._claimed: dict[int, tuple[frozenset[int], frozenset[int]]] = {}

    def next(self) -> Candidate | None:
        """Give the next candidate whose blocks are all still fresh; it is not given again."""
        self._left = [c for c in self._left if all(a.is_fresh and b.is_fresh for a, b in c.pairs)]
        for number, candidate in enumerate(self._left):
            score = self._likeness(candidate.source.name, candidate.target.name)
            if (
                score == OBJECTION
                or not _counts_alike(candidate)
                or any(self._is_rival(candidate, score, other) for other in self._left)
            ):
                continue
            del self._left[number]
            return candidate
        return None

    def _is_rival(self, candidate: Candidate, score: float, other: Candidate) -> bool:
        """Tell whether another candidate claims some of the same blocks for other ones, with as good reasons."""
        if other is candidate or other.covered < _NEAR * candidate.covered:
            return False
        rating = self._likeness(other.source.name, other.target.name)
        if rating <= score - MARGIN:
            return False
        if not (other.covered >= candidate.covered or other.trust >= candidate.trust or rating > score + MARGIN):
            return False
        ours, theirs = self._claims(candidate), self._claims(other)
        if ours[0].isdisjoint(theirs[0]) and ours[1].isdisjoint(theirs[1]):
            return False
        # A part, or a whole, of the same says the same.
        return not (
            all(a <= b for a, b in zip(ours, theirs, strict=True))
            or all(a >= b for a, b in zip(ours, theirs, strict=True))
        )

    def _claims(self, candidate: Candidate) -> tuple[frozenset[int], frozenset[int]]:
        found = self._claimed.get(id(candidate))
        if found is None:
            found = self._claimed[id(candidate)] = (
                frozenset(id(unit) for node, _ in candidate.pairs for unit in node.units),
                frozenset(id(unit) for _, node in candidate.pairs for unit in node.units),
            )
        return found
