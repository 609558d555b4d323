"""Write a checkpoint again under other names: prepare a plan, write beside, read back, put in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckptnames.diffs import chosen, diff
from ckptnames.errors import AmbiguousInference, CannotRename, ModelNotRewritten, nothing_written
from ckptnames.fixing.edits import Edit, rules_of_edits
from ckptnames.fixing.readback import check_names, check_places
from ckptnames.formats.checkpoint import Checkpoint, Renames
from ckptnames.formats.reading import Readable, open_path
from ckptnames.formats.recognise import open_checkpoint
from ckptnames.formats.writing import verify_payload, write
from ckptnames.manifest import Manifest
from ckptnames.operands import manifest_of
from ckptnames.prediction.locating import model_named
from ckptnames.rules import Pattern, Plan, Rules, plan

Progress = Callable[[int, int], None]
"""Called with the bytes written so far and the bytes in all."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan for one checkpoint, not carried out yet; ``plan.check()`` raises what stands in its way."""

    checkpoint: Checkpoint
    plan: Plan
    also: tuple[str, ...] = ()

    @property
    def renames(self) -> dict[str, Renames]:
        """What each container's keys become."""
        return dict.fromkeys((self.plan.source.container, *self.also), self.plan.renames)

    @property
    def stale(self) -> tuple[tuple[str, int], ...]:
        """Other places in the file that still speak of the old names, each with how many."""
        return tuple(self.checkpoint.stale_names(self.renames))


def fix(
    source: str | Path,
    out: str | Path,
    rules: Rules | str | None = None,
    like: Readable | None = None,
    *,
    container: str | None = None,
    also: Sequence[str] = (),
    allow: Sequence[tuple[str, str]] = (),
    drop_unexpected: bool = False,
    force: bool = False,
    dry_run: bool = False,
    verify: bool = False,
) -> Plan:
    """Write ``source`` to ``out`` with its keys renamed by ``rules``, or by the rules that lead to ``like``.

    Everything else in the file comes out as it went in. ``allow`` holds pairs of a problem's code and a pattern of
    keys. Where the names are right already, nothing is written. Raises ``PlanError`` where the plan has problems,
    ``FileError`` where a file cannot be read or written; then nothing is left behind.
    """
    with nothing_written():
        edits = () if rules is None else (Rules.parse(rules) if isinstance(rules, str) else rules,)
        ready = prepare(
            source, edits, like, container=container, also=also, allow=allow, drop_unexpected=drop_unexpected
        )
        ready.plan.check()
        if not dry_run:
            carry_out(ready, out, force=force, verify=verify)
    return ready.plan


def prepare(
    source: str | Path,
    edits: Sequence[Edit] = (),
    like: Readable | None = None,
    *,
    container: str | None = None,
    also: Sequence[str] = (),
    allow: Sequence[tuple[str, str]] = (),
    drop_unexpected: bool = False,
) -> Prepared:
    """Plan what ``fix`` would do, from headers alone.

    Raises ``partial-prefix``, ``ambiguous-inference``, ``cannot-rename``, and what reading raises.
    """
    if isinstance(source, str) and model_named(source):
        raise ModelNotRewritten(source)
    checkpoint, named = open_path(source)
    target = None if like is None else manifest_of(like)
    manifest = chosen(checkpoint, named if container is None else container, target)
    planned = plan(
        manifest,
        _rules(edits, manifest, target),
        target,
        allow=[(code, Pattern.parse(pattern)) for code, pattern in allow],
        drop_unexpected=drop_unexpected,
    )
    return Prepared(checkpoint, planned, tuple(also))


def _rules(edits: Sequence[Edit], source: Manifest, target: Manifest | None) -> Rules:
    if edits or target is None:
        return rules_of_edits(edits, source, target)
    found = diff(source, target)
    if found.choices:
        raise AmbiguousInference(source.name, [(choice.rule, choice.n_keys) for choice in found.choices])
    if found.obstacles:
        first = found.obstacles[0]
        raise CannotRename.by_code(first.code)(source.name, first.message, first.keys, first.help)
    return found.rules or Rules.parse("")


def carry_out(
    ready: Prepared,
    out: str | Path,
    *,
    force: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> Path | None:
    """Write what was prepared, and give the path written; ``None`` where there is nothing to do."""
    if ready.plan.outcome == "nothing-to-do":
        return None
    checkpoint, renames = ready.checkpoint, ready.renames
    files = checkpoint.rewritten(renames)

    def read_back(written: Path) -> None:
        # Errors speak of the output, not of the name that it has until it is in place.
        copy = replace(open_checkpoint(written), path=Path(out))
        check_names(checkpoint, copy, renames)
        check_places(checkpoint, copy, renames, files)
        if verify:
            verify_payload(files, written, Path(out))

    write(
        files,
        Path(out),
        source=checkpoint.path,
        format=checkpoint.format,
        check=read_back,
        force=force,
        progress=progress,
    )
    return Path(out)
