"""What is read from files of ``torch.save`` against what torch loads from them."""

from __future__ import annotations

import argparse
import io
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.serialization import config

from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.torch_legacy import open_torch_legacy
from ckptnames.formats.torch_zip import open_torch_zip
from ckptnames.manifest import Manifest

SPELLED = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex32: "C32",
    torch.complex64: "C64",
    torch.complex128: "C128",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0",
    torch.float4_e2m1fn_x2: "F4",
    torch.qint8: "QINT8",
    torch.quint8: "QUINT8",
    torch.qint32: "QINT32",
    torch.quint4x2: "QUINT4X2",
}
PLAIN = [dtype for dtype in SPELLED if not str(dtype).startswith(("torch.q", "torch.complex32", "torch.float4"))]


def saved(path: Path, value: Any, **how: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, path, **how)
    return path


def opened(path: Path) -> Checkpoint:
    return open_torch_zip(path) if path.read_bytes()[:2] == b"PK" else open_torch_legacy(path)


def assert_agrees(manifest: Manifest, tensors: Mapping[str, torch.Tensor]) -> None:
    """Hold names in order, dtypes, shapes, strides, offsets, bytes, and which tensors share their storage."""
    assert list(manifest) == list(tensors)
    for key, tensor in tensors.items():
        info = manifest[key]
        assert (info.dtype, info.shape) == (SPELLED[tensor.dtype], tuple(tensor.shape)), key
        if tensor.layout is torch.strided and not tensor.is_meta:
            assert (info.strides, info.offset) == (tensor.stride(), tensor.storage_offset()), key
            assert info.nbytes == (tensor.nbytes if tensor.dtype != torch.quint4x2 else tensor.nbytes // 2), key
            assert info.storage is not None
            assert info.storage.nbytes == tensor.untyped_storage().nbytes(), key
    assert _sharing(manifest, lambda info: info.storage) == _sharing(tensors, _storage)


def _storage(tensor: torch.Tensor) -> object:
    if tensor.layout is not torch.strided or tensor.is_meta or not tensor.untyped_storage().nbytes():
        return None
    return tensor.untyped_storage().data_ptr()


def _sharing(of: Mapping[str, Any], storage: Any) -> set[frozenset[str]]:
    groups: dict[object, set[str]] = {}
    for key, each in of.items():
        if (shared := storage(each)) is not None and getattr(shared, "nbytes", True):
            groups.setdefault(shared, set()).add(key)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def strided() -> dict[str, torch.Tensor]:
    base = torch.arange(600.0)
    other = torch.randn(4, 5, 6)
    return {
        "whole": base,
        "slice": base[10:20],
        "step": base[::7],
        "square": base.view(20, 30)[2:4, 3:5],
        "transposed": other.permute(2, 0, 1),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "expanded": torch.ones(3, 1).expand(3, 1000),
        "scalar": torch.tensor(3.5),
        "scalar_view": base[17],
        "empty": torch.empty(0),
        "empty_2d": torch.empty(3, 0, 2),
        "ones": torch.ones(1, 1, 1, 1, 1),
        "wide": torch.zeros(70_000),
        "parameter": nn.Parameter(torch.randn(3, 2)),
        "frozen": nn.Parameter(torch.randn(3, 2), requires_grad=False),
        "buffer": nn.Buffer(torch.randn(5)),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
        "é \n.weight": torch.ones(1),
        "": torch.ones(2),
        "k" * 300: torch.ones(2),
        **{f"dtype.{SPELLED[dtype]}": torch.zeros(3, 4).to(dtype) for dtype in PLAIN},
    }


HOW = [
    pytest.param({}, id="zip"),
    pytest.param({"pickle_protocol": 3}, id="zip-3"),
    pytest.param({"pickle_protocol": 4}, id="zip-4"),
    pytest.param({"pickle_protocol": 5}, id="zip-5"),
    pytest.param({"_use_new_zipfile_serialization": False}, id="legacy"),
    pytest.param({"_use_new_zipfile_serialization": False, "pickle_protocol": 4}, id="legacy-4"),
]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("mapping", [dict, OrderedDict])
def test_strided_tensors_of_every_dtype(tmp_path: Path, how: dict[str, Any], mapping: type) -> None:
    tensors = mapping(strided())
    checkpoint = opened(saved(tmp_path / "m.pt", tensors, **how))
    assert_agrees(checkpoint.manifest(), tensors)


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_what_torch_loads_is_what_is_read(tmp_path: Path, how: dict[str, Any]) -> None:
    # torch cannot load the fp8 tensors of a legacy file that it wrote itself.
    tensors = {key: t for key, t in strided().items() if not (how and key.startswith(("dtype.F8", "dtype.U")))}
    path = saved(tmp_path / "m.pt", tensors, **how)
    assert_agrees(opened(path).manifest(), torch.load(path, weights_only=True))


@pytest.mark.parametrize("how", HOW)
def test_a_file_large_enough_for_wide_memo_indices(tmp_path: Path, how: dict[str, Any]) -> None:
    tensors = {f"layers.{i}.{n}": t for i in range(40) for n, t in strided().items() if "dtype.F8" not in n}
    assert_agrees(opened(saved(tmp_path / "m.pt", tensors, **how)).manifest(), tensors)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.filterwarnings("ignore:Sparse", "ignore:.*quant", "ignore:ComplexHalf")
@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_that_are_made_of_others(tmp_path: Path, protocol: int) -> None:
    dense = torch.eye(4)
    tensors = {
        "coo": dense.to_sparse(),
        "coo_uncoalesced": torch.sparse_coo_tensor(torch.tensor([[0, 0]]), torch.ones(2), (4,)),
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((2, 2)),
        "bsc": dense.to_sparse_bsc((2, 2)),
        "meta": torch.empty(5, 6, device="meta", dtype=torch.bfloat16),
        "q.tensor": torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 2, torch.quint8),
        "q.channel": torch.quantize_per_channel(torch.randn(3, 4), torch.ones(3), torch.zeros(3), 0, torch.qint8),
        "q.int32": torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint32),
        "q.packed": torch.quantize_per_channel(torch.randn(4, 6), torch.ones(4), torch.zeros(4), 0, torch.quint4x2),
        "sparse_parameter": nn.Parameter(dense.to_sparse()),
        "meta_parameter": nn.Parameter(torch.empty(2, device="meta")),
        "wide": torch.ones(2, dtype=torch.complex32),
        "packed": torch.zeros(4, 2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
    }
    path = saved(tmp_path / "m.pt", tensors, pickle_protocol=protocol)
    assert_agrees(open_torch_zip(path).manifest(), tensors)


