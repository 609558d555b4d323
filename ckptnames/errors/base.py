"""The root of all errors, and its branches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from ckptnames.wording import shown

MAX_EVIDENCE = 5


class CkptnamesError(Exception):
    """What went wrong, as data: ``code``, ``message``, ``where``, ``evidence``, ``help``, ``outcome``."""

    code: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, where: str = "", evidence: Sequence[str] = (), help: str = "", outcome: str = ""
    ) -> None:
        super().__init__(message)
        self.message = shown(message)
        self.where = shown(where)
        self.evidence = tuple(shown(line) for line in evidence)
        self.help = shown(help)
        self.outcome = outcome

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  --> {self.where}")
        lines += [f"  {line}" for line in self.evidence[:MAX_EVIDENCE]]
        if len(self.evidence) > MAX_EVIDENCE:
            lines.append(f"  … and {len(self.evidence) - MAX_EVIDENCE} more")
        if self.advice:
            lines.append(f"  help: {self.advice}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), dict(self.__dict__))

    @property
    def advice(self) -> str:
        """The action that helps and, where a write was asked for, what became of it."""
        mark = "" if not (self.help and self.outcome) else " " if self.help.endswith("?") else ". "
        return f"{self.help}{mark}{self.outcome}"

    def as_json(self) -> dict[str, str]:
        """The members of the ``error`` object that ``--json`` prints."""
        return {"code": self.code, "message": self.message, "where": self.where, "help": self.advice}


@contextmanager
def nothing_written() -> Iterator[None]:
    """Let errors say so, where they do not tell what became of the output: around what comes before the writing."""
    try:
        yield
    except CkptnamesError as error:
        error.outcome = error.outcome or "Nothing was written"
        raise


def _revive(cls: type[CkptnamesError], facts: dict[str, Any]) -> CkptnamesError:
    error = cls.__new__(cls)
    Exception.__init__(error, facts.get("message", ""))
    error.__dict__.update(facts)
    return error


class FileError(CkptnamesError):
    """A file, folder or operand that cannot be read or written."""


class RuleError(CkptnamesError):
    """A rule, or a set of rules, that cannot mean anything."""


class PlanError(CkptnamesError):
    """Rules and names that do not fit each other."""


class ModelError(CkptnamesError):
    """A model, or something asked of it, that cannot be answered."""


class LoadError(CkptnamesError):
    """Weights that cannot be put into a model, or a state into an optimizer, as asked."""


NAME_ITS_CHECKPOINT = "name the checkpoint that it was made from"


def names_alone(format: str) -> str:
    """Say of a file that it has no values."""
    return f"this is a {format}: it names tensors and holds none"


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """Give the three names that are spelled most alike, if they are alike at all.

    >>> nearest("compil", ["ddp", "compile", "averaged"])
    ['compile']
    """
    from difflib import get_close_matches

    return get_close_matches(name, names)
