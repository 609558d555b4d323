"""What ``fix`` did or would do, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ckptnames.errors import PlanError
from ckptnames.fixing.fix import Prepared
from ckptnames.formats.checkpoint import Remarks
from ckptnames.report.plan import MOST_LISTED, changes, notes, renamed, some
from ckptnames.rules import Problem
from ckptnames.wording import counted, in_shell, not_run, shown


def fix_text(ready: Prepared, remarks: Remarks, written: Path | None) -> str:
    """Say what was written under which rules, and what still speaks of the old names; ``None`` for a dry run."""
    return "".join(f"{line}\n" for line in _lines(ready, remarks, written))


def _lines(ready: Prepared, remarks: Remarks, written: Path | None) -> Iterator[str]:
    plan = ready.plan
    if plan.outcome == "nothing-to-do":
        yield from _nothing_to_do(ready)
        return
    yield from changes(plan, "would be renamed" if written is None else "renamed", list(ready.renames))
    if ready.entries:
        yield f"entries that are not tensors, with their modules: {len(ready.entries):,}"
        yield from some([f"  {key} -> {' & '.join(names) or '!drop'}" for key, names in ready.entries.items()])
    yield from notes(plan)
    yield from (f"note: {message}" for _, message in _said(ready, remarks))
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


def _said(ready: Prepared, remarks: Remarks) -> Iterator[tuple[str, str]]:
    """Put what the renames do not reach into words, each with a code."""
    unsafe = ready.plan.source.unsafe
    if unsafe:
        yield "unsafe-pickle", f"{shown(not_run(unsafe))}; what is written names it too"
    for place, n in remarks.stale:
        still = f"'{shown(place)}' still holds {counted(n, 'old name')}"
        yield "stale-names", f"{still}; --also {in_shell(place)} renames it too"
    for file, n in remarks.configs:
        yield "stale-names", f"'{shown(file)}' still holds {counted(n, 'old name')}: it is copied as it is"
    for path, kept, left_out in remarks.conflicts:
        both = f"'{shown(kept)}' and '{shown(left_out)}' both become '{shown(path)}'"
        yield "module-conflict", f"the modules {both}, which keeps the version of the first in '_metadata'"
    if remarks.not_copied:
        listed = ", ".join(map(shown, remarks.not_copied[:MOST_LISTED]))
        more = len(remarks.not_copied) - MOST_LISTED
        yield "not-copied", f"not copied: {listed}{f' and {more:,} more' if more > 0 else ''}"


def fix_json(
    ready: Prepared | None,
    remarks: Remarks | None = None,
    written: Path | None = None,
    error: PlanError | None = None,
) -> Mapping[str, Any]:
    """Give the object that ``ckptnames fix --json`` prints; ``error`` says what stopped it."""
    problems = [] if ready is None else list(map(_problem_json, ready.plan.problems))
    if ready is not None and remarks is not None:
        problems += [_said_json("warning", *said) for said in _said(ready, remarks)]
    if error is not None and error.code not in {problem["code"] for problem in problems}:
        problems.insert(0, _said_json("error", error.code, error.message))
    return {
        "written": None if written is None else str(written),
        "rules": None if ready is None else str(ready.plan.rules),
        "renamed": {} if ready is None else _renamed(ready),
        "dropped": [] if ready is None else list(ready.plan.dropped),
        "problems": problems,
    }


def _renamed(ready: Prepared) -> dict[str, str]:
    """Give the keys that are renamed, source key to target key."""
    return renamed(ready.plan) | {entry: names[0] for entry, names in ready.entries.items() if names}


def _said_json(severity: str, code: str, message: str) -> dict[str, Any]:
    return {"code": code, "severity": severity, "message": message, "keys": [], "targets": []}


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "keys": list(problem.keys),
        "targets": list(problem.targets),
    }
