"""Files made to cost more than they weigh: each is read or refused in time and memory that its size justifies.

Each is small enough to be quick where the bound holds, and would take minutes or gigabytes where it did not.
"""

from __future__ import annotations

import gzip
import json
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ckptnames
from ckptnames.cli.main import main
from ckptnames.errors import CkptnamesError
from ckptnames.formats import contents, modules, strict_json
from tests.formats.making import entry, legacy, opcodes, safetensors_bytes, stored, tensor, torch_zip, zipped

SECONDS = 20.0
"""Of processor time: generous, since the work itself takes a fraction of a second."""

WEIGHT = b"".join(opcodes(tensor(stored("0", 1), (1,), (1,))))
STORAGES = {"0": bytes(4)}


@contextmanager
def within(seconds: float = SECONDS, megabytes: float | None = None) -> Iterator[None]:
    if megabytes is not None:
        tracemalloc.start()
    began = time.process_time()
    try:
        yield
        assert time.process_time() - began < seconds
        if megabytes is not None:
            assert tracemalloc.get_traced_memory()[1] < megabytes * 1_000_000
    finally:
        tracemalloc.stop()


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def put(index: int) -> bytes:
    return b"q" + bytes([index])


def get(index: int) -> bytes:
    return b"h" + bytes([index])


def archive(folder: Path, pickle: bytes) -> Path:
    return torch_zip(folder / "m.pt", b"\x80\x02" + pickle + b".", STORAGES)


def outcome(path: Path) -> str:
    """Give the code of the error that reading gives, or ``read``."""
    try:
        ckptnames.read(path)
    except CkptnamesError as error:
        return error.code
    return "read"


# Pickles


def test_sparse_tensors_made_of_each_other(tmp_path: Path) -> None:
    # Each level says three times the one below: 3 ** 15 visits.
    pickle = WEIGHT + put(0) + b"0"
    for i in range(15):
        parts = b"(" + get(i) * 3 + b"(K\x01tt"
        pickle += b"ctorch._utils\n_rebuild_sparse_tensor\n(N" + parts + b"tR" + put(i + 1) + b"0"
    path = archive(tmp_path, pickle + b"}" + text("w") + get(15) + b"s")
    with within():
        assert outcome(path) == "corrupt-checkpoint"


def test_a_long_name_in_the_path_of_many_containers(tmp_path: Path) -> None:
    # Written out, the names of the containers would be 2 GB.
    name, weight = text("k" * 1_000_000) + put(0) + b"0", WEIGHT + put(1) + b"0"
    one = b"}" + get(0) + b"}" + text("w") + get(1) + b"ss"
    path = archive(tmp_path, name + weight + b"](" + one * 2000 + b"e")
    with within(megabytes=30):
        assert outcome(path) == "not-a-checkpoint"


def test_one_list_in_many_optimizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MOST_VISITS", 50_000)
    shared = b"](" + b"]" * 20_000 + b"e" + put(0)
    optimizers = b"".join(text(f"optimizer{i}") + b"](" + get(0) + b"e" for i in range(2000))
    path = archive(tmp_path, shared + b"0}(" + optimizers + b"u")
    with within():
        assert outcome(path) == "not-a-checkpoint"


def test_one_dict_in_ever_more_places(tmp_path: Path) -> None:
    # Each level holds the one below ten times: the paths to the innermost are 10 ** 50.
    pickle = b"}" + text("w") + WEIGHT + b"s" + put(0) + b"0"
    for i in range(50):
        pickle += b"}(" + b"".join(text(f"k{n}") + get(i) for n in range(10)) + b"u" + put(i + 1) + b"0"
    with within():
        assert outcome(archive(tmp_path, pickle + get(50))) == "read"


def module(inner: bytes, parameters: bytes = b"}") -> bytes:
    attributes = text("_parameters") + parameters + text("_buffers") + b"}" + text("_modules") + inner
    return b"cmodels\nNet\n)R}(" + attributes + b"ub"


