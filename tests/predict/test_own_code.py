"""Own code of a model that has a say in its state dict is followed, on tensors without data, or said not to be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper, offload_wrapper
from torch.nn.utils import spectral_norm
from torch.utils._python_dispatch import TorchDispatchMode

import ckptnames
from ckptnames.errors import EndlessModel, NoStateDict, NotAModule
from ckptnames.prediction.live import answered
from tests.predict.agreement import as_said, as_saved, assert_predicts

Saved = dict[str, Any]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 2)
        self.tail = nn.Linear(3, 2)
        self.tail.weight = self.head.weight


def hooked(hook: Callable[..., Any], inside: str = "", register: str = "_register_state_dict_hook") -> Net:
    @functools.wraps(hook)
    def anew(*args: Any) -> Any:  # torch marks a function that is registered by the public way, for ever
        return hook(*args)

    model = Net()
    getattr(model.get_submodule(inside), register)(anew)
    return model


# Hooks.


def rename(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    for key in [key for key in saved if key.startswith(prefix)]:
        saved[prefix + "renamed." + key[len(prefix) :]] = saved.pop(key)


def cast(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    saved.update({key: value.half() if value.is_floating_point() else value for key, value in saved.items()})


def move(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    saved.update({key: value.to("cpu", copy=True) for key, value in saved.items()})


def split(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    for key in [key for key in saved if key.endswith("weight")]:
        saved[key + ".first"], saved[key + ".rest"] = saved[key][:1], saved.pop(key)[1:]


def drop(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    for key in [key for key in saved if key.endswith("bias")]:
        del saved[key]


def stack(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    saved[prefix + "all"] = torch.cat([value.flatten() for value in saved.values()])
    saved[prefix + "version"] = 3
    saved[prefix + "scale"] = torch.tensor([1.0, 2.0], dtype=torch.float64)


@pytest.mark.parametrize("inside", ["", "encoder", "encoder.1", "head"])
@pytest.mark.parametrize("register", ["_register_state_dict_hook", "register_state_dict_post_hook"])
@pytest.mark.parametrize("hook", [rename, cast, move, split, drop, stack], ids=lambda hook: hook.__name__)
def test_hooks_are_followed(hook: Callable[..., Any], register: str, inside: str) -> None:
    said = assert_predicts(hooked(hook, inside, register))
    place = f"'{inside}'" if inside else "the model"
    assert said.notes[0] == (
        f"the state-dict hook '{hook.__name__}' of {place} was run on tensors without data, "
        "and these are the names it gives"
    )


def test_a_hook_before_saving_is_followed_and_changes_nothing_here() -> None:
    def shrink(module: Any, prefix: str, keep_vars: bool) -> None:
        module.head.weight = nn.Parameter(module.head.weight.detach()[:1].clone())
        module.seen.append(prefix)

    model = hooked(shrink, register="register_state_dict_pre_hook")
    model.seen = []  # type: ignore[assignment]
    before = model.head.weight
    said = ckptnames.predict(model)
    assert model.head.weight is before
    assert model.seen == []
    assert as_said(said) == list(as_saved(model.state_dict()).items())
    assert said["head.weight"].shape == (1, 3)


def test_a_hook_that_is_a_method_meets_the_copy_of_its_own_module() -> None:
    class Counting(Net):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self._register_state_dict_hook(self.count)  # type: ignore[no-untyped-call]
            self._register_state_dict_hook(functools.partial(count_for, self))  # type: ignore[no-untyped-call]

        def count(self, module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
            assert module is self
            self.calls += 1
            saved[f"{prefix}own_{self.calls}"] = self.head.bias

    def count_for(self: Counting, module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
        assert module is self

    model = Counting()
    assert list(ckptnames.predict(model))[-1] == "own_1"
    assert model.calls == 0
    assert list(assert_predicts(model))[-1] == "own_1"


def test_one_note_for_many_modules_with_the_same_hook() -> None:
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(12)))
    for layer in model:
        layer._register_state_dict_hook(rename)  # type: ignore[no-untyped-call]
    assert ckptnames.predict(model).notes == (
        "the state-dict hook 'rename' of '0' and 11 more was run on tensors without data, "
        "and these are the names it gives",
    )


# Methods of its own.


class OwnSave(nn.Linear):
    def _save_to_state_dict(self, destination: Saved, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight_t"] = self.weight.t() if keep_vars else self.weight.detach().t()
        destination[prefix + "doubled"] = self.weight * 2


class OwnStateDict(nn.Linear):
    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        saved = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        saved[f"{prefix}kernel"] = saved.pop(f"{prefix}weight")
        return saved


class BareStateDict(nn.Linear):
    def state_dict(self) -> Any:  # type: ignore[override]
        return {"w": self.weight, "config": {"bias": True}}


@pytest.mark.parametrize(
    "make",
    [
        lambda: OwnSave(2, 3),
        lambda: nn.Sequential(OwnSave(2, 3), nn.ReLU(), OwnSave(1, 1)),
        lambda: OwnStateDict(2, 3),
        lambda: nn.Sequential(OwnStateDict(2, 3), nn.LazyLinear(3)),
        lambda: BareStateDict(2, 3),
    ],
)
def test_methods_of_its_own_are_followed(make: Callable[[], nn.Module]) -> None:
    assert "was run on tensors without data" in assert_predicts(make()).notes[0]


def test_a_method_put_on_one_module_is_followed() -> None:
    model = Net()
    usual = model.state_dict
    model.state_dict = lambda: {f"ema.{key}": value for key, value in usual().items()}  # type: ignore[assignment,method-assign]
    assert next(iter(assert_predicts(model))) == "ema.encoder.0.weight"


def test_what_own_code_makes_has_no_place_but_what_it_moves_keeps_it() -> None:
    found, _ = answered(hooked(stack))
    made = {entry.key: (entry.kind, entry.path, entry.leaf) for entry in found}
    assert made["head.weight"] == ("parameter", "head", "weight")
    assert made["all"] == ("made", "", "all")
    found, _ = answered(nn.Sequential(hooked(rename, "encoder")))
    moved = {entry.key: (entry.kind, entry.path, entry.leaf) for entry in found}
    assert moved["0.encoder.renamed.0.weight"] == ("parameter", "0.encoder.0", "weight")
    assert moved["0.encoder.renamed.1.running_mean"] == ("buffer", "0.encoder.1", "running_mean")


def test_an_entry_names_the_module_of_the_model_and_not_of_a_copy() -> None:
    model = hooked(rename)
    owners = {entry.key: entry.owner for entry in answered(model)[0]}
    assert owners["renamed.head.weight"] is model.head


# Code that cannot be followed is left out, and named.


def peek(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
    saved.clear()
    if module.get_parameter("weight").sum().item() > 0:
        saved["positive"] = 1


@pytest.mark.parametrize("inside", ["head", "encoder.0"])
def test_a_hook_that_asks_for_values_is_left_out(inside: str) -> None:
    said = ckptnames.predict(hooked(peek, inside))
    assert list(said) == list(Net().state_dict())
    assert said.notes == (
        f"the state-dict hook 'peek' of '{inside}' fails on tensors without data (DataDependentOutputException: "
        "aten._local_scalar_dense.default): these are the names without it",
    )


def test_what_fails_in_a_shared_module_is_named_once() -> None:
    model = hooked(peek, "head")
    model.add_module("again", model.head)
    assert len(ckptnames.predict(model).notes) == 1
    assert "'peek' of 'head' fails" in ckptnames.predict(model).notes[0]


def test_methods_that_fail_are_replaced_by_torchs_own() -> None:
    class Failing(nn.Linear):
        def _save_to_state_dict(self, destination: Saved, prefix: str, keep_vars: bool) -> None:
            destination[prefix + "half"] = 1
            raise OSError("no such file")

        def get_extra_state(self) -> Any:
            raise ValueError

    said = ckptnames.predict(nn.Sequential(Failing(1, 2), nn.Linear(2, 1)))
    assert list(said) == ["0.weight", "0.bias", "0._extra_state", "1.weight", "1.bias"]
    assert [note.partition(" (")[2].partition(")")[0] for note in said.notes[:2]] == [
        "OSError: no such file",
        "ValueError",
    ]


@pytest.mark.parametrize("answer", [["weight"], None, {1: torch.ones(1)}])
def test_an_answer_that_is_no_state_dict_is_refused(answer: Any) -> None:
    class Odd(nn.Linear):
        def state_dict(self) -> Any:  # type: ignore[override]
            return answer

    with pytest.raises(NoStateDict) as caught:
        ckptnames.predict(Odd(1, 1))
    assert caught.value.reason == {
        list: "gives a list",
        type(None): "gives a NoneType",
        dict: "has the key 1",
    }.get(type(answer))


# No tensor is copied, read or changed.


class _Refused(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} was called")


def test_without_own_code_no_operation_is_called_at_all() -> None:
    model = nn.Sequential(Net(), nn.LSTM(2, 3), nn.Embedding(3, 4))
    with _Refused():  # type: ignore[no-untyped-call]
        said = ckptnames.predict(model)
    assert as_said(said) == list(as_saved(model.state_dict()).items())


def test_own_code_may_copy_more_than_there_is_memory() -> None:
    model = hooked(move)
    model.register_buffer("huge", torch.zeros(1).expand(1 << 22, 1 << 22))
    said = ckptnames.predict(model)
    assert said["huge"].shape == (1 << 22, 1 << 22)
    assert said["huge"].nbytes == 4 << 44


def test_own_code_cannot_change_values_it_reaches_by_other_ways() -> None:
    def zero(module: nn.Module, saved: Saved, prefix: str, metadata: object) -> None:
        model.head.weight.data.zero_()
        model.get_buffer("encoder.1.running_mean").add_(1)
        saved["copy"] = model.head.weight.clone()

    model = hooked(zero)
    values = {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    assert ckptnames.predict(model)["copy"].shape == (2, 3)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        assert torch.equal(value, values[name])


def test_the_model_is_left_as_it_was() -> None:
    model = hooked(rename)
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    ckptnames.predict(model, wrap=["weight_norm@head", "spectral_norm=old@tail", "ddp"])
    ckptnames.canonical(model)
    after = {name: dict(vars(module)) for name, module in model.named_modules()}
    assert [list(facts) for facts in after.values()] == [list(facts) for facts in before.values()]
    for name, facts in after.items():
        assert all(facts[key] is value for key, value in before[name].items() if key != "training")
        assert not facts["_forward_pre_hooks"]
        assert list(facts["_parameters"]) == list(before[name]["_parameters"])


# What torch itself puts into state dicts.


@pytest.mark.parametrize("wrapper", [checkpoint_wrapper, offload_wrapper])
def test_activation_wrappers_take_their_segment_away(wrapper: Callable[[nn.Module], nn.Module]) -> None:
    model = Net()
    model.encoder[0] = wrapper(model.encoder[0])
    model.encoder = wrapper(model.encoder)  # type: ignore[assignment]
    said = assert_predicts(wrapper(model))
    assert list(said) == list(Net().state_dict())
    assert said.notes == ()


def test_the_old_spectral_norm_has_a_hook_that_names_nothing() -> None:
    assert assert_predicts(spectral_norm(nn.Linear(2, 3))).notes == ()


def test_script_modules(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning):
        script = torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    model = nn.Sequential(script, nn.LazyLinear(1))
    assert_predicts(model[0])
    assert_predicts(model)
    with pytest.warns(DeprecationWarning):
        torch.jit.save(script, tmp_path / "script.pt")
        loaded = torch.jit.load(tmp_path / "script.pt")  # type: ignore[no-untyped-call]
    assert list(assert_predicts(loaded)) == list(model[0].state_dict())


def test_traced_graphs() -> None:
    assert_predicts(torch.fx.symbolic_trace(Net().encoder))


# What is no model.


@pytest.mark.parametrize(("model", "text"), [(nn.Linear, "the class 'Linear'"), ({}, "a value of type 'dict'")])
def test_what_is_no_module_is_refused(model: Any, text: str) -> None:
    for call in (ckptnames.predict, ckptnames.canonical, lambda m: ckptnames.predict(m, wrap=["ddp"])):
        with pytest.raises(NotAModule, match=f"{text} is no module"):
            call(model)


def test_a_module_inside_itself_is_refused() -> None:
    model = Net()
    model.encoder.add_module("parent", model)
    with pytest.raises(RecursionError):
        model.state_dict()
    with pytest.raises(EndlessModel) as caught:
        ckptnames.predict(nn.Sequential(model))
    assert (caught.value.path, caught.value.itself) == ("0.encoder.parent", "0")
