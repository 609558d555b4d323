"""The doctor names what a reader would trip over, and nothing else."""

from __future__ import annotations

import copy
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import ckptnames
from ckptnames.prediction.building import built
from ckptnames.prediction.doctor import Finding, examine
from ckptnames.prediction.origins import explain
from tests.predict.layers import CASES, public_classes
from tests.predict.sources import write


class Net(nn.Module):
    """Takes whatever is set on it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def said(model: nn.Module) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in examine(model)]


def fc() -> nn.Linear:
    return nn.Linear(2, 2)


def one(size: int = 2) -> nn.Parameter:
    return nn.Parameter(torch.zeros(size))


LOST: dict[str, tuple[Callable[[], Any], str]] = {
    "a list": (lambda: [fc(), fc()], "a plain list: in no state dict, with 2 Linear (4 weights); use nn.ModuleList"),
    "a tuple": (lambda: (fc(),), "a plain tuple: in no state dict, with 1 Linear (2 weights); use nn.ModuleList"),
    "a dict": (
        lambda: {"a": fc(), "b": nn.BatchNorm1d(2)},
        "a plain dict: in no state dict, with 1 Linear, 1 BatchNorm1d (7 weights); use nn.ModuleDict",
    ),
    "an ordered dict": (
        lambda: OrderedDict(a=fc()),
        "a plain OrderedDict: in no state dict, with 1 Linear (2 weights); use nn.ModuleDict",
    ),
    "a deque": (lambda: deque([fc()]), "a plain deque: in no state dict, with 1 Linear (2 weights); use nn.ModuleList"),
    "parameters": (
        lambda: [one(), one()],
        "a plain list: in no state dict, with 2 Parameter; use nn.ParameterList",
    ),
    "parameters by name": (
        lambda: {"a": one()},
        "a plain dict: in no state dict, with 1 Parameter; use nn.ParameterDict",
    ),
    "lists in lists": (
        lambda: [[fc()], {"a": (fc(), nn.ReLU())}],
        "a plain list: in no state dict, with 2 Linear (4 weights); use nn.ModuleList",
    ),
    "one with one inside": (
        lambda: [nn.Sequential(fc(), fc())],
        "a plain list: in no state dict, with 1 Sequential (4 weights); use nn.ModuleList",
    ),
    "the same twice": (
        lambda: [fc()] * 3,
        "a plain list: in no state dict, with 1 Linear (2 weights); use nn.ModuleList",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_what_is_held_without_being_registered(case: str) -> None:
    make, message = LOST[case]
    model = Net(inner=Net(held=make()))
    assert said(model) == [("unregistered", f"'inner.held' is {message}")]
    assert not any("held" in key for key in model.state_dict())


@pytest.mark.parametrize("case", ["a list", "a dict", "parameters", "parameters by name", "one with one inside"])
def test_what_is_offered_instead_registers_it(case: str) -> None:
    make, message = LOST[case]
    better = getattr(nn, message.rpartition("nn.")[2])
    model = Net(held=better(make()))
    assert said(model) == []
    assert all(key.startswith("held.") for key in model.state_dict())


def test_a_module_that_is_set_past_torch() -> None:
    model = Net(fc=fc())
    model.__dict__["teacher"] = fc()
    assert said(model) == [
        (
            "unregistered",
            "'teacher' is not registered: in no state dict, with 1 Linear (2 weights); use self.teacher = …",
        )
    ]


HARMLESS: dict[str, Callable[[], nn.Module]] = {
    "what is registered elsewhere": lambda: _listed(nn.ModuleList([fc(), fc()])),
    "a reference to a parent": lambda: _with_parent(),
    "modules without weights": lambda: Net(acts=[nn.ReLU(), nn.Dropout()], pool=(nn.MaxPool2d(2),)),
    "numbers, texts and functions": lambda: Net(
        sizes=[1, 2], names={"a": "b"}, make=[nn.Linear, torch.relu], none=[None]
    ),
    "a list in itself": lambda: Net(held=_in_itself()),
    "a size that was computed": lambda: Net(width=torch.tensor(3), padding=torch.tensor(4).sum()),
    "tensors in a list": lambda: Net(sizes=[torch.zeros(2)]),
    "an activation under many names": lambda: _shared_activation(),
    "a sequential with names": lambda: nn.Sequential(OrderedDict([("1", fc()), ("b", fc())])),
    "a sequential in order": lambda: nn.Sequential(fc(), nn.ReLU(), fc())[:2],
    "an empty sequential": lambda: nn.Sequential(nn.ReLU(), nn.ReLU())[1:],
    "a list that was cut": lambda: nn.ModuleList([fc(), fc(), fc()])[1:],
    "a pruned layer": lambda: prune.l1_unstructured(fc(), "weight", 0.5),  # type: ignore[no-untyped-call]
    "an old weight norm": lambda: nn.utils.weight_norm(fc()),
    "an old spectral norm": lambda: nn.utils.spectral_norm(fc()),
    "a weight norm": lambda: parametrizations.weight_norm(fc()),
    "an orthogonal weight": lambda: parametrizations.orthogonal(fc()),
    "something computed": lambda: _computed(),
    "a buffer that is named twice": lambda: _aliased(),
    "copies of one layer": lambda: nn.ModuleList(copy.deepcopy(layer) for layer in [fc()] * 2),
    "data parallel": lambda: nn.DataParallel(fc()),
}


def _listed(modules: nn.ModuleList) -> nn.Module:
    return Net(layers=modules, last=[modules[1]], by_name={"a": modules[0]}, weights=[modules[0].weight])


def _with_parent() -> nn.Module:
    model = Net(child=Net(fc=fc()))
    model.child.parent = [model]
    model.child.__dict__["root"] = model
    return model


def _in_itself() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


def _shared_activation() -> nn.Module:
    act = nn.ReLU()
    return nn.Sequential(Net(act=act, fc=fc()), Net(act=act, fc=fc()), act)


def _computed() -> nn.Module:
    model = Net(fc=fc())
    model.doubled = model.fc.weight * 2
    return model


def _aliased() -> nn.Module:
    model = Net()
    model.register_buffer("table", torch.zeros(2))
    model.__dict__["alias"] = model.table
    return model


@pytest.mark.parametrize("case", HARMLESS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_nothing_is_said_of(case: str) -> None:
    assert said(HARMLESS[case]()) == []


@pytest.mark.parametrize("name", sorted(CASES.keys() - {name for name in CASES if name.startswith("Lazy")}))
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_said_of_torchs_own_layers(name: str) -> None:
    for way in CASES[name]:
        module = way(public_classes()[name])()
        found = [finding for finding in examine(module) if (name, finding.code) not in KNOWN]
        assert found == []


KNOWN = {
    ("Sequential", "kept-numbers"),  # one of the ways is a slice
}


def test_a_plain_tensor_looks_like_a_buffer() -> None:
    model = Net(anchors=torch.zeros(4), blocks=nn.ModuleList(Net(scale=torch.ones(1)) for _ in range(3)))
    assert said(model) == [
        (
            "plain-tensor",
            "'anchors' is a plain tensor: in no state dict, and left behind by .to(); use register_buffer",
        ),
        (
            "plain-tensor",
            "'scale' of 3 Net is a plain tensor: in no state dict, and left behind by .to(); use register_buffer",
        ),
    ]
    assert list(model.state_dict()) == []
    assert model.double().anchors.dtype is torch.float32


def test_a_module_under_two_names_is_told_once_and_with_the_first() -> None:
    shared = nn.Sequential(fc(), nn.BatchNorm1d(2))
    model = Net(a=shared, b=Net(inner=shared), c=shared)
    (finding,) = examine(model)
    assert finding.code == "registered-twice"
    assert finding.message == "'b.inner' is 'a': one Sequential, whose keys are saved under 3 names"
    assert finding.names == ("a", "b.inner", "c")
    names = [name for name, _ in model.named_modules() if model.get_submodule(name) is shared]
    assert names == ["a"]
    assert sum(key.endswith("0.weight") for key in model.state_dict()) == 3


def test_the_first_is_the_one_that_comes_first_in_the_model() -> None:
    shared = fc()
    model = Net(outer=Net(later=shared))
    model.earlier = shared
    assert [finding.names for finding in examine(model)] == [("outer.later", "earlier")]
    assert next(name for name, module in model.named_modules() if module is shared) == "outer.later"


def test_tied_parameters() -> None:
    model = Net(embed=nn.Embedding(3, 2), head=nn.Linear(2, 3, bias=False))
    model.head.weight = model.embed.weight
    assert said(model) == [("tied", "one tensor, saved under two names: embed.weight = head.weight")]


def test_tensors_that_share_their_memory_are_tied() -> None:
    model = Net(embed=nn.Embedding(3, 2), head=nn.Linear(2, 3, bias=False))
    model.head.weight = nn.Parameter(model.embed.weight.detach())
    assert said(model) == [("tied", "one tensor, saved under two names: embed.weight = head.weight")]


def test_many_tied_names_are_one_pattern() -> None:
    layers = [nn.PReLU(2) for _ in range(5)]
    for layer in layers:
        layer.weight = layers[0].weight
    model = nn.ModuleList(layers)
    assert said(model) == [("tied", "one tensor, saved under 5 names: {0-4}.weight")]


def test_parameters_of_a_shared_module_are_not_told_again() -> None:
    shared, embed = fc(), fc()
    model = Net(a=shared, b=shared, c=embed)
    model.c.weight = shared.weight
    assert [(finding.code, finding.names) for finding in examine(model)] == [
        ("registered-twice", ("a", "b")),
        ("tied", ("a.weight", "c.weight")),
    ]


def test_a_slice_of_a_sequential_keeps_its_numbers() -> None:
    model = Net(tail=nn.Sequential(fc(), nn.ReLU(), fc())[1:], end=nn.Sequential(fc(), fc(), fc())[2:])
    assert said(model) == [
        ("kept-numbers", "'tail' is a Sequential numbered 1 to 2, as a slice is, which keeps the old numbers"),
        ("kept-numbers", "'end' is a Sequential numbered 2, as a slice is, which keeps the old numbers"),
    ]
    assert said(model.end) == [
        ("kept-numbers", "the model is a Sequential numbered 2, as a slice is, which keeps the old numbers")
    ]
    assert list(model.state_dict()) == ["tail.2.weight", "tail.2.bias", "end.2.weight", "end.2.bias"]


def test_lazy_modules() -> None:
    model = Net(blocks=nn.ModuleList(nn.LazyLinear(2) for _ in range(3)), norm=nn.LazyBatchNorm1d())
    assert said(model) == [
        (
            "lazy",
            "no shapes before the first forward, which changes the class, not the names: "
            "blocks.{0-2}, norm (LazyBatchNorm1d, LazyLinear)",
        )
    ]
    assert [message.rpartition(": ")[2] for _, message in said(nn.LazyLinear(2))] == ["the model (LazyLinear)"]
    ready = nn.Sequential(nn.LazyLinear(2))
    ready(torch.zeros(1, 3))
    assert said(ready) == []


def test_shapes_that_are_not_known_make_no_module_lazy() -> None:
    model = Net(part=nn.Linear(1, 1))
    model.part.weight = nn.UninitializedParameter()
    assert said(model) == [("lazy", "no shapes that are known yet: part (Linear)")]


def test_buffers_that_are_not_persistent() -> None:
    model = nn.ModuleList(Net() for _ in range(4))
    for module in model:
        module.register_buffer("inv_freq", torch.zeros(2), persistent=False)
        module.register_buffer("nothing", None, persistent=False)
    assert said(model) == [("not-persistent", "not persistent, so in no state dict: {0-3}.inv_freq")]
    assert list(model.state_dict()) == []


def test_the_worst_comes_first() -> None:
    model = Net(lazy=nn.LazyLinear(2), held=[fc()], tensor=torch.zeros(1))
    model.register_buffer("mask", torch.zeros(1), persistent=False)
    assert [finding.code for finding in examine(model)] == ["unregistered", "plain-tensor", "lazy", "not-persistent"]


def test_lines_are_those_where_it_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(
        Path("model.py"),
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
                self.held = []  # unregistered
                for _ in range(3):
                    self.held.append(nn.Linear(2, 2))
                self.anchors = torch.zeros(4)  # plain-tensor
                self.again = self.stem[0]  # registered-twice
                self.head = nn.PReLU(2)
                self.head.weight = self.stem[1].bias  # tied
                self.cut = nn.Sequential(nn.ReLU(), nn.PReLU())[1:]  # kept-numbers
        """,
    )
    model, record = built("model.py:Net")
    lines = path.read_text().splitlines()
    found = {finding.code: finding.place for finding in examine(model, record)}
    assert found.keys() == {"unregistered", "plain-tensor", "registered-twice", "tied", "kept-numbers"}
    for code, place in found.items():
        assert place is not None
        assert place.text == lines[place.line - 1].strip()
        assert place.text.endswith(f"# {code}")


def test_a_finding_of_a_model_in_memory_has_no_line() -> None:
    assert [finding.place for finding in examine(Net(held=[fc()]))] == [None]


def test_looking_changes_nothing() -> None:
    model = HARMLESS["what is registered elsewhere"]()
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    examine(model)
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before


def test_findings_agree_with_the_prediction() -> None:
    model = Net(a=fc(), held=[fc()])
    model.b = model.a
    findings: list[Finding] = examine(model)
    keys = list(ckptnames.predict(model))
    for finding in findings:
        for name in finding.names:
            assert any(key.startswith(name + ".") for key in keys) == (finding.code == "registered-twice")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_script_modules_are_looked_at_as_well() -> None:
    inner = torch.jit.script(nn.Sequential(fc(), nn.ReLU(), nn.BatchNorm1d(2)))
    assert said(inner) == []
    assert said(Net(inner=inner, held=[fc()])) == [
        ("unregistered", "'held' is a plain list: in no state dict, with 1 Linear (2 weights); use nn.ModuleList")
    ]
    steps = explain(Net(inner=inner), "inner.0.bias")["inner.0.bias"]
    assert [step.segment for step in steps] == ["inner", "0", "bias"]
