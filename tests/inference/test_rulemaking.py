"""Rules are exact: they make of every key what is asked, and touch nothing else; and they are few."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptnames.inference.rulemaking.choosing import Task, rules_for
from ckptnames.inference.rulemaking.merging import merged
from ckptnames.inference.rulemaking.numbering import numberings
from ckptnames.inference.rulemaking.proposals import proposals
from ckptnames.rules import Rules
from ckptnames.rules.rule import OPEN, Rule


def made_of(rules: Rules, key: str) -> str:
    (fate,) = rules.fates(key)
    return OPEN if fate.is_open else key if fate.name is None else fate.name


def written(changes: Mapping[str, str], untold: Collection[str] = (), target: Collection[str] = ()) -> Rules:
    """Find rules, and hold that they do what is asked and no more."""
    task = Task(changes, untold, target)
    found = rules_for(task)
    assert {key: made_of(found.rules, key) for key in changes} == dict(changes)
    taken = {*changes.values(), *target}
    assert all(made_of(found.rules, key) not in taken - {key} for key in untold)
    assert {key for keys in found.keys.values() for key in keys} <= {*changes, *untold}
    return found.rules


CASES = {
    "a prefix": ({f"module.{k}": k for k in ("fc.weight", "a.0.b", "a.1.b")}, 1),
    "layers": ({f"layers.{i}.a.w": f"h.{i}.b.w" for i in range(4)}, 1),
    "an offset": ({f"layers.{i + 1}.a.w": f"h.{i}.a.w" for i in range(4)}, 1),
    "one number to two": ({f"b.{i}.w": f"d.{i // 2}.r.{i % 2}.w" for i in range(6)}, 1),
    "two numbers to one": ({f"d.{i}.r.{j}.w": f"b.{3 * i + j}.w" for i in range(4) for j in range(3)}, 1),
    "role words": ({f"l.{i}.w{p}.weight": f"l.{i}.{p}_proj.weight" for i in range(3) for p in "qkv"}, 1),
    "an exchange": ({"a.w": "b.w", "b.w": "a.w"}, 2),
    "leaves": ({f"n.{i}.{a}": f"n.{i}.{b}" for i in range(3) for a, b in (("gamma", "weight"), ("beta", "bias"))}, 1),
    "a rule and what it must not touch": ({**{f"m.{i}.w": f"n.{i}.w" for i in range(5)}, "m.5.w": "m.5.w"}, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_few_rules_say_it_exactly(case: str) -> None:
    changes, most = CASES[case]
    assert len(list(written(changes))) <= most


def test_what_is_not_used_does_not_take_a_name_of_the_target() -> None:
    changes = {f"layers.{i}.a.w": f"h.{i}.a.w" for i in range(3)}
    rules = written(changes, ["layers.3.a.w"], [*changes.values(), "h.3.a.w"])
    assert made_of(rules, "layers.3.a.w") != "h.3.a.w"


def test_nothing_to_do_is_no_rule() -> None:
    assert str(rules_for(Task({"a.w": "a.w"}, ["b.w"], ["a.w"])).rules) == ""


def test_open_keys_are_open_alone() -> None:
    rules = written({"a.0.w": OPEN, "a.1.w": OPEN, "b.0.w": "c.0.w", "a.0.bias": "c.0.bias"})
    assert not rules.fates("a.0.bias")[0].is_open


words = st.sampled_from(("a", "b", "conv", "fc1", "w_q"))
paths = st.lists(st.one_of(words, st.integers(0, 3).map(str)), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(paths, paths, min_size=1, max_size=8), st.sets(paths, max_size=3))
def test_any_injective_change_has_exact_rules(changes: dict[str, str], untold: set[str]) -> None:
    injective = {key: name for name, key in {name: key for key, name in changes.items()}.items()}
    written(injective, sorted(untold - injective.keys()), sorted(injective.values()))


def test_numbers_that_follow_are_computed_and_others_listed() -> None:
    def says(
        sources: Sequence[tuple[int, ...]], targets: Sequence[tuple[int, ...]]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return next(numberings(sources, targets))

    rows = [(n,) for n in range(6)]
    assert says(rows, rows) == (("{i:d}",), ("{i}",))
    assert says(rows, [(n + 2,) for (n,) in rows]) == (("{i:d}",), ("{i+2}",))
    assert says(rows, [(n // 2, n % 2) for (n,) in rows]) == (("{i:d}",), ("{i//2}", "{i%2}"))
    assert says([(0,), (3,), (6,)], [(0,), (1,), (2,)]) == (("{i:0|3|6}",), ("{i:0|1|2}",))
    assert says(rows, [(4,) for _ in rows]) == (("{i:d}",), ("4",))


def test_each_pair_is_proposed_for_itself_at_least_with_most_effort() -> None:
    changes = {"a.0.b": "c.0.d", "a.1.b": "e.7.d"}
    found = {str(proposal) for proposal in proposals(changes, 2)}
    assert {"a.0.b -> c.0.d", "a.1.b -> e.7.d"} <= found


def test_rules_are_merged_only_while_that_is_right() -> None:
    rules = [Rule.parse("a.wq -> b.q"), Rule.parse("a.wk -> b.k")]
    assert len(merged(rules, lambda *_: True)) == 1
    assert merged(rules, lambda *_: False) == rules
