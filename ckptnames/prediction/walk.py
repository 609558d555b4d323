"""What is registered in a model, in the order in which ``state_dict()`` lists it. No tensor is read or copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from ckptnames.errors import EndlessModel, NotAModule

Kind = Literal["parameter", "buffer", "extra state", "made"]

EXTRA_STATE = "_extra_state"

_DEEPEST = 1000
"""Modules inside each other: ``state_dict()`` itself ends here, at Python's recursion limit."""


class Entry(NamedTuple):
    """One key of a state dict, and where it is registered.

    ``path`` names the module ``owner`` from the root, which is ``""``; ``leaf`` is the name inside it. ``value`` is the
    tensor itself or one that stands for it, and ``None`` for an extra state that was not asked for. An entry is
    ``made`` where code of the model puts it into the state dict: then ``owner`` is the nearest module above its key.
    """

    key: str
    path: str
    owner: nn.Module
    leaf: str
    kind: Kind
    value: Any


def entries(visited: Iterable[tuple[str, nn.Module]]) -> list[Entry]:
    """List what is registered in modules by path: of each its parameters, buffers and extra state.

    >>> model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.BatchNorm1d(3, affine=False))
    >>> [entry.key for entry in entries(modules(model))]
    ['0.weight', '1.running_mean', '1.running_var', '1.num_batches_tracked']
    """
    found = []
    for path, module in visited:
        prefix = f"{path}." if path else ""
        for leaf, value in tensors_of(module):
            kind: Kind = "parameter" if leaf in module._parameters else "buffer"
            found.append(Entry(prefix + leaf, path, module, leaf, kind, value))
        if has_extra_state(module):
            found.append(Entry(prefix + EXTRA_STATE, path, module, EXTRA_STATE, "extra state", None))
    return found


def tensors_of(module: nn.Module) -> list[tuple[str, Any]]:
    """List the tensors that a module saves itself: its parameters, then its persistent buffers.

    >>> [leaf for leaf, _ in tensors_of(nn.BatchNorm1d(2))]
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """
    found: list[tuple[str, Any]] = [item for item in module._parameters.items() if item[1] is not None]
    if module._buffers:
        fleeting = module._non_persistent_buffers_set
        found += [item for item in module._buffers.items() if item[1] is not None and item[0] not in fleeting]
    return found


def modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Visit every module under every name it has, depth first, in the order in which they are registered.

    >>> [path for path, _ in modules(nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())))]
    ['', '0', '1', '1.0']

    Raises ``not-a-module``, ``endless-model``.
    """
    if not isinstance(model, nn.Module):
        raise NotAModule(model)
    stack = [("", model, 0)]
    while stack:
        path, module, depth = stack.pop()
        yield path, module
        children = module._modules
        if children:
            if depth > _DEEPEST:
                raise _endless(model, path)
            prefix = f"{path}." if path else ""
            stack += [
                (prefix + name, child, depth + 1) for name, child in reversed(children.items()) if child is not None
            ]


def _endless(model: nn.Module, path: str) -> EndlessModel:
    """Find on a path that is too long the first module that was met before."""
    met, module = {id(model): ""}, model
    names = path.split(".")
    for depth, name in enumerate(names, 1):
        module = module.get_submodule(name)
        here = ".".join(names[:depth])
        if id(module) in met:
            return EndlessModel(here, met[id(module)])
        met[id(module)] = here
    return EndlessModel(path, "")


def has_extra_state(module: nn.Module) -> bool:
    """Tell whether a module saves a value of its own making beside its tensors."""
    return type(module).get_extra_state is not nn.Module.get_extra_state and not isinstance(module, LazyModuleMixin)
