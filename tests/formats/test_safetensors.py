"""Safetensors files against the library itself: what it opens is read as it reads it, what it refuses is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file, save_model

import ckptnames
from ckptnames.errors import CkptnamesError, CutShort, Hole, Overlap, TrailingBytes, WrongByteCount
from ckptnames.formats.safetensors_header import BITS
from tests.effort import examples
from tests.formats.making import entry, safetensors_bytes

Described = dict[str, tuple[str, tuple[int, ...]]]


def library(path: Path) -> Described | None:
    """What the library says of the tensors, or ``None`` where it refuses the file."""
    try:
        with safe_open(path, framework="np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            return {key: (each.get_dtype(), tuple(each.get_shape())) for key, each in slices.items()}
    except SafetensorError:
        return None


def ours(path: Path) -> Described | CkptnamesError:
    try:
        return {key: (str(i.dtype), i.shape or ()) for key, i in ckptnames.read(path).items()}
    except CkptnamesError as error:
        return error


def written(folder: Path, content: bytes) -> Path:
    path = folder / "m.safetensors"
    path.write_bytes(content)
    return path


A = {"a": entry("F32", [2], 0, 8)}
EIGHT = bytes(8)


def with_text(text: str) -> bytes:
    """Put text into the entry of an otherwise good header."""
    return safetensors_bytes(f'{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]{text}}}}}'.encode(), EIGHT)


def with_shape(dtype: str, shape: Any, n_bytes: int) -> bytes:
    return safetensors_bytes({"a": entry(dtype, shape, 0, n_bytes)}, bytes(n_bytes))


def with_metadata(metadata: Any) -> bytes:
    return safetensors_bytes({"__metadata__": metadata, **A}, EIGHT)


GOOD = {
    "plain": safetensors_bytes(A, EIGHT),
    "no padding": safetensors_bytes(A, EIGHT, pad=b""),
    "leading space": safetensors_bytes(b" \n\t" + json.dumps(A).encode(), EIGHT),
    "padded with newlines": safetensors_bytes(A, EIGHT, pad=b"\n"),
    "no tensors": safetensors_bytes({}),
    "no tensors, two bytes of header": safetensors_bytes(b"{}", pad=b""),
    "metadata alone": safetensors_bytes({"__metadata__": {"format": "pt"}}),
    "metadata null": with_metadata(None),
    "metadata empty": with_metadata({}),
    "extra fields": with_text(',"more":[1,{"x":null}]'),
    "a name with nothing in it": safetensors_bytes({"": entry("F32", [2], 0, 8)}, EIGHT),
    "a name with control characters": safetensors_bytes({"a\x01\n": entry("F32", [2], 0, 8)}, EIGHT),
    "a name in two surrogates": safetensors_bytes(json.dumps(A).replace('"a"', r'"\ud83d\ude00"').encode(), EIGHT),
    "scalar": with_shape("F32", [], 4),
    "no elements": with_shape("F32", [0], 0),
    "no elements in huge dimensions": with_shape("F32", [0, 2**63, 2**63], 0),
    "no elements between others": safetensors_bytes(
        {"a": entry("F32", [1], 0, 4), "b": entry("I64", [0, 3], 4, 4), "c": entry("F32", [1], 4, 8)}, EIGHT
    ),
    "no elements at the start, named last": safetensors_bytes({**A, "b": entry("F32", [0], 0, 0)}, EIGHT),
    "no elements at the end, named first": safetensors_bytes({"b": entry("F32", [0], 8, 8), **A}, EIGHT),
    "not in the order of the bytes": safetensors_bytes(
        {"b": entry("F32", [1], 4, 8), "a": entry("F32", [1], 0, 4)}, EIGHT
    ),
    "a hundred dimensions": with_shape("F32", [1] * 100, 4),
    "four bits": with_shape("F4", [4], 2),
    "six bits": with_shape("F6_E2M3", [4], 3),
    "six bits, other": with_shape("F6_E3M2", [2, 2], 3),
    **{f"dtype {dtype}": with_shape(dtype, [8], bits) for dtype, bits in BITS.items()},
}

BAD = {
    "hole": safetensors_bytes({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12)),
    "hole at the start": safetensors_bytes({"a": entry("F32", [1], 4, 8)}, EIGHT),
    "overlap": safetensors_bytes({**A, "b": entry("F32", [2], 4, 12)}, bytes(12)),
    "the same bytes twice": safetensors_bytes({**A, "b": entry("F32", [2], 0, 8)}, EIGHT),
    "no elements inside another": safetensors_bytes({**A, "b": entry("F32", [0], 4, 4)}, EIGHT),
    "no elements beyond the end": safetensors_bytes({**A, "b": entry("F32", [0], 100, 100)}, EIGHT),
    "trailing bytes": safetensors_bytes(A, bytes(9)),
    "trailing bytes after no tensor": safetensors_bytes({}, b"x"),
    "one byte short": safetensors_bytes(A, bytes(7)),
    "no payload": safetensors_bytes(A),
    "header cut short": safetensors_bytes(A, EIGHT)[:40],
    "only the length": safetensors_bytes(A, EIGHT)[:8],
    "half of the length": safetensors_bytes(A, EIGHT)[:4],
    "header beyond the end": (100).to_bytes(8, "little") + b"{}",
    "header over 100 MB": (100_000_001).to_bytes(8, "little") + b"{}",
    "header of no bytes": bytes(8),
    "header padded with NUL": safetensors_bytes(A, EIGHT, pad=b"\0"),
    "text behind the header": safetensors_bytes(json.dumps(A).encode() + b"x", EIGHT),
    "a list for a header": safetensors_bytes([]),
    "null for a header": safetensors_bytes(b"null"),
    "header in UTF-16": safetensors_bytes("{}".encode("utf-16")),
    "a BOM before the header": safetensors_bytes(b"\xef\xbb\xbf{}"),
    "metadata of a number": with_metadata({"n": 1}),
    "metadata of null": with_metadata({"n": None}),
    "metadata of an object": with_metadata({"n": {}}),
    "metadata a list": with_metadata([]),
    "metadata a string": with_metadata("x"),
    "unknown dtype": with_shape("F33", [2], 8),
    "dtype in small letters": with_shape("f32", [2], 8),
    "dtype null": safetensors_bytes({"a": entry(None, [2], 0, 8)}, EIGHT),
    "complex of 128 bits": with_shape("C128", [1], 16),
    "shape and bytes differ": with_shape("F32", [3], 8),
    "negative shape": with_shape("F32", [-2], 8),
    "shape of floats": with_shape("F32", [2.0], 8),
    "shape of floats, after one of integers": safetensors_bytes(
        {"b": entry("F32", [1], 0, 4), "a": entry("F32", [1.0], 4, 8)}, EIGHT
    ),
    "shape of booleans": with_shape("F32", [True, 2], 8),
    "shape a string": with_shape("F32", "2", 8),
    "shape null": with_shape("F32", None, 8),
    "more elements than 64 bits count": with_shape("F32", [2**63], 8),
    "a size of 65 bits": with_shape("F32", [2**64], 8),
    "a size of 65 bits beside none": with_shape("F32", [0, 2**64], 0),
    "overflow before the zero": with_shape("F32", [2**63, 2**63, 0], 0),
    "four bits, half a byte": with_shape("F4", [3], 2),
    "six bits, half a byte": with_shape("F6_E2M3", [3], 3),
    "offsets the wrong way round": safetensors_bytes({"a": entry("F32", [2], 8, 0)}, EIGHT),
    "negative offsets": safetensors_bytes({"a": entry("F32", [2], -8, 0)}, EIGHT),
    "offsets of floats": safetensors_bytes({"a": entry("F32", [2], 0.0, 8.0)}, EIGHT),
    "three offsets": safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]}}, EIGHT),
    "one offset": safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8]}}, EIGHT),
    "no dtype": safetensors_bytes({"a": {"shape": [2], "data_offsets": [0, 8]}}, EIGHT),
    "no shape": safetensors_bytes({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, EIGHT),
    "no offsets": safetensors_bytes({"a": {"dtype": "F32", "shape": [2]}}, EIGHT),
    "an entry of null": safetensors_bytes({"a": None}, EIGHT),
    "a field twice": with_text(',"dtype":"F32"'),
    "metadata twice": safetensors_bytes(b'{"__metadata__":{},"__metadata__":{}}'),
    "NaN": with_text(',"x":NaN'),
    "a number of 5,000 digits": with_text(f',"x":{"9" * 5000}'),
    "a number beyond all floats": with_text(',"x":1e400'),
    "half a surrogate pair": with_text(r',"x":"\ud800"'),
    "half a surrogate pair in the metadata": safetensors_bytes(rb'{"__metadata__":{"a":"\ud800"}}'),
    "a name that is no UTF-8": safetensors_bytes(json.dumps(A).encode().replace(b'"a"', b'"\xff"'), EIGHT),
    "a raw control character in a name": safetensors_bytes(json.dumps(A).encode().replace(b'"a"', b'"a\x01"'), EIGHT),
}

STRICTER = {
    "a key twice": safetensors_bytes(f'{{"a":{json.dumps(A["a"])},"a":{json.dumps(A["a"])}}}'.encode(), EIGHT),
    "a key twice, once escaped": safetensors_bytes(
        f'{{"a":{json.dumps(A["a"])},"\\u0061":{json.dumps(A["a"])}}}'.encode(), EIGHT
    ),
    "a key of the metadata twice": safetensors_bytes(
        f'{{"__metadata__":{{"x":"1","x":"2"}},{json.dumps(A)[1:]}'.encode(), EIGHT
    ),
    "an extra field twice": with_text(',"x":1,"x":2'),
    "a name twice in an extra field": with_text(',"x":{"y":1,"y":2}'),
}
"""What the library takes without a word: of two values for a name it keeps one. Nothing is lost in silence here."""

NEVER_WRITTEN = {
    "an entry as a list": safetensors_bytes({"a": ["F32", [2], [0, 8]]}, EIGHT),
    "a dtype as an object": safetensors_bytes({"a": entry({"F32": None}, [2], 0, 8)}, EIGHT),
}
"""What the library takes because its JSON parser does, and no writer makes."""


@pytest.mark.parametrize("name", GOOD)
def test_reads_what_the_library_opens(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD[name])
    assert library(path) is not None
    assert ours(path) == library(path)


@pytest.mark.parametrize("name", BAD)
def test_refuses_what_the_library_refuses(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, BAD[name])
    assert library(path) is None
    error = ours(path)
    assert isinstance(error, CkptnamesError)
    assert error.code in ("corrupt-checkpoint", "duplicate-key", "not-a-checkpoint")
    assert error.where == str(path)


@pytest.mark.parametrize("name", STRICTER)
def test_is_stricter_than_the_library_where_a_name_stands_twice(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, STRICTER[name])
    assert library(path) == {"a": ("F32", (2,))}
    error = ours(path)
    assert isinstance(error, CkptnamesError)
    assert error.code == "duplicate-key"


@pytest.mark.parametrize("name", NEVER_WRITTEN)
def test_is_stricter_than_the_library_where_no_writer_goes(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, NEVER_WRITTEN[name])
    assert library(path) is not None
    assert isinstance(ours(path), CkptnamesError)


def test_says_which_bytes_are_wrong(tmp_path: Path) -> None:
    def error(name: str) -> Any:
        return ours(written(tmp_path, BAD[name]))

    hole, overlap = error("hole"), error("overlap")
    assert (type(hole), hole.key, hole.start, hole.end) == (Hole, "b", 4, 8)
    assert (type(overlap), overlap.other, overlap.key, overlap.start, overlap.end) == (Overlap, "a", "b", 4, 8)
    size = len(GOOD["plain"])
    trailing, short = error("trailing bytes"), error("one byte short")
    assert (type(trailing), trailing.expected, trailing.actual) == (TrailingBytes, size, size + 1)
    assert (type(short), short.expected, short.actual) == (CutShort, size, size - 1)
    count = error("shape and bytes differ")
    assert (type(count), count.key, count.needed, count.start, count.end) == (WrongByteCount, "a", 12, 0, 8)


_rarely = st.integers(0, 19).map(lambda n: n == 19)
_sizes = st.lists(st.sampled_from([4, 1, 0, 2, 3, 2**32, 2**63]), max_size=3)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Files that are nearly right: tensors in a row, with a few numbers off."""
    header: dict[str, Any] = {}
    at = 0
    for name in draw(st.lists(st.sampled_from("abcd"), max_size=4, unique=True)):
        dtype = draw(st.sampled_from(list(BITS)))
        shape = draw(_sizes)
        n_bytes = BITS[dtype] * int(np.prod(shape, dtype=object)) // 8 if max(shape, default=0) < 5 else 0
        begin, end = at, at + n_bytes
        if draw(_rarely):
            begin += draw(st.integers(-2, 2))
        if draw(_rarely):
            end += draw(st.integers(-2, 2))
        header[name] = entry(dtype, shape, begin, end)
        at += n_bytes
    order = draw(st.permutations(list(header)))
    payload = bytes(max(0, at + (draw(st.sampled_from([1, -1])) if draw(_rarely) else 0)))
    return safetensors_bytes({name: header[name] for name in order}, payload)


