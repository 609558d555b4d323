"""One rule: what its slots, arithmetic and ``**`` mean, each beside the nearest thing that means nothing."""

from __future__ import annotations

import pytest

from ckptnames.errors import BadArithmetic
from ckptnames.rules import Pattern, Rule, Rules
from tests.unit.rule_checks import made, refuses

BRACES = "write {p} for text, {i:d} for digits, {w:a|b} or {q,k,v} for a choice; slot names are of a-z, 0-9, _"
AS_MANY = "write as many `**` on the right as on the left: the n-th stands for what the n-th found"


def bound(pattern: str, key: str) -> dict[str, str] | None:
    found = Pattern.parse(pattern).match(key)
    return None if found is None else dict(found.slots)


class TestWholeKeys:
    """All else is literal, and a pattern matches the whole key."""

    def test_norm_is_not_found_inside_layernorm(self) -> None:
        assert made("norm.weight -> ln.weight", "norm.weight") == "ln.weight"
        assert made("norm.weight -> ln.weight", "layernorm.weight") is None
        assert made("norm.weight -> ln.weight", "norm.weight_g") is None
        assert made("norm.weight -> ln.weight", "block.norm.weight") is None

    @pytest.mark.parametrize("pattern", ["a.b", "^a", "a$", "a+", "(a)", "a*", ".*", "a?b", r"\d", "a/b", "a:0", "A"])
    def test_nothing_is_a_regular_expression(self, pattern: str) -> None:
        if pattern.startswith("."):
            pattern = "a" + pattern
        assert made(f"{pattern}.w -> x", f"{pattern}.w") == "x"
        assert made(f"{pattern}.w -> x", "a.w") is None
        assert made(f"{pattern}.w -> x", "aab.w") is None

    def test_a_dot_is_a_dot(self) -> None:
        assert made("a.b -> x", "a.b") == "x"
        assert made("a.b -> x", "aab") is None

    def test_case_counts(self) -> None:
        assert made("LayerNorm.** -> norm.**", "layernorm.weight") is None

    def test_an_empty_segment_is_refused_unless_it_is_quoted(self) -> None:
        assert made('"a..b" -> x', "a..b") == "x"
        cure = 'write `module.**` for a prefix; an empty segment that is meant stands in quotes, as in `"a..b"`'
        refuses("a..b -> x", " ~^", "an empty segment", cure)
        refuses("module. -> x", "      ^", "an empty segment", cure)
        refuses("x -> .module", "     ^", "an empty segment", cure)


class TestReserved:
    """Unquoted ``[ ] & ! " { }`` and `` | `` are kept for later."""

    @pytest.mark.parametrize("sign", ["[", "]", "!", "&", "}"])
    def test_a_sign(self, sign: str) -> None:
        cure = f'put literal text that has such characters in quotes, as in `"{sign}".weight`'
        refuses(f"a.b{sign} -> c", "   ^", f"'{sign}' is reserved", cure)
        refuses(f"a -> c{sign}.w", "      ^", f"'{sign}' is reserved", cure)
        assert made(f'a."b{sign}" -> "{sign}"', f"a.b{sign}") == sign

    def test_a_bar_between_spaces(self) -> None:
        cure = 'put literal text that has such characters in quotes, as in `"|".weight`'
        refuses("a | b -> c", "  ^", "'|' is reserved", cure)
        assert made('"a | b" -> c', "a | b") == "c"
        assert made("a|b -> c", "a|b") == "c"

    def test_a_brace_that_stays_open(self) -> None:
        refuses("a.{p.w -> b", "  ~~~^", "this brace is not closed", "close it with }")

    def test_a_quote_that_stays_open(self) -> None:
        refuses('"a.w -> b', "~~~^", "this quote is not closed", 'close it with "')

    def test_the_arrow_without_spaces(self) -> None:
        cure = "write `source pattern -> target pattern`, with a space on both sides of the arrow"
        refuses("a->b", " ~^", "the arrow needs a space on both sides", cure)
        refuses("a.** => b.**", "~~~~~~~~~~~^", "there is no ' -> ' in this rule", cure)
        refuses("-> b", "~^", "nothing stands before '->'", cure)
        assert made('"a->b" -> c', "a->b") == "c"

    def test_two_arrows(self) -> None:
        refuses("a -> b -> c", "       ~^", "a second arrow", "write one rule a line; '->' in a key stands in quotes")
        assert made('"a -> b" -> c', "a -> b") == "c"

    def test_nothing_behind_the_arrow(self) -> None:
        cure = "write a target pattern, or `!drop` to leave these keys out"
        refuses("a ->", "  ~^", "nothing stands after '->'", cure)


