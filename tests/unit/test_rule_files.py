"""A file of rules: lines, comments, the version, stages, which rule decides, and reading back what was written."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from ckptnames.errors import RuleSyntax, UnknownRulesVersion, UnreadableRules
from ckptnames.rules import Pattern, Rule, Rules
from tests.unit.rule_checks import made, refuses


class TestText:
    """UTF-8 text, one rule a line; blank lines are free."""

    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.rules"
        path.write_bytes("\ufeff# ckptnames rules 1\r\n\r\ncafé.w -> coffee.w\r\nb -> c\r\n".encode())
        rules = Rules.load(path)
        assert (rules("café.w"), rules("b")) == ("coffee.w", "c")
        assert [rule.where for rule in rules] == [f"{path}:3", f"{path}:4"]

    def test_no_rules(self) -> None:
        assert len(Rules.parse("")) == len(Rules.parse("\n  \n# nothing\n---\n---\n")) == 0
        assert Rules.parse("")("a.b") == "a.b"

    def test_bytes_that_are_no_utf_8(self, tmp_path: Path) -> None:
        path = tmp_path / "a.rules"
        path.write_bytes(b"a -> b\ncaf\xe9 -> c\n")
        with pytest.raises(UnreadableRules, match="byte 10 is not UTF-8"):
            Rules.load(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableRules, match="No such file or directory"):
            Rules.load(tmp_path / "nowhere.rules")

    def test_a_wrong_line_is_named(self) -> None:
        with pytest.raises(RuleSyntax) as caught:
            Rules.parse("# first\n\na -> b\na.** -> b  # why\n", name="x.rules")
        assert str(caught.value) == (
            "error[rule-syntax]: 1 `**` on the left and 0 on the right\n"
            "  --> x.rules:4:9\n"
            "  a.** -> b  # why\n"
            "          ^\n"
            "  help: write as many `**` on the right as on the left: the n-th stands for what the n-th found"
        )

    def test_a_quote_of_forty_thousand_signs_that_stays_open(self) -> None:
        start = time.process_time()
        with pytest.raises(RuleSyntax, match="this quote is not closed"):
            Rules.parse('"' + r"\"" * 20_000 + " -> b")
        assert time.process_time() - start < 20

    def test_other_line_separators_are_text(self) -> None:
        assert Rules.parse('"a\u2028b" -> c').targets("a\u2028b") == ("c",)


class TestComments:
    """``#`` at the start of a line or after a space begins a comment."""

    @pytest.mark.parametrize("line", ["a -> b  # why", "a -> b #why", "a -> b\t# why", "a -> b ## -> {", 'a -> b # "'])
    def test_after_a_space(self, line: str) -> None:
        assert Rules.parse(line) == Rules.parse("a -> b")

    @pytest.mark.parametrize("line", ["# a -> b", "   # a -> b", "#a -> b", '#"'])
    def test_at_the_start(self, line: str) -> None:
        assert len(Rules.parse(line)) == 0

    def test_elsewhere_it_is_a_sign_like_any_other(self) -> None:
        assert made("a#b -> c#d", "a#b") == "c#d"
        assert made('"a # b" -> c', "a # b") == "c"
        assert made('{w:"x #"|y} -> {w}', "x #") == "x #"


class TestVersion:
    """An optional first line names the version; another version is refused."""

    @pytest.mark.parametrize("first", ["# ckptnames rules 1", "#ckptnames rules 1", "#  ckptnames rules  1  "])
    def test_this_one(self, first: str) -> None:
        assert Rules.parse(f"{first}\na -> b") == Rules.parse("a -> b")

    @pytest.mark.parametrize("version", ["2", "0", "10", "1.1", "next", "2 (draft)"])
    def test_another(self, version: str) -> None:
        with pytest.raises(UnknownRulesVersion) as caught:
            Rules.parse(f"# ckptnames rules {version}\nthis -> may => mean anything", name="a.rules")
        assert (caught.value.code, caught.value.where) == ("rules-version", "a.rules:1")
        assert f"version '{version.split()[0]}'" in caught.value.message

    @pytest.mark.parametrize("text", ["# ckptnames rules for llama 2\na -> b", "\n# ckptnames rules 2\na -> b"])
    def test_prose_and_later_lines_are_comments(self, text: str) -> None:
        assert Rules.parse(text) == Rules.parse("a -> b")


