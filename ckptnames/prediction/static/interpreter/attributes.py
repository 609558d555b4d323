"""Attributes of every kind of value: how they are found."""

from __future__ import annotations

import functools
import types
from dataclasses import replace
from typing import Any

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.names import in_namespace
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.values import (
    Class,
    ClassMethod,
    Context,
    Function,
    Instance,
    Iterating,
    KnownModule,
    Method,
    Module,
    Namespace,
    Native,
    OfValue,
    Partial,
    Property,
    Pure,
    StaticMethod,
    Super,
    Tensor,
    Token,
    Unknown,
    Value,
)

MISSING: Any = object()
INTERNAL = frozenset(
    [
        "_non_persistent_buffers_set",
        "_backward_pre_hooks",
        "_backward_hooks",
        "_is_full_backward_hook",
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    ]
)
"""What a module keeps for itself beside what is registered on it."""


def get(machine: Machine, value: Value, name: str) -> Value:
    """Give an attribute. Raises ``Raised`` where there is none."""
    found = look_up(machine, value, name)
    if found is MISSING:
        raise machine.raised(AttributeError, f"'{kind_of(value)}' has no attribute '{name}'")
    return found


def look_up(machine: Machine, value: Value, name: str) -> Value:
    """Give an attribute, or ``MISSING``."""
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Instance):
        return of_instance(machine, value, name)
    if isinstance(value, Class):
        return _of_class(machine, value, name)
    if isinstance(value, KnownModule):
        return _of_known(machine, value, name)
    if isinstance(value, Namespace):
        return _of_namespace(machine, value, name)
    if isinstance(value, Super):
        return _of_super(machine, value, name)
    if isinstance(value, Tensor):
        return machine.torch.attribute(machine, value, name)
    if isinstance(value, Function | Native | Pure | Method | Partial | Property):
        return _of_callable(machine, value, name)
    if isinstance(value, Iterating):
        return _of_iterator(machine, value, name)
    if isinstance(value, Token | Context):
        return machine.plain(f"'{name}' of {kind_of(value)} is not known")
    return _of_python(machine, value, name)


def of_instance(machine: Machine, value: Instance, name: str) -> Value:
    """Give an attribute of an object as Python finds it: properties, its own, its class's, and what is registered."""
    found = value.cls.look_up(name)
    if found is not None and isinstance(found[1], Property):
        return _computed(machine, value, found[1], name)
    if found is not None and is_data_descriptor(found[1]):
        return bound(machine, found[1], value, value.cls)
    if name in value.attrs:
        return value.attrs[name]
    if found is not None:
        return bound(machine, found[1], value, value.cls)
    fallback = value.cls.look_up("__getattr__")
    if isinstance(value, Module) and (fallback is None or fallback[0].layer):
        for held in (value.params, value.buffers, value.modules):
            if name in held:
                return held[name]
    if name == "__class__":
        return value.cls if value.cls.builtin is None else value.cls.builtin
    if name == "__dict__":
        return value.attrs
    if name == "__module__" and value.cls.builtin is None:
        return value.cls.module
    if isinstance(value, Module) and name in REGISTRIES:
        return getattr(value, REGISTRIES[name])
    if value.payload is not None:
        inner = _of_python(machine, value.payload, name)
        if inner is not MISSING:
            return inner
    why = value.opened or value.cls.unknown
    if why is not None and (value.cls.unknown is not None or not name.startswith("__")):
        return _perhaps_method(why, value)
    if name in vars(object):
        return _of_object(machine, value, name)
    if name in _OF_ANY or (isinstance(value, Module) and name in INTERNAL):
        return machine.unknown(f"'{name}' of an object is not followed").within(value)
    if fallback is not None:
        return machine.call(bound(machine, fallback[1], value, value.cls), [name])
    return MISSING


def _of_object(machine: Machine, value: Instance, name: str) -> Value:
    if not callable(getattr(object, name)):
        return machine.plain(f"'{name}' of an object is not known")
    return Method(OfValue(object, name), value)


_OF_ANY = frozenset({"__annotations__", "__weakref__", "__firstlineno__", "__static_attributes__"})
REGISTRIES = {"_parameters": "params", "_buffers": "buffers", "_modules": "modules"}
"""Where a module keeps what is registered on it."""


