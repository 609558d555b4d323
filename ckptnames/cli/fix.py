"""``ckptnames fix``."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import open_operand, static_option
from ckptnames.cli.ordered import OrderedCommand, in_order
from ckptnames.cli.progress import progress_bar
from ckptnames.cli.screen import out_json, talk, talk_error
from ckptnames.errors import BadUsage, OptionNotSupported, PlanError, nothing_written
from ckptnames.fixing.edits import Add, Edit, Strip
from ckptnames.fixing.fix import Prepared, carry_out, prepare
from ckptnames.manifest import Manifest
from ckptnames.report.fix import fix_json, fix_text
from ckptnames.rules import Rules
from ckptnames.wording import shown


@click.command(
    "fix",
    cls=OrderedCommand,
    options_metavar="[OPTIONS] -o OUT",
    short_help="Write a checkpoint again under other names.",
)
@click.argument("source")
@click.option("-o", "--output", metavar="OUT", help="The file or folder to write; required.")
@click.option("--strip", multiple=True, metavar="PREFIX", help="Take whole leading segments off every key.")
@click.option("--add", multiple=True, metavar="PREFIX", help="Put segments in front of every key.")
@click.option("--rule", multiple=True, metavar="RULE", help="A rule, as in 'q_proj.** -> wq.**'.")
@click.option("--rules", multiple=True, metavar="FILE", help="A file of rules, or recipe:NAME; see `infer --recipes`.")
@click.option("--like", metavar="TARGET", help="What the names must become; finds the rules if none are given.")
@static_option
@click.option("--drop-unexpected", is_flag=True, help="Leave out the keys that TARGET does not have.")
@click.option("--allow", multiple=True, metavar="CODE=PATTERN", help="Accept a named problem for matching keys.")
@click.option("--accept", multiple=True, metavar="CAUTION", help="Acknowledge a caution by name.")
@click.option("--also", multiple=True, metavar="CONTAINER", help="Rename another container of the file as well.")
@click.option("--verify", is_flag=True, help="Compare every byte of the result with the source.")
@click.option("--force", is_flag=True, help="Overwrite an existing OUT.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--in-place", is_flag=True, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    output: str | None,
    strip: tuple[str, ...],
    add: tuple[str, ...],
    rule: tuple[str, ...],
    rules: tuple[str, ...],
    like: str | None,
    static: bool,
    drop_unexpected: bool,
    allow: tuple[str, ...],
    accept: tuple[str, ...],
    also: tuple[str, ...],
    verify: bool,
    force: bool,
    dry_run: bool,
    in_place: bool,
    as_json: bool,
) -> int:
    """Write SOURCE to OUT with other names; everything else comes out as it went in.

    --strip, --add, --rule and --rules are stages in the order in which they stand; neighbouring --rule share one
    stage. With --like alone, the rules that `ckptnames diff SOURCE TARGET` finds are applied.

    \b
    ckptnames fix ddp.pt --strip module -o plain.pt
    ckptnames fix trained.ckpt --like model.safetensors -o renamed.ckpt
    ckptnames fix old.pt --rules old_to_new.rules --dry-run -o new.pt
    """
    with nothing_written():
        if in_place:
            raise OptionNotSupported("--in-place", "give another output with -o, and move it over the source yourself")
        out = _checked(ctx, output)
        ready = None
        try:
            ready = prepare(
                source,
                _edits(in_order(ctx, "strip", "add", "rule", "rules")),
                None if like is None else _manifest(like, static),
                also=also,
                allow=[_allowed(text) for text in allow],
                accept=accept,
                drop_unexpected=drop_unexpected,
            )
            ready.plan.check()
            remarks = ready.remarks()
            with progress_bar(f"writing {shown(Path(out).name)}") as progress:
                written = carry_out(ready, out, force=force, dry_run=dry_run, verify=verify, progress=progress)
        except PlanError as error:
            _report_problems(error, ready, as_json)
            return exits.INCOMPLETE
    if as_json:
        out_json(fix_json(ready, remarks, written))
    else:
        talk(fix_text(ready, remarks, written).removesuffix("\n"))
    return exits.DONE


def _checked(ctx: click.Context, output: str | None) -> str:
    """Refuse options that leave open what is meant, and give the output."""
    given = ctx.params
    if output is None:
        raise click.MissingParameter(ctx=ctx, param=next(p for p in ctx.command.params if p.name == "output"))
    if given["like"] is None and not any(given[name] for name in ("strip", "add", "rule", "rules")):
        raise BadUsage(
            "no option says what the names become",
            ctx.command_path,
            "give --like TARGET, --strip PREFIX, --add PREFIX, --rule RULE or --rules FILE",
        )
    if given["drop_unexpected"] and given["like"] is None:
        found = "--drop-unexpected goes by what TARGET has, and there is no --like TARGET"
        raise BadUsage(
            found, ctx.command_path, "give --like TARGET with it, or leave keys out with --rule 'KEY -> !drop'"
        )
    return output


def _report_problems(error: PlanError, ready: Prepared | None, as_json: bool) -> None:
    error.outcome = "Nothing was written"
    if as_json:
        out_json(fix_json(ready, error=error))
    else:
        talk_error(error)


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


def _manifest(like: str, static: bool) -> Manifest:
    checkpoint, container = open_operand(like, static)
    return checkpoint.manifest(container)


def _allowed(text: str) -> tuple[str, str]:
    code, mark, pattern = text.partition("=")
    if not mark:
        raise BadUsage(
            f"'{text}' is not CODE=PATTERN", "ckptnames fix", "write it as in: --allow shape-mismatch='head.**'"
        )
    return code, pattern
