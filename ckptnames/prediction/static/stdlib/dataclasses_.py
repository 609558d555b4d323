"""What is known of ``dataclasses``, and of ``typing.NamedTuple``, which is written alike."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import equal
from ckptnames.prediction.static.stdlib.copying import deep_copy
from ckptnames.prediction.static.stdlib.table import known, put
from ckptnames.prediction.static.values import Class, Instance, Names, Native, Token, Unknown, Value, builtin_class


@dataclass(slots=True, eq=False)
class Field:
    """A field of a dataclass."""

    name: str = ""
    default: Value = MISSING
    factory: Value = MISSING
    init: bool = True
    keyword_only: bool = False
    only_for_init: bool = False
    attrs: dict[str, Value] = field(default_factory=Names)


_MISSING = Token("dataclasses.MISSING")
put("dataclasses.MISSING", _MISSING)
put("dataclasses.KW_ONLY", Token("dataclasses.KW_ONLY"))
put("dataclasses.InitVar", Token("dataclasses.InitVar"))
put("dataclasses.Field", Token("dataclasses.Field"))


@known("dataclasses.field")
def _field(
    machine: Machine,
    *,
    default: Value = MISSING,
    default_factory: Value = MISSING,
    init: Value = True,
    kw_only: Value = False,
    **others: Value,
) -> Value:
    return Field("", default, default_factory, machine.decided(init), machine.decided(kw_only))


@known("dataclasses.dataclass")
def _dataclass(machine: Machine, cls: Value = None, **options: Value) -> Value:
    if cls is None:
        return Native("dataclass", lambda m, inner: _made(m, inner, options))
    return _made(machine, cls, options)


def _made(machine: Machine, cls: Value, options: dict[str, Value]) -> Value:
    if not isinstance(cls, Class):
        return cls
    found: dict[str, Field] = {}
    for base in reversed(cls.mro[1:]):
        found |= base.known.get("fields", {})
    keyword_only = options.get("kw_only") is True
    for name, annotation in cls.known.get("annotations", {}).items():
        text = ast.unparse(annotation)
        if "ClassVar" in text:
            continue
        if text.endswith("KW_ONLY"):
            keyword_only = True
            continue
        found[name] = _of_field(cls, name, keyword_only, "InitVar" in text)
    cls.known["fields"] = found
    if options.get("init") is not False and "__init__" not in cls.names:
        cls.names["__init__"] = Native(
            f"{cls.name}.__init__", lambda m, self, *a, **k: _init(m, self, found, a, k), binds=True
        )
    if options.get("eq") is not False and "__eq__" not in cls.names:
        cls.names["__eq__"] = Native(
            f"{cls.name}.__eq__", lambda m, self, other: _equal(m, self, other, found), binds=True
        )
    return cls


def _of_field(cls: Class, name: str, keyword_only: bool, only_for_init: bool) -> Field:
    default = cls.names.get(name, MISSING)
    if isinstance(default, Field):
        default.name = name
        default.keyword_only = default.keyword_only or keyword_only
        default.only_for_init = only_for_init
        if default.default is not MISSING:
            cls.names[name] = default.default
        else:
            del cls.names[name]
        return default
    return Field(name, default, keyword_only=keyword_only, only_for_init=only_for_init)


def _init(
    machine: Machine, self: Instance, fields: dict[str, Field], args: tuple[Value, ...], kwargs: dict[str, Value]
) -> Value:
    left = dict(kwargs)
    by_position = [each for each in fields.values() if each.init and not each.keyword_only]
    if len(args) > len(by_position):
        raise machine.raised(
            TypeError, f"{self.cls.name}() takes {len(by_position)} arguments but {len(args)} were given"
        )
    given = {each.name: value for each, value in zip(by_position, args, strict=False)}
    only_for_init = []
    for each in fields.values():
        if each.init and each.name in left:
            given[each.name] = left.pop(each.name)
        if each.name in given:
            value = given[each.name]
        elif each.default is not MISSING:
            value = each.default
        elif each.factory is not MISSING:
            value = machine.call(each.factory)
        elif each.init:
            raise machine.raised(TypeError, f"{self.cls.name}() missing required argument: '{each.name}'")
        else:
            continue
        if each.only_for_init:
            only_for_init.append(value)
        else:
            machine.set(self, each.name, value)
    if left:
        raise machine.raised(TypeError, f"{self.cls.name}() got an unexpected keyword argument '{next(iter(left))}'")
    if self.cls.look_up("__post_init__") is not None:
        machine.call(machine.get(self, "__post_init__"), only_for_init)
    return None


def _equal(machine: Machine, self: Instance, other: Value, fields: dict[str, Field]) -> Value:
    if not isinstance(other, Instance) or other.cls is not self.cls:
        return NotImplemented
    for name in _kept(fields):
        same = machine.truth(equal(machine, machine.get(self, name), machine.get(other, name)))
        if same is not True:
            return same.as_plain() if isinstance(same, Unknown) else False
    return True


def _kept(fields: dict[str, Field]) -> dict[str, Field]:
    """Leave out what is only handed to ``__post_init__``."""
    return {name: each for name, each in fields.items() if not each.only_for_init}


def _fields(machine: Machine, value: Value) -> dict[str, Field]:
    if isinstance(value, Unknown):
        raise machine.stuck(value.reason)
    cls = value.cls if isinstance(value, Instance) else value
    if not isinstance(cls, Class):
        raise machine.raised(TypeError, "it is no dataclass")
    for base in cls.mro:
        if "fields" in base.known:
            found: dict[str, Field] = base.known["fields"]
            return found
    raise machine.raised(TypeError, "it is no dataclass")


@known("dataclasses.fields")
def _list_fields(machine: Machine, value: Value) -> Value:
    def described(each: Field) -> Value:
        default = _MISSING if each.default is MISSING else each.default
        factory = _MISSING if each.factory is MISSING else each.factory
        names = Names(name=each.name, default=default, default_factory=factory, init=each.init)
        return Instance(builtin_class(object), names, None, machine.plain("the type of a field is not looked into"))

    return tuple(described(each) for each in _kept(_fields(machine, value)).values())


@known("dataclasses.is_dataclass")
def _is_dataclass(machine: Machine, value: Value) -> Value:
    if isinstance(value, Unknown):
        return value.as_plain()
    cls = value.cls if isinstance(value, Instance) else value
    return isinstance(cls, Class) and any("fields" in base.known for base in cls.mro)


@known("dataclasses.asdict")
def _asdict(machine: Machine, value: Value, **options: Value) -> Value:
    def converted(each: Value) -> Value:
        if isinstance(each, Instance) and _is_dataclass(machine, each):
            return {name: converted(machine.get(each, name)) for name in _kept(_fields(machine, each))}
        if isinstance(each, list | tuple) and type(each) in (list, tuple):
            machine.check(each)
            return type(each)(converted(item) for item in each)
        if isinstance(each, dict):
            machine.check(each)
            return {key: converted(item) for key, item in each.items()}
        return deep_copy(machine, each)

    return converted(value)


@known("dataclasses.astuple")
def _astuple(machine: Machine, value: Value) -> Value:
    return tuple(_asdict(machine, value).values())


@known("dataclasses.replace")
def _replace(machine: Machine, value: Value, **changes: Value) -> Value:
    given = {n: machine.get(value, n) for n, f in _fields(machine, value).items() if f.init and not f.only_for_init}
    return machine.call(value.cls, [], {**given, **changes})


# typing.NamedTuple


def _finish_tuple(machine: Machine, cls: Class, frame: Frame) -> None:
    from collections import namedtuple

    names = list(cls.known["annotations"])
    defaults = [cls.names.pop(name) for name in names if name in cls.names]
    kind: Any = namedtuple(cls.name, names, defaults=defaults)  # type: ignore[misc]
    cls.mro = (cls, builtin_class(kind), *builtin_class(kind).mro[1:])
    cls.known["make"] = lambda m, own, args, kwargs: _made_tuple(m, own, kind, args, kwargs)


def _made_tuple(machine: Machine, cls: Class, kind: Any, args: list[Value], kwargs: dict[str, Value]) -> Value:
    payload = machine.call(kind, args, kwargs)
    return payload if isinstance(payload, Unknown) else Instance(cls, payload=payload)


def _named_tuple(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
    from ckptnames.prediction.static.stdlib.table import KNOWN

    name, fields = args[0], [next(iter(machine.iterate(pair))) for pair in machine.iterate(args[1])]
    return machine.call(KNOWN["collections.namedtuple"], [name, fields])


_NAMED_TUPLE = Class("NamedTuple", Names(), known={"finish": _finish_tuple, "make": _named_tuple})
_NAMED_TUPLE.mro = (_NAMED_TUPLE, builtin_class(object))
put("typing.NamedTuple", _NAMED_TUPLE)
