"""The bytes of the tensors of one checkpoint, read a piece at a time: never a whole tensor, let alone a whole file."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from math import prod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

from ckptnames.errors import CannotRead, NoValuesToCompare, SourceChanged
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.file_state import check_unchanged
from ckptnames.manifest import Storage, TensorInfo

BLOCK_BYTES = 1 << 20
"""As much of a tensor is held at once."""

_FORMATS: Mapping[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_HALVES = 16


class Payload:
    """Reads the bytes of tensors while it is open; the files must not change meanwhile."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Take a checkpoint.

        Raises ``no-values`` for what holds names alone, and for numbers in the other order of bytes.
        """
        name = str(checkpoint.path)
        if checkpoint.format in ("manifest", "model"):
            raise NoValuesToCompare(name, f"is a {checkpoint.format}, which has names and shapes alone")
        if any("big-endian" in note for note in checkpoint.notes):
            raise NoValuesToCompare(name, "holds its numbers in the other order of bytes (big-endian)")
        self.checkpoint = checkpoint
        self._opened = ExitStack()
        self._files: dict[Path, BinaryIO] = {}
        self._maps: dict[Path, mmap.mmap] = {}

    def __enter__(self) -> Payload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._opened.close()
        if error is None:
            check_unchanged(self.checkpoint.states)

    def holds(self, info: TensorInfo) -> bool:
        """Tell whether the bytes of a tensor can be read: one that is made of others has none of its own."""
        return info.shape is not None and info.nbytes is not None and (info.storage is not None or not info.nbytes)

    def blocks(self, info: TensorInfo, n_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Give the elements of a tensor in their order, so many bytes at a time, and less at its end.

        Raises ``cannot-read`` and ``source-changed``.
        """
        if not info.nbytes or info.storage is None:
            return
        path = self.checkpoint.root / self.checkpoint.file_of(info.storage)
        try:
            yield from _cut(self._parts(path, info, info.storage, n_bytes), n_bytes)
        except OSError as error:
            raise CannotRead(path, error.strerror or str(error)) from None

    def _parts(self, path: Path, info: TensorInfo, storage: Storage, n_bytes: int) -> Iterator[bytes]:
        assert info.shape is not None and info.nbytes is not None
        if is_contiguous(info.shape, info.strides):
            start = storage.position + info.offset * info.nbytes // max(prod(info.shape), 1)
            yield from self._run(path, start, info.nbytes, n_bytes)
        else:
            assert info.strides is not None
            yield from self._gathered(path, storage, info.shape, info.strides, info.offset, info.nbytes)

    def _run(self, path: Path, start: int, length: int, n_bytes: int) -> Iterator[bytes]:
        if path not in self._files:
            self._files[path] = self._opened.enter_context(path.open("rb", buffering=0))
        file = self._files[path]
        for at in range(start, start + length, n_bytes):
            wanted = min(n_bytes, start + length - at)
            file.seek(at)
            found = file.read(wanted)
            if len(found) < wanted:
                raise SourceChanged(path)
            yield found

    def _gathered(
        self, path: Path, storage: Storage, shape: Sequence[int], strides: Sequence[int], offset: int, n_bytes: int
    ) -> Iterator[bytes]:
        """Give a view that is not one run, such as a transposed one, a row at a time."""
        size = n_bytes // prod(shape)
        if size == _HALVES:
            shape, strides, offset = (*shape, 2), (*(2 * step for step in strides), 1), 2 * offset
            size //= 2
        *outer, length = shape
        *steps, step = strides
        # Where the file is mapped, the system holds no more of it than it likes to.
        items = self._mapped(path)[storage.position :].cast("B")
        items = items[: len(items) // size * size].cast(_FORMATS[size])
        for index in product(*map(range, outer)):
            start = offset + sum(n * each for n, each in zip(index, steps, strict=True))
            if step:
                yield items[start : start + step * (length - 1) + 1 : step].tobytes()
            else:
                yield items[start : start + 1].tobytes() * length

    def _mapped(self, path: Path) -> memoryview:
        if path not in self._maps:
            with path.open("rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._maps[path])


def is_contiguous(shape: Sequence[int], strides: Sequence[int] | None) -> bool:
    """Tell whether the elements stand one behind the other in their order.

    >>> is_contiguous((2, 3), (3, 1)), is_contiguous((2, 3), (1, 2)), is_contiguous((1, 3), (7, 1))
    (True, False, True)
    """
    if strides is None:
        return True
    step = 1
    for length, each in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and each != step:
            return False
        step *= length
    return True


def _cut(parts: Iterator[bytes], n_bytes: int) -> Iterator[bytes]:
    """Give bytes in blocks of one length, whatever the length of the parts."""
    held = bytearray()
    for part in parts:
        if not held and len(part) == n_bytes:
            yield part
            continue
        held += part
        while len(held) >= n_bytes:
            yield bytes(held[:n_bytes])
            del held[:n_bytes]
    if held:
        yield bytes(held)
