"""Legacy files of torch 0.1 to 1.5 as torch reads them, those that torch itself cannot read back, and damaged ones."""

from __future__ import annotations

import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

import ckptnames
from ckptnames.errors import CkptnamesError, LegacyCutShort, PickleCutShort
from ckptnames.formats.torch_legacy import open_torch_legacy
from tests.formats.making import MAGIC, SYSTEM, Called, Named, Outside, legacy, pickled, stored, tensor

FP8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu]
STORED = stored("7", 6, "torch.FloatStorage", "cpu", None)
SIX = {"7": (6, struct.pack("<6f", *range(6)))}


def said(path: Path) -> dict[str, Any]:
    return {key: (i.dtype, i.shape, i.strides, i.offset) for key, i in ckptnames.read(path).items()}


def refused(path: Path) -> Any:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(path)
    return caught.value


@pytest.mark.parametrize("dtype", [*FP8, torch.uint16, torch.uint32, torch.uint64], ids=str)
def test_reads_what_torch_writes_and_cannot_load(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.arange(6).to(dtype)
    torch.save({"w": values.view(2, 3), "v": values[2:4]}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(AttributeError, match="dtype"):
        torch.load(tmp_path / "m.pt", weights_only=True)
    manifest = ckptnames.read(tmp_path / "m.pt")
    assert (manifest["w"].shape, manifest["v"].shape, manifest["v"].offset) == ((2, 3), (2,), 2)
    for key, t in (("w", values), ("v", values[2:4])):
        info = manifest[key]
        assert info.storage is not None
        assert info.nbytes is not None
        start = info.storage.position + info.offset * dtype.itemsize
        raw = (tmp_path / "m.pt").read_bytes()[start : start + info.nbytes]
        assert raw == t.contiguous().view(torch.uint8).numpy().tobytes()


def test_the_first_rebuild_function(tmp_path: Path) -> None:
    rebuilt = Called("torch._utils._rebuild_tensor", STORED, 1, (2, 2), (3, 1))
    path = legacy(tmp_path / "m.pt", {"w": rebuilt}, SIX)
    loaded = torch.load(path, weights_only=True)["w"]
    assert loaded.tolist() == [[1, 2], [4, 5]]
    assert said(path) == {"w": ("F32", (2, 2), (3, 1), 1)}


def test_a_tensor_whose_storage_is_set_as_its_state(tmp_path: Path) -> None:
    # Before there was a function that rebuilds: an empty tensor, and (storage, offset, size, strides) for its state.
    made = Called("torch.FloatTensor", state=(STORED, 1, (2, 2), (3, 1)))
    path = legacy(tmp_path / "m.pt", {"w": made}, SIX)
    assert said(path) == {"w": ("F32", (2, 2), (3, 1), 1)}


def test_a_parameter_as_autograd_once_pickled_it(tmp_path: Path) -> None:
    inner = tensor(STORED, (2, 3), (3, 1))
    state = (True, False, Called("collections.OrderedDict"))
    values = {
        "new": Called("torch._utils._rebuild_parameter", inner, True, Called("collections.OrderedDict")),
        "parameter": Called("torch.nn.parameter.Parameter", inner, state=state),
        "variable": Called("torch.autograd.variable.Variable", inner, state=state),
    }
    path = legacy(tmp_path / "m.pt", values, SIX)
    assert said(path) == dict.fromkeys(values, ("F32", (2, 3), (3, 1), 0))
    assert ckptnames.read(path).ties == (tuple(values),)


def test_a_view_of_a_piece_of_a_storage(tmp_path: Path) -> None:
    piece = stored("7", 6, "torch.FloatStorage", "cpu", ("v", 2, 4))
    path = legacy(tmp_path / "m.pt", {"w": tensor(piece, (2, 2), (2, 1))}, SIX)
    assert torch.load(path, weights_only=True)["w"].tolist() == [[2, 3], [4, 5]]
    assert said(path) == {"w": ("F32", (2, 2), (2, 1), 2)}
    beyond = stored("7", 6, "torch.FloatStorage", "cpu", ("v", 2, 3))
    error = refused(legacy(tmp_path / "m.pt", {"w": tensor(beyond, (2, 2), (2, 1))}, SIX))
    assert (error.code, error.key) == ("corrupt-checkpoint", "w")


def test_a_gpu_as_the_place_of_a_storage(tmp_path: Path) -> None:
    on_gpu = stored("7", 6, "torch.cuda.FloatStorage", "cuda:0", None)
    path = legacy(tmp_path / "m.pt", {"w": tensor(on_gpu, (2, 3), (3, 1))}, SIX)
    assert said(path) == {"w": ("F32", (2, 3), (3, 1), 0)}


def test_a_module_that_brings_the_text_of_its_class(tmp_path: Path) -> None:
    cls = Outside("module", Named("models.Net"), "/home/someone/models.py", "class Net: ...")
    attributes = {
        "_parameters": {"scale": tensor(STORED, (6,), (1,))},
        "_buffers": {},
        "_modules": {},
        "training": True,
    }
    path = legacy(tmp_path / "m.pt", Called(cls, state=attributes), SIX)
    checkpoint = open_torch_legacy(path)
    assert [(c.info.role, list(c.tensors)) for c in checkpoint.containers] == [("module", ["scale"])]
    assert [each.name for each in checkpoint.blocked] == ["models.Net"]


PYTHON2 = b"""\x80\x02ccollections
OrderedDict
q\x00]q\x01]q\x02(U%cctorch._utils
_rebuild_tensor
((U\x07storagectorch
FloatStorage
U\x017U\x03cpuK\x06NtQK\x00K\x02K\x03\x86K\x03K\x01\x86tRea\x85R."""


def python2(path: Path, key: bytes) -> Path:
    return legacy(path, PYTHON2.replace(b"%c", bytes([len(key)]) + key), SIX)


def test_a_stream_of_python_2(tmp_path: Path) -> None:
    path = python2(tmp_path / "m.pt", "café.weight".encode())
    assert list(torch.load(path, weights_only=True)) == ["café.weight"]
    assert said(path) == {"café.weight": ("F32", (2, 3), (3, 1), 0)}


def test_a_key_of_python_2_that_is_no_text(tmp_path: Path) -> None:
    path = python2(tmp_path / "m.pt", b"caf\xe9.weight")
    with pytest.raises(UnicodeDecodeError):
        torch.load(path, weights_only=True)
    assert refused(path).code == "not-a-checkpoint"


def test_another_order_of_bytes_is_said(tmp_path: Path) -> None:
    value = {"w": tensor(STORED, (2, 3), (3, 1))}
    assert not ckptnames.read(legacy(tmp_path / "m.pt", value, SIX)).notes
    path = legacy(tmp_path / "m.pt", value, SIX, system={**SYSTEM, "little_endian": False})
    assert ckptnames.read(path).notes == ("its numbers are big-endian",)


@pytest.mark.parametrize("zipped", [True, False])
def test_protocol_0_loses_the_tensors_and_that_is_said(zipped: bool, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pt", pickle_protocol=0, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Exception):  # noqa: B017 - torch cannot load it in any way
        torch.load(tmp_path / "m.pt", weights_only=False)
    error = refused(tmp_path / "m.pt")
    assert error.code == "unsupported-format"
    assert "protocol 0" in error.message


def test_protocol_1_reads_as_protocol_2(tmp_path: Path) -> None:
    for protocol in (1, 2):
        torch.save(
            OrderedDict(w=torch.ones(2)),
            tmp_path / f"{protocol}.pt",
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=False,
        )
    assert said(tmp_path / "1.pt") == said(tmp_path / "2.pt") == {"w": ("F32", (2,), (1,), 0)}


def test_bytes_behind_the_last_storage_are_said(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.pt", {"w": tensor(STORED, (2, 3), (3, 1))}, SIX)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"more")
    assert ckptnames.read(path).notes == (f"the file goes on behind its last storage: bytes {size}..{size + 4}",)


W = {"w": tensor(STORED, (2, 3), (3, 1))}
DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "fewer elements than the tensor has": ({"storages": {"7": (5, bytes(20))}}, "storage '7'"),
    "a negative number of elements": ({"storages": {"7": (-1, b"")}}, "cut short"),
    "a number of elements beyond the file": ({"storages": {"7": (6, bytes(20))}}, "cut short"),
    "a storage that no tensor is in": ({"keys": ["7", "8"], "storages": {**SIX, "8": (1, b"abcd")}}, "'8'"),
    "a storage that is not listed": ({"keys": [], "storages": {}}, "storage '7'"),
    "a storage listed twice": ({"keys": ["7", "7"], "storages": SIX}, "'7'"),
    "no list of storages": ({"keys": {"7": 0}, "storages": SIX}, "list of storages"),
    "a number for a key": ({"keys": [7], "storages": SIX}, "int 7"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_parts_that_do_not_fit_are_named(name: str, tmp_path: Path) -> None:
    parts, words = DAMAGED[name]
    error = refused(legacy(tmp_path / "m.pt", W, **parts))
    assert error.code == "corrupt-checkpoint"
    assert words in error.message


def test_another_protocol_of_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(pickled(MAGIC) + pickled(1000) + pickled(SYSTEM))
    error = refused(tmp_path / "m.pt")
    assert (error.code, "1000" in error.message) == ("corrupt-checkpoint", True)


def test_cut_short_anywhere_is_said(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0), "b": torch.ones(300), "e": torch.ones(0)}
    path = tmp_path / "m.pt"
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    sections = open_torch_legacy(path).sections
    for at in [*range(1, sections.storages), *range(sections.storages, len(content), 40), len(content) - 1]:
        path.write_bytes(content[:at])
        error = refused(path)
        assert error.code in ("corrupt-checkpoint", "not-a-checkpoint")
        if at >= sections.storages:
            assert (type(error), error.n_bytes) == (LegacyCutShort, at)
        elif at >= len(pickled(MAGIC)):
            assert (type(error), "cut short" in error.message) == (PickleCutShort, True)
