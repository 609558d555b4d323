"""What is known of Python's built-in functions."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator

from ckptnames.prediction.static.interpreter.attributes import MISSING, look_up
from ckptnames.prediction.static.interpreter.branches import tried
from ckptnames.prediction.static.interpreter.classes import class_of, create, is_instance, is_subclass
from ckptnames.prediction.static.interpreter.items import advance, check_names, in_any_order, iterator, take
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import compared, formatted, text_of
from ckptnames.prediction.static.interpreter.registries import looked_into
from ckptnames.prediction.static.signals import Raised, Stuck, Unsure
from ckptnames.prediction.static.stdlib.table import put
from ckptnames.prediction.static.values import (
    Class,
    ClassMethod,
    Function,
    Instance,
    Iterating,
    KnownModule,
    Method,
    Module,
    Names,
    Native,
    OfValue,
    Partial,
    Property,
    Pure,
    StaticMethod,
    Tensor,
    Unknown,
    Value,
)

BUILTINS: dict[str, Value] = {}

_CALLABLE = (Function, Native, Pure, Method, Partial, Class, type, OfValue)
_TYPES = "int float complex bool str bytes bytearray list tuple dict set frozenset slice range object type"
_PURE = "abs round divmod pow chr ord hex oct bin ascii"

for _name in _TYPES.split():
    BUILTINS[_name] = getattr(builtins, _name)
for _name, _value in vars(builtins).items():
    if isinstance(_value, type) and issubclass(_value, BaseException):
        BUILTINS[_name] = _value
for _name in ("NotImplemented", "Ellipsis", "__debug__"):
    BUILTINS[_name] = getattr(builtins, _name)


def builtin(*names: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Make a built-in function known."""

    def put_all(code: Callable[..., Value]) -> Callable[..., Value]:
        for name in names:
            BUILTINS[name] = Native(name, code)
            put(f"builtins.{name}", BUILTINS[name])
        return code

    return put_all


@builtin("super", "locals", "globals")
def _scoped(machine: Machine, *args: Value) -> Value:
    raise Unsure(machine.unknown("a call that looks at the scope around it stands where none is known"))


@builtin("vars")
def _vars(machine: Machine, value: Value) -> Value:
    return machine.get(value, "__dict__")


