"""Keys that carry no weights: counters, index tables and masks that a module makes again by itself.

The name alone proves nothing: ``attn.bias`` is a causal mask in GPT-2 and a weight nearly everywhere else. A key is
droppable only if its last segment is on the list below *and* its dtype, its shape or its siblings say so too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ckptnames.manifest import TensorInfo

_INTEGERS = frozenset(("BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64"))

_COUNTERS = {
    "num_batches_tracked": "counts the batches that a BatchNorm has seen",
    "n_averaged": "counts the models that were averaged",
    "num_updates": "counts the updates of an averaged copy",
    "initted": "says whether an averaged copy has begun",
    "step": "counts steps",
    "masked_bias": "is the value that masked attention scores get",
    **dict.fromkeys(("correct", "total", "tp", "fp", "tn", "fn"), "is the running state of a metric"),
}
"""One number each."""

_INDICES = {
    "position_ids": "counts positions",
    "relative_position_index": "says which relative position each pair has",
    "confmat": "is the running state of a metric",
}
"""Integers of any shape."""

_MASKS = ("bias", "mask", "causal_mask", "attn_mask", "attention_mask", "tril")
_ATTENTION = (
    *("c_attn", "qkv", "query_key_value", "Wqkv", "in_proj", "query", "key", "value"),
    *("q_proj", "k_proj", "v_proj", "to_q", "to_k", "to_v", "wq", "wk", "wv"),
)
"""What the projections of an attention are called, beside which a mask stands."""


def is_droppable(key: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    """Say in words why the key carries no weights, or give ``None`` where that is not proved.

    >>> counter = TensorInfo("I64", (), 8)
    >>> is_droppable("bn.num_batches_tracked", counter, {"bn.num_batches_tracked": counter})
    'counts the batches that a BatchNorm has seen'
    """
    module, dot, leaf = key.rpartition(".")
    if leaf in _COUNTERS:
        return _COUNTERS[leaf] if info.shape == () or (_is_integer(info) and _numel(info) == 1) else None
    if leaf in _INDICES:
        return _INDICES[leaf] if _is_integer(info) else None
    if leaf == "_extra_state":
        return "is an extra state that holds nothing" if _numel(info) == 0 else None
    judge = _JUDGES.get(leaf)
    return judge(module + dot, info, manifest) if judge else None


def _is_integer(info: TensorInfo) -> bool:
    return info.dtype in _INTEGERS


def _numel(info: TensorInfo) -> int | None:
    if info.shape is None:
        return None
    total = 1
    for size in info.shape:
        total *= size
    return total


def _mask(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    """Ask for a square of more than one position, and for a dtype or siblings that no weight has."""
    shape = info.shape
    if shape is None or len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] < 2:
        return None
    leading = shape[:-2]
    if _is_integer(info) and all(size == 1 for size in leading):
        return "masks attention"
    if prefix + "attn.relative_position_bias_table" in manifest:
        return "masks attention between shifted windows"
    beside_attention = prefix + "masked_bias" in manifest or any(
        f"{prefix}{name}.weight" in manifest for name in _ATTENTION
    )
    return "masks attention" if beside_attention and all(size == 1 for size in leading) else None


def _bias(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    # A bias that is learned has one dimension, or stands beside the weight it belongs to.
    if info.shape is None or len(info.shape) != 4 or prefix + "weight" in manifest:
        return None
    return _mask(prefix, info, manifest)


def _attn_mask(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    positions = manifest.get(prefix + "positional_embedding")
    if positions is not None and positions.shape and info.shape == (positions.shape[0], positions.shape[0]):
        return "masks attention"
    return _mask(prefix, info, manifest)


def _rotary(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    if info.shape is None or len(info.shape) != 1 or prefix + "weight" in manifest:
        return None
    return "is computed from the size of the rotary embedding"


def _rope_freqs(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    is_rope = prefix.endswith("rope.")
    return _rotary(prefix, info, manifest) if is_rope else None


def _cached(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    beside = prefix + "inv_freq" in manifest or {prefix + "cos_cached", prefix + "sin_cached"} <= manifest.keys()
    return "is computed from the rotary frequencies" if beside and info.shape and len(info.shape) > 1 else None


def _coords(prefix: str, info: TensorInfo, manifest: Mapping[str, TensorInfo]) -> str | None:
    known = info.shape is not None and info.shape[-1:] == (2,) and prefix + "cpb_mlp.0.weight" in manifest
    return "holds the coordinates of relative positions" if known else None


Judge = Callable[[str, TensorInfo, Mapping[str, TensorInfo]], str | None]

_JUDGES: Mapping[str, Judge] = {
    **dict.fromkeys(_MASKS, _mask),
    "bias": _bias,
    "attn_mask": _attn_mask,
    "inv_freq": _rotary,
    "original_inv_freq": _rotary,
    "freqs": _rope_freqs,
    "cos_cached": _cached,
    "sin_cached": _cached,
    "relative_coords_table": _coords,
}
