"""What stands around a module: its home, lists of blocks beside it, and neighbours of its number."""

from __future__ import annotations

from ckptnames.inference.matching.learned import is_block
from ckptnames.inference.matching.units import Node
from ckptnames.inference.naming.words import content, names_block


def home(node: Node) -> Node | None:
    """Give the innermost module that holds more than this one."""
    above = node.parent
    while above is not None and len(above.units) < 2 and above.parent is not None:
        above = above.parent
    return above


def is_counted_alike(node: Node, other: Node) -> bool:
    """Tell whether two neighbours are of two sorts and have the same number: `conv2`, `bn2`."""
    return node.template != other.template and node.slots == other.slots != (node.parent or node).slots


def is_beside_blocks(node: Node) -> bool:
    """Tell whether a module stands beside a list of blocks."""
    return any(_holds_block(child) for child in (node.parent.children if node.parent else ()) if child is not node)


def is_in_block(node: Node) -> bool:
    """Tell whether the innermost module with a number around another one holds no more such modules."""
    above = node.parent
    while above is not None and not is_block(above):
        above = above.parent
    return above is not None and not any(map(_holds_block, above.children))


def _holds_block(node: Node) -> bool:
    return is_block(node) or any(map(_holds_block, node.children))


def is_before(node: Node, other: Node) -> bool:
    """Tell whether two neighbours are told apart by a number, and which is the lower."""
    return node.template == other.template and node.slots < other.slots


def sort_of(node: Node) -> str:
    """Give the innermost word around a module that says whether it is an attention or a feed-forward block."""
    for segment in reversed(node.path):
        if names_block(segment):
            return segment
        if content(segment):
            break
    return ""
