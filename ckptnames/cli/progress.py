"""A progress bar on stderr, for writes that take more than a second on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_PATIENCE_SECONDS = 1.0
_MOST_LABEL = 40


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what is to be called with the bytes done and the bytes in all; ``None`` where nobody looks on."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    began = time.monotonic()
    bars: list[Any] = []  # click does not export the class of its bars
    shown = 0

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if not bars and time.monotonic() - began < _PATIENCE_SECONDS:
            return
        if not bars:
            # Of width 0: as wide as the terminal leaves it. A line that wraps would be written again and again.
            bar = click.progressbar(length=total, label=label[:_MOST_LABEL], file=sys.stderr, width=0)
            bars.append(bar.__enter__())
        bars[0].update(done - shown)
        shown = done

    try:
        yield progress
    finally:
        for bar in bars:
            bar.render_finish()
