"""A model that is to be told from its source, and cannot be read where it is said to be."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import ModelError
from ckptnames.wording import either, in_shell, path_in_shell


class NoRepository(ModelError):
    """A git revision was named outside a git repository."""

    code = "no-repository"

    def __init__(self, operand: str) -> None:
        self.operand = operand
        super().__init__(
            f"'{operand}' names a git revision, and the current folder is in no repository that git reads",
            help="go to the folder of the repository first; this tells which it is: git rev-parse --show-toplevel",
        )


class NoSuchRevision(ModelError):
    """A git revision that the repository does not have."""

    code = "no-such-revision"

    def __init__(self, operand: str, revision: str, nearest: Sequence[str]) -> None:
        self.operand, self.revision, self.nearest = operand, revision, tuple(nearest)
        super().__init__(
            f"there is no revision '{revision}' in this repository, as '{operand}' says",
            help=f"did you mean {either(self.nearest)}?"
            if nearest
            else "git log --oneline lists the revisions that there are",
        )


class NotInRevision(ModelError):
    """A file that a git revision does not have."""

    code = "no-such-path"

    def __init__(self, operand: str, path: str, revision: str, nearest: Sequence[str]) -> None:
        self.operand, self.path, self.revision, self.nearest = operand, path, revision, tuple(nearest)
        super().__init__(
            f"'{path}' is not in revision '{revision}'",
            help=f"did you mean {either(self.nearest)}?"
            if nearest
            else f"git ls-tree -r --name-only {in_shell(revision)} lists its files",
        )


class NotPython(ModelError):
    """Source that is no Python."""

    code = "not-python"

    def __init__(self, place: str, reason: str, line: int) -> None:
        self.place, self.reason, self.line = place, reason, line
        super().__init__(
            f"'{place}' is no Python that can be read: {reason}",
            where=f"{place}:{line}",
            help=f"see what Python says of it: python -m py_compile {path_in_shell(place)}",
        )
