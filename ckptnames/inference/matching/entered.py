"""Which blocks were laid over each other already: what belongs together does so where nothing told its parts apart."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.inference.matching.units import Node

Pairs = Sequence[tuple[Node, Node]]


class Entered:
    """Blocks of either side by the blocks of the other that the search went into together with them."""

    def __init__(self) -> None:
        self._partners: dict[Node, Node] = {}

    def note(self, pairs: Pairs) -> None:
        """Note that the search goes into pairs of blocks."""
        self._partners.update(node for a, b in pairs for node in ((a, b), (b, a)))

    def denies(self, pairs: Pairs) -> bool:
        """Tell whether a block of these went with another one before; one that holds it, or that it holds, is none."""
        return any(self._has_other(a, b) or self._has_other(b, a) for a, b in pairs)

    def _has_other(self, node: Node, other: Node) -> bool:
        partner = self._partners.get(node, other)
        depth = min(partner.depth, other.depth)
        return partner.path[:depth] != other.path[:depth]
