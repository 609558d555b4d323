"""The history of a model's names: a rule file with a stage for each version, as databases have their migrations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ckptnames.errors import MigrationStages
from ckptnames.formats.writing import write_text
from ckptnames.rules import Rules
from ckptnames.rules.ruleset import Stage

_VERSION = re.compile(r"version ([1-9][0-9]*)")


class Migrations:
    """The rules that lead from each version of a model's names to the next; ``version`` is the one that it has now."""

    def __init__(self, rules: Rules, version: int) -> None:
        self.rules, self.version = rules, version
        self._stages = list(_numbered(rules))
        last = max((number for number, _ in self._stages), default=0)
        if last > version:
            raise MigrationStages(rules.name, f"it leads to version {last}", f"write migrations(…, version={last})")

    def since(self, version: int) -> Rules:
        """Give the stages that a file of that version has not seen.

        >>> print(Migrations(Rules.parse("--- version 2\\na -> b\\n--- version 3\\nb -> c"), 3).since(2), end="")
        --- version 3
        b -> c
        """
        return Rules([stage for number, stage in self._stages if number > version], self.rules.name)

    def starts(self) -> list[int]:
        """Give the versions from which the stages make a difference, the newest first."""
        return [self.version, *sorted({number - 1 for number, _ in self._stages}, reverse=True)]

    def __repr__(self) -> str:
        return f"<Migrations of {self.rules.name} to version {self.version}>"


def migrations(path: str | Path, version: int) -> Migrations:
    """Read the history of a model's names from a rule file, in which ``--- version 3`` opens the stage to version 3.

    As an attribute of a model's class it is what ``load`` applies, from the version of the file on, and what ``save``
    stamps the version of. A path that is not absolute is looked for beside the module
    that calls, then from where the process is.

    Raises ``unreadable-rules``, ``rule-syntax``, and ``migration-stages`` where the stages are not those of versions.
    """
    path = Path(path)
    if not path.is_absolute():
        beside = Path(sys._getframe(1).f_globals.get("__file__") or "").parent / path
        path = beside if beside.exists() else path
    return Migrations(Rules.load(path), version)


def history_of(model: object) -> Migrations | None:
    """Find the history that the class of a model has as an attribute, under whatever name."""
    for cls in type(model).__mro__:
        for value in vars(cls).values():
            if isinstance(value, Migrations):
                return value
    return None


def next_stage(before: str, rules: Rules, name: str = "<rules>", comments: Sequence[str] = ()) -> str:
    """Add a stage for the next version to the text of a rule file, with lines of comment above its rules.

    >>> print(next_stage("--- version 2\\na -> b\\n", Rules.parse("b -> c")), end="")
    --- version 2
    a -> b
    --- version 3
    b -> c

    Raises what reading such a file raises.
    """
    last = max((number for number, _ in _numbered(Rules.parse(before, name))), default=1)
    above = "".join(f"{line}\n" for line in comments)
    return f"{before.rstrip()}\n--- version {last + 1}\n{above}{rules}".lstrip()


def add_stage(path: Path, rules: Rules, comments: Sequence[str] = ()) -> int:
    """Add a stage to a rule file, or begin one, and give the version that it leads to.

    Raises ``cannot-write`` and what reading the file raises.
    """
    before = ""
    if path.exists():
        Rules.load(path)  # which says what is wrong with it
        before = path.read_text(encoding="utf-8")
    text = next_stage(before, rules, str(path), comments)
    write_text(path, text)
    return max(number for number, _ in _numbered(Rules.parse(text)))


def _numbered(rules: Rules) -> Iterator[tuple[int, Stage]]:
    """Give each stage with the version that it leads to; one without a name goes on with the one above."""
    number = 0
    for stage in rules.stages:
        found = _VERSION.fullmatch(stage.name)
        if found is None and (stage.name or not number):
            what = f"a stage is called '{stage.name}'" if stage.name else "its first rules belong to no version"
            raise MigrationStages(rules.name, what, f"write `--- version {max(number, 1) + 1}` above them")
        if found is not None:
            if int(found[1]) <= number:
                raise MigrationStages(rules.name, f"version {found[1]} comes after version {number}", "put it in order")
            number = int(found[1])
        yield number, stage
