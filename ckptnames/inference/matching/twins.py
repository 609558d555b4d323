"""Blocks that hold the same names and shapes as others: what is found for one pair of them holds for all of its twins.

Sixty layers of 256 experts each are one layer with one expert, as far as names go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ckptnames.inference.matching.units import Node, Unit

Pair = tuple[Node, Node]


class Twins:
    """Pairs of blocks of which the first was looked into, each with its twins."""

    def __init__(self) -> None:
        self._found: list[tuple[Pair, Sequence[Pair]]] = []

    def parted(self, pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
        """Part pairs into the first of each sort and their twins, which are remembered."""
        same: dict[tuple[int, int], list[Pair]] = {}
        for source, target in pairs:
            same.setdefault((source.contents, target.contents), []).append((source, target))
        for first, *others in same.values():
            if others:
                self._found.append((first, others))
        return [first for first, *_ in same.values()], [pair for _, *others in same.values() for pair in others]

    def counterparts(self, filled: Mapping[Unit, Unit]) -> Iterator[tuple[Unit, Unit, Unit]]:
        """Give, for each match (target unit to source unit) inside a first pair, those of its twins, inner pairs first.

        Each comes as the twin's source unit, its target unit, and the target unit whose match it repeats. ``filled`` is
        read anew for each pair, so that what is given may be added to it meanwhile.
        """
        for (source, target), others in reversed(self._found):
            places = {unit: at for at, unit in enumerate(_in_order(source))}
            inside = [
                (places[found], at, unit)
                for at, unit in enumerate(_in_order(target))
                if (found := filled.get(unit)) is not None and found in places
            ]
            for ours, theirs in others:
                sources, targets = _in_order(ours), _in_order(theirs)
                yield from ((sources[place], targets[at], unit) for place, at, unit in inside)


def _in_order(node: Node) -> list[Unit]:
    depth = node.depth
    return sorted(node.units, key=lambda unit: unit.path[depth:])