class TestQuotes:
    """``"…"`` quotes a literal run, with JSON's escapes."""

    @pytest.mark.parametrize(
        ("rule", "key"),
        [
            ('"key with spaces".weight -> x', "key with spaces.weight"),
            ('layers."0.weight" -> x', "layers.0.weight"),
            ('a"b"c -> x', "abc"),
            (r'"say \"hi\"" -> x', 'say "hi"'),
            (r'"back\\slash" -> x', "back\\slash"),
            (r'"caf\u00e9" -> x', "café"),
            (r'"\ud83d\ude00" -> x', "😀"),
            (r'"tab\tnewline\n" -> x', "tab\tnewline\n"),
            ('"{i:d}" -> x', "{i:d}"),
            ('"**".a -> x', "**.a"),
            ('"#".a -> x', "#.a"),
            ('"" a -> x', " a"),
        ],
    )
    def test_the_text_is_meant_as_it_stands(self, rule: str, key: str) -> None:
        assert made(rule, key) == "x"
        assert Rule.parse(rule).source.literal == key

    def test_on_the_right_too(self) -> None:
        assert made(r'a.{p} -> "my {p}\n".{p}', "a.w") == "my {p}\n.w"

    def test_an_escape_that_json_does_not_have(self) -> None:
        cure = r"quotes follow JSON: `\"` for a quote, `\\` for a backslash, `\u00e9` for a code point"
        refuses(r'"a\x41" -> b', r"~~^", "this quote is not closed or has a wrong escape", cure)

    def test_text_without_quotes_may_have_spaces_inside(self) -> None:
        assert made("0 convolution.weight -> conv.weight", "0 convolution.weight") == "conv.weight"
        assert made("  a.w   ->   b.w  ", "a.w") == "b.w"

    def test_a_name_of_nothing(self) -> None:
        refuses('a -> ""', "     ~^", "an empty name", "write the key that is meant")


