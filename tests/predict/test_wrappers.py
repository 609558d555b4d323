"""What is predicted for a wrapped model is what the model has once it really is wrapped."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.errors import BadWrapper, CannotWrap, CkptnamesError, NoSuchSubmodule, NoWeight, UnknownWrapper
from tests.predict.agreement import as_said, as_saved, ties
from tests.predict.wrapping import AROUND, ON_WEIGHTS, PAIRS, Net, asked_as, wrapped_at


@pytest.fixture(autouse=True)
def _quiet(process_group: None) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # single processes and old functions are warned of
        yield


def assert_wraps(model: nn.Module, wrap: list[str], really: nn.Module) -> None:
    """Hold what is predicted for ``wrap``, and for the wrapped model itself, to the wrapped model's state dict."""
    there = ckptnames.predict(really)
    saved = really.state_dict()
    for said in (ckptnames.predict(model, wrap=wrap), there):
        assert as_said(said) == list(as_saved(saved).items())
        assert list(said.ties) == ties(saved)


@pytest.mark.parametrize("path", ["", "encoder", "encoder.0", "_orig_mod.module", "module"])
@pytest.mark.parametrize("name", AROUND)
def test_one_wrapper(name: str, path: str) -> None:
    really = wrapped_at(Net(), AROUND[name], path)
    assert_wraps(Net(), [asked_as(name, path)], really)
    assert ckptnames.predict(really).notes == ()


@pytest.mark.parametrize("inside", ["", "encoder"])
@pytest.mark.parametrize(("inner", "outer"), PAIRS)
def test_wrappers_in_pairs(inner: str, outer: str, inside: str) -> None:
    really = AROUND[outer](wrapped_at(Net(), AROUND[inner], inside))
    assert_wraps(Net(), [asked_as(inner, inside), asked_as(outer)], really)


def test_wrappers_in_a_row() -> None:
    names = ["compile", "checkpoint", "ddp", "averaged", "quant"]
    really: nn.Module = Net()
    for name in names:
        really = AROUND[name](really)
    assert_wraps(Net(), names, really)


LAYERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(3, 4),
    lambda: nn.Linear(3, 4, bias=False, dtype=torch.float16),
    lambda: nn.Conv2d(4, 6, 3, groups=2),
    lambda: nn.ConvTranspose1d(4, 6, 3),
    lambda: nn.Embedding(5, 3),
    lambda: nn.LayerNorm(4),
    lambda: nn.Bilinear(2, 3, 4),
]