class TestWhichRuleDecides:
    """Every rule of a stage sees the key as it came in, and the first that matches decides it, once."""

    def test_the_first(self) -> None:
        rules = Rules.parse("a.b -> first\na.** -> second.**\na.b -> third")
        assert (rules("a.b"), rules("a.c")) == ("first", "second.c")

    def test_not_the_most_special(self) -> None:
        assert Rules.parse("a.** -> first.**\na.b -> second")("a.b") == "first.b"

    def test_once(self) -> None:
        assert Rules.parse("a.** -> b.**\nb.** -> c.**")("a.w") == "b.w"

    def test_swaps_and_rotations(self) -> None:
        swap = Rules.parse("q.** -> k.**\nk.** -> q.**")
        assert (swap("q.w"), swap("k.w")) == ("k.w", "q.w")
        turn = Rules.parse("a -> b\nb -> c\nc -> a")
        assert [turn(key) for key in "abc"] == ["b", "c", "a"]

    def test_what_no_rule_matches_passes_through(self) -> None:
        (fate,) = Rules.parse("a -> b").fates("other")
        assert (fate.name, fate.where, fate.steps) == ("other", "identity", ())

    def test_a_rule_that_does_not_match_leaves_the_key_to_the_next(self) -> None:
        assert Rules.parse("a.{i:0..3} -> low.{i}\na.{i:d} -> high.{i}")("a.7") == "high.7"

    def test_rules_of_every_kind_keep_their_order(self) -> None:
        lines = ["x.y.z -> 1", "**.y.** -> **.2.**", "x.** -> 3.**", "{p}.{q}.{r} -> 4", "**.z -> **.5"]
        for n, line in enumerate(lines):
            later = [*lines[n:], *lines[:n]]
            assert Rules.parse("\n".join(later))("x.y.z") == made(line, "x.y.z")


class TestStages:
    """``---`` begins a stage: its rules see the keys that the last stage made."""

    def test_they_see_what_the_last_made(self) -> None:
        rules = Rules.parse("a.** -> b.**\n---\nb.** -> c.**")
        assert (rules("a.w"), rules("b.w")) == ("c.w", "c.w")

    def test_what_is_dropped_or_open_goes_no_further(self) -> None:
        rules = Rules.parse("a -> !drop\nb -> !open\n---\n** -> x.**")
        assert (rules("a"), rules("b"), rules("c")) == (None, "b", "x.c")
        assert rules.fates("b")[0].is_open

    def test_two_names_go_on_as_two(self) -> None:
        rules = Rules.parse("a -> b & c\n---\nb -> d\n---\nc -> !drop")
        assert rules.targets("a") == ("d",)

    def test_a_name(self) -> None:
        rules = Rules.parse("a -> b\n--- version 3  # of the model\nb -> c")
        assert [stage.name for stage in rules.stages] == ["", "version 3"]
        assert str(rules) == "a -> b\n--- version 3\nb -> c\n"

    def test_who_decided(self) -> None:
        rules = Rules.parse("a -> b\n---\nother -> x\n---\nb -> c", name="a.rules")
        (fate,) = rules.fates("a")
        assert [(step.stage, step.key, step.rule.where) for step in fate.steps] == [
            (0, "a", "a.rules:1"),
            (2, "b", "a.rules:5"),
        ]

    def test_what_begins_no_stage(self) -> None:
        cure = "write `--- name` with a plain name; a key that begins with `---` stands in quotes"
        refuses("--- a -> b", "~~^", "'---' begins a stage, not a rule", cure)
        assert made('"---" -> b', "---") == "b"
        cure = "write `source pattern -> target pattern`, with a space on both sides of the arrow"
        refuses("----", "~~~^", "there is no ' -> ' in this rule", cure)


