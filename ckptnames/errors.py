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


def _either(names: Sequence[str], word: str = "or") -> str:
    listed = [f"'{name}'" for name in names]
    return f" {word} ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def _in_shell(text: str) -> str:
    from shlex import quote

    return quote(text)


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) if shape else "scalar"


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


# Operands and output


class EmptyPath(FileError):
    """A path with nothing in it, as an unset shell variable gives."""

    code = "empty-path"

    def __init__(self) -> None:
        super().__init__("the path is empty", help="give the path of a checkpoint: a file, a folder, or PATH#container")


class OperandNotSupported(FileError):
    """An operand of a kind that this version knows by name only."""

    code = "operand-not-supported"

    def __init__(self, operand: str, kind: str, help: str) -> None:
        self.operand, self.kind = operand, kind
        super().__init__(f"'{operand}' is {kind}; only files and folders can be read so far", help=help)


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


class UnwritableStdout(FileError):
    """The output could not be written where stdout leads."""

    code = "unwritable-stdout"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the output cannot be written to stdout: {reason}",
            help="make room, or send the output elsewhere",
        )


# Torch files


class CorruptCheckpoint(FileError):
    """The file is damaged: what it says of itself does not hold."""

    code = "corrupt-checkpoint"


class MalformedPickle(CorruptCheckpoint):
    """Bytes that should be a pickle make none."""

    def __init__(self, where: str, reason: str, position: int, named: Sequence[str] = ()) -> None:
        self.reason, self.position, self.named = reason, position, tuple(named)
        super().__init__(
            f"the pickle breaks at byte {position}: {reason}",
            where=where,
            evidence=[f"it names '{name}'; nothing of it was run" for name in named],
            help="get the file again from where it came: it is damaged, or was not written by torch.save",
        )


class PickleLimit(FileError):
    """A pickle asks for more than any checkpoint needs."""

    code = "pickle-limit"

    def __init__(self, where: str, what: str, limit: int, actual: int) -> None:
        self.what, self.limit, self.actual = what, limit, actual
        super().__init__(
            f"the pickle has {actual} {what}; at most {limit} are read",
            where=where,
            help="save the state dict alone, and read that: torch.save(model.state_dict(), 'weights.pt')",
        )


class MalformedTensor(CorruptCheckpoint):
    """A call of torch's that makes no tensor with these arguments."""

    def __init__(self, where: str, key: str, function: str) -> None:
        self.key, self.function = key, function
        super().__init__(
            f"'{key}' is no tensor: '{function}' is called with what torch never writes",
            where=where,
            help="get the file again from where it came: it is damaged, or was not written by torch.save",
        )


class TensorBeyondStorage(CorruptCheckpoint):
    """A tensor that reaches beyond the storage that it is a view of."""

    def __init__(self, where: str, key: str, storage: str, needed: int, n_bytes: int) -> None:
        self.key, self.storage, self.needed, self.n_bytes = key, storage, needed, n_bytes
        super().__init__(
            f"'{key}' reaches to byte {needed:,} of storage '{storage}', which has {n_bytes:,}",
            where=where,
            help="get the file again from where it came: it is damaged",
        )


class StorageNotThere(CorruptCheckpoint):
    """A storage that is referred to, and not in the file with all its bytes."""

    def __init__(self, where: str, storage: str, needed: int, n_bytes: int | None) -> None:
        self.storage, self.needed, self.n_bytes = storage, needed, n_bytes
        there = "is not in the file" if n_bytes is None else f"has {n_bytes:,} bytes in the file"
        super().__init__(
            f"storage '{storage}' of {needed:,} bytes {there}",
            where=where,
            help="get the file again: the download, copy or save that made it did not finish",
        )


class LegacyCutShort(CorruptCheckpoint):
    """A legacy file that ends before its last storage does."""

    def __init__(self, path: object, n_whole: int, n_storages: int, n_bytes: int, needed: int) -> None:
        self.path, self.n_whole, self.n_storages, self.n_bytes, self.needed = (
            str(path),
            n_whole,
            n_storages,
            n_bytes,
            needed,
        )
        super().__init__(
            f"the file is cut short: storage {n_whole + 1} of {n_storages} goes to byte {needed:,}, "
            f"the file has {n_bytes:,}",
            where=f"{path}",
            help="get the file again: the download, copy or save that made it did not finish",
        )


class MalformedLegacy(CorruptCheckpoint):
    """A legacy file of torch whose parts do not fit each other."""

    def __init__(self, path: object, found: str) -> None:
        self.path, self.found = str(path), found
        super().__init__(
            f"the legacy torch file is damaged: {found}",
            where=f"{path}",
            help="get the file again from where it came",
        )


