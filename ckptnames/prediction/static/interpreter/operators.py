"""Operators, comparisons, truth and text of values."""

from __future__ import annotations

import ast
import operator
import re
from collections import deque
from typing import Any

from ckptnames.prediction.static.budget import MOST_BITS, check_length, check_number
from ckptnames.prediction.static.interpreter.attributes import MISSING, look_up
from ckptnames.prediction.static.interpreter.items import (
    COLLECTIONS,
    SCALARS,
    compares_itself,
    hashable,
    is_concrete,
    iterate,
    unknown_in,
)
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.registries import looked_into
from ckptnames.prediction.static.signals import Raised, Unsure
from ckptnames.prediction.static.values import (
    Class,
    Instance,
    KnownModule,
    Module,
    Names,
    Tensor,
    Token,
    Unknown,
    Value,
)

_BINARY: dict[type[ast.operator], tuple[str, Any]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("sub", operator.sub),
    ast.Mult: ("mul", operator.mul),
    ast.Div: ("truediv", operator.truediv),
    ast.FloorDiv: ("floordiv", operator.floordiv),
    ast.Mod: ("mod", operator.mod),
    ast.Pow: ("pow", operator.pow),
    ast.MatMult: ("matmul", operator.matmul),
    ast.LShift: ("lshift", operator.lshift),
    ast.RShift: ("rshift", operator.rshift),
    ast.BitAnd: ("and", operator.and_),
    ast.BitOr: ("or", operator.or_),
    ast.BitXor: ("xor", operator.xor),
}
_COMPARE: dict[type[ast.cmpop], tuple[str, str, Any]] = {
    ast.Eq: ("__eq__", "__eq__", operator.eq),
    ast.NotEq: ("__ne__", "__ne__", operator.ne),
    ast.Lt: ("__lt__", "__gt__", operator.lt),
    ast.LtE: ("__le__", "__ge__", operator.le),
    ast.Gt: ("__gt__", "__lt__", operator.gt),
    ast.GtE: ("__ge__", "__le__", operator.ge),
}
_UNARY: dict[type[ast.unaryop], tuple[str, Any]] = {
    ast.USub: ("__neg__", operator.neg),
    ast.UAdd: ("__pos__", operator.pos),
    ast.Invert: ("__invert__", operator.invert),
}
_ERRORS = (ArithmeticError, TypeError, ValueError, LookupError)
_WIDE = re.compile(r"\d{4,}")


def binary(machine: Machine, op: ast.operator, left: Value, right: Value, *, in_place: bool = False) -> Value:
    """Apply an operator with two sides; ``in_place`` for ``+=`` and its like."""
    name, function = _BINARY[type(op)]
    return apply(machine, name, function, left, right, in_place=in_place)


def apply(machine: Machine, name: str, function: Any, left: Value, right: Value, *, in_place: bool = False) -> Value:
    """Apply an operator by its name, as in ``__add__``, and by Python's own function for it."""
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _of_numbers(machine, name, function, left, right)
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return machine.torch.operator(machine, name, left, right, in_place=in_place)
    for side, other, method in ((left, right, f"__{name}__"), (right, left, f"__r{name}__")):
        if isinstance(side, Instance):
            found = _by_method(machine, side, f"__i{name}__", other) if in_place and side is left else MISSING
            found = _by_method(machine, side, method, other) if found is MISSING else found
            if found is not MISSING:
                return found
    left, right = _bare(left), _bare(right)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        why = left if isinstance(left, Unknown) else right
        if in_place and isinstance(left, list | dict | set | deque):
            machine.unsure(left, why)
        plain = all(isinstance(v, SCALARS) or (isinstance(v, Unknown) and v.plain) for v in (left, right))
        return why.as_plain() if plain else why.within((left, right))
    if name == "or" and all(isinstance(side, type | Class | Token | None) for side in (left, right)):
        return Token("a union of types")
    if in_place and isinstance(left, list) and name == "add":
        machine.touch(left)
        try:
            left.extend(list(iterate(machine, right)))
        except Unsure as unsure:
            machine.unsure(left, unsure.why)
        check_length(len(left), machine.place)
        return left
    return _of_collections(machine, name, function, left, right, in_place)


