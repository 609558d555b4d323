"""``ckptnames diff``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand, static_option
from ckptnames.cli.screen import out, out_json, paint, width
from ckptnames.diffs import chosen, diff
from ckptnames.errors import BadUsage, CannotRead
from ckptnames.formats.torch_error import parse_torch_error, partial_target
from ckptnames.manifest import Manifest
from ckptnames.report.diff import diff_json, diff_text


@click.command("diff", short_help="What differs, why, and the command that mends it.")
@click.argument("source")
@click.argument("target", required=False)
@click.option("--error", "error_file", metavar="FILE", help="torch's own message instead of TARGET; - for stdin.")
@static_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(source: str, target: str | None, error_file: str | None, static: bool, as_json: bool) -> int:
    """Say what differs between SOURCE and TARGET, why, and which command mends it.

    Exits 0 where nothing differs, 1 where something does, 2 where it could not run.

    \b
    ckptnames diff trained.pt plain.safetensors
    ckptnames diff trained.pt --error message.txt
    ckptnames diff git:HEAD~1:model.py:Net model.py:Net --static
    """
    if (target is None) == (error_file is None):
        wrong = "there is no TARGET" if target is None else "TARGET and --error FILE are both there"
        raise BadUsage(wrong, "ckptnames diff", "give one of the two: a TARGET to compare with, or --error FILE")
    checkpoint, container = open_operand(source, static)
    if target is not None:
        other_checkpoint, other_container = open_operand(target, static)
        other = other_checkpoint.manifest(other_container)
        manifest = chosen(checkpoint, container, other)
    else:
        assert error_file is not None
        manifest, other = _from_error(checkpoint.manifest(container), error_file)
    found = diff(manifest, other)
    if as_json:
        out_json(diff_json(found))
    else:
        out(diff_text(found, width=width(), paint=paint()))
    return exits.SAME if found.same and found.complete else exits.DIFFERENT


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