class ZipCutShort(CorruptCheckpoint):
    """A zip archive without its end: the directory stands last, so nothing of it is left."""

    def __init__(self, path: object, n_bytes: int) -> None:
        self.path, self.n_bytes = str(path), n_bytes
        super().__init__(
            f"the file is cut short: it begins as a zip archive, and its directory is not in its {n_bytes:,} bytes",
            where=f"{path}",
            help="get the file again: the download, copy or save that made it did not finish",
        )


class CorruptZip(CorruptCheckpoint):
    """A zip archive whose directory does not hold."""

    def __init__(self, path: object, found: str) -> None:
        self.path, self.found = str(path), found
        super().__init__(
            f"the zip archive is damaged: {found}", where=f"{path}", help="get the file again from where it came"
        )


# Rewriting


class UneditablePickle(FileError):
    """A pickle in which the names cannot change without changing something else."""

    code = "cannot-edit-pickle"

    def __init__(self, where: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the names in this pickle cannot be changed alone: {reason}",
            where=where,
            help="load it with torch, save its state dict alone, and rename that. Nothing was written",
        )


class ModuleNames(CannotRewrite):
    """The container is a module that was pickled whole: its names are attribute names, not strings to be changed."""

    def __init__(self, path: object, container: str) -> None:
        self.path, self.format, self.container = str(path), "a pickled nn.Module", container
        FileError.__init__(
            self,
            "this is a whole nn.Module, pickled: its names are the names of its attributes",
            where=f"{path}",
            help="load it where its class is known, torch.save(model.state_dict(), …), and rename that. "
            "Nothing was written",
        )


# Recognition


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
        folder = _in_shell(self.missing.rpartition("/")[0] or ("/" if self.missing.startswith("/") else "."))
        offer = f"did you mean {_either(self.nearest)}?" if nearest else f"'ls {folder}' shows what is there"
        super().__init__(found, where=f"{path}", help=offer)


class CannotRead(FileError):
    """The system does not let the path be read."""

    code = "cannot-read"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"'{path}' cannot be read: {reason}",
            where=f"{path}",
            help=f"'ls -ld {_in_shell(str(path))}' shows who may read it",
        )


class NotACheckpoint(FileError):
    """The file or folder is something else than a checkpoint."""

    code = "not-a-checkpoint"


class GitLfsPointer(NotACheckpoint):
    """A text file that Git LFS leaves in the place of a large file."""

    def __init__(self, path: object, size: int, meant: int | None) -> None:
        self.path, self.meant = str(path), meant
        stands_for = "" if meant is None else f", not the file of {meant:,} bytes that it stands for"
        super().__init__(
            f"this is a Git LFS pointer of {size:,} bytes{stands_for}",
            where=f"{path}",
            help="run 'git lfs pull' in its folder, then try again",
        )


class HtmlPage(NotACheckpoint):
    """A web page, where a download was to give a file."""

    def __init__(self, path: object, title: str) -> None:
        self.path, self.title = str(path), title
        titled = f" titled '{title}'" if title else ""
        super().__init__(
            f"this is an HTML page{titled}, not a checkpoint",
            where=f"{path}",
            help="download the file itself: on a model hub the address has '/resolve/' in it, not '/blob/', and "
            "a private file needs a login",
        )


class EmptyFile(NotACheckpoint):
    """A file of no bytes, or of zeros where the content should begin."""

    def __init__(self, path: object, n_bytes: int) -> None:
        self.path, self.n_bytes = str(path), n_bytes
        found = f"the file begins with zeros ({n_bytes:,} bytes in all)" if n_bytes else "the file is empty (0 bytes)"
        super().__init__(
            found, where=f"{path}", help="get the file again: the download, copy or save that made it did not finish"
        )


class ForeignFile(NotACheckpoint):
    """A file of a known format that is not read here."""

    def __init__(self, path: object, kind: str, advice: str) -> None:
        self.path, self.kind = str(path), kind
        super().__init__(f"this is {kind}, not a PyTorch checkpoint", where=f"{path}", help=advice)


class JsonWithoutTensors(NotACheckpoint):
    """A JSON file that is neither a manifest nor the index of shards."""

    def __init__(self, path: object, what: str, members: Sequence[str], beside: Sequence[str]) -> None:
        self.path, self.members, self.beside = str(path), tuple(members), tuple(beside)
        beside_help = f"the weights may be beside it: name {_either(self.beside)}"
        super().__init__(
            f"this is {what}: it lists no tensors",
            where=f"{path}",
            evidence=[f"its members: {', '.join(self.members[:8])}"] if members else [],
            help=beside_help
            if beside
            else "name the file that holds the weights, or what 'ckptnames ls --json' printed",
        )


