"""How names come to be in ``torch.nn``, one fact after the other, each held to torch itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import ckptnames
from ckptnames.errors import NoStateDict
from ckptnames.prediction.walk import modules
from tests.predict.agreement import assert_predicts


def keys(model: nn.Module) -> list[str]:
    return list(assert_predicts(model))


class Bare(nn.Module):
    """A module with one parameter and one buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))
        self.weight = nn.Parameter(torch.ones(3))


# A key is the path of the modules and the name of the parameter or buffer.


def test_a_key_is_the_path_of_what_is_registered() -> None:
    inner = nn.ModuleDict({"with space": Bare(), "a/b": Bare()})
    inner.register_parameter("größe", nn.Parameter(torch.ones(1)))
    assert keys(nn.Sequential(OrderedDict(net=inner))) == [
        "net.größe",
        "net.with space.weight",
        "net.with space.mean",
        "net.a/b.weight",
        "net.a/b.mean",
    ]


@pytest.mark.parametrize("register", [nn.Module.add_module, nn.Module.register_module])
def test_no_name_holds_a_dot_or_is_empty(register: Callable[[nn.Module, str, nn.Module], None]) -> None:
    # So a key can be split at its dots: torch refuses every name that would break that.
    for name in ("a.b", ""):
        with pytest.raises(KeyError):
            register(nn.Module(), name, nn.ReLU())
        with pytest.raises(KeyError):
            nn.Module().register_parameter(name, None)
        with pytest.raises(KeyError):
            nn.Module().register_buffer(name, None)


# Of each module: parameters, buffers, extra state, then its children; each in the order of registration.


class Stateful(Bare):
    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(1, 1)
        self.late = nn.Parameter(torch.ones(1))

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}


def test_parameters_stand_before_buffers_extra_state_and_children() -> None:
    assert keys(Stateful()) == ["weight", "late", "mean", "_extra_state", "child.weight", "child.bias"]


def test_a_parameter_assigned_anew_keeps_its_place() -> None:
    model = nn.Linear(2, 3)
    model.weight = nn.Parameter(torch.ones(5))
    assert keys(model) == ["weight", "bias"]


def test_a_parameter_deleted_and_assigned_stands_last() -> None:
    model = nn.Linear(2, 3)
    del model.weight
    model.weight = nn.Parameter(torch.ones(5))
    assert keys(model) == ["bias", "weight"]


def test_a_parametrization_put_on_and_removed_leaves_the_weight_last() -> None:
    model = parametrizations.orthogonal(nn.Linear(3, 3))
    assert keys(model) == ["bias", "parametrizations.weight.original", "parametrizations.weight.0.base"]
    parametrize.remove_parametrizations(model, "weight")
    assert keys(model) == ["bias", "weight"]


def test_pruning_put_on_and_removed_leaves_the_weight_last() -> None:
    model: nn.Module = prune.random_unstructured(nn.Linear(3, 3), "weight", amount=2)  # type: ignore[no-untyped-call]
    assert keys(model) == ["bias", "weight_orig", "weight_mask"]
    prune.remove(model, "weight")  # type: ignore[no-untyped-call]
    assert keys(model) == ["bias", "weight"]


# What is None, not persistent or not registered gives no key.


def test_none_gives_no_key() -> None:
    model = nn.Linear(2, 3, bias=False)
    model.register_buffer("mask", None)
    model.add_module("head", None)
    model.register_parameter("scale", None)
    assert keys(model) == ["weight"]


def test_buffers_that_are_not_persistent_and_plain_tensors_give_no_key() -> None:
    model = Bare()
    model.register_buffer("cache", torch.ones(2), persistent=False)
    model.register_buffer("kept", torch.ones(2, dtype=torch.bool))
    model.table = torch.ones(2)
    assert keys(model) == ["weight", "mean", "kept"]


def test_modules_in_a_plain_list_give_no_key() -> None:
    model = Bare()
    model.layers = [nn.Linear(1, 1)]  # type: ignore[assignment]
    assert keys(model) == ["weight", "mean"]


def test_a_buffer_made_with_the_class_is_one() -> None:
    model = nn.Module()
    model.kept = nn.Buffer(torch.ones(2))
    model.gone = nn.Buffer(torch.ones(2), persistent=False)
    assert keys(model) == ["kept"]


# An extra state has a key; its value may be anything.


@pytest.mark.parametrize("value", [None, 3, {"a": [torch.ones(1)]}, torch.ones(2, 3), b"bytes"])
def test_extra_state_has_a_key_and_a_shape_where_it_is_a_tensor(value: Any) -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> Any:
            return value

    assert keys(nn.Sequential(Extra(1, 2))) == ["0.weight", "0.bias", "0._extra_state"]


# What is shared is listed under each of its names, and tied.


def test_shared_parameters_and_modules_have_every_name() -> None:
    shared = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "c": nn.Linear(2, 2, bias=False)})
    model["c"].weight = shared.weight
    said = assert_predicts(model)
    assert list(said) == ["a.weight", "a.bias", "b.0.weight", "b.0.bias", "c.weight"]
    assert said.ties == (("a.weight", "b.0.weight", "c.weight"), ("a.bias", "b.0.bias"))


def test_views_are_tied_where_they_show_the_same() -> None:
    flat = torch.zeros(8)
    model = nn.Module()
    for name, view in {"a": flat[:4], "b": flat[4:], "c": flat[:4], "d": flat[:4].view(2, 2), "e": flat}.items():
        model.register_buffer(name, view)
    assert assert_predicts(model).ties == (("a", "c"),)


# Lazy parameters are there, without a shape, until the first forward or load.


