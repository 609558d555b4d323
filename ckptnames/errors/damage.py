"""Files of torch that are damaged, or ask for more than any checkpoint needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ckptnames.errors.base import FileError
from ckptnames.wording import shown


def say_what_it_names(error: FileError, names: Iterable[str]) -> None:
    """Put before the evidence of an error what the pickle names that would run something."""
    lines = _named(names)
    error.evidence = (*lines, *(line for line in error.evidence if line not in lines))


def distrust(error: FileError, names: Sequence[str]) -> None:
    """Say of a file that names what runs something that it does, and take back any advice to load it."""
    if names:
        say_what_it_names(error, names)
        error.help = "do not load this file, which would run what it names: get the weights from a source you trust"


def _named(names: Iterable[str]) -> list[str]:
    return [shown(f"it names '{name}'; nothing of it was run") for name in names]


class CorruptCheckpoint(FileError):
    """The file is damaged: what it says of itself does not hold."""

    code = "corrupt-checkpoint"


class MalformedPickle(CorruptCheckpoint):
    """Bytes that should be a pickle make none."""

    def __init__(self, where: str, reason: str, position: int, named: Sequence[str] = ()) -> None:
        self.reason, self.position, self.named = reason, position, tuple(named)
        super().__init__(
            f"the pickle breaks at byte {position:,}: {reason}",
            where=where,
            evidence=_named(named),
            help="get the file again from where it came: it is damaged, or was not written by torch.save",
        )


class PickleCutShort(MalformedPickle):
    """A pickle that the file ends inside of."""

    def __init__(self, where: str, reason: str, position: int, named: Sequence[str] = ()) -> None:
        self.reason, self.position, self.named = reason, position, tuple(named)
        FileError.__init__(
            self,
            f"the file is cut short inside its pickle: {reason}",
            where=where,
            evidence=_named(named),
            help="get the file again: the download, copy or save that made it did not finish",
        )


class PickleLimit(FileError):
    """A pickle asks for more than any checkpoint needs."""

    code = "pickle-limit"

    def __init__(self, where: str, what: str, limit: int, actual: int) -> None:
        self.what, self.limit, self.actual = what, limit, actual
        super().__init__(
            f"the pickle has {actual:,} {what}: at most {limit:,} are read",
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
            f"the file is cut short: it begins as a zip archive, and its {n_bytes:,} bytes end before the directory",
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