class PlainText(NotACheckpoint):
    """A text file."""

    def __init__(self, path: object, first_line: str) -> None:
        self.path, self.first_line = str(path), first_line
        super().__init__(
            "this is plain text, not a checkpoint",
            where=f"{path}",
            evidence=[f"it begins: {first_line}"],
            help="name the file that holds the weights",
        )


class UnknownBytes(NotACheckpoint):
    """A file that begins like no format that is known here."""

    def __init__(self, path: object, head: bytes, n_bytes: int) -> None:
        self.path, self.head = str(path), head
        super().__init__(
            f"no checkpoint format begins like this file of {n_bytes:,} bytes",
            where=f"{path}",
            evidence=[f"its first bytes: {head[:16].hex(' ')}"],
            help="name a file that torch.save or safetensors wrote; if it is one, get it again: this copy is damaged",
        )


class SpecialFile(NotACheckpoint):
    """A pipe, device or socket: it has no size, and cannot be read in any order."""

    def __init__(self, path: object, kind: str) -> None:
        self.path, self.kind = str(path), kind
        super().__init__(
            f"this is {kind}, not a file", where=f"{path}", help="write its content to a file, and name that"
        )


class NoCheckpointInFolder(NotACheckpoint):
    """A folder that holds no checkpoint."""

    def __init__(self, path: object, names: Sequence[str], below: Sequence[str]) -> None:
        self.path, self.names, self.below = str(path), tuple(names), tuple(below)
        holds = f"its {len(self.names)} entries are none" if names else "it is empty"
        super().__init__(
            f"no checkpoint stands in this folder: {holds}",
            where=f"{path}",
            evidence=names,
            help=f"name a folder below it: {_either(self.below)}"
            if below
            else "name the file or folder of the weights",
        )


class UnsupportedFormat(FileError):
    """A checkpoint in a format that is known by name, and not read."""

    code = "unsupported-format"

    def __init__(self, path: object, format: str, advice: str) -> None:
        self.path, self.format = str(path), format
        super().__init__(f"this is {format}, which is not read yet", where=f"{path}", help=advice)


class MalformedJson(FileError):
    """A JSON file that is none."""

    code = "malformed-json"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"the JSON of this file is malformed: {reason}",
            where=f"{path}",
            help="get or write the file again: it is damaged, cut short, or was edited by hand",
        )


