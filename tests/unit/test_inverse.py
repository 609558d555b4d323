"""``rules.inverse(keys)`` undoes rules, proved on every key, or raises with the line that loses information."""

from __future__ import annotations

import pytest

from ckptnames.errors import NotInvertible
from ckptnames.rules import Rules


def undone(rules: str, *keys: str) -> str:
    """Give the inverse as text, once it is seen to bring every key back."""
    found = Rules.parse(rules)
    back = found.inverse(keys)
    for key in keys:
        first, *others = found.targets(key)
        assert back.targets(first) == (key,)
        assert all(back.targets(name) == () for name in others)
    return str(back)


def lost(rules: str, *keys: str) -> str:
    """Give the line and the reason for which the rules have no inverse on these keys."""
    with pytest.raises(NotInvertible) as caught:
        Rules.parse(rules).inverse(keys)
    return f"{caught.value.where.removeprefix('<rules>:')}: {caught.value.reason}"


class TestOnGivenKeys:
    def test_a_prefix(self) -> None:
        assert undone("module.** -> **", "module.fc.w", "module.bn.w") == "** -> module.**\n"
        assert undone("** -> model.**", "fc.w") == "model.** -> **\n"

    def test_a_swap(self) -> None:
        assert undone("q.** -> k.**\nk.** -> q.**", "q.w", "k.w") == "k.** -> q.**\nq.** -> k.**\n"

    def test_a_rotation(self) -> None:
        undone("a -> b\nb -> c\nc -> a", "a", "b", "c")

    def test_slots_and_their_types(self) -> None:
        assert undone("l.{i:d}.{p} -> {p}.h{i}", "l.0.w", "l.12.b") == "{p}.h{i:d} -> l.{i}.{p}\n"

    def test_choices(self) -> None:
        assert undone("{w:w1|w2}.** -> {w:gate|up}.**", "w1.w", "w2.w") == "{w:gate|up}.** -> {w:w1|w2}.**\n"

    def test_sets(self) -> None:
        assert undone("{q,k}.w -> {0-1}.w", "q.w", "k.w") == "{0-1}.w -> {q,k}.w\n"

    def test_sets_of_a_billion_members_are_not_spelled_out(self) -> None:
        rules = "a.{0-999999999}.w -> b.{1-1000000000}.w"
        assert undone(rules, "a.7.w") == "b.{1-1000000000}.w -> a.{0-999999999}.w\n"

    def test_arithmetic_that_was_computed_is_solved(self) -> None:
        assert undone("a.{i:d}.{j:0..1} -> b.{2*i+j}", "a.0.0", "a.4.1") == "b.{2*i+j} -> a.{i:d}.{j:0..1}\n"

    def test_arithmetic_that_was_solved_is_computed(self) -> None:
        assert undone("b.{2*i+j} -> a.{i:d}.{j:0..1}", "b.0", "b.9") == "a.{i:d}.{j:0..1} -> b.{2*i+j}\n"

    def test_stages_from_the_last_to_the_first(self) -> None:
        rules = "module.** -> **\n---\nlayers.** -> h.**"
        assert undone(rules, "module.layers.w") == "h.** -> layers.**\n---\n** -> module.**\n"

    def test_every_occurrence(self) -> None:
        assert undone("**.a.** -> **.b.**", "a.x.a", "y") == "**.b.** -> **.a.**\n"

    def test_two_names_of_one_tensor(self) -> None:
        assert undone("emb.w -> emb.w & head.w", "emb.w") == "emb.w -> emb.w\nhead.w -> !drop\n"

    def test_keys_that_no_rule_moved_are_kept_from_the_turned_rules(self) -> None:
        assert undone("module.** -> **", "module.w", "step") == "step -> step\n** -> module.**\n"

    def test_lines_are_put_into_an_order_that_works(self) -> None:
        # Turned round line by line, `x.** -> **` would take what `x.y.** -> b.**` made.
        assert undone("b.** -> x.y.**\n** -> x.**", "b.w", "a.w") == "x.y.** -> b.**\nx.** -> **\n"
        assert undone("** -> x.**\n---\nx.b.** -> x.y.**", "b.w", "a.w") == "x.y.** -> x.b.**\n---\nx.** -> **\n"

    def test_a_line_that_no_key_meets_loses_nothing(self) -> None:
        assert undone("a -> b\nold.** -> !drop ?", "a") == "b -> a\n"

    def test_what_may_match_nothing_may_do_so_on_the_way_back(self) -> None:
        assert undone("a -> b & c ?", "a") == "b -> a ?\nc -> !drop ?\n"

    def test_text_that_needs_quotes(self) -> None:
        assert undone('{i:d}" conv".w -> {i}_conv.w', "0 conv.w") == '{i:d}_conv.w -> {i}" conv".w\n'


