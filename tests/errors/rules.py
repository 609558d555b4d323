"""Rules that cannot mean anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptnames import Rules, errors, plan
from tests.errors.made import save
from tests.errors.raising import command, raises


@raises(errors.RuleSyntax)
def a_rule_without_an_arrow() -> None:
    """
    error[rule-syntax]: there is no ' -> ' in this rule
      --> llama.rules:3:1
      wk.** q_proj.**
      ~~~~~~~~~~~~~~^
      help: write `source pattern -> target pattern`, with a space on both sides of the arrow
    """
    Path("llama.rules").write_text("# ckptnames rules 1\nwq.** -> q_proj.**\nwk.** q_proj.**\n")
    Rules.load("llama.rules")


@raises(errors.RuleSyntax)
def a_rule_on_the_command_line() -> None:
    """
    error[rule-syntax]: 'x' is no kind of slot
      --> --rule:1:11
      layers.{i:x}.w -> blocks.{i}.w
                ^
      help: write {i:d} for digits, {j:0..11} for a range, {w:a|b} for a choice of texts. Nothing was written
    """
    save("model.pt", "w")
    command("fix", "model.pt", "--rule", "layers.{i:x}.w -> blocks.{i}.w", "-o", "out.pt")


@raises(errors.RuleSyntax)
def a_prefix_that_is_none() -> None:
    """
    error[rule-syntax]: an empty segment
      --> --strip:1:1
      .** -> **
      ^
      help: write `module.**` for a prefix; an empty segment that is meant stands in quotes, as in `"a..b"`. Nothing was written
    """
    save("model.pt", "w")
    command("fix", "model.pt", "--add", "net..", "--strip", "", "-o", "out.pt")


@raises(errors.UnknownRulesVersion)
def rules_of_another_version() -> None:
    """
    error[rules-version]: these are rules of version '2': this ckptnames reads version 1
      --> new.rules:1
      help: update ckptnames, or rewrite the file in version 1 and name that in its first line
    """
    Path("new.rules").write_text("# ckptnames rules 2\n")
    Rules.load("new.rules")


@raises(errors.UnreadableRules)
def rules_that_are_not_there() -> None:
    """
    error[unreadable-rules]: the rules 'llama.rules' cannot be read: No such file or directory
      --> llama.rules
      help: name a file of rules in UTF-8, one `source pattern -> target pattern` a line. Nothing was written
    """
    save("model.pt", "w")
    command("fix", "model.pt", "--rules", "llama.rules", "-o", "out.pt")


@raises(errors.UnreadableRules)
def rules_that_are_no_text() -> None:
    """
    error[unreadable-rules]: the rules 'model.pt' cannot be read: byte 64 is not UTF-8
      --> model.pt
      help: name a file of rules in UTF-8, one `source pattern -> target pattern` a line. Nothing was written
    """
    save("model.pt", "w")
    command("fix", "model.pt", "--rules", "model.pt", "-o", "out.pt")


@raises(errors.UnknownRecipe)
def a_recipe_that_is_spelled_otherwise() -> None:
    """
    error[unknown-recipe]: there is no recipe called 'weightnorm'
      help: did you mean 'recipe:weight-norm', 'recipe:weight-norm-old' or 'recipe:spectral-norm'? Nothing was written
    """
    save("model.pt", "a.weight_g", "a.weight_v")
    command("fix", "model.pt", "--rules", "recipe:weightnorm", "-o", "out.pt")


@raises(errors.UnknownRecipe)
def a_recipe_that_there_is_not() -> None:
    """
    error[unknown-recipe]: there is no recipe called 'llama'
      help: list them all: ckptnames infer --recipes
    """
    Rules.load("recipe:llama")


@raises(errors.BadArithmetic)
def an_index_below_zero() -> None:
    """
    error[bad-arithmetic]: '{i-1}' is -1 for the key 'conv0.w'
      --> --rule:1
      conv{i:d}.w -> conv{i-1}.w
      help: put a rule for such keys before it, as in `conv0.w -> conv0.w`, which keeps the name. Nothing was written
    """
    save("model.pt", "conv0.w", "conv1.w")
    command("fix", "model.pt", "--rule", "conv{i:d}.w -> conv{i-1}.w", "-o", "out.pt")


@raises(errors.KeyTooLong)
def a_key_that_takes_too_long() -> None:
    """
    error[key-too-long]: a key of 6,002 characters is too long for the pattern '{a}{b}{a}{c}x'
      abababababababababababababababababababababababababababababab…
      help: name each slot of the pattern once, and put dots around the slots
    """
    with pytest.MonkeyPatch.context() as patch:
        # As many steps as are allowed take two seconds.
        patch.setattr("ckptnames.rules.matching._MOST_STATES", 10_000)
        plan(["ab" * 3000 + "xb"], "{a}{b}{a}{c}x -> {a}.{b}.{c}")


@raises(errors.NotInvertible)
def rules_that_lose_something() -> None:
    """
    error[not-invertible]: the rules cannot be inverted: a dropped key does not come back
      --> llama.rules:2
      {p}.num_batches_tracked -> !drop
      help: keep the file that the rules were applied to
    """
    Rules.parse("a.** -> b.**\n{p}.num_batches_tracked -> !drop", name="llama.rules").inverse()


@raises(errors.CannotAccept)
def a_caution_that_there_is_not() -> None:
    """
    error[cannot-accept]: there is no caution called 'transposed'
      help: name one of these: rotary-layout, fused-layout, gate-order, scale-shift-order, patch-order, bare-weight. Nothing was written
    """
    save("model.pt", "module.w")
    command("fix", "model.pt", "--strip", "module", "--accept", "transposed", "-o", "out.pt")


@raises(errors.CannotAllow)
def a_problem_that_is_none() -> None:
    """
    error[cannot-allow]: 'unmatched-rule' is not a problem that can be allowed
      help: name one of these: key-collision, open-key, open-target, shape-mismatch, unfilled-target, split-siblings, unexpected-key, dtype-mismatch. Nothing was written
    """
    save("model.pt", "w")
    command("fix", "model.pt", "--rule", "w -> v", "--allow", "unmatched-rule=**", "-o", "out.pt")