class InvalidManifest(FileError):
    """A manifest that does not say what its tensors are."""

    code = "invalid-manifest"

    def __init__(self, path: object, key: str | None, reason: str) -> None:
        self.path, self.key, self.reason = str(path), key, reason
        subject = "the manifest" if key is None else f"the entry of '{key}'"
        super().__init__(
            f"{subject} {reason}",
            where=f"{path}",
            help='write each tensor as {"dtype": "F32", "shape": [10, 4]}, as \'ckptnames ls --json\' does',
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


# Torch files without weights


class NoTensorsByName(NotACheckpoint):
    """A file of torch or pickle in which no mapping holds a tensor under a name."""

    def __init__(self, path: object, root: str, contents: Sequence[str]) -> None:
        self.path, self.root, self.contents = str(path), root, tuple(contents)
        super().__init__(
            f"this file holds no weights by name: it is {root}",
            where=f"{path}",
            evidence=contents,
            help="name the file that holds the weights; it is often beside this one",
        )


class NotWrittenByTorch(NotACheckpoint):
    """A pickle that torch.save did not write."""

    def __init__(self, path: object, what: str, contents: Sequence[str]) -> None:
        self.path, self.what, self.contents = str(path), what, tuple(contents)
        super().__init__(
            f"this is {what}, which torch.save did not write: it holds no weights of torch",
            where=f"{path}",
            evidence=contents,
            help="name the file that holds the weights, as torch.save or safetensors wrote it",
        )


class UnsafePickle(FileError):
    """A pickle without weights that calls what runs something."""

    code = "unsafe-pickle"

    def __init__(self, path: object, calls: Sequence[str]) -> None:
        self.path, self.calls = str(path), tuple(calls)
        super().__init__(
            f"this pickle holds no weights, and calls '{calls[0]}'",
            where=f"{path}",
            evidence=[f"it also calls '{call}'" for call in calls[1:]],
            help="delete the file, and get the weights from a source you trust. Nothing of it was run",
        )


# Safetensors


class CutShort(CorruptCheckpoint):
    """A file that is shorter than its own header says."""

    def __init__(self, path: object, expected: int, actual: int) -> None:
        self.path, self.expected, self.actual = str(path), expected, actual
        super().__init__(
            f"the file is cut short: its header speaks of {expected:,} bytes, the file has {actual:,}",
            where=f"{path}",
            help=f"get the file again: the last {expected - actual:,} bytes are missing",
        )


class CorruptSafetensors(CorruptCheckpoint):
    """A safetensors header that does not hold."""

    def __init__(self, path: object, found: str, advice: str = "get the file again from where it came") -> None:
        self.path = str(path)
        super().__init__(found, where=f"{path}", help=f"{advice}: safetensors itself refuses it too")


class HeaderTooLong(CorruptSafetensors):
    """A header beyond the limit of the format."""

    def __init__(self, path: object, length: int, limit: int) -> None:
        self.length, self.limit = length, limit
        super().__init__(path, f"the header is said to be {length:,} bytes long; at most {limit:,} are allowed")


class MalformedHeader(CorruptSafetensors):
    """A header that is not the JSON that it should be."""

    def __init__(self, path: object, reason: str) -> None:
        self.reason = reason
        super().__init__(path, f"the header of the file is malformed: {reason}")


class MalformedEntry(CorruptSafetensors):
    """A tensor that the header does not describe as it should."""

    def __init__(self, path: object, key: str, member: str, value: object, wanted: str) -> None:
        self.key, self.member, self.value = key, member, value
        super().__init__(path, f"{member} of tensor '{key}' is {value!r:.60}, not {wanted}")


class UnknownDtype(CorruptSafetensors):
    """A dtype that safetensors does not have."""

    def __init__(self, path: object, key: str, dtype: str, known: Sequence[str]) -> None:
        self.key, self.dtype = key, dtype
        super().__init__(
            path,
            f"tensor '{key}' has the unknown dtype {dtype!r:.60}",
            f"write it again with a dtype of safetensors ({', '.join(known)})",
        )


class WrongByteCount(CorruptSafetensors):
    """A tensor whose byte range does not fit its dtype and shape."""

    def __init__(
        self, path: object, key: str, dtype: str, shape: Sequence[int], needed: int, start: int, end: int
    ) -> None:
        self.key, self.needed, self.start, self.end = key, needed, start, end
        super().__init__(
            path,
            f"tensor '{key}' needs {needed:,} bytes ({dtype} {_shape(shape)}), "
            f"but its range {start:,}..{end:,} has {end - start:,}",
        )


class TensorTooLarge(CorruptSafetensors):
    """A shape that no file can hold, or that ends inside a byte."""

    def __init__(self, path: object, key: str, dtype: str, shape: Sequence[int], reason: str) -> None:
        self.key = key
        super().__init__(path, f"tensor '{key}' ({dtype} {_shape(shape)}) {reason}")


class Hole(CorruptSafetensors):
    """Bytes that no tensor claims."""

    def __init__(self, path: object, key: str, start: int, end: int) -> None:
        self.key, self.start, self.end = key, start, end
        super().__init__(path, f"bytes {start:,}..{end:,} before tensor '{key}' are claimed by no tensor")


class Overlap(CorruptSafetensors):
    """Bytes that two tensors claim."""

    def __init__(self, path: object, key: str, other: str, start: int, end: int) -> None:
        self.key, self.other, self.start, self.end = key, other, start, end
        super().__init__(path, f"tensors '{other}' and '{key}' overlap: both claim bytes {start:,}..{end:,}")


class TrailingBytes(CorruptSafetensors):
    """Bytes after the last tensor."""

    def __init__(self, path: object, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(
            path,
            f"{actual - expected:,} bytes follow the last tensor: "
            f"the header speaks of {expected:,} bytes, the file has {actual:,}",
        )


class DuplicateKey(FileError):
    """A key that stands twice where it may stand once."""

    code = "duplicate-key"

    def __init__(self, path: object, key: str, places: Sequence[str] = ()) -> None:
        self.path, self.key, self.places = str(path), key, tuple(places)
        super().__init__(
            f"the key '{key}' stands in {_either(places, 'and')}" if places else f"the key '{key}' stands there twice",
            where=f"{path}",
            help="write the checkpoint again: readers differ in which of the two they take",
        )


class ReservedName(PlanError):
    """A tensor cannot have the name that the format keeps for itself."""

    code = "reserved-name"

    def __init__(self, path: object, key: str, name: str) -> None:
        self.path, self.key, self.name = str(path), key, name
        super().__init__(
            f"'{key}' would become '{name}', which safetensors keeps for its metadata",
            where=f"{path}",
            help="give the tensor another name. Nothing was written",
        )


# Folders


class SeveralCheckpoints(FileError):
    """A folder with more than one checkpoint: they are never merged, and none is taken by guess."""

    code = "several-checkpoints"

    def __init__(self, path: object, candidates: Sequence[tuple[str, str]]) -> None:
        self.path, self.candidates = str(path), tuple(candidates)
        super().__init__(
            f"this folder holds {len(self.candidates)} checkpoints",
            where=f"{path}",
            evidence=[f"{_in_shell(each)}   {what}" for each, what in self.candidates],
            help=f"name one of them, as in: ckptnames ls {_in_shell(self.candidates[0][0])}",
        )


class MissingShard(FileError):
    """A shard that the index names, or that the names of its neighbours imply, is not there."""

    code = "missing-shard"

    def __init__(self, path: object, shards: Sequence[str], n_shards: int, n_keys: int | None) -> None:
        self.path, self.shards, self.n_keys = str(path), tuple(shards), n_keys
        with_keys = "" if n_keys is None else f", with {n_keys} keys"
        super().__init__(
            f"{len(self.shards)} of {n_shards} shards are missing{with_keys}",
            where=f"{path}",
            evidence=self.shards,
            help=f"get '{self.shards[0]}' into the same folder"
            + (f", and {len(self.shards) - 1} more" if len(self.shards) > 1 else ""),
        )


class InvalidIndex(FileError):
    """An index of shards that does not say which shard holds which key."""

    code = "invalid-index"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"the index {reason}",
            where=f"{path}",
            help="get the index again from where it came, or name one of the shards instead",
        )


class IndexMismatch(FileError):
    """The index says that a shard holds keys which are not in it."""

    code = "index-mismatch"

    def __init__(self, path: object, absent: Sequence[tuple[str, str]]) -> None:
        self.path, self.absent = str(path), tuple(absent)
        count = "1 key that is" if len(self.absent) == 1 else f"{len(self.absent)} keys that are"
        super().__init__(
            f"the index names {count} not in the shard that it gives",
            where=f"{path}",
            evidence=[f"'{key}' is not in {shard}" for key, shard in self.absent],
            help="get the index and its shards again from one place: they do not belong together",
        )


class UnsafePath(FileError):
    """An index points outside its folder."""

    code = "unsafe-path"

    def __init__(self, path: object, name: str) -> None:
        self.path, self.name = str(path), name
        super().__init__(
            f"the index names a shard outside its folder: '{name}'",
            where=f"{path}",
            help="move the shard beside the index, and write its bare name there",
        )


# Writing


class OutputExists(FileError):
    """The output is there already."""

    code = "output-exists"

    def __init__(self, out: object) -> None:
        self.path = str(out)
        super().__init__(
            f"'{out}' exists",
            where=f"{out}",
            help="choose another name, or add --force to replace it. Nothing was written",
        )


class OutputHoldsMore(FileError):
    """A folder to be replaced holds things that the new checkpoint would not bring back."""

    code = "output-holds-more"

    def __init__(self, out: object, names: Sequence[str]) -> None:
        self.path, self.names = str(out), tuple(names)
        super().__init__(
            f"replacing '{out}' would lose {len(self.names)} of its entries",
            where=f"{out}",
            evidence=self.names,
            help="choose another name for the output. Nothing was written",
        )


class OutputIsSource(FileError):
    """The output is the source, under this name or another."""

    code = "output-is-source"

    def __init__(self, out: object, source: object) -> None:
        self.path, self.source = str(out), str(source)
        same = "the source" if self.path == self.source else f"the source '{source}' under another name"
        super().__init__(f"'{out}' is {same}", where=f"{out}", help="choose another name. Nothing was written")


class OutputOfOtherKind(FileError):
    """A folder stands where a file is to be written, or a file where a folder is."""

    code = "output-exists"

    def __init__(self, out: object, is_folder: bool) -> None:
        self.path = str(out)
        there, wanted = ("a folder", "a file") if is_folder else ("a file", "a folder")
        super().__init__(
            f"'{out}' is {there}, and the output is {wanted}",
            where=f"{out}",
            help=("name a file in it" if is_folder else "choose another name") + ". Nothing was written",
        )


class FormatMismatch(FileError):
    """The name of the output promises another format than the one that is written."""

    code = "format-mismatch"

    def __init__(self, out: object, promised: str, format: str, fitting: str) -> None:
        self.path, self.promised, self.format, self.fitting = str(out), promised, format, fitting
        super().__init__(
            f"the name '{out}' promises {promised}, but the output is {format}, like its source",
            where=f"{out}",
            help=f"name it '{fitting}': 'fix' changes names, not formats. Nothing was written",
        )


class CannotWrite(FileError):
    """The system does not let the output be written."""

    code = "cannot-write"

    def __init__(self, out: object, reason: str) -> None:
        self.path, self.reason = str(out), reason
        super().__init__(
            f"'{out}' cannot be written: {reason}",
            where=f"{out}",
            help="choose an output in a folder that exists and that you may write to. Nothing was left behind",
        )


class NoSpace(CannotWrite):
    """The disk is too full for the output."""

    def __init__(self, out: object, needed: int, free: int) -> None:
        self.needed, self.free = needed, free
        FileError.__init__(
            self,
            f"'{out}' needs {needed:,} bytes, and the disk has {free:,} free",
            where=f"{out}",
            help="free some space, or choose an output on another disk. Nothing was left behind",
        )
        self.path, self.reason = str(out), "no space"


class SourceChanged(FileError):
    """Someone wrote to the source while it was copied."""

    code = "source-changed"

    def __init__(self, path: object) -> None:
        self.path = str(path)
        super().__init__(
            f"'{path}' changed while it was read",
            where=f"{path}",
            help="wait until whatever writes to it is done, and run this again. Nothing was left behind",
        )


class PayloadDiffers(FileError):
    """Bytes that were copied do not read back as they stand in the source."""

    code = "payload-differs"

    def __init__(self, path: object, position: int, source: object, start: int) -> None:
        self.path, self.position, self.source, self.start = str(path), position, str(source), start
        super().__init__(
            f"byte {position:,} of what was written differs from byte {start:,} of '{source}'",
            where=f"{path}",
            help="check the disk, and write to another one. The output was removed and the source is untouched",
        )


# Fixing


class PartialPrefix(PlanError):
    """A prefix to strip stands on some of the keys only."""

    code = "partial-prefix"

    def __init__(self, path: str, prefix: str, carriers: Sequence[str], rest: Sequence[str]) -> None:
        self.prefix, self.carriers, self.rest = prefix, tuple(carriers), tuple(rest)
        n = len(self.carriers) + len(self.rest)
        super().__init__(
            f"'{prefix}.' stands on {len(self.carriers)} of {n} keys, not on all",
            where=path,
            evidence=[
                *(f"with:    {key}" for key in self.carriers[:2]),
                *(f"without: {key}" for key in self.rest[:2]),
            ],
            help=f"to strip it where it stands: --rule '{prefix}.** -> **'. Nothing was written",
        )


class AmbiguousInference(PlanError):
    """Several copies in the source fit the target equally well."""

    code = "ambiguous-inference"

    def __init__(self, path: str, choices: Sequence[tuple[str, str, int]]) -> None:
        self.choices = tuple(choices)
        lines = [f"{strip}.** -> {add + '.' if add else ''}**   {n} keys" for strip, add, n in self.choices]
        super().__init__(
            f"{len(self.choices)} copies in this checkpoint fit the target equally well",
            where=path,
            evidence=lines,
            help=f"name the one you want: --rule '{lines[0].split('   ')[0]}' --drop-unexpected. Nothing was written",
        )


class CannotRename(PlanError):
    """The source holds content that no rename turns into the target's weights."""

    code = "cannot-rename"

    def __init__(self, path: str, code: str, message: str, keys: Sequence[str], help: str) -> None:
        self.reason, self.keys = code, tuple(keys)
        super().__init__(message, where=path, evidence=keys, help=f"{help}. Nothing was written")


class NothingLeft(PlanError):
    """Rules that drop every key of the file."""

    code = "nothing-left"

    def __init__(self, path: object, n_keys: int) -> None:
        self.path, self.n_keys = str(path), n_keys
        super().__init__(
            f"all {_count(n_keys, 'key')} would be left out",
            where=f"{path}",
            help="drop less: a rule that ends in `-> !drop` takes every key that no earlier one does. "
            "Nothing was written",
        )


class ReadbackDiffers(FileError):
    """The file that was written does not read back as planned; it was removed."""

    code = "readback-differs"

    def __init__(self, path: object, key: str, what: str) -> None:
        self.path, self.key = str(path), key
        super().__init__(
            f"the written file reads back wrong: '{key}' {what}",
            where=f"{path}",
            help="report this as a bug of ckptnames, with the output of 'ckptnames ls' on the source. "
            "The file was removed and the source is untouched",
        )


class HeaderDiffers(ReadbackDiffers):
    """Bytes of a header, directory or pickle do not read back as they were written."""

    def __init__(self, path: object, position: int) -> None:
        self.path, self.key, self.position = str(path), "", position
        FileError.__init__(
            self,
            f"byte {position:,} of the written file does not read back as it was written",
            where=f"{path}",
            help="check the disk, and write to another one. The file was removed and the source is untouched",
        )


class ReadbackFails(ReadbackDiffers):
    """The file that was written cannot be read; it was removed."""

    def __init__(self, path: object, reason: CkptnamesError) -> None:
        self.path, self.key = str(path), ""
        FileError.__init__(
            self,
            f"the written file cannot be read back: {reason.message}",
            where=f"{path}",
            help="check the disk, and write to another one. The file was removed and the source is untouched",
        )


# Rules


class RuleSyntax(RuleError):
    """A line of a rule file that is no rule."""

    code = "rule-syntax"

    def __init__(self, found: str, *, name: str, line: int, text: str, start: int, end: int, help: str) -> None:
        self.name, self.line, self.text, self.start, self.end = name, line, text, start, end
        indent, width = len(shown(text[:start])), len(shown(text[start:end]))
        super().__init__(
            found,
            where=f"{name}:{line}:{start + 1}",
            evidence=[text, " " * indent + "~" * (width - 1) + "^"],
            help=help,
        )


class UnknownRulesVersion(RuleError):
    """A rule file of a version that this program does not read."""

    code = "rules-version"

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version
        super().__init__(
            f"rules of version '{version}'; this ckptnames reads version 1",
            where=f"{name}:1",
            help="update ckptnames, or rewrite the file in version 1 and name that in its first line",
        )


class UnreadableRules(RuleError):
    """A rule file that cannot be opened or is no text."""

    code = "unreadable-rules"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"the rules cannot be read: {reason}",
            where=f"{path}",
            help="name a file of rules in UTF-8, one `source pattern -> target pattern` a line",
        )