class TestSlots:
    """Slots capture text inside one segment or the whole of it, never empty, leftmost shortest."""

    def test_a_whole_segment(self) -> None:
        assert made("{p}.weight -> {p}.w", "conv.weight") == "conv.w"
        assert made("{p}.weight -> {p}.w", "a.conv.weight") is None

    def test_a_part_of_a_segment(self) -> None:
        assert made("conv{p}.weight -> {p}", "conv_in.weight") == "_in"
        assert made("{p}_proj.weight -> {p}", "q_proj.weight") == "q"

    def test_never_empty(self) -> None:
        assert made("conv{p}.weight -> {p}", "conv.weight") is None
        assert made("{p}.weight -> {p}", ".weight") is None

    def test_never_a_dot(self) -> None:
        assert made("a{p}z -> {p}", "a.z") is None
        assert made("a{p}z -> {p}", "abz") == "b"

    def test_leftmost_shortest(self) -> None:
        assert bound("{p}{q}", "abc") == {"p": "a", "q": "bc"}
        assert bound("{p}_{q}", "a_b_c") == {"p": "a", "q": "b_c"}
        assert bound("{p}_{q}", "_a_b") == {"p": "_a", "q": "b"}
        assert bound("{p}{i:d}", "conv12") == {"p": "conv", "i": "12"}
        assert bound("{p}{i:d}", "12") == {"p": "1", "i": "2"}

    def test_two_in_one_rule(self) -> None:
        assert made("a.{p}.b.{q}.** -> x.{p}.y.{q}.**", "a.3.b.7.weight") == "x.3.y.7.weight"

    def test_in_another_order(self) -> None:
        assert made("{p}.{q} -> {q}.{p}.{q}", "a.b") == "b.a.b"

    def test_digits(self) -> None:
        assert made("layers.{i:d}.w -> h.{i}.w", "layers.12.w") == "h.12.w"
        assert made("layers.{i:d}.w -> h.{i}.w", "layers.12a.w") is None
        assert made("layers.{i:d}.w -> h.{i}.w", "layers.x.w") is None
        assert made("layer{i:d}.{j:d}.bn{k:d}.{p} -> {i}.{j}.{k}.{p}", "layer1.0.bn2.bias") == "1.0.2.bias"

    @pytest.mark.parametrize("digits", ["²", "３", "٣", "१", "-1", "1.0", "1e3"])
    def test_digits_are_ascii(self, digits: str) -> None:
        assert made("layers.{i:d} -> h.{i}", f"layers.{digits}") is None

    def test_a_range(self) -> None:
        rule = "layers.{j:0..11}.w -> h.{j}.w"
        assert [made(rule, f"layers.{n}.w") for n in ("0", "11", "12", "111")] == ["h.0.w", "h.11.w", None, None]
        assert made("a.{j:3..3} -> b.{j}", "a.3") == "b.3"
        cure = "write the smaller number first, as in {j:0..11}"
        refuses("a.{j:11..0} -> b.{j}", "     ~~~~^", "a range that holds no index", cure)

    def test_a_range_keeps_the_text_as_it_stood(self) -> None:
        assert made("a.{j:0..11} -> b.{j}", "a.007") == "b.007"

    def test_the_same_slot_twice_means_equal_text(self) -> None:
        assert made("{p}.{p}.w -> {p}.w", "conv.conv.w") == "conv.w"
        assert made("{p}.{p}.w -> {p}.w", "conv.conv2.w") is None
        assert made("{i:d}.{i}.w -> {i}.w", "3.3.w") == "3.w"
        assert made("{i:d}.{i}.w -> {i}.w", "3.03.w") is None
        assert made("{i}.{i:d}.w -> {i}.w", "a.a.w") is None
        assert made("a{p}b{p}c -> {p}", "axbxc") == "x"
        assert made("{w:a|b}.{w} -> {w}", "b.b") == "b"
        assert made("{w:a|b}.{w} -> {w}", "b.a") is None

    def test_equal_text_is_looked_for_not_hoped_for(self) -> None:
        assert bound("{p}{q}.{q}", "abab.ab") == {"p": "ab", "q": "ab"}
        assert bound("**.{p}.{p}", "a.b.c.c") == {"p": "c"}

    def test_one_type_for_one_slot(self) -> None:
        refuses("{i:d}.{i:0..3} -> {i}", "      ~~~~~~~^", "slot 'i' has two types", "write {i} here")
        refuses("{i:d}.w -> {i:0..3}", "           ~~~~~~~^", "slot 'i' has two types", "write {i} here")
        refuses("{i}.w -> {i:d}", "~~^", "slot 'i' has its type on the right only", "give it its type here: {i:d}")

    @pytest.mark.parametrize("name", ["p", "layer", "p_1", "a0", "d"])
    def test_a_name(self, name: str) -> None:
        assert made(f"{{{name}}}.w -> {{{name}}}", "x.w") == "x"

    @pytest.mark.parametrize("name", ["P", "_p", "é"])
    def test_what_is_no_name(self, name: str) -> None:
        refuses(f"{{{name}}}.w -> x", " ^", f"'{name[0]}' cannot stand in braces", BRACES)

    def test_a_name_with_a_digit_first_is_arithmetic_gone_wrong(self) -> None:
        refuses("{1p}.w -> x", "  ^", "'p' cannot stand here", BRACES)

    def test_no_name(self) -> None:
        refuses("{}.w -> x", "~^", "nothing stands in these braces", BRACES)

    def test_a_kind_that_there_is_not(self) -> None:
        cure = "write {i:d} for digits, {j:0..11} for a range, {w:a|b} for a choice of texts"
        refuses("{p:s}.w -> x", "   ^", "'s' is no kind of slot", cure)

    def test_the_right_side_has_no_slot_of_its_own(self) -> None:
        refuses("{p}.w -> {q}.w", "         ~~^", "slot 'q' is not on the left", "use a slot of the left side: {p}")
        refuses("a.w -> {q}.w", "       ~~^", "slot 'q' is not on the left", "put the slot on the left side too")


