"""Whether a file is still the one that was read: what the system says of it, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ckptnames.errors import SourceChanged


class FileState(NamedTuple):
    """When a file was last written to, how long it is, and which file it is."""

    mtime_ns: int
    n_bytes: int
    inode: int


def state_of(path: Path) -> FileState:
    """Ask the system; raises ``OSError`` where there is no such file."""
    found = path.stat()
    return FileState(found.st_mtime_ns, found.st_size, found.st_ino)


def check_unchanged(states: Mapping[Path, FileState]) -> None:
    """Raise ``source-changed`` where a file is not the one that it was."""
    for path, state in states.items():
        try:
            found = state_of(path)
        except OSError:
            raise SourceChanged(path) from None
        if found != state:
            raise SourceChanged(path)
