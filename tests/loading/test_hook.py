"""A hook under which torch's own ``load_state_dict`` takes old names."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames import errors
from tests.loading.test_stories import Versioned, assert_has


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 3), Versioned(3, 3))
        self.head = nn.Linear(3, 2)


RULES = "backbone.** -> encoder.**\nfc.** -> head.**"


def hooked() -> Net:
    net = Net()
    net.register_load_state_dict_pre_hook(ckptnames.load_hook(RULES))  # type: ignore[no-untyped-call]
    return net


def old() -> OrderedDict[str, torch.Tensor]:
    """Give the state dict that the model had when its attributes were called otherwise."""
    net = Net()
    before = nn.Module()
    before.add_module("backbone", net.encoder)
    before.add_module("fc", net.head)
    state: Any = before.state_dict()
    return state  # type: ignore[no-any-return]


def as_new(state: OrderedDict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.replace("backbone.", "encoder.").replace("fc.", "head."): value for key, value in state.items()}


def test_old_names_come_in() -> None:
    net, state = hooked(), old()
    net.load_state_dict(state)
    assert_has(net, as_new(state))


def test_new_names_come_in_as_they_are() -> None:
    net, state = hooked(), Net().state_dict()
    net.load_state_dict(state)
    assert_has(net, state)


def test_what_the_caller_gave_stays_as_it_was() -> None:
    net, state = hooked(), old()
    keys, versions = list(state), dict(state._metadata)  # type: ignore[attr-defined]
    for _ in range(2):
        net.load_state_dict(state)
        assert list(state) == keys
        assert dict(state._metadata) == versions  # type: ignore[attr-defined]


def test_a_hook_inside_a_wrapper() -> None:
    net, state = hooked(), old()
    nn.DataParallel(net).load_state_dict({f"module.{key}": value for key, value in state.items()})
    # Without `_metadata` the second layer is read as of version 1.
    assert_has(net, {**as_new(state), "encoder.1.bias": -state["backbone.1.bias"]})


def test_names_that_fit_neither_way_are_missed_by_torch() -> None:
    net, state = hooked(), old()
    del state["fc.bias"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "head.bias"'):
        net.load_state_dict(state)


def test_rules_that_clash_end_the_load_before_it_begins() -> None:
    net, state = hooked(), old()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state["head.weight"] = torch.ones(2, 3)
    with pytest.raises(errors.KeyCollision):
        net.load_state_dict(state)
    assert_has(net, before)


def test_names_that_change_places_are_not_guessed() -> None:
    net = nn.ModuleDict({"q": nn.Linear(2, 2), "k": nn.Linear(2, 2)})
    net.register_load_state_dict_pre_hook(ckptnames.load_hook("q.** -> k.**\nk.** -> q.**"))  # type: ignore[no-untyped-call]
    with pytest.raises(errors.ExchangedNames):
        net.load_state_dict(net.state_dict())
    with pytest.raises(errors.ExchangedNames):
        ckptnames.load(net, net.state_dict())


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_load_finds_the_rules_in_the_hook(prefix: str, wrap: Any, tmp_path: Path) -> None:
    net, state = hooked(), old()
    renamed: Any = OrderedDict((prefix + key, value) for key, value in state.items())
    renamed._metadata = OrderedDict((prefix + path, said) for path, said in state._metadata.items() if path)  # type: ignore[attr-defined]
    torch.save(renamed, tmp_path / "old.pt")
    report = ckptnames.load(wrap(net), tmp_path / "old.pt")
    assert report.notes == ("renamed by the load hook of the model",)
    assert_has(net, as_new(state))
    ckptnames.load(wrap(net), Net().state_dict())


def test_a_model_with_a_hook_can_be_copied_and_pickled() -> None:
    net, state = hooked(), old()
    net.load_state_dict(state)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        other.load_state_dict(state)
        assert_has(other, as_new(state))
