"""Tables of other libraries: three real ones of each, held against what the library's own code makes of real keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ckptnames.errors import CannotExport, CannotTranslate
from ckptnames.interop import (
    Table,
    key_mapping,
    lint,
    mmengine_table,
    torchtune_table,
    transformers_table,
    vllm_table,
)
from ckptnames.rules import Rules, plan

FIXTURES = Path(__file__).parents[2] / "fixtures" / "interop"
READERS: dict[str, Callable[[Any, str], Table]] = {
    "mmengine": mmengine_table,
    "torchtune": torchtune_table,
    "transformers": transformers_table,
    "vllm": vllm_table,
}


class Real(NamedTuple):
    """A table, and what the library's own code makes of real keys."""

    table: Table
    becomes: dict[str, str | None]


def real_tables() -> dict[str, Real]:
    found = {}
    for library, reader in READERS.items():
        said = json.loads((FIXTURES / f"{library}.json").read_text(encoding="utf-8"))
        for name, each in said["tables"].items():
            found[f"{library}:{name}"] = Real(reader(each["table"], name), each["becomes"])
    return found


REAL = real_tables()
STACKED = {"vllm:WhisperForConditionalGeneration"}
WHOLE = [name for name in REAL if name.startswith("torchtune:") or name.endswith(":load_checkpoint")]


@pytest.mark.parametrize("library", READERS)
def test_three_real_tables_of_each_with_version_and_licence(library: str) -> None:
    said = json.loads((FIXTURES / f"{library}.json").read_text(encoding="utf-8"))
    assert len(said["tables"]) == 3
    assert said["library"] == library and said["version"] and said["copyright"]
    assert said["licence"] in ("Apache-2.0", "BSD-3-Clause")
    for each in said["tables"].values():
        assert sum(key != name for key, name in each["becomes"].items()) > 20


@pytest.mark.parametrize("name", REAL)
def test_a_table_does_what_the_library_does(name: str) -> None:
    table, becomes = REAL[name]
    assert {key: table(key) for key in becomes} == becomes


@pytest.mark.parametrize("name", REAL.keys() - STACKED)
def test_the_rules_do_what_the_library_does(name: str) -> None:
    table, becomes = REAL[name]
    rules = table.rules(becomes)
    assert {key: rules(key) for key in becomes} == becomes
    plan(list(becomes), rules).check()
    # Few rules, and not one for each key: they say what the table says.
    assert len(rules) <= 2 * len(table.entries) + 2


@pytest.mark.parametrize("name", WHOLE)
def test_what_says_whole_segments_becomes_rules_without_keys(name: str) -> None:
    table, becomes = REAL[name]
    rules = table.rules()
    assert {key: rules(key) for key in becomes} == becomes
    assert len(rules) == len(table.entries)


def test_prefixes_of_vllm_become_rules_without_keys() -> None:
    table, becomes = REAL["vllm:Qwen2VLForConditionalGeneration"]
    rules = table.rules()
    assert {key: rules(key) for key in becomes} == becomes


def test_what_is_stacked_is_refused_where_a_key_matches_it() -> None:
    table, becomes = REAL["vllm:WhisperForConditionalGeneration"]
    with pytest.raises(CannotTranslate, match=re.escape("puts a tensor into part 'k' of a larger one")):
        table.rules(becomes)
    kept = [key for key in becomes if "attn" not in key]
    rules = table.rules(kept)
    assert {key: rules(key) for key in kept} == {key: becomes[key] for key in kept}
    assert len(table.renames().entries) == 3
    query = "model.decoder.layers.0.self_attn.q_proj.bias"
    assert table.renames()(query) == query


@pytest.mark.parametrize(
    ("table", "keys", "found"),
    [
        # q_proj becomes qkv_proj, in which v_proj then matches.
        ([("q_proj", "qkv_proj"), ("v_proj", "qkv_proj")], ["a.q_proj.w"], [("cascading", 1)]),
        ([("k", "q"), ("q", "k")], ["a.k", "a.q"], [("ambiguous", 1), ("cascading", 1)]),
        ([(r"^module\.", ""), (r"^module\.net\.", "")], ["module.net.w"], [("shadowed", 1)]),
        ([(r"^module\.", ""), ("up_prj", "up")], ["module.w"], [("unused", 1)]),
        ([(r"^a\.", "x."), (r"^b\.", "x.")], ["a.w", "b.w"], [("ambiguous", 0), ("ambiguous", 1)]),
        ([(r"^module\.", "")], ["module.w"], []),
    ],
)
def test_lint_of_substitutions(table: Any, keys: list[str], found: list[tuple[str, int]]) -> None:
    assert [(each.code, each.number) for each in lint(mmengine_table(table), keys)] == found


def test_lint_of_what_is_replaced_once() -> None:
    table = vllm_table({"orig_to_new_substr": {"layer.": "layers."}})
    (found,) = lint(table, ["encoder.layer.0.layer.1.w", "decoder.layer.0.w"])
    assert (found.code, found.keys) == ("ambiguous", ("encoder.layer.0.layer.1.w",))
    wrong_place = transformers_table({"weight": "scale"})
    (found,) = lint(wrong_place, ["weight_norm.weight", "norm.weight"])
    assert (found.code, found.keys) == ("ambiguous", ("weight_norm.weight",))


