"""The fences of a page of documentation, and how each kind of them is run."""

from __future__ import annotations

import doctest
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ckptnames.errors import CkptnamesError
from ckptnames.rules import Rules, plan
from tests.errors.raising import all_cases

ROOT = Path(__file__).parents[2]


class Fence(NamedTuple):
    """Text between two lines of backticks."""

    kind: str
    """The first word behind the backticks."""
    name: str
    """The second word: the file that the text is."""
    text: str
    place: str
    """Page and line, as in ``docs/rules.md:7``."""


class Wrong(AssertionError):
    """A fence that is not as it says."""

    def __init__(self, fence: Fence, found: str) -> None:
        super().__init__(f"{fence.place}: {found}")


_OPENED = re.compile(r"(`{3,})([^\s`]*)[ ]*([^\s`]*)[ ]*")
_RUN_ELSEWHERE = re.compile(r"<!-- run: \w+ -->")


def fences(text: str, page: str) -> Iterator[Fence]:
    """Find the fences of a page, without those under ``<!-- run: … -->``, which ``.ci/run`` runs."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        start, at = at, at + 1
        if not lines[start].lstrip().startswith(("```", "~~~")):
            continue
        opened = _OPENED.fullmatch(lines[start])
        place = f"{page}:{start + 1}"
        assert opened, f"{place}: a fence begins at the margin, with ``` and one or two words"
        ticks, kind, name = opened.groups()
        assert ticks in lines[at:], f"{place}: this fence is not closed"
        at = lines.index(ticks, at) + 1
        if not (start and _RUN_ELSEWHERE.fullmatch(lines[start - 1])):
            yield Fence(kind, name, "".join(f"{line}\n" for line in lines[start + 1 : at - 1]), place)


class Page:
    """Runs fences in one folder; files, Python names and the rules live on from one fence to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "docs"}
        self.rules = Fence("rules", "", "", "")
        self.keys: list[str] = []
        """Of the last ``keys`` fence, if it belongs to the last ``rules`` fence and has no results."""

    def run(self, found: Sequence[Fence]) -> None:
        """Run all; raises ``AssertionError`` at the first that is not as it says."""
        for n, fence in enumerate(found):
            if fence.kind not in KINDS:
                raise Wrong(fence, f"no kind of fence is called '{fence.kind}'; there are {', '.join(KINDS)}")
            if fence.name:
                (self.folder / fence.name).write_text(fence.text, encoding="utf-8")
            try:
                KINDS[fence.kind](self, fence, found[n + 1].kind if n + 1 < len(found) else "")
            except Wrong:
                raise
            except Exception as error:
                raise Wrong(fence, f"{type(error).__name__}: {error}") from error


def _rules(page: Page, fence: Fence, follower: str) -> None:
    page.rules, page.keys = fence, []
    if follower != "error":
        _parsed(page)


def _parsed(page: Page) -> Rules:
    return Rules.parse(page.rules.text, page.rules.name or "<rules>")


def _keys(page: Page, fence: Fence, follower: str) -> None:
    lines = fence.text.splitlines()
    if follower == "error":
        page.keys = lines
        return
    rules = _parsed(page)
    keys = [line.split(" => ")[0].strip() for line in lines]
    width = max(map(len, keys), default=0)
    _compare(fence, "".join(f"{key:<{width}} => {_outcome(rules, key)}\n" for key in keys))


def _outcome(rules: Rules, key: str) -> str:
    fates = rules.fates(key)
    if any(fate.is_open for fate in fates):
        return "(open)"
    return " & ".join(rules.targets(key)) or "(dropped)"


def _error(page: Page, fence: Fence, follower: str) -> None:
    try:
        rules = _parsed(page)
        plan(page.keys, rules).check()
    except CkptnamesError as error:
        _compare(fence, f"{error}\n")
    else:
        raise Wrong(fence, "the rules above raise no error")


def _says(page: Page, fence: Fence, follower: str) -> None:
    if fence.text.rstrip("\n") not in {case.text for case in all_cases().values()}:
        raise Wrong(fence, "no case in tests/errors says this")


def _python(page: Page, fence: Fence, follower: str) -> None:
    if ">>>" not in fence.text:
        exec(compile(fence.text, fence.place, "exec"), page.names)
        return
    examples = doctest.DocTestParser().get_doctest(fence.text, page.names, fence.place, fence.place, 0)
    examples.globs = page.names  # The parser makes a copy.
    report = io.StringIO()
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    if runner.run(examples, out=report.write, clear_globs=False).failed:
        raise Wrong(fence, report.getvalue())


_MARK = "\0"


def _console(page: Page, fence: Fence, follower: str) -> None:
    commands = [text for text, _ in _steps(fence)]
    # The mark stands after what each command prints; `$?` is still that of the command.
    script = "".join(f"{command}\n{{ s=$?; printf '\\0'; (exit $s); }}\n" for command in commands)
    said = _shell(page, script).stdout.split(_MARK)[:-1]
    if len(said) < len(commands):
        raise Wrong(fence, f"the shell ended at '{commands[len(said)]}'")
    _compare(fence, "".join(f"$ {command}\n{out}" for command, out in zip(commands, said, strict=True)))


def _steps(fence: Fence) -> Iterator[tuple[str, str]]:
    """Cut a console into commands and what they print; a command goes on after a backslash."""
    parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n", fence.text, flags=re.MULTILINE)
    if parts[0] or len(parts) < 3:
        raise Wrong(fence, "a console begins with '$ ' and a command")
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _sh(page: Page, fence: Fence, follower: str) -> None:
    ran = _shell(page, fence.text)
    if ran.returncode:
        raise Wrong(fence, f"exit code {ran.returncode}\n{ran.stdout}")


def _shell(page: Page, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with stderr beside stdout, where ``ckptnames`` is the one of this tree."""
    command = f'ckptnames() {{ "{sys.executable}" -m ckptnames "$@"; }}\n'
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        ["bash", "-c", command + "exec 2>&1\n" + script],
        cwd=page.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def _json(page: Page, fence: Fence, follower: str) -> None:
    json.loads(fence.text)


_RUNS = re.compile(r"^(\$ |>>> |ckptnames |error\[|.* -> )", re.MULTILINE)


def _text(page: Page, fence: Fence, follower: str) -> None:
    if not fence.name and (found := _RUNS.search(fence.text)):
        raise Wrong(fence, f"'{found[0]}' belongs in a fence that is run")


def _compare(fence: Fence, found: str) -> None:
    """Hold what was found against what the fence says, where a line of ``...`` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "..." else re.escape(line) for line in fence.text.splitlines(keepends=True)
    )
    if not re.fullmatch(pattern, found):
        raise Wrong(fence, f"this is what comes out\n{found}")


KINDS: dict[str, Callable[[Page, Fence, str], None]] = {
    "rules": _rules,
    "keys": _keys,
    "error": _error,
    "says": _says,
    "python": _python,
    "console": _console,
    "sh": _sh,
    "json": _json,
    "text": _text,
}
