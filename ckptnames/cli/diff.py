"""``ckptnames diff``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand, static_option
from ckptnames.cli.progress import progress_bar
from ckptnames.cli.screen import out as write
from ckptnames.cli.screen import out_json, paint, talk, width
from ckptnames.diffs import Diff, diff, with_values
from ckptnames.errors import BadUsage, CannotRead
from ckptnames.formats.reading import Opened
from ckptnames.formats.recognise import no_such_path
from ckptnames.formats.torch_error import TorchComplaint, is_torch_error, parse_torch_error, partial_target
from ckptnames.inference.wrappers.containers import chosen, complained_of
from ckptnames.report.diff import diff_json, diff_text, unwritten_text
from ckptnames.report.inference import caution_comment
from ckptnames.wording import counted, path_in_shell


@click.command("diff", short_help="What differs, why, and the command that mends it.")
@click.argument("source")
@click.argument("target", required=False)
@click.option("--error", "error_file", metavar="FILE", help="torch's own message instead of TARGET; - for stdin.")
@static_option
@click.option("--values", is_flag=True, help="Compare what the tensors hold, too; both are files then.")
@click.option("-o", "--out", metavar="FILE", help="Add the rules to FILE, as the stage to the next version of names.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    source: str,
    target: str | None,
    error_file: str | None,
    static: bool,
    values: bool,
    out: str | None,
    as_json: bool,
) -> int:
    """Say what differs between SOURCE and TARGET, why, and which command mends it.

    Exits 0 where nothing differs, 1 where something does, 2 where it could not run.

    \b
    ckptnames diff trained.pt plain.safetensors
    ckptnames diff trained.pt --error message.txt
    ckptnames diff old.pt model.py:Net -o names.rules
    ckptnames diff git:HEAD~1:model.py:Net model.py:Net --static
    ckptnames diff before.pt after.pt --values
    """
    if (target is None) == (error_file is None):
        wrong = "there is no TARGET" if target is None else "TARGET and --error FILE are both there"
        raise BadUsage(wrong, "ckptnames diff", "give one of the two: a TARGET to compare with, or --error FILE")
    if values and target is None:
        raise BadUsage("an error message holds no values", "ckptnames diff", "give a TARGET to compare values with")
    ours = open_operand(source, static)
    if target is not None:
        theirs = open_operand(target, static)
        other = theirs.checkpoint.manifest(theirs.container)
        found = diff(chosen(*ours, other), other)
        found = _compared(found, ours, theirs) if values else found
    else:
        assert error_file is not None
        complaint = _complaint(error_file)
        manifest = complained_of(*ours, complaint)
        found = diff(manifest, partial_target(manifest, complaint))
    if as_json:
        out_json(diff_json(found))
    else:
        write(diff_text(found, width=width(), paint=paint()))
    if out is not None:
        talk(_stage_written(found, Path(out)))
    is_same = found.same and found.complete and (found.values is None or found.values.same)
    return exits.SAME if is_same else exits.DIFFERENT


def _compared(found: Diff, source: Opened, target: Opened) -> Diff:
    from ckptnames.values.opening import payloads

    with payloads(source, target) as both, progress_bar("comparing values") as progress:
        return with_values(found, both, progress)


def _stage_written(found: Diff, path: Path) -> str:
    """Write the rules that were found, and say so; what a person has to decide first is no version of the names."""
    from ckptnames.loading.migrations import add_stage

    refused = unwritten_text(found, path)
    if refused or found.rules is None:
        return refused
    comments = [line for caution in found.cautions for line in caution_comment(caution)]
    version = add_stage(path, found.rules, comments)
    return f"wrote {path_in_shell(path)}: {counted(len(found.rules), 'rule')} to version {version}"


def _complaint(error_file: str) -> TorchComplaint:
    if error_file == "-":
        return parse_torch_error(sys.stdin.read(), "stdin")
    if is_torch_error(error_file):  # The message itself, where its file is asked for, can mean one thing only.
        return parse_torch_error(error_file, "the message")
    try:
        text = Path(error_file).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        raise no_such_path(Path(error_file)) from None
    except OSError as error:
        raise CannotRead(error_file, error.strerror or str(error)) from None
    return parse_torch_error(text, error_file)