class TestWhatLosesInformation:
    def test_the_whole_error(self) -> None:
        with pytest.raises(NotInvertible) as caught:
            Rules.parse("a -> b\n**.counter -> !drop", name="a.rules").inverse(["a", "bn.counter"])
        assert str(caught.value) == (
            "error[not-invertible]: the rules cannot be inverted: a dropped key does not come back\n"
            "  --> a.rules:2\n"
            "  **.counter -> !drop\n"
            "  help: keep the file that the rules were applied to"
        )

    def test_dropped_keys(self) -> None:
        assert lost("a -> b\nc -> !drop", "a", "c") == "2: a dropped key does not come back"

    def test_open_keys(self) -> None:
        assert lost("a -> !open", "a") == "1: what is open is not decided"

    def test_repeated_choices_on_the_right(self) -> None:
        assert lost("{w:a|b}.w -> {w:x|x}.w", "a.w") == "1: {w:x|x} gives several choices one name"
        assert lost("{a,b}.w -> {x,x}.w", "a.w") == "1: {x,x} gives several choices one name"
        assert lost("{0-5}.w -> {0-3,2-3}.w", "0.w") == "1: {0-3,2-3} gives several choices one name"

    def test_slots_that_vanish(self) -> None:
        assert lost("a.{p}.w -> a.w", "a.b.w") == "1: slot 'p' is not in the target"
        assert lost("a.{0-3}.w -> a.w", "a.0.w") == "1: a set of the source is not in the target"

    def test_removed_segments(self) -> None:
        reason = "1: where the removed segments stood is not in the target"
        assert lost("**._orig_mod.** -> **.**", "net._orig_mod.w") == reason

    def test_keys_that_become_one(self) -> None:
        assert lost("a.** -> x.**\nb.** -> x.**", "a.w", "b.w") == "2: 'a.w' and 'b.w' both become 'x.w'"
        assert lost("a -> b", "a", "b") == "1: 'a' and 'b' both become 'b'"

    def test_arithmetic_with_more_than_one_solution(self) -> None:
        assert lost("a.{i:d} -> b.{i//2}", "a.5") == "1: 'a.5' does not come back from 'b.2'"
        assert lost("a.{i:d}.{j:d} -> b.{i*j}", "a.2.3") == "1: 'i*j' cannot be solved"

    def test_a_key_that_reads_otherwise_on_the_way_back(self) -> None:
        assert lost("**.a.** -> **.b.**", "b.a") == "1: 'b.a' does not come back from 'b.b'"
        assert lost("{p}.{q} -> {p}_{q}", "a_b.c") == "1: 'a_b.c' does not come back from 'a_b_c'"

    def test_lines_whose_results_read_alike(self) -> None:
        # Either order of the turned lines would bring one of the two names back wrongly.
        rules = "a.{p}.{q} -> x.{p}.{q}\nb.{p}.{q} -> {p}.{q}.y"
        assert lost(rules, "a.1.y", "b.x.2").split(": ")[1] == "its results read like those of another line"
        assert undone(rules, "a.1.z", "b.x.2") == "{p}.{q}.y -> b.{p}.{q}\nx.{p}.{q} -> a.{p}.{q}\n"


class TestForEveryKey:
    """Without keys, only what can be undone whatever the keys are."""

    def test_what_moves_every_key(self) -> None:
        assert str(Rules.parse("** -> model.**").inverse()) == "model.** -> **\n"
        assert str(Rules.parse("** -> a.**.b").inverse()) == "a.**.b -> **\n"

    def test_what_only_exchanges(self) -> None:
        back = Rules.parse("q.** -> k.**\nk.** -> q.**").inverse()
        assert [back(key) for key in ("q.w", "k.w", "other")] == ["k.w", "q.w", "other"]
        back = Rules.parse("{w:a|b}.{p} -> {w:b|a}.{p}").inverse()
        assert [back(key) for key in ("a.x", "b.x")] == ["b.x", "a.x"]

    def test_stages(self) -> None:
        back = Rules.parse("q -> k\nk -> q\n---\n** -> x.**").inverse()
        assert [back(key) for key in ("x.q", "x.k", "x.w")] == ["k", "q", "w"]

    @pytest.mark.parametrize(
        ("rules", "where"),
        [
            ("a.** -> b.**", 1),  # A key b.w would come back as a.w.
            ("module.** -> **", 1),
            ("q -> k\nk -> q\nv -> w", 3),
            ("** -> x.**\n---\n**.n -> !drop", 3),
            ("a -> b & c", 1),
            ("{p}.w -> w.{p}", 1),
            ("a.{p} -> b.{p}\nc.{p} -> b.{p}\nb.{p} -> a.{p}", 2),  # a.w and c.w both become b.w.
        ],
    )
    def test_what_needs_the_keys(self, rules: str, where: int) -> None:
        with pytest.raises(NotInvertible) as caught:
            Rules.parse(rules).inverse()
        assert caught.value.where == f"<rules>:{where}"

    def test_help_says_to_name_the_keys(self) -> None:
        with pytest.raises(NotInvertible) as caught:
            Rules.parse("a.** -> b.**").inverse()
        assert caught.value.help == "name the keys that the rules were applied to: rules.inverse(keys)"
        assert undone("a.** -> b.**", "a.w", "c.w") == "b.** -> a.**\n"
