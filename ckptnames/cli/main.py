"""The command ``ckptnames``: its commands, and the one place where errors become text and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

from ckptnames import __version__
from ckptnames.cli import exits
from ckptnames.cli.screen import out_json, talk, talk_error
from ckptnames.cli.usage import usage_error
from ckptnames.errors import BadUsage, CkptnamesError, InternalError, UnwritableStdout
from ckptnames.formats.collecting import no_collection
from ckptnames.wording import path_in_shell


class Listed(NamedTuple):
    """A command as ``--help`` lists it, so that its module is imported only when it is called."""

    module: str
    summary: str


COMMANDS = {
    "ls": Listed("ckptnames.cli.ls", "What is inside: keys, shapes, dtypes, containers, ties."),
    "predict": Listed("ckptnames.cli.predict", "The names that a model's state_dict will have, and why."),
    "diff": Listed("ckptnames.cli.diff", "What differs, why, and the command that mends it."),
    "infer": Listed("ckptnames.cli.infer", "The rules that lead from one set of names to another."),
    "fix": Listed("ckptnames.cli.fix", "Write a checkpoint again under other names."),
}
"""To add a command: a module with a click command named ``command``, and a line here."""


class _Commands(click.Group):
    """A group that imports a command's module when the command is called, and turns errors into text and exit codes."""

    def main(self, args: Sequence[str] | None = None, *_: object, standalone_mode: bool = True, **__: object) -> Any:
        """Run, and exit with the code that the command returns, or return it where ``standalone_mode`` is off."""
        code = _guarded(list(sys.argv[1:] if args is None else args) or ["--help"])
        return sys.exit(code) if standalone_mode else code

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name.startswith("-"):
            return None  # click says what is wrong with an option.
        if cmd_name not in COMMANDS:
            raise _no_such_command(cmd_name)
        command: click.Command = import_module(COMMANDS[cmd_name].module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.summary) for name, listed in COMMANDS.items()])


def _no_such_command(name: str) -> BadUsage:
    if Path(name).exists():
        return BadUsage(f"'{name}' is no command, but a path", "ckptnames", f"try: ckptnames ls {path_in_shell(name)}")
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return BadUsage(f"'{name}' is no command", "ckptnames", f"did you mean 'ckptnames {near[0]}'?" if near else "")


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Find out why a PyTorch checkpoint does not load, and mend its names.

    \b
    ckptnames diff trained.pt plain.safetensors     why it does not load
    ckptnames diff trained.pt --error message.txt   from torch's message alone

    Exit codes: 0 nothing differs, or done; 1 differences, problems, or an incomplete answer; 2 could not run.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code.

    >>> main(["--version"])
    ckptnames 0.1.0
    0
    """
    return int(cli.main(args, standalone_mode=False))


def _guarded(args: list[str]) -> int:
    """Run the command line: whatever happens is an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _unwinding():
            return _run(args)
    except BrokenPipeError:
        _leave_stdout()
        return exits.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        talk("interrupted")
        return exits.INTERRUPTED
    except click.ClickException as error:
        return _failed(usage_error(error, args), args)
    except CkptnamesError as error:
        return _failed(error, args)
    except Exception as error:
        import traceback

        talk(traceback.format_exc())
        return _failed(InternalError(error), args)


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let a signal that ends the process do so through every ``finally``, so that nothing half-written is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(args: list[str]) -> int:
    # A run is short and makes hundreds of thousands of objects that live until its end: collecting finds nothing.
    try:
        with no_collection(), cli.make_context("ckptnames", args) as context:
            return int(cli.invoke(context))
    except click.exceptions.Exit as done:
        return done.exit_code


def _failed(error: CkptnamesError, args: Sequence[str]) -> int:
    if "--json" in args and not isinstance(error, UnwritableStdout):
        out_json({"error": error.as_json()})
    else:
        talk_error(error)
    return exits.FAILED


def _leave_stdout() -> None:
    """Let nothing more go to a pipe that nobody reads: Python flushes stdout once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
