"""JSON that is what it seems: every name once, no number that is none, and bounded."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ckptnames.errors import DuplicateKey, MalformedJson
from ckptnames.formats.collecting import no_collection

MAX_BYTES = 100_000_000


class RepeatedName(ValueError):
    """A name that stands twice in one object."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name '{name}' stands twice in one object")
        self.name = name


class Document(NamedTuple):
    """A JSON file: its value, and its text, which says how it was laid out."""

    value: Any
    text: str


def read_document(path: Path, gzipped: bool = False) -> Document:
    """Read a JSON file of at most 100 MB, unpacked where it is gzipped.

    Raises ``malformed-json`` and ``duplicate-key``.
    """
    raw = _unzipped(path) if gzipped else _read(path)
    if len(raw) > MAX_BYTES:
        raise MalformedJson(path, f"it has more than {MAX_BYTES:,} bytes")
    try:
        text = raw.decode(json.detect_encoding(raw))
        return Document(parsed(text), text)
    except RepeatedName as error:
        raise DuplicateKey(path, error.name) from None
    except UnicodeDecodeError as error:
        raise MalformedJson(path, f"byte {error.start} is not {error.encoding.upper()}") from None
    except ValueError as error:
        raise MalformedJson(path, f"{error}") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _unzipped(path: Path) -> bytes:
    import zlib

    unpack = zlib.decompressobj(31)
    try:
        raw = unpack.decompress(_read(path), MAX_BYTES + 1)
    except zlib.error as error:
        raise MalformedJson(path, f"its gzip stream is damaged ({error})") from None
    if not unpack.eof and len(raw) <= MAX_BYTES:
        raise MalformedJson(path, "its gzip stream is cut short")
    return raw


def parsed(text: str, unique: bool = True) -> Any:
    """Parse JSON, without looking for names that stand twice where ``unique`` is false, which takes half of the time.

    Raises ``ValueError``, and ``RepeatedName`` among it.

    >>> parsed('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    ckptnames.formats.strict_json.RepeatedName: the name 'a' stands twice in one object
    """
    try:
        with no_collection():
            return json.loads(
                text,
                parse_constant=_no_number,
                parse_float=_finite,
                object_pairs_hook=_unique if unique else None,
            )
    except RecursionError:
        raise ValueError("its values are nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise RepeatedName(name)
            seen.add(name)
    return made


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"the number {digits:.40} is too large")
    return number


def laid_out(value: Any, like: str) -> bytes:
    r"""Write a value as JSON with the indentation, the spaces and the last newline of another text.

    >>> laid_out({"b": [1]}, like='{\n\t"a": 0\n}\n')
    b'{\n\t"b": [\n\t\t1\n\t]\n}\n'
    """
    indent = re.search(r"\n([ \t]+)\S", like)
    comma = "," if indent or not re.search(r'[\]}"\d], ["\[{\d]', like) else ", "
    colon = ": " if '": ' in like else ":"
    text = json.dumps(value, ensure_ascii=like.isascii(), indent=indent and indent[1], separators=(comma, colon))
    return (text + like[len(like.rstrip()) :]).encode()