def test_lazy_parameters_have_no_shape_until_they_are_loaded() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    assert assert_predicts(model)["0.weight"].shape is None
    model.load_state_dict({"0.weight": torch.zeros(3, 7), "0.bias": torch.zeros(3)})
    assert type(model[0]) is nn.LazyLinear
    assert assert_predicts(model)["0.weight"].shape == (3, 7)


# The versions beside a state dict are kept by the paths of the modules.


def test_the_walk_meets_the_modules_that_the_metadata_lists() -> None:
    shared = nn.BatchNorm1d(2)
    model = nn.ModuleDict({"a": nn.Sequential(shared, nn.ReLU()), "b": shared, "c": nn.Bilinear(1, 1, 1)})
    assert [path for path, _ in modules(model)] == list(model.state_dict()._metadata)  # type: ignore[attr-defined]


# A scalar has no dimension, wherever it may be loaded from; where a model stands makes no difference to its names.


def test_a_scalar_is_predicted_as_one() -> None:
    model = nn.Module()
    model.scale = nn.Parameter(torch.tensor(1.0))
    model.one = nn.Parameter(torch.ones(1))
    said = assert_predicts(model)
    assert (said["scale"].shape, said["one"].shape) == ((), (1,))


def test_a_model_on_the_meta_device_has_the_names_of_one_in_memory() -> None:
    with torch.device("meta"):
        on_meta = nn.Transformer(8, 2, 1, 1, 8, batch_first=True)
    in_memory = nn.Transformer(8, 2, 1, 1, 8, batch_first=True)
    assert dict(assert_predicts(on_meta)) == dict(assert_predicts(in_memory))


# Containers number anew when they change; a slice of a Sequential keeps its names, one of a ModuleList does not.


def _layers() -> list[nn.Module]:
    return [nn.PReLU(), nn.ReLU(), nn.PReLU()]


def _without_first(container: Any) -> nn.Module:
    del container[0]
    return container  # type: ignore[no-any-return]


def _with_one_before(container: Any) -> nn.Module:
    container.insert(0, nn.PReLU())
    return container  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Sequential(*_layers()), ["0.weight", "2.weight"]),
        (lambda: nn.Sequential(*_layers())[1:], ["2.weight"]),
        (lambda: nn.ModuleList(_layers())[1:], ["1.weight"]),
        (lambda: _without_first(nn.Sequential(*_layers())), ["1.weight"]),
        (lambda: _without_first(nn.ModuleList(_layers())), ["1.weight"]),
        (lambda: _with_one_before(nn.ModuleList(_layers())), ["0.weight", "1.weight", "3.weight"]),
        (lambda: _with_one_before(nn.Sequential(*_layers())), ["0.weight", "1.weight", "3.weight"]),
        (lambda: nn.Sequential(OrderedDict(conv=nn.PReLU(), act=nn.ReLU())), ["conv.weight"]),
        (lambda: nn.ModuleList(_layers()).extend(_layers()[:1]), ["0.weight", "2.weight", "3.weight"]),
        (lambda: nn.ParameterList([torch.ones(1), torch.ones(2)]), ["0", "1"]),
        (lambda: nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(2)}), ["a", "b"]),
        (lambda: nn.ParameterDict(OrderedDict(b=torch.ones(1), a=torch.ones(2))), ["b", "a"]),
    ],
)
def test_containers(make: Callable[[], nn.Module], expected: list[str]) -> None:
    assert keys(make()) == expected


# Recurrent layers number their weights; attention packs its projections where all have the same width.


def test_recurrent_names() -> None:
    assert keys(nn.LSTM(3, 4, 1, bidirectional=True, proj_size=2)) == [
        f"{name}_l0{end}"
        for end in ("", "_reverse")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    ]


def test_attention_names() -> None:
    packed = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    apart = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert keys(nn.MultiheadAttention(4, 2)) == packed
    assert keys(nn.MultiheadAttention(4, 2, kdim=4, vdim=4)) == packed
    assert keys(nn.MultiheadAttention(4, 2, kdim=3)) == apart
    assert keys(nn.MultiheadAttention(4, 2, add_bias_kv=True)) == [*packed[:2], "bias_k", "bias_v", *packed[2:]]


# A hook may return another dict, which counts at the root alone; a public one may not return anything.


def _other(module: nn.Module, state_dict: dict[str, Any], prefix: str, metadata: object) -> dict[str, Any]:
    return {f"other.{key}": value for key, value in state_dict.items()}


def test_the_dict_that_a_hook_returns_counts_at_the_root_alone() -> None:
    model = nn.Linear(1, 1)
    model._register_state_dict_hook(_other)  # type: ignore[no-untyped-call]
    assert keys(model) == ["other.weight", "other.bias"]
    assert keys(nn.Sequential(model)) == ["0.weight", "0.bias"]


def test_a_public_hook_that_returns_a_dict_is_an_error_in_torch_and_here() -> None:
    model = nn.Linear(1, 1)
    model.register_state_dict_post_hook(_other)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="must return None"):
        model.state_dict()
    with pytest.raises(NoStateDict) as caught:
        ckptnames.predict(model)
    assert str(caught.value) == (
        "error[no-state-dict]: state_dict() of 'Linear' raises RuntimeError: state_dict post-hook must return None\n"
        "  help: call model.state_dict() yourself, and mend what it names"
    )


def test_what_renames_when_loading_has_no_say_in_what_is_saved() -> None:
    model = nn.Linear(1, 1)
    model.register_load_state_dict_pre_hook(lambda *args: args[1].clear())  # type: ignore[no-untyped-call]
    assert keys(model) == ["weight", "bias"]
