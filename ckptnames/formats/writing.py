"""Pieces to files: written beside the output, flushed, checked, and only then put in its place."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ckptnames.errors import CannotRead, CannotWrite, NoSpace, OutputExists, PayloadDiffers, SourceChanged
from ckptnames.formats.file_state import FileState, check_unchanged, state_of
from ckptnames.formats.outputs import Files, bytes_of, check_output, check_replaceable, is_folder, sources_of
from ckptnames.formats.pieces import Piece, Slice, length
from ckptnames.formats.survey import LEFTOVER

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_BUFFER_BYTES = 1 << 20
"""A plain loop of this size was measured as fast as ``mmap``, ``copy_file_range`` and ``sendfile``."""


def write(
    files: Files,
    out: Path,
    *,
    source: Path,
    states: Mapping[Path, FileState],
    format: str,
    check: Callable[[Path], None],
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the files of one checkpoint to ``out``: one file for ``Path()``, a folder for any other path.

    ``states`` are those of the files that were read to compose it: none may change until it is written. ``check``
    reads the result back before it is put in place. Raises ``output-exists``, ``output-is-source``,
    ``format-mismatch``, ``output-holds-more``, ``cannot-write``, ``cannot-read``, ``source-changed``, and what
    ``check`` raises; then, as after an interruption, nothing is left behind.
    """
    check_output(files, out, source, format, force)
    before = {**_states(files), **states}
    check_unchanged(before)
    # The random part keeps apart what two containers with the same process ids write to one disk.
    beside = out.with_name(f".{out.name[:150]}{LEFTOVER}{os.getpid()}-{os.urandom(3).hex()}")
    try:
        with _as_cannot_write(out, bytes_of(files)):
            _write_files(files, beside, source, progress)
        check_unchanged(before)
        check(beside)
        with _as_cannot_write(out, bytes_of(files)):
            _put_in_place(files, beside, out, force)
    finally:
        _remove(beside)


def _states(files: Files) -> dict[Path, FileState]:
    found = {}
    for path in sources_of(files):
        try:
            found[path] = state_of(path)
        except OSError:
            raise SourceChanged(path) from None
    return found


@contextmanager
def _as_cannot_write(out: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise OutputExists(out) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoSpace(out, needed, shutil.disk_usage(out.parent).free) from None
        raise CannotWrite(out, error.strerror or str(error)) from None


def _write_files(files: Files, beside: Path, source: Path, progress: Progress | None) -> None:
    total, done = bytes_of(files), 0
    if is_folder(files):
        beside.mkdir()
    for relative, pieces in files.items():
        path = beside / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        for n_bytes in _copy(pieces, path):
            done += n_bytes
            if progress is not None:
                progress(done, total)
        model = _model_of(relative, pieces, source)
        if model.is_file():
            shutil.copymode(model, path)


def _model_of(relative: Path, pieces: list[Piece], source: Path) -> Path:
    """Give the file whose mode the output gets: the one it is copied from."""
    copied = next((piece.path for piece in pieces if isinstance(piece, Slice)), None)
    return copied or (source if source.is_dir() or relative == Path() else source.parent) / relative


def _copy(pieces: list[Piece], path: Path) -> Iterator[int]:
    """Write one file, telling after each buffer how many bytes went out."""
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    opened: dict[Path, int] = {}
    with path.open("xb", buffering=_BUFFER_BYTES // 4) as target:
        try:
            told = 0
            for piece in pieces:
                for part in _parts(piece, opened, buffer):
                    target.write(part)
                    told += len(part)
                    if told >= _BUFFER_BYTES:
                        yield told
                        told = 0
            target.flush()
            os.fsync(target.fileno())
            yield told
        finally:
            for descriptor in opened.values():
                os.close(descriptor)


def _parts(piece: Piece, opened: dict[Path, int], buffer: memoryview) -> Iterator[bytes | memoryview]:
    if isinstance(piece, bytes):
        yield piece
        return
    at, end = piece.start, piece.start + piece.length
    while at < end:
        try:
            if piece.path not in opened:
                opened[piece.path] = os.open(piece.path, os.O_RDONLY)
            got = os.preadv(opened[piece.path], [buffer[: min(len(buffer), end - at)]], at)
        except OSError as error:
            raise CannotRead(piece.path, error.strerror or str(error)) from None
        if not got:
            raise SourceChanged(piece.path)
        at += got
        yield buffer[:got]


def _put_in_place(files: Files, beside: Path, out: Path, force: bool) -> None:
    check_replaceable(files, out, force)
    if is_folder(files):
        _swap(beside, out)
    elif force:
        beside.replace(out)
    else:
        _claim(beside, out)
    # The file is in place: a file system that cannot flush a folder is no failure.
    with suppress(OSError):
        folder = os.open(out.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _claim(beside: Path, out: Path) -> None:
    try:
        # A link fails where the name has been taken meanwhile; a rename would take it over.
        os.link(beside, out)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links.
        if os.path.lexists(out):
            raise OutputExists(out) from None
        beside.rename(out)


def _swap(beside: Path, out: Path) -> None:
    """Put a folder in place; the one that it replaces is removed last, and put back where that fails."""
    try:
        beside.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    else:
        return
    old = beside.with_name(f"{beside.name}-old")
    out.rename(old)
    try:
        beside.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def verify_payload(files: Files, written: Path) -> None:
    """Compare every byte that was copied with where it came from, a buffer at a time.

    Raises ``payload-differs``.
    """
    for relative, pieces in files.items():
        path = written / relative
        at = 0
        with path.open("rb", buffering=0) as copy:
            _forget(copy.fileno())
            for piece in pieces:
                if isinstance(piece, Slice):
                    _compare(copy.fileno(), path, at, piece)
                at += length(piece)


def _forget(descriptor: int) -> None:
    # What is flushed is read from the disk once more, not from memory.
    with suppress(AttributeError, OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _compare(copy: int, path: Path, at: int, piece: Slice) -> None:
    with piece.path.open("rb", buffering=0) as source:
        for done in range(0, piece.length, _BUFFER_BYTES):
            size = min(_BUFFER_BYTES, piece.length - done)
            ours, theirs = os.pread(copy, size, at + done), os.pread(source.fileno(), size, piece.start + done)
            if ours != theirs:
                same = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(ours))
                raise PayloadDiffers(path, at + done + same, piece.path, piece.start + done + same)
