"""The tensors of a model under its unwrapped names: the memory itself, for a load to write into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel

from ckptnames.prediction.canonical import canonical

_WHOLE = StateDictOptions(full_state_dict=True)


def state_of(model: nn.Module) -> tuple[dict[str, Any], Callable[[], None]]:
    """Give the state dict under unwrapped names, and what hands back to the model what is not loaded in place.

    >>> state, _ = state_of(nn.Sequential(nn.DataParallel(nn.Linear(1, 1))))
    >>> list(state)
    ['0.weight', '0.bias']
    """
    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        # Its shards are pieces of flat tensors, which some ranks have no part of: the whole is gathered, and cut again.
        whole: dict[str, Any] = get_model_state_dict(model, options=_WHOLE)
        return whole, lambda: _set(model, whole)
    names = canonical(model)
    values = model.state_dict()
    state = {name: values[key] for key, name in names.items()}
    elsewhere = [key for key in names if not isinstance(values[key], torch.Tensor) or values[key].is_meta]
    return state, lambda: _hand_back(model, {key: state[names[key]] for key in elsewhere})


def _set(model: nn.Module, whole: dict[str, Any]) -> None:
    set_model_state_dict(model, whole, options=_WHOLE)


def _hand_back(model: nn.Module, values: dict[str, Any]) -> None:
    if values:
        model.load_state_dict(values, strict=False, assign=True)
