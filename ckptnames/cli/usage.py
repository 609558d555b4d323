"""What is wrong with a command line, in the words of all other errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ckptnames.errors import BadUsage
from ckptnames.wording import either, path_in_shell


def usage_error(error: click.ClickException, args: Sequence[str]) -> BadUsage:
    """Say what click found; ``args`` are the command line."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["ckptnames", *args[:1]])
    return BadUsage(_found(error, command), command, _help(error, context, args))


def _found(error: click.ClickException, command: str) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"'{command}' has no option '{error.option_name}'"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_named(error.param)} is missing"
    message = error.message if isinstance(error, click.BadParameter) else error.format_message()
    return message[:1].lower() + message[1:].removesuffix(".")


def _named(param: click.Parameter) -> str:
    metavar = param.metavar or (param.name or "").upper()
    return metavar if isinstance(param, click.Argument) else f"{param.opts[0]} {metavar}"


def _help(error: click.ClickException, context: click.Context | None, args: Sequence[str]) -> str:
    paths = [arg for arg in args if arg.startswith("-") and Path(arg).exists()]
    if paths:
        return f"a path that begins with '-' is written {path_in_shell(paths[0])}"
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        return f"did you mean {either(error.possibilities)}?"
    if context is None or (isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter)):
        return ""
    return " ".join(["write:", context.command_path, *context.command.collect_usage_pieces(context)])
