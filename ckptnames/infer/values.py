"""Cautions: pairs whose names and shapes fit while the values inside may be laid out differently.

A file that is renamed so loads without error and computes nonsense. Sources: the converters of the libraries named,
which permute these weights.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ckptnames.infer.units import leaf_of, template_of
from ckptnames.infer.words import meaning, words
from ckptnames.manifest import TensorInfo


class Caution(NamedTuple):
    """A warning that a rename is not enough for these targets: its code, and what must be checked."""

    code: str
    targets: tuple[str, ...]
    message: str


_INTERLEAVED = re.compile(r"(?:^|[./])(?:wq|wk|sa_norm|attention_norm|tok_embeddings)(?:[./]|$)")
"""Names of Meta's own code and of torchtune, in which the two halves of a rotary pair stand side by side."""

_NUMBERED = re.compile(r"\.[0-9]+\.")
_UNFOLD = re.compile(r"\bw_msa\b|ffn\.layers\.0\.0")
"""Names of the Swin of OpenMMLab, which merges patches with ``nn.Unfold`` and so in another order."""

Tensors = Mapping[str, TensorInfo]


def cautions(mapping: Mapping[str, str], source: Tensors, target: Tensors) -> list[Caution]:
    """Find the pairs of a mapping (target key to source key) that a rename of unchanged shape may not be enough for."""
    found = [
        _rotary(mapping, source, target),
        _fused(mapping),
        _gated(mapping, target),
        _modulation(mapping, target),
        _merging(mapping, source, target),
        _bare(mapping, source, target),
    ]
    return [caution for caution in found if caution is not None]


def _rotary(mapping: Mapping[str, str], source: Tensors, target: Tensors) -> Caution | None:
    """Meta's Llama pairs neighbouring numbers, Hugging Face's the two halves: queries and keys are permuted between."""
    if _is_interleaved(source) == _is_interleaved(target):
        return None
    positioned = _positioned(target)
    targets = tuple(
        name
        for name, key in mapping.items()
        if name != key
        and _is_query_or_key(name)
        and _is_query_or_key(key)
        and _list_of(name) not in positioned
        and f"{name.rpartition('.')[0]}.bias" not in target
    )
    message = (
        "queries and keys of rotary attention: one side's names are those of Meta's or torchtune's code, which pairs "
        "neighbouring numbers of a head, the other's are not; where it pairs the two halves, the rows of each head "
        "have to be permuted"
    )
    return Caution("rotary-layout", targets, message) if targets else None


def _is_interleaved(tensors: Tensors) -> bool:
    return any(map(_INTERLEAVED.search, tensors))


def _positioned(tensors: Tensors) -> set[str]:
    """Name the lists of layers to whose input positions are added: such an attention is not rotary."""
    templates = {template_of(key): key for key in tensors}
    lists = {_list_of(key) for key in templates.values()} - {""}
    found = set()
    for template, key in templates.items():
        if lists and "position" in meaning(template).get("embedding", ()):
            near = {name: len(os.path.commonprefix([name.split("."), key.split(".")])) for name in lists}
            found.update(name for name, length in near.items() if length == max(near.values()))
    return found


def _list_of(key: str) -> str:
    """Give the path of the list of layers that a key stands in.

    >>> _list_of("model.layers.0.self_attn.q_proj.weight")
    'model.layers'
    """
    found = _NUMBERED.search(key)
    return key[: found.start()] if found else ""


def _is_query_or_key(key: str) -> bool:
    module = key.rpartition(".")[0].rpartition(".")[2]
    said = meaning(module)
    # Queries and keys of low rank (q_a, q_b) are kept as they are by all who use them.
    return (
        said.get("projection") in ({"query"}, {"key"})
        and "norm" not in said.get("sort", ())
        and _LOW_RANK.isdisjoint(words(module))
    )


_LOW_RANK = {"a", "b"}


def _fused(mapping: Mapping[str, str]) -> Caution | None:
    """Fuse queries, keys and values head by head (Megatron, NeoX, Bloom) or one matrix after the other."""
    targets = tuple(name for name, key in mapping.items() if _is_fused(name) and _is_fused(key) and _by_head(name) != _by_head(key))
    message = (
        "fused queries, keys and values: `query_key_value` mostly holds them head by head, other names one matrix after "
        "the other; the rows may have to be put in another order"
    )
    return Caution("fused-layout", targets, message) if targets else None


def _is_fused(key: str) -> bool:
    return "query key value" in meaning(template_of(key)).get("projection", ())


