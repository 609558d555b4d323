"""Which classes wrap a model, decided by type: an attribute that merely is called ``module`` is no wrapper."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from torch import nn

from ckptnames.keys import join
from ckptnames.prediction.walk import modules

FSDP1 = "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel"

WRAPPED_AS = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    FSDP1: "_fsdp_wrapped_module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": "_checkpoint_wrapped_module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch.ao.quantization.stubs.QuantWrapper": "module",
}
"""The attribute under which each class holds what it wraps. By name, since importing some of them takes seconds."""


_MOST_CLASSES = 1024
"""Classes that are remembered: parametrizations make one for each module."""


class Holder(nn.Module):
    """Stands for a wrapper: holds what it wraps under the wrapper's attribute."""

    def __init__(self, inner: nn.Module, attribute: str) -> None:
        super().__init__()
        self.attribute = attribute
        self.add_module(attribute, inner)


def is_a(module: nn.Module, name: str) -> bool:
    """Tell whether a module is of the class of that full name, which need not be imported for that."""
    cls: Any = type(module)
    return name in _names(cls)


def wrapped_as(module: nn.Module) -> str | None:
    """Give the attribute under which a wrapper holds what it wraps; ``None`` where the module is no wrapper.

    >>> wrapped_as(nn.DataParallel(nn.ReLU())), wrapped_as(nn.ModuleDict({"module": nn.ReLU()}))
    ('module', None)
    """
    if isinstance(module, Holder):
        return module.attribute
    cls: Any = type(module)
    return _attribute(cls)


def unwrapped(module: nn.Module) -> nn.Module:
    """Go inside every wrapper.

    >>> unwrapped(nn.DataParallel(nn.DataParallel(nn.ReLU())))
    ReLU()
    """
    while (name := wrapped_as(module)) is not None and (inner := module._modules.get(name)) is not None:
        module = inner
    return module


def elided(model: nn.Module) -> nn.Module:
    """Take the wrappers out of a shadow; the model that was wrapped remains.

    >>> elided(nn.Sequential(nn.DataParallel(nn.ReLU())))
    Sequential(
      (0): ReLU()
    )
    """
    root = unwrapped(model)
    for module in root.modules():
        own = module._modules
        own |= {name: unwrapped(child) for name, child in own.items() if child is not None}
    return root


def unwrapped_paths(model: nn.Module) -> dict[str, str]:
    """Give for each path of a module the one it has once the wrappers above it are gone.

    >>> unwrapped_paths(nn.DataParallel(nn.ReLU()))
    {'': '', 'module': ''}
    """
    held: dict[str, str | None] = {}
    found = {"": ""}
    for path, module in modules(model):
        held[path] = wrapped_as(module)
        if path:
            above, _, name = path.rpartition(".")
            found[path] = found[above] if name == held[above] else join(found[above], name)
    return found


@lru_cache(maxsize=_MOST_CLASSES)
def _names(cls: Any) -> frozenset[str]:
    return frozenset(f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)


@lru_cache(maxsize=_MOST_CLASSES)
def _attribute(cls: Any) -> str | None:
    return next((attribute for name, attribute in WRAPPED_AS.items() if name in _names(cls)), None)
