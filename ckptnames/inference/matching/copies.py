"""Two complete copies of one network in a file: teacher and student, query and key encoder, live and averaged.

Names and shapes cannot tell which one is wanted, and a mixture of both is the worst answer. So either the target holds
as many, or its names say which, or none of them is touched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ckptnames.inference.matching.units import Node, Shapes
from ckptnames.inference.naming.words import words

_LEAST_UNITS = 8
_DEEPEST = 4
_NEARLY_ALL = 0.8
"""So much of a copy another one holds too, which may lack a head, or buffers."""
_BEFORE, _NOW = "original_module", "modules_to_save"


class Copies(NamedTuple):
    """Modules of the source that hold the same, or nearly, under names that are told apart by words."""

    nodes: tuple[Node, ...]

    @property
    def are_whole(self) -> bool:
        """Tell whether none of them lacks what another has."""
        return len({node.contents for node in self.nodes}) == 1


def copies_in(source: Node, target: Node) -> list[Copies]:
    """Find copies of a network in the source of which the target has fewer, and does not say which."""
    theirs: dict[int, int] = {}
    for found in _groups(target):
        theirs.update({node.bag: len(found) for node in found})
    asked = {word for node in target.children for word in words(".".join(node.path))}
    copies = []
    for nodes in _groups(source):
        n_wanted = max(theirs.get(node.bag, 0) for node in nodes)
        if n_wanted < len(nodes) and not any(_is_asked(node, nodes, asked) for node in nodes):
            copies.append(Copies(tuple(nodes)))
    return copies


def superseded(root: Node) -> Iterator[Node]:
    """Find what PEFT keeps of modules that were trained whole: as they were before, beside what they are now."""
    stack = [root]
    while stack:
        node = stack.pop()
        stack += node.children
        if node.path[-1:] == (_BEFORE,) and _NOW in _beside(node):
            yield node


def _beside(node: Node) -> set[str]:
    return {child.path[-1] for child in node.parent.children} if node.parent else set()


def _groups(root: Node) -> list[list[Node]]:
    """Group neighbours that hold the same names and shapes, or nearly, the outermost only."""
    found = []
    level = [root]
    for _ in range(_DEEPEST):
        below = []
        for node in level:
            for nodes in _alike([child for child in node.children if len(child.units) >= _LEAST_UNITS]):
                if len({child.template for child in nodes}) > 1:
                    found.append(nodes)
                else:
                    below += nodes
        level = below
    return found


def _alike(nodes: Sequence[Node]) -> Iterable[list[Node]]:
    """Put modules together that hold the same; one of a copy may lack some of it, but not one of a list."""
    same: defaultdict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        same[node.contents].append(node)
    n_alike = Counter(node.template for node in nodes)
    found: list[tuple[frozenset[tuple[str, Shapes]], list[Node]]] = []
    for group in same.values():
        held = frozenset((group[0].below(unit), unit.shapes) for unit in group[0].units)
        near = [
            others
            for other, others in found
            if len(held & other) >= _NEARLY_ALL * max(len(held), len(other))
            and all(n_alike[node.template] == 1 for node in (*group, *others))
        ]
        if near:
            near[0].extend(group)
        else:
            found.append((held, group))
    return [group for _, group in found]


def _is_asked(node: Node, others: list[Node], asked: set[str]) -> bool:
    own = set(words(node.path[-1])).difference(*(words(other.path[-1]) for other in others if other is not node))
    return bool(own & asked)
