"""The files of ``torch.save`` before torch 1.6: five pickles one after the other, then the storages; and bare pickles.

The pickles are a magic number, the protocol, what machine wrote it, the object, and the keys of the storages. Each
storage is the number of its elements in eight bytes, then its bytes, without gaps to the end of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from pickle import dumps
from typing import Any, NamedTuple

from ckptnames.errors import LegacyCutShort, MalformedLegacy, StorageNotThere
from ckptnames.formats.bare_pickle import first_pickle, refusal_of
from ckptnames.formats.checkpoint import Renames
from ckptnames.formats.collecting import no_collection
from ckptnames.formats.contents import describe
from ckptnames.formats.pickle_machine import Reading, read_pickle
from ckptnames.formats.pickle_stack import Buffer
from ckptnames.formats.pieces import Piece, Slice, merged
from ckptnames.formats.symbols import Dict, Global, PersistentId
from ckptnames.formats.torch_dtypes import STORAGES
from ckptnames.formats.torch_pickle import inside, mapped, naming, protocol_note, refuse_protocol_0
from ckptnames.formats.torch_rewrite import TorchFile, rewritten_pickle
from ckptnames.formats.torch_tensors import TensorReader
from ckptnames.manifest import Storage

MAGIC = 0x1950A86A20F9469CFC6C
_LENGTH_BYTES = 8


class Sections(NamedTuple):
    """Where each part of a legacy file starts; the storages go to the end of the file."""

    object: int
    keys: int
    storages: int


_NOWHERE = Sections(0, 0, 0)


@dataclass(frozen=True, slots=True)
class TorchLegacy(TorchFile):
    """A file of ``torch.save`` before torch 1.6."""

    sections: Sections = _NOWHERE

    def rewritten(self, renames: Mapping[str, Renames]) -> dict[Path, list[Piece]]:
        """Compose the file with another object; storages that it no longer speaks of leave the list and the file.

        Raises ``cannot-rewrite``, ``cannot-edit-pickle``.
        """
        path, at = self.path, self.sections
        with mapped(path) as data:
            pickle, storages = bytes(data[at.object : at.keys]), self._storages(data)
            listed = bytes(data[at.keys : at.storages])
            n_bytes = len(data)
        new = rewritten_pickle(pickle, _reader(path, storages), renames, path)
        pieces: list[Piece] = [Slice(path, 0, at.object), new.pickle]
        if not new.dropped:
            return {Path(): merged([*pieces, listed, Slice(path, at.storages, n_bytes - at.storages)])}
        kept = [storage for key, storage in storages.items() if key not in new.dropped]
        # torch asks every storage of the list to be in some tensor.
        pieces.append(dumps([storage.name for storage in kept], protocol=2))
        pieces += [Slice(path, s.position - _LENGTH_BYTES, s.nbytes + _LENGTH_BYTES) for s in kept]
        # What was written behind it, perhaps by a second torch.save, is not for us to leave out.
        end = _end(storages, at.storages)
        return {Path(): merged([*pieces, Slice(path, end, n_bytes - end)])}

    def read_again(self) -> tuple[Any, TensorReader]:
        """Give what the pickle says, and the reader of its tensors."""
        with mapped(self.path) as data:
            value = read_pickle(data, self.sections.object, where=f"{self.path}").value
            return value, _reader(self.path, self._storages(data))

    def _storages(self, data: Buffer) -> dict[str, Storage]:
        reading = read_pickle(data, self.sections.object, where=f"{self.path}")
        return _storages(self.path, data, reading, read_pickle(data, reading.end, where=f"{self.path}"))


def open_torch_legacy(path: Path) -> TorchLegacy:
    """Read the pickles of a legacy file of ``torch.save``, and where its storages lie. Nothing is run.

    Raises ``corrupt-checkpoint`` for a damaged file, ``not-a-checkpoint`` for a pickle of something else,
    ``unsafe-pickle``, ``pickle-limit``.
    """
    with no_collection(), mapped(path) as data:
        head = _header(path, data)
        position = head[-1].end
        reading = read_pickle(data, position, where=f"{path}, its object")
        refuse_protocol_0(path, reading)
        with naming(*head, reading):
            keys = read_pickle(data, reading.end, where=f"{path}, its list of storages")
        with naming(*head, reading, keys):
            storages = _storages(path, data, reading, keys)
        # torch runs all five pickles: what any of them names counts.
        named = tuple(chain.from_iterable(each.globals for each in (*head, reading, keys)))
        found = inside(path, reading._replace(globals=named), _reader(path, storages))
        notes = (
            *found.notes,
            *protocol_note(bytes(data[position : position + 2])),
            *_order_of_bytes(head[-1]),
            *_bytes_after(storages, keys.end, len(data)),
        )
        return TorchLegacy(
            path,
            "torch-legacy",
            len(data),
            found.containers,
            found.contents,
            found.blocked,
            notes,
            minor=found.minor,
            sections=Sections(position, reading.end, keys.end),
        )


def _header(path: Path, data: Buffer) -> tuple[Reading, ...]:
    """Read the three pickles before the object: magic number, protocol, what machine wrote it."""
    magic = first_pickle(path, data)
    if magic.value != MAGIC:
        raise refusal_of(path, magic)
    protocol = read_pickle(data, magic.end, where=f"{path}, its protocol")
    if protocol.value != 1001:
        raise MalformedLegacy(path, f"its protocol is {describe(protocol.value)}, not 1001")
    return magic, protocol, read_pickle(data, protocol.end, where=f"{path}, its system")


def _order_of_bytes(system: Reading) -> tuple[str, ...]:
    little = system.value.get("little_endian") if isinstance(system.value, Dict) else True
    return () if little in (True, None) else ("its numbers are big-endian",)


def _bytes_after(storages: Mapping[str, Storage], start: int, n_bytes: int) -> tuple[str, ...]:
    end = _end(storages, start)
    return (f"the file goes on behind its last storage: bytes {end:,}..{n_bytes:,}",) if n_bytes > end else ()


def _end(storages: Mapping[str, Storage], start: int) -> int:
    return max((storage.position + storage.nbytes for storage in storages.values()), default=start)


def _storages(path: Path, data: Buffer, reading: Reading, keys: Reading) -> dict[str, Storage]:
    """Walk the storages to the end of the file; each must be there with all its bytes."""
    itemsizes = dict(reversed([pair for pair in map(_itemsize, reading.outside) if pair]))
    if not isinstance(keys.value, list):
        raise MalformedLegacy(path, f"its list of storages is {describe(keys.value)}")
    found: dict[str, Storage] = {}
    position = keys.end
    for key in keys.value:
        itemsize = itemsizes.get(key) if isinstance(key, str) else None
        if itemsize is None or key in found:
            raise MalformedLegacy(path, f"its list of storages has {describe(key)}, which no tensor is in")
        count = int.from_bytes(data[position : position + _LENGTH_BYTES], "little")
        start = position + _LENGTH_BYTES
        position = start + count * itemsize
        if position > len(data):
            raise LegacyCutShort(path, len(found), len(keys.value), len(data), position)
        found[key] = Storage(key, start, count * itemsize)
    return found


def _itemsize(reference: PersistentId) -> tuple[str, int] | None:
    """Give the key of a storage and the bytes of one of its elements."""
    match reference.value:
        case (str(), Global() as cls, str() as key, *_) if cls.name in STORAGES:
            return key, STORAGES[cls.name][1]
    return None


def _reader(path: Path, storages: dict[str, Storage]) -> TensorReader:
    def locate(key: str, nbytes: int) -> Storage:
        storage = storages.get(key)
        if storage is None or storage.nbytes < nbytes:
            raise StorageNotThere(f"{path}", key, nbytes, storage and storage.nbytes)
        return storage

    return TensorReader(locate, f"{path}")
