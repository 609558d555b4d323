"""Operands on the command line: what a model's code prints while it is imported is talk, not data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

import click

from ckptnames import operands
from ckptnames.formats.reading import Opened, open_path
from ckptnames.prediction.locating import model_named


def open_operand(text: str, static: bool = False) -> Opened:
    """Open what an operand names: a checkpoint, and the container of it that was asked for, if one was."""
    if model_named(text) is None:
        return open_path(text)
    with prints_on_stderr():
        return operands.open_operand(text, static)


def static_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the option that models are read and not run."""
    return click.option("--static", is_flag=True, help="Read the code of a model, and run no line of it.")(command)


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Send to stderr what is printed while the block runs, by Python or by anything else in the process."""
    sys.stdout.flush()
    with redirect_stdout(sys.stderr):
        try:
            kept = os.dup(1)
            os.dup2(2, 1)
        except OSError:  # One of them is closed, and nothing can go astray.
            yield
            return
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
