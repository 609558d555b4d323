"""Several matrices in one: queries, keys and values, gate and up projection, scale and shift, in whatever order."""

from __future__ import annotations

import re

from ckptnames.inference.cautions.caution import Caution, Renaming, Tensors
from ckptnames.inference.matching.units import template_of
from ckptnames.inference.naming.words import meaning

_GEGLU = re.compile(r"net[._]0[._]proj(?:[._]|$)")
_MODULATED_NORM = re.compile(r"(?:^|[._])norm[^.]*\.linear\.(?:weight|bias)$")


def fused_layout(renaming: Renaming) -> Caution | None:
    """Megatron, NeoX and Bloom hold queries, keys and values head by head, others one matrix after the other."""
    targets = tuple(
        name
        for name, key in renaming.mapping.items()
        if _is_fused(name) and _is_fused(key) and _by_head(name) != _by_head(key)
    )
    message = (
        "fused queries, keys and values: `query_key_value` mostly holds them head by head, other names one matrix "
        "after the other; the rows may have to be put in another order"
    )
    return Caution("fused-layout", targets, message) if targets else None


def _is_fused(key: str) -> bool:
    return "query key value" in meaning(template_of(key)).get("projection", ())


def _by_head(key: str) -> bool:
    return "query_key_value" in key


def gate_order(renaming: Renaming) -> Caution | None:
    """Diffusers' GEGLU takes the second half of gate and up projection for the gate, most others the first."""
    targets = tuple(
        name
        for name, key in renaming.mapping.items()
        if (_GEGLU.search(name) is None) != (_GEGLU.search(key) is None) and _is_doubled(name, renaming.target)
    )
    message = (
        "gate and up projection in one matrix: diffusers takes its second half for the gate, most others the first; "
        "the halves may have to be swapped"
    )
    return Caution("gate-order", targets, message) if targets else None


def _is_doubled(key: str, tensors: Tensors) -> bool:
    """Tell whether a layer gives twice as many numbers as the layer after it in its block takes."""
    shape = tensors[_weight_of(key)].shape if _weight_of(key) in tensors else None
    block = key.split("net.0.proj.")[0] if "net.0.proj." in key else key.rpartition(".")[0].rpartition(".")[0] + "."
    others = [info.shape for name, info in tensors.items() if name.startswith(block) and info.shape is not None]
    return (
        shape is not None
        and len(shape) == 2
        and any(len(other) == 2 and (other[0], 2 * other[1]) == (shape[1], shape[0]) for other in others)
    )


def _weight_of(key: str) -> str:
    return f"{key.rpartition('.')[0]}.weight"


def scale_shift_order(renaming: Renaming) -> Caution | None:
    """DiT's code gives the shift first, diffusers' ``AdaLayerNormContinuous`` the scale."""
    targets = tuple(
        name
        for name, key in renaming.mapping.items()
        if _is_modulated_norm(name) != _is_modulated_norm(key) and _is_pair(name, renaming.target)
    )
    message = (
        "scale and shift of a norm in one layer: diffusers' last norm takes the scale first, most others the shift; "
        "the halves may have to be swapped"
    )
    return Caution("scale-shift-order", targets, message) if targets else None


def _is_modulated_norm(key: str) -> bool:
    return _MODULATED_NORM.search(key) is not None


def _is_pair(key: str, tensors: Tensors) -> bool:
    weight = tensors.get(_weight_of(key))
    return (
        weight is not None
        and weight.shape is not None
        and len(weight.shape) == 2
        and weight.shape[0] == 2 * weight.shape[1]
    )
