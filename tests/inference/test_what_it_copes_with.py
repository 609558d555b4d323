"""What inference must cope with, one small case each: the truth, or silence where names and shapes do not tell."""

from __future__ import annotations

import pytest

from ckptnames.inference.inference import inferred
from ckptnames.rules import Rules
from tests.inference.making import Shape, Shapes, infer_shapes, layers, manifest, pairs, sorted_source

D, WIDE, N = 8, 20, 3
META = {
    "attention.wq.weight": (D, D),
    "attention.wk.weight": (D, D),
    "attention.wv.weight": (D, D),
    "attention.wo.weight": (D, D),
    "feed_forward.w1.weight": (WIDE, D),
    "feed_forward.w2.weight": (D, WIDE),
    "feed_forward.w3.weight": (WIDE, D),
    "attention_norm.weight": (D,),
    "ffn_norm.weight": (D,),
}
HF = {
    "self_attn.q_proj.weight": (D, D),
    "self_attn.k_proj.weight": (D, D),
    "self_attn.v_proj.weight": (D, D),
    "self_attn.o_proj.weight": (D, D),
    "mlp.gate_proj.weight": (WIDE, D),
    "mlp.down_proj.weight": (D, WIDE),
    "mlp.up_proj.weight": (WIDE, D),
    "input_layernorm.weight": (D,),
    "post_attention_layernorm.weight": (D,),
}
STACK = {"body.0.conv.weight": (4, 3, 3, 3), "body.1.conv.weight": (5, 4, 3, 3), "body.2.conv.weight": (6, 5, 3, 3)}
SMALL = {
    f"block.{i}.{part}": shape
    for i in range(N)
    for part, shape in (("fc1.weight", (9, 4)), ("fc1.bias", (9,)), ("fc2.weight", (4, 9)), ("fc2.bias", (4,)))
}


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod.", "net.backbone.", "0.auto_model."])
def test_wrappers_and_prefixes_on_either_side(prefix: str) -> None:
    wrapped = {prefix + key: shape for key, shape in SMALL.items()}
    assert infer_shapes(wrapped, SMALL).mapping == {key: prefix + key for key in SMALL}
    assert infer_shapes(SMALL, wrapped).mapping == {prefix + key: key for key in SMALL}


def test_a_wrapper_in_the_middle() -> None:
    source = {key.replace(".fc", "._checkpoint_wrapped_module.fc"): shape for key, shape in SMALL.items()}
    assert infer_shapes(source, SMALL).mapping == pairs(source, SMALL)


def test_extra_keys_are_left_alone() -> None:
    source = {**SMALL, "ema.num_updates": (), "decoder.out.weight": (7, 2), "head.weight": (100, 4)}
    target = {**SMALL, "position_ids": (1, 77), "classifier.weight": (10, 4)}
    found = infer_shapes(source, target)
    assert found.mapping == {key: key for key in SMALL}
    assert set(found.unused_source) == {"ema.num_updates", "decoder.out.weight", "head.weight"}
    assert set(found.unfilled_target) == {"position_ids", "classifier.weight"}


def test_heads_and_position_embeddings_of_another_shape_are_never_mapped() -> None:
    source = {**SMALL, "pos_embed": (1, 197, 4), "head.weight": (1000, 4), "head.bias": (1000,)}
    target = {**SMALL, "pos_embed": (1, 577, 4), "head.weight": (10, 4), "head.bias": (10,)}
    found = infer_shapes(source, target)
    assert found.mapping == {key: key for key in SMALL}
    assert not found.complete


def test_a_head_for_another_task_is_not_taken_for_one_of_its_shape() -> None:
    source = {**SMALL, "cls.seq_relationship.weight": (2, 4), "cls.seq_relationship.bias": (2,)}
    target = {**SMALL, "qa_outputs.weight": (2, 4), "qa_outputs.bias": (2,)}
    assert infer_shapes(source, target).mapping == {key: key for key in SMALL}


@pytest.mark.parametrize("is_sorted", [False, True])
def test_attention_gate_and_up_and_norms_by_role_words(is_sorted: bool) -> None:
    source, target = layers("layers", N, META), layers("model.layers", N, HF)
    found = infer_shapes(sorted_source(source) if is_sorted else source, target)
    assert found.mapping == pairs(source, target)
    assert found.complete
    assert [caution.code for caution in found.cautions] == ["rotary-layout"]


