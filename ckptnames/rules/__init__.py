"""The rule language: patterns, rules, and plans of what they do to a set of keys.

What is named below is loaded when it is first used: a listing needs patterns to print, and no plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptnames.rules.pattern import Pattern
    from ckptnames.rules.plans import Decision, Plan, Problem, plan
    from ckptnames.rules.rule import Rule
    from ckptnames.rules.ruleset import Rules

__all__ = ["Decision", "Pattern", "Plan", "Problem", "Rule", "Rules", "plan"]

_HOMES = {
    "Decision": "ckptnames.rules.plans",
    "Pattern": "ckptnames.rules.pattern",
    "Plan": "ckptnames.rules.plans",
    "Problem": "ckptnames.rules.plans",
    "Rule": "ckptnames.rules.rule",
    "Rules": "ckptnames.rules.ruleset",
    "plan": "ckptnames.rules.plans",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ckptnames.rules' has no attribute '{name}'")
    from importlib import import_module

    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found
