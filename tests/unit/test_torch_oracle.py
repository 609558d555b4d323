"""The comparison that the real-checkpoint tests rest on sees what it should see."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.torch_oracle import differences


def checkpoint() -> dict[str, Any]:
    weight = torch.arange(12.0)
    shared = [1, 2]
    model = OrderedDict(a=weight[:6].view(2, 3), b=weight[6:].view(3, 2).t(), tied=weight)
    model.__dict__["_metadata"] = OrderedDict({"": {"version": 1}})
    return {"model": model, "lr": float("nan"), "lists": [shared, shared], "mean": np.ones(3), "steps": {1: (0, "x")}}


def test_two_of_a_kind_do_not_differ() -> None:
    assert differences(checkpoint(), checkpoint()) == []


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a bit": lambda c: c["model"]["a"].view(torch.int32)[0, 0].bitwise_xor_(1),
    "a negative zero": lambda c: c["model"]["a"][0, 0].neg_(),
    "an untied copy": lambda c: c["model"].update(tied=c["model"]["tied"].clone()),
    "other strides": lambda c: c["model"].update(b=c["model"]["b"].contiguous()),
    "another dtype": lambda c: c["model"].update(tied=c["model"]["tied"].double()),
    "order": lambda c: c["model"].move_to_end("a"),
    "a key": lambda c: c["model"].update(c=1),
    "metadata": lambda c: c["model"]._metadata[""].update(version=2),
    "no metadata": lambda c: c["model"].__dict__.pop("_metadata"),
    "a plain dict": lambda c: c.update(model=dict(c["model"])),
    "a number's type": lambda c: c["steps"].update({1: (False, "x")}),
    "a key's type": lambda c: c.update(steps={True: c["steps"][1]}),
    "an unshared list": lambda c: c.update(lists=[[1, 2], [1, 2]]),
    "an array": lambda c: c["mean"].fill(2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change: str) -> None:
    changed = checkpoint()
    CHANGES[change](changed)
    assert differences(checkpoint(), changed) != []
    assert differences(changed, checkpoint()) != []
