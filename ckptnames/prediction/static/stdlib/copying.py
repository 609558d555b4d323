"""``copy.copy`` and ``copy.deepcopy``."""

from __future__ import annotations

from collections import deque

from ckptnames.prediction.static.interpreter.items import Defaulting
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.stdlib.table import known
from ckptnames.prediction.static.values import Function, Instance, Iterating, Module, Names, Partial, Tensor, Value

_IN_MODULES = ("attrs", "params", "buffers", "modules", "fleeting")


@known("copy.deepcopy")
def deep_copy(machine: Machine, value: Value, memo: Value = None) -> Value:
    """Copy a value and all in it; what is shared inside stays shared."""
    return _deep(machine, value, {})


def _deep(machine: Machine, value: Value, memo: dict[int, Value]) -> Value:
    if value is None or isinstance(value, str | int | float):
        return value
    if id(value) in memo:
        return memo[id(value)]
    machine.budget.spend(machine.place)
    if isinstance(value, Iterating):
        raise Unsure(machine.unknown("the copy of an iterator is not followed"))
    if isinstance(value, Tensor):
        found: Value = machine.torch.clone(value)
    elif isinstance(value, Instance):
        return _instance(machine, value, memo)
    elif isinstance(value, dict | list | set | deque):
        return _collection(machine, value, memo)
    elif isinstance(value, tuple) and type(value) is tuple:
        found = tuple(_deep(machine, each, memo) for each in value)
    elif isinstance(value, Partial):
        args = tuple(_deep(machine, each, memo) for each in value.args)
        found = Partial(value.function, args, {name: _deep(machine, each, memo) for name, each in value.kwargs.items()})
    else:
        return value
    memo[id(value)] = found
    return found


def _collection(machine: Machine, value: Value, memo: dict[int, Value]) -> Value:
    why = machine.is_unsure(value)
    found = memo[id(value)] = type(value)() if not isinstance(value, Defaulting) else Defaulting()
    if isinstance(found, Defaulting):
        found.factory = value.factory
    if why is not None:
        machine.unsure(found, why)
    if isinstance(value, dict):
        found.update({_deep(machine, k, memo): _deep(machine, v, memo) for k, v in value.items()})
    else:
        getattr(found, "update" if isinstance(value, set) else "extend")([_deep(machine, each, memo) for each in value])
    return found


def _instance(machine: Machine, value: Instance, memo: dict[int, Value]) -> Value:
    custom = value.cls.look_up("__deepcopy__")
    if custom is not None and isinstance(custom[1], Function):
        found = memo[id(value)] = machine.call(machine.get(value, "__deepcopy__"), [{}])
        return found
    if "members" in value.cls.known:
        return value
    if isinstance(value, Module):
        return _module(machine, value, memo)
    found = memo[id(value)] = Instance(value.cls, opened=value.opened)
    found.attrs = Names({name: _deep(machine, each, memo) for name, each in value.attrs.items()})
    found.payload = _deep(machine, value.payload, memo)
    return found


def _module(machine: Machine, value: Module, memo: dict[int, Value]) -> Module:
    found = Module(value.cls, sites=dict(value.sites), ready=value.ready, extra=value.extra, opened=value.opened)
    memo[id(value)] = found
    for names in _IN_MODULES:
        copied = {name: _deep(machine, each, memo) for name, each in getattr(value, names).items()}
        setattr(found, names, Names(copied))
    found.__post_init__()
    return found


@known("copy.copy")
def shallow_copy(machine: Machine, value: Value) -> Value:
    """Copy a value, and nothing in it."""
    if isinstance(value, dict | list | set | deque):
        copied = value.copy()
        why = machine.is_unsure(value)
        if why is not None:
            machine.unsure(copied, why)
        return copied
    if isinstance(value, Module):
        found = Module(value.cls, sites=dict(value.sites), ready=value.ready, extra=value.extra, opened=value.opened)
        for names in _IN_MODULES:
            # What is registered stays in the same dicts, as Python leaves it.
            setattr(found, names, getattr(value, names) if names != "attrs" else Names(value.attrs))
        return found
    if isinstance(value, Instance) and "members" not in value.cls.known:
        payload = value.payload.copy() if hasattr(value.payload, "copy") else value.payload
        return Instance(value.cls, Names(value.attrs), payload, value.opened)
    return value
