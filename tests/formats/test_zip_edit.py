"""Archives with other records: read back by torch and by Python's zipfile, each record aligned as it was."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.serialization import config

from ckptnames.errors import CorruptZip
from ckptnames.formats.pieces import Slice
from ckptnames.formats.zip_directory import Directory, read_directory
from ckptnames.formats.zip_edit import rewritten
from tests.effort import examples
from tests.formats.assembling import assemble

Records = dict[str, bytes]


def directory_of(path: Path) -> Directory:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return read_directory(data, path)


def edited(path: Path, out: Path, replaced: Mapping[str, bytes], dropped: Any = (), alignment: int = 64) -> Path:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        pieces = rewritten(path, data, read_directory(data, path), replaced, dropped, alignment)
    return assemble(pieces, out)


def contents(path: Path) -> Records:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def assert_aligned(before: Path, after: Path, alignment: int) -> None:
    old, new = directory_of(before).entries, directory_of(after).entries
    for name, entry in new.items():
        assert entry.start % alignment == old[name].start % alignment, name


WEIGHTS = {f"layer{i}.weight": torch.arange(i * 7, dtype=torch.float32) for i in range(12)}


def saved(folder: Path, alignment: int = 64) -> Path:
    with config.patch("save.storage_alignment", alignment):  # type: ignore[attr-defined]
        torch.save(WEIGHTS, folder / "model.pt")
    return folder / "model.pt"


@pytest.mark.parametrize("growth", [-200, -64, -1, 0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("alignment", [64, 4096])
def test_a_record_of_any_size_leaves_the_others_as_they_were(tmp_path: Path, growth: int, alignment: int) -> None:
    source = saved(tmp_path, alignment)
    before = contents(source)
    old = before["model/data.pkl"]
    content = old[:growth] if growth < 0 else old + bytes(growth)
    out = edited(source, tmp_path / "out.pt", {"model/data.pkl": content}, alignment=alignment)
    assert contents(out) == {**before, "model/data.pkl": content}
    assert list(contents(out)) == list(before)
    assert_aligned(source, out, alignment)


def test_nothing_else_is_written_anew(tmp_path: Path) -> None:
    source = saved(tmp_path)
    data = source.read_bytes()
    directory = read_directory(data, source)
    pickle = contents(source)["model/data.pkl"]
    pieces = rewritten(source, data, directory, {"model/data.pkl": pickle + bytes(100)})
    slices = [piece for piece in pieces if isinstance(piece, Slice)]
    next_record = directory.entries["model/.format_version"]
    assert slices == [Slice(source, next_record.start, directory.start - next_record.start)]


def test_torch_computes_the_places_that_records_have(tmp_path: Path) -> None:
    source = saved(tmp_path)
    out = edited(source, tmp_path / "model2.pt", {"model/data.pkl": contents(source)["model/data.pkl"] + bytes(70)})
    loaded = torch.load(out, map_location="meta", weights_only=True)
    entries = directory_of(out).entries
    for i, tensor in enumerate(loaded.values()):
        assert tensor.untyped_storage()._checkpoint_offset == entries[f"model/data/{i}"].start


def test_records_that_were_dropped_leave_no_hole(tmp_path: Path) -> None:
    source = saved(tmp_path, 128)
    before = contents(source)
    dropped = {f"model/data/{i}" for i in (0, 3, 4, 11)}
    out = edited(source, tmp_path / "out.pt", {}, dropped, alignment=128)
    after = contents(out)
    # torch would compute the place of a record from the sizes of all those that once stood before it.
    assert before.keys() - after.keys() == dropped | {"model/.format_version"}
    assert after == {name: before[name] for name in after}
    assert out.stat().st_size < source.stat().st_size
    assert_aligned(source, out, 128)


def test_a_crc_that_was_switched_off_stays_off_where_nothing_changed(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        source = saved(tmp_path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert directory_of(source).entries["model/data/5"].crc == 0
    out = edited(source, tmp_path / "out.pt", {"model/data.pkl": b"new"})
    entries = directory_of(out).entries
    assert entries["model/data/5"].crc == 0
    with zipfile.ZipFile(out) as archive:
        assert archive.read("model/data.pkl") == b"new"


def test_the_data_descriptor_and_the_directory_say_the_same(tmp_path: Path) -> None:
    source = saved(tmp_path)
    out = edited(source, tmp_path / "out.pt", {"model/data.pkl": b"other bytes"})
    entry = directory_of(out).entries["model/data.pkl"]
    after = out.read_bytes()[entry.start + entry.packed :]
    assert struct.unpack("<4s3I", after[:16]) == (b"PK\7\x08", entry.crc, 11, 11)


# Archives that torch did not write


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Any archive: compressed or not, aligned or not, with bytes before it and a comment behind it."""
    out = io.BytesIO()
    out.write(b"#!/bin/sh\n" * draw(st.integers(0, 3)))
    with zipfile.ZipFile(out, "a") as archive:
        for i in range(draw(st.integers(1, 6))):
            info = zipfile.ZipInfo(f"a/data/{i}" if i else "a/data.pkl", (2020, 1, 1, 0, 0, 0))
            info.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            info.comment = draw(st.binary(max_size=3))
            info.extra = draw(st.sampled_from([b"", b"FB\3\0ZZZ", b"UT\1\0aFB\0\0", b"xx\4\0abcd"]))
            if draw(st.booleans()):
                with archive.open(info, "w", force_zip64=draw(st.booleans())) as record:
                    record.write(draw(st.binary(max_size=50)))
            else:
                archive.writestr(info, draw(st.binary(max_size=50)))
        archive.comment = draw(st.binary(max_size=5).filter(lambda text: b"PK" not in text))
    return out.getvalue()


