"""What a rename takes along, what it tells of, and what it refuses, in files that torch saved."""

from __future__ import annotations

import argparse
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.errors import EntryCollision, KeyCollision, ModuleNames, NoSuchContainer, NothingLeft, UneditablePickle
from ckptnames.fixing.fix import Prepared, prepare
from ckptnames.rules import Rules
from tests.fixing.checkpoints import Settings, load
from tests.torch_oracle import differences

STRIP = "module.** -> **"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def w(value: float = 0.0) -> torch.Tensor:
    return torch.tensor([value, value])


def fixed(content: Any, rules: str, **options: Any) -> Any:
    torch.save(content, "source.pt")
    Path("out.pt").unlink(missing_ok=True)
    ckptnames.fix("source.pt", "out.pt", rules=rules, **options)
    return load(Path("out.pt"))


def prepared(content: Any, rules: str, **options: Any) -> Prepared:
    torch.save(content, "source.pt")
    return prepare("source.pt", [Rules.parse(rules)], **options)


# Entries that are not tensors


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of this way of quantising
        yield


quantize: Any = torch.ao.quantization.quantize_dynamic


@pytest.mark.usefixtures("quiet")
def test_a_quantised_model_loads_after_its_prefix_is_stripped() -> None:
    quantised, other = (
        quantize(nn.Sequential(OrderedDict(fc=nn.Linear(3, 3), out=nn.Linear(3, 2))), {nn.Linear}, dtype=torch.qint8)
        for _ in range(2)
    )
    written = fixed(nn.DataParallel(quantised).state_dict(), STRIP)
    other.load_state_dict(written)
    given = torch.randn(4, 3)
    assert torch.equal(other(given), quantised(given))


