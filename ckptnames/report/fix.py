"""What ``fix`` did or would do, on one screen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptnames.errors import PlanError, shown
from ckptnames.fixing.fix import Prepared
from ckptnames.formats.checkpoint import Remarks
from ckptnames.report.text import counted
from ckptnames.rules import Plan, Problem

_MOST_LISTED = 5


def fix_text(ready: Prepared, remarks: Remarks, written: Path | None) -> str:
    """Say what was written under which rules, and what still speaks of the old names; ``None`` for a dry run."""
    return "".join(f"{line}\n" for line in _lines(ready, remarks, written))


def _lines(ready: Prepared, remarks: Remarks, written: Path | None) -> Iterator[str]:
    plan = ready.plan
    if plan.outcome == "nothing-to-do":
        yield "Nothing to do: no rule matches, and the names are right as they stand. Nothing was written."
        yield from _notes(plan)
        return
    containers = " and ".join(f"'{shown(name)}'" for name in ready.renames if name)
    verb = "would be renamed" if written is None else "renamed"
    n_renamed = sum(decision.action == "rename" for decision in plan.decisions)
    yield f"{n_renamed:,} of {counted(len(plan.source), 'key')}{containers and f' in {containers}'} {verb}:"
    yield from (f"  {shown(line)}" for line in str(plan.rules).strip().splitlines())
    if ready.entries:
        yield f"entries that are not tensors, with their modules: {len(ready.entries):,}"
        yield from _some([f"  {key} -> {' & '.join(names) or '!drop'}" for key, names in ready.entries.items()])
    if plan.dropped:
        yield f"{counted(len(plan.dropped), 'key')} left out:"
        yield from _some([f"  {key}" for key in plan.dropped])
    yield from _notes(plan)
    yield from (f"note: {message}" for _, message in _said(remarks))
    yield "Nothing was written (--dry-run)." if written is None else f"wrote {shown(str(written))}"


def _notes(plan: Plan) -> Iterator[str]:
    for word, problems in (("note", plan.problems), ("allowed", plan.allowed)):
        for code in dict.fromkeys(problem.code for problem in problems):
            yield from _some([f"{word}[{code}]: {problem.message}" for problem in problems if problem.code == code])


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from map(shown, lines[:_MOST_LISTED])
    if len(lines) > _MOST_LISTED:
        yield f"  … and {len(lines) - _MOST_LISTED:,} more"


def _said(remarks: Remarks) -> Iterator[tuple[str, str]]:
    """Put what the renames do not reach into words, each with a code."""
    for place, n in remarks.stale:
        still = f"'{shown(place)}' still holds {counted(n, 'old name')}"
        yield "stale-names", f"{still}; --also {shlex.quote(shown(place))} renames it too"
    for file, n in remarks.configs:
        yield "stale-names", f"'{shown(file)}' still holds {counted(n, 'old name')}: it is copied as it is"
    for path, kept, left_out in remarks.conflicts:
        both = f"'{shown(kept)}' and '{shown(left_out)}' both become '{shown(path)}'"
        yield "module-conflict", f"the modules {both}, which keeps the version of the first in '_metadata'"
    if remarks.not_copied:
        listed = ", ".join(map(shown, remarks.not_copied[:_MOST_LISTED]))
        more = len(remarks.not_copied) - _MOST_LISTED
        yield "not-copied", f"not copied: {listed}{f' and {more:,} more' if more > 0 else ''}"


def fix_json(
    ready: Prepared | None,
    remarks: Remarks | None = None,
    written: Path | None = None,
    error: PlanError | None = None,
) -> Mapping[str, Any]:
    """Give the object that ``ckptnames fix --json`` prints; ``error`` is what stopped it, where the plan did not."""
    problems = [] if ready is None else [_problem_json(problem) for problem in ready.plan.problems]
    problems += [] if remarks is None else [_warning(*said) for said in _said(remarks)]
    if error is not None and error.code not in {problem["code"] for problem in problems}:
        problems.insert(0, {"code": error.code, "message": error.message})
    return {
        "written": None if written is None else str(written),
        "rules": None if ready is None else str(ready.plan.rules),
        "renamed": {} if ready is None else _renamed(ready),
        "dropped": [] if ready is None else list(ready.plan.dropped),
        "problems": problems,
    }


def _renamed(ready: Prepared) -> dict[str, str]:
    """Give the keys that are renamed, source key to target key."""
    tensors = {source: target for target, source in ready.plan.mapping.items() if source != target}
    return tensors | {entry: names[0] for entry, names in ready.entries.items() if names}


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "keys": list(problem.keys),
        "targets": list(problem.targets),
    }


def _warning(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "severity": "warning", "message": message, "keys": [], "targets": []}
