"""The state of an optimizer goes where its parameter went, or nowhere."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

import ckptnames
from ckptnames import errors

RULES = "conv.** -> body.**\nfc.** -> head.**"


def net(*names: str) -> nn.Module:
    return nn.Sequential(OrderedDict((name, nn.Linear(3, n + 2)) for n, name in enumerate(names)))


def net_in_order(*names: str) -> nn.Module:
    sizes = {"conv": 2, "body": 2, "fc": 3, "head": 3}
    return nn.Sequential(OrderedDict((name, nn.Linear(3, sizes[name])) for name in names))


def stepped(model: nn.Module, named: bool = False) -> torch.optim.Optimizer:
    """Give an optimizer whose moments tell its parameters apart."""
    optimizer = torch.optim.Adam(model.named_parameters() if named else model.parameters())
    for n, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, n + 1.0)
    optimizer.step()
    return optimizer


def moments(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: optimizer.state[parameter]["exp_avg"] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("order", [("body", "head"), ("head", "body")])
def test_names_in_the_groups_put_positions_in_order(order: tuple[str, str]) -> None:
    before, after = net_in_order("conv", "fc"), net_in_order(*order)
    old = stepped(before, named=True)
    new = torch.optim.Adam(after.named_parameters())
    given = old.state_dict()
    keys = [list(group["params"]) for group in given["param_groups"]]
    new.load_state_dict(ckptnames.remap_optimizer(given, RULES, model=after))
    assert [list(group["params"]) for group in given["param_groups"]] == keys
    had, has = moments(old, before), moments(new, after)
    for name, other in (("conv", "body"), ("fc", "head")):
        for leaf in ("weight", "bias"):
            assert torch.equal(had[f"{name}.{leaf}"], has[f"{other}.{leaf}"])


def test_groups_of_their_own() -> None:
    before, after = net_in_order("conv", "fc"), net_in_order("head", "body")
    groups = [
        {"params": [(n, p) for n, p in before.named_parameters() if n.endswith(end)]} for end in ("weight", "bias")
    ]
    old = torch.optim.Adam(groups)
    for n, parameter in enumerate(before.parameters()):
        parameter.grad = torch.full_like(parameter, n + 1.0)
    old.step()
    new = torch.optim.Adam(
        [{"params": [(n, p) for n, p in after.named_parameters() if n.endswith(end)]} for end in ("weight", "bias")]
    )
    new.load_state_dict(ckptnames.remap_optimizer(old.state_dict(), RULES, model=nn.DataParallel(after)))
    had, has = moments(old, before), moments(new, after)
    assert torch.equal(had["fc.bias"], has["head.bias"])
    assert torch.equal(had["conv.weight"], has["body.weight"])


@pytest.mark.parametrize("flat", [False, True])
def test_state_by_name(flat: bool) -> None:
    before, after = net_in_order("conv", "fc"), net_in_order("body", "head")
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    state: Any = get_optimizer_state_dict(before, stepped(before), options=options)
    wanted: Any = get_optimizer_state_dict(after, stepped(after), options=options)
    renamed = ckptnames.remap_optimizer(state, RULES)
    assert renamed.keys() == wanted.keys()
    if flat:
        assert torch.equal(renamed["state.body.weight.exp_avg"], state["state.conv.weight.exp_avg"])
        assert renamed["param_groups.head.bias.lr"] == state["param_groups.fc.bias.lr"]
    else:
        assert renamed["state"].keys() == wanted["state"].keys()
        assert renamed["param_groups"][0]["params"] == wanted["param_groups"][0]["params"]
        assert renamed["state"]["body.weight"] is state["state"]["conv.weight"]


def test_positions_that_stay_right() -> None:
    before, after = net_in_order("conv", "fc"), net_in_order("body", "head")
    state = stepped(before).state_dict()
    assert ckptnames.remap_optimizer(state, RULES, model=after, weights=before.state_dict()) == state


def test_positions_that_would_part_from_their_parameters() -> None:
    before, after = net_in_order("conv", "fc"), net_in_order("head", "body")
    with pytest.raises(errors.MisalignedOptimizer, match="another parameter") as info:
        ckptnames.remap_optimizer(stepped(before).state_dict(), RULES, model=after, weights=before)
    assert info.value.evidence[0] == "position 0: 'body.weight' before, 'head.weight' in the model"


@pytest.mark.parametrize("given", ["model", "weights", "neither"])
def test_positions_of_which_nothing_tells(given: str) -> None:
    before = net_in_order("conv", "fc")
    options: dict[str, Any] = {} if given == "neither" else {given: before}
    with pytest.raises(errors.MisalignedOptimizer, match="nothing says which parameter is meant"):
        ckptnames.remap_optimizer(stepped(before).state_dict(), **options)


def test_positions_of_another_count_or_shape() -> None:
    before, more = net_in_order("conv", "fc"), net("conv", "fc", "new")
    state = stepped(before).state_dict()
    with pytest.raises(errors.MisalignedOptimizer, match="it has 4 parameters, the checkpoint 4, and the model 6"):
        ckptnames.remap_optimizer(state, model=more, weights=before)
    state["state"][0]["exp_avg"] = torch.zeros(3, 3)
    with pytest.raises(errors.MisalignedOptimizer, match="another shape"):
        ckptnames.remap_optimizer(state, model=before, weights=before)


def test_positions_in_several_groups() -> None:
    model = net_in_order("conv", "fc")
    groups = [{"params": list(layer.parameters())} for layer in model.children()]
    state = torch.optim.SGD(groups, lr=0.1, momentum=0.9).state_dict()
    with pytest.raises(errors.MisalignedOptimizer, match="several groups"):
        ckptnames.remap_optimizer(state, model=model, weights=model)


def test_names_that_the_model_does_not_have() -> None:
    before = net_in_order("conv", "fc")
    with pytest.raises(errors.MisalignedOptimizer, match="no such parameters"):
        ckptnames.remap_optimizer(stepped(before, named=True).state_dict(), model=net_in_order("body", "head"))


def test_rules_that_clash_or_leave_out() -> None:
    state = stepped(net_in_order("conv", "fc"), named=True).state_dict()
    with pytest.raises(errors.KeyCollision):
        ckptnames.remap_optimizer(state, "conv.** -> x.**\nfc.** -> x.**")
    with pytest.raises(errors.MisalignedOptimizer, match="leave out"):
        ckptnames.remap_optimizer(state, "conv.** -> !drop")
