"""Every error that ckptnames raises: one class and one kebab-case code for each thing that can be found wrong.

    CkptnamesError
    ├── FileError      a file, folder or operand that cannot be read or written
    ├── RuleError      a rule, or a set of rules, that cannot mean anything
    └── PlanError      rules and names that do not fit each other

The wording lives here and nowhere else: a class takes the facts and composes the text, so that one place decides how
errors read and callers can branch on ``code`` and the fields. ``str(error)`` is the whole text:

    error[code]: what was found
      --> where
      evidence, at most five lines
      help: one action that works
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ckptnames.manifest import ContainerInfo

_MAX_EVIDENCE = 5


def shown(text: str) -> str:
    r"""Escape control characters, so that a hostile key or path cannot steer the terminal.

    >>> shown("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class CkptnamesError(Exception):
    """What went wrong, as data: ``code``, ``message``, ``where``, ``evidence``, ``help``."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, where: str = "", evidence: Sequence[str] = (), help: str = "") -> None:
        super().__init__(message)
        self.message = shown(message)
        self.where = shown(where)
        self.evidence = tuple(shown(line) for line in evidence)
        self.help = shown(help)

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  --> {self.where}")
        lines += [f"  {line}" for line in self.evidence[:_MAX_EVIDENCE]]
        if len(self.evidence) > _MAX_EVIDENCE:
            lines.append(f"  … and {len(self.evidence) - _MAX_EVIDENCE} more")
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), dict(self.__dict__))

    def as_json(self) -> dict[str, str]:
        """The members of the ``error`` object that ``--json`` prints."""
        return {"code": self.code, "message": self.message, "where": self.where, "help": self.help}


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


# Files


class NoSuchContainer(FileError):
    """``PATH#name`` names no container of the file."""

    code = "no-such-container"

    def __init__(self, path: object, name: str, containers: Sequence[ContainerInfo]) -> None:
        self.path, self.name = str(path), name
        listed = [f"#{c.name}  {c.n_keys} keys ({c.role})" for c in containers]
        super().__init__(
            f"no container '{name}' in this file",
            where=f"{path}",
            evidence=listed,
            help=f"name one of these, as in '{path}#{containers[0].name}'",
        )


class CannotRewrite(FileError):
    """The format can be read but not written back with other names."""

    code = "cannot-rewrite"

    def __init__(self, path: object, format: str) -> None:
        self.path, self.format = str(path), format
        super().__init__(
            f"'{format}' can be read but not rewritten",
            where=f"{path}",
            help="save a state dict from it with torch.save or safetensors, and rename that. Nothing was written",
        )
