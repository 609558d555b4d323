"""What cannot be written, and what was written wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ckptnames.errors.base import NAME_ITS_CHECKPOINT, FileError, names_alone
from ckptnames.wording import counted, path_in_shell

_REMOVED = "What was written is removed, and the source is untouched"


class CannotRewrite(FileError):
    """The names of a manifest could be changed, but there is no tensor to write beside them."""

    code = "cannot-rewrite"

    def __init__(self, path: object, format: str) -> None:
        self.path, self.format = str(path), format
        super().__init__(names_alone(format), where=f"{path}", help=NAME_ITS_CHECKPOINT)


class ModuleNames(CannotRewrite):
    """The container is a module that was pickled whole: its names are attribute names, not strings to be changed."""

    def __init__(self, path: object, container: str) -> None:
        self.path, self.format, self.container = str(path), "a pickled nn.Module", container
        FileError.__init__(
            self,
            "this is a whole nn.Module, pickled: its names are the names of its attributes",
            where=f"{path}",
            help="save its state dict from code that knows its class, and rename that: "
            "torch.save(model.state_dict(), 'weights.pt')",
        )


class ModelNotRewritten(CannotRewrite):
    """A model stands where a checkpoint should whose names are to change."""

    def __init__(self, operand: str) -> None:
        self.path, self.format = operand, "a model"
        FileError.__init__(
            self,
            "this is a model: it has names, and no file in which they could change",
            where=operand,
            help="name a checkpoint there, and the model as what its names must become: "
            f"--like {path_in_shell(operand)}",
        )


class UneditablePickle(FileError):
    """A pickle in which the names cannot change without changing something else."""

    code = "cannot-edit-pickle"

    def __init__(self, where: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the names in this pickle cannot be changed alone: {reason}",
            where=where,
            help="load it with torch, save its state dict alone, and rename that",
        )


class OutputExists(FileError):
    """The output is there already."""

    code = "output-exists"

    def __init__(self, out: object, free: object) -> None:
        self.path, self.free = str(out), str(free)
        super().__init__(f"'{out}' exists", where=f"{out}", help=_other_name(free))


def _other_name(free: object) -> str:
    return f"choose another name, as in: -o {path_in_shell(free)}"


class OutputHoldsMore(FileError):
    """A folder to be replaced holds things that the new checkpoint would not bring back."""

    code = "output-holds-more"

    def __init__(self, out: object, names: Sequence[str], free: object) -> None:
        self.path, self.names, self.free = str(out), tuple(names), str(free)
        super().__init__(
            f"replacing '{out}' would lose {counted(len(self.names), 'file')} that the new checkpoint does not have",
            where=f"{out}",
            evidence=self.names,
            help=_other_name(free),
        )


class OutputIsSource(FileError):
    """The output is the source, under this name or another."""

    code = "output-is-source"

    def __init__(self, out: object, source: object, free: object) -> None:
        self.path, self.source, self.free = str(out), str(source), str(free)
        same = "the source" if self.path == self.source else f"the source '{source}' under another name"
        super().__init__(f"'{out}' is {same}", where=f"{out}", help=_other_name(free))


class OutputOfOtherKind(FileError):
    """A folder stands where a file is to be written, or a file where a folder is."""

    code = "output-exists"

    def __init__(self, out: object, is_folder: bool, free: object) -> None:
        self.path, self.free = str(out), str(free)
        there, wanted = ("a folder", "a file") if is_folder else ("a file", "a folder")
        super().__init__(f"'{out}' is {there}, and the output is {wanted}", where=f"{out}", help=_other_name(free))


class FormatMismatch(FileError):
    """The name of the output promises another format than the one that is written."""

    code = "format-mismatch"

    def __init__(self, out: object, promised: str, format: str, fitting: object) -> None:
        self.path, self.promised, self.format, self.fitting = str(out), promised, format, str(fitting)
        super().__init__(
            f"the name '{out}' promises {promised}, and what is written is {format}, like the source",
            where=f"{out}",
            help=f"names change and formats stay, so write: -o {path_in_shell(fitting)}",
        )


class CannotWrite(FileError):
    """The system does not let the output be written, or it has no place there: ``free`` is a name with one."""

    code = "cannot-write"

    def __init__(self, out: object, reason: str, free: object = None) -> None:
        self.path, self.reason = str(out), reason
        super().__init__(
            f"'{out}' cannot be written: {reason}",
            where=f"{out}",
            help="choose an output in a folder that you may write to" if free is None else _other_name(free),
            outcome="Nothing was left behind",
        )


class ReservedEntry(CannotWrite):
    """An entry beside the weights that has the name of what is saved with them."""

    def __init__(self, out: object, name: str) -> None:
        super().__init__(out, f"'beside' has the entry '{name}', which is for what belongs to the weights")
        self.name = name
        self.help = "give it another name in 'beside'"


class NoFolder(CannotWrite):
    """The folder of the output does not exist."""

    def __init__(self, out: str | PurePath) -> None:
        folder = PurePath(out).parent
        FileError.__init__(
            self,
            f"'{out}' cannot be written: there is no folder '{folder}'",
            where=f"{out}",
            help=f"make it first: mkdir -p {path_in_shell(folder)}",
        )
        self.path, self.reason = str(out), "no folder"


class NoSpace(CannotWrite):
    """The disk is too full for the output."""

    def __init__(self, out: object, needed: int, free: int) -> None:
        self.needed, self.free = needed, free
        FileError.__init__(
            self,
            f"'{out}' needs {needed:,} bytes, and the disk has {free:,} free",
            where=f"{out}",
            help="free some space, or choose an output on another disk",
            outcome="Nothing was left behind",
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
            help="wait until whatever writes to it is done, and run this again",
            outcome="Nothing was left behind",
        )


class PayloadDiffers(FileError):
    """Bytes that were copied do not read back as they stand in the source."""

    code = "payload-differs"

    def __init__(self, path: object, position: int, source: object, start: int) -> None:
        self.path, self.position, self.source, self.start = str(path), position, str(source), start
        super().__init__(
            f"byte {position:,} of what was written differs from byte {start:,} of '{source}'",
            where=f"{path}",
            help="check the disk, and write to another one",
            outcome=_REMOVED,
        )


class ReadbackDiffers(FileError):
    """The file that was written does not read back as planned; it was removed."""

    code = "readback-differs"

    def __init__(self, path: object, key: str, what: str) -> None:
        self.path, self.key = str(path), key
        super().__init__(
            f"the written file reads back wrong: '{key}' {what}",
            where=f"{path}",
            help="report this as a bug of ckptnames, with what 'ckptnames ls' says of the source",
            outcome=_REMOVED,
        )


class HeaderDiffers(ReadbackDiffers):
    """Bytes of a header, directory or pickle do not read back as they were written."""

    def __init__(self, path: object, position: int) -> None:
        self.path, self.key, self.position = str(path), "", position
        FileError.__init__(
            self,
            f"byte {position:,} of the written file does not read back as it was written",
            where=f"{path}",
            help="check the disk, and write to another one",
            outcome=_REMOVED,
        )


class ReadbackFails(ReadbackDiffers):
    """The file that was written cannot be read; it was removed."""

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.key, self.reason = str(path), "", reason
        FileError.__init__(
            self,
            f"the written file cannot be read back: {reason}",
            where=f"{path}",
            help="check the disk, and write to another one",
            outcome=_REMOVED,
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
