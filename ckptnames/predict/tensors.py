"""From torch's tensors to what a manifest says of them, without reading one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.manifest import TensorInfo

SPELLED = {getattr(torch, name): word for name, (word, _) in DTYPES.items() if hasattr(torch, name)}
_PLAIN = {torch.Tensor, nn.Parameter}
_UNKNOWN = TensorInfo(None, None)
_NOT_STRIDED = (RuntimeError, ValueError, AttributeError)
"""What is raised where there is no storage, no strides or no shape: sparse, nested, lazy tensors, and no tensors."""


def info_of(value: Any) -> TensorInfo:
    """Describe a tensor; what it does not say of itself, such as the shape of a lazy one, is unknown.

    >>> info_of(torch.empty(2, 3, device="meta"))
    TensorInfo(dtype='F32', shape=(2, 3), nbytes=24, strides=(3, 1), offset=0, storage=None)
    """
    if type(value) in _PLAIN:
        try:
            return TensorInfo(SPELLED[value.dtype], tuple(value.shape), value.nbytes, value.stride())
        except _NOT_STRIDED:
            pass
    if isinstance(value, TensorInfo):
        return value
    return _with_care(value) if isinstance(value, torch.Tensor) else _UNKNOWN


def _with_care(value: torch.Tensor) -> TensorInfo:
    dtype = SPELLED.get(value.dtype)
    if nn.parameter.is_lazy(value):
        return TensorInfo(dtype, None)
    try:
        shape = tuple(map(int, value.shape))
    except _NOT_STRIDED:
        return TensorInfo(dtype, None)
    try:
        return TensorInfo(dtype, shape, int(value.nbytes), tuple(map(int, value.stride())))
    except _NOT_STRIDED:
        return TensorInfo(dtype, shape)


def view_of(value: Any) -> object:
    """Tell tensors apart by what they show: equal for two that have the same storage, offset, shape and strides.

    >>> weight = nn.Parameter(torch.empty(2, device="meta"))
    >>> view_of(weight) == view_of(weight.detach()), view_of(weight) == view_of(weight[:1])
    (True, False)
    """
    try:
        storage = value.untyped_storage()._cdata
        return storage, value.storage_offset(), tuple(value.shape), value.stride(), value.dtype
    except _NOT_STRIDED:
        return id(value)


def ties_of(named: Sequence[tuple[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """Group the keys of one tensor: same storage, offset, shape and strides.

    >>> weight = torch.empty(2, device="meta")
    >>> ties_of([("a", weight), ("b", weight.detach()), ("c", weight[:1])])
    (('a', 'b'),)
    """
    by_storage: defaultdict[int, list[tuple[str, Any]]] = defaultdict(list)
    for item in named:
        by_storage[_storage(item[1])].append(item)
    groups: defaultdict[object, list[str]] = defaultdict(list)
    for items in by_storage.values():
        if len(items) > 1:
            for key, value in items:
                if _has_elements(value):
                    groups[view_of(value)].append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _storage(value: Any) -> int:
    try:
        return int(value.untyped_storage()._cdata)
    except _NOT_STRIDED:
        return id(value)


def _has_elements(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (nn.parameter.is_lazy(value) or value.numel() > 0)
