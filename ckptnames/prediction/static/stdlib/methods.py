"""The methods of Python's own types: ``[].append``, ``"".join``, ``{}.items``."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from ckptnames.prediction.static.budget import LARGEST, check_length
from ckptnames.prediction.static.interpreter.items import (
    Defaulting,
    check_names,
    hashable,
    in_any_order,
    is_concrete,
    unknown_in,
)
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import equal
from ckptnames.prediction.static.interpreter.registries import check_order, looked_into
from ckptnames.prediction.static.signals import Raised, Unsure
from ckptnames.prediction.static.stdlib.builtins import in_order
from ckptnames.prediction.static.stdlib.constructors import _pairs, construct
from ckptnames.prediction.static.values import Instance, Module, Unknown, Value

_READS_LIST = frozenset({"copy", "index", "count", "__len__", "__iter__", "__getitem__", "__contains__"})
_READS_DICT = frozenset(
    {"get", "items", "keys", "values", "copy", "__contains__", "__len__", "__iter__", "__getitem__"}
)
_WIDE = re.compile(r"\d{4,}")
_MOST_COLUMNS = 1_000

Code = Callable[[Machine, Any, list[Value], dict[str, Value]], Value]


def call_method(machine: Machine, value: Value, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Call a method that was found on a value of one of Python's own types, or on such a type."""
    if isinstance(value, type):
        return _of_type(machine, value, name, args, kwargs)
    if isinstance(value, list | deque):
        return _of_list(machine, value, name, args, kwargs)
    if isinstance(value, dict):
        return _of_dict(machine, value, name, args, kwargs)
    if isinstance(value, set | frozenset):
        return _of_set(machine, value, name, args)
    if isinstance(value, str):
        return _of_text(machine, value, name, args, kwargs)
    return _computed(machine, value, name, args, kwargs)


