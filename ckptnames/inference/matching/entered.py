"""Which blocks were laid over each other already: a block goes with one other, also where that told nothing inside.

Where `attn` was laid over `attention` and all of it stayed open, it is not tried with `mlp` of the same shapes next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ckptnames.inference.matching.units import Node

Pairs = Sequence[tuple[Node, Node]]


class Entered:
    """Blocks of either side by the blocks of the other that the search went into together with them."""

    def __init__(self) -> None:
        self._partners: dict[Node, Node] = {}

    def note(self, pairs: Pairs) -> None:
        """Note that the search goes into pairs of blocks."""
        for a, b in _outermost(pairs):
            self._partners[a], self._partners[b] = b, a

    def denies(self, pairs: Pairs) -> bool:
        """Tell whether a block of these went with another one before."""
        return any(self._partners.get(a, b) is not b or self._partners.get(b, a) is not a for a, b in _outermost(pairs))


def _outermost(pairs: Pairs) -> Iterator[tuple[Node, Node]]:
    """Give for each module the outermost one that holds nothing besides: levels that add nothing are one block."""
    return ((_filled_by(a), _filled_by(b)) for a, b in pairs)


def _filled_by(node: Node) -> Node:
    while node.parent is not None and len(node.parent.units) == len(node.units):
        node = node.parent
    return node
