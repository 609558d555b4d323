"""Every kind of source into every kind of model: equal bit for bit, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.errors import OtherNorm
from tests.loading.models import KINDS, NORMED, Net, values, whole_state

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