class Stateful(nn.Module):
    """A module with a state that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.seen = 0

    def get_extra_state(self) -> Any:
        return {"seen": self.seen}

    def set_extra_state(self, state: Any) -> None:
        self.seen = state["seen"]


def test_extra_states_go_with_their_modules() -> None:
    model: Any = nn.Sequential(OrderedDict(a=Stateful(), b=Stateful()))
    model.a.seen = 7
    assert nn.DataParallel(model).state_dict().keys() >= {"module.a._extra_state"}
    loaded: Any = nn.Sequential(OrderedDict(a=Stateful(), b=Stateful()))
    loaded.load_state_dict(fixed(nn.DataParallel(model).state_dict(), STRIP))
    assert (loaded.a.seen, loaded.b.seen) == (7, 0)
    alone = fixed(Stateful().state_dict(), "** -> inner.**")
    assert list(alone) == [f"inner.{key}" for key in Stateful().state_dict()]


def test_what_is_no_part_of_a_module_stays() -> None:
    written = fixed({"fc.w": w(), "epoch": 3, "args": {"fc": 1}}, "** -> x.**")
    assert list(written) == ["x.fc.w", "epoch", "args"]


def test_a_module_that_is_left_out_takes_its_entries_along() -> None:
    content = {"head.w": w(), "head._extra_state": b"1", "body.w": w(), "body._extra_state": b"2"}
    assert list(fixed(content, "head.** -> !drop")) == ["body.w", "body._extra_state"]


def test_a_key_cannot_take_the_name_of_an_entry() -> None:
    with pytest.raises(EntryCollision) as caught:
        fixed({"module.epoch": w(), "epoch": 3}, STRIP)
    assert (caught.value.code, caught.value.target) == ("key-collision", "epoch")
    assert not Path("out.pt").exists()


# Containers


def test_one_object_under_two_names_is_renamed_once() -> None:
    state = {"module.a": w(1), "module.b": w(2)}
    written = fixed({"model": state, "best": state}, STRIP)
    assert list(written["model"]) == ["a", "b"]
    assert written["best"] is written["model"]
    copies = {"model": {"module.a": w()}, "ema": state, "ema_best": state}
    written = fixed(copies, STRIP, also=["ema"])
    assert list(written["ema"]) == ["a", "b"]
    assert written["ema_best"] is written["ema"]


def test_a_container_may_be_left_with_more_entries_than_tensors() -> None:
    content = {"model": {"a": w()}, "ema": {"decay": 0.9, "updates": 5, "a": w(1), "b": w(2)}}
    written = fixed(content, "a -> !drop", container="ema")
    assert list(written["ema"]) == ["decay", "updates", "b"]
    again = fixed(written, "b -> c", container="ema")
    assert list(again["ema"]) == ["decay", "updates", "c"]


def test_a_copy_with_keys_of_its_own_follows_the_rules() -> None:
    content = {"model": {"module.a": w()}, "model_ema": {"module.a": w(), "module.n_averaged": torch.tensor(3)}}
    written = fixed(content, STRIP, also=["model_ema"])
    assert [list(state) for state in written.values()] == [["a"], ["a", "n_averaged"]]


def test_a_copy_in_which_names_would_collide_is_refused() -> None:
    content = {"model": {"module.a": w(), "module.b": w()}, "model_ema": {"module.a": w(), "a": w()}}
    with pytest.raises(KeyCollision):
        fixed(content, STRIP, also=["model_ema"])


def test_nothing_stands_at_a_name_that_is_mistyped() -> None:
    for container in ("optimiser", "model.a", "optimizer.state.x"):
        with pytest.raises(NoSuchContainer):
            fixed({"model": {"module.a": w()}, "optimizer": {"state": {}}}, STRIP, also=[container])
    assert not Path("out.pt").exists()


def test_dropping_every_key_is_refused() -> None:
    with pytest.raises(NothingLeft):
        fixed({"model": {"a": w()}, "epoch": 1}, "** -> !drop")
    two = {"model": {"a": w()}, "ema": {"a": w()}}
    assert fixed(two, "** -> !drop", container="ema")["ema"] == {}


@pytest.mark.parametrize("content", [nn.Linear(2, 2), {"model": nn.Linear(2, 2), "epoch": 1}])
def test_a_module_that_was_pickled_whole_is_refused(content: Any) -> None:
    with pytest.raises(ModuleNames):
        fixed(content, "** -> x.**")
    with pytest.raises(ModuleNames):
        fixed(content, "** -> x.**", dry_run=True)
    assert not Path("out.pt").exists()


# What is told


def test_old_names_elsewhere_are_counted_by_place() -> None:
    names = ["module.a", "module.b"]
    content = {
        "model": {name: w() for name in names},
        "model_ema": {name: w() for name in names},
        "optimizer": {"state": {"module.a": {}}, "param_groups": [{"params": names}]},
        "frozen": ["module.a", "other"],
    }
    stale = dict(prepared(content, STRIP).remarks().stale)
    assert stale == {"model_ema": 2, "optimizer": 3, "frozen": 1}
    also = list(stale)
    assert prepared(content, STRIP, also=also).remarks().stale == ()
    written = fixed(content, STRIP, also=also)
    assert written["optimizer"] == {"state": {"a": {}}, "param_groups": [{"params": ["a", "b"]}]}
    assert written["frozen"] == ["a", "other"]


@pytest.mark.parametrize("protocol", [2, 4])
def test_old_names_are_found_wherever_they_stand(protocol: int) -> None:
    content = {
        "groups": [{"name": "module.a", "params": [0]}],
        "best": "module.a",
        "set": {"module.a"},
        "args": argparse.Namespace(frozen=("module.a",), best="module.a"),
        "settings": Settings(first="module.a"),
        "deep": {"state": {"net": {"module.a": w()}, "names": ["module.a"]}},
    }
    torch.save(content, "source.pt", pickle_protocol=protocol)
    stale = dict(prepare("source.pt", [Rules.parse(STRIP)]).remarks().stale)
    assert stale == {"groups": 1, "best": 1, "set": 1, "args": 2, "settings": 1, "deep.state.names": 1}
    ckptnames.fix("source.pt", "out.pt", STRIP, also=list(stale))
    expected = {
        "groups": [{"name": "a", "params": [0]}],
        "best": "a",
        "set": {"a"},
        "args": argparse.Namespace(frozen=("a",), best="a"),
        "settings": Settings(first="a"),
        "deep": {"state": {"net": {"a": w()}, "names": ["a"]}},
    }
    assert differences(expected, load(Path("out.pt"))) == []


def test_two_keys_of_an_optimizer_never_become_one() -> None:
    content = {"model": {"module.a": w()}, "optimizer": {"state": {"module.a": 1, "a": 2}}}
    with pytest.raises(UneditablePickle, match="two keys of one dict would become 'a'"):
        fixed(content, STRIP, also=["optimizer"])


def test_old_names_inside_the_container_are_found_too() -> None:
    content = {"module.a": w(), "module.b": w(), "frozen": ["module.a"]}
    assert prepared(content, STRIP).remarks().stale == (("frozen", 1),)
    assert fixed(content, STRIP, also=["frozen"])["frozen"] == ["a"]


def versions(**of_module: int) -> Any:
    state = OrderedDict({f"{module}.{module}w": w() for module in of_module})
    state._metadata = OrderedDict(  # type: ignore[attr-defined]
        {module: {"version": version} for module, version in of_module.items()}
    )
    return state


def test_modules_of_two_versions_that_become_one_are_told() -> None:
    rules = "{m}.{w} -> both.{w}"
    (conflict,) = prepared(versions(a=1, b=2), rules).remarks().conflicts
    assert conflict == ("both", "a", "b")
    assert prepared(versions(a=1, b=1), rules).remarks().conflicts == ()
    assert fixed(versions(a=1, b=2), rules)._metadata == {"both": {"version": 1}}


def test_what_stands_behind_a_legacy_file_stays_there() -> None:
    with Path("twice.pt").open("wb") as file:
        torch.save({"module.a": w(1), "module.b": w(2)}, file, _use_new_zipfile_serialization=False)
        first = file.tell()
        torch.save({"epoch": w(3)}, file, _use_new_zipfile_serialization=False)
    for n, rules in enumerate([STRIP, f"module.a -> !drop\n{STRIP}"]):
        ckptnames.fix("twice.pt", f"{n}.pt", rules=rules)
        second = Path("twice.pt").read_bytes()[first:]
        assert Path(f"{n}.pt").read_bytes().endswith(second)
        with Path(f"{n}.pt").open("rb") as file:
            assert list(torch.load(file, weights_only=True)) == [["a", "b"], ["b"]][n]
            assert torch.equal(torch.load(file, weights_only=True)["epoch"], w(3))
