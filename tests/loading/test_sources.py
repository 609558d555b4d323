"""Every kind of source, and every kind of tensor in one, comes out as the library that wrote it reads it."""

from __future__ import annotations

import io
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

import ckptnames
from ckptnames import errors
from tests.formats.making import records_of, zipped


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.fc = nn.Linear(3, 5)
            self.bn = nn.BatchNorm1d(5)
            self.lstm = nn.LSTM(5, 2)
            self.register_buffer("scale", torch.rand(()))


def trained() -> Net:
    return Net(seed=1)


def _safetensors(path: Path) -> Path:
    save_file(trained().state_dict(), path / "m.safetensors")
    return path / "m.safetensors"


def _shards(write: Callable[[dict[str, torch.Tensor], Path], None], extension: str) -> Callable[[Path], Path]:
    import json

    def make(path: Path) -> Path:
        state = trained().state_dict()
        names = list(state)
        weight_map: dict[str, str] = {}
        for number, keys in enumerate((names[:4], names[4:]), 1):
            file = f"model-{number:05}-of-00002{extension}"
            write({key: state[key] for key in keys}, path / file)
            weight_map |= dict.fromkeys(keys, file)
        index = path / f"model{extension}.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        return path

    return make


def _torch(value: Callable[[], Any], **options: Any) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        torch.save(value(), path / "m.pt", **options)
        return path / "m.pt"

    return make


def _inside_a_container() -> dict[str, Any]:
    return {"epoch": 3, "args": Namespace(lr=0.1), "optimizer": {"state": {}, "param_groups": []}, "net": _state()}


def _state() -> dict[str, torch.Tensor]:
    return trained().state_dict()


def _packed(path: Path) -> Path:
    """Pack an archive anew, as a zip program does: compressed."""
    torch.save(_state(), path / "whole.pt")
    with zipfile.ZipFile(path / "whole.pt") as source, zipfile.ZipFile(path / "m.pt", "w", zipfile.ZIP_DEFLATED) as out:
        for record in source.infolist():
            out.writestr(record.filename, source.read(record))
    return path / "m.pt"


