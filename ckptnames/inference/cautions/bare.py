"""A weight that moved into a layer of its own: the module may have multiplied with it from the other side."""

from __future__ import annotations

from ckptnames.inference.cautions.caution import Caution, Renaming, Tensors
from ckptnames.manifest import TensorInfo


def bare_weight(renaming: Renaming) -> Caution | None:
    """A module that had a weight of its own and has a linear layer for it now multiplied from the other side."""
    source, target = renaming.source, renaming.target
    targets = tuple(
        name
        for name, key in renaming.mapping.items()
        if _is_square(target[name])
        and (_is_moved_in(key, name, source, target) or _is_moved_in(name, key, target, source))
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