@pytest.mark.parametrize("name", ON_WEIGHTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_norms_on_a_weight(name: str, layer: Callable[[], nn.Module]) -> None:
    assert_wraps(layer(), [name], ON_WEIGHTS[name](layer()))


@pytest.mark.parametrize("name", ON_WEIGHTS)
@pytest.mark.parametrize("path", ["module", "encoder.0", "encoder.2", "head"])
@pytest.mark.parametrize("outer", ["averaged", "fsdp2"])
def test_norms_inside_wrappers(name: str, path: str, outer: str) -> None:
    really = wrapped_at(Net(), ON_WEIGHTS[name], path)
    assert_wraps(Net(), [f"{name}@{path}"], really)
    if (name, outer) != ("weight_norm=old", "averaged"):  # torch cannot copy a weight that is computed
        assert_wraps(Net(), [f"{name}@{path}", outer], AROUND[outer](really))


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_a_norm_on_a_weight_that_has_one(name: str) -> None:
    assert_wraps(
        Net(), [f"{name}@head"] * 2, wrapped_at(wrapped_at(Net(), ON_WEIGHTS[name], "head"), ON_WEIGHTS[name], "head")
    )


# How it is asked for.


def test_a_path_is_the_one_without_wrappers() -> None:
    model = nn.DataParallel(Net())
    said = ckptnames.predict(model, wrap=["compile@encoder", "ddp", "checkpoint@encoder.0", "dp@encoder.0"])
    assert [key for key in said if key.endswith("encoder.0.module.weight")] == []
    assert "module.module.encoder._orig_mod.0.module.weight" in said
    # The model has an attribute of that name, inside its wrapper.
    assert "module.module._orig_mod.bias" in ckptnames.predict(model, wrap=["compile@module"])


def test_one_name_may_stand_alone() -> None:
    assert list(ckptnames.predict(nn.ReLU6(), wrap="averaged")) == ["n_averaged"]


def test_the_outermost_is_the_last() -> None:
    assert list(ckptnames.predict(nn.PReLU(), wrap=["compile", "ddp"])) == ["module._orig_mod.weight"]
    assert list(ckptnames.predict(nn.PReLU(), wrap=["ddp", "compile"])) == ["_orig_mod.module.weight"]


def test_one_name_of_a_shared_module_is_wrapped() -> None:
    shared = nn.PReLU()
    model = nn.ModuleDict({"a": shared, "b": shared})
    said = ckptnames.predict(model, wrap=["compile@b"])
    assert (list(said), said.ties) == (["a.weight", "b._orig_mod.weight"], (("a.weight", "b._orig_mod.weight"),))


def test_a_wrapper_goes_around_code_that_has_a_say() -> None:
    def rename(module: nn.Module, saved: dict[str, torch.Tensor], prefix: str, metadata: object) -> None:
        saved[f"{prefix}moved"] = saved.pop(f"{prefix}weight").cpu().half()

    def made() -> nn.Module:
        model = nn.Sequential(nn.Linear(2, 3))
        model[0]._register_state_dict_hook(rename)  # type: ignore[no-untyped-call]
        return model

    assert_wraps(made(), ["dp@0", "ddp"], AROUND["ddp"](wrapped_at(made(), AROUND["dp"], "0")))


def test_what_leaves_names_alone_is_said_to() -> None:
    said = ckptnames.predict(Net(), wrap=["checkpoint@encoder", "checkpoint@head", "fsdp1", "ddp"])
    assert said.name == ""
    assert [note.partition(":")[0].partition(";")[0] for note in said.notes] == [
        "checkpoint leaves names alone",
        "fsdp1 leaves names alone",
    ]


# What cannot be asked for.


@pytest.mark.parametrize(
    ("wrap", "error", "text"),
    [
        (
            "compil",
            UnknownWrapper,
            "error[unknown-wrapper]: no wrapper is called 'compil'\n  help: did you mean 'compile'?",
        ),
        (
            "zero",
            UnknownWrapper,
            "error[unknown-wrapper]: no wrapper is called 'zero'\n"
            "  help: name one of these: dp, ddp, compile, fsdp1, fsdp2, checkpoint, averaged, lightning, weight_norm, "
            "spectral_norm, quant",
        ),
        (
            "compile@encodr.0",
            NoSuchSubmodule,
            "error[no-such-submodule]: no submodule 'encodr.0': the model has no 'encodr'\n"
            "  encoder\n"
            "  help: did you mean 'encoder'?",
        ),
        (
            "compile@encoder.3",
            NoSuchSubmodule,
            "error[no-such-submodule]: no submodule 'encoder.3': 'encoder' has no '3'\n"
            "  encoder.0\n  encoder.1\n  encoder.2\n"
            "  help: did you mean 'encoder.0'?",
        ),
        (
            "compile@head.weight",
            NoSuchSubmodule,
            "error[no-such-submodule]: no submodule 'head.weight': 'head' has no 'weight'\n"
            "  help: name a module above it: this one holds no others",
        ),
        (
            "compile@",
            BadWrapper,
            "error[bad-wrapper]: 'compile@' does not say how to wrap\n"
            "  help: write it as compile, or compile@SUBMODULE",
        ),
        (
            "weight_norm@encoder",
            NoWeight,
            "error[no-weight]: 'weight_norm@encoder' needs a parameter called 'weight', "
            "and Sequential has none of its own\n"
            "  weight_norm@encoder.0\n  weight_norm@encoder.1\n  weight_norm@encoder.2\n"
            "  help: name the module that has it, as in 'weight_norm@encoder.0'",
        ),
        (
            "lightning",
            BadWrapper,
            "error[bad-wrapper]: 'lightning' does not say how to wrap\n"
            "  help: write it as lightning=ATTRIBUTE, the attribute of the LightningModule that holds the model",
        ),
        (
            "ddp=module",
            BadWrapper,
            "error[bad-wrapper]: 'ddp=module' does not say how to wrap\n  help: write it as ddp, or ddp@SUBMODULE",
        ),
        (
            "spectral_norm=new@head",
            BadWrapper,
            "error[bad-wrapper]: 'spectral_norm=new@head' does not say how to wrap\n"
            "  help: write it as spectral_norm, or spectral_norm=old for torch.nn.utils.spectral_norm",
        ),
    ],
)
def test_what_cannot_be_asked_for(wrap: str, error: type[CkptnamesError], text: str) -> None:
    with pytest.raises(error) as caught:
        ckptnames.predict(Net(), wrap=["ddp", wrap])
    assert str(caught.value) == text


def test_what_torch_itself_refuses() -> None:
    with pytest.raises(CannotWrap) as caught:
        ckptnames.predict(Net(), wrap=["weight_norm=old@head"] * 2)
    assert str(caught.value) == (
        "error[cannot-wrap]: 'weight_norm=old@head' cannot be put on this Linear: "
        "Cannot register two weight_norm hooks on the same parameter weight\n"
        "  help: leave out 'weight_norm=old@head', or name another module"
    )
    with pytest.raises(CannotWrap, match="uninitialized"):
        ckptnames.predict(nn.LazyLinear(3), wrap=["spectral_norm"])


def test_a_norm_inside_a_compiled_layer_comes_first() -> None:
    with pytest.raises(CannotWrap, match="it is wrapped already, so weight_norm has to come before that"):
        ckptnames.predict(Net(), wrap=["compile@head", "weight_norm@head"])
    assert "head._orig_mod.parametrizations.weight.original0" in ckptnames.predict(
        Net(), wrap=["weight_norm@head", "compile@head"]
    )


@pytest.mark.slow
def test_parameters_in_shards_are_predicted_whole() -> None:
    ran = subprocess.run([sys.executable, "-m", "tests.predict.sharded"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
