"""``ckptnames fix``."""

from __future__ import annotations

from itertools import groupby

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand
from ckptnames.cli.ordered import OrderedCommand, in_order
from ckptnames.cli.progress import progress_bar
from ckptnames.cli.screen import out_json, talk
from ckptnames.errors import OptionNotSupported, PlanError
from ckptnames.fixing.edits import Add, Edit, Strip
from ckptnames.fixing.fix import Prepared, carry_out, prepare
from ckptnames.manifest import Manifest
from ckptnames.report.fix import fix_json, fix_text
from ckptnames.rules import Rules

CAUTIONS: tuple[str, ...] = ()
"""The cautions that can be acknowledged, by name. Renaming raises none so far."""


def _refuse_in_place(ctx: click.Context, param: click.Parameter, is_set: bool) -> None:
    if is_set:
        raise OptionNotSupported("--in-place", "give another output with -o, and move it over the source yourself")


@click.command("fix", cls=OrderedCommand, short_help="Write a checkpoint again under other names.")
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file or folder to write.")
@click.option("--strip", multiple=True, metavar="PREFIX", help="Take whole leading segments off every key.")
@click.option("--add", multiple=True, metavar="PREFIX", help="Put segments in front of every key.")
@click.option("--rule", multiple=True, metavar="RULE", help="A rule, as in 'q_proj.** -> wq.**'.")
@click.option("--rules", multiple=True, metavar="FILE", help="A file of rules.")
@click.option("--like", metavar="TARGET", help="What the names must become; finds the rules if none are given.")
@click.option("--drop-unexpected", is_flag=True, help="Leave out the keys that TARGET does not have.")
@click.option("--allow", multiple=True, metavar="CODE=PATTERN", help="Accept a named problem for matching keys.")
@click.option("--accept", multiple=True, metavar="CAUTION", help="Acknowledge a caution by name.")
@click.option("--also", multiple=True, metavar="CONTAINER", help="Rename another container of the file as well.")
@click.option("--verify", is_flag=True, help="Compare every byte of the result with the source.")
@click.option("--force", is_flag=True, help="Overwrite an existing OUT.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--in-place", is_flag=True, hidden=True, is_eager=True, expose_value=False, callback=_refuse_in_place)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    output: str,
    strip: tuple[str, ...],
    add: tuple[str, ...],
    rule: tuple[str, ...],
    rules: tuple[str, ...],
    like: str | None,
    drop_unexpected: bool,
    allow: tuple[str, ...],
    accept: tuple[str, ...],
    also: tuple[str, ...],
    verify: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    r"""Write SOURCE to OUT with other names; everything else comes out as it went in.

    --strip, --add, --rule and --rules are stages in the order in which they stand; neighbouring --rule share one
    stage. With --like alone, the rules that `ckptnames diff SOURCE TARGET` finds are applied.

    \b
    ckptnames fix ddp.pt --strip module -o plain.pt
    ckptnames fix trained.ckpt --like model.safetensors -o renamed.ckpt
    ckptnames fix old.pt --rules old_to_new.rules --dry-run -o new.pt
    """
    _check_accepted(accept)
    ready: Prepared | None = None
    try:
        ready = prepare(
            source,
            _edits(in_order(ctx, "strip", "add", "rule", "rules")),
            None if like is None else _manifest(like),
            also=also,
            allow=[_allowed(text) for text in allow],
            drop_unexpected=drop_unexpected,
        )
        ready.plan.check()
        remarks = ready.remarks()
        with progress_bar(f"writing {output}") as progress:
            written = carry_out(ready, output, force=force, dry_run=dry_run, verify=verify, progress=progress)
    except PlanError as error:
        if as_json:
            out_json(fix_json(ready, error=error))
        else:
            talk(str(error))
        return exits.INCOMPLETE
    if as_json:
        out_json(fix_json(ready, remarks, written))
    else:
        talk(fix_text(ready, remarks, written).removesuffix("\n"))
    return exits.DONE


def _check_accepted(names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in CAUTIONS]
    if unknown:
        known = f"the cautions are {', '.join(CAUTIONS)}" if CAUTIONS else "renaming raises none so far"
        raise click.BadParameter(f"there is no caution called '{unknown[0]}'; {known}", param_hint="--accept")


def _edits(given: list[tuple[str, str]]) -> list[Edit]:
    edits: list[Edit] = []
    for name, values in groupby(given, key=lambda option: option[0]):
        texts = [text for _, text in values]
        if name == "rule":
            edits.append(Rules.parse("\n".join(texts), name="--rule"))
        elif name == "rules":
            edits += [Rules.load(path) for path in texts]
        else:
            edits += [Strip(text) if name == "strip" else Add(text) for text in texts]
    return edits


def _manifest(like: str) -> Manifest:
    checkpoint, container = open_operand(like)
    return checkpoint.manifest(container)


def _allowed(text: str) -> tuple[str, str]:
    code, mark, pattern = text.partition("=")
    if not mark:
        raise click.BadParameter(f"'{text}' is not CODE=PATTERN, as in shape-mismatch=head.**", param_hint="--allow")
    return code, pattern
