"""From torch's tensors to what a manifest says of them, without reading one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.manifest import TensorInfo

_SPELLED = {getattr(torch, name): word for name, (word, _) in DTYPES.items() if hasattr(torch, name)}
_NOT_STRIDED = (RuntimeError, ValueError, AttributeError, TypeError)
"""What is raised where there is no storage, no strides or no shape: sparse, nested, lazy tensors, and no tensors."""


def infos_of(named: Iterable[tuple[str, Any]]) -> dict[str, TensorInfo]:
    """Describe tensors by name; most have a shape that another one had before.

    >>> infos_of([("a", torch.empty(2, 3, device="meta")), ("b", None)])["a"]
    TensorInfo(dtype='F32', shape=(2, 3), nbytes=24, strides=(3, 1), offset=0, storage=None)
    """
    known: dict[object, TensorInfo] = {}
    found = {}
    for key, value in named:
        try:
            look = value.dtype, value.shape, value.stride()
            info = known.get(look)
        except _NOT_STRIDED:
            found[key] = info_of(value)
            continue
        if info is None:
            info = known[look] = info_of(value)
        found[key] = info
    return found


def spelled(dtype: torch.dtype) -> str:
    """Spell a dtype as manifests do.

    >>> spelled(torch.bfloat16), spelled(torch.complex64)
    ('BF16', 'C64')
    """
    return _SPELLED.get(dtype) or str(dtype).rpartition(".")[2].upper()


def info_of(value: Any) -> TensorInfo:
    """Describe a value of a state dict; what it does not say of itself, such as the shape of a lazy one, is unknown.

    >>> info_of(nn.UninitializedParameter())
    TensorInfo(dtype='F32', shape=None, nbytes=None, strides=None, offset=0, storage=None)
    """
    if isinstance(value, TensorInfo):
        return value
    if not isinstance(value, torch.Tensor):
        return TensorInfo(None, None)
    dtype = spelled(value.dtype)
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


class MetaTwins:
    """Makes tensors on the meta device that share storages as their originals do, and share none with them.

    With ``apart`` each parameter has a storage of its own, as after ``deepcopy``.

    >>> twin, weight = MetaTwins().twin, torch.empty(4, 2)
    >>> view_of(twin(weight[1:])) == view_of(weight[1:]), info_of(twin(weight[1:])) == info_of(weight[1:])
    (False, True)
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart = apart
        self._twins: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._storages: dict[object, torch.UntypedStorage] = {}

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give the twin of a tensor; of a kind that has none (lazy, sparse, quantised), the tensor itself."""
        if id(tensor) not in self._twins:
            self._twins[id(tensor)] = tensor, self._made(tensor)
        return self._twins[id(tensor)][1]

    def _made(self, tensor: torch.Tensor) -> torch.Tensor:
        try:
            storage = tensor.untyped_storage()
            shared = ("own", id(tensor)) if self._apart and isinstance(tensor, nn.Parameter) else storage._cdata
            if shared not in self._storages:
                whole = torch.empty(storage.nbytes(), dtype=torch.uint8, device="meta")
                self._storages[shared] = whole.untyped_storage()
            twin = torch.empty(0, dtype=tensor.dtype, device="meta")
            twin.set_(self._storages[shared], tensor.storage_offset(), tensor.shape, tensor.stride())
        except _NOT_STRIDED:
            return tensor
        return nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def ties_of(named: Sequence[tuple[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """Group the keys of one tensor: same storage, offset, shape and strides.

    >>> weight = torch.empty(2, device="meta")
    >>> ties_of([("a", weight), ("b", weight.detach()), ("c", weight[:1])])
    (('a', 'b'),)
    """
    storages = [_storage(value) for _, value in named]
    if len(set(storages)) == len(storages):
        return ()
    users = Counter(storages)
    views: dict[int, object] = {}
    groups: defaultdict[object, list[str]] = defaultdict(list)
    for (key, value), storage in zip(named, storages, strict=True):
        if users[storage] > 1:
            if id(value) not in views:
                views[id(value)] = view_of(value) if _has_elements(value) else None
            groups[views[id(value)]].append(key)
    groups.pop(None, None)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _storage(value: Any) -> int:
    try:
        return int(value.untyped_storage()._cdata)
    except _NOT_STRIDED:
        return id(value)


def _has_elements(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (nn.parameter.is_lazy(value) or value.numel() > 0)
