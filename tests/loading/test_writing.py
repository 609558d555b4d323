"""How values get into a model: checked before, copied or put in place of the old, through its own code, told after."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from benchmarks import loading
from ckptnames import errors
from ckptnames.loading.casting import loss
from ckptnames.loading.files import FileSource
from ckptnames.loading.filling import Deferred


def net(seed: int = 0, **options: Any) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4, **options), nn.BatchNorm1d(4, **options), nn.Linear(4, 2, **options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(net(1).state_dict(), tmp_path / "trained.pt")
    return tmp_path / "trained.pt"


def assert_is(target: nn.Module, wanted: nn.Module) -> None:
    for key, value in wanted.state_dict().items():
        assert torch.equal(target.state_dict()[key], value), key


def test_tensors_stay_the_same_objects_in_the_same_memory(path: Path) -> None:
    target = net()
    before = [(id(p), p.data_ptr(), p._version) for p in target.parameters()]
    ckptnames.load(target, path)
    after = [(id(p), p.data_ptr()) for p in target.parameters()]
    assert after == [(name, place) for name, place, _ in before]
    assert all(p._version > version for p, (_, _, version) in zip(target.parameters(), before, strict=True))
    assert_is(target, net(1))


def test_autograd_sees_that_a_value_was_overwritten(path: Path) -> None:
    target = net().eval()
    loss = target(torch.ones(2, 3)).square().sum()
    ckptnames.load(target, path)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("shape", ["turned", "double", "part"])
def test_tensors_that_lie_otherwise_than_in_the_file(shape: str, path: Path) -> None:
    target = net(dtype=torch.float64) if shape == "double" else net()
    if shape == "turned":
        target[0].weight = nn.Parameter(torch.zeros(3, 4).T)
    if shape == "part":
        target[0].weight = nn.Parameter(torch.zeros(4, 6)[:, ::2])
    ckptnames.load(target, path)
    assert torch.equal(target.get_parameter("0.weight").float(), net(1).get_parameter("0.weight"))


def test_assigning_puts_new_tensors_in_place_of_the_old(path: Path) -> None:
    target = net()
    target[0].weight.requires_grad_(False)
    before = dict(target.named_parameters())
    ckptnames.load(target, path, assign=True)
    for name, parameter in target.named_parameters():
        assert parameter is not before[name]
        assert type(parameter) is nn.Parameter
        assert parameter.requires_grad == before[name].requires_grad
    assert_is(target, net(1))


@pytest.mark.parametrize("assign", [False, True])
def test_what_is_written_over_later_is_not_the_model(assign: bool, path: Path) -> None:
    target = net()
    ckptnames.load(target, path, assign=assign)
    size = path.stat().st_size
    path.write_bytes(b"\xff" * size)
    assert_is(target, net(1))


def test_each_tensor_of_memory_is_assigned_as_it_is() -> None:
    source = net(1).state_dict()
    target = net()
    ckptnames.load(target, source, assign=True)
    assert target[0].weight.data_ptr() == source["0.weight"].data_ptr()  # type: ignore[operator]


@pytest.mark.parametrize("assign", [False, True])
def test_the_dtype_of_the_file(assign: bool, tmp_path: Path) -> None:
    torch.save(net(1).bfloat16().state_dict(), tmp_path / "half.pt")
    target = net()
    report = ckptnames.load(target, tmp_path / "half.pt", assign=assign, dtype="file")
    assert {p.dtype for p in target.parameters()} == {torch.bfloat16}
    assert report.cast == ()
    assert_is(target, net(1).bfloat16())


@pytest.mark.parametrize("assign", [False, True])
def test_the_dtype_of_the_model(assign: bool, tmp_path: Path) -> None:
    torch.save(net(1).bfloat16().state_dict(), tmp_path / "half.pt")
    target = net()
    report = ckptnames.load(target, tmp_path / "half.pt", assign=assign)
    assert {p.dtype for p in target.parameters()} == {torch.float32}
    assert {(cast.source, cast.target) for cast in report.cast} == {("BF16", "F32")}
    assert_is(target, net(1).bfloat16().float())


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (torch.float32, torch.int64),
        (torch.float16, torch.bool),
        (torch.complex64, torch.float32),
        (torch.int64, torch.int32),
        (torch.int32, torch.uint32),
        (torch.uint8, torch.float32),
    ],
)
def test_casts_that_lose_values_are_refused(source: torch.dtype, target: torch.dtype) -> None:
    model = nn.Module()
    model.register_buffer("table", torch.zeros(3, dtype=target))
    with pytest.raises(errors.LossyCast):
        ckptnames.load(model, {"table": torch.ones(3).to(source)})
    assert torch.equal(model.get_buffer("table"), torch.zeros(3, dtype=target))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (torch.float64, torch.float16),
        (torch.int32, torch.int64),
        (torch.bool, torch.float32),
        (torch.int64, torch.float32),
    ],
)
def test_casts_that_round_at_most_are_said(source: torch.dtype, target: torch.dtype) -> None:
    model = nn.Module()
    model.register_buffer("table", torch.zeros(3, dtype=target))
    assert len(ckptnames.load(model, {"table": torch.ones(3).to(source)}).cast) == 1
    assert torch.equal(model.get_buffer("table"), torch.ones(3, dtype=target))


def test_a_counter_that_was_cast_along_with_the_weights() -> None:
    source = {key: value.half() for key, value in net(1).state_dict().items()}
    target = net()
    ckptnames.load(target, source)
    assert target.state_dict()["1.num_batches_tracked"].dtype == torch.int64
    with pytest.raises(errors.LossyCast):
        ckptnames.load(target, {**source, "1.num_batches_tracked": torch.tensor(0.5)})


def test_a_parameter_does_not_become_an_integer_with_the_dtype_of_the_file() -> None:
    with pytest.raises(errors.LossyCast):
        ckptnames.load(nn.Linear(2, 2, bias=False), {"weight": torch.ones(2, 2, dtype=torch.int8)}, dtype="file")


def test_a_model_without_memory(path: Path) -> None:
    target = net(device="meta")
    report = ckptnames.load(target, path)
    assert {p.device.type for p in target.parameters()} == {"cpu"}
    assert report.is_complete
    assert_is(target, net(1))


def test_a_model_of_which_a_part_has_no_memory(path: Path) -> None:
    target = net()
    target[0] = nn.Linear(3, 4, device="meta")
    ckptnames.load(target, path)
    assert_is(target, net(1))


def test_a_buffer_that_is_not_saved_is_told_to_be_without_values(path: Path) -> None:
    target = net(device="meta")
    target.register_buffer("mask", torch.zeros(2, device="meta"), persistent=False)
    assert ckptnames.load(target, path).notes == ("mask is not saved, and still without values",)


def test_a_device_for_new_tensors(path: Path) -> None:
    target = net()
    ckptnames.load(target, path, assign=True, device="cpu")
    assert_is(target, net(1))
    ckptnames.load(net(device="meta"), path, device=torch.device("cpu"))


def test_lazy_modules_get_their_shapes(path: Path) -> None:
    target = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(2))
    ckptnames.load(target, path)
    assert_is(target, net(1))
    assert target.eval()(torch.ones(2, 3)).shape == (2, 2)


@pytest.mark.parametrize("wanted", [(), (1,)])
def test_one_element_for_a_scalar(wanted: tuple[int, ...]) -> None:
    model = nn.Module()
    model.register_parameter("logit_scale", nn.Parameter(torch.zeros(wanted)))
    ckptnames.load(model, {"logit_scale": torch.tensor([2.0])})
    assert model.get_parameter("logit_scale").item() == 2
    assert model.get_parameter("logit_scale").shape == wanted


def test_no_scalar_for_one_element() -> None:
    model = nn.Module()
    model.register_parameter("scale", nn.Parameter(torch.zeros(1)))
    with pytest.raises(errors.LoadError):
        ckptnames.load(model, {"scale": torch.tensor(2.0)})


def test_shared_modules_and_frozen_ones(path: Path) -> None:
    shared = nn.Linear(3, 3)
    target = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)}).requires_grad_(False)
    value = torch.rand(3, 3)
    source = {"a.weight": value, "a.bias": torch.ones(3), "b.0.weight": value.clone(), "b.0.bias": torch.ones(3)}
    for assign in (False, True):
        ckptnames.load(target, source, assign=assign)
        assert target["a"].weight is target["b"][0].weight  # type: ignore[index]
        assert torch.equal(shared.weight, value)
        assert not shared.weight.requires_grad


class Layers(nn.Module):
    """Layers with parameters of uncommon names."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16)
        self.gru = nn.GRU(4, 3, 2, bidirectional=True)
        self.list = nn.ParameterList([torch.randn(2), torch.randn(3)])
        self.dict = nn.ParameterDict({"x": torch.randn(2)})


