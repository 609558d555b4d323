"""Every function by which torch rebuilds a tensor, and every dtype: what is read is what torch would make."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.errors import CkptnamesError
from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.manifest import TensorInfo
from tests.formats.making import Called, Named, Outside, pickled, stored, tensor, torch_zip

SIX = {"0": bytes(24)}
STORED = stored("0", 6)
PLAIN = tensor(STORED, (2, 3), (3, 1))


def infos(path: Path) -> Mapping[str, TensorInfo]:
    return ckptnames.read(path)


def read(folder: Path, value: Any, storages: Mapping[str, bytes] = SIX) -> TensorInfo:
    (info,) = ckptnames.read(torch_zip(folder / "m.pt", {"w": value}, storages)).values()
    return info


def both(folder: Path, value: Any, storages: Mapping[str, bytes] = SIX) -> tuple[TensorInfo, torch.Tensor]:
    """What is read, and what torch makes of the same file."""
    info = read(folder, value, storages)
    return info, torch.load(folder / "m.pt", weights_only=True)["w"]


def layout(info: TensorInfo) -> tuple[Any, ...]:
    return info.shape, info.strides, info.offset


OLD = "torch._utils."
HOOKS = Called("collections.OrderedDict")
REBUILT: dict[str, Called] = {
    "_rebuild_tensor": Called(f"{OLD}_rebuild_tensor", STORED, 2, (2, 2), (2, 1)),
    "_rebuild_tensor_v2": tensor(STORED, (2, 2), (2, 1), 2),
    "_rebuild_tensor_v2, with bits": Called(
        f"{OLD}_rebuild_tensor_v2", STORED, 2, (2, 2), (2, 1), True, HOOKS, {"neg": True}
    ),
    "_rebuild_tensor_v3": Called(
        f"{OLD}_rebuild_tensor_v3",
        stored("0", 24, "torch.storage.UntypedStorage"),
        2,
        (2, 2),
        (2, 1),
        False,
        HOOKS,
        Named("torch.float32"),
    ),
    "a size": Called(f"{OLD}_rebuild_tensor_v2", STORED, 2, Called("torch.Size", (2, 2)), (2, 1), False, HOOKS),
    "_rebuild_parameter": Called(f"{OLD}_rebuild_parameter", tensor(STORED, (2, 2), (2, 1), 2), True, HOOKS),
    "_rebuild_parameter_with_state": Called(
        f"{OLD}_rebuild_parameter_with_state", tensor(STORED, (2, 2), (2, 1), 2), True, HOOKS, {"mark": 1}
    ),
    "_rebuild_from_type_v2": Called(
        "torch._tensor._rebuild_from_type_v2",
        Named(f"{OLD}_rebuild_tensor_v2"),
        Named("torch.Tensor"),
        (STORED, 2, (2, 2), (2, 1), False, HOOKS),
        {"mark": 1},
    ),
    "_rebuild_device_tensor_from_cpu_tensor": Called(
        f"{OLD}_rebuild_device_tensor_from_cpu_tensor",
        tensor(STORED, (2, 2), (2, 1), 2),
        Named("torch.float32"),
        "cpu",
        False,
    ),
}


@pytest.mark.parametrize("name", REBUILT)
def test_is_what_torch_rebuilds(name: str, tmp_path: Path) -> None:
    info, loaded = both(tmp_path, REBUILT[name])
    assert loaded.dtype == torch.float32
    assert (info.dtype, info.nbytes) == ("F32", 16)
    assert layout(info) == (tuple(loaded.shape), loaded.stride(), loaded.storage_offset())
    assert info.storage is not None
    assert info.storage.nbytes == loaded.untyped_storage().nbytes() == 24


def array(values: Any) -> Called:
    """A numpy array, as numpy pickles it."""
    made: np.ndarray[Any, Any] = np.asarray(values)
    dtype = Called("numpy.dtype", made.dtype.str[1:], False, True, state=(3, "<", None, None, None, -1, -1, 0))
    state = (1, made.shape, dtype, False, made.tobytes())
    return Called("numpy.core.multiarray._reconstruct", Named("numpy.ndarray"), (0,), b"b", state=state)


@pytest.mark.parametrize(
    "function", ["_rebuild_device_tensor_from_numpy", "_rebuild_xla_tensor", "_rebuild_mlc_tensor"]
)
def test_a_tensor_of_another_device_is_an_array(function: str, tmp_path: Path) -> None:
    args = (array(np.arange(6.0).reshape(2, 3)), Named("torch.bfloat16"), "xla:0", False)
    info = read(tmp_path, Called(OLD + function, *args))
    assert (info.dtype, info.shape, info.nbytes, info.storage) == ("BF16", (2, 3), 12, None)


def test_from_type_before_it_had_a_state(tmp_path: Path) -> None:
    args = (Named(f"{OLD}_rebuild_tensor_v2"), Named("torch.Tensor"), (STORED, 2, (2, 2), (2, 1), False, HOOKS), None)
    info = read(tmp_path, Called("torch._tensor._rebuild_from_type", *args))
    assert (info.dtype, *layout(info)) == ("F32", (2, 2), (2, 1), 2)


META = Called(f"{OLD}_rebuild_meta_tensor_no_storage", Named("torch.bfloat16"), (2, 3), (3, 1), False)


def test_meta_tensors_have_no_bytes(tmp_path: Path) -> None:
    info, loaded = both(tmp_path, META)
    assert loaded.is_meta
    assert (info.dtype, info.shape, info.strides, info.storage) == ("BF16", (2, 3), loaded.stride(), None)


def quantised(scheme: tuple[Any, ...], kind: str = "torch.QUInt8Storage") -> Called:
    return Called(f"{OLD}_rebuild_qtensor", stored("0", 6, kind), 0, (2, 3), (3, 1), scheme, False, HOOKS)


def test_quantised_by_tensor_and_by_channel(tmp_path: Path) -> None:
    scales = tensor(stored("s", 2, "torch.DoubleStorage"), (2,), (1,))
    zeros = tensor(stored("z", 2, "torch.LongStorage"), (2,), (1,))
    storages = {"0": bytes(6), "s": np.ones(2).tobytes(), "z": bytes(16)}
    by_tensor = quantised((Named("torch.per_tensor_affine"), 0.5, 3))
    by_channel = quantised((Named("torch.per_channel_affine"), scales, zeros, 0))
    for value in (by_tensor, by_channel):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            info, loaded = both(tmp_path, value, storages)
        assert loaded.is_quantized
        assert (info.dtype, info.nbytes, *layout(info)) == ("QUINT8", 6, tuple(loaded.shape), loaded.stride(), 0)


SPARSE = {
    "coo": torch.sparse_coo,
    "csr": torch.sparse_csr,
    "csc": torch.sparse_csc,
    "bsr": torch.sparse_bsr,
    "bsc": torch.sparse_bsc,
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_tensors_as_parameters_and_buffers(kind: str, tmp_path: Path) -> None:
    dense = torch.eye(4).to_sparse(layout=SPARSE[kind], blocksize=(2, 2) if kind in ("bsr", "bsc") else None)
    tensors = {"parameter": nn.Parameter(dense, requires_grad=False), "plain": dense}
    torch.save(tensors, tmp_path / "m.pt")
    for info in infos(tmp_path / "m.pt").values():
        assert (info.dtype, info.shape, info.storage) == ("F32", (4, 4), None)
        assert (info.nbytes or 0) >= dense.values().nbytes


class Marked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3).t())
        self.weight.is_expert = True  # type: ignore[attr-defined]
        self.mean = nn.Buffer(torch.ones(2))
        self.mean.group = "x"  # type: ignore[attr-defined]
        self.lazy = nn.LazyLinear(3)


def test_parameters_and_buffers_with_attributes_in_a_state_dict_and_in_a_module(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Marked()
    state_dict = model.state_dict()
    expected = {"weight": ("F32", (3, 2), (1, 3)), "mean": ("F32", (2,), (1,))}
    for value in (state_dict, model):
        torch.save(value, tmp_path / "m.pt")
        read_ = {key: (i.dtype, i.shape, i.strides) for key, i in infos(tmp_path / "m.pt").items()}
        assert read_ == expected
    # A lazy parameter has no shape before its first batch; it is said beside the tensors.
    torch.save(state_dict, tmp_path / "m.pt")
    assert ckptnames.read(tmp_path / "m.pt").other == {
        "lazy.weight": "torch.nn.parameter.UninitializedParameter",
        "lazy.bias": "torch.nn.parameter.UninitializedParameter",
    }


@pytest.fixture(scope="module")
def process_group() -> Iterator[None]:
    from torch import distributed
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    distributed.destroy_process_group()


def test_a_part_of_a_tensor_has_the_shape_of_the_whole_and_is_said_to_be_one(tmp_path: Path) -> None:
    wrapped = (Named("torch.distributed.tensor.DTensor"), Named("torch.float32"), (4, 3), (3, 1), 0)
    place = (Named("torch.strided"), Named("torch.cpu"), False)
    value = Called(
        "torch._tensor._rebuild_from_type_v2",
        Named(f"{OLD}_rebuild_wrapper_subclass"),
        Named("torch.distributed.tensor.DTensor"),
        (*wrapped, *place),
        {"_local_tensor": PLAIN, "_spec": None},
    )
    info = read(tmp_path, value)
    assert (info.dtype, info.shape, info.strides, info.storage) == ("F32", (4, 3), (3, 1), None)
    assert any("the part of one process" in note for note in ckptnames.read(tmp_path / "m.pt").notes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tensors_in_shards_have_the_shape_of_the_whole(process_group: None, tmp_path: Path) -> None:
    from torch.distributed._shard import sharded_tensor
    from torch.distributed._shard.sharding_spec import ChunkShardingSpec
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (2,))
    whole = torch.arange(8.0).view(4, 2)
    sharded = distribute_tensor(whole, mesh, [Shard(0)], src_data_rank=None)
    spec = ChunkShardingSpec(dim=0, placements=["rank:0/cpu", "rank:1/cpu"])
    tensors = {
        "dtensor": sharded,
        "parameter": nn.Parameter(sharded),
        "replicated": distribute_tensor(whole, mesh, [Replicate()], src_data_rank=None),
        "old": sharded_tensor.ones(spec, 4, 2),
        "plain": whole,
    }
    torch.save(tensors, tmp_path / "m.pt")
    manifest = ckptnames.read(tmp_path / "m.pt")
    assert {key: (i.dtype, i.shape) for key, i in manifest.items()} == dict.fromkeys(tensors, ("F32", (4, 2)))
    assert any("the part of one process" in note for note in manifest.notes)


def test_every_dtype_that_torch_has_is_spelled() -> None:
    named = {str(value).removeprefix("torch.") for value in vars(torch).values() if isinstance(value, torch.dtype)}
    assert named <= DTYPES.keys()
    itemsizes = {name: getattr(torch, name).itemsize for name in named}
    assert {name: DTYPES[name][1] for name in named} == itemsizes


UNUSUAL = [name for name in DTYPES if name.startswith(("bits", "int", "uint", "q")) and DTYPES[name][1] == 1]


@pytest.mark.parametrize("name", UNUSUAL)
def test_dtypes_that_hold_less_than_a_byte_or_are_only_bits(name: str, tmp_path: Path) -> None:
    untyped = stored("0", 24, "torch.storage.UntypedStorage")
    value = Called(f"{OLD}_rebuild_tensor_v3", untyped, 4, (2, 3), (3, 1), False, HOOKS, Named(f"torch.{name}"))
    info = read(tmp_path, value)
    assert (info.dtype, info.shape, info.offset) == (DTYPES[name][0], (2, 3), 4)
    if name in ("uint4", "int2", "bits8"):
        loaded = torch.load(tmp_path / "m.pt", weights_only=True)["w"]
        assert (loaded.dtype, loaded.nbytes) == (getattr(torch, name), info.nbytes)


def test_old_names_of_storages(tmp_path: Path) -> None:
    for kind in ("torch.FloatStorage", "torch.cuda.FloatStorage", "torch.storage.FloatStorage"):
        assert read(tmp_path, tensor(stored("0", 6, kind), (2, 3), (3, 1))).dtype == "F32"
    for kind in ("torch.UntypedStorage", "torch.storage._UntypedStorage"):
        assert read(tmp_path, tensor(stored("0", 6, kind), (2, 3), (3, 1))).dtype == "U8"


# What torch would not build


def v2(*args: Any) -> Called:
    return Called(f"{OLD}_rebuild_tensor_v2", *args)


NO_TENSORS: dict[str, Any] = {
    "no arguments": v2(),
    "no storage": v2(None, 0, (2,), (1,), False, HOOKS),
    "a storage of another kind": v2(Outside("module", Named("m.C"), "f", "s"), 0, (2,), (1,), False, HOOKS),
    "a storage of an unknown class": v2(stored("0", 6, "torch.OtherStorage"), 0, (2,), (1,), False, HOOKS),
    "a storage without a class": v2(Outside("storage", "FloatStorage", "0", "cpu", 6), 0, (2,), (1,), False, HOOKS),
    "an offset of text": v2(STORED, "0", (2,), (1,), False, HOOKS),
    "a negative offset": v2(STORED, -1, (2,), (1,), False, HOOKS),
    "a negative size": v2(STORED, 0, (-2,), (1,), False, HOOKS),
    "negative strides": v2(STORED, 5, (6,), (-1,), False, HOOKS),
    "a size of true": v2(STORED, 0, (True,), (1,), False, HOOKS),
    "a size of a fraction": v2(STORED, 0, (2.0,), (1,), False, HOOKS),
    "fewer strides than sizes": v2(STORED, 0, (2, 3), (1,), False, HOOKS),
    "a size of 64 bits": v2(STORED, 0, (2**63,), (0,), False, HOOKS),
    "more elements than 64 bits count": v2(STORED, 0, (2**32, 2**32), (0, 0), False, HOOKS),
    "more elements than 64 bits count, without bytes": Called(
        f"{OLD}_rebuild_meta_tensor_no_storage", Named("torch.float32"), (2**32, 2**32), (2**32, 1), False
    ),
    "an unknown dtype": Called(f"{OLD}_rebuild_tensor_v3", STORED, 0, (2,), (1,), False, HOOKS, Named("torch.Tensor")),
}


@pytest.mark.parametrize("name", NO_TENSORS)
def test_a_call_that_makes_no_tensor_is_named(name: str, tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "m.pt", {"good": PLAIN, "w": NO_TENSORS[name]}, SIX)
    with pytest.raises(Exception):  # noqa: B017 - torch raises what its functions raise
        torch.load(path, weights_only=True)
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(path)
    assert caught.value.code == "corrupt-checkpoint"
    assert "'w'" in caught.value.message


def test_a_parameter_inside_forty_others_is_refused(tmp_path: Path) -> None:
    nested = PLAIN
    for _ in range(40):
        nested = Called(f"{OLD}_rebuild_parameter", nested, True, HOOKS)
    with pytest.raises(CkptnamesError, match="'w' is no tensor"):
        read(tmp_path, nested)


BEYOND = [
    (v2(STORED, 0, (7,), (1,), False, HOOKS), 28),
    (v2(STORED, 1, (6,), (1,), False, HOOKS), 28),
    (v2(STORED, 0, (2, 2), (5, 1), False, HOOKS), 28),
    (v2(STORED, 6, (1,), (1,), False, HOOKS), 28),
]


@pytest.mark.parametrize(("value", "needed"), BEYOND)
def test_a_tensor_beyond_its_storage_is_refused_with_how_far(value: Any, needed: int, tmp_path: Path) -> None:
    with pytest.raises(CkptnamesError) as caught:
        read(tmp_path, value)
    assert (caught.value.code, getattr(caught.value, "needed", None)) == ("corrupt-checkpoint", needed)
    with pytest.raises(RuntimeError):
        torch.load(tmp_path / "m.pt", weights_only=True)


@pytest.mark.parametrize(
    "value",
    [
        v2(STORED, 0, (6,), (1,), False, HOOKS),
        v2(STORED, 5, (1000, 1000), (0, 0), False, HOOKS),
        v2(STORED, 6, (0,), (1,), False, HOOKS),
        v2(STORED, 100, (3, 0), (9, 9), False, HOOKS),
        v2(STORED, 0, (), (), False, HOOKS),
        v2(STORED, 0, (1,) * 65, (1,) * 65, False, HOOKS),
    ],
)
def test_a_tensor_that_just_fits_is_read_as_torch_reads_it(value: Any, tmp_path: Path) -> None:
    info, loaded = both(tmp_path, value)
    assert layout(info) == (tuple(loaded.shape), loaded.stride(), loaded.storage_offset())


def test_an_unknown_function_of_torch_is_no_tensor_and_is_listed(tmp_path: Path) -> None:
    unknown = Called(f"{OLD}_rebuild_hologram", STORED, 0)
    manifest = ckptnames.read(torch_zip(tmp_path / "m.pt", {"w": PLAIN, "x": unknown}, SIX))
    assert (list(manifest), dict(manifest.other)) == (["w"], {"x": "torch._utils._rebuild_hologram"})
    assert any("_rebuild_hologram" in note for note in manifest.notes)


def test_pickled_is_what_pickle_reads() -> None:
    import pickle

    value = {"a": [1, -300, 2.5, "é", b"x", None, True, (1,)], "b": {}}
    assert pickle.loads(pickled(value)) == value
