"""From torch's tensors to what a manifest says of them, without reading one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.manifest import TensorInfo

_SPELLED = {getattr(torch, name): word for name, (word, _) in DTYPES.items() if hasattr(torch, name)}
_PLAIN = {torch.Tensor, nn.Parameter}
_UNKNOWN = TensorInfo(None, None)


def info_of(value: Any) -> TensorInfo:
    """Describe a tensor; what it does not say of itself yet (a lazy parameter's shape) is unknown.

    >>> info_of(torch.empty(2, 3, device="meta"))
    TensorInfo(dtype='F32', shape=(2, 3), nbytes=24, strides=(3, 1), offset=0, storage=None)
    """
    if type(value) in _PLAIN:
        try:
            return TensorInfo(_SPELLED[value.dtype], tuple(value.shape), value.nbytes, value.stride())
        except RuntimeError:  # sparse tensors have no strides, nested ones no shape
            pass
    if not isinstance(value, torch.Tensor):
        return _UNKNOWN
    return _with_care(value)


def _with_care(value: torch.Tensor) -> TensorInfo:
    dtype = _SPELLED.get(value.dtype)
    if nn.parameter.is_lazy(value):
        return TensorInfo(dtype, None)
    try:
        shape = tuple(map(int, value.shape))
    except RuntimeError:
        return TensorInfo(dtype, None)
    try:
        return TensorInfo(dtype, shape, int(value.nbytes), tuple(map(int, value.stride())))
    except (RuntimeError, NotImplementedError):
        return TensorInfo(dtype, shape)


def ties_of(named: Iterable[tuple[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """Group the keys of one tensor: same storage, offset, shape and strides.

    >>> weight = torch.empty(2, device="meta")
    >>> ties_of([("a", weight), ("b", weight.detach()), ("c", weight[:1])])
    (('a', 'b'),)
    """
    by_storage: defaultdict[int, list[tuple[str, Any]]] = defaultdict(list)
    for item in named:
        by_storage[_storage(item[1])].append(item)
    groups: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for storage, items in by_storage.items():
        if storage and len(items) > 1:
            for key, value in items:
                groups[storage, *_view(value)].append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _storage(value: Any) -> int:
    """Tell storages apart; tensors on the meta device have no address. 0 is no storage."""
    try:
        return int(value.untyped_storage()._cdata)
    except (AttributeError, RuntimeError, NotImplementedError):
        return 0


def _view(value: Any) -> tuple[Any, ...]:
    if nn.parameter.is_lazy(value):
        return (id(value),)
    return value.storage_offset(), tuple(value.shape), value.stride(), value.dtype