@pytest.mark.parametrize("assign", [False, True])
def test_layers_of_uncommon_names(assign: bool, tmp_path: Path) -> None:
    source, target = Layers(), Layers()
    torch.save(nn.DataParallel(source).state_dict(), tmp_path / "m.pt")
    ckptnames.load(target, tmp_path / "m.pt", assign=assign)
    assert_is(target, source)
    x = torch.ones(5, 1, 4)
    assert torch.equal(target.gru(x)[0], source.gru(x)[0])


@pytest.mark.parametrize("trace", [torch.jit.script, torch.fx.symbolic_trace])
def test_programs_are_loaded_like_modules(trace: Any, quiet: None) -> None:
    source = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    target = trace(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    ckptnames.load(target, nn.DataParallel(source).state_dict())
    assert_is(target, source)
    x = torch.rand(4, 2)
    assert torch.equal(target.eval()(x), source.eval()(x))


class OwnLoading(nn.Linear):
    """Notes how it is loaded."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.seen: list[str] = []

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:  # type: ignore[override]
        self.seen += state_dict
        return super().load_state_dict(state_dict, strict)


@pytest.mark.parametrize("assign", [False, True])
def test_the_models_own_code_is_what_loads(assign: bool) -> None:
    target, hooked = OwnLoading(), []
    target.register_load_state_dict_post_hook(lambda *_: hooked.append(1))  # type: ignore[no-untyped-call]
    wanted = nn.Linear(2, 2)
    ckptnames.load(target, wanted.state_dict(), assign=assign)
    assert target.seen == ["weight", "bias"]
    assert hooked == [1]
    assert_is(target, wanted)


class Doubling(nn.Linear):
    """Computes with what it is given, as code for old checkpoints does."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict[f"{prefix}weight"] = 2 * state_dict[f"{prefix}weight"]
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_code_that_computes_gets_real_tensors(tmp_path: Path) -> None:
    wanted = nn.Linear(2, 2)
    torch.save({"module.weight": wanted.weight, "module.bias": wanted.bias}, tmp_path / "m.pt")
    target = Doubling(2, 2)
    ckptnames.load(target, tmp_path / "m.pt")
    assert torch.equal(target.weight, 2 * wanted.weight)
    assert torch.equal(target.bias, wanted.bias)


def test_code_that_fails_ends_in_an_error() -> None:
    class Failing(nn.Linear):
        def _load_from_state_dict(self, *args: Any) -> None:
            raise ValueError("not today")

    with pytest.raises(errors.LoadInterrupted, match="not today"):
        ckptnames.load(nn.Sequential(nn.Linear(2, 2), Failing(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


class Broken(nn.Sequential):
    """Hides a key from torch while it loads."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        del state_dict["0.bias"]
        return super().load_state_dict(state_dict, strict, assign)


def test_a_value_that_the_models_code_passes_over_is_missed() -> None:
    with pytest.raises(errors.LoadInterrupted, match="took no value for"):
        ckptnames.load(Broken(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2)))


def test_a_file_that_is_cut_short_before_the_first_value(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, other = net(), net()
    manifest = ckptnames.read(path)
    storage = manifest["1.running_mean"].storage
    assert storage is not None
    read_into = FileSource.read_into

    def cutting(source: FileSource, key: str, destination: torch.Tensor) -> None:
        if key == "0.weight":
            os.truncate(path, storage.position)
        read_into(source, key, destination)

    monkeypatch.setattr(FileSource, "read_into", cutting)
    with pytest.raises(errors.LoadInterrupted, match="changed while it was read") as info:
        ckptnames.load(target, path)
    assert info.value.overwritten == ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean")
    for key, value in target.state_dict().items():
        if key not in info.value.overwritten:
            assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("assign", [False, True])
def test_a_disk_that_dies(assign: bool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = "tensor" if assign else "read_into"
    whole: Callable[..., Any] = getattr(FileSource, method)

    def dying(source: FileSource, key: str, *rest: Any) -> Any:
        if key == "1.weight":
            raise OSError(5, "Input/output error")
        return whole(source, key, *rest)

    monkeypatch.setattr(FileSource, method, dying)
    target, untouched = net(), net()
    with pytest.raises(errors.LoadInterrupted, match="Input/output error") as info:
        ckptnames.load(target, path, assign=assign)
    assert set(info.value.overwritten) - {"1.weight"} == {"0.weight", "0.bias"}
    assert torch.equal(target[2].weight, untouched[2].weight)  # type: ignore[arg-type]
    assert isinstance(info.value.__cause__, OSError)


def test_a_source_that_changed_before_the_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckptnames.loading import load

    check = load._check_ties

    def writing(*args: Any) -> None:
        check(*args)
        os.utime(path, ns=(1, 1))

    monkeypatch.setattr(load, "_check_ties", writing)
    target = net()
    with pytest.raises(errors.SourceChanged):
        ckptnames.load(target, path)
    assert_is(target, net())


def test_an_interruption_says_how_far_it_came(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: FileSource, key: str, destination: torch.Tensor) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileSource, "read_into", interrupted)
    with pytest.raises(KeyboardInterrupt) as info:
        ckptnames.load(net(), path)
    assert info.value.__notes__ == ["the load broke off when 1 of 9 keys were written"]


def test_a_deferred_tensor_answers_what_it_is_asked() -> None:
    value = torch.rand(2, 3)

    def fill(place: torch.Tensor) -> None:
        place.copy_(value)

    deferred = Deferred((2, 3), torch.float32, fill)
    assert (deferred.shape, deferred.dtype, deferred.numel()) == ((2, 3), torch.float32, 6)
    assert torch.equal(deferred + 1, value + 1)
    assert torch.equal(torch.cat([deferred, deferred]), torch.cat([value, value]))
    assert torch.equal(deferred[0], value[0])
    assert torch.equal(torch.zeros(2, 3).copy_(deferred), value)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ckptnames", "ckptnames, wrapped", "ckptnames, assign"])
def test_a_load_takes_little_beside_the_model(way: str, tmp_path: Path) -> None:
    model = [sys.executable, "-c", loading.MAKE + loading.SAVE, "200", str(tmp_path / "m.pt")]
    subprocess.run(model, check=True)
    assert loading.load(way, tmp_path / "m.pt", 200).extra < 30e6


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_values_beyond_the_range_of_the_models_dtype_are_told(kind: str, assign: bool, tmp_path: Path) -> None:
    state = {"weight": torch.tensor([[1e6, 1.0]]), "bias": torch.tensor([float("inf")])}
    torch.save(state, tmp_path / "m.pt")
    source = tmp_path / "m.pt" if kind == "file" else state
    model = nn.Linear(2, 1).half()
    report = ckptnames.load(model, source, assign=assign)
    assert report.notes == ("1 tensor has values beyond the range of the model's dtype: weight",)
    assert model.weight.tolist() == [[float("inf"), 1.0]]
    assert ckptnames.load(nn.Linear(2, 1).bfloat16(), source, assign=assign).notes == ()


def test_a_frozen_parameter_is_no_buffer() -> None:
    model = nn.Linear(2, 2, bias=False).requires_grad_(False)
    with pytest.raises(errors.LossyCast):
        ckptnames.load(model, {"weight": torch.ones(2, 2, dtype=torch.int8)}, dtype="file")
    model.register_buffer("table", torch.ones(2))
    ckptnames.load(model, {**model.state_dict(), "table": torch.ones(2, dtype=torch.int8)}, dtype="file")
    assert model.table.dtype == torch.int8


def test_a_dtype_that_is_not_known_is_not_cast() -> None:
    assert loss("NOVEL", "F32", 1) and loss("NOVEL", "NOVEL2", 1)
