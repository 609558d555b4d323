"""Checkpoints of several files: shards with or without an index, and a folder around a single file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ckptnames.errors import DuplicateKey, IndexMismatch, MissingShard
from ckptnames.formats.checkpoint import Checkpoint, Container, Remarks, Renames, ties_of
from ckptnames.formats.configs import old_names
from ckptnames.formats.pieces import Piece, Slice
from ckptnames.formats.recognise import open_weights
from ckptnames.formats.safetensors_file import SafetensorsFile
from ckptnames.formats.strict_json import Document, laid_out
from ckptnames.formats.survey import files_beside, survey, weight_map_of
from ckptnames.manifest import ContainerInfo, Storage, TensorInfo
from ckptnames.wording import counted

_MARK = ":"  # No shard of an index has it in its name.


@dataclass(frozen=True, slots=True)
class FolderCheckpoint(Checkpoint):
    """A folder around the files of a checkpoint; its other files are copied as they are when it is written again."""

    folder: Path = Path()
    shards: Mapping[str, Checkpoint] = field(default_factory=dict)
    """The files that hold tensors, by their path in the folder."""
    index: tuple[str, Document] | None = None

    @property
    def root(self) -> Path:
        """The folder."""
        return self.folder

    def file_of(self, storage: Storage) -> Path:
        """Tell in which file of the folder a storage lies."""
        if len(self.shards) == 1:
            return Path(next(iter(self.shards)))
        return Path(storage.name.partition(_MARK)[0])

    def rewritten(self, renames: Mapping[str, Renames]) -> dict[Path, list[Piece]]:
        """Compose every file of the folder: shards and index under the new names, the others as they are."""
        files: dict[Path, list[Piece]] = {}
        for name in files_beside(self.folder, self._own()):
            path = self.folder / name
            files[Path(name)] = [Slice(path, 0, path.stat().st_size)]
        for file, shard in self.shards.items():
            if not self._is_emptied(shard, renames):
                files[Path(file)] = shard.rewritten(self._renames_of(shard, renames))[Path()]
        if self.index is not None:
            name, document = self.index
            planned = renames.get(self.containers[0].info.name, {})
            files[Path(name)] = [laid_out(_renamed_index(document.value, planned, self), document.text)]
        return files

    def remarks(self, renames: Mapping[str, Renames]) -> Remarks:
        """Say what a rewriting under these names does not reach, in the folder and in its only file."""
        inner = self._only.remarks(renames) if self._only else Remarks()
        copied = files_beside(self.folder, self._own())
        configs = old_names(self.folder, copied, renames.get(self.containers[0].info.name, {}))
        return inner._replace(configs=tuple(configs), not_copied=tuple(_left(self.folder, {*copied, *self._own()})))

    def check_place(self, name: str) -> None:
        """Raise ``no-such-container`` where the only file has nothing at the name, or there are several."""
        if self._only:
            self._only.check_place(name)
        else:
            self.container(name)

    @property
    def _only(self) -> Checkpoint | None:
        return next(iter(self.shards.values())) if len(self.shards) == 1 else None

    def _own(self) -> tuple[str, ...]:
        return (*self.shards, self.index[0]) if self.index else tuple(self.shards)

    def _renames_of(self, shard: Checkpoint, renames: Mapping[str, Renames]) -> Mapping[str, Renames]:
        if len(self.shards) == 1:
            return renames
        planned, chosen = renames.get("", {}), shard.containers[0]
        here = (*chosen.tensors, *chosen.other)
        return {chosen.info.name: {key: planned[key] for key in here if key in planned}}

    def _is_emptied(self, shard: Checkpoint, renames: Mapping[str, Renames]) -> bool:
        # Without an index, the numbers of the shards say how many there are.
        if self.index is None:
            return False
        planned = renames.get("", {})
        keys = shard.containers[0].tensors
        return len(self.shards) > 1 and bool(keys) and not any(planned.get(key, (key,)) for key in keys)


def _left(folder: Path, copied: set[str]) -> Iterator[str]:
    """Name what stands in the folder and is not copied; hidden folders are nobody's checkpoint."""
    found = survey(folder)
    above = {str(parent) for file in copied for parent in Path(file).parents}
    yield from (name for name in found.files if name not in copied)
    yield from (f"{name}/" for name in found.folders if name not in above and not name.startswith("."))


