"""Rules do what a second, slow reading of the language says they do."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings

from ckptnames.errors import BadArithmetic
from ckptnames.rules import Rule, Rules
from tests.property.reference import Refused, TooLarge, applied
from tests.property.strategies import small_rules_and_keys

# Half of what is drawn is no rule.
lenient = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def outcome(rule: Rule, key: str) -> tuple[str, ...] | str | None:
    try:
        return rule.apply(key)
    except BadArithmetic:
        return "refused"


def expected(rule: Rule, key: str) -> tuple[str, ...] | str | None:
    try:
        return applied(rule, key)
    except Refused:
        return "refused"


@settings(lenient, max_examples=3 * lenient.max_examples)
@given(small_rules_and_keys())
def test_a_rule(found: tuple[list[Rule], list[str]]) -> None:
    (rule,), keys = found
    for key in keys:
        with suppress(TooLarge):
            assert outcome(rule, key) == expected(rule, key), (str(rule), key)


@lenient
@given(small_rules_and_keys(n_rules=3))
def test_the_first_rule_that_matches_decides(found: tuple[list[Rule], list[str]]) -> None:
    lines, keys = found
    rules = Rules.parse("\n".join(map(str, lines)))
    for key in keys:
        with suppress(TooLarge):
            wanted = next((names for names in (expected(rule, key) for rule in lines) if names is not None), (key,))
            try:
                names: tuple[str, ...] | str = rules.targets(key)
            except BadArithmetic:
                names = "refused"
            assert names == wanted, (str(rules), key)


@pytest.mark.parametrize(
    ("rule", "key", "wanted"),
    [
        ("**.{p}.a.** -> **.a.{p}.**", "x.a.y.a.z", ("a.x.a.y.z",)),
        ("a.{2*i+j} -> b.{i:d}.{j:0..1}", "a.12", ("b.6.0",)),
        ("{w:a|a.b}.** -> {w:x|y}.**", "a.b.c", ("y.c",)),
        ("{p}{q} -> {q}.{p}", "abc", ("bc.a",)),
        ("a.** -> **", "a", None),
    ],
)
def test_the_second_reading_reads(rule: str, key: str, wanted: tuple[str, ...] | None) -> None:
    assert applied(Rule.parse(rule), key) == wanted