def _computed(machine: Machine, value: Instance, found: Property, name: str) -> Value:
    if found.cached and name in value.attrs:
        return value.attrs[name]
    result = machine.call(found.getter, [value])
    if found.cached:
        machine.touch(value.attrs)
        value.attrs[name] = result
    return result


def bound(machine: Machine, found: Value, instance: Value, cls: Class) -> Value:
    """Bind what was found in a class to the instance (or, where that is ``None``, to the class)."""
    if isinstance(found, StaticMethod):
        return found.function
    if isinstance(found, ClassMethod):
        return Method(found.function, cls)
    if isinstance(found, Instance) and not isinstance(found, Module) and found.cls.look_up("__get__") is not None:
        return machine.call(machine.get(found, "__get__"), [instance, cls])
    if instance is None:
        return found
    if isinstance(found, Function) or (isinstance(found, Native) and found.binds) or _is_method_of_type(found):
        return Method(found, instance)
    if isinstance(found, Property):
        return machine.call(found.getter, [instance])
    return _perhaps_method(found, instance) if isinstance(found, Unknown) else found


def _perhaps_method(found: Unknown, instance: Value) -> Unknown:
    return replace(found, instance=instance)


def _is_method_of_type(found: Value) -> bool:
    """Tell whether something is a method of one of Python's own types, as ``dict.__getitem__`` is."""
    if not isinstance(found, OfValue) or not isinstance(found.value, type):
        return False
    kinds = (types.WrapperDescriptorType, types.MethodDescriptorType)
    return isinstance(getattr(found.value, found.name), kinds)


def is_data_descriptor(found: Value) -> bool:
    """Tell whether something in a class answers for an attribute before the object itself does."""
    if not isinstance(found, Instance) or isinstance(found, Module):
        return False
    return any(found.cls.look_up(name) is not None for name in ("__set__", "__delete__"))


def _of_class(machine: Machine, cls: Class, name: str) -> Value:
    found = cls.look_up(name)
    if found is not None:
        if name == "__init__" and isinstance(found[1], Native):
            return found[1]
        return bound(machine, found[1], None, cls)
    special = _class_special(cls, name)
    if special is not MISSING:
        return special
    mixed = cls.mixed_in
    if mixed is not None and hasattr(mixed, name):
        return OfValue(mixed, name)
    if cls.unknown is not None:
        return cls.unknown
    layer = next((base for base in cls.mro if base.layer), None)
    if layer is not None:
        found = machine.torch.class_attribute(machine, layer, name)
        if found is not MISSING:
            return found
    if hasattr(type, name) or name in _OF_ANY:
        return machine.unknown(f"'{name}' of a class is not followed")
    return MISSING


def _class_special(cls: Class, name: str) -> Value:
    if name in ("__name__", "__qualname__"):
        return cls.name
    if name == "__module__":
        return cls.module
    if name == "__mro__":
        return cls.mro
    if name == "__bases__":
        return cls.bases
    if name == "__dict__":
        return cls.names
    if name == "__members__" and "members" in cls.known:
        return cls.known["members"]
    if name == "__annotations__" and not cls.layer and not cls.known.get("annotations"):
        return {}
    return MISSING


def _of_known(machine: Machine, module: KnownModule, name: str) -> Value:
    from ckptnames.prediction.static.interpreter.imports import known_name

    return known_name(machine, f"{module.name}.{name}")


def _of_namespace(machine: Machine, namespace: Namespace, name: str) -> Value:
    from ckptnames.prediction.static.interpreter.imports import submodule
    from ckptnames.prediction.static.stdlib.builtins import BUILTINS

    if name in namespace.vars or (name not in BUILTINS and namespace.stars):
        try:
            return in_namespace(machine, namespace, name)
        except Raised as raised:
            if not isinstance(raised.value, NameError):
                raise
    if name == "__dict__":
        return namespace.vars
    found = submodule(machine, namespace, name)
    if found is not None:
        return found
    if "__getattr__" in namespace.vars:
        return machine.call(namespace.vars["__getattr__"], [name])
    if namespace.unknown is not None:
        return namespace.unknown
    return machine.plain(f"'{name}' of a module is not known") if name.startswith("__") else MISSING


