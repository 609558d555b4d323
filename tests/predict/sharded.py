"""Run as a process of its own: FSDP over two ranks that are only pretended, each case predicted and then saved."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision, StateDictType, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

import ckptnames
from tests.predict.agreement import as_said, as_saved, ties
from tests.predict.wrapping import Net

CPU = torch.device("cpu")


def check(title: str, model: nn.Module) -> None:
    """Hold a prediction to what the model saves afterwards."""
    said, canonical = ckptnames.predict(model), ckptnames.canonical(model)
    saved = model.state_dict()
    assert as_said(said) == list(as_saved(saved).items()), title
    assert list(said.ties) == ties(saved), title
    assert canonical == {key: key for key in saved}, title


def main() -> None:
    """Check every case."""
    pretended: Any = import_module("torch.testing._internal.distributed.fake_pg")
    dist.init_process_group("fake", store=pretended.FakeStore(), rank=0, world_size=2)
    policies = {"one unit": None, "units of linear layers": ModuleWrapPolicy({nn.Linear})}
    for original in (False, True):
        for title, policy in policies.items():
            unit = FullyShardedDataParallel(Net(), device_id=CPU, use_orig_params=original, auto_wrap_policy=policy)
            check(f"{title}, original parameters {original}", unit)
    check("around a checkpoint wrapper", FullyShardedDataParallel(checkpoint_wrapper(Net()), device_id=CPU))
    model = FullyShardedDataParallel(Net(), device_id=CPU)
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.SHARDED_STATE_DICT):
        said, saved = ckptnames.predict(model), model.state_dict()
        # Values of this kind have a shape and a dtype, and no strides.
        assert [(key, info.shape) for key, info in said.items()] == [(key, value.shape) for key, value in saved.items()]
    halves = MixedPrecision(torch.bfloat16, buffer_dtype=torch.bfloat16)
    layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    mixed = FullyShardedDataParallel(layers, device_id=CPU, mixed_precision=halves)
    mixed(torch.zeros(3, 4))
    assert mixed.get_buffer("_fsdp_wrapped_module.1.running_mean").dtype == torch.bfloat16
    check("mixed precision, after a forward", mixed)
    second = Net()
    fully_shard(second.encoder)
    fully_shard(second)
    check("fully_shard", second)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