def _of_numbers(machine: Machine, name: str, function: Any, left: Any, right: Any) -> Value:
    if name == "pow" and isinstance(right, int) and isinstance(left, int):
        if left.bit_length() * abs(right) > MOST_BITS:
            raise machine.stuck("a number of thousands of digits is not computed with")
    elif name == "lshift" and isinstance(right, int) and right > MOST_BITS:
        raise machine.stuck("a number of thousands of digits is not computed with")
    try:
        found = function(left, right)
    except _ERRORS as error:
        raise Raised(error, machine.place) from None
    check_number(found, machine.place)
    return found


def _of_collections(machine: Machine, name: str, function: Any, left: Value, right: Value, in_place: bool) -> Value:
    machine.check(left)
    machine.check(right)
    if isinstance(left, str) and name == "mod":
        return _percent(machine, left, right)
    if not _may_be_computed(machine, left) or not _may_be_computed(machine, right):
        kinds = f"'{_kind(left)}' and '{_kind(right)}'"
        raise machine.raised(TypeError, f"unsupported operand types: {kinds}")
    if name == "mul":
        n, items = (left, right) if isinstance(left, int) else (right, left)
        if isinstance(n, int) and hasattr(items, "__len__"):
            check_length(n * len(items), machine.place)
    elif name == "add" and hasattr(left, "__len__") and hasattr(right, "__len__"):
        check_length(len(left) + len(right), machine.place)
    if hasattr(left, "__len__"):
        machine.budget.spend(machine.place, len(left))
    try:
        if in_place and isinstance(left, dict | set):
            machine.touch(left)
            left |= right
            return left
        return function(left, right)
    except _ERRORS as error:
        raise Raised(error, machine.place) from None


def _may_be_computed(machine: Machine, value: Value) -> bool:
    return isinstance(value, (*SCALARS, *COLLECTIONS)) or machine.torch.is_array(value) or is_concrete(machine, value)


def _percent(machine: Machine, form: str, right: Value) -> Value:
    if not is_concrete(machine, right):
        return unknown_in(machine, [right]).as_plain()
    if _WIDE.search(form) or "*" in form:
        raise machine.stuck("a text of that width is not made")
    try:
        return form % right
    except _ERRORS as error:
        raise Raised(error, machine.place) from None


def _bare(value: Value) -> Value:
    return value.payload if isinstance(value, Instance) and value.payload is not None else value


def _kind(value: Value) -> str:
    return value.cls.name if isinstance(value, Instance) else type(value).__name__


def _by_method(machine: Machine, value: Instance, method: str, *args: Value) -> Value:
    found = value.cls.look_up(method)
    if found is None or found[0].builtin is not None:
        if found is None and value.cls.unknown is not None:
            return value.cls.unknown
        return MISSING
    result = machine.call(look_up(machine, value, method), args)
    return MISSING if result is NotImplemented else result


def unary(machine: Machine, op: ast.unaryop, value: Value) -> Value:
    """Apply an operator with one side; ``not`` is a matter of truth."""
    method, function = _UNARY[type(op)]
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Tensor):
        return machine.torch.method(machine, value, method, [], {})
    if isinstance(value, Instance):
        found = _by_method(machine, value, method)
        if found is not MISSING:
            return found
    value = _bare(value)
    if not (isinstance(value, SCALARS) or machine.torch.is_array(value)):
        raise machine.raised(TypeError, f"bad operand type for unary operator: '{_kind(value)}'")
    try:
        return function(value)
    except _ERRORS as error:
        raise Raised(error, machine.place) from None


