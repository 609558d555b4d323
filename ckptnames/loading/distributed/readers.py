"""The folders that a sharded load reads: DCP's own, and safetensors, each with what torch's readers do not check."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from functools import reduce
from operator import mul
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemReader
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.storage import StorageReader

from ckptnames.errors import (
    CkptnamesError,
    IncompleteTensor,
    InvalidIndex,
    MalformedPickle,
    MissingShard,
    UnsafeMetadata,
    UnsafePath,
)
from ckptnames.formats.recognise import open_weights
from ckptnames.formats.strict_json import read_document
from ckptnames.formats.survey import weight_map_of

METADATA = ".metadata"
_INDEX = "model.safetensors.index.json"

_METADATA_NAMES = {
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath", "WindowsPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePosixPath", "WindowsPath"},
}
"""What the pickle of a folder's metadata is made of; its dtypes come beside these. None of it runs anything."""


def reader_of(folder: Path) -> StorageReader | None:
    """Give the reader of a folder that ranks read in shards; ``None`` for what is no such folder.

    Where the folder of a distributed checkpoint holds safetensors too, the distributed checkpoint is meant.
    """
    if (folder / METADATA).is_file():
        return DistcpReader(folder)
    if folder.is_dir() and any(folder.glob("*.safetensors")):
        return SafetensorsReader(folder)
    return None


class DistcpReader(FileSystemReader):
    """Reads ``.distcp`` folders; of the pickle of their metadata nothing is run but what makes up metadata."""

    _metadata: Metadata | None = None

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:  # noqa: ARG002 - as torch calls it
        """Give what the folder says of its tensors; raises ``unsafe-pickle``, ``incomplete-tensor``."""
        if self._metadata is None:
            self._metadata = self._read(kwargs.get("rank"))
        return self._metadata

    def _read(self, rank: int | None) -> Metadata:
        path = Path(self._get_metadata_path(rank))
        metadata = _Inert(path).metadata()
        if getattr(metadata, "storage_meta", None) is None:
            metadata.storage_meta = StorageMeta()
        assert metadata.storage_meta is not None
        metadata.storage_meta.load_id = self.load_id
        for stored in metadata.storage_data.values():
            name = str(stored.relative_path)
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise UnsafePath(path, name)
        check_parts(self.path, metadata)
        return metadata


class _Inert(pickle.Unpickler):
    """Unpickles data classes of DCP, and refuses whatever else is named."""

    def __init__(self, path: Path) -> None:
        self._path, self._bytes = path, io.BytesIO(path.read_bytes())
        super().__init__(self._bytes)

    def metadata(self) -> Metadata:
        try:
            found = self.load()
        except CkptnamesError:
            raise
        except Exception as error:  # the unpickler raises whatever comes up in broken bytes
            raise MalformedPickle(str(self._path), str(error), self._bytes.tell()) from error
        if not isinstance(found, Metadata):
            raise MalformedPickle(str(self._path), f"it makes a {type(found).__name__}", self._bytes.tell())
        return found

    def find_class(self, module: str, name: str) -> Any:
        import torch

        if name in _METADATA_NAMES.get(module, ()):
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise UnsafeMetadata(self._path, f"{module}.{name}")


class SafetensorsReader(HuggingFaceStorageReader):
    """Reads folders of safetensors: only the files that their index names, where they have one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path=str(path))
        self._folder = path
        self._metadata: Metadata | None = None

    def read_metadata(self) -> Metadata:
        """Give what the headers say of the tensors; raises ``incomplete-tensor``."""
        if self._metadata is None:
            self._metadata = self._read()
        return self._metadata

    def _read(self) -> Metadata:
        index = self._folder / _INDEX
        files = _files_of(index) if index.is_file() else sorted(self._folder.glob("*.safetensors"))
        for file in files:
            open_weights(file)  # torch takes headers as they are
        self.fs = _Listed(set(map(str, files)))
        metadata = super().read_metadata()
        check_parts(self._folder, metadata)
        return metadata


def _files_of(index: Path) -> list[Path]:
    document = read_document(index)
    if not isinstance(document.value, dict) or "weight_map" not in document.value:
        raise InvalidIndex(index, "has no 'weight_map'")
    names = list(dict.fromkeys(weight_map_of(index, document).values()))
    lost = [name for name in names if not (index.parent / name).is_file()]
    if lost:
        raise MissingShard(index, lost, len(names), None)
    return [index.parent / name for name in names]


class _Listed(FileSystem):
    """A file system whose listings have only some files."""

    def __init__(self, paths: set[str]) -> None:
        self._paths = paths

    def ls(self, path: str | os.PathLike[str]) -> list[str]:
        return [each for each in super().ls(path) if str(each) in self._paths]


def check_parts(folder: object, metadata: Metadata) -> None:
    """Hold that the stored parts of each tensor make it up, none of them twice; raises ``incomplete-tensor``.

    torch would read all parts of an element that is stored twice and keep the last, and leave a hole as it was.
    """
    tensors: Mapping[str, Any] = metadata.state_dict_metadata
    wrong = []
    for key, stored in tensors.items():
        if not isinstance(stored, TensorStorageMetadata):
            continue
        whole, parts = _n_elements(stored.size), sum(_n_elements(chunk.sizes) for chunk in stored.chunks)
        offsets = {tuple(chunk.offsets) for chunk in stored.chunks}
        if whole != parts or (len(offsets) != len(stored.chunks) and whole):
            wrong.append((key, f"{parts:,} of {whole:,} elements in {len(stored.chunks)} parts"))
    if wrong:
        raise IncompleteTensor(folder, wrong)


def _n_elements(sizes: Any) -> int:
    return reduce(mul, sizes, 1)
