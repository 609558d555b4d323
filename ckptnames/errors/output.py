"""What cannot be written, and what was written wrong."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import FileError


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


class UnwritableStdout(FileError):
    """The output could not be written where stdout leads."""

    code = "unwritable-stdout"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the output cannot be written to stdout: {reason}",
            help="make room, or send the output elsewhere",
        )
