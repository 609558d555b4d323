"""A ``Plan`` on one screen: what is renamed and left out, what was accepted, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ckptnames.folding import fold
from ckptnames.report.text import columns
from ckptnames.rules import Plan, Problem
from ckptnames.rules.problems import why_unmatched
from ckptnames.wording import counted, shown

MOST_LISTED = 5

_MEANINGS = {
    "unexpected-key": "not in the target, and kept in the file (--drop-unexpected leaves them out)",
    "dtype-mismatch": "of another dtype than in the target, and kept as they are (torch converts on loading)",
    "unmatched-rule": "matches no key",
}
"""What warnings mean for the keys or rules that they list."""

_ALLOWED = {
    "shape-mismatch": "of another shape, and left out",
    "unfilled-target": "filled by nothing",
    "key-collision": "claimed by several source keys, of which the first stays",
    "open-target": "of which what it holds is not known",
    "open-key": "not decided, and kept under their names",
    "split-siblings": "parted from what gives them meaning",
    "unexpected-key": "not in the target, and kept in the file",
    "dtype-mismatch": "of another dtype than in the target, and kept as they are",
}


def plan_text(plan: Plan) -> str:
    """Say on one screen what a plan would do, and what is wrong with it.

    >>> from ckptnames.rules import plan
    >>> print(plan_text(plan(["module.fc.bias"], "module.** -> **")), end="")
    1 of 1 key would be renamed:
      module.** -> **
    """
    lines = [*changes(plan, "would be renamed"), *notes(plan), *map(str, plan.errors)]
    return "".join(f"{line}\n" for line in lines)


def changes(plan: Plan, verb: str, containers: Sequence[str] = ()) -> Iterator[str]:
    """Say how many keys are renamed, in which containers and under which rules, and which are left out."""
    changed = renamed(plan)
    names = " and ".join(f"'{shown(name)}'" for name in containers or [plan.source.container] if name)
    where = f" in {names}" if names else ""
    yield f"{len(changed):,} of {counted(len(plan.source), 'key')}{where} {verb}" + (":" if changed else "")
    if changed:
        yield from (f"  {shown(line)}" for line in str(plan.rules).strip().splitlines())
    if plan.dropped:
        yield f"{counted(len(plan.dropped), 'key')} left out:"
        yield from _patterns(plan.dropped)


def notes(plan: Plan) -> Iterator[str]:
    """Say what is worth a word and stops nothing, and what was accepted."""
    warnings = [problem for problem in plan.problems if problem.severity == "warning"]
    for code in dict.fromkeys(problem.code for problem in warnings):
        found = [problem for problem in warnings if problem.code == code]
        noun = "rule" if code.endswith("-rule") else "key"
        yield f"note[{code}]: {counted(len(found), noun)} {_MEANINGS[code]}:"
        if noun == "rule":
            yield from columns(_rule_row(plan, problem) for problem in found[:MOST_LISTED])
        else:
            yield from _patterns(problem.targets[0] for problem in found)
    for code in dict.fromkeys(problem.code for problem in plan.allowed):
        found = [problem for problem in plan.allowed if problem.code == code]
        yield f"allowed[{code}]: {counted(len(found), 'key')} {_ALLOWED[code]}:"
        yield from _patterns((problem.targets or problem.keys)[0] for problem in found)


def _rule_row(plan: Plan, problem: Problem) -> tuple[str, ...]:
    return f"  {shown(problem.where[0])}", shown(problem.rule), shown(why_unmatched(problem.rule, plan.source))


def _patterns(keys: Iterable[str]) -> Iterator[str]:
    groups = fold((key, "") for key in dict.fromkeys(keys))
    yield from (f"  {shown(group.pattern)}" for group in groups[:MOST_LISTED])
    if len(groups) > MOST_LISTED:
        yield f"  … and {counted(sum(group.n_keys for group in groups[MOST_LISTED:]), 'more key')}"


def some(lines: Sequence[str]) -> Iterator[str]:
    """Show the first few lines, and count the others."""
    yield from map(shown, lines[:MOST_LISTED])
    if len(lines) > MOST_LISTED:
        yield f"  … and {len(lines) - MOST_LISTED:,} more"


def renamed(plan: Plan) -> dict[str, str]:
    """Give the keys that the plan renames, source key to target key."""
    return {source: target for target, source in plan.names.items() if source != target}
