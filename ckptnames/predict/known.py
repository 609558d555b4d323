"""torch's own classes that compute when they are asked for their state dict, made to answer without."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import nn

from ckptnames.manifest import TensorInfo
from ckptnames.predict.shadow import HOOKS, origin
from ckptnames.predict.tensors import SPELLED
from ckptnames.predict.wrapper_types import FSDP1, is_a

_INNER = "_fsdp_wrapped_module."
_FLAT = "_flat_param"
_QUANTISED = "torch.ao.nn."
_SHARDS_BEFORE_SAVING = "torch.distributed.fsdp._fully_shard."


def prepared(model: nn.Module) -> nn.Module:
    """Change a shadow so that asking for its state dict gathers, unpacks and copies nothing."""
    copies = {id(origin(module)): module for module in model.modules()}
    for module in copies.values():
        if is_a(module, FSDP1):
            _without_sharding(module, copies)
        elif type(module).__module__.startswith(_QUANTISED):
            _without_unpacking(module)
        elif module._state_dict_pre_hooks:
            _without_resharding(module)
    return model


def _without_sharding(module: nn.Module, copies: Mapping[int, nn.Module]) -> None:
    """Register the parameters that an FSDP unit saves, in their whole shapes, as it does after gathering them."""
    for hooks in HOOKS:
        getattr(module, hooks).clear()
    module._register_state_dict_hook(_without_wrapper)  # type: ignore[no-untyped-call]
    handle, module.__dict__["_handle"] = module.__dict__.get("_handle"), None
    if handle is None:
        return
    flat, saved_flat = handle.flat_param, module.__dict__["_state_dict_type"].name == "LOCAL_STATE_DICT"
    unsharded = not handle.uses_sharded_strategy
    if saved_flat and not unsharded:
        holder = copies[id(handle._fully_sharded_module)]
        holder._parameters[_FLAT] = _whole(flat._unpadded_unsharded_size, None, flat)
        return
    # Parameters that FSDP left registered, and never shards, keep their places; the others are registered anew.
    stay = unsharded and handle._use_orig_params
    for holder in copies.values():
        if holder._parameters.get(_FLAT) is flat:
            del holder._parameters[_FLAT]
    for info, shape, strides in zip(flat._param_infos, flat._shapes, flat._strides, strict=True):
        _register(copies[id(info.module)], info.param_name, _whole(shape, strides, flat), stay)
    for info in flat._shared_param_infos:
        # FSDP copies the first of tied weights out of the flat one; the others keep a memory that is not theirs.
        first = copies[id(info.prim_module)]._parameters[info.prim_param_name]
        assert first is not None
        _register(copies[id(info.module)], info.param_name, _whole(first.shape, first.stride(), flat), stay)


def _whole(shape: Any, strides: Any, flat: torch.Tensor) -> nn.Parameter:
    whole = torch.empty(shape, dtype=flat.dtype, device="meta")
    if strides is not None:
        whole = torch.empty_strided(shape, strides, dtype=flat.dtype, device="meta")
    return nn.Parameter(whole, requires_grad=False)


def _register(module: nn.Module, name: str, value: Any, stay: bool) -> None:
    if not stay:
        module._parameters.pop(name, None)
    module._parameters[name] = value


def _without_wrapper(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:  # noqa: ARG001
    inner = prefix + _INNER
    for key in [key for key in state_dict if key.startswith(inner)]:
        state_dict[prefix + key[len(inner) :]] = state_dict.pop(key)


def _without_resharding(module: nn.Module) -> None:
    """Leave out FSDP2's hook, which puts tensors that are gathered at present back into shards of the same names."""
    hooks = module._state_dict_pre_hooks
    for key, hook in list(hooks.items()):
        if getattr(hook, "__module__", "").startswith(_SHARDS_BEFORE_SAVING):
            del hooks[key]


def _without_unpacking(module: nn.Module) -> None:
    """Answer for packed weights from what the module says of their sizes."""
    own = module.__dict__
    if hasattr(module, "transposed"):
        channels = (own["in_channels"], own["out_channels"])
        first, second = channels if own["transposed"] else channels[::-1]
        shape = (first, second // own["groups"], *own["kernel_size"])
        weight = TensorInfo("QINT8", shape, prod(shape))
        # Whether there is a bias at all, only the packed weights know.
        own["_weight_bias"] = lambda: (weight, TensorInfo(None, None))
    elif hasattr(module, "_weight_bias"):
        own["_weight_bias"] = tuple
    packed = module._modules.get("_packed_params")
    if packed is not None and "embedding_dim" in own:
        table = TensorInfo(SPELLED.get(packed.dtype), (own["num_embeddings"], own["embedding_dim"]))
        packed.__dict__["_weight"] = lambda: table
