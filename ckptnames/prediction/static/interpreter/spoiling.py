"""What code that is not followed could have changed is not known afterwards.

It can change what it names, and what can be reached from there. Nothing that it could have changed keeps its value;
that is more than it does change, and never less.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Iterator

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.scopes import bound_by
from ckptnames.prediction.static.signals import Stuck, Unsure
from ckptnames.prediction.static.values import (
    Class,
    Context,
    Function,
    Instance,
    Iterating,
    Method,
    Module,
    Namespace,
    OfValue,
    Partial,
    Super,
    Unknown,
    Value,
)

_COLLECTIONS = (list, dict, set, deque)


def spoil_statement(machine: Machine, statement: ast.stmt, frame: Frame, why: Unknown) -> None:
    """Take all that a statement could have changed for unknown."""
    from ckptnames.prediction.static.interpreter.assigning import assign

    machine.doubts += 1
    # What stopped it may be known to be no module; what it would have set may be one.
    why = why.within()
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        if statement.value is not None:
            spoil_code(machine, statement.value, frame, why)
        try:
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                assign(machine, target, why, frame)
        except (Stuck, Unsure):
            spoil_code(machine, statement, frame, why)
        return
    spoil_code(machine, statement, frame, why)


def spoil_code(machine: Machine, code: ast.AST, frame: Frame, why: Unknown) -> None:
    """Take all that a piece of code could have changed for unknown."""
    named = []
    for node in ast.walk(code):
        for name in bound_by(node):
            _bind(machine, frame, name, why)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            named.append(_value_of(frame, node.id))
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            _spoil_place(machine, node, frame, why)
    spoil(machine, named, why)


def _bind(machine: Machine, frame: Frame, name: str, why: Unknown) -> None:
    at = frame
    if frame.scope is not None and name in frame.scope.global_:
        machine.touch(frame.namespace.vars)
        frame.namespace.vars[name] = why
        return
    while at.parent is not None and at.scope is not None and name in at.scope.nonlocal_:
        at = at.parent
    machine.touch(at.vars)
    at.vars[name] = why


def _spoil_place(machine: Machine, node: ast.Attribute | ast.Subscript, frame: Frame, why: Unknown) -> None:
    """An attribute of a class or of a module is set: those are not spoiled as a whole."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = _value_of(frame, node.value.id)
        names = getattr(owner, "names", None) or getattr(owner, "vars", None)
        if isinstance(names, dict):
            machine.touch(names)
            names[node.attr] = why


def _value_of(frame: Frame, name: str) -> Value:
    at: Frame | None = frame
    while at is not None:
        if name in at.vars:
            return at.vars[name]
        at = at.parent
    return frame.namespace.vars.get(name)


def spoil(machine: Machine, values: Iterable[Value], why: Unknown) -> None:
    """Take what can be reached from values for unknown."""
    stack, met = list(values), set[int]()
    while stack:
        value = stack.pop()
        if id(value) in met or isinstance(value, str | int | float | None):
            continue
        met.add(id(value))
        machine.budget.spend(machine.place)
        stack += _reached(value)
        if isinstance(value, Instance):
            machine.open(value, why, all_of_it=True)
            if isinstance(value.payload, _COLLECTIONS):
                machine.unsure(value.payload, why)
        elif isinstance(value, _COLLECTIONS):
            machine.unsure(value, why)


def _reached(value: Value) -> list[Value]:
    if isinstance(value, Unknown):
        return [value.holder]
    if isinstance(value, Module):
        return [*value.attrs.values(), *value.modules.values()]
    if isinstance(value, Instance):
        return [*value.attrs.values(), value.payload]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    if isinstance(value, Function):
        return list(_seen_by(value))
    if isinstance(value, Method):
        return [value.function, value.instance]
    if isinstance(value, Partial):
        return [value.function, *value.args, *value.kwargs.values()]
    if isinstance(value, OfValue):
        return [value.value]
    if isinstance(value, Super):
        return [value.instance]
    if isinstance(value, Iterating | Context):
        return list(value.frame.vars.values()) if value.frame is not None else []
    return []


def _seen_by(function: Function) -> Iterator[Value]:
    """Give what a function can reach by the names in it."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield _value_of(function.frame, node.id)


def given_away(machine: Machine, values: Iterable[Value], why: Unknown) -> None:
    """Take for unknown what is handed to code that nothing is known of, and what such code was handed before."""
    values = list(values)
    for value in values:
        for each in (
            value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]
        ):
            if isinstance(each, Class):
                machine.taint(each, why)
    machine.given_away += [value for value in values if not _is_harmless(value)]
    if machine.given_away:
        spoil(machine, machine.given_away, why)


def _is_harmless(value: Value) -> bool:
    """Tell whether nothing can be changed by way of a value; functions of a module are not called for their effects."""
    if isinstance(value, Function):
        return value.frame.kind == "module"
    if isinstance(value, Unknown):
        return value.holder is None
    if isinstance(value, Iterating):
        return value.frame is None or value.frame.kind == "comprehension"
    return value is None or isinstance(value, str | int | float | Class | Namespace | type)
