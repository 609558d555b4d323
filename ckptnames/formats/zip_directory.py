"""The directory of a zip archive: what records it has, and where their bytes are.

Python's ``zipfile`` refuses records whose CRC was switched off, as torch can write them, and takes four times as long.
"""

from __future__ import annotations

import re
from struct import Struct, error
from typing import NamedTuple

from ckptnames.errors import CorruptZip, ZipCutShort
from ckptnames.formats.pickle_stack import Buffer

STORED, DEFLATED = 0, 8

_END = Struct("<4s4H2LH")
_END64 = Struct("<4sQ2H2L4Q")
_LOCATOR64 = Struct("<4sLQL")
_RECORD = Struct("<4s4xHH4xIIIHHH8xI")
_LOCAL = Struct("<4s22xHH")
_EXTRA = Struct("<HH")
_MAX_COMMENT = 0xFFFF
_SEE_ZIP64 = 0xFFFFFFFF


class Entry(NamedTuple):
    """One record of an archive. Positions count from the start of the file."""

    name: str
    method: int
    crc: int
    packed: int
    """Bytes in the file; ``size`` once unpacked."""
    size: int
    header: int
    """Where the local header stands."""
    start: int
    """Where the bytes of the record start."""
    record: int
    """Where its record stands in ``Directory.raw``."""


class Directory(NamedTuple):
    """The central directory: its records by name, in order, and its bytes as they stand."""

    entries: dict[str, Entry]
    raw: bytes
    start: int
    """Where it stands in the file."""
    prefix: int
    """Bytes before the archive proper: what is to be added to each offset that is written in it."""
    n_bytes: int
    """The size of the file."""


def read_directory(data: Buffer, where: object) -> Directory:
    """Find the directory of an archive at its end, and read it.

    Raises ``corrupt-checkpoint`` where there is none (the file is cut short) or where it does not hold.
    """
    try:
        count, size, offset, end = _end_of_archive(data, where)
        start = end - size
        prefix = start - offset
        if start < 0 or prefix < 0:
            raise CorruptZip(where, f"its directory of {size} bytes at {offset} runs beyond its end at byte {end}")
        raw = bytes(data[start:end])
        return Directory(_entries(data, raw, count, prefix, start, where), raw, start, prefix, len(data))
    except error:
        raise CorruptZip(where, "its directory breaks off") from None


def _end_of_archive(data: Buffer, where: object) -> tuple[int, int, int, int]:
    """Give the number of records, the size and offset of the directory, and the position where it ends."""
    end = _end_record(data, where)
    *_, count, size, offset, _comment = _END.unpack_from(data, end)
    if end >= _LOCATOR64.size and bytes(data[end - _LOCATOR64.size : end - _LOCATOR64.size + 4]) == b"PK\6\7":
        end64 = end - _LOCATOR64.size - _END64.size
        if end64 < 0 or bytes(data[end64 : end64 + 4]) != b"PK\6\6":
            raise CorruptZip(where, "its zip64 end record is not where it should be")
        *_, count, size, offset = _END64.unpack_from(data, end64)
        end = end64
    return count, size, offset, end


def _end_record(data: Buffer, where: object) -> int:
    """Find the end record: the last one whose comment goes to the end of the file, else the last one that is whole."""
    start = max(0, len(data) - _MAX_COMMENT - _END.size)
    tail = bytes(data[start:])
    whole = [match.start() for match in re.finditer(b"PK\5\6", tail) if match.start() + _END.size <= len(tail)]
    if not whole:
        raise ZipCutShort(where, len(data))
    fitting = [at for at in whole if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail)]
    return start + (fitting or whole)[-1]


def _entries(data: Buffer, raw: bytes, count: int, prefix: int, limit: int, where: object) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    record, unpack, local = 0, _RECORD.unpack_from, _LOCAL.unpack_from
    while record < len(raw):
        signature, flags, method, crc, packed, size, n_name, n_extra, n_comment, header = unpack(raw, record)
        if signature != b"PK\1\2":
            raise CorruptZip(where, f"record {len(entries)} of its directory is none")
        at = record + _RECORD.size
        name = str(raw[at : at + n_name], "utf-8", "surrogateescape")
        if _SEE_ZIP64 in (size, packed, header):
            size, packed, header = _zip64(raw[at + n_name : at + n_name + n_extra], size, packed, header)
        header += prefix
        if header + _LOCAL.size > limit:
            raise CorruptZip(where, f"the header of '{name}' stands at byte {header}, beyond the directory's {limit}")
        signature, n_local_name, n_local_extra = local(data, header)
        start = header + _LOCAL.size + n_local_name + n_local_extra
        if signature != b"PK\3\4" or start + packed > limit:
            raise CorruptZip(where, f"the {packed} bytes of '{name}' are not where its directory says")
        if flags & 1 or name in entries:
            raise CorruptZip(where, f"'{name}' is {'encrypted' if flags & 1 else 'there twice'}")
        entries[name] = Entry(name, method, crc, packed, size, header, start, record)
        record = at + n_name + n_extra + n_comment
    if len(entries) != count:
        raise CorruptZip(where, f"it speaks of {count} records, and lists {len(entries)}")
    return entries


def _zip64(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Take the 64-bit numbers for those that do not fit into 32 bits; they stand in this order."""
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        if kind == 1:
            field = extra[at + _EXTRA.size : at + _EXTRA.size + length]
            numbers = iter(int.from_bytes(field[i : i + 8], "little") for i in range(0, len(field) - 7, 8))
            size, packed, header = (next(numbers, n) if n == _SEE_ZIP64 else n for n in (size, packed, header))
            break
        at += _EXTRA.size + length
    return size, packed, header


def read_record(data: Buffer, entry: Entry, limit: int, where: object) -> bytes:
    """Give the bytes of a record, unpacked where it is compressed; more than ``limit`` are refused."""
    if max(entry.size, entry.packed) > limit:
        raise CorruptZip(where, f"'{entry.name}' has {max(entry.size, entry.packed)} bytes; at most {limit} are read")
    packed = bytes(data[entry.start : entry.start + entry.packed])
    if entry.method == STORED:
        return packed
    if entry.method != DEFLATED:
        raise CorruptZip(where, f"'{entry.name}' is compressed by method {entry.method}")
    import zlib

    try:
        unpacked = zlib.decompressobj(-15).decompress(packed, entry.size + 1)
    except zlib.error as fault:
        raise CorruptZip(where, f"'{entry.name}' cannot be unpacked: {fault}") from None
    if len(unpacked) != entry.size:
        raise CorruptZip(where, f"'{entry.name}' unpacks to other than its {entry.size} bytes")
    return unpacked
