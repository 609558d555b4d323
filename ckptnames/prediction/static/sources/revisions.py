"""The files of a git revision, read by git itself: nothing is checked out, no hook or filter runs."""

from __future__ import annotations

import linecache
import os
import subprocess
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from ckptnames.errors import NoRepository, NoSuchRevision, NotInRevision

_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
_SECONDS = 20


class Revision:
    """A git revision that was named in an operand.

    Raises ``no-repository``, ``no-such-revision``.
    """

    def __init__(self, operand: str, name: str) -> None:
        self.operand = operand
        self.name = name
        top = _git("rev-parse", "--show-toplevel")
        if top is None:
            raise NoRepository(operand)
        self.top = Path(os.fsdecode(top).rstrip("\n"))
        commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if not commit:
            raise NoSuchRevision(operand, name, get_close_matches(name, _branches(), n=3))
        self.commit = commit.decode().strip()

    @cached_property
    def files(self) -> frozenset[str]:
        """The paths of all files, from the top of the repository."""
        listed = _git("ls-tree", "-r", "-z", "--full-tree", "--name-only", self.commit) or b""
        return frozenset(os.fsdecode(listed).split("\0")) - {""}

    @cached_property
    def folders(self) -> frozenset[str]:
        """The paths of all folders."""
        return frozenset(str(above) for file in self.files for above in Path(file).parents)

    def path_of(self, place: str) -> str:
        """Give the path of a file from the top of the repository; it is given from the current folder, or the top.

        Raises ``no-such-path``.
        """
        here = os.path.normpath(Path.cwd() / place)
        for path in (os.path.relpath(here, self.top), os.path.normpath(place)):
            if path in self.files:
                return path
        raise NotInRevision(self.operand, place, self.name, get_close_matches(place, sorted(self.files), n=3))

    def read(self, path: str) -> bytes | None:
        """Give the bytes of a file, as they were committed."""
        if path not in self.files:
            return None
        return _git("cat-file", "blob", f"{self.commit}:{path}")


class RevisionFolder:
    """A folder of a git revision, in which modules are looked for."""

    def __init__(self, revision: Revision, path: str) -> None:
        self.revision = revision
        self.path = "" if path == "." else path

    def _full(self, path: str) -> str:
        return f"{self.path}/{path}" if self.path else path

    def read(self, path: str) -> bytes | None:
        """Give the bytes of a file, or ``None``."""
        text = self.revision.read(self._full(path))
        if text is not None:
            _remember(self.place(path), text)
        return text

    def has_folder(self, path: str) -> bool:
        """Tell whether there is a folder of that path."""
        return self._full(path) in self.revision.folders

    def has_binary(self, path: str) -> bool:
        """Tell whether there is a compiled module of that path, less its suffix."""
        return any(f"{self._full(path)}{suffix}" in self.revision.files for suffix in (".so", ".pyd"))

    def place(self, path: str) -> str:
        """Say where a file is, for people."""
        return f"git:{self.revision.name}:{self._full(path)}"


def _remember(place: str, text: bytes) -> None:
    """Keep the lines of a file where those of other files are looked up."""
    lines = text.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[place] = (len(text), None, lines, place)


def _git(*arguments: str) -> bytes | None:
    """Run git, and give what it prints; ``None`` where it fails or is not there."""
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    try:
        return subprocess.check_output(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **_QUIET}, timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _branches() -> list[str]:
    listed = _git("for-each-ref", "--format=%(refname:short)") or b""
    return os.fsdecode(listed).split()
