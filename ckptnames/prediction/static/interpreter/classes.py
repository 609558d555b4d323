"""Classes of the program: making them, making objects of them, and asking what is of which class."""

from __future__ import annotations

import ast
import collections.abc
import numbers
import types
from collections.abc import Sequence

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.functions import as_keywords
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.setting import watch
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.sources.mangling import written
from ckptnames.prediction.static.values import (
    Class,
    Context,
    Function,
    Instance,
    Iterating,
    KnownModule,
    Method,
    Module,
    Names,
    Namespace,
    Native,
    OfValue,
    Partial,
    Property,
    Pure,
    Tensor,
    Token,
    Unknown,
    Value,
    builtin_class,
)

PARTIAL = Class("partial", Names(), module="functools")
"""The class of ``functools.partial``."""
PARTIAL.mro = (PARTIAL, builtin_class(object))
_FUNCTIONS: dict[type, type] = {
    Function: types.FunctionType,
    Method: types.MethodType,
    Native: types.BuiltinFunctionType,
    Pure: types.BuiltinFunctionType,
    OfValue: types.BuiltinMethodType,
}
_METACLASSES = frozenset({"ABCMeta", "EnumMeta", "EnumType"})


def define(machine: Machine, node: ast.ClassDef, frame: Frame) -> None:
    """Run a ``class``, its decorators included."""
    from ckptnames.prediction.static.interpreter.assigning import name_scope

    decorators = [machine.eval(each, frame) for each in node.decorator_list]
    bases: list[Value] = []
    for each in node.bases:
        value = machine.eval(each, frame)
        bases += list(machine.iterate(value)) if isinstance(each, ast.Starred) else [value]
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = machine.eval(keyword.value, frame)
        keywords |= {keyword.arg: value} if keyword.arg is not None else as_keywords(machine, value)
    names = Names()
    inner = Frame(frame.namespace, names, frame, kind="class", line=node.lineno)
    inner.extra["annotations"] = {}
    machine.has_subclass_hooks = machine.has_subclass_hooks or any(
        isinstance(each, ast.FunctionDef) and each.name == "__init_subclass__" for each in node.body
    )
    machine.execute(node.body, inner)
    value = create(machine, written(node), bases, names, frame.namespace.name, keywords, inner)
    inner.extra["class"] = value
    if isinstance(value, Class):
        value = _finished(machine, value, keywords, inner)
    frame.line = node.lineno
    for decorator in reversed(decorators):
        value = machine.call(decorator, [value])
    scope = name_scope(frame, node.name)
    machine.touch(scope)
    scope[node.name] = value


def create(
    machine: Machine,
    name: str,
    bases: Sequence[Value],
    names: dict[str, Value],
    module: str,
    keywords: dict[str, Value] | None = None,
    frame: Frame | None = None,
) -> Class:
    """Make a class of its name, its bases and what stands in its body."""
    cls = Class(name, names, module=module)
    machine.classes.append(cls)
    kept: list[Class] = []
    for base in bases:
        if isinstance(base, type):
            base = machine.class_of(base)
        if isinstance(base, Class):
            kept.append(base)
            cls.unknown = cls.unknown or base.unknown
        elif isinstance(base, Unknown):
            cls.unknown = cls.unknown or base.within()
        elif not isinstance(base, Token):
            cls.unknown = cls.unknown or machine.unknown(f"a base class of '{name}' is not followed")
    metaclass = (keywords or {}).get("metaclass")
    if metaclass is not None and not _is_known_metaclass(metaclass):
        cls.unknown = cls.unknown or machine.unknown(f"the metaclass of '{name}' is not followed")
    if "__metaclass__" in names:
        cls.unknown = cls.unknown or machine.unknown(f"the metaclass of '{name}' is not followed")
    cls.bases = tuple(kept) or (machine.class_of(object),)
    cls.mro = _linear(machine, cls)
    for each in names:
        watch(machine, cls, each)
    if frame is not None:
        cls.known["annotations"] = frame.extra["annotations"]
        cls.known["frame"] = frame
    if any(base.known.get("by metaclass") for base in cls.mro[1:]):
        cls.unknown = cls.unknown or machine.unknown(f"the metaclass of '{name}' is not followed")
    return cls


def _is_known_metaclass(value: Value) -> bool:
    if isinstance(value, Native):
        return value.name == "type"
    return value is type or (isinstance(value, Token) and value.name.rpartition(".")[2] in _METACLASSES)