def _of_super(machine: Machine, value: Super, name: str) -> Value:
    if value.after not in value.cls.mro:
        return machine.unknown("'super()' of another class is not followed")
    found = value.cls.look_up(name, after=value.after)
    if found is not None:
        instance = None if isinstance(value.instance, Class) else value.instance
        if isinstance(found[1], Function | Native) and instance is None and name == "__new__":
            return found[1]
        return bound(machine, found[1], instance, value.cls)
    if value.cls.unknown is not None:
        return value.cls.unknown if name == "__init__" else _perhaps_method(value.cls.unknown, value.instance)
    payload = value.instance.payload if isinstance(value.instance, Instance) else None
    if payload is not None:
        return _of_python(machine, payload, name)
    if isinstance(value.instance, Module):
        layer = next(base for base in value.cls.mro if base.layer)
        return machine.torch.class_attribute(machine, layer, name)
    if name not in vars(object):
        return MISSING
    of_object = OfValue(object, name)
    return of_object if name == "__new__" or isinstance(value.instance, Class) else Method(of_object, value.instance)


def _of_iterator(machine: Machine, value: Iterating, name: str) -> Value:
    from ckptnames.prediction.static.interpreter.items import advance
    from ckptnames.prediction.static.interpreter.spoiling import spoil

    if name == "__iter__":
        return Native(name, lambda machine: value)
    if name == "__next__":
        return Native(name, lambda machine: advance(machine, value))
    why = machine.unknown(f"'{name}' of an iterator is not followed")
    if not name.startswith("__"):
        # It may be ended, or go on in another way.
        value.why = why
        spoil(machine, [value], why)
    return why


def _of_callable(machine: Machine, value: Value, name: str) -> Value:
    attrs = getattr(value, "attrs", None)
    if attrs is not None and name in attrs:
        return attrs[name]
    if isinstance(value, Partial):
        known = {"func": value.function, "args": value.args, "keywords": value.kwargs}
        return known[name] if name in known else _perhaps_of(machine, functools.partial, name)
    if isinstance(value, Property):
        return _of_property(machine, value, name)
    if isinstance(value, Method):
        if name == "__self__":
            return value.instance
        return value.function if name == "__func__" else look_up(machine, value.function, name)
    if name in ("__name__", "__qualname__"):
        return value.name.rpartition(".")[2]
    if name == "__module__":
        return value.frame.namespace.name if isinstance(value, Function) else "builtins"
    if name == "__dict__" and attrs is not None:
        return attrs
    if name == "__get__" and isinstance(value, Function):
        return Native("__get__", lambda machine, instance, cls=None: bound(machine, value, instance, cls))
    if isinstance(value, Function):
        return _perhaps_of(machine, types.FunctionType, name)
    return machine.unknown(f"'{name}' of '{value.name}' is not among what is known")


def _perhaps_of(machine: Machine, kind: type, name: str) -> Value:
    if not any(name in vars(base) for base in kind.__mro__):
        return MISSING
    return machine.unknown(f"'{name}' of a {kind.__name__} is not followed")


def _of_property(machine: Machine, value: Property, name: str) -> Value:
    if name == "setter":
        return Native("setter", lambda machine, function: Property(value.getter, function, value.cached))
    if name in ("getter", "deleter"):
        return Native(name, lambda machine, function: value)
    return value.getter if name == "fget" else _perhaps_of(machine, property, name)


def _of_python(machine: Machine, value: Value, name: str) -> Value:
    """Give an attribute of a value of one of Python's own types."""
    if machine.torch.is_array(value) or machine.torch.is_token(value):
        return machine.torch.native_attribute(machine, value, name)
    if name == "__class__":
        return type(value)
    if not hasattr(value, name):
        return MISSING
    if isinstance(value, type):
        if name in ("__name__", "__qualname__", "__module__", "__doc__"):
            return getattr(value, name)
        return OfValue(value, name) if callable(getattr(value, name)) else _perhaps_of(machine, value, name)
    found = getattr(value, name)
    if callable(found):
        return OfValue(value, name)
    if name.startswith("__") and name not in ("__name__", "__doc__"):
        return machine.plain(f"'{name}' of a {kind_of(value)} is not known")
    return found


def kind_of(value: Value) -> str:
    """Name what a value is, for messages."""
    if isinstance(value, Instance):
        return value.cls.name
    if isinstance(value, Namespace | KnownModule):
        return f"module {value.name}"
    return value.name if isinstance(value, Class) else type(value).__name__
