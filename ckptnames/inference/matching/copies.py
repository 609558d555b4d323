"""Two complete copies of one network in a file: teacher and student, query and key encoder, live and averaged.

Names and shapes cannot tell which one is wanted, and a mixture of both is the worst answer. So either the target holds
as many, or its names say which, or none of them is touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from ckptnames.inference.matching.units import Node
from ckptnames.inference.naming.words import words

_LEAST_UNITS = 8
_DEEPEST = 4
_BEFORE, _NOW = "original_module", "modules_to_save"


class Copies(NamedTuple):
    """Modules of the source that hold the same, under names that are told apart by words."""

    nodes: tuple[Node, ...]


def copies_in(source: Node, target: Node) -> list[Copies]:
    """Find copies of a network in the source of which the target has fewer, and does not say which."""
    theirs = defaultdict(list)
    for found in _groups(target):
        theirs[found[0].bag] = found
    asked = {word for node in target.children for word in words(".".join(node.path))}
    copies = []
    for nodes in _groups(source):
        if len(theirs.get(nodes[0].bag, ())) < len(nodes) and not any(_is_asked(node, nodes, asked) for node in nodes):
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
    """Group neighbours that hold the same names and shapes, the outermost only."""
    found = []
    level = [root]
    for _ in range(_DEEPEST):
        below = []
        for node in level:
            alike: defaultdict[int, list[Node]] = defaultdict(list)
            for child in node.children:
                if len(child.units) >= _LEAST_UNITS:
                    alike[child.contents].append(child)
            for nodes in alike.values():
                if len({child.template for child in nodes}) > 1:
                    found.append(nodes)
                else:
                    below += nodes
        level = below
    return found


def _is_asked(node: Node, others: list[Node], asked: set[str]) -> bool:
    own = set(words(node.path[-1])).difference(*(words(other.path[-1]) for other in others if other is not node))
    return bool(own & asked)
