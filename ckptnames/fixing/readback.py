"""The file that was just written, read back and held against the plan before it replaces anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ckptnames.errors import ReadbackDiffers
from ckptnames.formats.checkpoint import Checkpoint, Renames
from ckptnames.formats.pieces import Landing, Piece
from ckptnames.manifest import TensorInfo


def check_names(source: Checkpoint, written: Checkpoint, renames: Mapping[str, Renames]) -> None:
    """Hold every container's keys, dtypes, shapes and strides against what the renames make of the source.

    Raises ``readback-differs`` naming the first key that is not as planned.
    """
    for container in source.all_containers:
        planned = renames.get(container.info.name, {})
        expected = {name: info for key, info in container.tensors.items() for name in planned.get(key, (key,))}
        if not expected:
            continue
        copy = written.container(container.info.name)
        found = copy.tensors
        if set(found) != set(expected):
            key = min(set(found) ^ set(expected))
            raise ReadbackDiffers(written.path, key, "stands where the plan does not put it, or is missing")
        for key, info in expected.items():
            if _facts(found[key]) != _facts(info):
                raise ReadbackDiffers(written.path, key, f"reads {_facts(found[key])}, not {_facts(info)}")
        entries = {name for entry in container.other for name in planned.get(entry, (entry,))}
        if entries != set(copy.other):
            key = min(entries ^ set(copy.other))
            raise ReadbackDiffers(written.path, key, "is no tensor, and stands where the plan does not put it")


def _facts(info: TensorInfo) -> tuple[object, ...]:
    return info.dtype, info.shape, info.strides, info.nbytes


def check_places(
    source: Checkpoint, written: Checkpoint, renames: Mapping[str, Renames], files: Mapping[Path, list[Piece]]
) -> None:
    """Hold every tensor's byte range in the written file against where the copied bytes landed.

    Raises ``readback-differs`` naming the first tensor whose bytes lie elsewhere.
    """
    landings = {relative: Landing(pieces) for relative, pieces in files.items()}
    for container in source.all_containers:
        planned = renames.get(container.info.name, {})
        for key, info in container.tensors.items():
            for name in planned.get(key, (key,)):
                other = written.container(container.info.name).tensors[name]
                if info.storage is None or other.storage is None or not info.storage.nbytes:
                    continue
                where = landings[written.file_of(other.storage)](
                    source.root / source.file_of(info.storage), info.storage.position, info.storage.nbytes
                )
                if other.storage.position not in where or other.offset != info.offset:
                    raise ReadbackDiffers(written.path, name, "does not point at the bytes of its source")