class BadArithmetic(RuleError):
    """A rule that would compute an index that no key can have."""

    code = "bad-arithmetic"

    def __init__(self, where: str, rule: str, key: str, expression: str, reason: str) -> None:
        self.rule, self.key, self.expression, self.reason = rule, key, expression, reason
        super().__init__(
            f"'{{{expression}}}' {reason} for the key '{key}'",
            where=where,
            evidence=[rule],
            help=f"put a rule for such keys before it, as in `{key} -> {key}`. Nothing was written",
        )


class KeyTooLong(RuleError):
    """A key that takes too many steps to match."""

    code = "key-too-long"

    def __init__(self, pattern: str, key: str) -> None:
        self.pattern, self.key = pattern, key
        super().__init__(
            f"a key of {len(key):,} characters is too long for the pattern '{pattern}'",
            evidence=[f"{key[:60]}…"],
            help="name each slot of the pattern once, and put dots around the slots",
        )


class NotInvertible(RuleError):
    """Rules that cannot be undone, and the line that loses information."""

    code = "not-invertible"

    def __init__(self, where: str, rule: str, reason: str, help: str) -> None:
        self.rule, self.reason = rule, reason
        super().__init__(f"the rules cannot be inverted: {reason}", where=where, evidence=[rule], help=help)


