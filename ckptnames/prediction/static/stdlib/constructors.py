"""Calling Python's own types: ``list(x)``, ``int("3")``, ``ValueError("…")``."""

from __future__ import annotations

import types
from collections import OrderedDict, deque
from typing import Any

from ckptnames.prediction.static.budget import check_length
from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.functions import as_keywords
from ckptnames.prediction.static.interpreter.items import hashable, in_any_order, is_concrete, unknown_in
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import text_of
from ckptnames.prediction.static.interpreter.registries import made_empty
from ckptnames.prediction.static.interpreter.spoiling import given_away
from ckptnames.prediction.static.signals import Raised, Unsure
from ckptnames.prediction.static.values import Instance, Method, Tensor, Unknown, Value

_COLLECTED: dict[type, Any] = {list: list, tuple: tuple, set: set, frozenset: frozenset, deque: deque}
_MAPPINGS: dict[type, Any] = {dict: dict, OrderedDict: OrderedDict}
_COMPUTED = (int, float, complex, bytes, bytearray, slice)


def construct(machine: Machine, kind: type, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Make a value of one of Python's own types."""
    if kind in _COLLECTED:
        return _collected(machine, kind, args)
    if kind in _MAPPINGS:
        return _mapping(machine, kind, args, kwargs)
    if kind is bool:
        found = machine.truth(args[0]) if args else False
        return found.as_plain() if isinstance(found, Unknown) else found
    if kind is str:
        return text_of(machine, args[0]) if args else ""
    if kind is object:
        return Instance(machine.class_of(object))
    if kind is range:
        from ckptnames.prediction.static.stdlib.builtins import _range

        return _range(machine, *args)
    if kind in _COMPUTED:
        return _computed(machine, kind, args, kwargs)
    if issubclass(kind, BaseException):
        return kind(*[arg if isinstance(arg, str | int | float | None) else "…" for arg in args])
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        try:
            return kind(*args, **kwargs)
        except TypeError as error:
            raise Raised(error, machine.place) from None
    if kind is types.MethodType and len(args) == 2:
        return Method(*args)
    why = machine.unknown(f"making a '{kind.__name__}' is not followed")
    given_away(machine, [*args, *kwargs.values()], why)
    return why


def _collected(machine: Machine, kind: type, args: list[Value]) -> Value:
    make = _COLLECTED[kind]
    if not args:
        return made_empty(machine, make())
    items: list[Value] = []
    try:
        any_order = kind in (set, frozenset)
        for item in in_any_order(machine, args[0]) if any_order else machine.iterate(args[0]):
            items.append(hashable(machine, item) if any_order else item)
            check_length(len(items), machine.place)
            machine.budget.left -= 1
            if machine.budget.left < 0:
                machine.budget.exhausted(machine.place)
    except Unsure as unsure:
        if kind is tuple or kind is frozenset:
            return unsure.why
        found = make()
        machine.unsure(found, unsure.why)
        return found
    return make(items)


def _mapping(machine: Machine, kind: type, args: list[Value], kwargs: dict[str, Value]) -> Value:
    found = _MAPPINGS[kind]()
    try:
        if args:
            found.update(_pairs(machine, args[0]))
    except Unsure as unsure:
        machine.unsure(found, unsure.why)
    found.update(kwargs)
    return made_empty(machine, found)


def _pairs(machine: Machine, value: Value) -> dict[Value, Value]:
    inner = value.payload if isinstance(value, Instance) and value.payload is not None else value
    if isinstance(inner, dict):
        return as_keywords(machine, value)
    if isinstance(value, Instance) and machine.find(value, "keys", MISSING) is not MISSING:
        return as_keywords(machine, value)
    found = {}
    for pair in machine.iterate(value):
        items = list(machine.iterate(pair))
        if len(items) != 2:
            raise machine.raised(ValueError, "what makes a dict is not made of pairs")
        found[hashable(machine, items[0])] = items[1]
    return found


def _computed(machine: Machine, kind: type, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if args and isinstance(args[0], Tensor):
        return machine.torch.number(machine, args[0], kind)
    if args and isinstance(args[0], Instance) and args[0].payload is None:
        method = {int: "__int__", float: "__float__"}.get(kind, "")
        if method and args[0].cls.look_up(method) is not None:
            return machine.call(machine.get(args[0], method))
    values = [*args, *kwargs.values()]
    if not all(is_concrete(machine, value) for value in values):
        return unknown_in(machine, values).as_plain()
    bare = [value.payload if isinstance(value, Instance) else value for value in args]
    if kind in (bytes, bytearray) and bare and isinstance(bare[0], int):
        check_length(bare[0], machine.place)
    if kind is int and bare and isinstance(bare[0], str):
        check_length(len(bare[0]) * 1000, machine.place)
    try:
        return kind(*bare, **kwargs)
    except (TypeError, ValueError, OverflowError) as error:
        raise Raised(error, machine.place) from None
