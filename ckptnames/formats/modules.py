"""A ``torch.nn.Module`` that was pickled whole, read as the state dict it would give."""

from __future__ import annotations

from typing import Any

from ckptnames.errors import PickleLimit
from ckptnames.formats.symbols import Dict, Global, Mapping, Object
from ckptnames.formats.torch_tensors import TensorReader
from ckptnames.manifest import TensorInfo

_GETATTR = (Global("__builtin__", "getattr"), Global("builtins", "getattr"))
_MOST_LEVELS = 200
_MOST_CHARACTERS = 100_000_000


class Budget:
    """How much may still be written out: a module that is shared on every level has a name for each way to it."""

    def __init__(self) -> None:
        self.left = _MOST_CHARACTERS

    def spend(self, prefix: str, level: int, where: str) -> None:
        """Pay for one name. Raises ``pickle-limit``."""
        self.left -= len(prefix) + 100
        if level > _MOST_LEVELS:
            raise PickleLimit(where, "levels of modules", _MOST_LEVELS, level)
        if self.left < 0:
            raise PickleLimit(
                where, "characters in the names of modules", _MOST_CHARACTERS, _MOST_CHARACTERS - self.left
            )


def is_module(value: Any) -> bool:
    """Tell whether a value is an instance with the attributes that every ``nn.Module`` has."""
    if type(value) is not Object or type(value.state) is not Dict:
        return False
    return all(type(value.state.get(name)) is Dict for name in ("_modules", "_parameters", "_buffers"))


def module_of(value: Any) -> Any:
    """Give the module that is behind a method that was pickled instead of called: ``torch.save(model.state_dict, …)``.

    Any other value is given back.
    """
    is_method = type(value) is Object and value.callable in _GETATTR and len(value.args) == 2
    return value.args[0] if is_method and is_module(value.args[0]) else value


def state_dict_of(module: Object, reader: TensorReader, budget: Budget) -> dict[str, TensorInfo]:
    """Give the tensors by the names that ``module.state_dict()`` has, in its order.

    Raises ``pickle-limit`` for a module inside itself, and what reading a tensor raises.
    """
    found: dict[str, TensorInfo] = {}
    stack: list[tuple[str, Any, int]] = [("", module, 0)]
    while stack:
        prefix, current, level = stack.pop()
        for name, tensor in _own(current):
            budget.spend(prefix + name, level, reader.where)
            info = reader.read(tensor, prefix + name)
            if info is not None:
                found[prefix + name] = info
        children = []
        for name, child in _attribute(current, "_modules"):
            if is_module(child):
                budget.spend(prefix + name, level, reader.where)
                children.append((f"{prefix}{name}.", child, level + 1))
        stack.extend(reversed(children))
    return found


def _own(module: Object) -> list[tuple[str, Any]]:
    transient = _names(module.state.get("_non_persistent_buffers_set"))
    buffers = [(name, value) for name, value in _attribute(module, "_buffers") if name not in transient]
    return [*_attribute(module, "_parameters"), *buffers]


def _attribute(module: Object, name: str) -> list[tuple[str, Any]]:
    items: Mapping = module.state.get(name)
    return [(key, value) for key, value in items.items if isinstance(key, str)]


def _names(members: Any) -> set[str]:
    """Give the strings of a set, which newer protocols fill after they made it."""
    if type(members) is not Object:
        return set()
    given = members.args[0] if members.args and isinstance(members.args[0], list) else []
    return {name for name in [*given, *(members.elements or ())] if isinstance(name, str)}
