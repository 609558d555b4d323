"""torch's own classes that compute when they are asked for their state dict, made to answer without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn

from ckptnames.keys import join
from ckptnames.manifest import TensorInfo
from ckptnames.prediction.shadow import origin
from ckptnames.prediction.tensors import spelled
from ckptnames.prediction.walk import modules
from ckptnames.prediction.wrapper_types import FSDP1, is_a

_INNER = "_fsdp_wrapped_module."
_CHECKPOINTED = "_checkpoint_wrapped_module."
_FLAT = "_flat_param"
_QUANTISED = "torch.ao.nn."
_FSDP = "torch.distributed.fsdp."


def prepared(model: nn.Module) -> nn.Module:
    """Change a shadow so that asking for its state dict gathers, unpacks and copies nothing."""
    copies = {id(origin(module)): module for module in model.modules()}
    for module in copies.values():
        _without_fsdp_hooks(module)
        if is_a(module, FSDP1):
            _with_dtypes_of_buffers(module)
            _with_whole_parameters(module, copies)
        elif type(module).__module__.startswith(_QUANTISED):
            _without_unpacking(module)
    return model


def _without_fsdp_hooks(module: nn.Module) -> None:
    """Leave out what FSDP does before it saves, which is to gather or to shard; after it, names alone are seen to."""
    before, after = module._state_dict_pre_hooks, module._state_dict_hooks
    for key in [key for key, hook in before.items() if _is_fsdp(hook)]:
        del before[key]
    after |= {key: _without_wrapper for key, hook in after.items() if _is_fsdp(hook)}


def _is_fsdp(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_FSDP)


def _without_wrapper(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:  # noqa: ARG001
    inner = prefix + _INNER
    for key in [key for key in state_dict if key.startswith(inner)]:
        state_dict[prefix + key[len(inner) :]] = state_dict.pop(key)


def _with_whole_parameters(module: nn.Module, copies: Mapping[int, nn.Module]) -> None:
    """Register the parameters of an FSDP unit in their whole shapes, as it does itself after gathering them."""
    handle, module.__dict__["_handle"] = module.__dict__.get("_handle"), None
    if handle is None:
        return
    unit: Any = origin(module)
    flat, holder = handle.flat_param, copies[id(unit.module)]
    if handle.uses_sharded_strategy and module.__dict__["_state_dict_type"].name == "LOCAL_STATE_DICT":
        holder._parameters[_FLAT] = _whole(flat._unpadded_unsharded_size, (1,), flat)
        return
    holder._parameters.pop(_FLAT, None)
    # Parameters that FSDP left registered, and never shards, keep their places; others are registered anew.
    stay = handle._use_orig_params and not handle.uses_sharded_strategy
    for info, shape, strides in zip(flat._param_infos, flat._shapes, flat._strides, strict=True):
        _register(copies.get(id(info.module)), info.param_name, _whole(shape, strides, flat), stay)
    for info in flat._shared_param_infos:
        # FSDP copies the first of tied weights out of the flat one; the others keep a memory that is not theirs.
        place = next(n for n, first in enumerate(flat._param_infos) if _same_place(first, info))
        whole = _whole(flat._shapes[place], flat._strides[place], flat)
        _register(copies.get(id(info.module)), info.param_name, whole, stay)


def _same_place(first: Any, shared: Any) -> bool:
    return first.module is shared.prim_module and first.param_name == shared.prim_param_name


def _whole(shape: Sequence[int], strides: Sequence[int], flat: torch.Tensor) -> nn.Parameter:
    whole = torch.empty_strided(shape, strides, dtype=flat.dtype, device="meta")
    return nn.Parameter(whole, requires_grad=False)


def _register(module: nn.Module | None, name: str, value: nn.Parameter, stay: bool) -> None:
    if module is None:  # taken out of the model after FSDP took its parameters
        return
    if not stay:
        module._parameters.pop(name, None)
    module._parameters[name] = value


def _with_dtypes_of_buffers(module: nn.Module) -> None:
    """Give back the dtypes that buffers had before they were cast for mixed precision: so they are saved."""
    own = module.__dict__
    if own["mixed_precision"].buffer_dtype is None:
        return
    for path, below in modules(module):
        for leaf, buffer in below._buffers.items():
            name = join(path, leaf).replace(_INNER, "").replace(_CHECKPOINTED, "")
            dtype = own["_buffer_name_to_orig_dtype"].get(name)
            if buffer is not None and dtype not in (None, buffer.dtype):
                below._buffers[leaf] = torch.empty_strided(buffer.shape, buffer.stride(), dtype=dtype, device="meta")


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
    packed: Any = module._modules.get("_packed_params")
    if packed is not None and "embedding_dim" in own:
        table = TensorInfo(spelled(packed.dtype), (own["num_embeddings"], own["embedding_dim"]))
        packed.__dict__["_weight"] = lambda: table