def test_one_module_in_ever_more_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_MOST_CHARACTERS", 1_000_000)
    pickle = module(b"}", b"}" + text("w") + WEIGHT + b"s") + put(0) + b"0"
    for i in range(60):
        pickle += module(b"}(" + text("a") + get(i) + text("b") + get(i) + b"u") + put(i + 1) + b"0"
    with within():
        assert outcome(archive(tmp_path, pickle + get(60))) == "pickle-limit"


def test_a_module_inside_itself(tmp_path: Path) -> None:
    pickle = b"cmodels\nNet\n)R" + put(0) + b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}"
    pickle += text("_modules") + b"}" + text("again") + get(0) + b"sub"
    with within():
        assert outcome(archive(tmp_path, pickle)) == "pickle-limit"


def test_levels_without_end(tmp_path: Path) -> None:
    for levels in (b"}" + text("a"), b"]", b"(", b"cm\nf\n("):
        n = 50_000
        closing = {b"]": b"a" * (n - 1), b"(": b"t" * n}.get(levels, b"")
        with within():
            assert outcome(archive(tmp_path, levels * n + closing)) in ("not-a-checkpoint", "corrupt-checkpoint")


@pytest.mark.parametrize("make", [lambda i: f"cm\nf{i}\n".encode(), lambda i: b"c%d\nf\n" % i])
def test_more_classes_than_any_checkpoint_names(make: Any, tmp_path: Path) -> None:
    with within():
        assert outcome(archive(tmp_path, b"".join(map(make, range(10_001))))) == "pickle-limit"


def test_a_class_with_a_name_of_a_megabyte(tmp_path: Path) -> None:
    pickle = b"c" + b"m" * 1_000_000 + b"\nf\n" + put(0) + (get(0) + b")R") * 20_000
    with within():
        assert outcome(archive(tmp_path, pickle)) == "pickle-limit"


HUGE = 2**62


@pytest.mark.parametrize("shape", [(HUGE,) * 60, (HUGE, 4), (2**31,) * 3])
def test_numbers_of_elements_beyond_all_numbers(shape: tuple[int, ...], tmp_path: Path) -> None:
    value = {"w": tensor(stored("0", 1), shape, (0,) * len(shape))}
    path = torch_zip(tmp_path / "m.pt", value, STORAGES)
    assert outcome(path) == "corrupt-checkpoint"
    assert main(["ls", str(path)]) == 2


def test_keys_that_are_long_and_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Folding cuts a key at its last atom, again and again: 100 × 5,000 times a copy of 10 kB.
    keys = [f"{i:03}." + ".".join("a" * 5000) for i in range(100)]
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes({key: entry("F32", [0], 0, 0) for key in keys}))
    with within():
        assert main(["ls", str(path)]) == 0
    printed = capsys.readouterr().out
    assert all(key in printed for key in keys)


NASTY_KEYS = [
    "1" * 5000,
    "a." + "9" * 5000,
    "²",
    "a²",
    "_" * 3000,
    "." * 3000,
    "{" * 500,
    '"' * 500,
    "\x00",
    "\ud800",
    "",
]


def test_keys_that_nobody_would_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = torch_zip(tmp_path / "m.pt", {key: tensor(stored("0", 1), (1,), (1,)) for key in NASTY_KEYS}, STORAGES)
    with within():
        for args in (["ls", str(path)], ["ls", "--flat", str(path)], ["ls", "--json", str(path)]):
            assert main(args) == 0
            assert "\x00" not in capsys.readouterr().out
        assert main(["diff", str(path), str(path)]) == 0


# Archives


