"""From a path to a checkpoint or a manifest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ckptnames.errors import EmptyPath
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.recognise import open_checkpoint
from ckptnames.manifest import Manifest


class Opened(NamedTuple):
    """A checkpoint, and the name of the container that was asked for, if one was."""

    checkpoint: Checkpoint
    container: str | None


def read(path: str | os.PathLike[str], container: str | None = None) -> Manifest:
    """Read the keys of a checkpoint, each with its dtype and shape, from headers alone; no pickle is ever run.

    ``container`` names one of several in the file, as ``PATH#container`` does; ``""`` is the root. Without it the
    choice is ``ckptnames``'s, and the manifest lists them all.

    >>> read("fixtures/example/model.safetensors").format
    'safetensors'

    Raises ``FileError``: ``no-such-path``, ``no-such-container``, ``not-a-checkpoint``, ``corrupt-checkpoint``, ….
    """
    checkpoint, named = open_path(path)
    return checkpoint.manifest(named if container is None else container)


def open_path(path: str | os.PathLike[str]) -> Opened:
    """Open a path or ``PATH#container``; an existing path with ``#`` in it comes first.

    Raises ``no-such-path``, ``no-such-container``, and what the format's reader raises.
    """
    text = os.fspath(path)
    if not text:
        raise EmptyPath()
    file, mark, container = text.rpartition("#")
    if not (mark and file) or exists(text):
        return Opened(open_checkpoint(Path(text)), None)
    checkpoint = open_checkpoint(Path(file))
    return Opened(checkpoint, checkpoint.container(container).info.name)


def exists(text: str) -> bool:
    """Tell whether something is at a path; what cannot be a path, or may not be looked at, is left to who opens it."""
    try:
        return Path(text).exists()
    except OSError:
        return False
