"""Weights that one side holds transposed: told from the shapes of all of them together.

TensorFlow, Flax and GPT-2's ``Conv1D`` keep the weight of a linear layer as (in, out), torch as (out, in); TensorFlow
keeps a convolution's as (height, width, in, out). A square weight does not show it, so the others have to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptnames.inference.matching.units import Shape, leaf_of, template_of
from ckptnames.inference.naming.words import meaning
from ckptnames.manifest import TensorInfo

_PERMUTED = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}
_KERNEL = "kernel"
_LINEAR = ("weight", "kernel", "W", "w")
_ALONE = ("kernel", "W", "w")

Tensors = Mapping[str, TensorInfo]


def turned(source: Tensors) -> dict[str, TensorInfo]:
    """Give the source tensors as a library would hold them that keeps its weights the other way round.

    >>> turned({"fc.weight": TensorInfo("F32", (2, 3)), "fc.bias": TensorInfo("F32", (2,))})
    {'fc.weight': TensorInfo(dtype='F32', shape=(3, 2), nbytes=None, strides=None, offset=0, storage=None)}
    """
    found = {}
    for key, info in source.items():
        axes = _PERMUTED.get(len(info.shape)) if info.shape is not None else None
        if info.shape and axes and (len(axes) == 2 or leaf_of(key) == _KERNEL) and not _is_embedding(key):
            found[key] = info._replace(shape=tuple(info.shape[axis] for axis in axes))
    return found


def is_turned(weights: Iterable[tuple[str, str, Shape, Shape]]) -> bool:
    """Tell whether most weights are the other side's transposed, given both keys and both shapes of each.

    >>> is_turned([("a.w", "a.weight", (2, 3), (3, 2)), ("b.w", "b.weight", (2, 2), (2, 2))])
    True

    A `kernel` always is, whatever its shape: TensorFlow and Flax call a weight so.
    """
    votes = 0
    for source, target, shape, wanted in weights:
        if (leaf_of(source) == _KERNEL) != (leaf_of(target) == _KERNEL):
            return True
        if shape is None or wanted is None or len(shape) != 2 or shape[0] == shape[1] or _is_embedding(target):
            continue
        votes += (shape[::-1] == wanted) - (shape == wanted)
    return votes > 0


def _is_embedding(key: str) -> bool:
    said = meaning(template_of(key))
    return "embedding" in said or "embeddings" in said.get("area", ())


def is_turned_alone(source: str, target: str, shape: Shape) -> bool:
    """Tell whether a square weight is probably the other's transposed by what the two are called.

    A bare parameter is mostly multiplied from the right, as in ``x @ text_projection``; a linear layer's weight is not.

    >>> is_turned_alone("text_projection", "text_projection.weight", (512, 512))
    True
    """
    if shape is None or len(shape) != 2 or shape[0] != shape[1]:
        return False
    ours, theirs = leaf_of(source), leaf_of(target)
    is_kernel = (ours in _ALONE) != (theirs in _ALONE)
    is_bare = (ours == "weight") != (theirs == "weight") and (ours not in _LINEAR or theirs not in _LINEAR)
    return (is_kernel or is_bare) and not _is_embedding(source) and not _is_embedding(target)
