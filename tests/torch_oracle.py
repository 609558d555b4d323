"""What torch says of a checkpoint, for comparing with what ckptnames says of it or wrote."""

from __future__ import annotations

import _codecs
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ckptnames.manifest import Manifest

DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

# Plain data that weights_only=True stops at: numpy arrays and scalars in a config. The first stands under its old name.
_PLAIN_DATA: list[Any] = [
    (importlib.import_module("numpy._core.multiarray")._reconstruct, "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in "?bBhHiIqQefd"},
]


def load(path: Path) -> Any:
    """Load with ``weights_only=True``, numpy arrays allowed."""
    with torch.serialization.safe_globals([*_PLAIN_DATA, _codecs.encode]):
        return torch.load(path, map_location="cpu", weights_only=True)


def inside(loaded: Any, container: str) -> Any:
    """Go to the container of that name."""
    for segment in container.split(".") if container else ():
        loaded = loaded[segment]
    return loaded


def assert_agrees(manifest: Manifest, state_dict: Mapping[str, torch.Tensor]) -> None:
    """Hold keys, order, dtypes, shapes, strides, offsets, sizes and ties of a manifest against loaded tensors."""
    said = {key: (i.dtype, i.shape, i.strides, i.offset, i.nbytes) for key, i in manifest.items()}
    tensors = {key: value for key, value in state_dict.items() if isinstance(value, torch.Tensor)}
    loaded = {
        key: (DTYPES[t.dtype], tuple(t.shape), t.stride(), t.storage_offset(), t.nbytes) for key, t in tensors.items()
    }
    assert list(said.items()) == list(loaded.items())
    assert set(manifest.ties) == set(_ties(tensors))


def _ties(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[object, ...], list[str]] = {}
    for key, t in tensors.items():
        if t.numel():
            view = (t.untyped_storage().data_ptr(), t.storage_offset(), tuple(t.shape), t.stride(), t.dtype)
            groups.setdefault(view, []).append(key)
    return (tuple(group) for group in groups.values() if len(group) > 1)


def rename(loaded: Any, container: str, prefix: str) -> None:
    """Put ``prefix`` before every key of the container, in place and in order."""
    weights = inside(loaded, container)
    items = list(weights.items())
    weights.clear()
    weights.update((prefix + key, value) for key, value in items)


def differences(left: Any, right: Any) -> list[str]:
    """List where two loaded objects differ: in type, order, value, a bit of a tensor, or in what shares what."""
    walk = _Comparison()
    walk.compare(left, right, "")
    return walk.found


class _Comparison:
    """Walks two objects side by side."""

    def __init__(self) -> None:
        self.found: list[str] = []
        # What stands at one place of the left must always be what stands at the same place of the right: a bijection.
        self._left_to_right: dict[int, int] = {}
        self._right_to_left: dict[int, int] = {}
        self._alive: list[Any] = []

    def compare(self, left: Any, right: Any, where: str) -> None:
        if type(left) is not type(right):
            self.found.append(f"{where}: {type(left).__name__} and {type(right).__name__}")
        elif isinstance(left, torch.Tensor):
            self._tensors(left, right, where)
        elif isinstance(left, np.ndarray):
            same = (left.dtype, left.shape, left.strides, left.tobytes())
            self._note((right.dtype, right.shape, right.strides, right.tobytes()) == same, where, left, right)
        elif isinstance(left, dict | list | tuple | set):
            if self._met(left, right, where):
                return
            self._collections(left, right, where)
        else:
            self._note(left == right or (left != left and right != right), where, left, right)

    def _note(self, same: bool, where: str, left: Any, right: Any) -> None:
        if not same:
            self.found.append(f"{where}: {left!r:.80} and {right!r:.80}")

    def _met(self, left: Any, right: Any, where: str) -> bool:
        """Tell whether the pair was compared before, and note it where either was met with another partner."""
        if isinstance(left, tuple):
            return False
        self._alive += [left, right]
        return self._paired(id(left), id(right), where)

    def _paired(self, left: int, right: int, where: str) -> bool:
        known = left in self._left_to_right or right in self._right_to_left
        partner = self._left_to_right.setdefault(left, right)
        if partner != right or self._right_to_left.setdefault(right, left) != left:
            self.found.append(f"{where}: shared with other places")
        return known

    def _collections(self, left: Any, right: Any, where: str) -> None:
        if isinstance(left, dict):
            self._note(list(left) == list(right), f"{where} keys", list(left), list(right))
            self._note([type(k) for k in left] == [type(k) for k in right], f"{where} key types", left, right)
            for key in left.keys() & right.keys():
                self.compare(left[key], right[key], f"{where}.{key}")
            self.compare(getattr(left, "_metadata", None), getattr(right, "_metadata", None), f"{where}._metadata")
        elif isinstance(left, set):
            self._note(left == right, where, left, right)
        else:
            self._note(len(left) == len(right), f"{where} length", len(left), len(right))
            for index, (one, other) in enumerate(zip(left, right, strict=False)):
                self.compare(one, other, f"{where}[{index}]")

    def _tensors(self, left: torch.Tensor, right: torch.Tensor, where: str) -> None:
        views = [(t.dtype, t.shape, t.stride(), t.storage_offset(), t.requires_grad) for t in (left, right)]
        self._note(views[0] == views[1], where, *views)
        storages = left.untyped_storage(), right.untyped_storage()
        if storages[0].nbytes() and storages[1].nbytes():
            self._alive += storages
            if self._paired(storages[0].data_ptr(), storages[1].data_ptr(), where):
                return
        self._note(_bytes(storages[0]) == _bytes(storages[1]), f"{where} bytes", left, right)


def _bytes(storage: torch.UntypedStorage) -> bytes:
    whole = torch.empty(0, dtype=torch.uint8).set_(storage)
    return whole.numpy().tobytes()
