"""Files and folders that are something else than a checkpoint, or one of a kind that is not read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ckptnames.errors.base import MAX_EVIDENCE, FileError
from ckptnames.wording import aligned, annex_get, counted, path_in_shell


class NotACheckpoint(FileError):
    """The file or folder is something else than a checkpoint."""

    code = "not-a-checkpoint"


class GitLfsPointer(NotACheckpoint):
    """A text file that Git LFS leaves in the place of a large file."""

    def __init__(self, path: str | PurePath, size: int, meant: int | None) -> None:
        self.path, self.meant = str(path), meant
        stands_for = "" if meant is None else f", not the file of {meant:,} bytes that it stands for"
        super().__init__(
            f"this is a Git LFS pointer of {size:,} bytes{stands_for}",
            where=f"{path}",
            help=f"get the file that is meant: git -C {path_in_shell(PurePath(path).parent)} lfs pull",
        )


class GitAnnexPointer(NotACheckpoint):
    """A text file that git-annex leaves in the place of a large file."""

    def __init__(self, path: str | PurePath, size: int, meant: int | None) -> None:
        self.path, self.meant = str(path), meant
        stands_for = "" if meant is None else f", not the file of {meant:,} bytes that it stands for"
        super().__init__(
            f"this is a git-annex pointer of {size:,} bytes{stands_for}",
            where=f"{path}",
            help=f"get the file that is meant: {annex_get(path)}",
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
        super().__init__(
            f"this is {what}: it lists no tensors",
            where=f"{path}",
            evidence=[f"its members: {', '.join(self.members[:8])}"] if members else [],
            help=f"the weights may be beside it: ckptnames ls {path_in_shell(beside[0])}"
            if beside
            else "name the file that holds the weights, or what 'ckptnames ls --json' printed",
        )


class PlainText(NotACheckpoint):
    """A text file; ``is_torch_error`` where torch says in it what it misses."""

    def __init__(self, path: object, first_line: str, is_torch_error: bool) -> None:
        self.path, self.first_line, self.is_torch_error = str(path), first_line, is_torch_error
        super().__init__(
            f"this is {'the message of load_state_dict' if is_torch_error else 'plain text'}, not a checkpoint",
            where=f"{path}",
            evidence=[f"it begins: {first_line}"],
            help=f"to hear what it means: ckptnames diff CHECKPOINT --error {path_in_shell(path)}"
            if is_torch_error
            else "name the file that holds the weights",
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
        others = f"this folder holds no checkpoint, only {counted(len(self.names), 'other thing')}"
        super().__init__(
            others if names else "this folder is empty",
            where=f"{path}",
            evidence=names,
            help=f"below it there are weights: ckptnames ls {path_in_shell(below[0])}"
            if below
            else "name the file or folder of the weights",
        )


class NoTensorsByName(NotACheckpoint):
    """A file of torch or pickle in which no mapping holds a tensor under a name."""

    def __init__(self, path: object, root: str, contents: Sequence[tuple[str, str]]) -> None:
        self.path, self.root, self.contents = str(path), root, tuple(contents)
        super().__init__(
            f"this file holds no weights by name ({root})",
            where=f"{path}",
            evidence=aligned(contents, MAX_EVIDENCE),
            help="name the file that holds the weights; it is often beside this one",
        )


class NotWrittenByTorch(NotACheckpoint):
    """A pickle that torch.save did not write."""

    def __init__(self, path: object, what: str, contents: Sequence[tuple[str, str]]) -> None:
        self.path, self.what, self.contents = str(path), what, tuple(contents)
        super().__init__(
            f"torch.save did not write this pickle ({what}): it holds no weights",
            where=f"{path}",
            evidence=aligned(contents, MAX_EVIDENCE),
            help="name the file that holds the weights, as torch.save or safetensors wrote it",
        )


class UnsafePickle(FileError):
    """A pickle without weights that calls what runs something."""

    code = "unsafe-pickle"

    def __init__(self, path: object, calls: Sequence[str]) -> None:
        self.path, self.calls = str(path), tuple(calls)
        super().__init__(
            f"this pickle holds no weights, and calls '{calls[0]}': nothing of it was run",
            where=f"{path}",
            evidence=[f"it also calls '{call}'" for call in calls[1:]],
            help="delete the file, and get the weights from a source you trust",
        )


class UnsupportedFormat(FileError):
    """A checkpoint in a format that is known by name, and not read."""

    code = "unsupported-format"

    def __init__(self, path: object, format: str, advice: str) -> None:
        self.path, self.format = str(path), format
        super().__init__(f"this is {format}, which is not read yet", where=f"{path}", help=advice)