def compare(machine: Machine, op: ast.cmpop, left: Value, right: Value) -> Value:
    """Compare two values."""
    if isinstance(op, ast.Is | ast.IsNot):
        same = is_same(machine, left, right)
        return same if isinstance(same, Unknown) else same == isinstance(op, ast.Is)
    if isinstance(op, ast.In | ast.NotIn):
        within = contains(machine, right, left)
        return within if isinstance(within, Unknown) else within == isinstance(op, ast.In)
    method, reflected, function = _COMPARE[type(op)]
    return compared(machine, method, reflected, function, left, right)


def is_same(machine: Machine, left: Value, right: Value) -> bool | Unknown:
    """Tell whether two values are one object."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Unknown):
            # A value that is no module is none of those either.
            if one.plain and isinstance(other, Module | Class):
                return False
            return one.as_plain()
    if isinstance(left, type) or isinstance(right, type):
        return _as_type(left) is _as_type(right)
    if isinstance(left, KnownModule) and isinstance(right, KnownModule):
        return left.name == right.name
    return left is right or (isinstance(left, int | str) and type(left) is type(right) and left == right)


def _as_type(value: Value) -> Value:
    return value.builtin if isinstance(value, Class) and value.builtin is not None else value


def equal(machine: Machine, left: Value, right: Value) -> Value:
    """Tell whether two values are equal."""
    return compared(machine, "__eq__", "__eq__", operator.eq, left, right)


def compared(machine: Machine, method: str, reflected: str, function: Any, left: Value, right: Value) -> Value:
    """Compare two values by the methods of their classes, or as Python compares its own."""
    if isinstance(left, SCALARS) and isinstance(right, SCALARS):
        return _native(machine, function, left, right)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        why = left if isinstance(left, Unknown) else right
        return why.as_plain()
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return machine.torch.operator(machine, method.strip("_"), left, right)
    for side, other, name in ((left, right, method), (right, left, reflected)):
        if isinstance(side, Instance) and (method not in ("__eq__", "__ne__") or compares_itself(side)):
            found = _by_method(machine, side, name, other)
            if found is not MISSING:
                return found
            if name == "__ne__":
                same = _by_method(machine, side, "__eq__", other)
                holds = machine.truth(same) if same is not MISSING else MISSING
                if holds is not MISSING:
                    return holds if isinstance(holds, Unknown) else not holds
    left, right = _bare(left), _bare(right)
    if isinstance(left, COLLECTIONS) or isinstance(right, COLLECTIONS):
        return _collections_compared(machine, function, left, right)
    if method in ("__eq__", "__ne__"):
        if not isinstance(left, SCALARS) and not isinstance(right, SCALARS):
            same = is_same(machine, left, right)
            if not isinstance(same, Unknown) and (same or not machine.torch.is_array(left)):
                return (
                    same == (method == "__eq__")
                    if not _is_native(machine, left)
                    else _native(machine, function, left, right)
                )
        return _native(machine, function, left, right)
    if not _is_native(machine, left) or not _is_native(machine, right):
        raise machine.raised(TypeError, f"'{_kind(left)}' and '{_kind(right)}' cannot be put in an order")
    return _native(machine, function, left, right)


def _is_native(machine: Machine, value: Value) -> bool:
    return isinstance(value, SCALARS) or machine.torch.is_array(value) or machine.torch.is_token(value)


def _native(machine: Machine, function: Any, left: Value, right: Value) -> Value:
    try:
        return function(left, right)
    except _ERRORS as error:
        raise Raised(error, machine.place) from None


def _collections_compared(machine: Machine, function: Any, left: Value, right: Value) -> Value:
    if not (is_concrete(machine, left) and is_concrete(machine, right)) and _may_differ(machine, left, right):
        return unknown_in(machine, [left, right]).as_plain()
    return _native(machine, function, left, right)


def _may_differ(machine: Machine, left: Value, right: Value) -> bool:
    """Tell whether what is not known in two collections has a say in whether they are equal."""
    if type(left) is not type(right):
        return False
    if machine.is_unsure(left) is not None or machine.is_unsure(right) is not None:
        return True
    return len(left) == len(right)


def contains(machine: Machine, collection: Value, item: Value) -> bool | Unknown:
    """Tell whether something stands in a collection."""
    if isinstance(collection, Unknown):
        return collection.as_plain()
    if isinstance(collection, Instance):
        found = _by_method(machine, collection, "__contains__", item)
        if found is not MISSING:
            return machine.truth(found)
        if collection.payload is None:
            collection = list(machine.iterate(collection))
    collection = _bare(collection)
    if isinstance(item, Unknown):
        return item.as_plain()
    if not (isinstance(collection, dict) and isinstance(item, str) and item in collection):
        looked_into(machine, collection)
    why = machine.is_unsure(collection)
    if why is not None:
        return why.as_plain()
    if isinstance(collection, Names) and isinstance(found := collection.get(item), Unknown) and found.perhaps:
        return found.as_plain()
    if isinstance(collection, dict | set | frozenset | type({}.keys())):
        return hashable(machine, item) in collection
    if isinstance(collection, str | bytes | range):
        return bool(_native(machine, operator.contains, collection, _bare(item)))
    unknown: Unknown | None = None
    for each in machine.iterate(collection):
        found = is_same(machine, each, item)
        if found is not True:
            found = machine.truth(equal(machine, each, item))
        if found is True:
            return True
        if isinstance(found, Unknown):
            unknown = found
    return unknown.as_plain() if unknown is not None else False


def truth(machine: Machine, value: Value) -> bool | Unknown:
    """Tell whether a value counts as true."""
    if value is None or isinstance(value, bool | int | float | str):
        return bool(value)
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Tensor):
        return machine.torch.truth(machine, value)
    if isinstance(value, Instance):
        for method in ("__bool__", "__len__"):
            if value.cls.look_up(method) is not None:
                return truth(machine, machine.call(machine.get(value, method)))
        if value.payload is not None:
            return truth(machine, value.payload)
        return value.cls.unknown if value.cls.unknown is not None else True
    why = machine.is_unsure(value)
    if why is not None:
        return why
    try:
        return bool(value)
    except ValueError as error:
        raise Raised(error, machine.place) from None


def formatted(machine: Machine, value: Value, conversion: str, spec: Value) -> Value:
    """Write a value into a text, as an f-string does."""
    if isinstance(value, Unknown):
        return value.as_plain()
    if isinstance(spec, Unknown):
        return spec.as_plain()
    if _WIDE.search(spec):
        raise machine.stuck("a text of that width is not made")
    if isinstance(value, Instance) and not isinstance(value.payload, str | int | float):
        value, conversion = text_of(machine, value, "__repr__" if conversion == "r" else "__str__"), ""
        if isinstance(value, Unknown):
            return value
    value = _bare(value)
    if not is_concrete(machine, value) and not machine.torch.is_token(value):
        return unknown_in(machine, [value]).as_plain()
    try:
        if conversion:
            value = repr(value) if conversion == "r" else str(value) if conversion == "s" else ascii(value)
        return format(value, spec)
    except _ERRORS as error:
        raise Raised(error, machine.place) from None


def text_of(machine: Machine, value: Value, method: str = "__str__") -> Value:
    """Give the text of a value."""
    if isinstance(value, Instance):
        for name in (method, "__repr__"):
            found = _by_method(machine, value, name)
            if found is not MISSING:
                return found
        if isinstance(value.payload, str | int | float):
            return str(value.payload) if method == "__str__" else repr(value.payload)
        if isinstance(value.payload, BaseException):
            return str(value.payload)
        return machine.plain("the text of an object is not known")
    return formatted(machine, value, "r" if method == "__repr__" else "", "")
