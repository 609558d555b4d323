"""The header of a safetensors file: read, held against the length of the file, and made again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ckptnames.errors import (
    CutShort,
    DuplicateKey,
    HeaderTooLong,
    Hole,
    MalformedEntry,
    MalformedHeader,
    Overlap,
    TensorTooLarge,
    TrailingBytes,
    UnknownDtype,
    WrongByteCount,
)
from ckptnames.formats.collecting import no_collection
from ckptnames.formats.strict_json import RepeatedName, parsed
from ckptnames.manifest import Storage, TensorInfo

METADATA = "__metadata__"
MAX_HEADER = 100_000_000
_MAX_SIZE = (1 << 64) - 1
_ALIGNMENT = 8

_DTYPES = {
    8: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    16: "U16 I16 F16 BF16",
    32: "U32 I32 F32",
    64: "U64 I64 F64 C64",
    6: "F6_E2M3 F6_E3M2",
    4: "F4",
}
BITS = {name: bits for bits, names in _DTYPES.items() for name in names.split()}
"""Every dtype of the format, with the bits of one element."""

Header = dict[str, Any]
"""The JSON object as it stands in the file: entries in order, fields nobody asked about, and the metadata."""


def read_header(path: Path, file: BinaryIO, size: int) -> tuple[Header, int]:
    """Read the header of a file of ``size`` bytes; give it with the position of the first payload byte.

    Raises ``corrupt-checkpoint`` and ``duplicate-key``.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise HeaderTooLong(path, length, MAX_HEADER)
    if 8 + length > size:
        raise CutShort(path, 8 + length, size)
    raw = file.read(length)
    padding = len(raw) - len(raw.rstrip(b"\0"))
    if padding:
        raise MalformedHeader(path, f"it is padded with {padding} NUL bytes, not with spaces")
    return _parsed(path, raw), 8 + length


