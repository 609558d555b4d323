"""The bytes of one tensor, from a file into memory: read where they are wanted, with nothing in between."""

from __future__ import annotations

import ctypes
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch

from ckptnames.errors import SourceChanged
from ckptnames.formats.torch_dtypes import DTYPES

TORCH = {
    word: found for name, (word, _) in DTYPES.items() if isinstance(found := getattr(torch, name, None), torch.dtype)
}
"""torch's dtype for each one that a manifest spells, as far as this torch has it."""


_COMPARED = 1 << 20
"""Bytes that are compared at a time."""


class Place(NamedTuple):
    """Where the elements of a tensor lie in a file: ``position`` is the byte of the first."""

    path: Path
    position: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    swapped: bool = False
    """True where the bytes of a number stand in the other order than this machine's."""


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the strides of a tensor that lies in one run.

    >>> strides_of((2, 3, 4))
    (12, 4, 1)
    """
    sizes = [max(size, 1) for size in shape]
    return tuple(prod(sizes[at + 1 :]) for at in range(len(sizes)))


def read(place: Place) -> torch.Tensor:
    """Read a tensor into memory of its own.

    Raises ``OSError``, and ``source-changed`` where the file ends before it.
    """
    n_elements = _reach(place)
    flat = torch.empty(n_elements, dtype=place.dtype)
    _fill(flat, place)
    if place.swapped:
        flat.untyped_storage().byteswap(place.dtype)  # type: ignore[no-untyped-call]
    return flat.as_strided(place.shape, place.strides)


def read_into(place: Place, destination: torch.Tensor) -> None:
    """Read a tensor into one that exists, which may be of another dtype, on another device, and lie otherwise.

    Raises what ``read`` raises; then the destination may hold a part of it.
    """
    if _lies_alike(destination, place):
        _fill(destination, place)
        torch.autograd.graph.increment_version(destination)
    else:
        destination.copy_(read(place))


def are_equal(one: Place, other: Place) -> bool:
    """Tell whether two tensors of files are the same bit for bit."""
    if one[2:4] != other[2:4]:
        return False
    if one[4:] != other[4:]:
        first, second = (read(place).contiguous().view(-1).view(torch.uint8) for place in (one, other))
        return bool(torch.equal(first, second))
    left = _reach(one) * one.dtype.itemsize
    with one.path.open("rb") as file, other.path.open("rb") as second_file:
        file.seek(one.position)
        second_file.seek(other.position)
        while left:
            run = file.read(min(left, _COMPARED))
            if not run or run != second_file.read(len(run)):
                return False
            left -= len(run)
    return True


def _lies_alike(tensor: torch.Tensor, place: Place) -> bool:
    """Tell whether the bytes of the file are those of the tensor, one after the other."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and tensor.dtype == place.dtype
        and not (place.swapped or tensor.is_conj() or tensor.is_neg())
        and tuple(tensor.shape) == place.shape
        and tensor.is_contiguous()
        and _reach(place) == tensor.numel()
        and all(a == b for a, b, n in zip(tensor.stride(), place.strides, place.shape, strict=True) if n > 1)
    )


def _reach(place: Place) -> int:
    """Count the elements from the first of a tensor to its last."""
    if 0 in place.shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(place.shape, place.strides, strict=True))


def _fill(tensor: torch.Tensor, place: Place) -> None:
    """Read a run of bytes into the memory of a tensor."""
    n_bytes = tensor.numel() * tensor.element_size()
    if not n_bytes:
        return
    memory = memoryview((ctypes.c_char * n_bytes).from_address(tensor.data_ptr())).cast("B")
    with place.path.open("rb", buffering=0) as file:
        file.seek(place.position)
        at = 0
        while at < n_bytes:
            got = file.readinto(memory[at:])
            if not got:
                raise SourceChanged(place.path)
            at += got
