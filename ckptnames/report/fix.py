"""What ``fix`` did or would do, on one screen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptnames.errors import shown
from ckptnames.fixing.fix import Prepared
from ckptnames.report.text import counted
from ckptnames.rules import Plan, Problem

_MOST_LISTED = 5


def fix_text(ready: Prepared, written: Path | None) -> str:
    """Say what was written under which rules, and what still speaks of the old names; ``None`` for a dry run."""
    return "".join(f"{line}\n" for line in _lines(ready, written))


def _lines(ready: Prepared, written: Path | None) -> Iterator[str]:
    plan = ready.plan
    if plan.outcome == "nothing-to-do":
        yield "Nothing to do: no rule matches, and the names are right as they stand. Nothing was written."
        yield from _notes(plan)
        return
    container = f" in '{shown(plan.source.container)}'" if plan.source.container else ""
    verb = "would be renamed" if written is None else "renamed"
    yield f"{len(renamed(plan)):,} of {counted(len(plan.source), 'key')}{container} {verb}:"
    yield from (f"  {shown(line)}" for line in str(plan.rules).strip().splitlines())
    if plan.dropped:
        yield f"{counted(len(plan.dropped), 'key')} left out:"
        yield from (f"  {shown(key)}" for key in plan.dropped[:_MOST_LISTED])
        if len(plan.dropped) > _MOST_LISTED:
            yield f"  … and {len(plan.dropped) - _MOST_LISTED:,} more"
    yield from _notes(plan)
    for place, n in ready.stale:
        where = shown(place)
        yield f"note: '{where}' still holds {counted(n, 'old name')}; --also {shlex.quote(where)} renames it too"
    yield "Nothing was written (--dry-run)." if written is None else f"wrote {shown(str(written))}"


def _notes(plan: Plan) -> Iterator[str]:
    for problem in plan.problems:
        yield f"note[{problem.code}]: {shown(problem.message)}"
    for problem in plan.allowed:
        yield f"allowed[{problem.code}]: {shown(problem.message)}"


def renamed(plan: Plan) -> dict[str, str]:
    """Give the keys that the plan renames, source key to target key."""
    return {source: target for target, source in plan.mapping.items() if source != target}


def fix_json(plan: Plan | None, written: Path | None, problems: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
    """Give the object that ``ckptnames fix --json`` prints; without a plan only ``problems`` say why."""
    return {
        "written": None if written is None else str(written),
        "rules": None if plan is None else str(plan.rules),
        "renamed": {} if plan is None else renamed(plan),
        "dropped": [] if plan is None else list(plan.dropped),
        "problems": [*problems, *([] if plan is None else map(_problem_json, plan.problems))],
    }


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "keys": list(problem.keys),
        "targets": list(problem.targets),
    }
