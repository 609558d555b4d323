"""What a rename cannot mend: keys whose values are not the weights that their name promises."""

from __future__ import annotations

from collections.abc import Collection, Sized
from typing import NamedTuple

from ckptnames.manifest import Manifest
from ckptnames.wording import counted

QUANTISED = "quantised-weights"
"""The code of weights that are packed numbers."""

_QUANTISED = (
    "absmax",
    "quant_map",
    "nested_absmax",
    "nested_quant_map",
    "SCB",
    "qweight",
    "qzeros",
    "g_idx",
    "_packed_params",
    "weight_scale_inv",
    "weight_format",
)
_QUANTISED_INSIDE = (".quant_state.", "_packed_params.")


class Obstacle(NamedTuple):
    """A reason why no renaming makes these keys load: its code, the keys, and what to do instead."""

    code: str
    keys: tuple[str, ...]
    message: str
    help: str


def obstacles(source: Manifest, target: Manifest) -> tuple[Obstacle, ...]:
    """Name the content of ``source`` that cannot become ``target`` by renaming.

    >>> from ckptnames.manifest import TensorInfo
    >>> flat = Manifest({"_flat_param": TensorInfo("F32", (100,), 400)})
    >>> [o.code for o in obstacles(flat, Manifest({"fc.weight": TensorInfo("F32", (10, 10), 400)}))]
    ['flat-parameters']
    """
    found = [_flat(source, target), _placeholders(source, target), _quantised(source, target)]
    return tuple(obstacle for obstacle in found if obstacle)


def transposed(target: Manifest, names: Collection[str]) -> Obstacle:
    """Say of keys of the target that the source holds their weights the other way round."""
    keys = tuple(key for key in target if key in names)
    n_square = sum(1 for key in keys if len(set(target[key].shape or ())) == 1)
    silent = (
        f"; {n_square:,} of them {'is' if n_square == 1 else 'are'} square, and would load without a word"
        if n_square
        else ""
    )
    return Obstacle(
        "transposed-weights",
        keys,
        f"the source holds weights transposed, as layers like GPT-2's Conv1D do: {_share(keys, target)}{silent}",
        "transpose these with `.t()` in Python, and rename the rest",
    )


def _share(keys: Sized, source: Manifest) -> str:
    return f"{len(keys):,} of {counted(len(source), 'key')}"


def _leaf(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _flat(source: Manifest, target: Manifest) -> Obstacle | None:
    def is_flat(key: str) -> bool:
        leaf = _leaf(key)
        return leaf in ("_flat_param", "flat_param") or leaf.startswith(("_flat_param_", "flat_param_"))

    keys = tuple(key for key in source if is_flat(key) and key not in target)
    if not keys:
        return None
    return Obstacle(
        "flat-parameters",
        keys,
        f"FSDP flattened many weights into one tensor without names: {_share(keys, source)}",
        "save again with FullStateDictConfig, or consolidate with the shard metadata that the FSDP model holds",
    )


def _placeholders(source: Manifest, target: Manifest) -> Obstacle | None:
    """ZeRO stage 3 leaves tensors of shape [0] or [1] where the weights were.

    Source: ``zero_to_fp32.py`` and issues that quote such files.
    """
    wanted = {info.shape for info in target.values()}
    weights = [key for key, info in source.items() if info.dtype and info.dtype[0] in "FB" and info.dtype != "BOOL"]
    empty = tuple(key for key in weights if source[key].shape in ((0,), (1,)))
    if not empty or 2 * len(empty) < len(weights) or (1,) in wanted or (0,) in wanted:
        return None
    return Obstacle(
        "zero-placeholders",
        empty,
        f"DeepSpeed ZeRO-3 left placeholders of shape [0] or [1], not weights: {_share(empty, source)}",
        "run DeepSpeed's zero_to_fp32.py in the checkpoint folder, and use the file it writes",
    )


def _quantised(source: Manifest, target: Manifest) -> Obstacle | None:
    def is_state(key: str) -> bool:
        return _leaf(key) in _QUANTISED or any(mark in key for mark in _QUANTISED_INSIDE)

    keys = tuple(key for key in source if is_state(key))
    if not keys or any(is_state(key) for key in target):
        return None
    return Obstacle(
        QUANTISED,
        keys,
        f"the weights are packed numbers, with their quantisation state beside them: {_share(keys, source)}",
        "build the model quantised in the same way, or dequantise the checkpoint with the library that wrote it",
    )