def test_gate_and_up_that_names_do_not_tell_stay_open_without_order() -> None:
    mlp = {"mlp.fc_1.weight": (WIDE, D), "mlp.fc_2.weight": (WIDE, D), "mlp.proj.weight": (D, WIDE)}
    named = {"mlp.gate_proj.weight": (WIDE, D), "mlp.up_proj.weight": (WIDE, D), "mlp.down_proj.weight": (D, WIDE)}
    found = infer_shapes(sorted_source(layers("h", N, mlp)), sorted_source(layers("layers", N, named)))
    assert found.mapping == {f"layers.{i}.mlp.down_proj.weight": f"h.{i}.mlp.proj.weight" for i in range(N)}
    # One question for all layers, which differ in nothing.
    asked = {key for each in found.ambiguous for key in each.targets}
    assert asked == {"layers.0.mlp.gate_proj.weight", "layers.0.mlp.up_proj.weight"}


def test_encoder_and_decoder_of_one_shape() -> None:
    def side(name: str, parts: Shapes) -> Shapes:
        return layers(f"{name}.layers", 2, parts)

    source = {**side("encoder", META), **side("decoder", META)}
    target = {**side("model.decoder", HF), **side("model.encoder", HF)}
    found = infer_shapes(source, target)
    assert found.mapping == pairs([*side("decoder", META), *side("encoder", META)], target)


def test_self_and_cross_attention() -> None:
    ours = {f"{kind}.{p}_proj.weight": (D, D) for kind in ("self_attn", "encoder_attn") for p in "qkv"}
    theirs = {f"{kind}.{p}.weight": (D, D) for kind in ("SelfAttention", "EncDecAttention") for p in "qkv"}
    source, target = layers("decoder.layers", N, ours), layers("decoder.block", N, theirs)
    assert infer_shapes(sorted_source(source), target).mapping == pairs(source, target)


def test_indices_that_start_elsewhere() -> None:
    source, target = layers("layers", N, META, first=1), layers("layers", N, META)
    assert infer_shapes(sorted_source(source), target).mapping == pairs(source, target)


def test_stages_under_two_numbers() -> None:
    widths = (4, 8, 16)
    block = [("conv1.weight", 3), ("conv2.weight", 3)]
    source = {f"layer{s + 1}.{b}.{n}": (w, w, k, k) for s, w in enumerate(widths) for b in range(2) for n, k in block}
    target = {
        f"stages.{s}.layers.{b}.{n}": (w, w, k, k) for s, w in enumerate(widths) for b in range(2) for n, k in block
    }
    found = infer_shapes(source, target)
    assert found.mapping == pairs(source, target)
    assert len(list(found.rules)) == 1


def test_one_flat_number_to_two_nested_ones() -> None:
    widths = (4, 4, 8, 8, 16, 16)
    parts = (("in", 3), ("out", 1))
    source = {f"input_blocks.{n}.0.{p}.weight": (w, w, k, k) for n, w in enumerate(widths) for p, k in parts}
    target = {
        f"down_blocks.{n // 2}.resnets.{n % 2}.{p}.weight": (w, w, k, k) for n, w in enumerate(widths) for p, k in parts
    }
    found = infer_shapes(sorted_source(source), target)
    assert found.mapping == pairs(source, target)
    assert len(list(found.rules)) < len(widths)


def test_members_inserted_into_a_sequence() -> None:
    target = {key.replace("body.1", "body.3").replace("body.2", "body.6"): shape for key, shape in STACK.items()}
    assert infer_shapes(STACK, target).mapping == pairs(STACK, target)


@pytest.mark.parametrize("norm", ["LayerNorm", "norm"])
def test_gamma_and_beta(norm: str) -> None:
    source = layers("layer", N, {f"{norm}.gamma": (D,), f"{norm}.beta": (D,), "dense.weight": (WIDE, D)})
    target = layers("layer", N, {f"{norm}.weight": (D,), f"{norm}.bias": (D,), "dense.weight": (WIDE, D)})
    assert infer_shapes(source, target).mapping == pairs(source, target)


def test_weight_norm_old_and_new() -> None:
    old = layers("convs", N, {"weight_g": (6, 1, 1), "weight_v": (6, 4, 3), "bias": (6,)})
    at = "parametrizations.weight.original"
    new = layers("convs", N, {f"{at}0": (6, 1, 1), f"{at}1": (6, 4, 3), "bias": (6,)})
    assert infer_shapes(old, new).mapping == pairs(old, new)
    assert infer_shapes(new, old).mapping == pairs(new, old)


