"""What matched units teach: which names below corresponding blocks belong together, for other blocks of the kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ckptnames.inference.matching.units import Node, Path, Unit

_LAYER_AND_NORM = 2


class Level(NamedTuple):
    """Blocks that the search is in: their depths, and their templates."""

    source_depth: int
    target_depth: int
    kind: tuple[Path, Path]


class Known:
    """Pairs of names that were told apart somewhere, and the counterpart of every matched unit."""

    def __init__(self) -> None:
        self.counterparts: dict[Unit, Unit] = {}
        """Target units by the source units that fill them."""
        self._levels: list[Level] = []
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._kinds: defaultdict[tuple[str, str], set[tuple[Path, Path]]] = defaultdict(set)
        self._partners: defaultdict[tuple[tuple[Path, Path], str], set[str]] = defaultdict(set)
        self._met: defaultdict[Node, set[Node]] = defaultdict(set)
        """Numbered blocks of either side by those of the other side that share a match with them."""

    @contextmanager
    def within(self, source: Node, target: Node) -> Iterator[None]:
        """Say that the search is inside blocks of the kind of these two."""
        self._levels.append(Level(source.depth, target.depth, (source.template, target.template)))
        try:
            yield
        finally:
            self._levels.pop()

    @property
    def levels(self) -> tuple[Level, ...]:
        """Where the search is; to be come back to."""
        return tuple(self._levels)

    @contextmanager
    def back_in(self, levels: tuple[Level, ...]) -> Iterator[None]:
        """Say that the search is where it was before."""
        before, self._levels = self._levels, list(levels)
        try:
            yield
        finally:
            self._levels = before

    def learn(self, source: Unit, target: Unit) -> None:
        """Note a match, under the names that the two have below each of the blocks around them."""
        self.counterparts[source] = target
        self.meet(source.node, target.node)
        for level in self._levels:
            ours, theirs = ".".join(source.path[level.source_depth :]), ".".join(target.path[level.target_depth :])
            self._pairs[ours, theirs] += 1
            self._kinds[ours, theirs].add(level.kind)
            self._partners[level.kind, f"s {ours}"].add(theirs)
            self._partners[level.kind, f"t {theirs}"].add(ours)

    def meet(self, source: Node, target: Node) -> None:
        """Note that what two modules hold belongs together."""
        block, other = block_around(source), block_around(target)
        self._met[block].add(other)
        self._met[other].add(block)

    def is_apart(self, source: Unit, target: Unit) -> bool:
        """Tell whether all matches of the block around either are in one block, in which the other does not stand.

        Several blocks may go into one: of a block without matches nothing is known yet.
        """
        ours, theirs = block_around(source.node), block_around(target.node)
        return any(
            side.parent is not None
            and len(met := self._met.get(side, ())) == 1
            and other not in met
            and (other.parent is None or other in self._met)
            for side, other in ((ours, theirs), (theirs, ours))
        )

    def is_spread(self, node: Node) -> bool:
        """Tell whether some of what the block around a module holds is in no block on the other side."""
        return any(other.parent is None for other in self._met.get(block_around(node), ()))

    def verdict(self, source: str, target: str, beside: Collection[str] = ()) -> int:
        """Tell whether two names were found to be a pair (1), each to have another partner here (-1), or neither (0).

        A pair counts only where the names ``beside`` it, those told apart by a number, stood there too: of `w1` and
        `w2` the first need not be what `w1` alone is elsewhere.
        """
        if not self._levels:
            return 0
        if self._pairs[source, target] and self._told_beside(source, target, beside):
            return 1
        kind = self._levels[-1].kind
        return -1 if self._partners.get((kind, f"s {source}")) or self._partners.get((kind, f"t {target}")) else 0

    def _told_beside(self, source: str, target: str, beside: Collection[str]) -> bool:
        if not beside:
            return True
        return any(
            all((kind, f"s {name}") in self._partners or (kind, f"t {name}") in self._partners for name in beside)
            for kind in self._kinds[source, target]
        )


def block_around(node: Node) -> Node:
    """Give the outermost block with a number that a module stands in or is; the root where there is none."""
    found = None
    while node.parent is not None:
        if is_block(node):
            found = node
        node = node.parent
    return found or node


def is_block(node: Node) -> bool:
    """Tell whether a module has a number and holds more than a layer with its norm."""
    return len(node.units) > _LAYER_AND_NORM and node.parent is not None and node.template[-1] != node.path[-1]
