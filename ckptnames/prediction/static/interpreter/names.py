"""What a name means where it stands."""

from __future__ import annotations

import ast
import re

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.values import Deferred, Namespace, Value


def value_of(machine: Machine, name: str, frame: Frame, node: ast.AST | None = None) -> Value:
    """Look a name up: in its scope, those around it, its module, and Python itself."""
    at: Frame | None = frame
    while at is not None:
        # What stands in the body of a class is seen by that body alone, not by the functions in it.
        if name in at.vars and (at.kind != "class" or at is frame or _is_within(frame, at)):
            return _found(machine, at.vars, name)
        if at.scope is not None and name in at.scope.global_:
            break
        if at.scope is not None and name in at.scope.own:
            raise _no_name(machine, name, node, frame)
        at = at.parent
    return in_namespace(machine, frame.namespace, name, node, frame)


def _is_within(frame: Frame, cls: Frame) -> bool:
    """Tell whether nothing but comprehensions stands between a scope and the body of a class."""
    at: Frame | None = frame
    while at is not None and at.kind == "comprehension":
        at = at.parent
    return at is cls


def in_namespace(
    machine: Machine, namespace: Namespace, name: str, node: ast.AST | None = None, frame: Frame | None = None
) -> Value:
    """Look a name up in a module, then in Python."""
    from ckptnames.prediction.static.interpreter.imports import from_stars
    from ckptnames.prediction.static.stdlib.builtins import BUILTINS

    if namespace.stars:
        from_stars(machine, namespace, name)
    if name in namespace.vars:
        return _found(machine, namespace.vars, name)
    if name in BUILTINS:
        return BUILTINS[name]
    if namespace.unknown is not None:
        return namespace.unknown
    raise _no_name(machine, name, node, frame)


def _found(machine: Machine, names: dict[str, Value], name: str) -> Value:
    value = names[name]
    if isinstance(value, Deferred):
        from ckptnames.prediction.static.interpreter.imports import follow

        machine.touch(names)
        value = names[name] = follow(machine, value)
    return value


def _no_name(machine: Machine, name: str, node: ast.AST | None, frame: Frame | None) -> Raised:
    raised = machine.raised(NameError, f"name '{name}' is not defined")
    if isinstance(node, ast.expr) and frame is not None:
        where = machine.unknown("", node, frame).place
        return Raised(raised.value, where)
    return raised


def mentions(text: bytes, name: str) -> bool:
    """Tell whether a name stands anywhere in a text.

    >>> mentions(b"from x import Block", "Block"), mentions(b"Blocks", "Block")
    (True, False)
    """
    raw = name.encode()
    return raw in text and re.search(rb"(?<!\w)" + re.escape(raw) + rb"(?!\w)", text) is not None
