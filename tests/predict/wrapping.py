"""torch's own wrappers, by the names they have in ``wrap=``, and a model to put them on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.ao.quantization import QuantWrapper
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel

Wrap = Callable[[Any], nn.Module]


class Net(nn.Module):
    """Has tied weights, buffers, and attributes that are called as wrappers call theirs."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Conv1d(4, 4, 3, groups=2, bias=False))
        self.module = nn.Linear(4, 4)
        self._orig_mod = nn.ModuleDict({"module": nn.Linear(3, 3, bias=False)})
        self.head = nn.Linear(4, 4)
        if tied:
            self.head.weight = self.module.weight
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long))


class Lightning(nn.Module):
    """Holds a model as a LightningModule does, under an attribute that its author chose."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.net = model


def _fully_sharded(model: nn.Module) -> nn.Module:
    fully_shard(model)
    return model


_fsdp1 = functools.partial(FullyShardedDataParallel, device_id=torch.device("cpu"))

AROUND: dict[str, Wrap] = {
    "dp": nn.DataParallel,
    "ddp": DistributedDataParallel,
    "compile": torch.compile,  # type: ignore[dict-item]
    "fsdp1": _fsdp1,
    "fsdp1 of original parameters": functools.partial(_fsdp1, use_orig_params=True),
    "fsdp2": _fully_sharded,
    "checkpoint": checkpoint_wrapper,
    "averaged": AveragedModel,
    "lightning=net": Lightning,
    "quant": QuantWrapper,
}
"""Wrappers that go around any module."""

ON_WEIGHTS: dict[str, Wrap] = {
    "weight_norm": parametrizations.weight_norm,
    "weight_norm=old": nn.utils.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "spectral_norm=old": nn.utils.spectral_norm,
}
"""Wrappers that go on the weight of a layer."""

_FSDP = ("fsdp1", "fsdp1 of original parameters", "fsdp2")
_REFUSED = {
    ("compile", "compile"),  # gives a function
    *((inner, outer) for inner in _FSDP for outer in _FSDP if inner != outer or inner == "fsdp2"),
    *((inner, "averaged") for inner in _FSDP),  # cannot be copied
    ("fsdp2", "ddp"),
}
PAIRS = [(inner, outer) for inner in AROUND for outer in AROUND if (inner, outer) not in _REFUSED]
"""Wrappers that torch lets stand around each other, the inner one first."""


def asked_as(name: str, path: str = "") -> str:
    """Write a wrapper as ``wrap=`` takes it."""
    return name.partition(" ")[0] + (f"@{path}" if path else "")


def wrapped_at(model: nn.Module, wrap: Wrap, path: str) -> nn.Module:
    """Wrap a submodule where it stands, or the whole model."""
    if not path:
        return wrap(model)
    above, _, name = path.rpartition(".")
    holder = model.get_submodule(above)
    holder._modules[name] = wrap(holder._modules[name])
    return model
