"""The values of a checkpoint on disk: read as bytes, or where they are more, by the library that wrote them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ckptnames.errors import CannotDecode, NoValues
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.containers import Found, quoted, survey
from ckptnames.formats.file_state import check_unchanged
from ckptnames.formats.safetensors_file import STAMP, SafetensorsFile
from ckptnames.formats.safetensors_header import METADATA
from ckptnames.formats.sharded import FolderCheckpoint
from ckptnames.formats.symbols import Dict
from ckptnames.formats.torch_rewrite import TorchFile
from ckptnames.formats.torch_zip import TorchZip
from ckptnames.formats.zip_directory import STORED
from ckptnames.inference.wrappers.containers import chosen
from ckptnames.loading.decoding import TORCH, Place, are_equal, read, read_into, strides_of
from ckptnames.loading.sources import Source
from ckptnames.manifest import Manifest, TensorInfo

_HALVES = ("F4", "F6_E2M3", "F6_E3M2")
"""Dtypes of which safetensors counts the elements inside a byte, and torch does not."""


class FileSource(Source):
    """One container of a file or folder."""

    def __init__(self, checkpoint: Checkpoint, container: str | None, target: Manifest) -> None:
        if checkpoint.format == "manifest":
            raise NoValues(checkpoint.path, checkpoint.format)
        self._checkpoint = checkpoint
        self.manifest = chosen(checkpoint, container, target)
        self._shards: Mapping[str, Checkpoint] = {"": checkpoint}
        if isinstance(checkpoint, FolderCheckpoint):
            self._shards = checkpoint.shards
        files = {file: each for file, each in self._shards.items() if isinstance(each, TorchFile)}
        self._pickles = {file: _Pickled(each, self.manifest.container) for file, each in files.items()}
        self.versions = self._versions()
        self.stamp = self._stamp()

    def dtype(self, key: str) -> torch.dtype:
        """Give the dtype that torch makes of it."""
        found = TORCH.get(str(self.manifest[key].dtype))
        return self.tensor(key).dtype if found is None or key in self._not_plain else found

    def tensor(self, key: str) -> torch.Tensor:
        """Read a tensor into memory of its own."""
        if key in self._not_plain:
            value = self._by_library(key)
            assert isinstance(value, torch.Tensor)
            return value.detach().clone()  # not a part of the mapped file, which may be written over
        return read(self._place(key))

    def read_into(self, key: str, destination: torch.Tensor) -> None:
        """Read the bytes of a tensor straight into one that exists, where they are its bytes."""
        if key in self._not_plain:
            destination.copy_(self.tensor(key))
        else:
            read_into(self._place(key), destination)

    def entry(self, key: str) -> Any:
        """Have torch make the value."""
        return self._by_library(key)

    def is_whole(self, key: str) -> bool:
        """Tell whether a tensor is no more than its bytes."""
        return key not in self._not_plain

    def is_equal(self, one: str, other: str) -> bool:
        """Compare two tensors bit for bit, a part of them at a time where they lie alike."""
        if self.is_whole(one) and self.is_whole(other):
            return are_equal(self._place(one), self._place(other))
        return super().is_equal(one, other)

    def check(self) -> None:
        """Hold that the files are those whose headers were read."""
        check_unchanged(self._checkpoint.states)

    def _place(self, key: str) -> Place:
        info = self.manifest[key]
        assert info.storage is not None and info.shape is not None
        dtype = TORCH[str(info.dtype)]
        strides = strides_of(info.shape) if info.strides is None else info.strides
        path = self._checkpoint.root / self._checkpoint.file_of(info.storage)
        start = info.storage.position + info.offset * dtype.itemsize
        return Place(path, start, dtype, info.shape, strides, self._order_of(key) != sys.byteorder)

    def _order_of(self, key: str) -> str:
        """Tell in which order the bytes of a number stand."""
        pickled = self._pickles.get(self._file_of(key))
        return pickled.byteorder if pickled else "little"

    def _file_of(self, key: str) -> str:
        """Name the shard of a key as ``shards`` does."""
        if "" in self._shards or len(self._shards) == 1:
            return next(iter(self._shards))
        storage = self.manifest[key].storage
        if storage is not None:
            return str(self._checkpoint.file_of(storage))
        return next(file for file, each in self._shards.items() if key in each.containers[0].tensors)

    @cached_property
    def _not_plain(self) -> frozenset[str]:
        """Name the tensors that are more than their bytes, or stand in no bytes of their own."""
        computed = {key for pickled in self._pickles.values() for key in pickled.computed}
        return frozenset(key for key, info in self.manifest.items() if key in computed or not self._is_plain(key, info))

    def _is_plain(self, key: str, info: TensorInfo) -> bool:
        if info.shape is None or info.dtype not in TORCH:
            return False
        if info.storage is None:
            return False
        pickled = self._pickles.get(self._file_of(key))
        return not pickled.is_packed if pickled else info.dtype not in _HALVES

    def _by_library(self, key: str) -> Any:
        file = next((f for f, each in self._pickles.items() if key in each.values_named), None)
        if file is not None:
            return self._pickles[file].loaded(key)
        return _by_safetensors(self._checkpoint.root / self._file_of(key), key)

    def _versions(self) -> dict[str, Mapping[str, Any]] | None:
        told = [pickled.versions for pickled in self._pickles.values() if pickled.versions is not None]
        return {path: said for each in told for path, said in each.items()} if told else None

    def _stamp(self) -> int | None:
        for shard in self._shards.values():
            if isinstance(shard, SafetensorsFile):
                text = (shard.header.get(METADATA) or {}).get(STAMP, "")
                if text.isdecimal():
                    return int(text)
        return next((p.stamp for p in self._pickles.values() if p.stamp is not None), None)


def _by_safetensors(path: Path, key: str) -> torch.Tensor:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(key)
    except Exception as error:
        raise CannotDecode(path, key, str(error).partition("\n")[0]) from error
    return tensor


class _Pickled:
    """A container of a file of ``torch.save``, as its pickle describes it."""

    def __init__(self, file: TorchFile, container: str) -> None:
        self._file = file
        value, reader = file.read_again()
        surveyed = survey(value, reader)
        named = {each.name: each for each in (*surveyed.containers, *surveyed.minor)}
        self._found: Found = named.get(container) or surveyed.containers[0]
        self.computed = reader.computed
        stamp = value.get(STAMP) if type(value) is Dict and value.has(STAMP) else None
        self.stamp = stamp if type(stamp) is int else None

    @cached_property
    def byteorder(self) -> str:
        """Tell in which order the bytes of its numbers stand."""
        return "big" if any(note == "its numbers are big-endian" for note in self._file.notes) else "little"

    @cached_property
    def is_packed(self) -> bool:
        """True where the archive was compressed by someone: then the bytes of its tensors do not stand in it."""
        if not isinstance(self._file, TorchZip) or self._file.directory is None:
            return False
        return any(entry.method != STORED for entry in self._file.directory.entries.values())

    @cached_property
    def values_named(self) -> set[str]:
        """Give the keys of everything in the container."""
        return {*self._found.tensors, *self._found.other}

    @cached_property
    def versions(self) -> dict[str, Mapping[str, Any]] | None:
        """Give what ``_metadata`` says of each module."""
        state = self._found.value.state
        metadata = state.get("_metadata") if type(state) is Dict and state.has("_metadata") else None
        if type(metadata) is not Dict:
            return None
        return {
            str(path): {str(name): number for name, number in said.items if isinstance(number, int | float | str)}
            for path, said in metadata.items
            if isinstance(path, str) and type(said) is Dict
        }

    def loaded(self, key: str) -> Any:
        """Give a value as torch itself makes it, of classes that it allows without a question."""
        try:
            return self._container[key]
        except Exception as error:
            cures = [blocked.cure for blocked in self._file.blocked if blocked.cure and not blocked.runs]
            reason = f"torch.load stops at {self._file.blocked[0].name}" if self._file.blocked else _line(error)
            raise CannotDecode(self._file.path, key, reason, cures, self._file.unsafe) from error

    @cached_property
    def _container(self) -> Mapping[str, Any]:
        mapped = isinstance(self._file, TorchZip) and not self.is_packed
        root = torch.load(self._file.path, map_location="cpu", weights_only=True, mmap=mapped)
        return _inside(root, self._found.name)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _inside(root: Any, name: str) -> Mapping[str, Any]:
    """Go to the container of that name, as names are spelled after ``#``."""
    value, left = root, name
    while left:
        members = value.items() if isinstance(value, Mapping) else enumerate(value)
        spelled = {quoted((str(key),)): member for key, member in members}
        at = next(word for word in spelled if left == word or left.startswith(f"{word}."))
        value, left = spelled[at], left[len(at) + 1 :]
    found: Mapping[str, Any] = value
    return found
