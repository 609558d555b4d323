"""Units that go together, one group in each block, and the form in which their shapes are compared."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import prod
from operator import attrgetter
from typing import NamedTuple

from ckptnames.inference.matching.columns import Column
from ckptnames.inference.matching.units import Node, Shapes, Unit, all_known

_VARIED = 3
"""So many shapes in a row are hardly found elsewhere."""

_MARKS = re.compile(r"([^#]*)(#?)")

Form = Callable[[Unit], Shapes]
exact: Form = attrgetter("shapes")
"""The shapes as they are."""


class Group(NamedTuple):
    """Units that go together: for each block those of one name, or of one column."""

    name: str
    units: tuple[tuple[Unit, ...], ...]
    is_inside: bool
    """True below blocks, False below the root."""

    def shapes(self, form: Form) -> tuple[tuple[Shapes, ...], ...]:
        """Give the shapes of all units, in a form in which they are compared."""
        return tuple(tuple(form(unit) for unit in units) for units in self.units)

    @property
    def all(self) -> Iterator[Unit]:
        """All units, block by block."""
        return (unit for units in self.units for unit in units)


def squeezed(unit: Unit) -> Shapes:
    """Give the shapes of a unit without what has the length one: a convolution of 1 x 1 is a linear layer."""
    return tuple(
        [(role, None if shape is None else tuple([size for size in shape if size != 1])) for role, shape in unit.shapes]
    )


def hold_the_same(sources: Sequence[Node], targets: Sequence[Node], form: Form) -> bool:
    """Tell whether blocks hold the same shapes, in that form, one by one."""
    return all(
        all_known(target.units) and Counter(map(form, source.units)) == Counter(map(form, target.units))
        for source, target in zip(sources, targets, strict=True)
    )


def group_of(column: Column, is_inside: bool) -> Group | None:
    """Make a group of a column of leaf modules, of which at least one block has several."""
    if max(map(len, column.lists), default=0) < 2 or any(
        len(node.units) != 1 or node.unit is None for node in column.nodes
    ):
        return None
    units = tuple(tuple(node.units[0] for node in nodes) for nodes in column.lists)
    return Group(_with_numbers(column), units, is_inside)


def _with_numbers(column: Column) -> str:
    """Write the numbers that belong to a word, and are the same in all members, back into the name of a column.

    `norm1` of all blocks is not what `norm2` of all blocks is.
    """
    n_slots = column.name.count("#")
    if n_slots > len(column.nodes[0].slots):
        return column.name  # The sign stands in the name itself.
    numbers = [set(values) for values in zip(*(node.slots[-n_slots:] for node in column.nodes), strict=True)]
    at = count()

    def written(mark: re.Match[str]) -> str:
        values = numbers[next(at)]
        return str(min(values)) if mark[1][-1:].isalpha() and len(values) == 1 else "#"

    return "".join(f"{mark[1]}{written(mark)}" if mark[2] else mark[1] for mark in _MARKS.finditer(column.name))


def is_varied(group: Group) -> bool:
    """Tell whether units have several shapes between them: hardly any others would have the same."""
    return len({unit.shapes for unit in group.all}) >= _VARIED


def is_uniform(group: Group) -> bool:
    """Tell whether it is a list of which the members hold the same, so that it could be counted from either end."""
    for units in group.units:
        columns = zip(*(unit.node.slots for unit in units), strict=True)
        at = next((at for at, numbers in enumerate(columns) if len(set(numbers)) > 1), None)
        if at is None:
            return False
        members: defaultdict[int, list[Shapes]] = defaultdict(list)
        for unit in units:
            members[unit.node.slots[at]].append(unit.shapes)
        if len(set(map(tuple, members.values()))) > 1:
            return False
    return True


def is_distinctive(group: Group) -> bool:
    """Tell whether there is more than vectors: few others would have such shapes by chance."""
    return any(shape is not None and len(shape) > 1 for unit in group.all for _, shape in unit.shapes)


def is_vector(group: Group) -> bool:
    """Tell whether each unit is one vector or number on its own."""
    return all(len(unit.shapes) == 1 for unit in group.all) and not is_distinctive(group)


def fit_in_part(source: Group, target: Group) -> bool:
    """Tell whether in most blocks some parameter has one shape on both sides, or a weight as many elements."""
    both = [
        (a, b)
        for some, others in zip(source.units, target.units, strict=True)
        for a, b in zip(some, others, strict=False)
    ]
    n_targets = sum(map(len, target.units))
    return bool(both) and 2 * len(both) >= n_targets and all(_agree_in_part(a, b) for a, b in both)


def _agree_in_part(source: Unit, target: Unit) -> bool:
    weight, other = source.shape("weight"), target.shape("weight")
    if weight is not None and other is not None and prod(weight) != prod(other):
        return False
    shapes = dict(source.shapes)
    return any(shapes.get(role) == shape for role, shape in target.shapes) or (weight is not None and other is not None)
