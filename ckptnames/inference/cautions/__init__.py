"""Pairs whose names and shapes fit while the values inside may be laid out differently.

A file that is renamed so loads without error and computes nonsense. Sources: the converters of the libraries named,
which permute these weights.
"""

from __future__ import annotations

from collections.abc import Mapping

from ckptnames.inference.cautions.bare import bare_weight
from ckptnames.inference.cautions.caution import Caution, Renaming, Tensors
from ckptnames.inference.cautions.halves import fused_layout, gate_order, scale_shift_order
from ckptnames.inference.cautions.patches import patch_order
from ckptnames.inference.cautions.rotary import rotary_layout

__all__ = ["CODES", "Caution", "cautions"]

CODES = ("rotary-layout", "fused-layout", "gate-order", "scale-shift-order", "patch-order", "bare-weight")
"""The names by which cautions are acknowledged, in the order in which they are looked for."""

_CHECKS = (rotary_layout, fused_layout, gate_order, scale_shift_order, patch_order, bare_weight)


def cautions(mapping: Mapping[str, str], source: Tensors, target: Tensors) -> tuple[Caution, ...]:
    """Find the pairs of a mapping (target key to source key) that a rename of unchanged shape may not be enough for.

    >>> from ckptnames.manifest import TensorInfo
    >>> fused = TensorInfo("F32", (12, 4))
    >>> found = cautions({"h.0.attn.c_attn.weight": "layers.0.query_key_value.weight"},
    ...     {"layers.0.query_key_value.weight": fused}, {"h.0.attn.c_attn.weight": fused})
    >>> [caution.code for caution in found]
    ['fused-layout']
    """
    in_order = {name: mapping[name] for name in target if name in mapping}
    found = (check(Renaming(in_order, source, target)) for check in _CHECKS)
    return tuple(caution for caution in found if caution is not None)
