"""The files whose values are asked for, kept open while they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ckptnames.errors import NoValuesToCompare
from ckptnames.formats.reading import Opened
from ckptnames.operands import Readable, open_operand
from ckptnames.values.payload import Payload


class Payloads(NamedTuple):
    """The bytes of both sides."""

    source: Payload
    target: Payload


def open_file(readable: Readable) -> Opened:
    """Open a checkpoint that has a path; raises ``no-values`` for what has none, and what ``open_operand`` raises."""
    if not isinstance(readable, str | os.PathLike):
        raise NoValuesToCompare(type(readable).__name__, "is not a file")
    return open_operand(os.fspath(readable))


@contextmanager
def payloads(source: Opened, target: Opened) -> Iterator[Payloads]:
    """Keep both files open; raises ``no-values``, and at the end ``source-changed`` where one is not what it was."""
    with Payload(source.checkpoint) as ours, Payload(target.checkpoint) as theirs:
        yield Payloads(ours, theirs)