@examples(6)
@given(content=files())
def test_agrees_with_the_library_on_files_that_are_nearly_right(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.getbasetemp(), content)
    found = ours(path)
    assert library(path) == (None if isinstance(found, CkptnamesError) else found)


def test_bytes_stand_where_they_are_said_to(tmp_path: Path) -> None:
    tensors = {"b.w": torch.randn(3, 4), "a": torch.arange(5), "c": torch.randn(2).bfloat16(), "empty": torch.ones(0)}
    path = tmp_path / "m.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    content = path.read_bytes()
    manifest = ckptnames.read(path)
    assert set(manifest) == set(tensors)
    for key, info in manifest.items():
        assert info.storage is not None
        start, n_bytes = info.storage.position, info.storage.nbytes
        assert content[start : start + n_bytes] == tensors[key].view(torch.uint8).numpy().tobytes()
        assert (info.nbytes, info.offset, info.strides) == (n_bytes, 0, tensors[key].stride())


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(4, 3)
        self.head = torch.nn.Linear(3, 4, bias=False)
        self.again = torch.nn.Linear(3, 4)
        self.head.weight = self.again.weight = self.embed.weight


def test_names_that_save_model_left_out_are_ties(tmp_path: Path) -> None:
    model, path = Tied(), tmp_path / "m.safetensors"
    save_model(model, str(path))
    manifest = ckptnames.read(path)
    assert set(manifest) == set(model.state_dict())
    assert [set(tie) for tie in manifest.ties] == [{"embed.weight", "head.weight", "again.weight"}]
    assert manifest["embed.weight"] == manifest["head.weight"] == manifest["again.weight"]


def test_metadata_that_names_no_tensor_is_no_tie(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"pt": torch.ones(2), "w": torch.ones(3)}, path, metadata={"format": "pt", "w": "pt", "base": "other"})
    manifest = ckptnames.read(path)
    assert (set(manifest), manifest.ties) == ({"pt", "w"}, ())
