"""The rule language: patterns, rules, and plans of what they do to a set of keys."""

from ckptnames.rules.pattern import Pattern
from ckptnames.rules.plans import Decision, Plan, Problem, plan
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Rules

__all__ = ["Decision", "Pattern", "Plan", "Problem", "Rule", "Rules", "plan"]
