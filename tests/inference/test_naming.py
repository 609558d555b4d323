"""What names say: roles, places, and when two of them cannot be one thing."""

from __future__ import annotations

import pytest

from ckptnames.inference.naming.company import told_by_members
from ckptnames.inference.naming.places import gate_and_up, in_order, norm_places
from ckptnames.inference.naming.vocabulary import LOOSE, OPPOSITE, PHRASES, SILENT, SYNONYMS, TELLING
from ckptnames.inference.naming.words import (
    OBJECTION,
    counts_otherwise,
    ends_alike,
    likeness,
    meaning,
    telling_likeness,
)

SAME_ROLE = [
    ("attention.wq", "self_attn.q_proj"),
    ("attention.self.query", "attn.to_q"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.dense_4h_to_h", "mlp.fc2"),
    ("tok_embeddings", "embed_tokens"),
    ("wpe", "position_embeddings"),
]
OTHER_ROLE = [
    ("attention.wq", "self_attn.k_proj"),
    ("attention.self.value", "attn.to_k"),
    ("encoder.layers.attn", "decoder.layers.attn"),
    ("self_attn.q_proj", "encoder_attn.q_proj"),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("lora_A", "lora_B"),
    ("tok_embeddings", "position_embeddings"),
    ("self_attention.wo", "DenseReluDense.wo"),
    ("attn", "mlp"),
    ("attention.output.dense", "output.dense"),
    ("mlp.up", "mlp.down"),
    ("left", "right"),
    ("visual.ln_pre", "embeddings.class_embedding"),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME_ROLE)
def test_words_of_one_role_are_alike(ours: str, theirs: str) -> None:
    assert likeness(ours, theirs) > 1
    assert likeness(theirs, ours) > 1


@pytest.mark.parametrize(("ours", "theirs"), OTHER_ROLE)
def test_words_of_two_roles_object(ours: str, theirs: str) -> None:
    assert likeness(ours, theirs) == likeness(theirs, ours) == OBJECTION


def test_context_changes_meaning() -> None:
    assert meaning("attn.proj")["projection"] == {"output"}
    assert "projection" not in meaning("mlp.proj")
    assert meaning("mlp.wo")["feed-forward"] == {"down"}
    assert "projection" not in meaning("post_attention_layernorm.query")
    assert "feed-forward" not in meaning("DenseReluDense.wi_0")
    assert meaning("DenseReluDense.wi")["feed-forward"] == {"in"}


def test_a_number_of_a_list_belongs_to_no_word() -> None:
    assert meaning("layer.1.mlp.c_proj")["feed-forward"] == {"down"}
    assert "feed-forward" not in meaning("layer1.0.x")
    assert meaning("mlp.lin1")["feed-forward"] == {"in"}


def test_a_bare_projection_is_no_query() -> None:
    assert likeness("proj", "key") < -1 < likeness("proj", "output.dense")


def test_names_end_alike_by_role_or_word() -> None:
    assert ends_alike("attention.output.dense", "attn.proj")
    assert ends_alike("encoder.norm", "final_layer_norm")
    assert not ends_alike("attn.fexidy", "attention.query")
    assert not ends_alike("attn.fexidy", "attn.kwindo")


MEMBERS = [
    (["b.0.mixer.q", "b.0.mixer.k", "b.0.mixer.out"], "mixer_attention"),
    (["b.0.mixer.value", "b.0.mixer.x", "b.0.mixer.output.dense"], "mixer_attention"),
    (["b.0.mixer.wi_0", "b.0.mixer.x", "b.0.mixer.wo"], "mixer_mlp"),
    (["b.0.mixer.w1", "b.0.mixer.w2", "b.0.mixer.w3"], "mixer_mlp"),
    (["b.0.mixer.fc1", "b.0.mixer.fc2"], "mixer_mlp"),
    (["b.0.mixer.x", "b.0.mixer.y"], None),
    (["b.0.mixer.q", "b.0.mixer.k", "b.0.mixer.norm1"], None),
    (["mixer.0.q", "mixer.0.k", "mixer.0.v"], None),
    (["mixer.thing.q", "mixer.thing.k", "mixer.thing.v"], None),
]


@pytest.mark.parametrize(("members", "told"), MEMBERS)
def test_a_word_that_says_nothing_is_told_by_its_members(members: list[str], told: str | None) -> None:
    keys = [f"{member}.weight" for member in members]
    assert told_by_members(keys, ["b.0.attn.q.weight"]).get("mixer") == told
    # What both sides call the same needs no telling.
    assert "mixer" not in told_by_members(keys, ["b.0.mixer.q.weight"])


def test_what_all_names_of_a_side_say_is_no_evidence() -> None:
    alone = telling_likeness(["mlp.norm_x", "mlp.norm_y"], ["ffn.norm_z", "ffn.norm_v"])
    assert len(set(alone.values())) == 1
    vectors = telling_likeness(["attention_norm", "quilmo"], ["ln_a", "plutch"], are_norms=True)
    assert vectors["attention_norm", "ln_a"] <= 0.2


def test_another_number_is_another_part() -> None:
    assert counts_otherwise("conv1", "conv2")
    assert counts_otherwise("a.bn1", "b.norm2")
    assert not counts_otherwise("conv1", "fc2")
    assert not counts_otherwise("conv", "conv2")


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["input_layernorm", "post_attention_layernorm"], [1, 4]),
        (["attention_norm", "ffn_norm"], [1, 4]),
        (["norm1", "norm2"], [1, 4]),
        (["layernorm_before", "layernorm_after"], [1, 4]),
        (["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"], [1, 3, 4]),
        (["layer.2.input_layernorm"], [1]),
    ],
)
def test_places_of_norms(names: list[str], places: list[int]) -> None:
    assert list(norm_places(names, names).values()) == places


def test_a_norm_beside_a_cross_attention_that_is_numbered_alone_has_no_place() -> None:
    names = ["norm1", "norm2", "norm3"]
    assert norm_places(names, [*names, "self_attn.q", "cross_attn.q"]) == {}
    assert list(norm_places(names, [*names, "multihead_attn.q"]).values()) == [1, 3, 4]


def test_gate_and_up_are_told_by_words_or_not_at_all() -> None:
    assert gate_and_up(["wi_1", "wi_0"]) == ("wi_0", "wi_1")
    assert gate_and_up(["up_proj", "x"]) == ("x", "up_proj")
    assert gate_and_up(["fc_1", "fc_2"]) is None
    assert gate_and_up(["a", "b", "c"]) is None
    assert gate_and_up(["w2", "w3"]) is gate_and_up(["w1", "w2"], ["w1", "w2", "x"]) is None
    assert gate_and_up(["mlp.w2", "mlp.w1"], ["mlp.w1", "mlp.w2", "mlp.w3"]) == ("mlp.w1", "mlp.w2")


def test_names_are_in_order_by_one_number_without_gaps() -> None:
    assert in_order(["b.2.x", "b.1.x"]) == ["b.1.x", "b.2.x"]
    assert in_order(["b.1.x", "b.3.x"]) is None
    assert in_order(["b.1.x", "c.2.x"]) is None


def test_the_tables_speak_of_each_other() -> None:
    assert PHRASES.keys() >= (LOOSE | SILENT | TELLING | OPPOSITE)
    heads = [line.split(":")[0].strip() for line in SYNONYMS.strip().splitlines()]
    said = [word for line in SYNONYMS.strip().splitlines() for word in line.split(":")[1].split()]
    assert len(set(said)) == len(said)
    assert set(said).isdisjoint(heads)
