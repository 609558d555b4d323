"""Checkpoint files made byte by byte, as no library of today would write them."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def safetensors_bytes(header: Any, payload: bytes = b"", pad: bytes = b" ") -> bytes:
    """Put the length before a header and pad it as the format's writer does; bytes are a header as they stand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += pad * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + payload


def entry(dtype: Any, shape: Any, begin: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


class Named:
    """A global of a pickle that need not exist anywhere."""

    def __init__(self, path: str) -> None:
        self.module, _, self.name = path.rpartition(".")


class Called:
    """What calling a global made, and the state that was given to it."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.function = Named(function) if isinstance(function, str) else function
        self.args, self.state = args, state


class Outside:
    """A reference to something outside the pickle."""

    def __init__(self, *identity: Any) -> None:
        self.identity = identity


def stored(key: str, count: int, kind: str = "torch.FloatStorage", place: str = "cpu", *view: Any) -> Outside:
    """Refer to a storage as torch does."""
    return Outside("storage", Named(kind), key, place, count, *view)


def tensor(storage: Outside, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Called:
    """Make a tensor as torch does since 0.4."""
    hooks = Called("collections.OrderedDict")
    return Called("torch._utils._rebuild_tensor_v2", storage, offset, tuple(shape), tuple(strides), False, hooks)


def pickled(value: Any, protocol: int = 2) -> bytes:
    """Pickle plain values and the classes above, each as its opcodes, with no memo."""
    return b"\x80" + bytes([protocol]) + b"".join(opcodes(value, protocol)) + b"."


def opcodes(value: Any, protocol: int = 2) -> Iterator[bytes]:
    """Give the opcodes that push a value."""
    if value is None or isinstance(value, bool):
        yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
    elif isinstance(value, int):
        digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        yield b"\x8a" + bytes([len(digits)]) + digits
    elif isinstance(value, float):
        yield b"G" + struct.pack(">d", value)
    elif isinstance(value, str):
        encoded = value.encode("utf-8", "surrogatepass")
        yield b"X" + len(encoded).to_bytes(4, "little") + encoded
    elif isinstance(value, bytes):
        yield b"B" + len(value).to_bytes(4, "little") + value
    elif isinstance(value, list | tuple):
        yield b"](" if isinstance(value, list) else b"("
        for member in value:
            yield from opcodes(member, protocol)
        yield b"e" if isinstance(value, list) else b"t"
    elif isinstance(value, Mapping):
        yield b"}("
        for pair in value.items():
            for each in pair:
                yield from opcodes(each, protocol)
        yield b"u"
    else:
        yield from _named_opcodes(value, protocol)


def _named_opcodes(value: Any, protocol: int) -> Iterator[bytes]:
    if isinstance(value, Named) and protocol < 4:
        yield f"c{value.module}\n{value.name}\n".encode()
    elif isinstance(value, Named):
        yield from opcodes(value.module, protocol)
        yield from opcodes(value.name, protocol)
        yield b"\x93"
    elif isinstance(value, Outside):
        yield from opcodes(value.identity, protocol)
        yield b"Q"
    elif isinstance(value, Called):
        yield from opcodes(value.function, protocol)
        yield from opcodes(value.args, protocol)
        yield b"R"
        if value.state is not None:
            yield from opcodes(value.state, protocol)
            yield b"b"
    else:
        raise TypeError(value)


def zipped(path: Path, records: Mapping[str, bytes], how: int = zipfile.ZIP_STORED, comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
        archive.comment = comment
    return path


def records_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def torch_zip(path: Path, value: Any, storages: Mapping[str, bytes], protocol: int = 2, **more: bytes) -> Path:
    """Write an archive as torch does; bytes are a pickle as they stand."""
    pickle_bytes = value if isinstance(value, bytes) else pickled(value, protocol)
    data = {f"m/data/{key}": content for key, content in storages.items()}
    return zipped(path, {"m/data.pkl": pickle_bytes, **data, **more, "m/version": b"3\n"})


def legacy(
    path: Path,
    value: Any,
    storages: Mapping[str, tuple[int, bytes]],
    system: Any = SYSTEM,
    protocol: int = 2,
    keys: Any = None,
) -> Path:
    """Write a file as torch did before 1.6: each storage with the number of its elements; bytes are a pickle."""
    head = [pickled(each, protocol) for each in (MAGIC, 1001, system)]
    content = value if isinstance(value, bytes) else pickled(value, protocol)
    listed = pickled(list(storages) if keys is None else keys, protocol)
    data = [count.to_bytes(8, "little", signed=True) + content for count, content in storages.values()]
    path.write_bytes(b"".join([*head, content, listed, *data]))
    return path
