"""``ckptnames diff``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand
from ckptnames.cli.progress import progress_bar
from ckptnames.cli.screen import out, out_json, paint, width
from ckptnames.diffs import Diff, diff, with_values
from ckptnames.errors import BadUsage, CannotRead
from ckptnames.formats.reading import Opened
from ckptnames.formats.torch_error import parse_torch_error, partial_target
from ckptnames.inference.wrappers.containers import chosen
from ckptnames.manifest import Manifest
from ckptnames.report.diff import diff_json, diff_text


@click.command("diff", short_help="What differs, why, and the command that mends it.")
@click.argument("source")
@click.argument("target", required=False)
@click.option("--error", "error_file", metavar="FILE", help="torch's own message instead of TARGET; - for stdin.")
@click.option("--values", is_flag=True, help="Compare what the tensors hold, too; both are files then.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(source: str, target: str | None, error_file: str | None, values: bool, as_json: bool) -> int:
    """Say what differs between SOURCE and TARGET, why, and which command mends it.

    Exits 0 where nothing differs, 1 where something does, 2 where it could not run.

    \b
    ckptnames diff trained.pt plain.safetensors
    ckptnames diff trained.pt --error message.txt
    ckptnames diff before.pt after.pt --values
    """
    if (target is None) == (error_file is None):
        wrong = "there is no TARGET" if target is None else "TARGET and --error FILE are both there"
        raise BadUsage(wrong, "ckptnames diff", "give one of the two: a TARGET to compare with, or --error FILE")
    if values and target is None:
        raise BadUsage("an error message holds no values", "ckptnames diff", "give a TARGET to compare values with")
    ours = open_operand(source)
    if target is not None:
        theirs = open_operand(target)
        other = theirs.checkpoint.manifest(theirs.container)
        found = diff(chosen(*ours, other), other)
        found = _compared(found, ours, theirs) if values else found
    else:
        assert error_file is not None
        found = diff(*_from_error(ours.checkpoint.manifest(ours.container), error_file))
    if as_json:
        out_json(diff_json(found))
    else:
        out(diff_text(found, width=width(), paint=paint()))
    is_same = found.same and (found.values is None or found.values.same)
    return exits.SAME if is_same else exits.DIFFERENT


def _compared(found: Diff, source: Opened, target: Opened) -> Diff:
    from ckptnames.values.opening import payloads

    with payloads(source, target) as both, progress_bar("comparing values") as progress:
        return with_values(found, both, progress)


def _from_error(source: Manifest, error_file: str) -> tuple[Manifest, Manifest]:
    if error_file == "-":
        text, name = sys.stdin.read(), "stdin"
    else:
        name = error_file
        try:
            text = Path(error_file).read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise CannotRead(error_file, error.strerror or str(error)) from None
    return source, partial_target(source, parse_torch_error(text, name))
