"""What ``fix`` did or would do, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ckptnames.errors import PlanError
from ckptnames.fixing.fix import Prepared
from ckptnames.report.plan import changes, notes, renamed
from ckptnames.rules import Plan, Problem
from ckptnames.wording import counted, in_shell, shown


def fix_text(ready: Prepared, written: Path | None) -> str:
    """Say what was written under which rules, and what still speaks of the old names; ``None`` for a dry run."""
    return "".join(f"{line}\n" for line in _lines(ready, written))


def _lines(ready: Prepared, written: Path | None) -> Iterator[str]:
    plan = ready.plan
    if plan.outcome == "nothing-to-do":
        yield from _nothing_to_do(ready)
        return
    yield from changes(plan, "would be renamed" if written is None else "renamed")
    yield from notes(plan)
    for place, n in ready.stale:
        yield f"note: '{shown(place)}' still holds {counted(n, 'old name')}; --also {in_shell(place)} renames it too"
    yield "Nothing was written (--dry-run)." if written is None else f"wrote {shown(str(written))}"


def _nothing_to_do(ready: Prepared) -> Iterator[str]:
    plan = ready.plan
    why = "no rule matches any key" if plan.target is None else "the names are those of the target already"
    yield f"Nothing to do: {why}. Nothing was written."
    yield from notes(plan)
    names = [container.info.name or "the root" for container in ready.checkpoint.containers]
    if len(names) > 1:
        chosen = plan.source.container or "the root"
        others = ", ".join(f"'{shown(name)}'" for name in names if name != chosen)
        yield f"note: these are the keys of '{shown(chosen)}'; the file also has {others}"


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
