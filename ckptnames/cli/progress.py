"""A progress bar on stderr, for writes that take more than a second on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_PATIENCE_SECONDS = 1.0


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what is to be called with the bytes done and the bytes in all; ``None`` where nobody looks on."""
    if not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()
    bar: click.progressbar[int] | None = None  # type: ignore[name-defined]
    shown = 0

    def progress(done: int, total: int) -> None:
        nonlocal bar, shown
        if bar is None and time.monotonic() - began < _PATIENCE_SECONDS:
            return
        if bar is None:
            bar = click.progressbar(length=total, label=label, file=sys.stderr).__enter__()
        bar.update(done - shown)
        shown = done

    try:
        yield progress
    finally:
        if bar is not None:
            bar.render_finish()
