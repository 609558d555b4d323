"""The file that was just written, read back and held against the plan before it replaces anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import SEEK_END
from pathlib import Path

from ckptnames.errors import CannotRead, FileError, HeaderDiffers, ReadbackDiffers, ReadbackFails
from ckptnames.formats.checkpoint import Checkpoint, Container, Renames
from ckptnames.formats.outputs import Files
from ckptnames.formats.pieces import Landing, Piece, first_difference, length
from ckptnames.formats.recognise import open_checkpoint
from ckptnames.manifest import TensorInfo


def read_back(source: Checkpoint, renames: Mapping[str, Renames], files: Files, written: Path, out: Path) -> None:
    """Read the written file, and hold names, dtypes, shapes, strides and byte ranges against what was planned.

    The bytes of the tensors are not read: where they lie follows from the pieces that were copied. All others are.
    Raises ``readback-differs``, speaking of ``out``, where the file is to go.
    """
    try:
        for relative, pieces in files.items():
            _check_literals(written / relative, pieces, out / relative)
    except OSError as error:
        raise CannotRead(out, error.strerror or str(error)) from None
    try:
        copy = open_checkpoint(written)
        containers = {each.info.name: each for each in copy.all_containers}
    except FileError as error:
        raise ReadbackFails(out, error.message) from None
    landings = {relative: Landing(pieces) for relative, pieces in files.items()}
    for container in source.all_containers:
        planned = renames.get(container.info.name, {})
        expected = {name: info for key, info in container.tensors.items() for name in planned.get(key, (key,))}
        if not expected:
            continue
        found = containers.get(container.info.name)
        if found is None:
            raise ReadbackDiffers(out, next(iter(expected)), "is not there")
        _check_names(container, found, planned, out)
        _check_facts(expected, found.tensors, out)
        for name, info in expected.items():
            if not _is_in_place(source, info, copy, found.tensors[name], landings):
                raise ReadbackDiffers(out, name, "does not point at the bytes of its source")


def _check_literals(written: Path, pieces: Sequence[Piece], out: Path) -> None:
    """Hold what was not copied, and the size of the file, against what stands there."""
    with written.open("rb") as file:
        at = 0
        for piece in pieces:
            if isinstance(piece, bytes):
                file.seek(at)
                found = file.read(len(piece))
                if found != piece:
                    raise HeaderDiffers(out, at + first_difference(found, piece))
            at += length(piece)
        if file.seek(0, SEEK_END) != at:
            raise HeaderDiffers(out, min(at, file.tell()))


def _check_names(container: Container, found: Container, planned: Renames, out: Path) -> None:
    for source, written in ((container.tensors, found.tensors), (container.other, found.other)):
        expected = {name for key in source for name in planned.get(key, (key,))}
        if expected != written.keys():
            key = min(expected ^ written.keys())
            raise ReadbackDiffers(out, key, "stands where the plan does not put it, or is missing")


def _check_facts(expected: Mapping[str, TensorInfo], found: Mapping[str, TensorInfo], out: Path) -> None:
    for key, info in expected.items():
        if _facts(found[key]) != _facts(info):
            raise ReadbackDiffers(out, key, f"reads {_facts(found[key])}, not {_facts(info)}")


def _facts(info: TensorInfo) -> tuple[object, ...]:
    return info.dtype, info.shape, info.strides, info.nbytes, info.offset


def _is_in_place(
    source: Checkpoint, info: TensorInfo, written: Checkpoint, found: TensorInfo, landings: Mapping[Path, Landing]
) -> bool:
    """Tell whether the storage of a tensor lies where the copied bytes landed."""
    if info.storage is None or not info.storage.nbytes:
        return found.storage is None or not found.storage.nbytes
    if found.storage is None or found.storage.nbytes != info.storage.nbytes:
        return False
    path = source.root / source.file_of(info.storage)
    where = landings[written.file_of(found.storage)](path, info.storage.position, info.storage.nbytes)
    return found.storage.position in where
