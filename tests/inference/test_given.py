"""Lines that are given are taken as they stand, and the rest is inferred as if they had been found."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from benchmarks.zoo import Pair, pairs, sides
from ckptnames import infer, plan
from ckptnames.inference.inference import Inference, inferred
from ckptnames.report.inference import rule_file
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted
from tests.inference.making import layers, manifest

SMALL = [pair for pair in pairs() if pair.n_keys <= 80]
LARGER = [pair for pair in pairs() if 80 < pair.n_keys <= 700]

QK = {"q_proj.weight": (8, 8), "k_proj.weight": (8, 8)}
HF = layers(
    "model.layers", 2, {f"self_attn.{name}": shape for name, shape in QK.items()} | {"mlp.up_proj.weight": (16, 8)}
)
META = layers(
    "layers", 2, {"attention.wq.weight": (8, 8), "attention.wk.weight": (8, 8), "feed_forward.w3.weight": (16, 8)}
)


def given_back(found: Inference) -> Inference:
    """Give the rule file that an answer writes, without a change to it."""
    return inferred(found.source, found.target, Rules.parse(rule_file(found)))


def assert_unchanged(found: Inference) -> None:
    again = given_back(found)
    assert {name: again.mapping.get(name) for name in found.mapping} == found.mapping
    assert [(each.code, each.targets) for each in again.cautions] == [
        (each.code, each.targets) for each in found.cautions
    ]
    assert again.complete or not found.complete
    assert given_back(again).mapping == again.mapping


@pytest.mark.parametrize("pair", SMALL, ids=lambda pair: pair.id)
def test_a_file_given_back_unchanged_changes_nothing(pair: Pair) -> None:
    assert_unchanged(inferred(*sides(pair, "saved")))


@pytest.mark.slow
@pytest.mark.parametrize("pair", LARGER, ids=lambda pair: pair.id)
def test_a_larger_file_given_back_unchanged_changes_nothing(pair: Pair) -> None:
    assert_unchanged(inferred(*sides(pair, "saved")))


@pytest.mark.parametrize("pair", SMALL, ids=lambda pair: pair.id)
def test_some_of_the_truth_leads_to_nothing_wrong_in_the_rest(pair: Pair) -> None:
    source, target = sides(pair, "saved")
    random = Random(pair.id)
    truth = {
        name: next(iter(each.sources))
        for name, each in pair.truth.items()
        if each.op == "rename" and len(each.sources) == 1
    }
    some = {
        name: key for name, key in truth.items() if random.random() < 0.4 and source[key].shape == target[name].shape
    }
    lines = "\n".join(f"{quoted(key)} -> {quoted(name)}" for name, key in some.items())
    found, alone = inferred(source, target, Rules.parse(lines)), inferred(source, target)
    assert {name: found.mapping[name] for name in some} == some
    changed = {name: key for name, key in found.mapping.items() if alone.mapping.get(name, key) != key}
    assert {name: truth.get(name) for name in changed} == changed


def test_a_given_line_takes_nothing_from_the_cautions() -> None:
    line = "layers.{i}.attention.wq.weight -> model.layers.{i}.self_attn.q_proj.weight"
    alone, found = (inferred(manifest(META), manifest(HF), given) for given in (None, Rules.parse(line)))
    assert alone.mapping == found.mapping
    assert [each.code for each in alone.cautions] == ["rotary-layout"]
    assert alone.cautions == found.cautions


def test_what_must_be_transposed_is_not_filled_by_a_given_line() -> None:
    parts = {"ln.weight": (8,), "fc.weight": (32, 8), "fc.bias": (32,), "proj.weight": (8, 32), "proj.bias": (8,)}
    turned = {name: shape[::-1] for name, shape in parts.items()}
    source, target = manifest(layers("h", 3, parts)), manifest(layers("b", 3, turned))
    found = inferred(source, target)
    assert len(found.transposed) == 6
    again = given_back(found)
    assert (again.mapping, again.transposed) == (found.mapping, found.transposed)


def test_a_given_pair_of_unlike_shapes_fills_nothing() -> None:
    source = manifest({"backbone.fc.weight": (4, 3), "backbone.out.weight": (10, 4)})
    target = manifest({"body.fc.weight": (4, 3), "body.out.weight": (2, 4)})
    found = inferred(source, target, Rules.parse("backbone.** -> body.**"))
    assert found.mapping == {"body.fc.weight": "backbone.fc.weight"}
    assert found.unfilled_target == ("body.out.weight",)
    assert not found.complete


def test_a_copy_that_was_decided_leaves_the_other_where_nothing_tells_its_parts_apart() -> None:
    twins = {f"{side}.{i}.fc.weight": (4, 4) for side, i in product(("left", "right"), range(2))}
    target = {f"net.{i}.fc.weight": (4, 4) for i in range(2)} | {"rest.fc.weight": (4, 4)}
    assert infer(manifest(twins), manifest(target)).mapping == {}
    found = infer(manifest(twins), manifest(target), given="left.** -> net.**")
    assert found.mapping == {f"net.{i}.fc.weight": f"left.{i}.fc.weight" for i in range(2)}


def test_what_is_tied_to_a_decided_name_is_filled_with_it() -> None:
    source = manifest({"tok_embeddings.weight": (9, 4), "layers.0.wq.weight": (4, 4)})
    shapes = {"embed_tokens.weight": (9, 4), "layers.0.q_proj.weight": (4, 4), "lm_head.weight": (9, 4)}
    target = replace(manifest(shapes), ties=(("embed_tokens.weight", "lm_head.weight"),))
    found = infer(source, target, given="tok_embeddings.** -> embed_tokens.**")
    assert found.mapping == infer(source, target).mapping
    assert found.mapping["lm_head.weight"] == "tok_embeddings.weight"
    assert dict(plan(source, found.rules, target).mapping) == found.mapping


def test_two_lines_that_give_one_name_are_not_complete() -> None:
    source, target = manifest({"a.weight": (2, 2), "b.weight": (2, 2)}), manifest({"u.weight": (2, 2)})
    found = infer(source, target, given="a.** -> u.**\nb.** -> u.**")
    assert (found.mapping, found.complete) == ({"u.weight": "a.weight"}, False)
