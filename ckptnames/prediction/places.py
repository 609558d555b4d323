"""A line of source."""

from __future__ import annotations

import linecache
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A line of source: ``file`` as it was read, ``line`` from 1."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line itself, or ``""`` where its file cannot be read."""
        linecache.checkcache(self.file)
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        """Name the file as people do: a package's from the package on, another from the current folder on."""
        file = self.file
        for folder in ("site-packages", "dist-packages"):
            file = file.rpartition(f"{os.sep}{folder}{os.sep}")[2]
        if file == self.file:
            with suppress(ValueError, OSError):
                file = str(Path(file).relative_to(Path.cwd()))
        return f"{file}:{self.line}"
