"""The zip archives of ``torch.save``, from torch 1.6 to today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptnames.errors import StorageNotThere, UnsupportedFormat
from ckptnames.formats import zip_edit
from ckptnames.formats.checkpoint import Renames
from ckptnames.formats.collecting import no_collection
from ckptnames.formats.pickle_machine import LIMITS, read_pickle
from ckptnames.formats.pickle_stack import Buffer
from ckptnames.formats.pieces import Piece
from ckptnames.formats.torch_pickle import inside, mapped, protocol_note, refuse_protocol_0
from ckptnames.formats.torch_rewrite import TorchFile, rewritten_pickle
from ckptnames.formats.torch_tensors import TensorReader
from ckptnames.formats.zip_directory import STORED, Directory, Entry, read_directory, read_record
from ckptnames.manifest import Storage

_PICKLE = "/data.pkl"
_ALIGNMENT = 64
"""What torch aligns records to where the archive does not say."""
_MOST_ALIGNMENT = 1 << 16


@dataclass(frozen=True, slots=True)
class TorchZip(TorchFile):
    """A zip archive that ``torch.save`` wrote."""

    directory: Directory | None = None
    folder: str = ""
    """The folder inside the archive in which all its records stand."""

    @property
    def pickle(self) -> Entry:
        """The record of the pickle."""
        assert self.directory is not None
        return self.directory.entries[self.folder + _PICKLE]

    def rewritten(self, renames: Mapping[str, Renames]) -> dict[Path, list[Piece]]:
        """Compose the archive with another pickle; records are copied, those that nothing speaks of any more left out.

        Raises ``cannot-rewrite``, ``cannot-edit-pickle``.
        """
        assert self.directory is not None
        reader = tensor_reader(self.path, self.directory, self.folder)
        with mapped(self.path) as data:
            pickle = read_record(data, self.pickle, LIMITS.pickle_bytes, self.path)
            new = rewritten_pickle(pickle, reader, renames, self.path)
            dropped = [f"{self.folder}/data/{key}" for key in new.dropped]
            replaced = {self.pickle.name: new.pickle}
            pieces = zip_edit.rewritten(self.path, data, self.directory, replaced, dropped, self._alignment(data))
        return {Path(): pieces}

    def read_again(self) -> tuple[Any, TensorReader]:
        """Give what the pickle says, and the reader of its tensors."""
        assert self.directory is not None
        with mapped(self.path) as data:
            pickle = read_record(data, self.pickle, LIMITS.pickle_bytes, self.path)
        reader = tensor_reader(self.path, self.directory, self.folder)
        return read_pickle(pickle, where=f"{self.path}").value, reader

    def _alignment(self, data: Buffer) -> int:
        assert self.directory is not None
        record = self.directory.entries.get(f"{self.folder}/.storage_alignment")
        told = read_record(data, record, 16, self.path).decode("ascii", "replace") if record else ""
        return int(told) if told.isdecimal() and 0 < int(told) <= _MOST_ALIGNMENT else _ALIGNMENT


def open_torch_zip(path: Path) -> TorchZip:
    """Read the headers of a zip archive of ``torch.save``. No tensor is read and no pickle is run.

    Raises ``corrupt-checkpoint``, ``unsupported-format`` (TorchScript), ``not-a-checkpoint``, ``unsafe-pickle``,
    ``pickle-limit``.
    """
    with no_collection(), mapped(path) as data:
        directory = read_directory(data, path)
        folder = _folder(path, directory)
        pickle = read_record(data, directory.entries[folder + _PICKLE], LIMITS.pickle_bytes, path)
        order = directory.entries.get(f"{folder}/byteorder")
        byteorder = read_record(data, order, 16, path) if order else b"little"
        reading = read_pickle(pickle, where=f"{path}, {folder}{_PICKLE}")
        refuse_protocol_0(path, reading)
        found = inside(path, reading, tensor_reader(path, directory, folder))
    notes = (*found.notes, *protocol_note(pickle), *(_BIG_ENDIAN if byteorder == b"big" else ()))
    return TorchZip(
        path,
        "torch-zip",
        directory.n_bytes,
        found.containers,
        found.contents,
        found.blocked,
        notes,
        minor=found.minor,
        directory=directory,
        folder=folder,
    )


_BIG_ENDIAN = ("its numbers are big-endian",)


def tensor_reader(path: Path, directory: Directory, folder: str) -> TensorReader:
    """Make the reader of the tensors of an archive, which finds their storages in its directory."""
    entries, prefix = directory.entries, f"{folder}/data/"

    def locate(key: str, nbytes: int) -> Storage:
        entry = entries.get(prefix + key)
        if entry is None or entry.size < nbytes:
            raise StorageNotThere(f"{path}", key, nbytes, entry and entry.size)
        # An archive that was packed anew may be compressed: then other bytes stand there, and fewer.
        return Storage(key, entry.start, nbytes if entry.method == STORED else entry.packed)

    return TensorReader(locate, f"{path}")


def _folder(path: Path, directory: Directory) -> str:
    """Find the folder of the pickle; refuse archives that are something else than what ``torch.save`` writes."""
    names = directory.entries
    pickles = [name for name in names if name.endswith(_PICKLE)]
    if not pickles:
        from ckptnames.formats.foreign import refused_zip

        raise refused_zip(path)
    folder = min(pickles, key=lambda name: name.count("/")).removesuffix(_PICKLE)
    if f"{folder}/constants.pkl" in names or any(name.startswith(f"{folder}/code/") for name in names):
        raise UnsupportedFormat(
            path,
            "a TorchScript archive",
            f"save its state dict, and read that: torch.save(torch.jit.load({str(path)!r}).state_dict(), 'weights.pt')",
        )
    return folder