def header_bytes(header: Header) -> bytes:
    """Make the length, the JSON and the padding that stand before the payload, as the format's own writer does."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _parsed(path: Path, raw: bytes) -> Header:
    try:
        text = raw.decode()
        header = parsed(text, unique=False)
        if type(header) is dict and (b"\\" in raw or raw.count(b'"') != 2 * _count_strings(header)):
            # Something is unusual, or a name stands twice: look again, slowly.
            header = parsed(text)
    except RepeatedName as error:
        raise DuplicateKey(path, error.name) from None
    except UnicodeDecodeError as error:
        raise MalformedHeader(path, f"byte {8 + error.start} is not UTF-8") from None
    except ValueError as error:
        raise MalformedHeader(path, f"{error}") from None
    if type(header) is not dict:
        raise MalformedHeader(path, f"it is a {type(header).__name__}, not an object")
    if b"\\u" in raw:
        _check_surrogates(path, header)
    _check_metadata(path, header.get(METADATA))
    return header


def _count_strings(header: Header) -> int:
    """Count the strings in the text of a plain header: with no escape in it, each takes two quotes.

    A name that stands twice leaves quotes over, as what is not a plain entry does.
    """
    metadata = header.get(METADATA)
    extra = 0
    if METADATA in header:
        extra = 1 - 5 + (2 * len(metadata) if type(metadata) is dict else 0)
    return 5 * len(header) + extra


def _check_surrogates(path: Path, header: Header) -> None:
    try:
        json.dumps(header, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedHeader(path, "half of a surrogate pair stands in a string") from None


def _check_metadata(path: Path, metadata: Any) -> None:
    if metadata is None:
        return
    if type(metadata) is not dict:
        raise MalformedHeader(path, f"'{METADATA}' is {metadata!r:.60}, not an object of strings")
    for name, value in metadata.items():
        if type(value) is not str:
            raise MalformedHeader(path, f"'{name}' in '{METADATA}' is {value!r:.60}, not a string")


def tensors_of(path: Path, header: Header, start: int, size: int, file: str = "") -> dict[str, TensorInfo]:
    """Give the tensors in the order of the header, once all byte ranges are proved to cover the file exactly.

    ``file`` goes before the names of the storages. Raises ``corrupt-checkpoint``.
    """
    with no_collection():
        tensors, end = _tensors(path, header, start, file)
    if end != size:
        _refuse_coverage(path, tensors, start, size)
    return tensors


def _tensors(path: Path, header: Header, start: int, file: str) -> tuple[dict[str, TensorInfo], int]:
    """Give the tensors, and where they end if each begins where the one before it ends; else -1."""
    made: dict[str, TensorInfo] = {}
    facts: dict[tuple[str, str], tuple[str, tuple[int, ...], int, tuple[int, ...]]] = {}
    at, new = 0, tuple.__new__  # NamedTuple's own constructor would take half of the time
    for key, entry in header.items():
        if key == METADATA:
            continue
        try:
            # The text of the shape, since 1, 1.0 and true are one key of a dict.
            kind = entry["dtype"], str(entry["shape"])
            begin, end = entry["data_offsets"]
            known = facts.get(kind)
        except (TypeError, KeyError, ValueError):
            _refuse_entry(path, key, entry)
        if type(begin) is not int or type(end) is not int or type(entry) is not dict:
            _refuse_entry(path, key, entry)
        if known is None:
            known = facts[kind] = _facts(path, key, entry)
        dtype, shape, n_bytes, strides = known
        if end - begin != n_bytes or begin < 0:
            raise WrongByteCount(path, key, dtype, shape, n_bytes, begin, end)
        at = end if begin == at else -1
        storage = new(Storage, (file + key, start + begin, n_bytes))
        made[key] = new(TensorInfo, (dtype, shape, n_bytes, strides, 0, storage))
    return made, start + at if at >= 0 else -1


def _facts(path: Path, key: str, entry: Header) -> tuple[str, tuple[int, ...], int, tuple[int, ...]]:
    dtype, sizes = entry["dtype"], entry["shape"]
    if type(dtype) is not str or type(sizes) is not list or not all(type(s) is int and s >= 0 for s in sizes):
        _refuse_entry(path, key, entry)
    if max(sizes, default=0) > _MAX_SIZE:
        raise TensorTooLarge(path, key, dtype, sizes, "has a size that no 64 bits can hold")
    bits = BITS.get(dtype)
    if bits is None:
        raise UnknownDtype(path, key, dtype, ("F32", "F16", "BF16", "I64"))
    shape = tuple(sizes)
    if any(math.prod(shape[:n]) * (bits if n == len(shape) else 1) > _MAX_SIZE for n in range(1, len(shape) + 1)):
        raise TensorTooLarge(path, key, dtype, shape, "has more elements than any file can hold")
    total = math.prod(shape) * bits
    if total % 8:
        raise TensorTooLarge(path, key, dtype, shape, f"takes {total} bits, which are no whole bytes")
    return dtype, shape, total // 8, contiguous(shape)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the strides of elements that stand in row order with nothing between.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


_WANTED = {
    "dtype": "a string",
    "shape": "a list of sizes",
    "data_offsets": "the two positions where its bytes begin and end",
}


def _refuse_entry(path: Path, key: str, entry: Any) -> NoReturn:
    if type(entry) is not dict:
        raise MalformedEntry(path, key, "the entry", entry, "an object with dtype, shape and data_offsets")
    for member, wanted in _WANTED.items():
        value: Any = entry.get(member)
        numbers = type(value) is list and all(type(n) is int and 0 <= n <= _MAX_SIZE for n in value)
        if member == "dtype" and type(value) is str:
            continue
        if member == "dtype" or not numbers or (member == "data_offsets" and len(value) != 2):
            raise MalformedEntry(path, key, member, value, wanted)
    raise AssertionError(key)


def _refuse_coverage(path: Path, tensors: dict[str, TensorInfo], start: int, size: int) -> None:
    """Name the first hole or overlap, or what is missing or too much at the end. Ranges out of order are no fault."""
    ranges = ((info.storage.position, info.storage.nbytes, key) for key, info in tensors.items() if info.storage)
    at, last = start, ""
    for begin, n_bytes, key in sorted(ranges):
        if begin > at:
            raise Hole(path, key, at - start, begin - start)
        if begin < at:
            raise Overlap(path, key, last, begin - start, min(at, begin + n_bytes) - start)
        at, last = begin + n_bytes, key
    if at > size:
        raise CutShort(path, at, size)
    if at < size:
        raise TrailingBytes(path, at, size)
