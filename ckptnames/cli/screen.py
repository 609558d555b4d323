"""What goes to stdout: data, and colour only where a person looks on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from ckptnames.errors import UnwritableStdout
from ckptnames.report.text import WIDTH, Paint


def out(text: str) -> None:
    """Write text to stdout, all of it or an error: ``unwritable-stdout`` where a disk is full."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableStdout(error.strerror or str(error)) from None


def out_json(data: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout."""
    import json

    out(json.dumps(data) + "\n")


def talk(text: str) -> None:
    """Write a line to stderr, where it is in nobody's way."""
    sys.stderr.write(text + "\n")


def paint(stream: TextIO | None = None) -> Paint:
    """Colour for a terminal, unless ``NO_COLOR`` is set or the terminal is a dumb one."""
    on_terminal = (stream or sys.stdout).isatty()
    return Paint(on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def width() -> int:
    """Tell how wide a line may be: the terminal's width, or 80 columns where there is none."""
    if not sys.stdout.isatty():
        return WIDTH
    import shutil

    return shutil.get_terminal_size((WIDTH, 24)).columns
