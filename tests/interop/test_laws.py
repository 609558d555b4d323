"""Laws of tables: rules and exports do what the table does to each key, or are refused."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ckptnames.errors import CkptnamesError
from ckptnames.interop import Table, key_mapping, lint, mmengine_table, transformers_table, vllm_table
from ckptnames.rules import plan

WORDS = st.sampled_from(["a", "b", "ab", "q", "qkv", "0", "1", "layer", "layers", "norm", "weight"])
KEYS = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(".".join), min_size=1, max_size=12, unique=True)
TEXTS = st.lists(WORDS, min_size=1, max_size=2).map(".".join)
PREFIXES = TEXTS.map(lambda text: f"{text}.")
NEW = st.one_of(TEXTS, PREFIXES, st.just(""), st.none())
PATTERNS = st.one_of(
    TEXTS.map(lambda text: text.replace(".", r"\.")),
    TEXTS.map(lambda text: "^" + text.replace(".", r"\.") + r"\."),
    TEXTS.map(lambda text: rf"{text}\.(\d+)\."),
)


def replacements(pattern: str) -> st.SearchStrategy[str]:
    ends = "." if pattern.endswith(r"\.") else ""
    return TEXTS.map(lambda text: f"{text}.\\1{ends}" if "(" in pattern else f"{text}{ends}")


PAIRS = st.lists(PATTERNS.flatmap(lambda p: st.tuples(st.just(p), replacements(p))), min_size=1, max_size=4)
PREFIXES = TEXTS.map(lambda text: f"{text}.")
NEW = st.one_of(TEXTS, PREFIXES, st.just(""), st.none())
TABLES = st.one_of(
    PAIRS.map(mmengine_table),
    PAIRS.map(transformers_table),
    st.dictionaries(TEXTS, NEW, max_size=3).map(lambda found: vllm_table({"orig_to_new_substr": found})),
    st.dictionaries(PREFIXES, NEW, max_size=3).map(lambda found: vllm_table({"orig_to_new_prefix": found})),
)


@given(TABLES, KEYS)
@settings(max_examples=150, deadline=None)
def test_rules_do_what_the_table_does_or_are_refused(table: Table, keys: list[str]) -> None:
    try:
        rules = table.rules(keys)
    except CkptnamesError as error:
        assert error.code == "cannot-translate"
        return
    becomes = {key: table(key) for key in keys}
    assert {key: rules(key) for key in keys} == becomes
    names = [name for name in becomes.values() if name is not None]
    assert len(set(names)) == len(names)


@given(TABLES, KEYS)
@settings(max_examples=100, deadline=None)
def test_rules_without_keys_hold_for_every_key(table: Table, keys: list[str]) -> None:
    try:
        rules = table.rules()
    except CkptnamesError as error:
        assert error.code == "cannot-translate"
        return
    assert {key: rules(key) for key in keys} == {key: table(key) for key in keys}


@given(TABLES, KEYS)
@settings(max_examples=100, deadline=None)
def test_an_export_does_what_the_rules_do_or_is_refused(table: Table, keys: list[str]) -> None:
    try:
        rules = table.rules(keys)
        plan(keys, rules).check()
        exported = transformers_table(key_mapping(rules, keys))
    except CkptnamesError as error:
        assert error.code in ("cannot-translate", "cannot-export", "key-collision")
        return
    assert {key: exported(key) for key in keys} == {key: rules(key) for key in keys}


@given(TABLES, KEYS)
@settings(max_examples=100, deadline=None)
def test_what_lint_does_not_name_acts_and_on_its_own(table: Table, keys: list[str]) -> None:
    named = {(each.code, each.number) for each in lint(table, keys)}
    fired = {step.number for key in keys for step in table.trace(key)}
    for number, entry in enumerate(table.entries):
        assert (number in fired) == (not {("unused", number), ("shadowed", number)} & named)
        if ("unused", number) in named:
            assert not any(entry.apply(key) for key in keys)
        if number in fired and ("cascading", number) not in named:
            acts_on = [key for key in keys if number in {step.number for step in table.trace(key)}]
            assert all(entry.apply(key) for key in acts_on)