def open_shards(
    path: Path, folder: Path, names: Sequence[str], index: tuple[str, Document] | None, notes: tuple[str, ...] = ()
) -> FolderCheckpoint:
    """Read the shards of a folder as one checkpoint; ``notes`` are added to its own.

    Raises ``missing-shard``, ``index-mismatch``, ``duplicate-key`` where a key stands in two shards, and what reading a
    shard raises.
    """
    weight_map = weight_map_of(folder / index[0], index[1]) if index else {}
    where = folder / index[0] if index else path
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        lost = set(absent)
        keys = sum(file in lost for file in weight_map.values()) if index else None
        raise MissingShard(where, absent, len(names), keys)
    shards = {name: open_weights(folder / name, f"{name}{_MARK}") for name in names}
    tensors, found = _merged(where, shards, weight_map)
    # One shard keeps its containers; several are one dict by the word of their index.
    only = next(iter(shards.values())) if len(shards) == 1 else None
    containers = (
        only.containers
        if only
        else (Container(ContainerInfo("", len(tensors)), tensors, _entries(shards.values()), _ties(shards.values())),)
    )
    formats = dict.fromkeys("safetensors" if isinstance(s, SafetensorsFile) else "torch" for s in shards.values())
    return FolderCheckpoint(
        path,
        "sharded-" + "-and-".join(formats),
        sum(shard.n_bytes for shard in shards.values()),
        containers,
        tuple((f"{name}: {at}", what) for name, shard in shards.items() for at, what in shard.contents),
        tuple(dict.fromkeys(chain.from_iterable(shard.blocked for shard in shards.values()))),
        (*notes, *found, *(f"{name}: {note}" for name, shard in shards.items() for note in shard.notes)),
        minor=only.minor if only else (),
        states={path: state for shard in shards.values() for path, state in shard.states.items()},
        folder=folder,
        shards=shards,
        index=index,
    )


def open_single(folder: Path, name: str, notes: tuple[str, ...]) -> FolderCheckpoint:
    """Read a folder around one file."""
    inner = open_weights(folder / name)
    return FolderCheckpoint(
        folder,
        inner.format,
        inner.n_bytes,
        inner.containers,
        inner.contents,
        inner.blocked,
        (*notes, *inner.notes),
        minor=inner.minor,
        states=inner.states,
        folder=folder,
        shards={name: inner},
    )


def _merged(
    where: Path, shards: Mapping[str, Checkpoint], weight_map: Mapping[str, str]
) -> tuple[dict[str, TensorInfo], tuple[str, ...]]:
    """Give all tensors, in the order of the index, and a note on those that the index does not name."""
    places: dict[str, str] = {}
    tensors: dict[str, TensorInfo] = {}
    for file, shard in shards.items():
        for key, info in _tensors(file, shard).items():
            if key in places:
                raise DuplicateKey(where, key, [places[key], file])
            places[key] = file
            tensors[key] = info
    absent = [(key, file) for key, file in weight_map.items() if places.get(key) != file]
    if absent:
        raise IndexMismatch(where, absent)
    extra = [key for key in tensors if key not in weight_map] if weight_map else []
    ordered = {key: tensors[key] for key in chain(weight_map, extra)} if weight_map else tensors
    are = "is" if len(extra) == 1 else "are"
    note = f"{counted(len(extra), 'key')} {are} in the shards but not in the index: {', '.join(extra[:3])}"
    return ordered, (note + (", …" if len(extra) > 3 else ""),) if extra else ()


def _tensors(file: str, shard: Checkpoint) -> Mapping[str, TensorInfo]:
    tensors = shard.containers[0].tensors
    if isinstance(shard, SafetensorsFile):
        return tensors
    # Storages of different files may have the same name.
    return {
        key: info._replace(storage=info.storage._replace(name=f"{file}{_MARK}{info.storage.name}"))
        if info.storage
        else info
        for key, info in tensors.items()
    }


def _entries(shards: Iterable[Checkpoint]) -> dict[str, str]:
    return {key: what for shard in shards for key, what in shard.containers[0].other.items()}


def _ties(shards: Iterable[Checkpoint]) -> tuple[tuple[str, ...], ...]:
    chosen = [shard.containers[0] for shard in shards]
    return tuple(chain.from_iterable(ties_of(c.tensors.items()) if c.ties is None else c.ties for c in chosen))


def _renamed_index(index: Mapping[str, Any], planned: Renames, checkpoint: FolderCheckpoint) -> dict[str, Any]:
    """Rename the keys of an index. Its totals change by what is dropped or doubled, and are otherwise kept."""
    renamed = dict(index)
    renamed["weight_map"] = {
        name: file for key, file in index["weight_map"].items() for name in planned.get(key, (key,))
    }
    metadata = index.get("metadata")
    if isinstance(metadata, dict):
        renamed["metadata"] = _new_totals(metadata, planned, checkpoint.containers[0].tensors)
    return renamed


def _new_totals(metadata: dict[str, Any], planned: Renames, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    import math

    changed = [(len(names) - 1, tensors[key]) for key, names in planned.items() if len(names) != 1 and key in tensors]
    more = {
        "total_size": sum(times * (info.nbytes or 0) for times, info in changed),
        "total_parameters": sum(times * math.prod(info.shape or ()) for times, info in changed),
    }
    return {
        name: value + more[name] if name in more and type(value) is int else value for name, value in metadata.items()
    }
