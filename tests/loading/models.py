"""A small model, and everything that it can be wrapped in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel


class Net(nn.Module):
    """Has tied weights, buffers, and attributes that are called as wrappers call theirs."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 4))
            self.module = nn.Linear(4, 4)
            self._orig_mod = nn.ModuleDict({"module": nn.Linear(4, 3, bias=False)})
            self.head = nn.Linear(4, 4)
            self.head.weight = self.module.weight
            self.register_buffer("table", torch.randn(3))
            for buffer in self.buffers():
                buffer.add_(seed + 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.module(self.encoder(x)))
        return out


Wrap = Callable[[Any], nn.Module]


def _compiled_inside(model: Any) -> nn.Module:
    model.encoder = torch.compile(model.encoder)
    return model  # type: ignore[no-any-return]


def _checkpointed_inside(model: Any) -> nn.Module:
    model.encoder[0] = checkpoint_wrapper(model.encoder[0])
    return model  # type: ignore[no-any-return]


def _fully_sharded(model: nn.Module) -> nn.Module:
    fully_shard(model)
    return model


def _normed(norm: Callable[[nn.Module], nn.Module]) -> Wrap:
    def wrap(model: Any) -> nn.Module:
        norm(model.encoder[0])
        norm(model.encoder[2])
        return model  # type: ignore[no-any-return]

    return wrap


def compiled(model: Any) -> nn.Module:
    return torch.compile(model)  # type: ignore[return-value]


fsdp1 = functools.partial(FullyShardedDataParallel, device_id=torch.device("cpu"))

KINDS: Mapping[str, Wrap] = {
    "plain": lambda model: model,
    "dp": nn.DataParallel,
    "ddp": DistributedDataParallel,
    "compile": compiled,
    "compile of a submodule": _compiled_inside,
    "ddp of compile": lambda model: DistributedDataParallel(compiled(model)),
    "compile of ddp": lambda model: compiled(DistributedDataParallel(model)),
    "fsdp1": fsdp1,
    "fsdp1 of original parameters": functools.partial(fsdp1, use_orig_params=True),
    "fsdp2": _fully_sharded,
    "checkpoint_wrapper": checkpoint_wrapper,
    "checkpoint_wrapper inside": _checkpointed_inside,
    "averaged": AveragedModel,
    "weight norm, new": _normed(parametrizations.weight_norm),
    "weight norm, old": _normed(nn.utils.weight_norm),
}
"""Every kind of model that the matrix has, each made of a fresh one."""

NORMED = {kind for kind in KINDS if kind.startswith("weight norm")}


PREFIXES = {
    "dp": "module.",
    "ddp": "module.",
    "compile": "_orig_mod.",
    "ddp of compile": "module._orig_mod.",
    "compile of ddp": "_orig_mod.module.",
    "averaged": "module.",
}
"""What stands in front of all names that ``Net`` itself has."""


def values(model: nn.Module, kind: str) -> dict[str, torch.Tensor]:
    """Give what a model of a kind holds, by the names that ``Net`` itself has, and the old ones of a weight norm."""
    found: dict[str, torch.Tensor] = {}
    for key, value in model.state_dict().items():
        name = key.removeprefix(PREFIXES.get(kind, "")).replace("encoder._orig_mod.", "encoder.")
        for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
            name = name.replace(f"parametrizations.weight.{new}", old)
        found[name] = whole(value).detach().clone()
    return found


def whole(value: Any) -> torch.Tensor:
    """Put together what is sharded."""
    found: torch.Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return found


def whole_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Give the state dict as training code saves it, with what torch says in ``_metadata``."""
    state = model.state_dict()
    for key, value in state.items():
        state[key] = whole(value)
    return state