def test_two_whole_copies_are_never_mixed() -> None:
    source = {f"{copy}.{key}": shape for copy in ("student", "teacher") for key, shape in SMALL.items()}
    found = infer_shapes(source, SMALL)
    assert found.mapping == {}
    (asked,) = found.ambiguous
    assert {line.partition(".")[0] for line in asked.lines} == {"student", "teacher"}
    decided = infer_shapes({key: s for key, s in source.items() if key.startswith("teacher")}, SMALL)
    assert decided.mapping == {key: f"teacher.{key}" for key in SMALL}


def test_a_target_that_says_which_copy_it_wants_gets_that_copy() -> None:
    source = {f"{copy}.{key}": shape for copy in ("student", "teacher") for key, shape in SMALL.items()}
    target = {f"teacher.{key}": shape for key, shape in SMALL.items()}
    assert infer_shapes(source, target).mapping == {name: name for name in target}


def test_experts_by_the_hundred() -> None:
    parts = {"gate_proj.weight": (WIDE, D), "up_proj.weight": (WIDE, D), "down_proj.weight": (D, WIDE)}
    other = {"w1.weight": (WIDE, D), "w3.weight": (WIDE, D), "w2.weight": (D, WIDE)}
    target = layers("layers", 4, {f"mlp.experts.{e}.{p}": s for e in range(32) for p, s in parts.items()})
    source = layers("layers", 4, {f"ffn.experts.{e}.{p}": s for e in range(32) for p, s in other.items()})
    found = infer_shapes(sorted_source(source), target)
    assert found.mapping == pairs(source, target)
    assert len(list(found.rules)) <= 2


@pytest.mark.parametrize("is_sorted", [False, True])
def test_one_layer_alone_does_not_lend_its_norms(is_sorted: bool) -> None:
    source = {**layers("layers", 1, META), "final_norm.weight": (D,)}
    target = {**layers("model.layers", 1, HF), "model.norm.weight": (D,)}
    truth = pairs(source, target)
    found = infer_shapes(sorted_source(source) if is_sorted else source, target)
    assert found.mapping.items() <= truth.items()


def test_a_number_is_no_likeness() -> None:
    source = layers("blocks", N, {"norm2.weight": (D,), "quilmo.weight": (D,), "fc.weight": (WIDE, D)})
    target = layers("blocks", N, {"norm1.weight": (D,), "norm2.weight": (D,), "fc.weight": (WIDE, D)})
    found = infer_shapes(sorted_source(source), target)
    assert all(key == name or key.endswith("quilmo.weight") for name, key in found.mapping.items())


def test_names_that_say_nothing_stay_open() -> None:
    source = layers("h", N, {"zorvex.weight": (D, D), "glomp.weight": (D, D), "fc.weight": (WIDE, D)})
    target = layers("h", N, {"plutch.weight": (D, D), "drosk.weight": (D, D), "fc.weight": (WIDE, D)})
    found = infer_shapes(sorted_source(source), sorted_source(target))
    assert found.mapping == {f"h.{i}.fc.weight": f"h.{i}.fc.weight" for i in range(N)}
    assert found.ambiguous
    assert not found.complete


@pytest.mark.parametrize("lacking", ["lm_head.weight", "model.layers.3.q.weight", "model.norm.weight"])
def test_a_copy_that_lacks_a_tensor_is_a_copy_all_the_same(lacking: str) -> None:
    base: dict[str, Shape] = {"model.emb.weight": (50, 8), "model.norm.weight": (8,), "lm_head.weight": (50, 8)}
    base |= layers("model.layers", 4, {"q.weight": (8, 8), "k.weight": (8, 8), "norm.weight": (8,)})
    source = {f"{copy}.{key}": shape for copy in ("live", "ema") for key, shape in base.items()}
    del source[f"live.{lacking}"]
    found = infer_shapes(source, base)
    (question,) = found.ambiguous
    assert found.mapping == {}
    assert question.lines == ("live.** -> !drop", "ema.** -> !drop")
    chosen = inferred(manifest(source), manifest(base), Rules.parse("live.** -> !drop"))
    assert chosen.mapping == {key: f"ema.{key}" for key in base}


def test_signs_of_the_rule_language_in_a_name() -> None:
    found = infer_shapes({"c#.f1.w": (8, 4), "c#.f2.w": (4, 8)}, {"b#.f1.w": (8, 4), "b#.f2.w": (4, 8)})
    assert found.mapping == {"b#.f1.w": "c#.f1.w", "b#.f2.w": "c#.f2.w"}
