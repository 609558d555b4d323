"""What is known of ``enum``."""

from __future__ import annotations

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.stdlib.table import known, put
from ckptnames.prediction.static.values import (
    Class,
    ClassMethod,
    Function,
    Instance,
    Names,
    Native,
    Property,
    StaticMethod,
    Token,
    Unknown,
    Value,
    builtin_class,
)

_NO_MEMBERS = (Function, Property, StaticMethod, ClassMethod, Native, Class)
_AUTO = Token("enum.auto()")


@known("enum.auto")
def _auto(machine: Machine) -> Value:
    return _AUTO


@known("enum.unique", "enum.verify")
def _unique(machine: Machine, value: Value) -> Value:
    return value


def _finish(machine: Machine, cls: Class, frame: Frame) -> None:
    """Make members of what stands in the body of an enumeration."""
    members: dict[str, Value] = {}
    last = 0
    for name, value in list(cls.names.items()):
        if name.startswith("_") or isinstance(value, _NO_MEMBERS):
            continue
        if value is _AUTO:
            last += 1
            value = name.lower() if cls.mixed_in is str else last
        elif isinstance(value, int):
            last = value
        same = next((m for m in members.values() if _is_same(m.attrs["_value_"], value)), None)
        members[name] = same or _member(machine, cls, name, value)
        cls.names[name] = members[name]
    cls.known["members"] = {member.attrs["_name_"]: member for member in members.values()}
    cls.known["by name"] = members
    cls.known["make"] = _looked_up


def _is_same(one: Value, other: Value) -> bool:
    return isinstance(one, int | float | str | tuple) and type(one) is type(other) and one == other


def _member(machine: Machine, cls: Class, name: str, value: Value) -> Instance:
    member = Instance(cls)
    if cls.mixed_in in (str, int, float) and isinstance(value, str | int | float):
        member.payload = value
    init = cls.look_up("__init__")
    member.attrs.update(_name_=name, _value_=value, name=name, value=value)
    if init is not None and isinstance(init[1], Function):
        machine.call(init[1], [member, *(value if isinstance(value, tuple) else (value,))])
    if cls.look_up("__new__") is not None and isinstance(cls.look_up("__new__")[1], StaticMethod):  # type: ignore[index]
        cls.unknown = machine.unknown(f"'{cls.name}' makes its members itself, which is not followed")
    return member


def _looked_up(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
    value = args[0] if args else kwargs.get("value")
    if isinstance(value, Unknown):
        return value.as_plain()
    for member in cls.known["members"].values():
        if member is value or _is_same(member.attrs["_value_"], value):
            return member
    missing = cls.look_up("_missing_")
    if missing is not None:
        found = machine.call(machine.get(cls, "_missing_"), [value])
        if found is not None:
            return found
    raise Raised(ValueError(f"{value!r} is not a valid {cls.name}"), machine.place)


def _functional(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
    return machine.unknown("an enumeration that is made by a call is not followed")


def _base(name: str, mixed: type | None = None) -> None:
    cls = Class(name, Names(), module="enum", known={"finish": _finish, "make": _functional})
    cls.mro = (cls, *(builtin_class(mixed).mro if mixed is not None else (builtin_class(object),)))
    put(f"enum.{name}", cls)


for _name, _mixed in (("Enum", None), ("IntEnum", int), ("StrEnum", str), ("Flag", None), ("IntFlag", int)):
    _base(_name, _mixed)
put("enum.EnumMeta", Token("enum.EnumMeta"))
