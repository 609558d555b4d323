"""What is saved carries no wrapper's names, and comes back through torch, safetensors and ``load``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model
from torch import nn
from torch.optim.swa_utils import AveragedModel

import ckptnames
from ckptnames import errors
from tests.loading.models import KINDS, NORMED, Net
from tests.loading.test_stories import assert_has


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - NORMED))
def test_names_are_those_without_wrappers(kind: str, process_group: None, quiet: None) -> None:
    plain = Net(seed=1)
    model = KINDS[kind](Net(seed=1))
    state = ckptnames.canonical_state_dict(model)
    assert state.keys() == plain.state_dict().keys()
    other = Net(seed=2)
    other.load_state_dict({key: getattr(value, "full_tensor", lambda v=value: v)() for key, value in state.items()})
    assert_has(other, plain.state_dict())


def test_versions_come_along() -> None:
    state: Any = ckptnames.canonical_state_dict(nn.DataParallel(nn.Sequential(nn.DataParallel(Net()))))
    assert state._metadata["0.encoder.1"] == {"version": 2}
    assert state._metadata == nn.Sequential(Net()).state_dict()._metadata  # type: ignore[attr-defined]


def test_one_name_of_a_tied_weight() -> None:
    both = ckptnames.canonical_state_dict(nn.DataParallel(Net()))
    one = ckptnames.canonical_state_dict(nn.DataParallel(Net()), tied=False)
    assert both.keys() - one.keys() == {"head.weight"}


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel, AveragedModel])
@pytest.mark.parametrize("name", ["m.pt", "m.safetensors", "m.ckpt"])
def test_saving_and_loading(name: str, wrap: Any, tmp_path: Path) -> None:
    ckptnames.save(wrap(Net(seed=1)), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    target = Net(seed=2)
    ckptnames.load(nn.DataParallel(target), tmp_path / name)
    assert_has(target, Net(seed=1).state_dict())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - NORMED))
@pytest.mark.parametrize("name", ["m.pt", "m.safetensors"])
def test_any_kind_of_model_makes_a_plain_file(
    name: str, kind: str, process_group: None, quiet: None, tmp_path: Path
) -> None:
    ckptnames.save(KINDS[kind](Net(seed=1)), tmp_path / name)
    target = Net(seed=2)
    assert ckptnames.load(target, tmp_path / name).renamed.keys() <= {"head.weight"}
    assert_has(target, Net(seed=1).state_dict())


def test_others_read_what_was_saved(tmp_path: Path) -> None:
    ckptnames.save(nn.DataParallel(Net(seed=1)), tmp_path / "m.safetensors")
    target = Net(seed=2)
    load_model(target, str(tmp_path / "m.safetensors"))
    assert_has(target, Net(seed=1).state_dict())
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "head.weight": "module.weight"}
    ckptnames.save(nn.DataParallel(Net(seed=1)), tmp_path / "m.pt", beside={"epoch": 3})
    saved = torch.load(tmp_path / "m.pt", weights_only=True)
    assert saved["epoch"] == 3
    Net().load_state_dict(saved["state_dict"])


def test_a_file_that_stands_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"before")

    class Unsaveable:
        def __reduce__(self) -> Any:
            raise RuntimeError("not this one")

    with pytest.raises(errors.CannotWrite, match="not this one"):
        ckptnames.save(Net(), path, beside={"run": Unsaveable()})
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_safetensors_cannot_hold(tmp_path: Path) -> None:
    class Counting(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {}

    with pytest.raises(errors.CannotWrite, match="_extra_state"):
        ckptnames.save(Counting(2, 2), tmp_path / "m.safetensors")
    with pytest.raises(errors.CannotWrite, match="beside"):
        ckptnames.save(nn.Linear(2, 2), tmp_path / "m.safetensors", beside={"epoch": 3})
    with pytest.raises(errors.CannotWrite):
        ckptnames.save(nn.Linear(2, 2), tmp_path / "nowhere" / "m.pt")
    assert list(tmp_path.iterdir()) == []