@given(archives(), st.binary(max_size=200), st.sets(st.integers(1, 6)), st.sampled_from([1, 16, 64, 4096]))
@examples(3)
def test_any_archive_comes_out_with_its_other_records(
    tmp_path_factory: pytest.TempPathFactory, archive: bytes, content: bytes, drops: set[int], alignment: int
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    (folder / "in.zip").write_bytes(archive)
    before = contents(folder / "in.zip")
    dropped = {f"a/data/{i}" for i in drops} & before.keys()
    out = edited(folder / "in.zip", folder / "out.zip", {"a/data.pkl": content}, dropped, alignment)
    expected = {**before, "a/data.pkl": content}
    assert contents(out) == {name: record for name, record in expected.items() if name not in dropped}
    assert_aligned(folder / "in.zip", out, alignment)
    with zipfile.ZipFile(folder / "in.zip") as old, zipfile.ZipFile(out) as new:
        assert new.comment == old.comment
        assert [new.getinfo(name).comment for name in new.namelist()] == [
            old.getinfo(name).comment for name in new.namelist()
        ]


def test_records_that_overlap_are_refused(tmp_path: Path) -> None:
    source = saved(tmp_path)
    data = source.read_bytes()
    directory = read_directory(data, source)
    entry = directory.entries["model/data/5"]
    overlapping = directory._replace(entries={**directory.entries, entry.name: entry._replace(packed=1000)})
    with pytest.raises(CorruptZip, match="'model/data/5' run into the next record"):
        rewritten(source, data, overlapping, {})


# Large ones


@pytest.mark.slow
def test_more_records_than_16_bits_count(tmp_path: Path) -> None:
    torch.save({str(i): torch.tensor([float(i)]) for i in range(70_000)}, tmp_path / "many.pt")
    source = tmp_path / "many.pt"
    pickle = contents(source)["many/data.pkl"]
    out = edited(source, tmp_path / "out.pt", {"many/data.pkl": pickle + bytes(5)})
    entries = directory_of(out).entries
    assert len(entries) == len(directory_of(source).entries) > 70_000
    loaded = torch.load(out, weights_only=True)
    assert torch.equal(torch.cat(list(loaded.values())), torch.arange(70_000, dtype=torch.float32))
    fewer = edited(source, tmp_path / "fewer.pt", {}, {f"many/data/{i}" for i in range(60_000)})
    assert len(contents(fewer)) == len(entries) - 60_000 - 1


def sparse(path: Path, sizes: list[int]) -> Path:
    """Write storages of these sizes without their bytes."""
    with torch.serialization.skip_data():
        torch.save({f"t{i}": torch.empty(size, dtype=torch.uint8) for i, size in enumerate(sizes)}, path)
    return path


def offsets_seen_by_torch(path: Path) -> list[int]:
    loaded = torch.load(path, map_location="meta", weights_only=True)
    return [tensor.untyped_storage()._checkpoint_offset for tensor in loaded.values()]


@pytest.mark.slow
@pytest.mark.parametrize("last_below", [True, False])
def test_records_beyond_4_gib(tmp_path: Path, last_below: bool) -> None:
    probe = directory_of(sparse(tmp_path / "probe.pt", [64, 64])).entries["probe/data/1"]
    # The second record starts just below 4 GiB, and passes it; or beyond, and stays there.
    first = (1 << 32) - probe.header + 64 - (128 if last_below else 0)
    source = sparse(tmp_path / "probe.pt", [first, 64, 64])
    old = directory_of(source).entries
    assert (old["probe/data/1"].header < 0xFFFFFFFF) == last_below
    with zipfile.ZipFile(source) as archive:
        content = archive.read("probe/data.pkl") + bytes(300)
    out = edited(source, tmp_path / "out.pt", {"probe/data.pkl": content})
    new = directory_of(out).entries
    assert [new[f"probe/data/{i}"].size for i in range(3)] == [first, 64, 64]
    assert ("probe/.format_version" in new) == (not last_below)
    assert_aligned(source, out, 64)
    with zipfile.ZipFile(out) as archive:
        assert [archive.getinfo(name).header_offset for name in new] == [entry.header for entry in new.values()]
    assert offsets_seen_by_torch(out) == [new[f"probe/data/{i}"].start for i in range(3)]
