"""A progress bar on stderr, for writes that take more than a second on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_PATIENCE_SECONDS = 1.0


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what is to be called with the bytes done and the bytes in all; ``None`` where nobody looks on."""
    if not sys.stderr.isatty():
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
            bars.append(click.progressbar(length=total, label=label, file=sys.stderr).__enter__())
        bars[0].update(done - shown)
        shown = done

    try:
        yield progress
    finally:
        for bar in bars:
            bar.render_finish()
