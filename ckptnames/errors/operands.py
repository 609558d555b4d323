"""What the caller gave is not there, or is of a kind that is not read: paths, containers, values, options."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import MAX_EVIDENCE, NAME_ITS_CHECKPOINT, CkptnamesError, FileError, names_alone, nearest
from ckptnames.wording import aligned, annex_get, counted, either, in_shell, path_in_shell


class EmptyPath(FileError):
    """A path with nothing in it, as an unset shell variable gives."""

    code = "empty-path"

    def __init__(self) -> None:
        super().__init__(
            "the path is '', as an unset variable of the shell gives it",
            help="give the path of a checkpoint: a file, a folder, or PATH#container",
        )


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
        folder = path_in_shell(self.missing.rpartition("/")[0] or ("/" if self.missing.startswith("/") else "."))
        offer = f"did you mean {either(self.nearest)}?" if nearest else f"this shows what is there: ls {folder}"
        if "/annex/objects/" in link_to:
            offer = f"its content is in another copy of the repository: {annex_get(path)}"
        super().__init__(found, where=f"{path}", help=offer)


class MessageAsPath(FileError):
    """The message of ``load_state_dict`` stands where a path is to stand."""

    code = "no-such-path"

    def __init__(self) -> None:
        super().__init__(
            "this is the message of load_state_dict, not the path of a checkpoint",
            help="put it into a file, and hear what it means: ckptnames diff CHECKPOINT --error FILE",
        )


class NoValues(FileError):
    """What names tensors and holds none."""

    code = "no-values"

    def __init__(self, path: object, format: str) -> None:
        self.path, self.format = str(path), format
        super().__init__(names_alone(format), where=f"{path}", help=NAME_ITS_CHECKPOINT)


class NoValuesToCompare(NoValues):
    """What was to be compared by value holds names alone."""

    def __init__(self, name: str, reason: str) -> None:
        self.path, self.format, self.name, self.reason = name, "", name, reason
        FileError.__init__(
            self,
            f"'{name}' {reason}: there are no values to compare",
            where=name,
            help="give a checkpoint that holds the weights; without values, names and shapes are compared",
        )


class NumpyMissing(CkptnamesError):
    """Numbers are to be compared, and what reads them is not installed."""

    code = "numpy-missing"

    def __init__(self) -> None:
        super().__init__(
            "some values differ, and telling by how much takes numpy, which is not installed",
            help="install it: pip install numpy",
        )


class CannotRead(FileError):
    """The system does not let the path be read."""

    code = "cannot-read"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"'{path}' cannot be read: {reason}",
            where=f"{path}",
            help=f"this shows who may read it: ls -ld {path_in_shell(path)}",
        )


class NoSuchContainer(FileError):
    """``PATH#name``, or ``--also name``, names no container; ``there`` are what it could name, each with its kind.

    ``found`` is what stands under the name instead, if anything does.
    """

    code = "no-such-container"

    def __init__(
        self, path: object, name: str, there: Sequence[tuple[str, str]], option: str = "", found: str = ""
    ) -> None:
        self.path, self.name, self.there, self.found = str(path), name, tuple(there), found
        message = f"'{name}' is no container of weights: it is {found}" if found else f"there is no container '{name}'"
        names = [each for each, _ in there]
        parts = [each for each in names if name and name in each]
        near = next(iter(nearest(name, names) or parts or names), "")
        example = f"{option} {in_shell(near)}" if option else path_in_shell(f"{path}#{near}")
        super().__init__(
            message if name else "the root of this file is no container of weights",
            where=f"{path}",
            evidence=aligned([(each or "the root", kind) for each, kind in there], MAX_EVIDENCE),
            help=f"name one of these, as in: {example}"
            if there
            else f"leave {option} out: it has nothing else by name",
        )


class OperandNotSupported(FileError):
    """An operand of a kind that this version knows by name only."""

    code = "operand-not-supported"

    def __init__(self, operand: str, kind: str, help: str) -> None:
        self.operand, self.kind = operand, kind
        super().__init__(f"'{operand}' is {kind}, which is not read yet", help=help)


class OptionNotSupported(FileError):
    """An option that is known by name only so far."""

    code = "option-not-supported"

    def __init__(self, option: str, instead: str) -> None:
        self.option = option
        super().__init__(f"{option} is not supported yet", help=f"{instead}")


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

    def __init__(self, name: str, n_lines: int, first_line: str) -> None:
        self.name, self.n_lines, self.first_line = name, n_lines, first_line
        super().__init__(
            f"in {counted(n_lines, 'line')} there is no 'Missing key(s)', 'Unexpected key(s)' or 'size mismatch for'"
            if n_lines
            else "the text is empty (0 lines)",
            where=name,
            evidence=[f"it begins: {first_line}"] if first_line else [],
            help="give the whole message of load_state_dict, from 'Error(s) in loading state_dict for' to its end",
        )


class IncompleteTorchError(FileError):
    """A message of torch that names no key which the model has."""

    code = "incomplete-torch-error"

    def __init__(self, name: str, n_unexpected: int) -> None:
        self.name, self.n_unexpected = name, n_unexpected
        super().__init__(
            f"this message names {counted(n_unexpected, 'unexpected key')}, and none that the model has",
            where=name,
            help="give the whole message of load_state_dict: the list of 'Missing key(s)' comes first",
        )


class BadUsage(CkptnamesError):
    """A command line that cannot be understood; ``command`` is as much of it as is sure."""

    code = "bad-usage"

    def __init__(self, message: str, command: str, help: str = "") -> None:
        self.command = command
        super().__init__(message, help=help or f"this shows what there is: {command} --help")


class InternalError(CkptnamesError):
    """An exception that should never have come this far."""

    code = "internal-error"

    def __init__(self, exception: BaseException) -> None:
        self.exception_type = type(exception).__name__
        super().__init__(
            f"this is a bug in ckptnames: {self.exception_type}: {exception}",
            help="report it with the command and all of this text",
        )