class CannotAllow(RuleError):
    """A problem that cannot be accepted for some keys."""

    code = "cannot-allow"

    def __init__(self, problem: str, accepted: Sequence[str]) -> None:
        self.problem, self.accepted = problem, tuple(accepted)
        super().__init__(
            f"'{problem}' is not a problem that can be allowed",
            help=f"name one of these: {', '.join(accepted)}",
        )


class KeyCollision(PlanError):
    """Several source keys would become one target key."""

    code = "key-collision"

    def __init__(self, target: str, claims: Sequence[tuple[str, str]], n_more: int = 0) -> None:
        self.target, self.claims, self.n_more = target, tuple(claims), n_more
        width = max(len(source) for source, _ in claims)
        rows = [f"{source:<{width}}   {where}" for source, where in claims]
        if n_more:
            rows = [*rows[: _MAX_EVIDENCE - 1], f"… and {n_more} more collision{'s' if n_more > 1 else ''}"]
        super().__init__(
            f"{len(claims)} source keys would {'both' if len(claims) == 2 else 'all'} become '{target}'",
            evidence=rows,
            help=f"{self._cure()}. Nothing was written",
        )

    def _cure(self) -> str:
        places = list(dict.fromkeys(where for _, where in self.claims))
        kept = [source for source, where in self.claims if where == "identity"]
        if kept:
            return f"'{kept[0]}' has this name already: move it or leave it out with a rule, as in `{kept[0]} -> !drop`"
        if len(places) == 1:
            return f"put what tells these keys apart into the target of {places[0]}, as a slot"
        return f"give {' and '.join(places[:2])} different targets"


