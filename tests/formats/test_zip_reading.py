"""Archives of ``torch.save`` as years of torch and other hands have left them: each is read, or refused in words."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ckptnames
from ckptnames.errors import CkptnamesError, StorageNotThere, ZipCutShort
from ckptnames.formats.zip_directory import read_directory
from tests.formats.making import pickled, records_of, stored, tensor, torch_zip, zipped

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
SAID = {"a": ("F32", (2, 3)), "b": ("BF16", (4,))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(TENSORS, tmp_path / "m.pt")
    return tmp_path / "m.pt"


def said(path: Path) -> dict[str, Any]:
    return {key: (info.dtype, info.shape) for key, info in ckptnames.read(path).items()}


def refused(path: Path) -> Any:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(path)
    return caught.value


def loaded(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return found


Edit = Callable[[dict[str, bytes]], dict[str, bytes]]

READ: dict[str, Edit] = {
    "without byte order and marks": lambda r: {n: b for n, b in r.items() if "data" in n or n.endswith("/version")},
    "the pickle last": lambda r: {**{n: b for n, b in r.items() if n != "m/data.pkl"}, "m/data.pkl": r["m/data.pkl"]},
    "with records of folders": lambda r: {"m/": b"", "m/data/": b"", **r},
    "with another pickle below": lambda r: {**r, "m/extra/data.pkl": b"x"},
    "bytes after the pickle": lambda r: {**r, "m/data.pkl": r["m/data.pkl"] + b"more"},
}


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("name", READ)
def test_reads_what_torch_reads(name: str, how: int, path: Path) -> None:
    zipped(path, READ[name](records_of(path)), how)
    assert loaded(path).keys() == TENSORS.keys()
    assert said(path) == SAID


def test_needs_nothing_but_the_pickle_and_the_storages(path: Path) -> None:
    records = records_of(path)
    zipped(path, {name: records[name] for name in ("m/data.pkl", "m/data/0", "m/data/1")})
    assert said(path) == SAID


def test_an_archive_in_folders_that_another_hand_packed(path: Path) -> None:
    zipped(path, {f"outer/{name}": content for name, content in records_of(path).items()} | {"__MACOSX/._m": b"x"})
    assert said(path) == SAID


def test_storages_named_by_pointers(tmp_path: Path) -> None:
    # torch 1.6 named them by where they lay in memory.
    key = "94153207283472"
    path = torch_zip(tmp_path / "m.pt", {"w": tensor(stored(key, 6), (2, 3), (3, 1))}, {key: bytes(24)})
    assert loaded(path)["w"].shape == (2, 3)
    (info,) = ckptnames.read(path).values()
    assert info.storage is not None
    assert (info.dtype, info.shape, info.storage.name) == ("F32", (2, 3), key)


def test_another_order_of_bytes_is_said(path: Path) -> None:
    assert not ckptnames.read(path).notes
    zipped(path, {**records_of(path), "m/byteorder": b"big"})
    assert ckptnames.read(path).notes == ("its numbers are big-endian",)
    assert loaded(path)["a"][0, 1] != 1  # swapped


COMMENTS = [b"hello", b"PK\5\6 is how it ends", b"PK\5\6" * 6, b"x" * 0xFFFF]


@pytest.mark.parametrize("comment", COMMENTS, ids=["short", "like an end", "like a whole end", "as long as can be"])
def test_a_comment_behind_the_archive(comment: bytes, path: Path) -> None:
    zipped(path, records_of(path), comment=comment)
    assert said(path) == SAID


@pytest.mark.parametrize("tail", [b"\0", b"\n", bytes(500), b"behind the end"])
def test_bytes_behind_the_archive(tail: bytes, path: Path) -> None:
    path.write_bytes(path.read_bytes() + tail)
    assert loaded(path).keys() == TENSORS.keys()
    assert said(path) == SAID


def test_an_archive_behind_another_is_found_with_its_records(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    torch.save({"other": torch.ones(3)}, tmp_path / "first.pt")
    first = (tmp_path / "first.pt").read_bytes()
    path.write_bytes(first + content)
    assert said(path) == SAID
    storage = ckptnames.read(path)["a"].storage
    assert storage is not None
    raw = path.read_bytes()[storage.position : storage.position + storage.nbytes]
    assert raw == TENSORS["a"].numpy().tobytes()


def test_more_records_than_16_bits_count(tmp_path: Path) -> None:
    n = 0x10000 + 5
    value = {f"k{i}": tensor(stored(str(i), 1), (1,), (1,)) for i in (0, 7, n - 1)}
    # Records of the same bytes may stand at one place: only the directory is large.
    local = _local("m/data/0", b"abcd")
    start, at, records, directory = b"", 0, 0, b""
    for name, content in (("m/data.pkl", pickled(value)), ("m/version", b"3\n")):
        directory += _listed(name, content, at)
        start += _local(name, content)
        at, records = len(start), records + 1
    directory += b"".join(_listed(f"m/data/{i}", b"abcd", at) for i in range(n))
    ends = _ends(records + n, len(directory), len(start + local))
    (tmp_path / "m.pt").write_bytes(start + local + directory + ends)
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        assert len(archive.namelist()) == n + 2
    assert said(tmp_path / "m.pt") == dict.fromkeys(value, ("F32", (1,)))


def _local(name: str, content: bytes) -> bytes:
    return struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, len(content), len(content), len(name), 0) + (
        name.encode() + content
    )


def _listed(name: str, content: bytes, at: int) -> bytes:
    sizes = (0, len(content), len(content), len(name))
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, *sizes, 0, 0, 0, 0, 0, at) + name.encode()


def _ends(n: int, size: int, at: int) -> bytes:
    """Say in zip64 what the old end record has no room for."""
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, n, n, size, at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
    return end64 + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, size, at, 0)


DAMAGED: dict[str, tuple[Edit, str]] = {
    "no storage": (lambda r: {n: b for n, b in r.items() if n != "m/data/1"}, "storage '1' of 8 bytes is not"),
    "half a storage": (lambda r: {**r, "m/data/1": r["m/data/1"][:4]}, "storage '1' of 8 bytes has 4"),
    "no pickle left": (lambda r: {**r, "m/data.pkl": b""}, "cut short inside its pickle"),
    "half a pickle": (lambda r: {**r, "m/data.pkl": r["m/data.pkl"][:60]}, "cut short inside its pickle"),
    "text for a pickle": (lambda r: {**r, "m/data.pkl": b"hello"}, "breaks"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_refuses_what_torch_refuses(name: str, path: Path) -> None:
    edit, words = DAMAGED[name]
    zipped(path, edit(records_of(path)))
    with pytest.raises(Exception):  # noqa: B017 - of many kinds
        loaded(path)
    error = refused(path)
    assert error.code == "corrupt-checkpoint"
    assert words in error.message
    assert str(path) in error.where


def test_a_key_of_a_storage_that_is_not_there_is_named(tmp_path: Path) -> None:
    value = {"w": tensor(stored("7", 6), (2, 3), (3, 1))}
    error = refused(torch_zip(tmp_path / "m.pt", value, {"6": bytes(24)}))
    assert (type(error), error.storage, error.needed) == (StorageNotThere, "7", 24)


def test_other_compression_is_named(path: Path) -> None:
    zipped(path, records_of(path), zipfile.ZIP_BZIP2)
    assert "compressed by method 12" in refused(path).message


NO_ARCHIVES: dict[str, tuple[dict[str, bytes], str]] = {
    "no folder": ({"data.pkl": b"", "data/0": b"", "version": b"3"}, "zip archive"),
    "text": ({"readme.txt": b"hello"}, "zip archive"),
    "nothing": ({}, "empty zip archive"),
    "arrays": ({"a.npy": b"x", "b.npy": b"y"}, "NumPy archive"),
    "keras": ({"config.json": b"{}", "model.weights.h5": b"x"}, "Keras"),
}


@pytest.mark.parametrize("name", NO_ARCHIVES)
def test_archives_of_other_things_are_named(name: str, tmp_path: Path) -> None:
    records, words = NO_ARCHIVES[name]
    error = refused(zipped(tmp_path / "m.pt", records))
    assert error.code == "not-a-checkpoint"
    assert words in error.message


def cuts(path: Path) -> list[int]:
    """Every place where a download may end, and the bytes beside it."""
    content = path.read_bytes()
    directory = read_directory(content, path)
    edges = [4, len(content) - 22, len(content) - 22 - 20, len(content) - 22 - 20 - 56, directory.start]
    for entry in directory.entries.values():
        edges += [entry.header, entry.header + 30, entry.start, entry.start + entry.size]
    ends = {at + step for at in edges for step in (-1, 0, 1, 20)}
    return sorted(at for at in ends if 4 <= at < len(content))


def test_cut_short_anywhere_is_said_with_the_length(path: Path) -> None:
    content = path.read_bytes()
    places = cuts(path)
    assert len(places) > 80
    for at in places:
        path.write_bytes(content[:at])
        error = refused(path)
        assert (type(error), error.n_bytes) == (ZipCutShort, at)
        assert "cut short" in error.message
    for at in range(4):
        path.write_bytes(content[:at])
        assert refused(path).code == "not-a-checkpoint"


def test_a_start_that_is_lost_is_no_result(path: Path) -> None:
    content = path.read_bytes()
    codes = {"not-a-checkpoint", "corrupt-checkpoint", "unsupported-format"}
    for at in (1, 64, 600, len(content) - 300):
        path.write_bytes(content[at:])
        assert refused(path).code in codes
        path.write_bytes(content[:4] + content[4 + at :])
        assert refused(path).code in codes
