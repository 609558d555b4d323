"""What follows an ``Inference``: the commands that apply its rules, or write them down for a person to decide."""

from __future__ import annotations

from collections.abc import Iterator

from ckptnames.droppable import is_droppable
from ckptnames.inference.inference import Inference
from ckptnames.inference.wrappers.pairing import fits
from ckptnames.report import commands
from ckptnames.report.commands import allowed, like
from ckptnames.report.text import Paint
from ckptnames.wording import counted, path_in_shell

_FILE = "names.rules"


def next_lines(inference: Inference, given: str, written: str, paint: Paint) -> Iterator[str]:
    """Give the commands that carry on from here, each ready to be pasted.

    ``given`` is the file of decided lines, ``written`` the one that the rules stand in already.
    """
    if not (inference.evidence or inference.flattened or inference.ambiguous or given):
        return
    lead, lines = _applied_at_once(inference) if not (given or written) else ("", [])
    if not lines:
        lead, lines = _by_a_file(inference, given, written)
    if lines:
        yield f"{lead}:"
        yield from (f"  {paint('cyan', line)}" for line in lines)


def reshaped_keys(inference: Inference) -> list[str]:
    """Give the keys that both sides have, each for a tensor of another shape."""
    source, target = inference.source, inference.target
    unused = set(inference.unused_source)
    return [key for key in inference.unfilled_target if key in unused and not fits(source[key], target[key])]


def open_keys(inference: Inference) -> list[str]:
    """Give the source keys that a line of the file of rules leaves open."""
    return [key for key in inference.unused_source if any(fate.is_open for fate in inference.draft.fates(key))]


def _applied_at_once(inference: Inference) -> tuple[str, list[str]]:
    """Give the command that finds the same rules again and applies them, where names and shapes decide all."""
    accepted = _accepted(inference, by_file=False)
    if inference.by_value or accepted is None or not like(inference.target):
        return "", []
    cautions = [f"--accept {caution.code}" for caution in inference.cautions]
    line = commands.fix(inference.source, inference.target, [], [*cautions, *accepted])
    lead = "Once that is checked" if cautions else "Apply them"
    return f"{lead}{_kept(inference)}", [line] if line else []


def _by_a_file(inference: Inference, given: str, written: str) -> tuple[str, list[str]]:
    """Give the commands that write the rules to a file, unless they stand in one, and go on from there."""
    source, target = inference.source, inference.target
    file = written or _FILE
    first = "" if written else commands.infer(source, target, file, given=given, by_value=inference.by_value)
    if _is_undecided(inference):
        then = commands.infer(source, target, file, given=file, by_value=inference.by_value)
        what = (
            f"Decide what is open in {path_in_shell(file)}" if written else "Write them to a file, decide what is open"
        )
        return f"{what}, and have the rest found", [line for line in (first, then) if line]
    accepted = _accepted(inference, by_file=True)
    edits = [f"--rules {path_in_shell(file)}"]
    then = "" if accepted is None else commands.fix(source, target, edits, accepted)
    if not then:
        return "Write them to a file", [first] if first else []
    lead = "Once that is checked" if inference.cautions else "Apply them" if written else "Write them to a file"
    also = ", and apply it" if first else ""
    return f"{lead}{also}{_kept(inference)}", [line for line in (first, then) if line]


def _is_undecided(inference: Inference) -> bool:
    """Tell whether a key is open that no shape decides."""
    return bool(inference.ambiguous or {*open_keys(inference)} - {*reshaped_keys(inference)})


def _unfilled(inference: Inference) -> list[str]:
    target = inference.target
    return [key for key in inference.unfilled_target if not is_droppable(key, target[key], target)]


def _kept(inference: Inference) -> str:
    n = len({*_unfilled(inference), *reshaped_keys(inference)})
    return f"; the model keeps its own {counted(n, 'key')}" if n else ""


def _accepted(inference: Inference, *, by_file: bool) -> list[str] | None:
    """Spell the options under which `fix` leaves what is left; ``None`` where that is more than a detail."""
    target, reshaped, unfilled = inference.target, reshaped_keys(inference), _unfilled(inference)
    if _is_undecided(inference) or 2 * len(unfilled) > len(target) or {*unfilled} & {*inference.transposed}:
        return None
    opened = open_keys(inference)
    # A line that drops one of them leaves its place empty.
    mismatched = [key for key in reshaped if key in opened or inference.draft(key) == key]
    missing = [key for key in unfilled if key not in {*mismatched}]
    beside = [key for key in target if key not in {*missing, *mismatched}]
    return [
        *["--drop-unexpected"] * bool({*inference.unused_source} - {*mismatched}),
        *(allowed("open-key", opened, beside) if by_file else []),
        *allowed("shape-mismatch", mismatched, beside),
        *allowed("unfilled-target", missing, beside),
    ]
