"""Attributes that are set and deleted."""

from __future__ import annotations

import ast

from ckptnames.prediction.static.interpreter.attributes import (
    INTERNAL,
    MISSING,
    REGISTRIES,
    bound,
    is_data_descriptor,
    kind_of,
    look_up,
)
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.torch_nn.layers import QUIET
from ckptnames.prediction.static.values import (
    Class,
    Function,
    Instance,
    KnownModule,
    Method,
    Module,
    Namespace,
    Property,
    Tensor,
    Unknown,
    Value,
)


def set_attribute(machine: Machine, value: Value, name: str, to: Value) -> None:
    """Set an attribute."""
    if isinstance(value, Instance):
        if name in ("__class__", "__dict__") or (isinstance(value, Module) and name in (*REGISTRIES, *INTERNAL)):
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
        raise machine.stuck(f"setting '{name}' on a {kind_of(value)} is not followed")
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
        if found is not None and (isinstance(found[1], Property) or is_data_descriptor(found[1])):
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
    raise machine.raised(AttributeError, f"'{kind_of(value)}' has no attribute '{name}'")