class EntryCollision(KeyCollision):
    """A key would become the name of an entry that is no tensor."""

    def __init__(self, target: str, key: str, entry: str, what: str) -> None:
        self.target, self.claims, self.n_more = target, ((key, ""), (entry, "")), 0
        PlanError.__init__(
            self,
            f"'{key}' would become '{target}', and so would '{entry}', which is no tensor ({what})",
            help=f"give '{key}' another name. Nothing was written",
        )


class OpenKey(PlanError):
    """Keys that a rule marks as not decided."""

    code = "open-key"

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"{_count(len(keys), 'key')} not decided, the first is '{keys[0][0]}'",
            evidence=[f"{key}   {where}" for key, where in keys],
            help=f"replace `!open` in {keys[0][1]} by a target, or by `!drop`. Nothing was written",
        )


class UnmatchedRule(PlanError):
    """Rules that match no key."""

    code = "unmatched-rule"

    def __init__(self, rules: Sequence[tuple[str, str, str]]) -> None:
        self.rules = tuple(rules)
        super().__init__(
            f"{_count(len(rules), 'rule')} match{'es' if len(rules) == 1 else ''} no key",
            evidence=[f"{where}   {rule}" + (f"   nearest: {near}" if near else "") for where, rule, near in rules],
            help=f"correct {rules[0][0]}, or end it with ` ?` if it may match nothing. Nothing was written",
        )


