"""What ``fix`` did or would do, on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ckptnames.errors import PlanError
from ckptnames.fixing.fix import Prepared
from ckptnames.folding import fold
from ckptnames.report.text import columns
from ckptnames.rules import Plan, Problem
from ckptnames.rules.problems import nearest_key
from ckptnames.wording import counted, in_shell, shown

_MOST_LISTED = 5

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
    "open-key": "not decided, and kept under their names",
    "split-siblings": "parted from what gives them meaning",
    "unexpected-key": "not in the target, and kept in the file",
    "dtype-mismatch": "of another dtype than in the target, and kept as they are",
}


def fix_text(ready: Prepared, written: Path | None) -> str:
    """Say what was written under which rules, and what still speaks of the old names; ``None`` for a dry run."""
    return "".join(f"{line}\n" for line in _lines(ready, written))


def _lines(ready: Prepared, written: Path | None) -> Iterator[str]:
    plan = ready.plan
    if plan.outcome == "nothing-to-do":
        yield from _nothing_to_do(ready)
        return
    changed = renamed(plan)
    where = f" in '{shown(plan.source.container)}'" if plan.source.container else ""
    verb = "would be renamed" if written is None else "renamed"
    yield f"{len(changed):,} of {counted(len(plan.source), 'key')}{where} {verb}" + (":" if changed else "")
    if changed:
        yield from (f"  {shown(line)}" for line in str(plan.rules).strip().splitlines())
    if plan.dropped:
        yield f"{counted(len(plan.dropped), 'key')} left out:"
        yield from _patterns(plan.dropped)
    yield from _notes(plan)
    for place, n in ready.stale:
        yield f"note: '{shown(place)}' still holds {counted(n, 'old name')}; --also {in_shell(place)} renames it too"
    yield "Nothing was written (--dry-run)." if written is None else f"wrote {shown(str(written))}"


def _nothing_to_do(ready: Prepared) -> Iterator[str]:
    plan = ready.plan
    why = "no rule matches any key" if plan.target is None else "the names are those of the target already"
    yield f"Nothing to do: {why}. Nothing was written."
    yield from _notes(plan)
    names = [container.info.name or "the root" for container in ready.checkpoint.containers]
    if len(names) > 1:
        chosen = plan.source.container or "the root"
        others = ", ".join(f"'{shown(name)}'" for name in names if name != chosen)
        yield f"note: these are the keys of '{shown(chosen)}'; the file also has {others}"


def _notes(plan: Plan) -> Iterator[str]:
    for code in dict.fromkeys(problem.code for problem in plan.problems):
        found = [problem for problem in plan.problems if problem.code == code]
        noun = "rule" if code.endswith("-rule") else "key"
        yield f"note[{code}]: {counted(len(found), noun)} {_MEANINGS[code]}:"
        if noun == "rule":
            yield from columns(_rule_row(plan, problem) for problem in found[:_MOST_LISTED])
        else:
            yield from _patterns(problem.targets[0] for problem in found)
    for code in dict.fromkeys(problem.code for problem in plan.allowed):
        found = [problem for problem in plan.allowed if problem.code == code]
        yield f"allowed[{code}]: {counted(len(found), 'key')} {_ALLOWED[code]}:"
        yield from _patterns((problem.targets or problem.keys)[0] for problem in found)


def _rule_row(plan: Plan, problem: Problem) -> tuple[str, ...]:
    near = nearest_key(problem.rule, plan.source)
    return f"  {shown(problem.where[0])}", shown(problem.rule), near and f"nearest key: {shown(near)}"


def _patterns(keys: Iterable[str]) -> Iterator[str]:
    groups = fold((key, "") for key in dict.fromkeys(keys))
    yield from (f"  {shown(group.pattern)}" for group in groups[:_MOST_LISTED])
    if len(groups) > _MOST_LISTED:
        yield f"  … and {counted(sum(group.n_keys for group in groups[_MOST_LISTED:]), 'more key')}"


def renamed(plan: Plan) -> dict[str, str]:
    """Give the keys that the plan renames, source key to target key."""
    return {source: target for target, source in plan.mapping.items() if source != target}


def fix_json(plan: Plan | None, written: Path | None, error: PlanError | None = None) -> Mapping[str, Any]:
    """Give the object that ``ckptnames fix --json`` prints; ``error`` says what stopped it."""
    problems = [] if plan is None else list(map(_problem_json, plan.problems))
    if error is not None and error.code not in {problem["code"] for problem in problems}:
        problems.insert(0, _error_json(error))
    return {
        "written": None if written is None else str(written),
        "rules": None if plan is None else str(plan.rules),
        "renamed": {} if plan is None else renamed(plan),
        "dropped": [] if plan is None else list(plan.dropped),
        "problems": problems,
    }


def _error_json(error: PlanError) -> dict[str, Any]:
    return {"code": error.code, "severity": "error", "message": error.message, "keys": [], "targets": []}


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "keys": list(problem.keys),
        "targets": list(problem.targets),
    }
