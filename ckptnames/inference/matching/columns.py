"""Columns: the modules of one template below corresponding blocks, in the order of their numbers.

A column is compared as a whole, by the shapes that its modules hold. Where it holds modules of several kinds, or has
a number that could be a name (``conv1``, ``conv2``), its parts are columns too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations, count
from re import sub

from ckptnames.inference.matching.units import Node, Structure

_MOST_FIXED = 2
_MOST_VALUES = 16
_MOST_PARTS = 40
_MOST_KINDS = 6
_ALIKE = 0.5

Lists = tuple[tuple[Node, ...], ...]
"""For each block the modules in it."""

_VARIED = 3
"""So many shapes in a row are hardly found elsewhere."""


class Column:
    """A name with ``#`` where numbers vary, and for each block its modules; ``is_whole`` where nothing was left out."""

    def __init__(self, name: str, lists: Lists, is_whole: bool, is_of_kind: bool = False) -> None:
        self.name = name
        self.lists = lists
        self.is_whole = is_whole
        self.is_of_kind = is_of_kind
        """True for the modules of one kind, where the column has several."""
        self.nodes = tuple(node for nodes in lists for node in nodes)
        """All modules, block by block."""

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """How many modules there are in each block."""
        return tuple(map(len, self.lists))

    @cached_property
    def bags(self) -> tuple[tuple[int, ...], ...]:
        """What the modules hold, by shape."""
        return tuple(tuple([node.bag for node in nodes]) for nodes in self.lists)

    @cached_property
    def n_units(self) -> int:
        """How many units the modules hold."""
        return sum([len(node.units) for node in self.nodes])

    @cached_property
    def holds_blocks(self) -> bool:
        """Tell whether some of the modules have others in them."""
        return any(len(node.units) > 1 for node in self.nodes)


def columns_below(blocks: Sequence[Node]) -> list[Column]:
    """Give every column below the blocks whose modules are not matched yet, and the parts of each."""
    by_template: dict[str, list[list[Node]]] = {}
    base = len(blocks[0].slots)
    for number, block in enumerate(blocks):
        stack = list(block.children)
        while stack:
            node = stack.pop()
            if not node.left:
                continue
            if len(node.slots) > base:
                template = ".".join(node.template[block.depth :])
                by_template.setdefault(template, [[] for _ in blocks])[number].append(node)
            stack.extend(node.children)
    found = []
    for template, lists in by_template.items():
        for nodes in lists:
            nodes.sort(key=lambda node: node.slots)
        found += [column for column in _parts(template, lists, base) if column.nodes]
    return found


def modules_below(blocks: Sequence[Node]) -> dict[str, tuple[Node, ...]]:
    """Give each module below the blocks that no number leads to, where every block has it and none of it is matched."""
    base = len(blocks[0].slots)
    by_path: dict[str, list[Node]] = {}
    for block in blocks:
        stack = [child for child in block.children if len(child.slots) == base]
        while stack:
            node = stack.pop()
            stack.extend(child for child in node.children if len(child.slots) == base)
            if node.is_fresh and len(node.units) > max([1, *(len(child.units) for child in node.children)]):
                by_path.setdefault(".".join(node.path[block.depth :]), []).append(node)
    return {path: tuple(nodes) for path, nodes in by_path.items() if len(nodes) == len(blocks)}


def _parts(template: str, lists: Sequence[Sequence[Node]], base: int) -> Iterator[Column]:
    yield from _by_kind(template, _fresh(lists), True)
    slots = [node.slots for nodes in lists for node in nodes]
    values = [Counter(found[at] for found in slots) for at in range(base, len(slots[0]))]
    varying = [at for at, counted in enumerate(values) if 1 < len(counted) <= _MOST_VALUES]
    for n_fixed in range(1, _MOST_FIXED + 1):
        for fixed in combinations(varying, n_fixed):
            chosen = sorted({tuple(found[base + at] for at in fixed) for found in slots})
            if len(chosen) > _MOST_PARTS:
                continue
            for numbers in chosen:
                part = [
                    [node for node in nodes if tuple(node.slots[base + at] for at in fixed) == numbers]
                    for nodes in lists
                ]
                yield from _by_kind(_written(template, dict(zip(fixed, numbers, strict=True))), _fresh(part), False)


def _fresh(lists: Sequence[Sequence[Node]]) -> Lists:
    return tuple(tuple(node for node in nodes if node.is_fresh) for nodes in lists)


def _written(template: str, numbers: dict[int, int]) -> str:
    """Write a template with some of its numbers filled in.

    >>> _written("conv#.#", {0: 1})
    'conv1.#'
    """
    at = count()
    return sub("#", lambda _: (lambda n: str(numbers[n]) if n in numbers else "#")(next(at)), template)


def _by_kind(name: str, lists: Lists, is_whole: bool) -> Iterator[Column]:
    """Give the modules together, and those of each kind apart where there are several kinds."""
    yield Column(name, lists, is_whole)
    kinds = _kinds([node for nodes in lists for node in nodes])
    if 1 < len(kinds) <= _MOST_KINDS:
        for kind in kinds:
            yield Column(name, tuple(tuple(n for n in nodes if id(n) in kind) for nodes in lists), False, True)


def _kinds(nodes: Sequence[Node]) -> list[set[int]]:
    """Put modules together whose structure is alike; sizes do not count."""
    builds: dict[int, list[Node]] = {}
    for node in nodes:
        builds.setdefault(node.build, []).append(node)
    if len(builds) < 2:
        return []
    groups: list[tuple[Structure, set[int]]] = []
    for alike in builds.values():
        structure = alike[0].structure
        for first, group in groups:
            if len(first & structure) >= _ALIKE * len(first | structure):
                group.update(map(id, alike))
                break
        else:
            groups.append((structure, set(map(id, alike))))
    return [group for _, group in groups]


def are_layers(column: Column) -> bool:
    """Tell whether each module of a column is a leaf module."""
    return all(node.unit and len(node.units) == 1 for node in column.nodes)


def part_of(ours: Column, theirs: Column) -> list[tuple[Sequence[Node], Sequence[Node]]] | None:
    """Find each list in the other side's, in one place only; ``None`` where one of them is not there."""
    found: list[tuple[Sequence[Node], Sequence[Node]]] = []
    for some, others in zip(ours.lists, theirs.lists, strict=True):
        short, long = sorted((some, others), key=len)
        shapes = [node.bag for node in short]
        if len(set(shapes)) < _VARIED or len(short) == len(long):
            return None
        at = [n for n in range(len(long) - len(short) + 1) if [node.bag for node in long[n : n + len(short)]] == shapes]
        if len(at) != 1:
            return None
        part = long[at[0] : at[0] + len(short)]
        found.append((short, part) if short is some else (part, short))
    return found
