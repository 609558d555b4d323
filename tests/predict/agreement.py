"""What ``state_dict()`` itself says, for comparing with what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

import ckptnames
from ckptnames.manifest import Manifest

DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.qint8: "QINT8",
    torch.quint8: "QUINT8",
}


class Said(NamedTuple):
    """What is known of one value of a state dict."""

    dtype: str | None
    shape: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    nbytes: int | None


NO_TENSOR = Said(None, None, None, None)


def assert_predicts(model: nn.Module) -> Manifest:
    """Hold keys, order, dtypes, shapes, strides, sizes and ties of a prediction against the model's own answer."""
    said = ckptnames.predict(model)
    saved = model.state_dict()
    assert as_said(said) == list(as_saved(saved).items())
    assert list(said.ties) == ties(saved)
    return said


def as_said(manifest: Manifest) -> list[tuple[str, Said]]:
    """Give what a manifest says, in its order."""
    return [(key, Said(info.dtype, info.shape, info.strides, info.nbytes)) for key, info in manifest.items()]


def as_saved(state_dict: Mapping[str, Any]) -> dict[str, Said]:
    """Give what the values of a state dict say of themselves."""
    return {key: _said(value) for key, value in state_dict.items()}


def _said(value: Any) -> Said:
    if not isinstance(value, torch.Tensor):
        return NO_TENSOR
    if nn.parameter.is_lazy(value):
        return Said(DTYPES[value.dtype], None, None, None)
    return Said(DTYPES[value.dtype], tuple(value.shape), value.stride(), value.nbytes)


def ties(state_dict: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Group the keys whose tensors show the same elements of the same storage."""
    groups: dict[object, list[str]] = {}
    for key, value in state_dict.items():
        if not isinstance(value, torch.Tensor):
            continue
        view: object = id(value)
        if not nn.parameter.is_lazy(value):
            if not value.numel():
                continue
            # Tensors on the meta device have no addresses, but storages all the same.
            storage = value.untyped_storage()._cdata
            view = storage, value.storage_offset(), tuple(value.shape), value.stride(), value.dtype
        groups.setdefault(view, []).append(key)
    return [tuple(group) for group in groups.values() if len(group) > 1]
