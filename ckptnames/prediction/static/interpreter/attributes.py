"""Attributes of every kind of value: how they are found, set and deleted."""

from __future__ import annotations

import ast
import functools
import types
from dataclasses import replace
from typing import Any

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.names import in_namespace
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.torch_nn.layers import QUIET
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
        raise machine.raised(AttributeError, f"'{_kind(value)}' has no attribute '{name}'")
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
        return machine.plain(f"'{name}' of {_kind(value)} is not known")
    return _of_python(machine, value, name)


def of_instance(machine: Machine, value: Instance, name: str) -> Value:
    """Give an attribute of an object as Python finds it: properties, its own, its class's, and what is registered."""
    found = value.cls.look_up(name)
    if found is not None and isinstance(found[1], Property):
        return _computed(machine, value, found[1], name)
    if found is not None and _is_data_descriptor(found[1]):
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
    if isinstance(value, Module) and name in _REGISTRIES:
        return getattr(value, _REGISTRIES[name])
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
_REGISTRIES = {"_parameters": "params", "_buffers": "buffers", "_modules": "modules"}


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


def _is_data_descriptor(found: Value) -> bool:
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
        return machine.plain(f"'{name}' of a {_kind(value)} is not known")
    return found


def set_attribute(machine: Machine, value: Value, name: str, to: Value) -> None:
    """Set an attribute."""
    if isinstance(value, Instance):
        if name in ("__class__", "__dict__") or (isinstance(value, Module) and name in (*_REGISTRIES, *INTERNAL)):
            _exchange(machine, value, name)
            return
        custom = value.cls.look_up("__setattr__")
        if custom is not None and not custom[0].layer:
            machine.call(bound(machine, custom[1], value, value.cls), [name, to])
        else:
            set_on_instance(machine, value, name, to)
        return
    if isinstance(value, Unknown):
        from ckptnames.prediction.static.interpreter.spoiling import given_away

        given_away(machine, [value, to], value)
        return
    if isinstance(value, KnownModule):
        machine.touch(machine.patched)
        machine.patched[f"{value.name}.{name}"] = to
        return
    if isinstance(value, Tensor):
        machine.torch.set_attribute(machine, value, name, to)
        return
    if isinstance(value, type) and name.startswith("__"):
        return  # the annotations of a named tuple
    if isinstance(value, Method):
        value = value.function
    names = getattr(
        value, "names" if isinstance(value, Class) else "vars" if isinstance(value, Namespace) else "attrs", None
    )
    if not isinstance(names, dict):
        raise machine.stuck(f"setting '{name}' on a {_kind(value)} is not followed")
    if isinstance(value, Class) and value not in machine.classes:
        patch(machine, value, name, to)
    machine.touch(names)
    names[name] = to
    if isinstance(value, Class):
        watch(machine, value, name)


def patch(machine: Machine, cls: Class, name: str, to: Value) -> None:
    """Note that the program sets an attribute of a class that is not its own."""
    if not cls.layer:
        raise machine.stuck(f"that '{name}' of '{cls.name}' is exchanged is not followed")
    does_nothing = isinstance(to, Function) and _does_nothing(to.node)
    if look_up(machine, cls, name) is MISSING or name == "forward" or (name in QUIET and does_nothing):
        return
    # Layers that are made of others have theirs made by torch.
    why = machine.unknown(f"that torch's own '{cls.name}.{name}' is exchanged is not followed")
    machine.spoiled = machine.spoiled or why


def _does_nothing(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    if isinstance(node, ast.Lambda):
        return isinstance(node.body, ast.Constant | ast.Name)
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Return | ast.Expr) and isinstance(each.value, ast.Constant | ast.Name | None))
        for each in node.body
    )


def watch(machine: Machine, cls: Class, name: str) -> None:
    """See to it that a class is not taken for known once it has what nobody here follows."""
    if name == "__getattribute__":
        machine.taint(cls, machine.unknown(f"'__getattribute__' of '{cls.name}' is not followed"))


def _exchange(machine: Machine, value: Instance, name: str) -> None:
    """Something else takes the place of all that an object has registered, or of its class."""
    why = machine.unknown(f"that '{name}' is exchanged is not followed")
    machine.open(value, why, all_of_it=True)
    if name == "__class__":
        value.cls = Class(value.cls.name, unknown=why, known=value.cls.known)
        value.cls.mro = (value.cls, machine.class_of(object))


def set_on_instance(machine: Machine, value: Instance, name: str, to: Value) -> None:
    """Set an attribute of an object as ``object.__setattr__`` and that of modules do."""
    if isinstance(value, Module):
        from ckptnames.prediction.static.torch_nn.module import set_on_module

        if set_on_module(machine, value, name, to):
            return
    found = value.cls.look_up(name)
    if found is not None and isinstance(found[1], Property) and not found[1].cached:
        if found[1].setter is None:
            raise machine.raised(AttributeError, f"property '{name}' has no setter")
        machine.call(found[1].setter, [value, to])
        return
    if found is not None and isinstance(found[1], Instance) and found[1].cls.look_up("__set__") is not None:
        machine.call(machine.get(found[1], "__set__"), [value, to])
        return
    machine.touch(value.attrs)
    value.attrs[name] = to


def delete_attribute(machine: Machine, value: Value, name: str) -> None:
    """Delete an attribute."""
    if isinstance(value, Unknown):
        from ckptnames.prediction.static.interpreter.spoiling import spoil

        spoil(machine, [value], value)
        return
    held: list[dict[str, Value]] = []
    if isinstance(value, Module):
        held = [value.params, value.buffers, value.modules]
    if isinstance(value, Instance):
        custom = value.cls.look_up("__delattr__")
        if custom is not None and not custom[0].layer:
            machine.call(bound(machine, custom[1], value, value.cls), [name])
            return
        found = value.cls.look_up(name)
        if found is not None and (isinstance(found[1], Property) or _is_data_descriptor(found[1])):
            raise machine.stuck(f"what deleting '{name}' does is not followed")
        held.append(value.attrs)
    elif isinstance(value, Class) and value not in machine.classes:
        patch(machine, value, name, None)
    elif isinstance(value, Class | Namespace | Function):
        held.append(
            value.names if isinstance(value, Class) else value.vars if isinstance(value, Namespace) else value.attrs
        )
    for names in held:
        if name in names:
            machine.touch(names)
            del names[name]
            return
    if isinstance(value, Instance) and (value.opened or value.cls.unknown) is not None:
        return
    raise machine.raised(AttributeError, f"'{_kind(value)}' has no attribute '{name}'")


def _kind(value: Value) -> str:
    if isinstance(value, Instance):
        return value.cls.name
    if isinstance(value, Namespace | KnownModule):
        return f"module {value.name}"
    return value.name if isinstance(value, Class) else type(value).__name__