FILES: Mapping[str, Callable[[Path], Path]] = {
    "safetensors": _safetensors,
    "shards of safetensors": _shards(save_file, ".safetensors"),
    "shards of torch": _shards(torch.save, ".bin"),
    "torch": _torch(_state),
    "torch, legacy": _torch(_state, _use_new_zipfile_serialization=False),
    "torch, protocol 4": _torch(_state, pickle_protocol=4),
    "torch, compressed": _packed,
    "a container": _torch(_inside_a_container),
    "a container two levels down": _torch(lambda: {"state": {"model": _state(), "run": 1}}),
    "a whole module": _torch(trained),
    "a whole module, legacy": _torch(trained, _use_new_zipfile_serialization=False),
    "parameters": _torch(lambda: dict(trained().named_parameters()) | dict(trained().named_buffers())),
    "a folder": lambda path: _safetensors(path).parent,
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_a_path(kind: str, assign: bool, tmp_path: Path) -> None:
    target = Net()
    report = ckptnames.load(target, FILES[kind](tmp_path), assign=assign)
    assert report.is_complete
    assert report.matched == {key: key for key in target.state_dict()}
    assert_equal(target, _state())


def assert_equal(target: nn.Module, wanted: Mapping[str, torch.Tensor]) -> None:
    for key, value in target.state_dict().items():
        assert value.dtype == wanted[key].dtype
        assert torch.equal(value, wanted[key]), key


def test_a_container_by_its_name(tmp_path: Path) -> None:
    torch.save({"model": _state(), "model_ema": Net(seed=3).state_dict()}, tmp_path / "m.pt")
    for path, options in ((f"{tmp_path / 'm.pt'}#model_ema", {}), (tmp_path / "m.pt", {"container": "model_ema"})):
        target = Net()
        report = ckptnames.load(target, path, **options)  # type: ignore[arg-type]
        assert (report.container, report.source) == ("model_ema", str(tmp_path / "m.pt"))
        assert_equal(target, Net(seed=3).state_dict())


MEMORY: Mapping[str, Callable[[], Any]] = {
    "a state dict": _state,
    "a dict": lambda: dict(_state()),
    "a model": trained,
    "a container": lambda: {"epoch": 1, "state_dict": _state()},
    "a container two levels down": lambda: {"state": {"model": _state()}, "optimizers": [{"state": {}}]},
    "a model in a container": lambda: {"model": trained(), "epoch": 1},
    "arrays": lambda: {key: value.numpy() for key, value in _state().items()},
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", MEMORY)
def test_what_is_in_memory(kind: str, assign: bool) -> None:
    source, target = MEMORY[kind](), Net()
    ckptnames.load(target, source, assign=assign)
    assert_equal(target, _state())


def test_what_was_given_stays_as_it_was() -> None:
    source = _state()
    before = {key: value.clone() for key, value in source.items()}
    target = Net()
    ckptnames.load(target, source)
    with torch.no_grad():
        target.fc.weight.add_(1)
    assert list(source) == list(before)
    assert all(torch.equal(source[key], before[key]) for key in before)
    assert "ckptnames.renamed" not in source._metadata[""]  # type: ignore[attr-defined]


def half(dtype: torch.dtype) -> torch.Tensor:
    return torch.arange(-6, 6).to(torch.float32).to(dtype).reshape(3, 4)


BASE = torch.arange(24.0)
TENSORS: Mapping[str, Callable[[], torch.Tensor]] = {
    "a part of a storage": lambda: BASE[4:16].view(3, 4),
    "every other element": lambda: BASE[::2].view(3, 4),
    "turned": lambda: BASE[:12].view(4, 3).T,
    "spread": lambda: BASE[:4].expand(3, 4),
    "spread both ways": lambda: torch.tensor(2.0).expand(3, 4),
    "channels last": lambda: BASE.view(1, 2, 3, 4).to(memory_format=torch.channels_last),
    "nothing": lambda: torch.empty(0, 4),
    "a scalar": lambda: torch.tensor(1.5),
    "conjugated": lambda: torch.complex(BASE[:12], BASE[12:]).view(3, 4).conj(),
    "negated": lambda: torch.complex(BASE[:12], BASE[12:]).conj().imag,
    **{
        str(dtype).rpartition(".")[2]: lambda dtype=dtype: half(dtype)  # type: ignore[misc]
        for dtype in (
            *(torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.bool),
            *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32),
            *(torch.float8_e4m3fn, torch.float8_e5m2),
        )
    },
}


class Holds(nn.Module):
    """Has a buffer like a tensor, with other values."""

    value: torch.Tensor

    def __init__(self, like: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(like.shape, dtype=like.dtype))
        self.register_buffer("other", torch.zeros(2))


def bits(tensor: torch.Tensor) -> bytes:
    whole = tensor.resolve_conj().resolve_neg().contiguous()
    return bytes(whole.view(-1).view(torch.uint8).tolist()) if whole.numel() else b""


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_in_a_file_of_torch(kind: str, zipped: bool, assign: bool, tmp_path: Path) -> None:
    value = TENSORS[kind]()
    torch.save({"value": value, "other": torch.ones(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    target = Holds(value)
    ckptnames.load(target, tmp_path / "m.pt", assign=assign)
    assert target.value.shape == value.shape
    assert bits(target.value) == bits(value)


@pytest.mark.parametrize("kind", sorted(TENSORS.keys() - {"conjugated", "negated", "spread", "spread both ways"}))
def test_a_tensor_in_safetensors(kind: str, tmp_path: Path) -> None:
    value = TENSORS[kind]().contiguous()
    save_file({"value": value.clone(), "other": torch.ones(2)}, tmp_path / "m.safetensors")
    target = Holds(value)
    ckptnames.load(target, tmp_path / "m.safetensors")
    assert bits(target.value) == bits(value)


def test_numbers_in_the_other_order(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({"value": half(torch.float32), "other": torch.ones(2)}, path)
    records = records_of(path)
    for name, data in records.items():
        if "/data/" in name:
            records[name] = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    folder = next(iter(records)).partition("/")[0]
    zipped(path, {**records, f"{folder}/byteorder": b"big"})
    wanted = torch.load(path, weights_only=True)
    target = Holds(half(torch.float32))
    ckptnames.load(target, path)
    assert torch.equal(target.value, wanted["value"])


def test_sparse_and_quantised_tensors_are_made_by_torch(tmp_path: Path, quiet: None) -> None:
    sparse = torch.eye(3).to_sparse()
    quantised = torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.qint8)
    torch.save({"value": sparse, "other": quantised}, tmp_path / "m.pt")
    target = nn.Module()
    target.register_buffer("value", torch.zeros(3, 3).to_sparse())
    target.register_buffer("other", torch.quantize_per_tensor(torch.zeros(2), 0.5, 0, torch.qint8))
    ckptnames.load(target, tmp_path / "m.pt")
    assert torch.equal(target.get_buffer("value").to_dense(), torch.eye(3))
    assert torch.equal(target.get_buffer("other").dequantize(), torch.ones(2))


class Counting(nn.Linear):
    """Says something of itself."""

    seen = 0

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": self.seen}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.seen = state["seen"]


@pytest.mark.parametrize("in_memory", [False, True])
def test_an_extra_state(in_memory: bool, tmp_path: Path) -> None:
    source = nn.Sequential(Counting(2, 2))
    source[0].seen = 7  # type: ignore[assignment]
    state = nn.DataParallel(source).state_dict()
    torch.save(state, tmp_path / "m.pt")
    target = nn.Sequential(Counting(2, 2))
    report = ckptnames.load(target, state if in_memory else tmp_path / "m.pt")
    assert target[0].seen == 7
    assert report.is_complete


def test_an_extra_state_that_is_not_there() -> None:
    target = nn.Sequential(Counting(2, 2))
    with pytest.raises(errors.IncompleteLoad, match="_extra_state"):
        ckptnames.load(target, nn.Sequential(nn.Linear(2, 2)).state_dict())


def test_an_extra_state_that_the_model_has_no_place_for() -> None:
    state = nn.Sequential(Counting(2, 2)).state_dict()
    with pytest.raises(errors.IncompleteLoad, match="_extra_state"):
        ckptnames.load(nn.Sequential(nn.Linear(2, 2)), state)
    report = ckptnames.load(nn.Sequential(nn.Linear(2, 2)), state, unexpected="ignore")
    assert report.unexpected == ("0._extra_state",)


def test_quantised_layers_come_back(tmp_path: Path, quiet: None) -> None:
    def quantised(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear})  # type: ignore[no-untyped-call, no-any-return]

    torch.save(quantised(1).state_dict(), tmp_path / "m.pt")
    target, x = quantised(2), torch.ones(1, 4)
    ckptnames.load(target, tmp_path / "m.pt")
    assert torch.equal(target(x), quantised(1)(x))


def test_names_that_safetensors_left_out_for_a_tie(tmp_path: Path) -> None:
    def tied(seed: int) -> nn.ModuleDict:
        torch.manual_seed(seed)
        found = nn.ModuleDict({"embed": nn.Linear(3, 3, bias=False), "head": nn.Linear(3, 3, bias=False)})
        found["head"].weight = found["embed"].weight
        return found

    save_model(tied(1), str(tmp_path / "m.safetensors"))
    target = tied(2)
    assert ckptnames.load(target, tmp_path / "m.safetensors").is_complete
    assert torch.equal(target.get_parameter("head.weight"), tied(1).get_parameter("embed.weight"))
    untied = nn.ModuleDict({"embed": nn.Linear(3, 3, bias=False), "head": nn.Linear(3, 3, bias=False)})
    ckptnames.load(untied, tmp_path / "m.safetensors")
    assert torch.equal(untied.get_parameter("head.weight"), tied(1).get_parameter("embed.weight"))
    assert untied.get_parameter("head.weight") is not untied.get_parameter("embed.weight")


@pytest.mark.parametrize("source", [3, None, [("weight", torch.ones(2))]])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(errors.NotAStateDict):
        ckptnames.load(nn.Linear(2, 2), source)


@pytest.mark.parametrize("source", [{}, {"epoch": 3}, {"optimizer": {"state": {}, "param_groups": []}}])
def test_a_dict_without_tensors(source: Any) -> None:
    with pytest.raises(errors.NotAStateDict):
        ckptnames.load(nn.Linear(2, 2), source)


def test_a_dict_with_another_key_than_a_text() -> None:
    with pytest.raises(errors.NotAStateDict):
        ckptnames.load(nn.Linear(2, 2), {0: torch.ones(2)})  # type: ignore[dict-item]


def test_a_pickle_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "pwned"), "w"))

    state = {**nn.Linear(2, 2).state_dict(), "hook": Runs()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (tmp_path / "m.pt").write_bytes(buffer.getvalue())
    target = nn.Linear(2, 2)
    ckptnames.load(target, tmp_path / "m.pt")
    assert torch.equal(target.weight, state["weight"])
    assert not (tmp_path / "pwned").exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "m.pt", weights_only=True)
