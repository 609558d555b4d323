"""Run commands on files in a process of its own, and write down every event that the interpreter audits meanwhile.

``python -m tests.formats.watching JOB``, where the job is a JSON file: ``files`` to look at, ``benign`` ones to warm up
on, a ``folder`` to write to, and ``how``: ``ckptnames``, or ``pickle`` to load each file as Python does. What was seen
goes to stdout as JSON: for each file its events, and what the commands said.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_UNTOLD = {"mmap.__new__", "sys._getframe", "builtins.id", "object.__getattr__", "gc.get_objects"}
"""Events that say nothing of what a file could make happen."""
_READS = {"open", "os.listdir", "os.scandir"}
_COPIES = {"shutil.copymode", "shutil.copystat"}
_WRITES = {
    "open",
    "os.chmod",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.truncate",
}


class Watch:
    """Writes down events while it is on, but for reading the given files and anything below a folder to write to."""

    def __init__(self, read: list[str], write: str) -> None:
        self.read, self.write = frozenset(read), write
        self.on = False
        self.events: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or event in _UNTOLD:
            return
        self.on = False  # What is done here is not what is watched.
        if not self._is_allowed(event, args):
            self.events.append(f"{event} {args!r:.200}")
        self.on = True

    def _is_allowed(self, event: str, args: tuple[Any, ...]) -> bool:
        path = str(args[1] if event in _COPIES else args[0]) if args else ""
        if event in _WRITES | _COPIES and path.startswith(self.write):
            return True
        # A mode is given by the built-in open, flags by that of the system.
        only_reads = event in _READS and (
            len(args) == 1 or args[1] == "r" or (args[1], args[2] & 3) == (None, os.O_RDONLY)
        )
        return only_reads and path in self.read

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for as long as this lasts, and forget what was seen before."""
        self.events = []
        self.on = True
        try:
            yield
        finally:
            self.on = False


def with_ckptnames(file: str, target: str, folder: Path) -> list[tuple[int, str]]:
    """Run each command on a file; give exit codes and what was printed."""
    from ckptnames.cli.main import main

    out = str(folder / "out.pt")
    commands = [
        ["ls", file],
        ["diff", file, target],
        ["fix", file, "--add", "x", "-o", out, "--force"],
    ]
    told = []
    for command in commands:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            told.append((main(command), printed.getvalue()))
    return told


def with_pickle(file: str, target: str, folder: Path) -> list[tuple[int, str]]:
    """Load a file as whoever trusts it does."""
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - the plainest way there is
            pickle.load(stream)
    except BaseException as error:
        return [(1, repr(error))]
    return [(0, "")]


def main() -> None:
    """Do the job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    run = with_ckptnames if job["how"] == "ckptnames" else with_pickle
    folder = Path(job["folder"])
    watch = Watch([*job["files"], *job["benign"]], job["folder"])
    for file in job["benign"]:
        run(file, job["benign"][0], folder)
    seen = {}
    for file in job["files"]:
        with watch.watching():
            told = run(file, job["benign"][0], folder)
        seen[file] = {"events": watch.events, "told": told}
        shutil.rmtree(folder)
        folder.mkdir()
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
