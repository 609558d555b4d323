"""Private names: in the body of a class ``Net``, Python reads ``__name`` as ``_Net__name``."""

from __future__ import annotations

import ast
import re

_PRIVATE = re.compile(rb"\b__\w*[^\W_]_?\b")


def has_private_names(text: bytes) -> bool:
    """Tell whether a text has names that mean others in the body of a class.

    >>> has_private_names(b"self.__heads = 8"), has_private_names(b"def __init__(self): ...")
    (True, False)
    """
    return _PRIVATE.search(text) is not None


def mangle(tree: ast.Module) -> None:
    """Give private names the ones that they mean."""
    _Mangler().visit(tree)


def written(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """Give the name of a function or class as it stands in the source."""
    found: str = vars(node).get("written", node.name)
    return found


class _Mangler(ast.NodeVisitor):
    """Goes through a file, and knows in which class it is."""

    def __init__(self) -> None:
        self.owner = ""

    def meant(self, name: str) -> str:
        private = name.startswith("__") and not name.endswith("__") and "." not in name
        return f"_{self.owner}{name}" if private and self.owner else name

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            vars(node)["written"] = node.name
            node.name = self.meant(node.name)
        elif isinstance(node, ast.Name):
            node.id = self.meant(node.id)
        elif isinstance(node, ast.Attribute):
            node.attr = self.meant(node.attr)
        elif isinstance(node, ast.arg):
            node.arg = self.meant(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            node.name = self.meant(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            node.rest = self.meant(node.rest)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self.meant(name) for name in node.names]
        elif isinstance(node, ast.alias) and self.meant(node.asname or node.name) != (node.asname or node.name):
            node.asname = self.meant(node.asname or node.name)
        super().generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """What stands above the body of a class belongs to the scope around it."""
        for each in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(each)
        vars(node)["written"] = node.name
        inner = node.name.lstrip("_")
        node.name = self.meant(node.name)
        outer, self.owner = self.owner, inner
        for statement in node.body:
            self.visit(statement)
        self.owner = outer
