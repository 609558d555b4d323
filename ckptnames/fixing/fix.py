"""Write a checkpoint again under other names: prepare a plan, write beside, read back, put in place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ckptnames.errors import (
    CannotRead,
    FileError,
    ModelNotRewritten,
    distrust,
    nothing_written,
)
from ckptnames.fixing.edits import Edit, rules_of_edits
from ckptnames.fixing.readback import read_back
from ckptnames.fixing.renames import renames_of
from ckptnames.formats.checkpoint import Checkpoint, Remarks, Renames
from ckptnames.formats.file_state import check_unchanged
from ckptnames.formats.outputs import check_output
from ckptnames.formats.reading import open_path
from ckptnames.formats.writing import Progress, verify_payload, write
from ckptnames.inference.wrappers.containers import chosen
from ckptnames.like import check_accepted, rules_like
from ckptnames.operands import Readable, manifest_of
from ckptnames.prediction.locating import model_named
from ckptnames.rules import Pattern, Plan, Rules, plan


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan for one checkpoint, not carried out yet; ``plan.check()`` raises what stands in its way."""

    checkpoint: Checkpoint
    plan: Plan
    renames: Mapping[str, Renames] = field(default_factory=dict)
    """What each container's keys become; nothing where the plan has problems or there is nothing to do."""

    @property
    def entries(self) -> dict[str, tuple[str, ...]]:
        """The entries of the container that are not tensors and are renamed with their modules."""
        renames = self.renames.get(self.plan.source.container, {})
        return {key: tuple(renames[key]) for key in self.plan.source.other if tuple(renames.get(key, (key,))) != (key,)}

    def remarks(self) -> Remarks:
        """Say what the renames do not reach; asked before anything is written, since it reads the source again."""
        with _as_it_was(self.checkpoint):
            return self.checkpoint.remarks(self.renames) if self.renames else Remarks()


def fix(
    source: str | Path,
    out: str | Path,
    rules: Rules | str | None = None,
    like: Readable | None = None,
    *,
    container: str | None = None,
    also: Sequence[str] = (),
    allow: Sequence[tuple[str, str]] = (),
    accept: Collection[str] = (),
    drop_unexpected: bool = False,
    force: bool = False,
    dry_run: bool = False,
    verify: bool = False,
) -> Plan:
    """Write ``source`` to ``out`` with its keys renamed by ``rules``, or by the rules that lead to ``like``.

    Everything else in the file comes out as it went in. ``allow`` holds pairs of a problem's code and a pattern of
    keys, ``accept`` the names of the cautions that were checked. Where the names are right already, nothing is written.
    Raises ``PlanError`` where the plan has problems, ``FileError`` where a file cannot be read or written; then nothing
    is left behind.
    """
    with nothing_written():
        edits = () if rules is None else (Rules.parse(rules) if isinstance(rules, str) else rules,)
        ready = prepare(
            source,
            edits,
            like,
            container=container,
            also=also,
            allow=allow,
            accept=accept,
            drop_unexpected=drop_unexpected,
        )
        carry_out(ready, out, force=force, dry_run=dry_run, verify=verify)
    return ready.plan


def prepare(
    source: str | Path,
    edits: Sequence[Edit] = (),
    like: Readable | None = None,
    *,
    container: str | None = None,
    also: Sequence[str] = (),
    allow: Sequence[tuple[str, str]] = (),
    accept: Collection[str] = (),
    drop_unexpected: bool = False,
) -> Prepared:
    """Plan what ``fix`` would do, from headers alone.

    Raises ``partial-prefix``, ``nothing-left``, and what ``rules_like`` and reading raise.
    """
    if isinstance(source, str) and model_named(source):
        raise ModelNotRewritten(source)
    checkpoint, named = open_path(source)
    target = None if like is None else manifest_of(like)
    manifest = chosen(checkpoint, named if container is None else container, target)
    allowed = [(code, Pattern.parse(pattern)) for code, pattern in allow]
    if edits or target is None:
        check_accepted(accept)
        rules = rules_of_edits(edits, manifest, target)
    else:
        rules = rules_like(manifest, target, accept=accept, allow=allowed)
    planned = plan(
        manifest,
        rules,
        target,
        allow=allowed,
        drop_unexpected=drop_unexpected,
    )
    renames = renames_of(checkpoint, planned, also) if planned.outcome == "ready" else {}
    return Prepared(checkpoint, planned, renames)


def carry_out(
    ready: Prepared,
    out: str | Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> Path | None:
    """Write what was prepared, and give the path written; ``None`` where there is nothing to do.

    A dry run goes as far as it can without writing. Raises the problems of the plan, and what ``write`` raises.
    """
    ready.plan.check()
    if ready.plan.outcome == "nothing-to-do":
        return None
    checkpoint, renames = ready.checkpoint, ready.renames
    with _as_it_was(checkpoint):
        files = checkpoint.rewritten(renames)

    out = Path(out)
    if dry_run:
        check_output(files, out, checkpoint.path, checkpoint.format, force)
        return None

    def check(written: Path) -> None:
        read_back(checkpoint, renames, files, written, out)
        if verify:
            verify_payload(files, written, out)

    write(
        files,
        out,
        source=checkpoint.path,
        states=checkpoint.states,
        format=checkpoint.format,
        check=check,
        force=force,
        progress=progress,
    )
    return out


@contextmanager
def _as_it_was(checkpoint: Checkpoint) -> Iterator[None]:
    """Read a source again: of one that is another file by now, nothing can be said but that."""
    try:
        yield
    except (FileError, OSError) as error:
        check_unchanged(checkpoint.states)
        if isinstance(error, OSError):
            raise CannotRead(error.filename or checkpoint.path, error.strerror or str(error)) from None
        distrust(error, checkpoint.unsafe)
        raise
