"""Renames that engines in use get wrong, without a word. Here each is right, or an error that names the line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from ckptnames.errors import BadArithmetic, PartialPrefix, PlanError
from ckptnames.fixing.edits import Strip, rules_of_edits
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Plan, Rules, plan


def after(rules: str, *keys: str) -> list[str | None]:
    found = Rules.parse(rules)
    return [found(key) for key in keys]


def problems(made: Plan) -> list[str]:
    return [f"{p.code} {' '.join(p.targets or p.keys or p.where)}" for p in made.problems]


def named(keys: Iterable[str]) -> Manifest:
    return Manifest(dict.fromkeys(keys, TensorInfo("F32", (2, 2))))


class TestCascades:
    """Rules applied one after another, each to what the last one wrote."""

    def test_q_proj_to_qkv_proj_and_then_v_proj(self) -> None:
        rules = "\n".join(f"**.{p}_proj.** -> **.qkv_proj.{n}.**" for n, p in enumerate("qkv"))
        keys = [f"layers.0.attn.{p}_proj.weight" for p in "qkv"]
        assert after(rules, *keys) == [f"layers.0.attn.qkv_proj.{n}.weight" for n in range(3)]

    def test_q_proj_to_qkv_proj_alone_does_not_become_qkqkv_proj(self) -> None:
        rules = "**.q_proj.** -> **.qkv_proj.**\n**.v_proj.** -> **.qkv_proj.**"
        assert after(rules, "a.q_proj.weight") == ["a.qkv_proj.weight"]
        # Fusing is no rename: two tensors of one name are an error.
        assert problems(plan(["a.q_proj.weight", "a.v_proj.weight"], rules)) == ["key-collision a.qkv_proj.weight"]

    def test_a_swap(self) -> None:
        rules = "**.q_proj.** -> **.k_proj.**\n**.k_proj.** -> **.q_proj.**"
        made = plan(["a.q_proj.w", "a.k_proj.w"], rules)
        assert (made.mapping, made.problems) == ({"a.k_proj.w": "a.q_proj.w", "a.q_proj.w": "a.k_proj.w"}, ())

    @pytest.mark.parametrize("order", [1, -1])
    def test_chained_renames(self, order: int) -> None:
        rules = "\n".join(["conv1.** -> conv0.**", "conv2.** -> conv1.**", "conv3.** -> conv2.**"][::order])
        keys = [f"conv{n}.weight" for n in (1, 2, 3)]
        made = plan(keys, rules)
        assert made.mapping == {
            "conv0.weight": "conv1.weight",
            "conv1.weight": "conv2.weight",
            "conv2.weight": "conv3.weight",
        }
        assert made.problems == ()

    def test_chained_renames_by_arithmetic(self) -> None:
        assert plan([f"conv{n}.w" for n in (1, 2, 3)], "conv{i:d}.** -> conv{i-1}.**").mapping == {
            f"conv{n - 1}.w": f"conv{n}.w" for n in (1, 2, 3)
        }
        with pytest.raises(BadArithmetic):
            plan(["conv0.w"], "conv{i:d}.** -> conv{i-1}.**")

    def test_a_table_whose_entries_feed_each_other(self) -> None:
        # The same table gives `c.x` in one engine and `b.x` in another; here it is written which is meant.
        assert after("a.** -> b.**\nb.** -> c.**", "a.x", "b.x") == ["b.x", "c.x"]
        assert after("a.** -> b.**\n---\nb.** -> c.**", "a.x", "b.x") == ["c.x", "c.x"]

    def test_a_prefix_added_and_taken_off(self) -> None:
        rules = "model.** -> **\n** -> model.**"
        assert after(rules, "layers.0.w", "model.norm.w") == ["model.layers.0.w", "norm.w"]

    def test_a_prefix_of_a_prefix(self) -> None:
        assert after("m.** -> x.**\nmodel.** -> y.**", "model.w", "m.w") == ["y.w", "x.w"]

    def test_the_first_rule_that_matches_decides_and_not_the_last(self) -> None:
        assert after("a.{p} -> first.{p}\n** -> last.**", "a.w", "b.w") == ["first.w", "last.b.w"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_order_of_the_keys_does_not_count(self, order: int) -> None:
        keys = ["a.w", "b.w", "c.w"][::order]
        made = plan(keys, "a.** -> b.**\nb.** -> c.**\nc.** -> a.**")
        assert made.mapping == {"b.w": "a.w", "c.w": "b.w", "a.w": "c.w"}


class TestSubstrings:
    """Text that is found where it was not meant."""

    def test_weight_to_scale_on_weight_norm_weight(self) -> None:
        assert after("**.weight -> **.scale", "weight_norm.weight", "norm.weight_g") == [
            "weight_norm.scale",
            "norm.weight_g",
        ]

    def test_layers_3_inside_wav2vec_layers_3(self) -> None:
        assert after("wav2vec.layers.{i:d}.w -> L.{i}.w", "wav2vec.layers.3.w") == ["L.3.w"]
        assert after("layers.{i:d}.w -> L.{i}.w", "wav2vec.layers.3.w") == ["wav2vec.layers.3.w"]
        assert after("**.layers.{i:d}.w -> **.L.{i}.w", "wav2vec.layers.3.w") == ["wav2vec.L.3.w"]

    def test_the_first_number_of_a_key_is_not_its_layer(self) -> None:
        rule = "layers.{i:d}.experts.{e:d}.w -> h.{i}.mlp.{e}.w"
        assert after(rule, "layers.3.experts.5.w") == ["h.3.mlp.5.w"]
        assert after("wav2vec2.h{i:d}.w -> x.{i}.w", "wav2vec2.h7.w") == ["x.7.w"]

    def test_layers_1_is_not_layers_10(self) -> None:
        assert after("layers.1.** -> x.**", "layers.1.w", "layers.10.w", "layers.11.w") == [
            "x.w",
            "layers.10.w",
            "layers.11.w",
        ]

    @pytest.mark.parametrize(
        "key", ["mlp_module.layer0.weight", "attention_module.in_proj_v", "mymodule.w", "modules.w"]
    )
    def test_module_inside_another_word(self, key: str) -> None:
        assert after("module.** -> **", key, f"module.{key}") == [key, key]
        assert after("**.module.** -> **.**", key, f"module.{key}") == [key, key]

    def test_a_module_that_is_really_called_module(self) -> None:
        keys = ["module.conv1.module.weight_bar", "module.conv1.module.weight_u"]
        assert after("module.** -> **", *keys) == ["conv1.module.weight_bar", "conv1.module.weight_u"]
        # Who asks for every occurrence gets that, and the target says that it was wrong.
        made = plan(keys[:1], "**.module.** -> **.**", ["conv1.module.weight_bar"])
        assert problems(made)[0] == "unfilled-target conv1.module.weight_bar"

    def test_a_prefix_is_taken_off_once(self) -> None:
        assert after("module.** -> **", "module.module.w") == ["module.w"]
        assert after("module.module.** -> **", "module.module.w", "module.w") == ["w", "module.w"]

    def test_a_word_at_the_start_and_within(self) -> None:
        assert after("head.** -> **", "head.aux_head.weight") == ["aux_head.weight"]
        assert after("model.** -> **", "model.text_model.w", "image_proj_model.w") == [
            "text_model.w",
            "image_proj_model.w",
        ]

    @pytest.mark.parametrize(
        ("prefix", "other"),
        [
            ("mod", "mod_scored"),
            ("linear", "linear_layer"),
            ("embed_tokens", "embed_tokens_extra"),
            ("lora", "lora_head"),
        ],
    )
    def test_a_prefix_ends_at_a_dot(self, prefix: str, other: str) -> None:
        assert after(f"{prefix}.** -> x.**", f"{prefix}.w", f"{other}.w") == ["x.w", f"{other}.w"]

    def test_a_dot_is_no_wildcard(self) -> None:
        assert after("bert.** -> **", "bert.w", "bertXw", "bert_w") == ["w", "bertXw", "bert_w"]

    def test_a_blind_slice_of_seven_characters(self) -> None:
        assert after("module.** -> **", "module.fc.w", "encoder.fc.w") == ["fc.w", "encoder.fc.w"]

    def test_overlapping_dots(self) -> None:
        assert after("a.{i:d}.{j:d}.w -> b.{j}.{i}.w", "a.1.2.w") == ["b.2.1.w"]
        assert after("**.{i:d}.** -> **.n{i}.**", "a.1.2.w") == ["a.n1.n2.w"]

    def test_what_comes_back_at_the_end_of_the_rewritten_text(self) -> None:
        rule = "**._orig_mod.** -> **.**"
        keys = ["_orig_mod.net._orig_mod.0.w", "module._orig_mod.w", "_orig_mod._orig_mod.w"]
        assert after(rule, *keys) == ["net.0.w", "module.w", "w"]


class TestCaptures:
    def test_two_in_one_rule(self) -> None:
        assert after(r"a.{i:d}.b.{j:d}.** -> x.{i}.y.{j}.**", "a.3.b.5.weight") == ["x.3.y.5.weight"]

    def test_stars_before_a_slot_that_stands_behind_them(self) -> None:
        assert after("layers.{i}.x.**.w -> layers.{i}.x.**.v", "layers.3.x.foo.w") == ["layers.3.x.foo.v"]
        assert after("**.x.{i:d}.w -> {i}.**.w", "a.b.x.7.w") == ["7.a.b.w"]

    def test_a_number_beyond_the_range_is_not_lost(self) -> None:
        made = plan(["h.31.w", "h.32.w"], "h.{i:0..31}.w -> blk.{i}.w", ["blk.31.w", "blk.32.w"])
        assert problems(made) == ["unfilled-target blk.32.w", "unexpected-key h.32.w"]

    def test_index_arithmetic_is_undone_too(self) -> None:
        rules = Rules.parse("a.{i:d}.** -> b.{2*i+1}.**")
        assert rules.inverse(["a.4.w"])("b.9.w") == "a.4.w"


class TestCollisions:
    """Two tensors of one name: elsewhere the last, or the first in some order, wins."""

    def test_a_second_source_for_a_right_key(self) -> None:
        keys = ["up_proj.w", "up2_proj.w"]
        assert problems(plan(keys, "up2_proj.** -> up_proj.**", ["up_proj.w"])) == ["key-collision up_proj.w"]

    def test_base_layer_beside_what_it_wraps(self) -> None:
        rule = "**.base_layer.** -> **.**"
        assert problems(plan(["q.base_layer.weight", "q.weight"], rule)) == ["key-collision q.weight"]
        assert problems(plan(["q.base_layer.weight", "q.lora_A.weight"], rule)) == []

    def test_ema_and_live_copy(self) -> None:
        keys = ["model.w", "ema_model.w"]
        assert problems(plan(keys, "model.** -> **\nema_model.** -> **")) == ["key-collision w"]


class TestNothingIsLostInSilence:
    def test_a_typo(self) -> None:
        made = plan(["gate.w", "up.w"], "gate.** -> g.**\nup_prj.** -> u.**", ["g.w", "u.w"])
        assert [p.code for p in made.problems] == ["unmatched-rule", "unfilled-target", "unexpected-key"]

    def test_a_map_of_some_keys_only(self) -> None:
        made = plan(["wte.w", "h.0.w"], "h.{i:d}.** -> layers.{i}.**", ["embed.w", "layers.0.w"])
        assert problems(made) == ["unfilled-target embed.w", "unexpected-key wte.w"]

    def test_no_name_in_common(self) -> None:
        with pytest.raises(PlanError):
            plan([f"encoder.{n}.w" for n in range(9)], "", [f"model.encoder.{n}.w" for n in range(9)]).check()

    def test_a_key_below_a_tensor(self) -> None:
        assert problems(plan(["fc1.weight", "fc1.weight.bad_key"], "", ["fc1.weight"])) == [
            "unexpected-key fc1.weight.bad_key"
        ]

    def test_a_name_that_fits_with_a_shape_that_does_not(self) -> None:
        shapes: Mapping[str, tuple[int, ...]] = {"w2": (160, 64)}
        source = Manifest({key: TensorInfo("F32", shape) for key, shape in shapes.items()})
        target = Manifest({"down.w": TensorInfo("F32", (64, 160))})
        assert problems(plan(source, "w2 -> down.w", target)) == ["shape-mismatch down.w"]


class TestAppliedTwice:
    """A file that was converted already, or goes back the way it came."""

    def test_input_with_the_targets_names(self) -> None:
        made = plan(["layers.0.w"], "encoder.layers.** -> layers.**", ["layers.0.w"])
        assert (made.outcome, made.problems) == ("nothing-to-do", ())

    def test_the_way_back_does_not_double_a_prefix(self) -> None:
        rules = Rules.parse("encoder.layers.** -> layers.**")
        back = rules.inverse(["encoder.layers.0.w"])
        assert back("layers.0.w") == "encoder.layers.0.w"
        assert back("encoder.layers.0.w") == "encoder.layers.0.w"

    def test_a_prefix_added_twice_does_not_fit_the_target(self) -> None:
        made = plan(["model.w"], "** -> model.**", ["model.w"])
        assert problems(made) == ["unfilled-target model.w", "unexpected-key model.model.w"]


class TestHalfPrefixed:
    """A dict of which only some keys carry the prefix: its first key does not speak for the others."""

    KEYS = ("module.a.w", "module.b.w", "head.w")

    def test_stripping_says_both_halves(self) -> None:
        with pytest.raises(PartialPrefix) as caught:
            rules_of_edits([Strip("module")], named(self.KEYS))
        assert "2 of 3 keys" in str(caught.value)
        assert all(key in str(caught.value) for key in self.KEYS)

    def test_the_rest_may_be_keys_of_the_target_already(self) -> None:
        rules = rules_of_edits([Strip("module")], named(self.KEYS), named(["a.w", "b.w", "head.w"]))
        assert [rules(key) for key in self.KEYS] == ["a.w", "b.w", "head.w"]

    def test_a_rule_strips_where_it_stands(self) -> None:
        assert after("module.** -> **", *self.KEYS) == ["a.w", "b.w", "head.w"]

    def test_both_halves_of_one_name(self) -> None:
        assert problems(plan(["module.a.w", "a.w"], "module.** -> **")) == ["key-collision a.w"]


class TestWordsThatMeanTwoThings:
    def test_gamma_of_a_layer_norm_and_of_a_layer_scale(self) -> None:
        rules = "**.LayerNorm.{w:gamma|beta} -> **.LayerNorm.{w:weight|bias}"
        keys = ["h.0.LayerNorm.gamma", "h.0.LayerNorm.beta", "h.0.ls1.gamma", "h.0.beta"]
        assert after(rules, *keys) == ["h.0.LayerNorm.weight", "h.0.LayerNorm.bias", "h.0.ls1.gamma", "h.0.beta"]

    def test_too_eager_the_target_says_so(self) -> None:
        source, target = ["LayerNorm.gamma", "ls1.gamma"], ["LayerNorm.weight", "ls1.gamma"]
        made = plan(source, "**.gamma -> **.weight", target)
        assert problems(made) == ["unfilled-target ls1.gamma", "unexpected-key ls1.weight"]

    WEIGHT_NORM = "**.conv.weight_{w:g|v} -> **.conv.parametrizations.weight.{w:original0|original1}"

    def test_weight_v_of_weight_norm_and_of_attention(self) -> None:
        keys = ["conv.weight_g", "conv.weight_v", "qkv_proj.weight_v"]
        renamed = [
            "conv.parametrizations.weight.original0",
            "conv.parametrizations.weight.original1",
            "qkv_proj.weight_v",
        ]
        assert after(self.WEIGHT_NORM, *keys) == renamed
        made = plan(keys, "**.weight_{w:g|v} -> **.parametrizations.weight.{w:original0|original1}", renamed)
        assert problems(made)[0] == "unfilled-target qkv_proj.weight_v"

    def test_one_line_before_keeps_what_a_general_rule_would_take(self) -> None:
        rules = "**.qkv_proj.weight_v -> **.qkv_proj.weight_v\n**.weight_v -> **.original1"
        assert after(rules, "qkv_proj.weight_v", "conv.weight_v") == ["qkv_proj.weight_v", "conv.original1"]

    def test_both_ways(self) -> None:
        keys = ["a.conv.weight_g", "a.conv.weight_v"]
        rules = Rules.parse(self.WEIGHT_NORM)
        back = rules.inverse(keys)
        assert [back(rules(key) or "") for key in keys] == keys
