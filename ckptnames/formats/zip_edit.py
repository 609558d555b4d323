"""A zip archive with other bytes in some records, and without others: the rest is copied, aligned as it was.

torch maps records into memory, so that their bytes must start at multiples of an alignment: it pads the extra field of
each local header. A record that moves keeps its place within the alignment by padding its own header anew; those after
it then move by whole multiples, and are copied in bulk.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from ckptnames.errors import CorruptZip
from ckptnames.formats.pickle_stack import Buffer
from ckptnames.formats.pieces import Piece, Slice, length, merged
from ckptnames.formats.zip_directory import STORED, Directory, Entry

_LOCAL = Struct("<4s5H3I2H")
_CENTRAL = Struct("<4s6H3I5H2I")
_DESCRIPTOR = Struct("<4s3I")
_EXTRA = Struct("<HH")
_END = Struct("<4s4H2LH")
_END64 = Struct("<4sQ2H2L4Q")
_LOCATOR64 = Struct("<4sLQL")
_ZIP64, _PADDING = 1, int.from_bytes(b"FB", "little")
_HAS_DESCRIPTOR = 8
_SEE_ZIP64 = 0xFFFFFFFF
_MAX_EXTRA = 0xFFFF
_FORMAT_VERSION = ".format_version"


def rewritten(
    path: Path,
    data: Buffer,
    directory: Directory,
    replaced: Mapping[str, bytes],
    dropped: Collection[str] = (),
    alignment: int = 64,
) -> list[Piece]:
    """Compose the archive with other bytes for the records ``replaced``, and without those ``dropped``.

    ``data`` are the bytes of ``path``. Every record starts where it did modulo ``alignment``.

    Raises ``corrupt-checkpoint`` where records overlap.
    """
    archive = _Archive(path, data, directory, replaced, set(dropped), alignment)
    pieces = archive.composed()
    version = _format_version(directory)
    # With it torch does not read where a record starts, it computes that from the sizes of those before.
    if version not in archive.dropped and (archive.dropped or archive.passes_4_gib()):
        archive.dropped.add(version)
        pieces = archive.composed()
    return pieces


def _format_version(directory: Directory) -> str:
    root = next(iter(directory.entries), "").partition("/")[0]
    return f"{root}/{_FORMAT_VERSION}"


class _Extent(NamedTuple):
    """A record with all that stands before the next one."""

    entry: Entry
    end: int


class _Archive:
    """The archive as it is composed: where each record that is written stands."""

    def __init__(
        self,
        path: Path,
        data: Buffer,
        directory: Directory,
        replaced: Mapping[str, bytes],
        dropped: set[str],
        alignment: int,
    ) -> None:
        self.path, self.data, self.directory = path, data, directory
        self.replaced, self.dropped, self.alignment = replaced, dropped, alignment
        self.headers: dict[str, int] = {}

    def composed(self) -> list[Piece]:
        """Put records, directory and end together."""
        extents = self.extents()
        self.headers = {}
        at = extents[0].entry.header if extents else self.directory.start
        pieces: list[Piece] = [Slice(self.path, 0, at)]
        for extent in extents:
            if extent.entry.name not in self.dropped:
                self.headers[extent.entry.name] = at
                for piece in self.record(extent, at):
                    pieces.append(piece)
                    at += length(piece)
        records = [self.central(entry) for name, entry in self.directory.entries.items() if name in self.headers]
        central = b"".join(records)
        return merged([*pieces, central, self.end(len(records), len(central), at)])

    def extents(self) -> list[_Extent]:
        """Give the records in the order of the file."""
        entries = sorted(self.directory.entries.values(), key=lambda entry: entry.header)
        ends = [*(entry.header for entry in entries[1:]), self.directory.start]
        for entry, end in zip(entries, ends, strict=True):
            if entry.start + entry.packed > end:
                raise CorruptZip(self.path, f"the bytes of '{entry.name}' run into the next record")
        return [_Extent(*pair) for pair in zip(entries, ends, strict=True)]

    def passes_4_gib(self) -> bool:
        """Tell whether a record has come to start on the other side of 4 GiB, where its header has other fields."""
        entries = self.directory.entries
        return any((at >= _SEE_ZIP64) != (entries[name].header >= _SEE_ZIP64) for name, at in self.headers.items())

    def record(self, extent: _Extent, at: int) -> Iterator[Piece]:
        """Write a record that is to start at ``at``."""
        entry = extent.entry
        header = bytes(self.data[entry.header : entry.start])
        content = self.replaced.get(entry.name)
        if content is not None:
            yield from self.new_record(entry, header, content, at)
        elif (at - entry.header) % self.alignment:
            yield self.aligned(entry, header, at)
            yield Slice(self.path, entry.start, extent.end - entry.start)
        else:
            yield Slice(self.path, entry.header, extent.end - entry.header)

    def new_record(self, entry: Entry, header: bytes, content: bytes, at: int) -> Iterator[Piece]:
        """Write a record with other bytes, not compressed."""
        signature, need, flags, _, *when, _, _, _, n_name, _ = _LOCAL.unpack_from(header)
        facts = (zlib.crc32(content), len(content), len(content))
        told = (0, 0, 0) if flags & _HAS_DESCRIPTOR else facts
        extra = b"".join(field for kind, field in _fields(header[_LOCAL.size + n_name :]) if kind != _ZIP64)
        fixed = _LOCAL.pack(signature, need, flags, STORED, *when, *told, n_name, len(extra))
        header = fixed + header[_LOCAL.size : _LOCAL.size + n_name] + extra
        yield header if (at + len(header) - entry.start) % self.alignment == 0 else self.aligned(entry, header, at)
        yield content
        if flags & _HAS_DESCRIPTOR:
            yield _DESCRIPTOR.pack(b"PK\7\x08", *facts)

    def aligned(self, entry: Entry, header: bytes, at: int) -> bytes:
        """Pad a local header at ``at`` so that the bytes of the record start where they did, modulo the alignment."""
        n_name = _LOCAL.unpack_from(header)[-2]
        body, extra = header[: _LOCAL.size + n_name], header[_LOCAL.size + n_name :]
        kept = b"".join(field for kind, field in _fields(extra) if kind != _PADDING)
        start = at + len(body) + len(kept) + _EXTRA.size
        padding = (entry.start - start) % self.alignment
        extra = kept + _EXTRA.pack(_PADDING, padding) + b"Z" * padding
        if len(extra) > _MAX_EXTRA:
            return header
        return body[: _LOCAL.size - 2] + len(extra).to_bytes(2, "little") + body[_LOCAL.size :] + extra

    def central(self, entry: Entry) -> bytes:
        """Write the record of the directory for an entry."""
        raw = self.directory.raw
        signature, made, need, flags, method, time, date, crc, _, _, *rest = _CENTRAL.unpack_from(raw, entry.record)
        n_name, n_extra, n_comment, *attributes, _ = rest
        name_end = entry.record + _CENTRAL.size + n_name
        extra_end = name_end + n_extra
        packed, size = entry.packed, entry.size
        content = self.replaced.get(entry.name)
        if content is not None:
            method, crc, packed, size = STORED, zlib.crc32(content), len(content), len(content)
        numbers = (size, packed, self.headers[entry.name] - self.directory.prefix)
        large = [number for number in numbers if number >= _SEE_ZIP64]
        extra = _field64(large) + b"".join(field for kind, field in _fields(raw[name_end:extra_end]) if kind != _ZIP64)
        size, packed, header = (min(number, _SEE_ZIP64) for number in numbers)
        fixed = (signature, made, need, flags, method, time, date, crc, packed, size)
        head = _CENTRAL.pack(*fixed, n_name, len(extra), n_comment, *attributes, header)
        name = raw[entry.record + _CENTRAL.size : name_end]
        return head + name + extra + raw[extra_end : extra_end + n_comment]

    def end(self, count: int, size: int, start: int) -> bytes:
        """Write what ends an archive, with the 64-bit records where there were some or where they are needed."""
        offset = start - self.directory.prefix
        at = self.directory.start + len(self.directory.raw)
        end64 = b""
        if bytes(self.data[at : at + 4]) == b"PK\6\6":
            end64 = bytes(self.data[at : at + _END64.size])
            at += _END64.size + _LOCATOR64.size
        elif count > 0xFFFE or size >= _SEE_ZIP64 or offset >= _SEE_ZIP64:
            end64 = _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, 0, 0, 0, 0)
        if end64:
            end64 = end64[:24] + Struct("<4Q").pack(count, count, size, offset)
            end64 += _LOCATOR64.pack(b"PK\6\7", 0, offset + size, 1)
        comment = bytes(self.data[at + _END.size :])
        told = min(count, 0xFFFF)
        end = (0, 0, told, told, min(size, _SEE_ZIP64), min(offset, _SEE_ZIP64), len(comment))
        return end64 + _END.pack(b"PK\5\6", *end) + comment


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Split an extra field; what is left over and makes no field comes last, as kind 0."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, size = _EXTRA.unpack_from(extra, at)
        if at + _EXTRA.size + size > len(extra):
            break
        yield kind, extra[at : at + _EXTRA.size + size]
        at += _EXTRA.size + size
    yield 0, extra[at:]


def _field64(numbers: list[int]) -> bytes:
    if not numbers:
        return b""
    return _EXTRA.pack(_ZIP64, 8 * len(numbers)) + Struct(f"<{len(numbers)}Q").pack(*numbers)