class TestChoices:
    """``{w:a|b}`` is one of the texts; on the right the n-th stands for the n-th."""

    RULE = "mlp.{w:w1|w2|w3}.weight -> mlp.{w:gate_proj|down_proj|up_proj}.weight"

    def test_by_position(self) -> None:
        made_of = [made(self.RULE, f"mlp.w{n}.weight") for n in (1, 2, 3)]
        assert made_of == ["mlp.gate_proj.weight", "mlp.down_proj.weight", "mlp.up_proj.weight"]
        assert made(self.RULE, "mlp.w4.weight") is None

    def test_kept_as_it_is(self) -> None:
        assert made("{w:q|k}.w -> {w}_proj.w", "k.w") == "k_proj.w"

    def test_two_right_sides_of_one_choice(self) -> None:
        assert made("{w:q|k}.w -> {w:query|key}.{w:0|1}.w", "k.w") == "key.1.w"

    def test_longest_first(self) -> None:
        assert bound("{w:a|ab}{p}", "abc") == {"w": "ab", "p": "c"}
        assert bound("{w:ab|a}{p}", "abc") == {"w": "ab", "p": "c"}
        # Longest first is an order, not a vow: where only the short one leads to a match, it is taken.
        assert bound("{w:a|ab}{p}", "ab") == {"w": "a", "p": "b"}

    def test_a_choice_may_hold_dots(self) -> None:
        rule = "{w:attn.q|attn.k|mlp}.weight -> {w:q_proj|k_proj|mlp.fc}.weight"
        assert [made(rule, key) for key in ("attn.k.weight", "mlp.weight", "attn.weight")] == [
            "k_proj.weight",
            "mlp.fc.weight",
            None,
        ]
        assert bound("{w:a|a.b}.**", "a.b.c") == {"w": "a.b"}

    def test_a_choice_may_be_quoted(self) -> None:
        assert made('{w:"a|b"|c}.w -> {w:"x, y"|"{z}"}.w', "a|b.w") == "x, y.w"
        cure = 'put literal text that has such characters in quotes, as in `"[".weight`'
        refuses("{w:[|b}.w -> {w}", "   ^", "'[' is reserved", cure)

    def test_the_right_side_has_the_same_name_and_as_many(self) -> None:
        cure = "write one for each of {w:a|b}"
        refuses("{w:a|b} -> {w:x|y|z}", "           ~~~~~~~~^", "2 choices on the left and 3 on the right", cure)
        cure = "use a slot of the left side: {w}"
        refuses("{w:a|b} -> {v:x|y}", "           ~~~~~~^", "slot 'v' is not on the left", cure)
        refuses("{w} -> {w:x|y}", "       ~~~~~~^", "slot 'w' is no choice on the left", "write {w} here")

    def test_what_no_choice_can_be(self) -> None:
        refuses("{w:a|a} -> {w}", "~~~~~~^", "'a' stands twice in one set", "name each member once")
        refuses("{w:a|} -> {w}", "    ~^", "an empty choice", "leave it out: a slot is never empty")


class TestSets:
    """``{q,k,v}`` and ``{0-2,5}`` are choices without a name, paired by order; what reports print is made of them."""

    def test_members(self) -> None:
        assert made("{q,k,v}_proj.w -> w{q,k,v}.w", "k_proj.w") == "wk.w"
        assert made("{q,k,v}_proj.w -> w{q,k,v}.w", "o_proj.w") is None

    def test_indices(self) -> None:
        rule = "layers.{0-2,5}.w -> h.{1-3,9}.w"
        assert [made(rule, f"layers.{n}.w") for n in (0, 2, 3, 5, "02")] == ["h.1.w", "h.3.w", None, "h.9.w", None]

    def test_pairs_by_order(self) -> None:
        assert made("{a,b}.{0-1} -> {x,y}.{5-6}", "b.1") == "y.6"

    def test_a_set_without_a_partner(self) -> None:
        cure = "put the set on the left that it pairs with, or give both a name, as in {w:a|b}"
        refuses("{a,b}.w -> {x,y}.{0,1}", "                 ~~~~^", "a set without a partner on the left", cure)
        cure = "write one member for each of {a,b}"
        refuses("{a,b}.w -> {x,y,z}", "           ~~~~~~^", "2 members on the left and 3 on the right", cure)
        refuses("{0-3,2}.w -> x", "~~~~~~^", "'2' stands twice in one set", "name each member once")


