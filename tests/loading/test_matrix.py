"""Every kind of source into every kind of model: equal bit for bit, or refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import ckptnames
from ckptnames.errors import IncompleteLoad, OtherNorm
from tests.loading.models import KINDS, NORMED, Net, values, whole, whole_state

pytestmark = pytest.mark.usefixtures("process_group", "quiet")


def assert_loads(kind: str, source: Any, wanted: dict[str, torch.Tensor], is_normed: bool) -> None:
    model = KINDS[kind](Net(seed=2))
    before = values(model, kind)
    if is_normed != (kind in NORMED):
        with pytest.raises(OtherNorm):
            ckptnames.load(model, source)
        assert_equal(values(model, kind), before)
        return
    report = ckptnames.load(model, source)
    report.raise_if_incomplete()
    after = values(model, kind)
    if kind == "averaged" and "n_averaged" not in wanted:
        assert report.kept == ("n_averaged",)
        wanted = wanted | {"n_averaged": before["n_averaged"]}
    assert_equal(after, {key: value for key, value in wanted.items() if key in after})


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_a_file(source: str, target: str, tmp_path: Path) -> None:
    model = KINDS[source](Net(seed=1))
    if source == "averaged":
        model.n_averaged.fill_(7)  # type: ignore[operator]
    torch.save(whole_state(model), tmp_path / "source.pt")
    assert_loads(target, tmp_path / "source.pt", values(model, source), source in NORMED)


def _as_safetensors(state: dict[str, torch.Tensor], folder: Path) -> Path:
    # A tie stands once in such a file; here the first of its names is what stays.
    first: dict[int, str] = {}
    for key, value in state.items():
        first.setdefault(value.data_ptr() if value.numel() else id(value), key)
    save_file({key: state[key].contiguous() for key in first.values()}, folder / "m.safetensors")
    return folder / "m.safetensors"


def _as_legacy(state: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save({"model": state, "epoch": 1}, folder / "m.pt", _use_new_zipfile_serialization=False)
    return folder / "m.pt"


OTHERS: dict[str, Callable[[dict[str, torch.Tensor], Path], Any]] = {
    "memory": lambda state, _: state,
    "a container": lambda state, _: {"state": {"model": state}, "epoch": 1},
    "safetensors": _as_safetensors,
    "legacy": _as_legacy,
}


@pytest.mark.slow
@pytest.mark.parametrize("form", OTHERS)
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_another_form(source: str, target: str, form: str, tmp_path: Path) -> None:
    model = KINDS[source](Net(seed=1))
    assert_loads(target, OTHERS[form](whole_state(model), tmp_path), values(model, source), source in NORMED)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_plain_is_what_the_model_itself_lists(kind: str) -> None:
    names = values(KINDS[kind](Net()), kind).keys() - {"n_averaged"}
    if kind in NORMED:
        names = {name.removesuffix("_g").removesuffix("_v") for name in names}
    assert names == Net().state_dict().keys()


def test_the_plain_model_holds_what_the_wrapped_one_was_given() -> None:
    inner = Net(seed=2)
    ckptnames.load(nn.DataParallel(inner), Net(seed=1).state_dict())
    assert_equal(inner.state_dict(), Net(seed=1).state_dict())


NORMS: dict[str, Any] = {"new": nn.utils.parametrizations.weight_norm, "old": nn.utils.weight_norm}


@pytest.mark.parametrize("outer", ["plain", "ddp", "compile", "fsdp2"])
@pytest.mark.parametrize("target", NORMS)
@pytest.mark.parametrize("source", NORMS)
def test_norms_inside_wrappers(source: str, target: str, outer: str, tmp_path: Path) -> None:
    def normed(kind: str, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        lstm = nn.LSTM(3, 3)
        NORMS[kind](lstm, name="weight_hh_l0")
        return nn.Sequential(NORMS[kind](nn.Linear(3, 3)), nn.Linear(3, 3), lstm)

    trained, model = normed(source, 1), normed(target, 2)
    torch.save(whole_state(nn.DataParallel(trained)), tmp_path / "source.pt")
    ckptnames.load(KINDS[outer](model), tmp_path / "source.pt")
    has, wanted = model.state_dict(), trained.state_dict()
    assert [whole(value).tolist() for value in has.values()] == [value.tolist() for value in _in_order(wanted, has)]


def _in_order(wanted: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Give the tensors of the one in the order of the other, whichever way a norm is spelled."""

    def old(name: str) -> str:
        for number, part in enumerate("gv"):
            name = re.sub(rf"parametrizations\.(\w+)\.original{number}", rf"\1_{part}", name)
        return name

    spelled = {old(name): value for name, value in wanted.items()}
    return [spelled[old(name)] for name in like]


class Pair(nn.Module):
    """Makes a weight of two tensors, and is no weight norm."""

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        return one + two

    def right_inverse(self, whole: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return whole, torch.zeros_like(whole)


def test_a_parametrization_of_two_parts_that_is_no_weight_norm() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    nn.utils.parametrize.register_parametrization(model[0], "weight", Pair())
    others = {key: value for key, value in model.state_dict().items() if "original" not in key}
    with pytest.raises(IncompleteLoad):
        ckptnames.load(model, {**others, "0.weight_g": torch.ones(3, 3), "0.weight_v": torch.ones(3, 3)})
    ckptnames.load(model, {f"module.{key}": torch.ones_like(value) for key, value in model.state_dict().items()})
    assert all(value.eq(1).all() for value in model.state_dict().values())


def test_a_name_that_only_looks_like_a_part() -> None:
    model = nn.DataParallel(nn.ModuleDict({"original0": nn.Linear(2, 2), "fc": nn.Linear(2, 2)}))
    wanted = nn.ModuleDict({"orig": nn.Linear(2, 2), "fc": nn.Linear(2, 2)})
    ckptnames.load(model, wanted, rules="orig.** -> original0.**")
    assert torch.equal(model.module.get_parameter("original0.weight"), wanted.get_parameter("orig.weight"))