def _linear(machine: Machine, cls: Class) -> tuple[Class, ...]:
    """Put a class and those it derives from in the order in which Python looks through them (C3)."""
    lists = [list(base.mro) for base in cls.bases] + [list(cls.bases)]
    found = [cls]
    while lists := [each for each in lists if each]:
        for each in lists:
            head = each[0]
            if not any(head in other[1:] for other in lists):
                break
        else:
            raise machine.raised(TypeError, f"no consistent order of the bases of '{cls.name}'")
        found.append(head)
        lists = [[c for c in other if c is not head] for other in lists]
    return tuple(found)


def _finished(machine: Machine, cls: Class, keywords: dict[str, Value], frame: Frame) -> Value:
    """Do what special bases do with a class once it is made."""
    for base in cls.mro[1:]:
        finish = base.known.get("finish")
        if finish is not None:
            finish(machine, cls, frame)
            break
    for name, value in list(cls.names.items()):
        if isinstance(value, Instance) and value.cls.look_up("__set_name__") is not None:
            machine.call(machine.get(value, "__set_name__"), [cls, name])
    found = cls.look_up("__init_subclass__", after=cls)
    if found is not None and found[0].builtin is None:
        others = {name: value for name, value in keywords.items() if name != "metaclass"}
        machine.call(getattr(found[1], "function", found[1]), [cls], others)
    return cls