class TestArithmetic:
    """``+ - * // %`` over digit slots: computed on the right, solved on the left."""

    @pytest.mark.parametrize(
        ("expression", "result"),
        [("i+1", "8"), ("i-7", "0"), ("2*i", "14"), ("i//2", "3"), ("i%4", "3"), ("2*(i-3)+1", "9"), ("10-i-2", "1")],
    )
    def test_on_the_right(self, expression: str, result: str) -> None:
        assert made(f"a.{{i:d}} -> b.{{{expression}}}", "a.7") == f"b.{result}"

    def test_several_slots(self) -> None:
        assert made("a.{i:d}.{j:0..1}.** -> b.{2*i+j}.**", "a.3.1.w") == "b.7.w"

    def test_slots_that_stand_on_the_right_only(self) -> None:
        rule = "input_blocks.{3*i+j+1}.0.** -> down_blocks.{i:d}.resnets.{j:0..1}.**"
        assert [made(rule, f"input_blocks.{n}.0.w") for n in range(6)] == [
            None,
            "down_blocks.0.resnets.0.w",
            "down_blocks.0.resnets.1.w",
            None,  # 3 = 3*i+j+1 has no j in 0..1
            "down_blocks.1.resnets.0.w",
            "down_blocks.1.resnets.1.w",
        ]

    def test_it_matches_only_where_there_is_one_solution(self) -> None:
        assert made("a.{2*i+j} -> b.{i:d}.{j:0..1}", "a.5") == "b.2.1"
        assert made("a.{2*i+j} -> b.{i:d}.{j:0..2}", "a.5") == "b.2.1"
        # 4 is 2*2+0 and 2*1+2.
        assert made("a.{2*i+j} -> b.{i:d}.{j:0..2}", "a.4") is None
        assert made("a.{i//2} -> b.{i:d}", "a.4") is None
        assert made("a.{i//2}.{i%2} -> b.{i:d}", "a.4.1") == "b.9"
        assert made("a.{i-j} -> b.{i:d}.{j:d}", "a.4") is None

    def test_what_stands_on_the_left_is_known(self) -> None:
        assert made("{i:d}.{i+1}.w -> {i}.w", "3.4.w") == "3.w"
        assert made("{i:d}.{i+1}.w -> {i}.w", "3.5.w") is None
        assert made("{i:d}.{i+j}.w -> {i}.{j:d}.w", "3.5.w") == "3.2.w"

    def test_a_negative_solution_is_none(self) -> None:
        assert made("a.{i+3} -> b.{i:d}", "a.2") is None

    def test_a_negative_result_is_an_error(self) -> None:
        with pytest.raises(BadArithmetic) as caught:
            Rules.parse("\na.{i:d} -> b.{i-1}", name="a.rules")("a.0")
        assert caught.value.message == "'{i-1}' is -1 for the key 'a.0'"
        assert (caught.value.where, caught.value.evidence) == ("a.rules:2", ("a.{i:d} -> b.{i-1}",))
        assert Rules.parse("a.0 -> a.0\na.{i:d} -> b.{i-1}")("a.0") == "a.0"

    def test_division_by_zero_is_an_error(self) -> None:
        with pytest.raises(BadArithmetic, match=r"'\{6//i\}' divides by zero for the key 'a\.0'"):
            made("a.{i:d} -> b.{6//i}", "a.0")

    def test_without_arithmetic_leading_zeros_stay(self) -> None:
        assert made("a.{i:d} -> b.{i}", "a.007") == "b.007"

    def test_arithmetic_on_leading_zeros_is_an_error(self) -> None:
        with pytest.raises(BadArithmetic, match=r"'\{i\+1\}' computes with the leading zeros of '007'"):
            made("a.{i:d} -> b.{i+1}", "a.007")
        with pytest.raises(BadArithmetic, match=r"'\{i\+1\}' computes with the leading zeros of '007'"):
            made("a.{i+1} -> b.{i:d}", "a.007")
        assert made("a.{i:d} -> b.{i+1}", "a.0") == "b.1"

    def test_numbers_have_eighteen_digits_at_most(self) -> None:
        assert made("a.{i:d} -> b.{i+1}", "a." + "9" * 18) == "b.1" + "0" * 18
        with pytest.raises(BadArithmetic, match="computes with a number of 19 digits"):
            made("a.{i:d} -> b.{i+1}", "a." + "9" * 19)
        assert made("a.{i+1} -> b.{i:d}", "a." + "9" * 19) is None
        assert made("a.{i:d} -> b.{i}", "a." + "9" * 30) == "b." + "9" * 30

    def test_a_slot_that_is_no_number(self) -> None:
        cure = "type the slot on the left: {i:d}"
        refuses("a.{i} -> b.{i+1}", "           ~~~~^", "arithmetic over 'i', which is no digit slot", cure)
        cure = "write {i:d} or {i:0..1} where it stands alone"
        refuses("a.{i+1} -> b.{i}", "  ~~~~^", "arithmetic over 'i', which is no digit slot", cure)

    def test_what_cannot_be_solved(self) -> None:
        cure = "multiply by numbers only, and divide by numbers only, where a slot has to be solved for"
        refuses("a.{i*j} -> b.{i:d}.{j:d}", "  ~~~~^", "'i*j' cannot be solved", cure)
        refuses("a.{6//i} -> b.{i:d}", "  ~~~~~^", "'6//i' cannot be solved", cure)

    def test_what_is_no_arithmetic(self) -> None:
        refuses("a.{i:d} -> b.{i+}", "              ~^", "the arithmetic stops too early", BRACES)
        refuses("a.{i:d} -> b.{i/2}", "               ^", "'/' cannot stand in braces", BRACES)
        refuses("a.{i:d} -> b.{-i}", "              ^", "'-' cannot stand here", BRACES)
        refuses("a.{i:d} -> b.{1+1}", "             ~~~~^", "arithmetic without a slot", "write the number itself")


