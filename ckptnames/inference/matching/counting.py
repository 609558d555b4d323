"""How much a module holds: units, weights, shapes, and how many of them have others of their kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ckptnames.inference.matching.units import Node, Shapes, Unit


def by_shapes(root: Node) -> dict[Shapes, set[Unit]]:
    """Give the units at and below a module by their shapes."""
    found: defaultdict[Shapes, set[Unit]] = defaultdict(set)
    for unit in root.units:
        found[unit.shapes].add(unit)
    return found


def n_units(nodes: Sequence[Node] | None) -> int:
    """Count the units of some modules."""
    return sum(len(node.units) for node in nodes or ())


def n_weights(node: Node) -> int:
    """Count the shapes of the weights in a module, vectors apart."""
    return len({shape for unit in node.units for _, shape in unit.shapes if shape is not None and len(shape) > 1})


def n_doubles(block: Node) -> float:
    """Tell how many units of a block have a shape that others have too."""
    counted = Counter(unit.shapes for unit in block.units)
    return sum(n * n for n in counted.values()) / max(1, len(block.units))