def _of_type(machine: Machine, kind: type, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if name == "fromkeys" and issubclass(kind, dict):
        default = args[1] if len(args) > 1 else None
        return construct(
            machine,
            OrderedDict if kind is OrderedDict else dict,
            [[(k, default) for k in machine.iterate(args[0])]],
            {},
        )
    if kind is object or name in ("__init__", "__new__", "__setattr__", "__getattribute__", "__init_subclass__"):
        return _of_object(machine, kind, name, args, kwargs)
    if name in ("_make",) and hasattr(kind, "_fields"):
        return kind(*list(machine.iterate(args[0])))
    if args and isinstance(args[0], Instance) and args[0].payload is not None:
        args = [args[0].payload, *args[1:]]
    if args and isinstance(args[0], kind):
        return call_method(machine, args[0], name, args[1:], kwargs)
    if name in ("maketrans", "from_bytes", "fromhex"):
        return _computed(machine, kind, name, args, kwargs)
    return machine.unknown(f"'{kind.__name__}.{name}' is not followed")


def _of_object(machine: Machine, kind: type, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    from ckptnames.prediction.static.interpreter.attributes import get
    from ckptnames.prediction.static.interpreter.classes import bare
    from ckptnames.prediction.static.interpreter.setting import set_on_instance

    if name == "__new__":
        return bare(machine, args[0], args[1:], kwargs)
    if name == "__setattr__":
        if isinstance(args[0], Module):  # passes over what modules do, which is to register
            if isinstance(args[1], Unknown):
                machine.open(args[0], args[1])
            else:
                machine.touch(args[0].attrs)
                args[0].attrs[args[1]] = args[2]
            return None
        set_on_instance(machine, args[0], args[1], args[2])
        return None
    if name == "__getattribute__":
        return get(machine, args[0], args[1])
    if name == "__init__":
        if args and isinstance(args[0], Instance) and isinstance(args[0].payload, dict):
            args[0].payload.update(construct(machine, dict, args[1:], kwargs))
        elif args and isinstance(args[0], Instance) and isinstance(args[0].payload, list):
            args[0].payload.extend(construct(machine, list, args[1:], kwargs))
        return None
    if name == "__init_subclass__":
        return None
    return machine.unknown(f"'object.{name}' is not followed")


def _of_list(machine: Machine, value: Any, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    why = machine.is_unsure(value)
    if why is not None:
        # What is added to a list of unknown length is at an unknown place.
        return why if name in _READS_LIST or name.startswith("pop") else None
    if name not in _READS_LIST:
        machine.touch(value)
    if name in ("append", "appendleft", "clear", "reverse", "copy", "rotate", "popleft"):
        return _plainly(machine, value, name, args)
    if name in ("extend", "extendleft"):
        try:
            getattr(value, name)(list(machine.iterate(args[0])))
        except Unsure as unsure:
            machine.unsure(value, unsure.why)
        check_length(len(value), machine.place)
        return None
    if name in ("insert", "pop"):
        if args and isinstance(args[0], Unknown):
            machine.unsure(value, args[0])
            return args[0] if name == "pop" else None
        return _plainly(machine, value, name, args)
    if name == "sort":
        try:
            value[:] = in_order(machine, list(value), kwargs.get("key"), kwargs.get("reverse", False))
        except Unsure as unsure:
            machine.unsure(value, unsure.why)
        return None
    if name in ("index", "remove", "count"):
        return _searched(machine, value, name, args[0])
    why = machine.unknown(f"'list.{name}' is not followed")
    if name not in _READS_LIST:
        machine.unsure(value, why)
    return why


def _searched(machine: Machine, value: Any, name: str, item: Value) -> Value:
    same = [machine.truth(equal(machine, each, item)) if each is not item else True for each in value]
    unknown = next((each for each in same if isinstance(each, Unknown)), None)
    if unknown is not None:
        if name == "remove":
            machine.unsure(value, unknown)
        return unknown.as_plain()
    if name == "count":
        return sum(map(bool, same))
    if True not in same:
        raise machine.raised(ValueError, "it is not in the list")
    if name == "index":
        return same.index(True)
    del value[same.index(True)]
    return None


def _plainly(machine: Machine, value: Any, name: str, args: list[Value]) -> Value:
    try:
        return getattr(value, name)(*args)
    except (TypeError, LookupError, ValueError) as error:
        raise Raised(error, machine.place) from None


def _of_dict(machine: Machine, value: Any, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    why = machine.is_unsure(value)
    if why is None and args and name in ("get", "pop", "setdefault", "__contains__", "__getitem__", "move_to_end"):
        if isinstance(args[0], Unknown):
            if name not in _READS_DICT:
                machine.unsure(value, args[0])
            return args[0].within(value)
        hashable(machine, args[0])
    if why is not None:
        return why if name not in ("update", "clear") else None
    if name not in ("get", "__contains__", "__getitem__", "__setitem__", "setdefault", "update", "pop", "clear"):
        check_names(value)
    if name in _READS_DICT and not (args and args[0] in value):
        looked_into(machine, value)
    if name in ("items", "keys", "values", "copy", "popitem"):
        check_order(machine, value)
    if name not in _READS_DICT:
        machine.touch(value)
    if name == "update":
        try:
            for each in args:
                value.update(_pairs(machine, each))
        except Unsure as unsure:
            machine.unsure(value, unsure.why)
        value.update(kwargs)
        check_length(len(value), machine.place)
        return None
    if name == "__getitem__" and isinstance(value, Defaulting):
        from ckptnames.prediction.static.interpreter.items import item_of

        return item_of(machine, value, args[0])
    if name in _READS_DICT or name in ("pop", "setdefault", "popitem", "clear", "move_to_end", "__setitem__"):
        if kwargs:
            args = [*args, *kwargs.values()]
        return _plainly(machine, value, name, args)
    why = machine.unknown(f"'dict.{name}' is not followed")
    machine.unsure(value, why)
    return why


def _of_set(machine: Machine, value: Any, name: str, args: list[Value]) -> Value:
    why = machine.is_unsure(value)
    if why is not None:
        return why if not name.endswith("update") and name not in ("add", "discard", "remove") else None
    changes = name in ("add", "discard", "remove", "clear", "pop") or name.endswith("update")
    if changes:
        machine.touch(value)
    try:
        if name in ("add", "discard", "remove"):
            args = [hashable(machine, args[0])]
        elif args:
            args = [{hashable(machine, item) for item in in_any_order(machine, each)} for each in args]
    except Unsure as unsure:
        if changes:
            machine.unsure(value, unsure.why)
        return unsure.why
    if name == "pop":
        machine.unsure(value, why := machine.plain("which item of a set comes first is not known"))
        return why.within(value)
    if name.startswith("__"):
        machine.unsure(value, why := machine.unknown(f"'set.{name}' is not followed"))
        return why
    return _plainly(machine, value, name, args)


def _of_text(machine: Machine, value: str, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if name == "join":
        items = list(machine.iterate(args[0]))
        items = [item.payload if isinstance(item, Instance) else item for item in items]
        if not is_concrete(machine, items):
            return unknown_in(machine, items).as_plain()
        check_length(sum(len(item) for item in items if isinstance(item, str)) + len(value) * len(items), machine.place)
        return _plainly(machine, value, name, [items])
    if name == "format":
        if _WIDE.search(value) or ("{}{" in value and len(value) > LARGEST):
            raise machine.stuck("a text of that width is not made")
        for each in re.findall(r"\{[^}]*[.\[]", value):
            if "." in each.partition(":")[0] or "[" in each:
                return machine.plain("an attribute in a format is not followed")
        texts = [_text(machine, arg) for arg in args]
        named = {key: _text(machine, arg) for key, arg in kwargs.items()}
        return _computed(machine, value, name, texts, named)
    if name in ("ljust", "rjust", "center", "zfill", "expandtabs") and args and isinstance(args[0], int):
        check_length(args[0] * (LARGEST // _MOST_COLUMNS), machine.place)
    if name in ("replace", "translate", "expandtabs"):
        check_length(len(value) * max((len(a) for a in args if isinstance(a, str)), default=1), machine.place)
    if name.startswith("__") and name not in ("__len__", "__contains__", "__eq__"):
        return machine.unknown(f"'str.{name}' is not followed")
    return _computed(machine, value, name, args, kwargs)


def _text(machine: Machine, value: Value) -> Value:
    if isinstance(value, Instance) and not isinstance(value, Module):
        from ckptnames.prediction.static.interpreter.operators import text_of

        return text_of(machine, value)
    return value


_METHODS: dict[type, frozenset[str]] = {
    tuple: frozenset({"index", "count", "_asdict", "_replace"}),
    int: frozenset({"bit_length", "bit_count", "is_integer", "conjugate", "to_bytes"}),
    float: frozenset({"is_integer", "hex", "as_integer_ratio", "conjugate"}),
    range: frozenset({"index", "count"}),
    bytes: frozenset({"decode", "hex", "startswith", "endswith", "split", "strip"}),
    slice: frozenset({"indices"}),
    re.Match: frozenset({"group", "groups", "groupdict", "start", "end", "span"}),
}


def _computed(machine: Machine, value: Any, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Call a method that only computes."""
    if isinstance(value, tuple) and name in ("_asdict", "_replace") and hasattr(value, "_fields"):
        return getattr(value, name)(**kwargs)
    if isinstance(value, re.Pattern):
        return _of_pattern(machine, value, name, args, kwargs)
    allowed = isinstance(value, str | type) or any(isinstance(value, k) and name in n for k, n in _METHODS.items())
    if not allowed:
        if isinstance(value, tuple) and name == "__getitem__":
            from ckptnames.prediction.static.interpreter.items import item_of

            return item_of(machine, value, args[0])
        return machine.unknown(f"'{type(value).__name__}.{name}' is not followed")
    values = [*args, *kwargs.values()]
    if not all(is_concrete(machine, each) for each in values):
        return unknown_in(machine, values).as_plain()
    bare = [each.payload if isinstance(each, Instance) else each for each in args]
    try:
        return getattr(value, name)(*bare, **kwargs)
    except (TypeError, ValueError, LookupError, AttributeError, UnicodeError) as error:
        raise Raised(error, machine.place) from None


def _of_pattern(machine: Machine, value: Any, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    from ckptnames.prediction.static.stdlib.texts import search

    return search(machine, name, [value, *args], kwargs)
