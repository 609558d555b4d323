"""``ckptnames ls``."""

from __future__ import annotations

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand, static_option
from ckptnames.cli.screen import out, out_json, paint, tell_what_is_open, width
from ckptnames.report.ls import ls_flat, ls_json, ls_text


@click.command("ls", short_help="What is inside: keys, shapes, dtypes, containers, ties.")
@click.argument("source")
@static_option
@click.option("--flat", is_flag=True, help="One key a line: key, shape and dtype, with tabs between.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, which can be read again as a manifest.")
def command(source: str, static: bool, flat: bool, as_json: bool) -> int:
    """Show what is inside SOURCE: keys, shapes, dtypes, containers, ties.

    SOURCE is a checkpoint file or folder, or PATH#CONTAINER for one container of it; a bare # is the root.
    Only headers are read, and no pickle is run.

    \b
    ckptnames ls model.safetensors
    ckptnames ls 'last.ckpt#state_dict'
    ckptnames ls --flat model.pt | grep norm
    """
    checkpoint, container = open_operand(source, static)
    manifest = checkpoint.manifest(container)
    if as_json:
        out_json(ls_json(manifest))
    elif flat:
        out(ls_flat(manifest))
        tell_what_is_open(manifest)
    else:
        out(ls_text(checkpoint, container, width=width(), paint=paint()))
    return exits.INCOMPLETE if manifest.open else exits.DONE