def _by_head(key: str) -> bool:
    return "query_key_value" in key


def _gated(mapping: Mapping[str, str], target: Tensors) -> Caution | None:
    """Hold gate and up projection in one matrix, either first: diffusers' GEGLU takes the second half for the gate."""
    targets = tuple(
        name
        for name, key in mapping.items()
        if (_GEGLU.search(name) is None) != (_GEGLU.search(key) is None) and _is_doubled(name, target)
    )
    message = (
        "gate and up projection in one matrix: diffusers takes its second half for the gate, most others the first; the "
        "halves may have to be swapped"
    )
    return Caution("gate-order", targets, message) if targets else None


_GEGLU = re.compile(r"net[._]0[._]proj(?:[._]|$)")


def _is_doubled(key: str, tensors: Tensors) -> bool:
    """Tell whether a layer gives twice as many numbers as the layer after it in its block takes."""
    shape = tensors[_weight_of(key)].shape if _weight_of(key) in tensors else None
    block = key.split("net.0.proj.")[0] if "net.0.proj." in key else key.rpartition(".")[0].rpartition(".")[0] + "."
    others = [info.shape for name, info in tensors.items() if name.startswith(block) and info.shape is not None]
    return shape is not None and len(shape) == 2 and any(
        len(other) == 2 and (other[0], 2 * other[1]) == (shape[1], shape[0]) for other in others
    )


def _weight_of(key: str) -> str:
    return f"{key.rpartition('.')[0]}.weight"


def _modulation(mapping: Mapping[str, str], target: Tensors) -> Caution | None:
    """Give scale and shift in one layer: DiT's code gives the shift first, diffusers' ``AdaLayerNormContinuous`` the scale."""
    targets = tuple(
        name for name, key in mapping.items() if _is_modulated_norm(name) != _is_modulated_norm(key) and _is_pair(name, target)
    )
    message = (
        "scale and shift of a norm in one layer: diffusers' last norm takes the scale first, most others the shift; the "
        "halves may have to be swapped"
    )
    return Caution("scale-shift-order", targets, message) if targets else None


def _is_modulated_norm(key: str) -> bool:
    return _MODULATED_NORM.search(key) is not None


_MODULATED_NORM = re.compile(r"(?:^|[._])norm[^.]*\.linear\.(?:weight|bias)$")


def _is_pair(key: str, tensors: Tensors) -> bool:
    weight = tensors.get(_weight_of(key))
    return weight is not None and weight.shape is not None and len(weight.shape) == 2 and weight.shape[0] == 2 * weight.shape[1]


def _merging(mapping: Mapping[str, str], source: Tensors, target: Tensors) -> Caution | None:
    if any(map(_UNFOLD.search, source)) == any(map(_UNFOLD.search, target)):
        return None
    targets = tuple(
        name for name in mapping if "downsample" in name and leaf_of(name.rpartition(".")[0]) in ("reduction", "norm")
    )
    message = "patch merging of Swin: one side merges with nn.Unfold, so that the four patches stand in another order"
    return Caution("patch-order", targets, message) if targets else None


def _bare(mapping: Mapping[str, str], source: Tensors, target: Tensors) -> Caution | None:
    """A module that had a weight of its own and has a linear layer for it now multiplied from the other side."""
    targets = tuple(
        name
        for name, key in mapping.items()
        if _is_square(target[name]) and (_is_moved_in(key, name, source, target) or _is_moved_in(name, key, target, source))
    )
    message = (
        "square weights that one side keeps in the module itself and the other in a layer inside it, while the bias "
        "stays: where the module multiplies with it from the right, it has to be transposed"
    )
    return Caution("bare-weight", targets, message) if targets else None


def _is_square(info: TensorInfo) -> bool:
    return info.shape is not None and len(info.shape) == 2 and info.shape[0] == info.shape[1]


def _is_moved_in(outer: str, inner: str, above: Tensors, below: Tensors) -> bool:
    module, _, leaf = outer.rpartition(".")
    layer = inner.removesuffix(f".{leaf}")
    owner = layer.rpartition(".")[0]
    return (
        (module.split(".")[-1:] == owner.split(".")[-1:])
        and f"{module}.bias" in above
        and f"{owner}.bias" in below
        and f"{layer}.bias" not in below
    )


def all_targets(found: Collection[Caution]) -> set[str]:
    """Give every target that some caution speaks of."""
    return {target for caution in found for target in caution.targets}