class TestStars:
    """``**`` stands for zero or more whole segments; an empty one takes its dot with it."""

    def test_strip_and_add(self) -> None:
        assert made("module.** -> **", "module.fc.weight") == "fc.weight"
        assert made("module.** -> **", "modules.fc.weight") is None
        assert made("** -> model.**", "fc.weight") == "model.fc.weight"

    def test_zero_segments(self) -> None:
        assert made("a.** -> b.**", "a") == "b"
        assert made("**.a -> **.b", "a") == "b"
        assert made("a.**.b -> x.**.y", "a.b") == "x.y"
        assert made("a.**.b -> x.**.y", "a..b") == "x..y"
        assert made("a.**.b -> x.**.y", "ab") is None

    def test_a_rule_that_would_leave_an_empty_key_does_not_match(self) -> None:
        assert made("module.** -> **", "module") is None
        assert made("**.module.** -> **.**", "module.module") is None
        assert Rules.parse("module.** -> **\nmodule -> kept")("module") == "kept"

    def test_one_target_of_two_would_be_empty(self) -> None:
        assert made("module.** -> ** & x.**", "module") is None

    def test_several_bind_left_to_right_shortest_first(self) -> None:
        found = Pattern.parse("**.a.**.b.**").match("x.a.a.b.b.y")
        assert found is not None and found.stars == ("x", "a", "b.y")
        found = Pattern.parse("**.**").match("a.b")
        assert found is not None and found.stars == ("", "a.b")

    def test_the_n_th_stands_for_the_n_th(self) -> None:
        assert made("a.**.b.** -> **.x.**", "a.1.2.b.3") == "1.2.x.3"

    def test_stars_before_and_behind_slots_keep_their_own(self) -> None:
        assert made("layers.{i}.x.**.w -> h.**.x.{i}.w", "layers.3.x.foo.w") == "h.foo.x.3.w"
        assert made("layers.{i}.x.**.w -> h.{i}.x.**.w", "layers.3.x.foo.w") == "h.3.x.foo.w"

    def test_as_many_on_both_sides(self) -> None:
        refuses("module.** -> x", "             ^", "1 `**` on the left and 0 on the right", AS_MANY)
        refuses("module.** -> **.**", "             ~~~~^", "1 `**` on the left and 2 on the right", AS_MANY)
        refuses("a.** -> b.** & c", "               ^", "1 `**` on the left and 0 on the right", AS_MANY)

    def test_whole_segments_only(self) -> None:
        cure = "put dots around `**`, as in `module.**`; a slot such as {p} stands for a part of a segment"
        refuses("a**.b -> c.**", " ~^", "'**' stands for whole segments only", cure)
        refuses("{p}**.b -> c.**", "   ~^", "'**' stands for whole segments only", cure)
        refuses("a.** -> c_**", "          ~^", "'**' stands for whole segments only", cure)