@builtin("print", "breakpoint", "help")
def _print(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    return None


@builtin("len")
def _len(machine: Machine, value: Value) -> Value:
    if isinstance(value, Unknown):
        return value.as_plain()
    if isinstance(value, Tensor):
        return machine.torch.length(machine, value)
    if isinstance(value, Instance):
        if value.cls.look_up("__len__") is not None:
            return machine.call(machine.get(value, "__len__"))
        if value.payload is None and (why := value.opened or value.cls.unknown) is not None:
            return why.as_plain()
        value = value.payload
    if isinstance(value, Class) and "members" in value.known:
        return len(value.known["members"])
    machine.check(value)
    check_names(value)
    looked_into(machine, value)
    try:
        return len(value)
    except TypeError as error:
        raise Raised(error, machine.place) from None


@builtin("isinstance")
def _isinstance(machine: Machine, value: Value, kinds: Value) -> Value:
    return is_instance(machine, value, kinds)


@builtin("issubclass")
def _issubclass(machine: Machine, cls: Value, kinds: Value) -> Value:
    return is_subclass(machine, cls, kinds)


@builtin("type")
def _type(machine: Machine, value: Value, *more: Value, **keywords: Value) -> Value:
    if more:
        bases, names = more
        return create(machine, value, list(machine.iterate(bases)), Names(names), "", keywords)
    found = class_of(machine, value)
    return found.builtin if isinstance(found, Class) and found.builtin is not None else found


BUILTINS["type"] = Native("type", _type)


@builtin("callable")
def _callable(machine: Machine, value: Value) -> Value:
    if isinstance(value, Unknown):
        return value.as_plain()
    if isinstance(value, Instance):
        return value.cls.look_up("__call__") is not None or isinstance(value, Module)
    return isinstance(value, _CALLABLE)


@builtin("getattr")
def _getattr(machine: Machine, value: Value, name: Value, *default: Value) -> Value:
    if isinstance(name, Unknown):
        return name.within(value)
    if isinstance(name, Instance):
        name = name.payload
    if not default:
        return machine.get(value, name)
    try:
        found = look_up(machine, value, name)
    except Raised as raised:
        if not isinstance(raised.value, AttributeError):
            raise
        found = MISSING
    if found is MISSING or (isinstance(found, Unknown) and machine.torch.is_absent(_full(value, name))):
        return default[0]
    return found


def _full(value: Value, name: str) -> str:
    return f"{value.name}.{name}" if isinstance(value, KnownModule) else ""


@builtin("hasattr")
def _hasattr(machine: Machine, value: Value, name: Value) -> Value:
    found = _getattr(machine, value, name, MISSING)
    if isinstance(found, Unknown):
        return found.as_plain()
    return found is not MISSING


def _changed_somewhere(machine: Machine, value: Value, why: Unknown) -> None:
    """An attribute changes of which not even the name is known."""
    if isinstance(value, Instance):
        machine.open(value, why, all_of_it=True)
    elif isinstance(value, Class):
        machine.taint(value, why)
        if value.layer:
            machine.spoiled = machine.spoiled or why
    else:
        raise Stuck(why.within())


@builtin("setattr")
def _setattr(machine: Machine, value: Value, name: Value, to: Value) -> Value:
    if isinstance(name, Instance):
        name = name.payload
    if isinstance(name, Unknown):
        _changed_somewhere(machine, value, name)
        return None
    machine.set(value, name, to)
    return None


@builtin("delattr")
def _delattr(machine: Machine, value: Value, name: Value) -> Value:
    from ckptnames.prediction.static.interpreter.setting import delete_attribute

    if isinstance(name, Unknown):
        _changed_somewhere(machine, value, name)
        return None
    delete_attribute(machine, value, name)
    return None


@builtin("iter")
def _iter(machine: Machine, value: Value, *sentinel: Value) -> Value:
    if sentinel:
        raise machine.stuck("'iter' with two arguments is not followed")
    return value if isinstance(value, Iterating) else iterator(machine, machine.iterate(value))


@builtin("next")
def _next(machine: Machine, value: Value, *default: Value) -> Value:
    if isinstance(value, Instance):
        return machine.call(machine.get(value, "__next__"))
    if isinstance(value, Unknown):
        return value
    if not isinstance(value, Iterating):
        raise machine.raised(TypeError, f"'{type(value).__name__}' object is not an iterator")
    try:
        return take(machine, value) if default else advance(machine, value)
    except StopIteration:
        return default[0]


@builtin("range")
def _range(machine: Machine, *args: Value) -> Value:
    unknown = next((arg for arg in args if isinstance(arg, Unknown)), None)
    if unknown is not None:
        return unknown.as_plain()
    args = tuple(machine.torch.as_number(arg) for arg in args)
    try:
        return range(*args)
    except (TypeError, ValueError) as error:
        raise Raised(error, machine.place) from None


BUILTINS["range"] = range


@builtin("enumerate")
def _enumerate(machine: Machine, values: Value, start: int = 0) -> Value:
    return iterator(machine, enumerate(machine.iterate(values), start))


@builtin("zip")
def _zip(machine: Machine, *values: Value, strict: bool = False) -> Value:
    return iterator(machine, zip(*(machine.iterate(value) for value in values), strict=strict))


@builtin("map")
def _map(machine: Machine, function: Value, *values: Value) -> Value:
    rounds = zip(*(machine.iterate(value) for value in values), strict=False)
    return iterator(machine, (machine.call(function, args) for args in rounds))


@builtin("filter")
def _filter(machine: Machine, function: Value, values: Value) -> Value:
    def kept(value: Value) -> bool:
        return machine.decided(value if function is None else machine.call(function, [value]))

    return iterator(machine, (value for value in machine.iterate(values) if kept(value)))


@builtin("reversed")
def _reversed(machine: Machine, values: Value) -> Value:
    return iterator(machine, iter(list(machine.iterate(values))[::-1]))


class _Key:
    """A value in the order of its key."""

    def __init__(self, machine: Machine, key: Value) -> None:
        self.machine = machine
        self.key = key

    def __lt__(self, other: _Key) -> bool:
        found = compared(self.machine, "__lt__", "__gt__", operator.lt, self.key, other.key)
        return self.machine.decided(found)


def in_order(machine: Machine, values: list[Value], key: Value, reverse: Value) -> list[Value]:
    """Sort values. Raises ``Unsure`` where the order is not known."""
    keys = [(_Key(machine, value if key is None else machine.call(key, [value])), value) for value in values]
    return [value for _, value in sorted(keys, key=lambda pair: pair[0], reverse=machine.decided(reverse))]


@builtin("sorted")
def _sorted(machine: Machine, values: Value, *, key: Value = None, reverse: Value = False) -> Value:
    items = in_any_order(machine, values) if key is None else machine.iterate(values)
    return in_order(machine, list(items), key, reverse)


def _extreme(machine: Machine, args: tuple[Value, ...], key: Value, default: Value, largest: bool) -> Value:
    take_all = in_any_order if key is None else Machine.iterate
    values = list(take_all(machine, args[0])) if len(args) == 1 else list(args)
    if not values:
        if default is MISSING:
            raise machine.raised(ValueError, "empty sequence")
        return default
    best, best_key = values[0], _Key(machine, values[0] if key is None else machine.call(key, [values[0]]))
    for value in values[1:]:
        own = _Key(machine, value if key is None else machine.call(key, [value]))
        if (best_key < own) if largest else (own < best_key):
            best, best_key = value, own
    return best


def _plainly(machine: Machine, args: tuple[Value, ...], code: Callable[[], Value]) -> Value:
    """Of numbers that are not known, the answer is a number that is not known."""
    try:
        return code()
    except Unsure as unsure:
        return unsure.why.as_plain()


@builtin("max")
def _max(machine: Machine, *args: Value, key: Value = None, default: Value = MISSING) -> Value:
    return _plainly(machine, args, lambda: _extreme(machine, args, key, default, largest=True))


@builtin("min")
def _min(machine: Machine, *args: Value, key: Value = None, default: Value = MISSING) -> Value:
    return _plainly(machine, args, lambda: _extreme(machine, args, key, default, largest=False))


@builtin("sum")
def _sum(machine: Machine, values: Value, start: Value = 0) -> Value:
    from ckptnames.prediction.static.interpreter.operators import apply

    total = start
    for value in machine.iterate(values):
        total = apply(machine, "add", operator.add, total, value)
    return total


@builtin("any")
def _any(machine: Machine, values: Value) -> Value:
    return _decided_by(machine, values, True)


@builtin("all")
def _all(machine: Machine, values: Value) -> Value:
    return _decided_by(machine, values, False)


def _decided_by(machine: Machine, values: Value, decides: bool) -> Value:
    """Tell whether one of several values is true, or false; the first that is ends it."""
    items = in_any_order(machine, values)
    for value in items:
        found = machine.truth(value)
        if isinstance(found, Unknown):
            return _decided_behind(machine, values, items, decides, found.as_plain())
        if found is decides:
            return decides
    return not decides


def _decided_behind(
    machine: Machine, values: Value, items: Iterator[Value], decides: bool, unknown: Unknown
) -> bool | Unknown:
    """Go on behind a value that is not known: what comes after it is perhaps never asked for."""
    rest = tried(machine, lambda: any(machine.truth(value) is decides for value in items), for_certain=True)
    own = values.frame.vars if isinstance(values, Iterating) and values.frame is not None else None
    if any(collection is not own for collection, *_ in rest.after.touched.values()):
        raise Stuck(unknown)
    return decides if rest.value is True else unknown


@builtin("id")
def _id(machine: Machine, value: Value) -> Value:
    return machine.plain("what 'id' gives is known when it runs")


@builtin("hash")
def _hash(machine: Machine, value: Value) -> Value:
    return hash(value) if type(value) is int else machine.doubt("what 'hash' gives is known when it runs", plain=True)


@builtin("repr")
def _repr(machine: Machine, value: Value) -> Value:
    return text_of(machine, value, "__repr__")


@builtin("format")
def _format(machine: Machine, value: Value, spec: Value = "") -> Value:
    return formatted(machine, value, "", spec)


@builtin("dir")
def _dir(machine: Machine, *value: Value) -> Value:
    if value and isinstance(value[0], KnownModule):
        names = machine.torch.names_in(value[0].name)
        if names:
            return names
    return machine.plain("what 'dir' lists is not known")


@builtin("input")
def _input(machine: Machine, *args: Value) -> Value:
    return machine.plain("what is typed is known when it runs")


@builtin("open", "compile", "__build_class__")
def _open(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    machine.doubts += 1
    return machine.plain("a file is read, which is not followed")


@builtin("exec", "eval")
def _exec(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    raise machine.stuck("code that is made of text is not followed")


@builtin("__import__")
def _import(machine: Machine, name: Value, *args: Value, **kwargs: Value) -> Value:
    from ckptnames.prediction.static.interpreter.imports import module

    if not isinstance(name, str):
        return machine.unknown("which module is imported is not known")
    return module(machine, name.partition(".")[0], machine.place)


@builtin("property")
def _property(machine: Machine, getter: Value = None, setter: Value = None, *more: Value) -> Value:
    return Property(getter, setter)


@builtin("staticmethod")
def _staticmethod(machine: Machine, function: Value) -> Value:
    return StaticMethod(function)


@builtin("classmethod")
def _classmethod(machine: Machine, function: Value) -> Value:
    return ClassMethod(function)


for _name in _PURE.split():
    BUILTINS[_name] = Pure(_name, getattr(builtins, _name))