def test_the_bytes_of_a_sparse_tensor_are_those_of_its_parts(tmp_path: Path) -> None:
    coo = torch.eye(4).to_sparse()
    manifest = open_torch_zip(saved(tmp_path / "m.pt", {"coo": coo})).manifest()
    assert manifest["coo"].nbytes == coo.values().nbytes + coo.indices().nbytes


def test_nested_tensors_have_a_dtype_and_no_shape(tmp_path: Path) -> None:
    rows = [torch.randn(2, 3), torch.randn(4, 3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = {
            "padded": torch.nested.nested_tensor(rows),
            "jagged": torch.nested.nested_tensor(rows, layout=torch.jagged),
        }
    manifest = open_torch_zip(saved(tmp_path / "m.pt", tensors)).manifest()
    assert {key: (i.dtype, i.shape, i.nbytes) for key, i in manifest.items()} == {
        "padded": ("F32", None, 6 * 3 * 4),
        "jagged": ("F32", None, 6 * 3 * 4),
    }


class Subclass(torch.Tensor):
    """A tensor of a user's own class."""


def test_subclasses_and_attributes(tmp_path: Path) -> None:
    marked = torch.randn(3, 4).t()
    marked.note = "kept"  # type: ignore[attr-defined]
    parameter = nn.Parameter(torch.randn(2))
    parameter.is_bias = True  # type: ignore[attr-defined]
    tensors = {"own": torch.randn(2, 3).as_subclass(Subclass), "marked": marked, "parameter": parameter}
    checkpoint = open_torch_zip(saved(tmp_path / "m.pt", tensors))
    assert_agrees(checkpoint.manifest(), tensors)
    assert [each.name for each in checkpoint.blocked] == [f"{__name__}.Subclass"]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.register_buffer("mask", torch.ones(3), persistent=False)
        self.register_buffer("kept", torch.ones(3))
        self.register_parameter("nothing", None)
        self.scale = nn.Parameter(torch.ones(()))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2, bias=False)
        self.blocks = nn.ModuleList([Attention(), Attention()])
        self.norm = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Identity())
        self.blocks[1].qkv = self.blocks[0].qkv
        self.lstm = nn.LSTM(3, 4)
        self.extra = nn.ParameterDict({"a": nn.Parameter(torch.ones(1))})
        self.table = nn.Embedding(2, 4)
        self.head.weight = self.table.weight
        self.missing: nn.Module | None = None


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel], ids=["bare", "data-parallel"])
def test_modules_pickled_whole_give_their_state_dict(tmp_path: Path, how: dict[str, Any], wrap: Any) -> None:
    model = wrap(Net())
    checkpoint = opened(saved(tmp_path / "m.pt", model, **how))
    assert [c.info.role for c in checkpoint.containers] == ["module"]
    assert_agrees(checkpoint.manifest(), model.state_dict())
    inner = opened(saved(tmp_path / "n.pt", {"epoch": 1, "model": model, "ema": model}, **how))
    assert [(c.info.name, c.info.role) for c in inner.containers] == [("model", "module"), ("ema", "ema")]
    assert_agrees(inner.manifest("model"), model.state_dict())


