"""Which classes wrap a model, decided by type: an attribute that merely is called ``module`` is no wrapper."""

from __future__ import annotations

from functools import cache

from torch import nn

WRAPPED_AS = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel": "_fsdp_wrapped_module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": "_checkpoint_wrapped_module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch.ao.quantization.stubs.QuantWrapper": "module",
}
"""The attribute under which each class holds what it wraps. By name, since importing some of them takes seconds."""


class Holder(nn.Module):
    """Stands for a wrapper: holds what it wraps under the wrapper's attribute."""

    def __init__(self, inner: nn.Module, attribute: str) -> None:
        super().__init__()
        self.attribute = attribute
        self.add_module(attribute, inner)


def wrapped_as(module: nn.Module) -> str | None:
    """Give the attribute under which a wrapper holds what it wraps; ``None`` where the module is no wrapper.

    >>> wrapped_as(nn.DataParallel(nn.ReLU())), wrapped_as(nn.ModuleDict({"module": nn.ReLU()}))
    ('module', None)
    """
    if isinstance(module, Holder):
        return module.attribute
    cls: type = type(module)
    return _of_class(cls)


@cache
def _of_class(cls: type) -> str | None:
    for base in cls.__mro__:
        found = WRAPPED_AS.get(f"{base.__module__}.{base.__qualname__}")
        if found is not None:
            return found
    return None


def unwrapped(module: nn.Module) -> nn.Module:
    """Go inside every wrapper.

    >>> unwrapped(nn.DataParallel(nn.DataParallel(nn.ReLU())))
    ReLU()
    """
    while (name := wrapped_as(module)) is not None and (inner := module._modules.get(name)) is not None:
        module = inner
    return module
