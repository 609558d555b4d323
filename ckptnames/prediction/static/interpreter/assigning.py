"""Names and other targets: what is put where."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.items import delete_item, set_item
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.setting import delete_attribute
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.values import Unknown, Value


def assign(machine: Machine, target: ast.expr, value: Value, frame: Frame) -> None:
    """Put a value where a target says: a name, an attribute, an item, or several of them."""
    if isinstance(target, ast.Name):
        names = name_scope(frame, target.id)
        machine.touch(names)
        names[target.id] = value
    elif isinstance(target, ast.Attribute):
        machine.set(machine.eval(target.value, frame), target.attr, value)
    elif isinstance(target, ast.Subscript):
        set_item(machine, machine.eval(target.value, frame), machine.eval(target.slice, frame), value)
    elif isinstance(target, ast.Starred):
        assign(machine, target.value, value, frame)
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(machine, target.elts, value, frame)


def _unpack(machine: Machine, targets: Sequence[ast.expr], value: Value, frame: Frame) -> None:
    try:
        items = list(machine.iterate(value))
    except Unsure as unsure:
        for target in targets:
            assign(machine, target, unsure.why, frame)
        return
    starred = next((n for n, target in enumerate(targets) if isinstance(target, ast.Starred)), None)
    if starred is None:
        if len(items) != len(targets):
            raise machine.raised(ValueError, f"{len(items)} values to unpack, and {len(targets)} names")
    else:
        behind = len(targets) - starred - 1
        if len(items) < len(targets) - 1:
            raise machine.raised(ValueError, f"{len(items)} values to unpack, and {len(targets) - 1} names at least")
        end = len(items) - behind
        items = [*items[:starred], items[starred:end], *items[end:]]
    for target, item in zip(targets, items, strict=True):
        assign(machine, target, item, frame)


def name_scope(frame: Frame, name: str) -> dict[str, Value]:
    """Find the names among which one is bound: those of the scope, or those that ``global`` or ``nonlocal`` says."""
    if frame.scope is not None:
        if name in frame.scope.global_:
            return frame.namespace.vars
        if name in frame.scope.nonlocal_:
            return _nonlocal(frame.parent, name)
    if frame.kind == "comprehension" and frame.parent is not None and name not in frame.extra["own"]:
        return name_scope(frame.parent, name)  # a walrus
    return frame.vars


def _nonlocal(frame: Frame | None, name: str) -> dict[str, Value]:
    at = frame
    while at is not None:
        if name in at.vars and at.kind != "class":
            return at.vars
        at = at.parent
    assert frame is not None
    return frame.vars


def delete(machine: Machine, target: ast.expr, frame: Frame) -> None:
    """Run ``del`` for one target."""
    if isinstance(target, ast.Name):
        names = name_scope(frame, target.id)
        machine.touch(names)
        if names.pop(target.id, None) is None and not isinstance(target, Unknown):
            return
    elif isinstance(target, ast.Attribute):
        delete_attribute(machine, machine.eval(target.value, frame), target.attr)
    elif isinstance(target, ast.Subscript):
        delete_item(machine, machine.eval(target.value, frame), machine.eval(target.slice, frame))
    elif isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            delete(machine, each, frame)
