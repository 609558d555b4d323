"""The unwrapped names of wrapped models: found again by the values, of which every tensor has one of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import ckptnames
from tests.predict.wrapping import AROUND, ON_WEIGHTS, PAIRS, Lightning, Net, wrapped_at


@pytest.fixture(autouse=True)
def _quiet(process_group: None) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # single processes and old functions are warned of
        yield


def numbered() -> Net:
    """Give each tensor of a model a value that no other has."""
    model = Net(tied=False)
    with torch.no_grad():
        for number, tensor in enumerate(model.state_dict().values()):
            tensor.fill_(number + 10)
    return model


def names_by_value(wrapped: nn.Module, unwrapped: nn.Module) -> dict[str, str]:
    names = {float(value.flatten()[0]): key for key, value in unwrapped.state_dict().items()}
    values = {key: float(value.flatten()[0]) for key, value in wrapped.state_dict().items()}
    return {key: names[value] for key, value in values.items() if value in names}


def assert_canonical(wrapped: nn.Module, unwrapped: nn.Module) -> None:
    found = ckptnames.canonical(wrapped)
    assert found == names_by_value(wrapped, unwrapped)
    assert list(found) == [key for key in wrapped.state_dict() if key in found]


@pytest.mark.parametrize("path", ["", "encoder", "encoder.0", "_orig_mod.module", "module"])
@pytest.mark.parametrize("name", [name for name in AROUND if name != "lightning=net"])
def test_one_wrapper(name: str, path: str) -> None:
    assert_canonical(wrapped_at(numbered(), AROUND[name], path), numbered())


@pytest.mark.parametrize("inside", ["", "encoder"])
@pytest.mark.parametrize(("inner", "outer"), [pair for pair in PAIRS if "lightning=net" not in pair])
def test_wrappers_in_pairs(inner: str, outer: str, inside: str) -> None:
    assert_canonical(AROUND[outer](wrapped_at(numbered(), AROUND[inner], inside)), numbered())


@pytest.mark.parametrize("name", ON_WEIGHTS)
def test_norms_are_no_wrappers(name: str) -> None:
    model = wrapped_at(numbered(), ON_WEIGHTS[name], "head")
    normed = list(model.state_dict())
    found = ckptnames.canonical(AROUND["ddp"](AROUND["compile"](model)))
    assert found == {f"module._orig_mod.{key}": key for key in normed}


def test_an_attribute_that_a_model_calls_module_stays() -> None:
    wrapped = nn.DataParallel(numbered())
    found = ckptnames.canonical(wrapped)
    assert found["module.module.weight"] == "module.weight"
    assert found["module._orig_mod.module.weight"] == "_orig_mod.module.weight"
    assert found["module.n_averaged"] == "n_averaged"


def test_a_module_that_no_wrapper_holds_keeps_every_name() -> None:
    for model in (numbered(), Lightning(numbered()), nn.ModuleDict({"_fsdp_wrapped_module": nn.PReLU()})):
        assert ckptnames.canonical(model) == {key: key for key in model.state_dict()}


def test_what_belongs_to_a_wrapper_is_left_out() -> None:
    class Scaled(nn.DataParallel[nn.Module]):
        def __init__(self, model: nn.Module) -> None:
            super().__init__(model)
            self.scale = nn.Parameter(torch.ones(1))

    assert "n_averaged" not in ckptnames.canonical(AveragedModel(nn.PReLU()))
    assert ckptnames.canonical(Scaled(nn.PReLU())) == {"module.weight": "weight"}


def test_a_shared_module_that_is_wrapped_once_has_both_names() -> None:
    shared = nn.PReLU()
    model = nn.ModuleDict({"a": shared, "b": nn.DataParallel(shared)})
    assert ckptnames.canonical(model) == {"a.weight": "a.weight", "b.module.weight": "b.weight"}


def test_names_that_a_hook_gives_are_followed_on_both_sides() -> None:
    def rename(module: nn.Module, saved: dict[str, torch.Tensor], prefix: str, metadata: object) -> None:
        saved[f"{prefix}moved"] = saved.pop(f"{prefix}weight")

    def clean(module: nn.Module, saved: dict[str, torch.Tensor], prefix: str, metadata: object) -> None:
        for key in list(saved):
            saved[key.removeprefix("module.")] = saved.pop(key)

    model = nn.Sequential(nn.Linear(1, 2))
    model[0]._register_state_dict_hook(rename)  # type: ignore[no-untyped-call]
    wrapped = nn.DataParallel(model)
    assert ckptnames.canonical(wrapped) == {"module.0.bias": "0.bias", "module.0.moved": "0.moved"}
    wrapped._register_state_dict_hook(clean)  # type: ignore[no-untyped-call]
    assert ckptnames.canonical(wrapped) == {"0.bias": "0.bias", "0.moved": "0.moved"}


def test_the_names_a_wrap_gives_lead_back() -> None:
    # canonical() of the wrapped model undoes what wrap= does, key by key.
    wrapped = AROUND["ddp"](wrapped_at(Net(), AROUND["compile"], "encoder"))
    found = ckptnames.canonical(wrapped)
    assert list(found) == list(ckptnames.predict(Net(), wrap=["compile@encoder", "ddp"]))
    assert list(found.values()) == list(ckptnames.predict(Net()))