class ShadowedRule(PlanError):
    """Rules that never decide, because earlier ones take every key they match."""

    code = "shadowed-rule"

    def __init__(self, rules: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        self.rules = tuple(rules)
        where, _, by = rules[0]
        super().__init__(
            f"{_count(len(rules), 'rule')} never decide{'s' if len(rules) == 1 else ''}: earlier lines take the keys",
            evidence=[f"{where}   {rule}   taken by {', '.join(by[:3])}" for where, rule, by in rules],
            help=f"move {where} above {by[0]}, or end it with ` ?` if that is meant. Nothing was written",
        )


class ShapeMismatch(PlanError):
    """Tensors that would fill target keys of other shapes."""

    code = "shape-mismatch"

    def __init__(self, items: Sequence[tuple[str, str, tuple[int, ...], tuple[int, ...]]], pattern: str) -> None:
        self.items, self.pattern = tuple(items), pattern
        super().__init__(
            f"{_count(len(items), 'tensor')} would fill a key of another shape",
            evidence=[
                f"{target}   source {_shape(source_shape)}, target {_shape(target_shape)}"
                + ("" if source == target else f"   from {source}")
                for source, target, source_shape, target_shape in items
            ],
            help=f"to keep the target's own values there: --allow shape-mismatch={_in_shell(pattern)}. "
            "Nothing was written",
        )


class UnfilledTarget(PlanError):
    """Target keys that nothing fills."""

    code = "unfilled-target"

    def __init__(self, keys: Sequence[str], n_target: int, suggestion: str = "") -> None:
        self.keys, self.n_target, self.suggestion = tuple(keys), n_target, suggestion
        super().__init__(
            f"{len(keys)} of {_count(n_target, 'target key')} would stay unfilled",
            evidence=keys,
            help=(f"add the rule that fills it, perhaps `{suggestion}`" if suggestion else "add rules that fill them")
            + ". Nothing was written",
        )


class SplitSiblings(PlanError):
    """Tensors that would be parted from the companions that give them meaning."""

    code = "split-siblings"

    def __init__(self, items: Sequence[tuple[str, str, str]]) -> None:
        self.items = tuple(items)
        _, companion, expected = items[0]
        cure = f"`{companion} -> {expected}`" if expected else f"`{companion} -> !drop`"
        super().__init__(
            f"{_count(len(items), 'tensor')} would part from what gives {'it' if len(items) == 1 else 'them'} meaning",
            evidence=[
                f"{key}   without {other}" + (f", which belongs at {name}" if name else "")
                for key, other, name in items
            ],
            help=f"move both alike: add {cure}. Nothing was written",
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n:,} {noun}s"


class OptionNotSupported(FileError):
    """An option that is known by name only so far."""

    code = "option-not-supported"

    def __init__(self, option: str, instead: str) -> None:
        self.option = option
        super().__init__(f"{option} is not supported yet", help=f"{instead}. Nothing was written")