class TestEverywhere:
    """With exactly two ``**`` around something, the rule applies to every occurrence of it, never rescanning."""

    def test_a_wrapper_segment_wherever_it_stands(self) -> None:
        rule = "**._orig_mod.** -> **.**"
        assert made(rule, "_orig_mod.net._orig_mod.0._orig_mod.weight") == "net.0.weight"
        assert made(rule, "net._orig_mod") == "net"
        assert made(rule, "net.my_orig_mod.weight") is None

    def test_every_occurrence(self) -> None:
        assert made("**.a.** -> **.b.**", "a.a.x.a") == "b.b.x.b"

    def test_slots_bind_anew_at_each(self) -> None:
        assert made("**.h{i:d}.** -> **.layer.{i}.**", "h0.x.h12.w") == "layer.0.x.layer.12.w"
        assert made("**.{p}.norm.** -> **.norm.{p}.**", "a.norm.b.norm.w") == "norm.a.norm.b.w"

    def test_what_it_wrote_is_not_read_again(self) -> None:
        assert made("**.a.** -> **.a.a.**", "a.a") == "a.a.a.a"
        assert made("**.a.b.** -> **.b.a.**", "a.b.b") == "b.a.b"
        assert made("**.a.a.** -> **.a.**", "a.a.a") == "a.a"

    def test_it_does_not_need_to_touch_both_ends(self) -> None:
        assert made("**.a.** -> x.**.b.**.y", "1.a.2.a") == "x.1.b.2.b.y"

    def test_several_segments(self) -> None:
        assert made("**.a.b.** -> **.c.**", "a.b.a.a.b") == "c.a.c"

    def test_one_star_is_one_place(self) -> None:
        assert made("**.a.w -> **.b.w", "a.a.w") == "a.b.w"

    def test_three_stars_are_one_match(self) -> None:
        assert made("**.a.**.a.** -> **.b.**.b.**", "a.a.a") == "b.b.a"


class TestTargets:
    """``&`` gives one source two names; ``!drop`` leaves out; ``!open`` leaves undecided."""

    def test_two_names(self) -> None:
        assert made("embed.weight -> embed.weight & lm_head.weight", "embed.weight") == "embed.weight & lm_head.weight"
        assert Rules.parse("a -> b & c & d").targets("a") == ("b", "c", "d")

    def test_two_names_that_come_out_the_same_are_one(self) -> None:
        assert made("{p}.w -> {p}.w & a.w", "a.w") == "a.w"

    def test_a_target_is_missing(self) -> None:
        cure = "write `a -> b & c` for two names of one tensor"
        refuses("a -> b &", "     ~~^", "a target is missing beside '&'", cure)
        refuses("a -> b & b", "         ^", "the same target twice", "name each target once")
        assert made('a -> "b & c"', "a") == "b & c"

    def test_drop(self) -> None:
        rules = Rules.parse("**.num_batches_tracked -> !drop")
        assert (rules("bn.num_batches_tracked"), rules("bn.weight")) == (None, "bn.weight")
        assert rules.targets("bn.num_batches_tracked") == ()
        assert made('a -> "!drop"', "a") == "!drop"

    def test_open(self) -> None:
        (fate,) = Rules.parse("blocks.{i:d}.w1.weight -> !open").fates("blocks.0.w1.weight")
        assert (fate.is_open, fate.name) == (True, "blocks.0.w1.weight")

    def test_what_is_no_action(self) -> None:
        cure = "write `!drop` to leave keys out, `!open` for what is not decided; quote a literal '!'"
        refuses("a -> !skip", "     ~~~~^", "'!skip' is no action", cure)
        refuses("a -> !drop & b", "     ~~~~~~~~^", "'!drop & b' is no action", cure)
