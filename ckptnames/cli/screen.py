"""What goes to stdout: data, and colour only where a person looks on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from ckptnames.errors import CkptnamesError, UnwritableStdout
from ckptnames.manifest import Manifest
from ckptnames.report.text import WIDTH, Paint
from ckptnames.wording import shown


def out(text: str) -> None:
    """Write text to stdout, all of it or an error: ``unwritable-stdout`` where a disk is full."""
    try:
        _write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableStdout(error.strerror or str(error)) from None


def _write(text: str) -> None:
    """Write text to stdout until all of it is there.

    Where Python was told not to buffer, ``sys.stdout.write`` writes what fits, and leaves out the rest without a word.
    """
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        left = memoryview(text.encode(sys.stdout.encoding, "backslashreplace"))
        while left:
            left = left[stream.write(left) or 0 :]
    sys.stdout.flush()


def out_json(data: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout."""
    import json

    out(json.dumps(data) + "\n")


def talk(text: str) -> None:
    """Write a line to stderr, where it is in nobody's way."""
    sys.stderr.write(text + "\n")


def tell_what_is_open(manifest: Manifest) -> None:
    """Write to stderr which keys a list of keys lacks, since they are not known."""
    for part in manifest.open:
        talk(f"note: {shown(str(part))}")


def talk_error(error: CkptnamesError) -> None:
    """Write the whole text of an error to stderr."""
    head, colon, rest = str(error).partition(": ")
    talk(paint(sys.stderr)("red", head) + colon + rest)


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
