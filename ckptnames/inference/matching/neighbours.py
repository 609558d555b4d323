"""What stands around a module: the module that holds it, its neighbours, and the rivals of a pair of names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ckptnames.inference.matching.units import Node, numbers_in, template_of
from ckptnames.inference.naming.words import OBJECTION


def counted(names: Iterable[str]) -> dict[str, tuple[tuple[int, ...], frozenset[tuple[int, ...]]]]:
    """Give for each name that differs from others in its numbers only these numbers, and all that there are.

    A name that is counted and one that stands for itself are not the same thing either.
    """
    by_template: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        by_template[template_of(name)].append(name)
    return {
        name: (numbers_in(name), frozenset(map(numbers_in, alike)))
        for alike in by_template.values()
        if len(alike) > 1
        for name in alike
    }


def nearest_rivals(scores: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Give for each pair the best of the others that have one of its names."""
    rows: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for pair, score in scores.items():
        for side, name in enumerate(pair):
            rows[side, name].append(score)
    found = {}
    for pair, score in scores.items():
        best = OBJECTION
        for row in (rows[side, name] for side, name in enumerate(pair)):
            highest = max(row)
            best = max(best, highest if highest > score or row.count(highest) > 1 else _second(row))
        found[pair] = best
    return found


def _second(row: Sequence[float]) -> float:
    return sorted(row)[-2] if len(row) > 1 else OBJECTION


def home(node: Node) -> Node | None:
    """Give the innermost module that holds more than this one."""
    above = node.parent
    while above is not None and len(above.units) < 2 and above.parent is not None:
        above = above.parent
    return above


def is_counted_alike(node: Node, other: Node) -> bool:
    """Tell whether two neighbours are of two sorts and have the same number: `conv2`, `bn2`."""
    return node.template != other.template and node.slots == other.slots != (node.parent or node).slots


def is_before(node: Node, other: Node) -> bool:
    """Tell whether two neighbours are told apart by a number, and which is the lower."""
    return node.template == other.template and node.slots < other.slots


def n_units(nodes: Sequence[Node] | None) -> int:
    """Count the units in modules."""
    return sum(len(node.units) for node in nodes or ())


def n_weights(node: Node) -> int:
    """Count the shapes of the weights in a module, vectors apart."""
    return len({shape for unit in node.units for _, shape in unit.shapes if shape is not None and len(shape) > 1})


def doubles(block: Node) -> float:
    """Tell how many units of a block have a shape that others have too."""
    counted = Counter(unit.shapes for unit in block.units)
    return sum(n * n for n in counted.values()) / max(1, len(block.units))
