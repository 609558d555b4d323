"""Patterns for display: exact, few, in reading order, and writable in the rule language."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ckptnames.errors import CkptnamesError
from ckptnames.folding import expand, fold
from ckptnames.rules.pattern import Pattern

segment = st.one_of(
    st.sampled_from(
        ["0", "1", "2", "10", "007", "01", "weight", "bias", "q_proj", "k_proj", "conv1", "conv2", "_", "a_"]
    ),
    st.from_regex(r"[a-c_]{1,3}[0-3]?[ab_]?", fullmatch=True),
    st.text(max_size=3).map(lambda text: text.replace(".", "")),
)
keys = st.lists(segment, min_size=1, max_size=4).map(".".join)
labelled = st.dictionaries(keys, st.sampled_from(["F32", "I64"]), max_size=30)


@given(labelled)
@example({"a.q": "F32", "a.k": "F32", "b.q": "F32", "b.k": "I64"})
@example({"": "F32", ".": "F32", "..": "F32", "a.": "F32", ".a": "F32"})
@example({"a": "F32", "a.b": "F32", "b": "F32", "b.b": "F32"})
@example({"7" * 5000: "F32", "8" * 5000: "F32"})
def test_patterns_stand_for_exactly_the_keys_each_once_with_their_label(labels: dict[str, str]) -> None:
    groups = fold(labels.items())
    found = [(key, group.label) for group in groups for key in expand(group.pattern)]
    assert len(found) == len(labels)
    assert dict(found) == labels
    assert [group.n_keys for group in groups] == [len(list(expand(group.pattern))) for group in groups]


@given(labelled.filter(lambda labels: "" not in labels))
def test_each_pattern_is_a_pattern_of_the_rule_language_that_matches_its_keys_and_no_other(
    labels: dict[str, str],
) -> None:
    for group in fold(labels.items()):
        pattern = Pattern.parse(group.pattern)
        meant = set(expand(group.pattern))
        assert {key for key in labels if pattern.match(key) is not None} == meant


@given(labelled)
def test_groups_stand_in_the_order_of_their_first_keys(labels: dict[str, str]) -> None:
    place = {key: n for n, key in enumerate(labels)}
    firsts = [min(place[key] for key in expand(group.pattern)) for group in fold(labels.items())]
    # A set too wide for one line makes two neighbours of one first key; no drawn set is that wide.
    assert firsts == sorted(firsts)


def patterns(*keys: str) -> list[str]:
    return [group.pattern for group in fold((key, "F32") for key in keys)]


def grid(template: str, **choices: list[str]) -> list[str]:
    found = [template]
    for name, texts in choices.items():
        found = [key.replace(f"<{name}>", text) for key in found for text in texts]
    return found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["fc.weight"], ["fc.weight"]),
        (grid("layers.<i>.w", i=["0", "1", "2"]), ["layers.{0-2}.w"]),
        (grid("layers.<i>.w", i=["0", "1"]), ["layers.{0,1}.w"]),
        (grid("layers.<i>.w", i=["10", "9", "2", "8"]), ["layers.{2,8-10}.w"]),
        (grid("attn.<w>_proj.weight", w=["q", "k", "v"]), ["attn.{q,k,v}_proj.weight"]),
        (grid("attn.to_<w>.weight", w=["q", "k", "v"]), ["attn.to_{q,k,v}.weight"]),
        (grid("<w>_layer_norm.bias", w=["self_attn", "final"]), ["{self_attn,final}_layer_norm.bias"]),
        (grid("fc.<w>", w=["weight", "bias"]), ["fc.{weight,bias}"]),
        (grid("x.<w>", w=["weight", "weight_g"]), ["x.{weight,weight_g}"]),
        (grid("layer1.conv<i>.w", i=["1", "2", "3"]), ["layer1.conv{1-3}.w"]),
        (grid("conv<i>_<j>.w", i=["1", "2"], j=["3", "4"]), ["conv{1,2}_{3,4}.w"]),
        (["a.00.w", "a.01.w"], ["a.00.w", "a.01.w"]),
        (["a.1.w", "a.01.w", "a.2.w"], ["a.{1,2}.w", "a.01.w"]),
        (["a.1", "a.b", "a.2"], ["a.{1,2}", "a.b"]),
        (["x_007", "x_008"], ["{x_007,x_008}"]),
        (["0 norm.weight", "1 norm.weight"], ['{0,1}" norm".weight']),
        (['a"b', "a{0,1}"], [r'"a\"b"', '"a{0,1}"']),
        (["\x1b[31m"], ['"\\u001b[31m"']),
        (["a.b", "", "a..b"], ["a.b", '""', '"a..b"']),
    ],
)
def test_how_patterns_are_written(keys: list[str], expected: list[str]) -> None:
    assert patterns(*keys) == expected


def test_an_exception_in_one_layer_stands_apart() -> None:
    items = [
        (f"layers.{i}.attn.{w}_proj.weight", (4096, 4096) if i != 3 else (4096, 1024)) for i in range(32) for w in "qkv"
    ]
    assert [(g.pattern, g.n_keys, g.label) for g in fold(items)] == [
        ("layers.{0-2,4-31}.attn.{q,k,v}_proj.weight", 93, (4096, 4096)),
        ("layers.3.attn.{q,k,v}_proj.weight", 3, (4096, 1024)),
    ]


def test_a_set_of_many_words_is_several_patterns() -> None:
    words = [f"{a}{b}_table" for a in "abcdef" for b in "ghij"]
    found = fold((f"embed.{i}.{word}.weight", "F32") for i in range(3) for word in words)
    assert len(found) > 1
    assert all(len(group.pattern) < 80 for group in found)
    assert sum(group.n_keys for group in found) == 3 * len(words)
    assert found[0].pattern.startswith("embed.{0-2}.{ag,ah,")


def test_expand_refuses_what_stands_for_any_number_of_keys() -> None:
    with pytest.raises(ValueError, match="stands for more keys than can be listed"):
        list(expand("layers.{i:d}.weight"))
    with pytest.raises(CkptnamesError, match="rule-syntax"):
        list(expand("layers.{0-2"))


def test_ninety_thousand_keys_fold_without_being_compared_in_pairs() -> None:
    items = [(f"model.layers.{i}.block.{j}.{w}.weight", w) for i in range(300) for j in range(100) for w in "qkv"]
    start = time.process_time()
    found = fold(items)
    assert time.process_time() - start < 20  # 0.3 s on an idle machine; comparing keys in pairs would take minutes.
    assert [group.pattern for group in found] == [f"model.layers.{{0-299}}.block.{{0-99}}.{w}.weight" for w in "qkv"]
