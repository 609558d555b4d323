"""``_metadata`` of a state dict follows its keys: held against what torch itself writes for the renamed model."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.rules import Rules
from ckptnames.rules.module_paths import Conflict, renamed_modules


def net() -> nn.Module:
    """Modules of several versions, one without keys of its own, one without any key below it."""
    block = nn.Sequential(OrderedDict(bn=nn.BatchNorm1d(4), act=nn.ReLU()))
    return nn.Sequential(OrderedDict(fc=nn.Linear(4, 4), block=block, out=nn.ModuleList([nn.Linear(4, 2)])))


def state(model: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = model.state_dict()
    return found


def metadata(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict(state_dict._metadata)  # type: ignore[attr-defined]
    return found


def renamed(model: nn.Module, rules: str) -> dict[str, Any]:
    return metadata(ckptnames.remap(state(model), rules=rules))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = net()


def paths(modules: Sequence[str], rules: str, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = Rules.parse(rules)
    return renamed_modules(modules, {key: found.targets(key) for key in keys})[0]


class TestAgainstTorch:
    def test_a_prefix_is_taken_off(self) -> None:
        wrapped = nn.DataParallel(net())
        assert renamed(wrapped, "module.** -> **") == metadata(state(net()))

    def test_a_prefix_is_added(self) -> None:
        made = renamed(net(), "** -> model.**")
        # Torch lists the root of the wrapper too: no key says that it is there, and torch reads {} where it is not.
        assert {"": {"version": 1}, **made} == metadata(state(Wrapped()))

    def test_a_segment_is_taken_out_everywhere(self) -> None:
        inner = nn.Sequential(OrderedDict(block=nn.DataParallel(net()), fc=nn.DataParallel(nn.Linear(1, 1))))
        plain = nn.Sequential(OrderedDict(block=net(), fc=nn.Linear(1, 1)))
        assert renamed(inner, "**.module.** -> **.**") == metadata(state(plain))

    def test_what_no_rule_names_stays(self) -> None:
        assert renamed(net(), "fc.weight -> fc.weight") == metadata(state(net()))

    def test_versions_go_where_the_keys_go(self) -> None:
        made = ckptnames.remap(state(net()), rules="block.bn.** -> norm.**")
        assert metadata(made)["norm"] == {"version": 2}
        # BatchNorm reads its version: without it, num_batches_tracked would be filled in anew.
        norm = nn.Sequential(OrderedDict(norm=nn.BatchNorm1d(4)))
        only = OrderedDict((key, value) for key, value in made.items() if key.startswith("norm."))
        only._metadata = made._metadata  # type: ignore[attr-defined]
        norm.load_state_dict(only)

    def test_the_source_is_not_touched(self) -> None:
        before = state(nn.DataParallel(net()))
        kept = copy.deepcopy(metadata(before)), list(before)
        ckptnames.remap(before, rules="module.** -> **")
        assert (metadata(before), list(before)) == kept

    @pytest.mark.parametrize("save", [torch.save, lambda s, p: torch.save(s, p, _use_new_zipfile_serialization=False)])
    def test_a_file_says_the_same(self, tmp_path: Path, save: Callable[[Any, str], None]) -> None:
        path = str(tmp_path / "a.pt")
        save(state(nn.DataParallel(net())), path)
        ckptnames.fix(path, tmp_path / "b.pt", rules="module.** -> **")
        assert metadata(torch.load(tmp_path / "b.pt")) == metadata(state(net()))


class TestWhereAModuleGoes:
    def test_its_own_keys_say_it(self) -> None:
        found = paths(["a", "a.b"], "a.b.** -> x.**\na.** -> y.**", ["a.w", "a.b.w"])
        assert found == {"a": ("y",), "a.b": ("x",)}

    def test_without_own_keys_those_below_say_it(self) -> None:
        assert paths(["a"], "a.b.** -> x.a.b.**", ["a.b.w"]) == {"a": ("x.a",)}

    def test_without_any_key_the_nearest_renamed_module_above_says_it(self) -> None:
        assert paths(["a", "a.act"], "a.** -> x.**", ["a.w"]) == {"a": ("x",), "a.act": ("x.act",)}
        assert paths(["a.b.act"], "a.** -> x.**\n", ["a.w"]) == {"a.b.act": ("x.b.act",)}

    def test_without_any_word_it_stays(self) -> None:
        assert paths(["a", "other"], "a.** -> x.**", ["a.w"]) == {"a": ("x",), "other": ("other",)}

    def test_a_new_last_segment_says_something_of_its_own_module_only(self) -> None:
        assert paths(["", "a"], "a.gamma -> x.weight", ["a.gamma"]) == {"": ("",), "a": ("x",)}

    def test_what_keeps_its_last_segment_says_more(self) -> None:
        found = paths(["bn"], "bn.weight -> norm.scale\nbn.bias -> norm2.bias", ["bn.weight", "bn.bias"])
        assert found == {"bn": ("norm2",)}

    def test_keys_that_part_take_a_copy_each(self) -> None:
        found = paths(["a"], "a.w -> x.w\na.b -> y.b", ["a.w", "a.b"])
        assert found == {"a": ("x", "y")}

    def test_the_keys_that_remain_keep_theirs(self) -> None:
        assert paths(["a"], "a.w -> x.w", ["a.w", "a.b"]) == {"a": ("x", "a")}

    def test_two_names_of_one_key_are_two_modules(self) -> None:
        assert paths(["emb"], "emb.w -> emb.w & head.w", ["emb.w"]) == {"emb": ("emb", "head")}

    def test_a_module_without_keys_left_has_no_path(self) -> None:
        assert paths(["a", "b"], "a.** -> !drop", ["a.w", "b.w"]) == {"a": (), "b": ("b",)}

    def test_mlp_module_is_no_module(self) -> None:
        found = paths(["mlp_module", "module"], "module.** -> **", ["module.w", "mlp_module.w"])
        assert found == {"mlp_module": ("mlp_module",), "module": ("",)}


class TestConflicts:
    """Two modules with one new path: one has it, and the other is named."""

    RULES = "a.weight -> c.weight\nb.bias -> c.bias"

    def test_the_first_has_it(self) -> None:
        found = Rules.parse(self.RULES)
        names = {key: found.targets(key) for key in ("a.weight", "b.bias")}
        assert renamed_modules(["a", "b"], names) == ({"a": ("c",), "b": ()}, [Conflict("c", "a", "b")])

    def test_own_keys_come_before_a_module_above(self) -> None:
        names = {"a.w": ("c.w",), "b.x.w": ("c.y.w",)}
        found, conflicts = renamed_modules(["a.y", "b.x"], names)
        assert (found, conflicts) == ({"a.y": (), "b.x": ("c.y",)}, [Conflict("c.y", "b.x", "a.y")])


def test_a_key_of_ten_thousand_segments() -> None:
    keys = [".".join("m" * 10_000) + f".{n}.w" for n in range(50)]
    start = time.process_time()
    found, _ = renamed_modules(["", "m", "m.m"], {key: (f"x.{key}",) for key in keys})
    assert time.process_time() - start < 10  # a path for each of the segments would be a gigabyte of text
    assert found == {"": ("x",), "m": ("x.m",), "m.m": ("x.m.m",)}
