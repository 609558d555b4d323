"""The tensors of a model under its unwrapped names: the memory itself, for a load to write into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel

from ckptnames.loading.complaints import interrupted, took_nothing
from ckptnames.loading.targets import names_of
from ckptnames.prediction.live import answered, predict_live

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
    values = model.state_dict()
    names = names_of(model, values)
    state = {name: values[key] for key, name in names.items()}
    elsewhere = [key for key in names if not isinstance(values[key], torch.Tensor) or values[key].is_meta]
    ties = ties_on_meta(model, values)
    return state, lambda: _hand_back(model, {key: state[names[key]] for key in elsewhere}, ties)


def _set(model: nn.Module, whole: dict[str, Any]) -> None:
    set_model_state_dict(model, whole, options=_WHOLE)


def _hand_back(model: nn.Module, values: dict[str, Any], ties: Sequence[Sequence[str]]) -> None:
    if values:
        model.load_state_dict(values, strict=False, assign=True)
        tie_again(model, ties)
        now = model.state_dict()
        lost = [key for key in values if isinstance(now[key], torch.Tensor) and now[key].is_meta]
        if lost:
            written = [key for key in now if key not in lost]
            raise interrupted("", took_nothing(lost[0]), written, len(now))


def ties_on_meta(model: nn.Module, values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Give the keys of each tensor with several of them, of those that get new tensors in a load."""
    if not any(isinstance(value, torch.Tensor) and value.is_meta for value in values.values()):
        return []
    ties = predict_live(model).ties
    return [group for group in ties if all(key in values and values[key].is_meta for key in group)]


def tie_again(model: nn.Module, ties: Sequence[Sequence[str]]) -> None:
    """Put one tensor where there was one before: torch puts a new one under each key.

    >>> model = nn.ParameterDict({"a": torch.ones(1), "b": torch.ones(1)})
    >>> tie_again(model, [("a", "b")])
    >>> model["a"] is model["b"]
    True
    """
    if not ties:
        return
    found, _ = answered(model)
    entries = {entry.key: entry for entry in found}
    for first, *others in ties:
        tensor = getattr(entries[first].owner, entries[first].leaf)
        for key in others:
            setattr(entries[key].owner, entries[key].leaf, tensor)