def instantiate(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Call a class."""
    make = next((base.known["make"] for base in cls.mro if "make" in base.known), None)
    if make is not None:
        return make(machine, cls, args, kwargs)
    if cls.unknown is not None:
        from ckptnames.prediction.static.interpreter.calls import call_unknown

        return call_unknown(machine, cls, args, kwargs, cls.unknown)
    if cls.builtin is not None:
        return machine.call(cls.builtin, args, kwargs)
    new = cls.look_up("__new__")
    if new is not None and new[0].builtin is None:
        value = machine.call(getattr(new[1], "function", new[1]), [cls, *args], kwargs)
        if not (isinstance(value, Instance) and cls in value.cls.mro):
            return value
    else:
        value = bare(machine, cls, args, kwargs)
    initialise(machine, value, args, kwargs)
    return value


def initialise(machine: Machine, value: Instance, args: list[Value], kwargs: dict[str, Value]) -> None:
    """Run the ``__init__`` of an object."""
    init = value.cls.look_up("__init__")
    if init is not None and init[0].builtin is None:
        if init[0].layer and not isinstance(init[1], Function):
            machine.call(Method(init[1], value), args, kwargs)
        else:
            machine.call(machine.get(value, "__init__"), args, kwargs)
    elif (args or kwargs) and value.payload is None:
        raise machine.raised(TypeError, f"{value.cls.name}() takes no arguments")


def bare(machine: Machine, cls: Class, args: Sequence[Value] = (), kwargs: dict[str, Value] | None = None) -> Instance:
    """Make an object whose ``__init__`` has not run."""
    if cls.is_module:
        return Module(cls)
    mixed = cls.mixed_in
    if mixed is None:
        return Instance(cls)
    own = cls.look_up("__init__")
    inits_itself = own is not None and own[0].builtin is None
    if issubclass(mixed, BaseException):
        return Instance(cls, payload=mixed(*[a for a in args if isinstance(a, str | int | float)]))
    if mixed in (dict, list, set):
        given = [] if inits_itself else list(args)
        return Instance(cls, payload=machine.call(mixed, given, {} if inits_itself else dict(kwargs or {})))
    payload = machine.call(mixed, list(args), dict(kwargs or {}))
    if isinstance(payload, Unknown):
        raise Unsure(payload)
    return Instance(cls, payload=payload)


def made_open(machine: Machine, cls: Class, why: Unknown) -> Value:
    """Make an object of a class of which nothing else is known."""
    if not cls.is_module:
        return Unknown(why.reason, why.place)
    value = Module(cls, ready=True)
    machine.open(value, why)
    return value


def is_instance(machine: Machine, value: Value, kinds: Value) -> bool | Unknown:
    """Tell whether a value is of a class, or of one of several."""
    if isinstance(kinds, tuple):
        return _any_of([is_instance(machine, value, kind) for kind in kinds])
    if isinstance(kinds, Unknown):
        return kinds.as_plain()
    if isinstance(value, Unknown):
        if value.plain and isinstance(kinds, Class) and kinds.is_module:
            return False
        return value.as_plain()
    if isinstance(kinds, Token):
        return _of_token(machine, value, kinds)
    return is_subclass(machine, class_of(machine, value), kinds)


def _of_token(machine: Machine, value: Value, kind: Token) -> bool | Unknown:
    """Tell whether a value is of one of the abstract classes of ``collections.abc``, ``numbers`` and ``typing``."""
    name = kind.name.rpartition(".")[2]
    if name == "Callable" and isinstance(value, Function | Method | Native | Pure | Partial | Class | OfValue):
        return True
    abstract = _ABSTRACT.get(name)
    unknown = machine.plain(f"whether something is of '{kind.name}' is not known")
    if abstract is None or isinstance(value, Token | Context):
        return unknown
    if isinstance(value, Instance):
        if value.payload is not None and isinstance(value.payload, abstract):
            return True
        if value.cls.unknown is not None or name == "Hashable":
            return unknown
        if name == "Callable":
            return isinstance(value, Module) or value.cls.look_up("__call__") is not None
        return unknown if any(value.cls.look_up(each) is not None for each in _MAKE_ABSTRACT) else False
    if isinstance(value, _OWN) or machine.torch.is_array(value):
        return False if name in _BY_NAME and not machine.torch.is_array(value) else unknown
    return isinstance(value, abstract)


_OWN = (Class, Function, Method, Native, Pure, OfValue, Partial, Property, Iterating, Namespace, KnownModule, Tensor)
_MAKE_ABSTRACT = ("__iter__", "__next__", "__len__", "__getitem__", "__contains__", "__reversed__")
_BY_NAME = frozenset(
    [
        "Sequence",
        "MutableSequence",
        "Mapping",
        "MutableMapping",
        "Set",
        "Number",
        "Integral",
        "Real",
        "List",
        "Tuple",
        "Dict",
    ]
)
"""Those that nothing belongs to by the methods that it has."""
_ABSTRACT: dict[str, type] = {
    **{
        name: getattr(collections.abc, name)
        for name in collections.abc.__all__
        if name not in ("ByteString", "Buffer", "Set")
    },
    **{name: getattr(numbers, name) for name in ("Number", "Integral", "Real", "Complex")},
    "List": list,
    "Tuple": tuple,
    "Dict": dict,
}


def class_of(machine: Machine, value: Value) -> Value:
    """Give the class of a value."""
    if isinstance(value, Instance):
        return value.cls
    if isinstance(value, Unknown):
        return value.as_plain()
    if isinstance(value, Tensor):
        return value.cls or machine.torch.tensor_class(machine, value)
    if isinstance(value, Class):
        return machine.class_of(type)
    if isinstance(value, Namespace | KnownModule):
        return machine.plain("the class of a module is not known")
    if isinstance(value, Partial):
        return PARTIAL
    if isinstance(value, Function | Method | Native | Pure | OfValue):
        return machine.class_of(_FUNCTIONS[type(value)])
    if isinstance(value, type):
        return machine.class_of(type)
    if isinstance(value, Token | Iterating):
        return machine.plain(f"the class of {value} is not known")
    return machine.class_of(type(value))


def is_subclass(machine: Machine, cls: Value, kinds: Value) -> bool | Unknown:
    """Tell whether a class derives from another, or from one of several."""
    if isinstance(kinds, tuple):
        return _any_of([is_subclass(machine, cls, kind) for kind in kinds])
    cls, kind = _as_class(machine, cls), _as_class(machine, kinds)
    if isinstance(cls, Unknown) or isinstance(kind, Unknown):
        return (cls if isinstance(cls, Unknown) else kind).as_plain()
    if not isinstance(cls, Class) or not isinstance(kind, Class):
        return machine.plain("whether one class derives from another is not known")
    if kind in cls.mro or kind.builtin is object:
        return True
    if kind.builtin is not None and any(base.builtin is kind.builtin for base in cls.mro):
        return True
    return cls.unknown.as_plain() if cls.unknown is not None else False


def _as_class(machine: Machine, value: Value) -> Value:
    return machine.class_of(value) if isinstance(value, type) else value


def _any_of(found: list[bool | Unknown]) -> bool | Unknown:
    if True in found:
        return True
    return next((each for each in found if isinstance(each, Unknown)), False)