def record(name: str, content: bytes, method: int, said: int) -> tuple[bytes, bytes]:
    """Make a local record, and its line of the directory, which says that it has so many bytes unpacked."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, method, 0, 0, 0, len(content), 0xFFFFFFFF, len(name), 0)
    packed = said if method == 0 else len(content)
    extra = struct.pack("<HHQQ", 1, 16, said, packed)
    sizes = (0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
    listed = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, method, 0, 0, *sizes, 0, 0, 0, 0, 0)
    return local + name.encode() + content, listed + name.encode() + extra


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_record_that_says_it_has_ten_gigabytes(method: int, tmp_path: Path) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = pack.compress(bytes(1000)) + pack.flush() if method else bytes(1000)
    local, listed = record("m/data.pkl", content, method, 10 << 30)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(local), 0)
    (tmp_path / "m.pt").write_bytes(local + listed + end)
    with within(megabytes=5):
        assert outcome(tmp_path / "m.pt") == "corrupt-checkpoint"


def test_a_record_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = pack.compress(bytes(20_000_000)) + pack.flush()
    local, listed = record("m/data.pkl", content, zipfile.ZIP_DEFLATED, 1000)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(local), 0)
    (tmp_path / "m.pt").write_bytes(local + listed + end)
    with within(megabytes=5):
        assert outcome(tmp_path / "m.pt") == "corrupt-checkpoint"


def test_ends_of_archives_without_end(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "m.pt", {"m/data.pkl": b"N."}).read_bytes()
    (tmp_path / "m.pt").write_bytes(whole + b"PK\5\6" * 20_000)
    with within():
        assert outcome(tmp_path / "m.pt") == "corrupt-checkpoint"


# JSON and safetensors


@pytest.mark.parametrize(
    "value",
    [
        '{"tensors":' + '{"a":' * 100_000,
        "[" * 100_000,
        '{"weight_map":' * 100_000,
        '{"tensors":{"a":' + "9" * 1_000_000,
    ],
)
def test_json_that_is_deep_or_a_number_without_end(value: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(value)
    with within():
        assert outcome(tmp_path / "m.json") == "malformed-json"
    header = tmp_path / "m.safetensors"
    header.write_bytes(safetensors_bytes(("{" + f'"a":{value}').encode()))
    with within():
        assert outcome(header) == "corrupt-checkpoint"


def test_an_archive_of_a_manifest_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MAX_BYTES", 1_000_000)
    (tmp_path / "m.json.gz").write_bytes(gzip.compress(b'{"tensors":{' + b" " * 20_000_000))
    with within(megabytes=5):
        assert outcome(tmp_path / "m.json.gz") == "malformed-json"


def test_an_index_of_many_lost_shards(tmp_path: Path) -> None:
    index = {"weight_map": {f"layer{i}.weight": f"model-{i}.safetensors" for i in range(20_000)}}
    (tmp_path / "m.index.json").write_text(json.dumps(index))
    with within():
        assert outcome(tmp_path / "m.index.json") == "missing-shard"


def test_an_index_of_many_keys_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes({"a": entry("F32", [1], 0, 4)}, bytes(4)))
    index = {"weight_map": {f"layer{i}.weight": "m.safetensors" for i in range(100_000)}}
    (tmp_path / "m.index.json").write_text(json.dumps(index))
    with within():
        assert outcome(tmp_path / "m.index.json") == "index-mismatch"


def test_a_shard_that_says_it_is_one_of_many(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-20000.safetensors").write_bytes(safetensors_bytes({}))
    with within():
        assert outcome(tmp_path) == "missing-shard"


def test_a_header_that_says_it_is_longer_than_the_file(tmp_path: Path) -> None:
    for length in (99_999_999, 100_000_001, 2**63, 2**64 - 1):
        (tmp_path / "m.safetensors").write_bytes(length.to_bytes(8, "little") + b'{"a":{')
        with within(megabytes=1):
            assert outcome(tmp_path / "m.safetensors") in ("corrupt-checkpoint", "not-a-checkpoint")


def test_a_legacy_storage_beyond_all_disks(tmp_path: Path) -> None:
    value = {"w": tensor(stored("0", 2**62), (1,), (1,))}
    with within(megabytes=1):
        assert outcome(legacy(tmp_path / "m.pt", value, {"0": (2**62, b"abcd")})) == "corrupt-checkpoint"


def test_a_value_as_deep_as_it_is_wide_in_the_rest_of_a_file(tmp_path: Path) -> None:
    wide = b"}(" + b"".join(text(f"k{i}") + b"N" for i in range(50_000)) + b"u" + put(0)
    path = archive(
        tmp_path, wide + b"0}(" + text("model") + b"}" + text("w") + WEIGHT + b"s" + (text("x") + get(0)) * 300 + b"u"
    )
    with within():
        assert outcome(path) == "read"