class TestOptional:
    """``?`` at the end of a line: the rule may match nothing."""

    @pytest.mark.parametrize("line", ["a -> b ?", "a -> b ?  # why", "a -> !drop ?", "a -> b & c ?"])
    def test_it_is_no_part_of_the_target(self, line: str) -> None:
        rule = Rule.parse(line)
        assert (rule.optional, "?" in "".join(map(str, rule.targets))) == (True, False)

    def test_elsewhere_it_is_a_sign_like_any_other(self) -> None:
        assert made("a? -> b?c", "a?") == "b?c"
        assert made('a -> "b?"', "a") == "b?"

    def test_alone_it_is_no_target(self) -> None:
        cure = "write a target pattern, or `!drop`, before the `?`"
        refuses("a -> ?", "     ^", "nothing stands after '->'", cure)


class TestReadingBack:
    """``Rules.parse(str(rules)) == rules``; ``str`` quotes where it must, and only there."""

    @pytest.mark.parametrize(
        ("line", "written"),
        [
            ("a.b   ->  c", "a.b -> c"),
            ('"a.b" -> "c"', "a.b -> c"),
            ("0 conv.w -> x", '"0 conv".w -> x'),
            ('"a#b" -> "a\\tb"', '"a#b" -> "a\\tb"'),
            ('"caf\\u00e9" -> x', "café -> x"),
            ('"a..b" -> ".x"', '"a..b" -> ".x"'),
            ('a -> ""x', "a -> x"),
            ("{i: d}.{ w : a | b } -> {w}.{ i + 1 }", "{i:d}.{w:a|b} -> {w}.{i+1}"),
            ("{i:d} -> {(i+1)*2-(3-1)}", "{i:d} -> {(i+1)*2-(3-1)}"),
            ("{i:d} -> {((i*2))+(1)}", "{i:d} -> {i*2+1}"),
            ('{w:"a b"|"c"}.{"0-3",x} -> {w}', '{w:"a b"|c}.{"0-3",x} -> {w}'),
            ("a -> b  &  c  ?", "a -> b & c ?"),
            ('a -> "!drop"', 'a -> "!drop"'),
            ('"---" -> x', '"---" -> x'),
            ("a -> b?", "a -> b ?"),
        ],
    )
    def test_a_line(self, line: str, written: str) -> None:
        assert str(Rule.parse(line)) == written
        assert Rule.parse(written) == Rule.parse(line)

    def test_rules_with_stages(self) -> None:
        text = "--- first\na -> b\n---\n--- empty\n--- last\nb -> c ?\n"
        rules = Rules.parse(text)
        assert Rules.parse(str(rules)) == rules
        assert [stage.name for stage in rules.stages] == ["first", "empty", "last"]

    def test_the_place_is_no_part_of_a_rule(self) -> None:
        assert Rules.parse("a -> b", name="x") == Rules.parse("\n# why\na -> b", name="y")

    def test_other_rules_are_not_equal(self) -> None:
        assert Rules.parse("a -> b") != Rules.parse("a -> b ?")
        assert Rules.parse("a -> b\n---\nb -> c") != Rules.parse("a -> b\nb -> c")
        assert Rules.parse("{p} -> x.{p}") != Rules.parse("{q} -> x.{q}")

    def test_through_pickle(self) -> None:
        rules = Rules.parse("a.{i:d} -> b.{i+1}\n--- two\nc -> d", name="a.rules")
        again = pickle.loads(pickle.dumps(rules))
        assert again == rules
        assert [rule.where for rule in again] == ["a.rules:1", "a.rules:3"]
        assert pickle.loads(pickle.dumps(Pattern.parse("a.{p}"))) == Pattern.parse("a.{p}")

    def test_nothing_changes_them(self) -> None:
        rules = Rules.parse("a -> b")
        for thing in (rules, next(iter(rules)), Pattern.parse("a")):
            with pytest.raises(AttributeError):
                thing.name = "x"
