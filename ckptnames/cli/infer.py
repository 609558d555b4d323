"""``ckptnames infer``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand, static_option
from ckptnames.cli.progress import progress_bar
from ckptnames.cli.screen import out, out_json, paint, talk, width
from ckptnames.errors import OutputExists
from ckptnames.formats.outputs import free_name
from ckptnames.formats.reading import Opened
from ckptnames.formats.writing import write_text
from ckptnames.inference.inference import Inference, inferred
from ckptnames.inference.wrappers.containers import chosen
from ckptnames.manifest import Manifest
from ckptnames.report.inference import inference_json, inference_text, recipes_json, recipes_text, rule_file
from ckptnames.rules import Rules
from ckptnames.rules.recipes import recipes
from ckptnames.wording import shown


@click.command("infer", short_help="The rules that lead from one set of names to another.")
@click.argument("source", required=False, metavar="SOURCE")
@click.argument("target", required=False, metavar="TARGET")
@click.option(
    "-o", "--output", metavar="FILE", help="Write the rules there, with reasons, and `!open` where undecided."
)
@click.option("--given", metavar="FILE", help="Rules that are right already, or recipe:NAME; the rest is found.")
@click.option("--by-value", is_flag=True, help="Both files hold the same weights: pair what holds the same.")
@static_option
@click.option("--recipes", "lists_recipes", is_flag=True, help="List the recipes instead; no operands then.")
@click.option("--force", is_flag=True, help="Overwrite an existing FILE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str | None,
    target: str | None,
    output: str | None,
    given: str | None,
    by_value: bool,
    static: bool,
    lists_recipes: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Find the rules by which the names of SOURCE become those of TARGET, from names and shapes, or by value.

    What evidence does not decide stays open, each with the line that would decide it. Exits 0 where every weight of
    TARGET is filled, 1 where something is open, 2 where it could not run.

    \b
    ckptnames infer original.safetensors model.py:Net
    ckptnames infer meta.pth hf.safetensors -o names.rules
    ckptnames infer meta.pth hf.safetensors --given names.rules -o names.rules
    ckptnames infer --by-value theirs.pt ours.pt -o names.rules
    ckptnames infer --recipes
    """
    if lists_recipes:
        return _list_recipes(as_json)
    if source is None or target is None:
        raise click.MissingParameter(ctx=ctx, param=ctx.command.params[source is not None])
    decided = None if given is None else Rules.load(given)
    is_given = output is not None and given is not None and Path(output) == Path(given)
    if output is not None and not (is_given or force) and os.path.lexists(output):
        raise OutputExists(output, free_name(Path(output)))
    ours, theirs = open_operand(source, static), open_operand(target, static)
    wanted = theirs.checkpoint.manifest(theirs.container)
    manifest = chosen(*ours, wanted)
    found = _by_value(ours, theirs, manifest, wanted, decided) if by_value else inferred(manifest, wanted, decided)
    if output is not None:
        write_text(Path(output), rule_file(found))
    if as_json:
        out_json(inference_json(found))
    else:
        out(inference_text(found, given=given or "", written=output or "", width=width(), paint=paint()))
    if output is not None:
        talk(f"wrote {shown(output)}")
    return exits.DONE if found.complete else exits.INCOMPLETE


def _by_value(source: Opened, target: Opened, manifest: Manifest, wanted: Manifest, given: Rules | None) -> Inference:
    from ckptnames.inference.by_value import inferred_by_value
    from ckptnames.values.opening import payloads

    with payloads(source, target) as both, progress_bar("reading values") as progress:
        return inferred_by_value(manifest, wanted, both, given, progress)


def _list_recipes(as_json: bool) -> int:
    if as_json:
        out_json(recipes_json(recipes()))
    else:
        out(recipes_text(recipes(), width=width()))
    return exits.DONE