def training() -> Iterator[Any]:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    yield model
    yield {"epoch": 3, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict(), "best": 0.5, "x": None}


@pytest.mark.parametrize("how", HOW)
def test_a_training_checkpoint(tmp_path: Path, how: dict[str, Any]) -> None:
    model, value = training()
    checkpoint = opened(saved(tmp_path / "m.pt", value, **how))
    assert [c.info.name for c in checkpoint.containers] == ["state_dict"]
    assert_agrees(checkpoint.manifest(), model.state_dict())
    n_moments = sum(1 for s in value["optimizer"]["state"].values() for v in s.values() if torch.is_tensor(v))
    assert checkpoint.contents == (
        ("epoch", "int 3"),
        ("optimizer", f"optimizer state, {n_moments} tensors"),
        ("best", "float 0.5"),
        ("x", "None"),
    )


@pytest.fixture
def saving() -> Iterator[None]:
    """Put torch's settings back that a test changes."""
    before = config.save.storage_alignment
    yield
    config.save.storage_alignment = before
    torch.serialization.set_crc32_options(True)


@pytest.mark.parametrize("alignment", [16, 4096])
def test_archives_with_the_crc_off_and_another_alignment(tmp_path: Path, saving: None, alignment: int) -> None:
    torch.serialization.set_crc32_options(False)
    config.save.storage_alignment = alignment
    path = saved(tmp_path / "m.pt", strided())
    manifest = open_torch_zip(path).manifest()
    assert_agrees(manifest, strided())
    positions = [i.storage.position for i in manifest.values() if i.storage]
    assert all(position % alignment == 0 for position in positions)


def test_the_bytes_stand_where_they_are_said_to(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(10)[3:5], "c": torch.ones(3, dtype=torch.float8_e5m2)}
    for how in ({}, {"_use_new_zipfile_serialization": False}):
        path = saved(tmp_path / "m.pt", tensors, **how)
        for key, info in opened(path).manifest().items():
            assert info.storage is not None
            start = info.storage.position + info.offset * tensors[key].itemsize
            data = bytearray(path.read_bytes()[start : start + (info.nbytes or 0)])
            read = torch.frombuffer(data, dtype=tensors[key].dtype).reshape(tensors[key].shape)
            assert torch.equal(read.view(torch.uint8), tensors[key].contiguous().view(torch.uint8)), key


def test_an_archive_of_a_buffer_and_another_name(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    path = tmp_path / "renamed.model.pt"
    path.write_bytes(buffer.getvalue())
    assert open_torch_zip(path).folder == "archive"
    assert open_torch_zip(saved(tmp_path / "my.model.pt", {"a": torch.ones(2)})).folder == "my.model"


def test_blocked_names_are_those_that_torch_finds(tmp_path: Path) -> None:
    value = {"state_dict": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=0.1), "path": Path("x"), "n": Subclass}
    path = saved(tmp_path / "m.pt", value)
    checkpoint = open_torch_zip(path)
    assert sorted(b.name for b in checkpoint.blocked) == sorted(
        torch.serialization.get_unsafe_globals_in_checkpoint(path)
    )


@pytest.mark.slow
def test_more_records_than_16_bits_count(tmp_path: Path) -> None:
    tensors = {f"k{i}": torch.zeros(1) for i in range(70_000)}
    path = saved(tmp_path / "m.pt", tensors)
    assert_agrees(open_torch_zip(path).manifest(), tensors)
