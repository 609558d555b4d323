"""What the caller gave is not there, or is of a kind that is not read: paths, containers, values, options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckptnames.errors.base import CkptnamesError, FileError
from ckptnames.wording import either, in_shell

if TYPE_CHECKING:
    from ckptnames.manifest import ContainerInfo


class EmptyPath(FileError):
    """A path with nothing in it, as an unset shell variable gives."""

    code = "empty-path"

    def __init__(self) -> None:
        super().__init__("the path is empty", help="give the path of a checkpoint: a file, a folder, or PATH#container")


class NoSuchPath(FileError):
    """There is nothing at the path: ``missing`` is its first part that does not exist."""

    code = "no-such-path"

    def __init__(self, path: object, missing: object, nearest: Sequence[str], link_to: str = "") -> None:
        self.path, self.missing, self.nearest, self.link_to = str(path), str(missing), tuple(nearest), link_to
        found = f"'{path}' does not exist"
        if link_to:
            found = f"'{path}' is a link to '{link_to}', which does not exist"
        elif self.missing != self.path:
            found = f"'{path}' does not exist: there is no '{missing}'"
        folder = in_shell(self.missing.rpartition("/")[0] or ("/" if self.missing.startswith("/") else "."))
        offer = f"did you mean {either(self.nearest)}?" if nearest else f"'ls {folder}' shows what is there"
        super().__init__(found, where=f"{path}", help=offer)


class CannotRead(FileError):
    """The system does not let the path be read."""

    code = "cannot-read"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"'{path}' cannot be read: {reason}",
            where=f"{path}",
            help=f"'ls -ld {in_shell(str(path))}' shows who may read it",
        )


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


class OperandNotSupported(FileError):
    """An operand of a kind that this version knows by name only."""

    code = "operand-not-supported"

    def __init__(self, operand: str, kind: str, help: str) -> None:
        self.operand, self.kind = operand, kind
        super().__init__(f"'{operand}' is {kind}; only files and folders can be read so far", help=help)


class OptionNotSupported(FileError):
    """An option that is known by name only so far."""

    code = "option-not-supported"

    def __init__(self, option: str, instead: str) -> None:
        self.option = option
        super().__init__(f"{option} is not supported yet", help=f"{instead}. Nothing was written")


class NotAStateDict(FileError):
    """A value in memory that holds no weights by name; ``inner`` are its entries that may."""

    code = "not-a-state-dict"

    def __init__(self, found: str, inner: Sequence[str]) -> None:
        self.found, self.inner = found, tuple(inner)
        super().__init__(
            f"this is {found}, not a dict of tensors by name",
            evidence=[repr(key) for key in inner],
            help=f"pass one of its entries, as in checkpoint[{inner[0]!r}]"
            if inner
            else "pass a path, a Manifest, a model, or a dict of tensors by name",
        )


class NotATorchError(FileError):
    """A text in which torch reports no missing or unexpected key."""

    code = "not-a-torch-error"

    def __init__(self, name: str, n_lines: int) -> None:
        self.name, self.n_lines = name, n_lines
        super().__init__(
            f"none of these {n_lines} lines is an error message of load_state_dict" if n_lines else "the text is empty",
            where=name,
            help="paste the message from 'Error(s) in loading state_dict for …' to its end: it has "
            "'Missing key(s)', 'Unexpected key(s)' or 'size mismatch for'",
        )


class BadUsage(CkptnamesError):
    """A command line that cannot be understood; ``command`` is as much of it as is sure."""

    code = "bad-usage"

    def __init__(self, message: str, command: str, help: str = "") -> None:
        self.command = command
        super().__init__(message, help=help or f"'{command} --help' shows what there is")


class InternalError(CkptnamesError):
    """An exception that should never have come this far."""

    code = "internal-error"

    def __init__(self, exception: BaseException) -> None:
        self.exception_type = type(exception).__name__
        super().__init__(
            f"this is a bug in ckptnames: {self.exception_type}: {exception}",
            help="report it with the command and all of this text",
        )
