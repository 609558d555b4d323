"""Whether an output may be written at all: said before the first byte is."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from ckptnames.errors import (
    CannotWrite,
    FormatMismatch,
    NoFolder,
    NoSpace,
    OutputExists,
    OutputHoldsMore,
    OutputIsSource,
    OutputOfOtherKind,
)
from ckptnames.formats.heads import extensions_of, promised
from ckptnames.formats.pieces import Piece, Slice, length
from ckptnames.formats.survey import shards_of

Files = Mapping[Path, list[Piece]]
"""The files of one output, each by its path in the output folder; ``Path()`` alone stands for an output file."""

_FAMILIES = {"torch-zip": "torch", "torch-legacy": "torch"}
_MOST_NAMES = 1000


def check_output(files: Files, out: Path, source: Path, format: str, force: bool) -> None:
    """Refuse an output that is in the way of something, is named as what it is not, or has no room.

    Raises ``output-is-source``, ``format-mismatch``, ``output-exists``, ``output-holds-more`` and ``cannot-write``.
    """
    try:
        _check_not_source(files, out, source)
        _check_name(files, out, source, format)
        if not out.parent.exists():
            raise NoFolder(out)
        check_replaceable(files, out, force)
        check_space(out, bytes_of(files))
    except OSError as error:
        raise CannotWrite(out, error.strerror or str(error)) from None


def free_name(out: Path) -> Path:
    """Give a name like this one that nothing has; a folder that is named by its place alone gets one inside.

    >>> free_name(Path("fixtures/example/model.safetensors"))
    PosixPath('fixtures/example/model-2.safetensors')
    """
    if out.name in ("", ".."):
        out /= "renamed"
    names = (out.with_name(f"{out.stem}-{n}{out.suffix}") for n in count(2))
    return next(name for name in names if not os.path.lexists(name))


def is_folder(files: Files) -> bool:
    """Tell whether the output is a folder."""
    return Path() not in files


def bytes_of(files: Files) -> int:
    """Count the bytes of all files."""
    return sum(length(piece) for pieces in files.values() for piece in pieces)


def sources_of(files: Files) -> set[Path]:
    """Give every file that is copied from."""
    return {piece.path for pieces in files.values() for piece in pieces if isinstance(piece, Slice)}


def check_space(out: Path, needed: int) -> None:
    """Raise ``cannot-write`` where the disk has less than the bytes needed."""
    disk = shutil.disk_usage(out.parent)
    # Some network file systems say of themselves that they have no bytes at all.
    if disk.total and disk.free < needed:
        raise NoSpace(out, needed, disk.free)


def check_replaceable(files: Files, out: Path, force: bool) -> None:
    """Refuse to replace anything without ``force``, and even with it what the new output does not bring back.

    A link in the place of a file is replaced itself: what it points to stays.
    """
    if is_folder(files) and out.name in ("", ".."):
        raise CannotWrite(out, "the output is a new folder, not one that you are in", free_name(out))
    try:
        mode = out.lstat().st_mode
    except FileNotFoundError:
        return
    if is_folder(files) and stat.S_ISLNK(mode):
        raise CannotWrite(out, "it is a link, and the output is a folder", free_name(out))
    if is_folder(files) and stat.S_ISDIR(mode):
        held = next(out.iterdir(), None)
        if held is not None and not force:
            raise OutputExists(out, free_name(out))
        lost = sorted(set(_lost(out, files)))
        if lost:
            raise OutputHoldsMore(out, lost, free_name(out))
    elif is_folder(files) or out.is_dir():
        inside = out / min(sources_of(files), default=out).name
        free = inside if out.is_dir() and not os.path.lexists(inside) else free_name(out)
        raise OutputOfOtherKind(out, out.is_dir(), free)
    elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise CannotWrite(out, "it is no regular file", free_name(out))
    elif not force:
        raise OutputExists(out, free_name(out))


def _lost(out: Path, files: Files) -> Iterator[str]:
    """Name the files below a folder that are neither written again nor shards, which an index would replace."""
    n_names = 0
    for at, folders, names in os.walk(out):
        names += [name for name in folders if (Path(at) / name).is_symlink()]
        for name in names:
            relative = (Path(at) / name).relative_to(out)
            is_own = at == str(out) and (shards_of(name) or name.endswith(".index.json"))
            if relative not in files and not is_own:
                yield str(relative)
        n_names += len(names)
        if n_names > _MOST_NAMES:
            yield f"and what is in '{at}'"
            return


def _check_not_source(files: Files, out: Path, source: Path) -> None:
    try:
        state = out.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    folder = source if source.is_dir() else source.parent
    for path in (source, *sorted(sources_of(files)), *([folder] if is_folder(files) else [])):
        if path.exists() and os.path.samestat(state, path.stat()):
            raise OutputIsSource(out, path, free_name(out))
    if is_folder(files) and any(os.path.samestat(state, above.stat()) for above in folder.resolve().parents):
        raise CannotWrite(out, f"the source '{source}' stands in it", free_name(out))


def _check_name(files: Files, out: Path, source: Path, format: str) -> None:
    family = _FAMILIES.get(format, format)
    named = promised(out)
    if is_folder(files) and named:
        raise FormatMismatch(out, named, "a folder", _fitting(out, ""))
    if not is_folder(files) and named not in ("", family):
        extension = source.suffix if promised(source) == family else extensions_of(family)[0]
        raise FormatMismatch(out, named, family, _fitting(out, extension))


def _fitting(out: Path, extension: str) -> Path:
    name = out.with_suffix(extension)
    return free_name(name) if os.path.lexists(name) else name
