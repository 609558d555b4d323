"""A second tree of modules over the same tensors, which can be wrapped and asked without touching the first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn

from ckptnames.prediction.walk import modules

HOOKS = ("_state_dict_pre_hooks", "_state_dict_hooks")

_ORIGIN = "_ckptnames_origin"
_COLLECTIONS = (dict, OrderedDict, set, list)


def shadow(model: nn.Module, stand_in: Callable[[torch.Tensor], Any] = lambda tensor: tensor) -> nn.Module:
    """Copy the modules of a model and none of its tensors; what is shared stays shared.

    ``stand_in`` gives what takes the place of a tensor: by default the tensor itself.

    >>> net = nn.Linear(2, 2)
    >>> other = shadow(net)
    >>> other is net, other.weight is net.weight, origin(other) is net
    (False, True, True)
    """
    return _Copier(stand_in).copy(model)


def origin(module: nn.Module) -> nn.Module:
    """Give the module that a shadow was made from, or the module itself."""
    found: nn.Module = module.__dict__.get(_ORIGIN, module)
    return found


class _Copier:
    def __init__(self, stand_in: Callable[[torch.Tensor], Any]) -> None:
        self._stand_in = stand_in
        self._copies: dict[int, nn.Module] = {}

    def copy(self, root: nn.Module) -> nn.Module:
        pairs = [(module, self._alone(module)) for module in {id(m): m for _, m in modules(root)}.values()]
        for module, twin in pairs:
            if twin is not module:
                self._join(module, twin)
        return self._copies[id(root)]

    def _alone(self, module: nn.Module) -> nn.Module:
        twin = module
        # A script module is a view of an object in C++, which has no second one.
        if not isinstance(module, torch.jit.ScriptModule):
            twin = object.__new__(type(module))
            twin.__dict__.update((name, self._own(value)) for name, value in module.__dict__.items())
            twin.__dict__[_ORIGIN] = origin(module)
        self._copies[id(module)] = twin
        return twin

    def _join(self, module: nn.Module, twin: nn.Module) -> None:
        own = twin.__dict__
        own["_parameters"] = {name: self._own(value) for name, value in module._parameters.items()}
        own["_buffers"] = {name: self._own(value) for name, value in module._buffers.items()}
        own["_modules"] = {name: self._copies.get(id(child), child) for name, child in module._modules.items()}
        for hooks in HOOKS:
            own[hooks] |= {key: self._rebound(hook) for key, hook in own[hooks].items()}
        own |= {name: self._rebound(value) for name, value in own.items() if isinstance(value, MethodType)}

    def _own(self, value: Any) -> Any:
        """Give what a copy holds in place of a value: tensors as asked, and collections (of hooks, say) of its own."""
        if isinstance(value, torch.Tensor):
            return self._stand_in(value)
        return value.copy() if type(value) in _COLLECTIONS else value

    def _rebound(self, hook: Any) -> Any:
        """Bind a method of a module to its copy."""
        if isinstance(hook, partial):
            return partial(self._rebound(hook.func), *(self._copies.get(id(a), a) for a in hook.args), **hook.keywords)
        owner = self._copies.get(id(getattr(hook, "__self__", None)))
        return MethodType(hook.__func__, owner) if owner is not None and isinstance(hook, MethodType) else hook
