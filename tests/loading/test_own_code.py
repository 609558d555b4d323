"""What a model's own code does with what it is given: it gets real tensors, and what it takes none of is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames import errors
from ckptnames.loading.filling import Deferred


class Metric(nn.Module):
    """Keeps its state as metrics do: whatever the state dict holds becomes its attribute."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("seen", torch.full((2,), value))
        self.total: Any = torch.tensor(value)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        found = super().state_dict(*args, **kwargs)
        found[kwargs.get("prefix", "") + "total"] = self.total.detach()
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self.total = state_dict.pop(prefix + "total")
        self.seen = state_dict[prefix + "seen"]
        super()._load_from_state_dict(state_dict, prefix, *args)


class Measured(nn.Module):
    """A layer beside such a metric."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.fc, self.metric = nn.Linear(2, 2), Metric(value)


@pytest.mark.parametrize("assign", [False, True])
def test_what_own_code_keeps_is_a_tensor_that_no_file_changes(assign: bool, tmp_path: Path) -> None:
    path, model = tmp_path / "run.pt", Measured()
    torch.save(Measured(5.0).state_dict(), path)
    ckptnames.load(model, path, assign=assign)
    assert type(model.metric.total) is torch.Tensor
    torch.save(Measured(99.0).state_dict(), path)
    assert float(model.metric.total) == 5.0
    path.unlink()
    assert torch.equal(model.metric.seen, torch.full((2,), 5.0))


class Wrapping(nn.Linear):
    """Makes its parameter of what it is given, without asking torch to copy it."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self.weight = nn.Parameter(state_dict[prefix + "weight"])
        self.bias.data = state_dict[prefix + "bias"]


def test_own_code_may_make_a_parameter_of_what_it_gets(tmp_path: Path) -> None:
    wanted, model = nn.Linear(2, 2), Wrapping(2, 2)
    torch.save(wanted.state_dict(), tmp_path / "run.pt")
    assert set(ckptnames.load(model, tmp_path / "run.pt").matched) == {"weight", "bias"}
    assert torch.equal(model.weight, wanted.weight) and torch.equal(model.bias, wanted.bias)


class Dropping(nn.Module):
    """Leaves its head out of what it loads, and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(2, 2), nn.Linear(2, 2)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> None:
        # It looks at the head, which is not to take it.
        kept = {key: value for key, value in state_dict.items() if not (key.startswith("head") and value.ndim)}
        super().load_state_dict(kept, strict=False)


@pytest.mark.parametrize("source", ["file", "memory"])
def test_a_value_that_own_code_drops_without_a_word_is_missed(source: str, tmp_path: Path) -> None:
    torch.save(Dropping().state_dict(), tmp_path / "run.pt")
    given = tmp_path / "run.pt" if source == "file" else Dropping().state_dict()
    with pytest.raises(errors.LoadInterrupted, match=r"took no value for 'head\.weight'"):
        ckptnames.load(Dropping(), given)


def test_memory_for_another_dtype_is_not_taken_for_a_value(tmp_path: Path) -> None:
    torch.save(Dropping().half().state_dict(), tmp_path / "run.pt")
    with pytest.raises(errors.LoadInterrupted, match=r"took no value for 'head\.weight'") as info:
        ckptnames.load(Dropping(), tmp_path / "run.pt", dtype="file")
    assert "head.weight" in info.value.overwritten


def test_a_sparse_tensor_that_own_code_drops_is_missed() -> None:
    state = Dropping().state_dict()
    state["head.weight"] = state["head.weight"].to_sparse()
    with pytest.raises(errors.LoadInterrupted, match=r"took no value for 'head\.weight'"):
        ckptnames.load(Dropping(), state)


def without_b(_: nn.Module, state_dict: Any, prefix: str, *args: Any) -> None:
    del state_dict[prefix + "b.weight"]


class Halved(nn.Module):
    """Hides one of its parts from torch by a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.register_load_state_dict_pre_hook(without_b)  # type: ignore[no-untyped-call]


def test_a_value_that_a_hook_takes_out_is_missed_unless_it_is_tied_to_one_that_stays() -> None:
    model = Halved()
    with pytest.raises(errors.LoadInterrupted, match=r"took no value for 'b\.weight'"):
        ckptnames.load(model, {"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2)})
    model.b.weight = model.a.weight
    assert len(ckptnames.load(model, {"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2)}).matched) == 2


class Counting(nn.BatchNorm1d):
    """Begins to count anew."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked")
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_a_counter_that_own_code_drops_is_reported_as_kept() -> None:
    report = ckptnames.load(Counting(2), nn.BatchNorm1d(2))
    assert report.kept == ("num_batches_tracked",)
    assert "num_batches_tracked" not in report.matched


class Keeping(nn.Module):
    """Is given what stands for a tensor by a module of torch's, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.kept: dict[str, list[Any]] = {}


def test_what_stands_for_a_tensor_never_stays_in_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Keeping()
    torch.save(model.state_dict(), tmp_path / "run.pt")
    load = nn.Module._load_from_state_dict

    def keeping(module: nn.Module, state_dict: Any, prefix: str, *args: Any) -> None:
        model.kept.setdefault("all", []).extend(each for each in state_dict.values() if isinstance(each, Deferred))
        load(module, state_dict, prefix, *args)

    keeping.__module__ = nn.Module.__module__
    monkeypatch.setattr(nn.Module, "_load_from_state_dict", keeping)
    with pytest.raises(errors.LoadInterrupted, match="keeps in 'kept' what stands for a tensor"):
        ckptnames.load(model, tmp_path / "run.pt")