def test_lint_of_real_tables() -> None:
    """Every entry of these that does nothing, or more than it says, for these keys."""
    found = {name: [(each.code, each.number) for each in lint(*real)] for name, real in REAL.items()}
    # One rotary buffer, which transformers no longer saves.
    assert found["torchtune:llama"] == [("unused", 5)]
    assert found["mmengine:load_checkpoint"] == found["mmengine:Flamingo"] == []
    # `.` for any character: what it strips is seven letters and one more.
    assert REAL["mmengine:Runner.load_checkpoint"].table("modules.fc.weight") == ".fc.weight"
    with pytest.raises(CannotTranslate, match=re.escape("makes '.fc.weight' of a key: 'modules.fc.weight'")):
        REAL["mmengine:Runner.load_checkpoint"].table.rules(["modules.fc.weight"])


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ({"w1": "w3", "w3": "w1"}, ["w1", "w3"]),
        ({"l.{}.a": "l.{}.b", "l.{}.b": "l.{}.c"}, ["l.0.a", "l.0.b", "l.12.a"]),
        ({"a": None, "b": "a"}, ["a", "b"]),
    ],
)
def test_a_whole_key_is_looked_up_once(table: dict[str, str | None], keys: list[str]) -> None:
    def looked_up(key: str) -> str | None:
        """As torchtune's ``get_mapped_key`` does it."""
        found = table[re.sub(r"\.\d+", ".{}", key)]
        number = re.search(r"\d+", key.partition(".")[2])
        return found.format(number[0]) if found and number else found

    read = torchtune_table(table)
    for key in keys:
        name = looked_up(key)
        assert read(key) == name
        for rules in (read.rules(), read.rules(keys)):
            assert rules.targets(key) == (() if name is None else (name,))


def test_two_keys_that_become_one_are_refused() -> None:
    with pytest.raises(CannotTranslate, match=re.escape("makes 'x.w' of several keys: 'a.w' and 'b.w'")):
        mmengine_table([("^a", "x"), ("^b", "x")]).rules(["a.w", "b.w"])


def test_what_is_left_out_is_dropped_in_few_lines() -> None:
    table = vllm_table({"orig_to_new_substr": {"rotary_emb.inv_freq": None}})
    rules = table.rules([f"layers.{n}.{leaf}" for n in range(32) for leaf in ("rotary_emb.inv_freq", "w")])
    assert str(rules) == "**.rotary_emb.inv_freq.** -> !drop ?\n"
    odd = vllm_table({"orig_to_new_regex": {r"layers\.[0-9]+\.rotary.*": None}})
    rules = odd.rules([f"layers.{n}.{leaf}" for n in range(32) for leaf in ("rotary_emb.inv_freq", "w")])
    assert str(rules) == "layers.{0-31}.rotary_emb.inv_freq -> !drop\n"


class WeightConverter:
    source_patterns = ("gate_proj", "up_proj")
    target_patterns = ("gate_up_proj",)
    operations = (object(),)


class PrefixChange:
    source_patterns = target_patterns = ("a",)


def test_of_transformers_objects_renamings_are_read_and_converters_refused() -> None:
    table = transformers_table([("^model.", ""), WeightConverter()])
    with pytest.raises(CannotTranslate, match="computes values"):
        table.rules(["model.0.gate_proj.weight"])
    assert str(table.rules(["model.0.norm.weight"])) == "model.** -> ** ?\n"
    with pytest.raises(CannotTranslate, match="is a kind of entry of its own"):
        transformers_table([PrefixChange()])


class TestExport:
    """``key_mapping`` says what rules say, or is refused."""

    @pytest.mark.parametrize("name", REAL.keys() - STACKED)
    def test_the_renames_of_real_tables(self, name: str) -> None:
        _, becomes = REAL[name]
        renamed = {key: value for key, value in becomes.items() if value is not None}
        rules = REAL[name].table.rules(renamed)
        table = transformers_table(key_mapping(rules, renamed))
        assert {key: table(key) for key in renamed} == renamed

    def test_wrappers(self) -> None:
        keys = ["module.model.layers.0.w", "module.model.layers.1.w", "module.lm_head.w"]
        assert key_mapping("module.** -> **", keys) == {r"^module\.": ""}
        assert key_mapping("** -> model.**", ["a.w", "b"]) == {"^": "model."}
        inner = key_mapping("**._orig_mod.** -> **.**", ["_orig_mod.a._orig_mod.w"])
        assert inner == {r"^_orig_mod\.a\._orig_mod\.": "a."}

    def test_what_stays_is_not_touched(self) -> None:
        keys = ["norm.weight", "layers.0.norm.weight", "layernorm.weight"]
        found = transformers_table(key_mapping("norm.** -> ln.**", keys))
        assert [found(key) for key in keys] == ["ln.weight", "layers.0.norm.weight", "layernorm.weight"]

    @pytest.mark.parametrize(
        ("rules", "keys", "said"),
        [
            ("q.** -> k.**\nk.** -> q.**", ["q.w", "k.w"], "would make 'q.w' of 'q.w', and not 'k.w'"),
            ("a.w -> !drop", ["a.w", "b.w"], "'a.w' is left out"),
            ("a.w -> a.w & b.w", ["a.w"], "'a.w' gets 2 names"),
        ],
    )
    def test_what_it_cannot_say(self, rules: str, keys: list[str], said: str) -> None:
        with pytest.raises(CannotExport, match=re.escape(said)):
            key_mapping(Rules.parse(rules), keys)
