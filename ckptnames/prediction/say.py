"""The code of a model that has a say in what its state dict holds: which it is, and whether it is torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

from torch import nn

from ckptnames.prediction.shadow import HOOKS
from ckptnames.prediction.walk import has_extra_state

METHODS = ("state_dict", "_save_to_state_dict")
_EXTRA = "get_extra_state"

_HARMLESS = ("torch.nn.", "torch.distributed.algorithms._checkpoint.", "ckptnames.")
"""Homes of code that only moves names, or leaves some out."""

_TORCH = (*_HARMLESS, "torch.ao.")
"""Homes of code that computes nothing with tensors, once ``known`` has prepared its modules."""


class Say(NamedTuple):
    """A piece of code that has a say: a hook, or a ``method`` of that name; where it comes from is its ``home``."""

    what: str
    name: str
    code: Callable[..., Any]
    home: str
    method: str = ""

    @property
    def is_harmless(self) -> bool:
        """True where the code can be run on the model itself, and changes, copies and computes nothing."""
        return self.home.startswith(_HARMLESS)

    @property
    def is_torch(self) -> bool:
        """True where the code can be run on a prepared shadow over the model's own tensors."""
        return self.home.startswith(_TORCH)


def has_a_say(module: nn.Module) -> bool:
    """Tell whether this module's state dict may hold something else than what is registered.

    >>> has_a_say(nn.Linear(1, 1)), has_a_say(nn.LazyLinear(1))
    (False, True)
    """
    cls: type = type(module)
    own = module.__dict__
    return bool(
        own["_state_dict_hooks"]
        or own["_state_dict_pre_hooks"]
        or _overrides(cls)
        or "state_dict" in own
        or "_save_to_state_dict" in own
    )


def says_of(module: nn.Module) -> Iterator[Say]:
    """Name every piece of code that has a say in what a module saves."""
    for hooks in HOOKS:
        for hook in getattr(module, hooks).values():
            yield _say("state-dict hook", hook)
    for method in METHODS:
        code = module.__dict__.get(method, getattr(type(module), method))
        if code is not getattr(nn.Module, method):
            yield _say("method", code, method)
    if has_extra_state(module):
        yield _say("method", type(module).get_extra_state, _EXTRA)


def _say(what: str, code: Callable[..., Any], method: str = "") -> Say:
    function = code.func if isinstance(code, partial) else code
    home = getattr(function, "__module__", None) or type(function).__module__
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return Say(what, name, code, home, method)


@lru_cache(maxsize=1024)  # parametrizations make a class for each module
def _overrides(cls: type[Any]) -> bool:
    # torch itself looks for get_extra_state on the class alone.
    return any(getattr(cls, method) is not getattr(nn.Module, method) for method in (*METHODS, _EXTRA))
