"""A second tree of modules over the same tensors, which can be wrapped and asked without touching the first."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import nn

_HOOKS = ("_state_dict_hooks", "_state_dict_pre_hooks")


def shadow(model: nn.Module) -> nn.Module:
    """Copy the modules of a model and none of its tensors; what is shared stays shared.

    >>> net = nn.Linear(2, 2)
    >>> other = shadow(net)
    >>> other is net, other.weight is net.weight
    (False, True)
    """
    return _Copier().copy(model)


class _Copier:
    def __init__(self) -> None:
        self._copies: dict[int, nn.Module] = {}

    def copy(self, root: nn.Module) -> nn.Module:
        pairs = [(module, self._alone(module)) for module in root.modules()]
        for module, copy in pairs:
            if copy is not module:
                self._join(module, copy)
        return self._copies[id(root)]

    def _alone(self, module: nn.Module) -> nn.Module:
        copy = module
        # A script module is a view of an object in C++, which has no second one.
        if not isinstance(module, torch.jit.ScriptModule):
            copy = object.__new__(type(module))
            copy.__dict__.update(module.__dict__)
        self._copies[id(module)] = copy
        return copy

    def _join(self, module: nn.Module, copy: nn.Module) -> None:
        own = copy.__dict__
        own["_parameters"] = dict(module._parameters)
        own["_buffers"] = dict(module._buffers)
        own["_non_persistent_buffers_set"] = set(module._non_persistent_buffers_set)
        own["_modules"] = {name: self._copies.get(id(child), child) for name, child in module._modules.items()}
        for hooks in _HOOKS:
            own[hooks] = type(own[hooks])((key, self._rebound(hook)) for key, hook in own[hooks].items())

    def _rebound(self, hook: Any) -> Any:
        """Bind a method of a module to its copy."""
        owner = self._copies.get(id(getattr(hook, "__self__", None)))
        return MethodType(hook.__func__, owner) if owner is not None and isinstance(hook, MethodType) else hook
