"""Laws of the rule language, held on random patterns, rules and keys."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ckptnames.errors import CkptnamesError, KeyTooLong, NotInvertible
from ckptnames.rules import Pattern, Rule, Rules, plan
from ckptnames.rules.arithmetic import UNBOUNDED, evaluate, parse_expression, solve
from ckptnames.rules.slots import Choice, Digits, Item, Literal, Members, Stars, Text, quoted
from tests.effort import examples
from tests.property.strategies import (
    exchanges,
    key_sets,
    nasty_keys,
    plain_keys,
    rule_sets,
    rules,
    small_patterns,
    words,
    working_rules,
)


class TestParsing:
    """``Rules.parse(str(rules)) == rules``."""

    @given(rules())
    def test_a_rule_reads_back_as_itself(self, rule: Rule) -> None:
        assert Rule.parse(str(rule)) == rule

    @given(rule_sets())
    def test_rules_read_back_as_themselves(self, found: Rules) -> None:
        assert Rules.parse(str(found)) == found
        assert hash(Rules.parse(str(found))) == hash(found)

    @given(nasty_keys)
    def test_a_quoted_key_is_a_pattern_of_that_key_only(self, key: str) -> None:
        pattern = Pattern.parse(quoted(key))
        assert pattern.literal == key
        assert pattern.match(key) is not None
        assert pattern.match(key + "x") is None

    @given(nasty_keys, nasty_keys)
    def test_a_rule_of_quoted_keys_renames_them(self, source: str, target: str) -> None:
        assert Rules.parse(f"{quoted(source)} -> {quoted(target)}  # why").targets(source) == (target,)

    @given(st.text(max_size=40))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            found = Rules.parse(text)
        except CkptnamesError as error:
            assert error.code in ("rule-syntax", "rules-version")
        else:
            assert Rules.parse(str(found)) == found

    @given(st.text(alphabet='ab.{}*:|&!?"#-> 0123+,d', max_size=30))
    def test_any_text_of_signs_is_read_or_refused(self, text: str) -> None:
        self.test_any_text_is_read_or_refused.hypothesis.inner_test(self, text)  # type: ignore[attr-defined]


def _candidates(item: Item, key: str, bound: dict[str, str]) -> list[str]:
    prefixes = [key[:n] for n in range(1, len(key) + 1)]
    if isinstance(item, Text | Digits | Choice) and item.name in bound:
        return [bound[item.name]] if key.startswith(bound[item.name]) else []
    if isinstance(item, Text):
        return [text for text in prefixes if "." not in text]
    if isinstance(item, Digits):
        digits = [text for text in prefixes if re.fullmatch("[0-9]+", text)]
        return [text for text in digits if item.high is None or item.low <= int(text) <= item.high]
    if isinstance(item, Choice | Members):
        texts = item.texts if isinstance(item, Choice) else list(item)
        return sorted((text for text in texts if key.startswith(text)), key=len, reverse=True)
    raise AssertionError(item)


def _all_ways(items: Sequence[Item], key: str) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]] | None:
    """Read the language independently, with no thought of speed: backtrack, and take the first way that comes."""
    kinds = {item.name: item for item in items if isinstance(item, Digits | Choice)}
    typed = [kinds.get(item.name, item) if isinstance(item, Text) else item for item in items]
    spelled: list[Item] = []
    for item in typed:
        if isinstance(item, Literal) and spelled and isinstance(spelled[-1], Stars):
            item = Literal(item.text.removeprefix("."))
        spelled.append(item)
    if not isinstance(spelled[-1], Stars):
        spelled.append(Literal("."))
    return next(_backtrack(spelled, key + ".", {}), None)


def _backtrack(
    items: Sequence[Item], text: str, bound: dict[str, str]
) -> Iterator[tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]]:
    if not items:
        if not text:
            yield bound, (), ()
        return
    item, rest = items[0], items[1:]
    if isinstance(item, Literal):
        if text.startswith(item.text):
            yield from _backtrack(rest, text[len(item.text) :], bound)
    elif isinstance(item, Stars):
        pieces = text.split(".")[:-1]
        for n in range(len(pieces) + 1):
            star = "".join(piece + "." for piece in pieces[:n])
            for slots, sets, stars in _backtrack(rest, text[len(star) :], bound):
                yield slots, sets, (star.removesuffix("."), *stars)
    else:
        for option in _candidates(item, text, bound):
            named = isinstance(item, Text | Digits | Choice)
            names = {**bound, item.name: option} if isinstance(item, Text | Digits | Choice) else bound
            for slots, sets, stars in _backtrack(rest, text[len(option) :], names):
                yield slots, sets if named else (option, *sets), stars


class TestMatching:
    """A pattern matches the whole key; slots leftmost shortest, choices longest first, ``**`` shortest first."""

    @examples(8)
    @given(small_patterns(), plain_keys)
    def test_agrees_with_brute_force(self, pattern: Pattern, key: str) -> None:
        found = pattern.match(key)
        wanted = _all_ways(pattern.items, key)
        assert (found is not None) == (wanted is not None), (str(pattern), key)
        if found is not None and wanted is not None:
            slots, sets, stars = wanted
            assert (dict(found.slots), found.sets, found.stars) == (slots, sets, stars), (str(pattern), key)

    @given(st.lists(words, min_size=1, max_size=4).map(".".join), plain_keys)
    def test_a_literal_matches_itself_only(self, literal: str, key: str) -> None:
        assert (Pattern.parse(literal).match(key) is not None) == (literal == key)


class TestTime:
    """Matching is polynomial, and a hostile key does not make it slow."""

    @pytest.mark.parametrize(
        "pattern",
        [
            "**.a.**.a.**.a.**",
            "**.a.**.a.**.a.**.b",
            "**.{p}.**.{q}.**.{r}.**.b",
            "{p}.**.{p}.**.b",
            "**.{x:a|a.a}.{y:a|a.a}.{z:a|a.a}.**.b",
            "{x:a|a.a}.{x}.**.b",
        ],
    )
    def test_ten_thousand_segments(self, pattern: str) -> None:
        start = time.process_time()
        Pattern.parse(pattern).match(".".join("a" * 10_000))
        assert time.process_time() - start < 50

    @pytest.mark.parametrize("pattern", ["{p}a{q}b{r}a{s}c", "{p}{q}{r}{s}c", "{p}{i:d}{q}{j:d}c", "{p}{a,aa,aaa}{q}c"])
    def test_one_segment_of_ten_thousand_characters(self, pattern: str) -> None:
        start = time.process_time()
        Pattern.parse(pattern).match("a" * 10_000)
        Pattern.parse(pattern).match("1" * 10_000)
        assert time.process_time() - start < 50

    def test_slots_that_stand_twice_are_given_up_in_time(self) -> None:
        start = time.process_time()
        with pytest.raises(KeyTooLong):
            Pattern.parse("{x}{y}{x}b").match("a" * 10_000)
        assert time.process_time() - start < 100

    def test_everywhere(self) -> None:
        start = time.process_time()
        key = ".".join("ab" * 5_000)
        assert Rules.parse("**.{p}.b.** -> **.{p}.**")(key) == ".".join("a" * 5_000)
        assert time.process_time() - start < 50

    def test_ninety_thousand_keys(self) -> None:
        keys = [f"model.layers.{i}.experts.{e}.{w}.weight" for i in range(60) for e in range(500) for w in "abc"]
        text = "".join(f"model.layers.{{i:d}}.x{n}.{{p}} -> layers.{{i}}.y{n}.{{p}} ?\n" for n in range(5))
        text += "**.num_batches_tracked -> !drop ?\n**._orig_mod.** -> **.** ?\nlm_head.weight -> head.weight ?\n"
        text += "model.layers.{i:d}.experts.{e:d}.{w:a|b|c}.weight -> layers.{i}.ffn.{e}.{w:x|y|z}\nmodel.** -> ** ?"
        found = Rules.parse(text)
        start = time.process_time()
        names = {found(key) for key in keys}
        assert time.process_time() - start < 30  # 0.6 s on an idle machine
        assert len(names) == len(keys) == 90_000

    @pytest.mark.parametrize(
        "rule",
        [
            "**.x{n}.** -> **.y{n}.** ?",
            "**.x{n}.**.z.** -> **.y{n}.**.z.** ?",
            "model.{{p}}.{{i:d}}.{{q}}.{{e:d}}.x{n}.{{r}} -> {{p}}.{{i}}.{{q}}.{{e}}.y{n}.{{r}} ?",
            "**.x{n}_{{p}}.** -> **.y{n}.{{p}}.** ?",
            "model.{{p}}.** -> y{n}.{{p}}.**",  # The first takes every key; the others are shadowed.
        ],
    )
    def test_two_hundred_rules(self, rule: str) -> None:
        keys = [f"model.layers.{i}.experts.{e}.w.weight" for i in range(20) for e in range(500)]
        found = Rules.parse("\n".join(rule.format(n=n) for n in range(200)))
        start = time.process_time()
        plan(keys, found)
        assert time.process_time() - start < 20  # 0.2 s on an idle machine; a minute where each rule is tried


class TestInverse:
    """``inverse(rules(k)) == k`` for each key, or an error that names a line."""

    @examples(6)
    @given(working_rules, key_sets)
    def test_on_given_keys(self, found: Rules, keys: list[str]) -> None:
        try:
            back = found.inverse(keys)
        except NotInvertible as error:
            assert re.fullmatch(r"<rules>:[0-9]+", error.where)
            return
        assert [back(found.targets(key)[0]) for key in keys] == keys
        assert sorted(k for key in keys for name in found.targets(key) for k in back.targets(name)) == sorted(keys)

    @examples(6)
    @given(working_rules, plain_keys)
    def test_for_every_key(self, found: Rules, key: str) -> None:
        try:
            back = found.inverse()
        except NotInvertible:
            return
        name = found(key)
        assert name is not None
        assert back(name) == key

    @settings(suppress_health_check=[HealthCheck.filter_too_much])
    @given(exchanges(), st.lists(plain_keys, min_size=6, max_size=6))
    def test_exchanges_for_every_key(self, found: Rules, keys: list[str]) -> None:
        try:
            back = found.inverse()
        except NotInvertible:
            return
        assert [back(found(key) or "") for key in keys] == keys

    @examples(2)
    @given(key_sets)
    def test_a_swap_and_a_prefix_for_every_key(self, keys: list[str]) -> None:
        found = Rules.parse("a.{p} -> b.{p}\nb.{p} -> a.{p}\n---\n** -> model.**")
        back = found.inverse()
        assert [back(found(key) or "") for key in keys] == keys


class TestPlan:
    """A plan accounts for every key once, and what it lets pass is one to one."""

    @examples(6)
    @given(working_rules, key_sets)
    def test_every_source_key_is_decided_once(self, found: Rules, keys: list[str]) -> None:
        made = plan(keys, found)
        assert [decision.source for decision in made.decisions] == keys
        assert set(made.mapping.values()) | set(made.dropped) == set(keys) - {
            key for problem in made.problems if problem.code == "key-collision" for key in problem.keys[1:]
        } | set(made.mapping.values())
        assert [(d.source, t) for d in made.decisions for t in d.targets] == [
            (k, t) for k in keys for t in found.targets(k)
        ]

    @examples(6)
    @given(working_rules, key_sets)
    def test_no_problems_means_injective(self, found: Rules, keys: list[str]) -> None:
        made = plan(keys, found)
        assume(not any(problem.severity == "error" for problem in made.problems))
        names = [name for decision in made.decisions for name in decision.targets]
        assert len(set(names)) == len(names)
        assert made.mapping == {name: decision.source for decision in made.decisions for name in decision.targets}

    @examples(4)
    @given(working_rules, key_sets)
    def test_what_the_rules_make_is_what_satisfies_them(self, found: Rules, keys: list[str]) -> None:
        names = dict.fromkeys(name for key in keys for name in found.targets(key))
        made = plan(keys, found, names)
        assert not [p for p in made.problems if p.code in ("unfilled-target", "unexpected-key", "shape-mismatch")]


@given(plain_keys, st.sampled_from(["a", "ab", "0", "{i:d}", "{a,b}"]))
def test_removing_a_segment_everywhere_is_idempotent(key: str, segment: str) -> None:
    found = Rules.parse(f"**.{segment}.** -> **.**")
    once = found(key)
    assert once is not None
    assert found(once) == once


@given(plain_keys)
def test_removing_a_segment_leaves_the_others(key: str) -> None:
    kept = ".".join(segment for segment in key.split(".") if segment != "a")
    assert Rules.parse("**.a.** -> **.**")(key) == (kept or key)


@examples(4)
@given(
    st.sampled_from(["3*i+j+1", "i-j", "i//3", "i%3", "2*i", "(i+1)*4+j", "10-i", "i*2-j", "i//3+j", "5"]),
    st.integers(0, 30),
)
def test_solving_agrees_with_trying_everything(text: str, value: int) -> None:
    expression = parse_expression(text)
    ranges = {"i": (0, 40), "j": (0, 2)}
    every = [{"i": i, "j": j} for i in range(41) for j in range(3) if evaluate(expression, {"i": i, "j": j}) == value]
    assert solve([(expression, value)], ranges) == (every[0] if len(every) == 1 else None)


@given(st.integers(0, 10**9))
def test_a_quotient_and_a_remainder_give_the_number(value: int) -> None:
    equations = [(parse_expression("i//3"), value // 3), (parse_expression("i%3"), value % 3)]
    assert solve(equations, {"i": (0, UNBOUNDED)}) == {"i": value}
