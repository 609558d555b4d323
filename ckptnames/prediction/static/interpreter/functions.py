"""Functions of the program: making them, and giving their arguments their names."""

from __future__ import annotations

import ast

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised, Unsure
from ckptnames.prediction.static.sources.mangling import written
from ckptnames.prediction.static.values import ClassMethod, Function, Instance, Names, StaticMethod, Unknown, Value

_Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_BY_NATURE = {"__init_subclass__": ClassMethod, "__class_getitem__": ClassMethod, "__new__": StaticMethod}


def made(machine: Machine, node: _Node, name: str, frame: Frame) -> Function:
    """Make a function: its defaults are evaluated now."""
    defaults = [machine.eval(each, frame) for each in node.args.defaults]
    by_name = {
        arg.arg: machine.eval(default, frame)
        for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if default is not None
    }
    return Function(node, name, frame, defaults, by_name)


def define(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
    """Run a ``def``, its decorators included."""
    from ckptnames.prediction.static.interpreter.assigning import name_scope

    decorators = [machine.eval(each, frame) for each in node.decorator_list]
    value: Value = made(machine, node, written(node), frame)
    if frame.kind == "class" and node.name in _BY_NATURE and not decorators:
        value = _BY_NATURE[node.name](value)
    frame.line = node.lineno
    for decorator in reversed(decorators):
        value = machine.call(decorator, [value])
    names = name_scope(frame, node.name)
    machine.touch(names)
    names[node.name] = value


def bind(machine: Machine, function: Function, args: list[Value], kwargs: dict[str, Value]) -> dict[str, Value]:
    """Give each argument its name. Raises ``Raised`` where they do not fit."""
    spec = function.node.args
    positional = [*spec.posonlyargs, *spec.args]
    names: dict[str, Value] = Names()
    left = dict(kwargs)
    for arg, value in zip(positional, args, strict=False):
        names[arg.arg] = value
    if len(args) > len(positional) and spec.vararg is None:
        raise _misfit(machine, function, f"takes {len(positional)} positional arguments but {len(args)} were given")
    if spec.vararg is not None:
        names[spec.vararg.arg] = tuple(args[len(positional) :])
    by_position_only = {arg.arg for arg in spec.posonlyargs}
    for arg in (*positional, *spec.kwonlyargs):
        if arg.arg in left and arg.arg not in by_position_only:
            if arg.arg in names:
                raise _misfit(machine, function, f"got multiple values for argument '{arg.arg}'")
            names[arg.arg] = left.pop(arg.arg)
    for arg, default in zip(reversed(positional), reversed(function.defaults), strict=False):
        names.setdefault(arg.arg, default)
    for name, default in function.keyword_defaults.items():
        names.setdefault(name, default)
    missing = [arg.arg for arg in (*positional, *spec.kwonlyargs) if arg.arg not in names]
    if missing:
        raise _misfit(machine, function, f"missing required argument: '{missing[0]}'")
    if spec.kwarg is not None:
        names[spec.kwarg.arg] = left
    elif left:
        raise _misfit(machine, function, f"got an unexpected keyword argument '{next(iter(left))}'")
    return names


def _misfit(machine: Machine, function: Function, what: str) -> Raised:
    return machine.raised(TypeError, f"{function.name}() {what}")


def as_keywords(machine: Machine, value: Value) -> dict[str, Value]:
    """Give the items of what stands behind two stars. Raises ``Unsure``, ``Raised``."""
    if isinstance(value, Unknown):
        raise Unsure(value)
    if isinstance(value, Instance):
        if value.cls.look_up("keys") is not None:
            keys = list(machine.iterate(machine.call(machine.get(value, "keys"))))
            return {key: machine.call(machine.get(value, "__getitem__"), [key]) for key in keys}
        if (why := value.opened or value.cls.unknown) is not None:
            raise Unsure(why)
        value = value.payload
    if not isinstance(value, dict):
        raise machine.raised(TypeError, "what stands behind '**' must be a mapping")
    machine.check(value)
    return dict(value)
