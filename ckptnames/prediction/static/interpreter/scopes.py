"""Which names of a function are its own: Python decides that by looking at the whole of it, before it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_OTHER_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a function binds itself, those it takes from around it, and whether it yields."""

    own: frozenset[str]
    global_: frozenset[str]
    nonlocal_: frozenset[str]
    yields: bool


@lru_cache(maxsize=50_000)
def scope_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Scope:
    """Give the scope of a function."""
    arguments = node.args
    own = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    own |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
    global_: set[str] = set()
    nonlocal_: set[str] = set()
    yields = False
    for inner in inside(node.body if isinstance(node.body, list) else [node.body]):
        if isinstance(inner, ast.Global):
            global_.update(inner.names)
        elif isinstance(inner, ast.Nonlocal):
            nonlocal_.update(inner.names)
        elif isinstance(inner, ast.Yield | ast.YieldFrom):
            yields = True
        else:
            own.update(bound_by(inner))
    return Scope(frozenset(own - global_ - nonlocal_), frozenset(global_), frozenset(nonlocal_), yields)


def bound_by(node: ast.AST) -> Iterator[str]:
    """Give the names that a node itself binds, those of its parts left out."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif (isinstance(node, ast.ExceptHandler) and node.name) or (
        isinstance(node, ast.MatchAs | ast.MatchStar) and node.name
    ):
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def inside(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Give every node in the code of a function, and not what stands in functions and classes inside it."""
    stack: list[tuple[ast.AST, bool]] = [(node, False) for node in reversed(nodes)]
    while stack:
        node, comprehended = stack.pop()
        if not (comprehended and isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)):
            yield node
        if isinstance(node, _OTHER_SCOPES):
            stack += [(each, False) for each in _evaluated_outside(node)]
            continue
        within = isinstance(node, ast.comprehension)
        for each in ast.iter_child_nodes(node):
            # A comprehension's own variable is its own; a walrus in it is not.
            is_target = within and isinstance(node, ast.comprehension) and each is node.target
            stack.append((each, is_target or (comprehended and not isinstance(each, ast.NamedExpr))))


def _evaluated_outside(node: ast.AST) -> list[ast.AST]:
    """Give the parts of a function or class that belong to the scope around it."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        found: list[ast.AST] = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        return found + ([] if isinstance(node, ast.Lambda) else list(node.decorator_list))
    return []


@lru_cache(maxsize=50_000)
def leaves(statement: ast.stmt) -> bool:
    """Tell whether a statement may end more than itself: by a return, a yield, or the end of a loop around it."""
    return any(_leaves(statement, in_loop=False))


def _leaves(node: ast.AST, in_loop: bool) -> Iterator[bool]:
    if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom):
        yield True
    elif isinstance(node, ast.Break | ast.Continue):
        yield not in_loop
    elif not isinstance(node, _OTHER_SCOPES):
        inner = in_loop or isinstance(node, ast.For | ast.While)
        for each in ast.iter_child_nodes(node):
            yield from _leaves(each, inner)
