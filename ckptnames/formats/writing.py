"""Pieces to files: written beside the output, flushed, checked, and only then put in its place."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path

from ckptnames.errors import CannotRead, CannotWrite, NoSpace, OutputExists, PayloadDiffers, SourceChanged
from ckptnames.formats.file_state import FileState, check_unchanged, state_of
from ckptnames.formats.outputs import (
    Files,
    bytes_of,
    check_output,
    check_replaceable,
    free_name,
    is_folder,
    sources_of,
)
from ckptnames.formats.pieces import Piece, Slice, first_difference, length
from ckptnames.formats.survey import LEFTOVER

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_BUFFER_BYTES = 1 << 18
"""A plain loop of this size is as fast as ``copy_file_range`` and ``sendfile``; one of 1 MiB is slower where others use
the processor's caches too. ``benchmarks/copying.py`` measures it."""

_PROGRESS_BYTES = 1 << 20
_FLUSH_BYTES = 1 << 25
"""What was written is sent to the disk each time that it is this much: copying goes on meanwhile, and the flush at the
end has little left to wait for. It saves a third of the time."""


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
    beside = _beside(out)
    try:
        with _as_cannot_write(out, bytes_of(files)):
            _write_files(files, beside, source, progress)
        check_unchanged(before)
        check(beside)
        with _as_cannot_write(out, bytes_of(files)):
            _put_in_place(files, beside, out, force)
    finally:
        _remove(beside)


def write_text(out: Path, text: str) -> None:
    """Put a file of text in place when it is whole, also where another one stands: that one is never lost half-way.

    Raises ``output-of-other-kind`` for a folder, and ``cannot-write``.
    """
    beside = _beside(out)
    try:
        with _as_cannot_write(out, len(text)):
            check_replaceable({Path(): []}, out, force=True)
            with beside.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(out)
            _flush_folder(out.parent)
    finally:
        _remove(beside)


def _beside(out: Path) -> Path:
    """Name what is written until it is complete: hidden, recognisable, on the same disk, and not too long a name."""
    start = os.fsencode(out.name)[:150].decode("utf-8", "ignore")
    # The random part keeps apart what two machines with the same process ids write to one disk.
    return out.with_name(f".{start}{LEFTOVER}{os.getpid()}-{os.urandom(3).hex()}")


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
        raise OutputExists(out, free_name(out)) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoSpace(out, needed, shutil.disk_usage(out.parent).free) from None
        raise CannotWrite(out, error.strerror or str(error)) from None


def _write_files(files: Files, beside: Path, source: Path, progress: Progress | None) -> None:
    total, done = bytes_of(files), 0
    if is_folder(files):
        beside.mkdir(mode=_mode_of(source if source.is_dir() else source.parent) | stat.S_IRWXU)
    for relative, pieces in files.items():
        path = beside / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        for n_bytes in _copy(pieces, path, _mode_of(_model_of(relative, pieces, source))):
            done += n_bytes
            if progress is not None:
                progress(done, total)
    for folder in sorted({beside / above for relative in files for above in relative.parents if relative.name}):
        _flush_folder(folder)


def _model_of(relative: Path, pieces: list[Piece], source: Path) -> Path:
    """Give the file whose mode the output gets: the one it is copied from."""
    copied = next((piece.path for piece in pieces if isinstance(piece, Slice)), None)
    return copied or (source if source.is_dir() or relative == Path() else source.parent) / relative


def _mode_of(path: Path) -> int:
    """Give the mode of a file or folder, of which the system then takes what the user's umask forbids, as ``cp`` does.

    So a private file is never readable by others, not even while it is written.
    """
    return stat.S_IMODE(path.stat().st_mode) & 0o777


def _copy(pieces: list[Piece], path: Path, mode: int) -> Iterator[int]:
    """Write one file, telling after each buffer how many bytes went out."""
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with ExitStack() as opened:
        target = opened.enter_context(
            open(path, "xb", _BUFFER_BYTES // 4, opener=lambda name, flags: os.open(name, flags, mode))
        )
        sources: dict[Path, FileIO] = {}
        told = at = flushed = 0
        for piece in pieces:
            if isinstance(piece, Slice) and piece.path not in sources:
                sources[piece.path] = opened.enter_context(_opened(piece.path))
            for part in (piece,) if isinstance(piece, bytes) else _parts(piece, sources[piece.path], buffer):
                target.write(part)
                told += len(part)
                if told >= _PROGRESS_BYTES:
                    yield told
                    at, told = at + told, 0
                if at - flushed >= _FLUSH_BYTES:
                    _forget(target.fileno(), flushed, at - flushed)
                    flushed = at
        target.flush()
        os.fsync(target.fileno())
        yield told


def _opened(path: Path) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise CannotRead(path, error.strerror or str(error)) from None


def _parts(piece: Slice, source: FileIO, buffer: memoryview) -> Iterator[memoryview]:
    left = piece.length
    try:
        source.seek(piece.start)
        while left:
            got = source.readinto(buffer[:left])
            if not got:
                raise SourceChanged(piece.path)
            left -= got
            yield buffer[:got]
    except OSError as error:
        raise CannotRead(piece.path, error.strerror or str(error)) from None


def _put_in_place(files: Files, beside: Path, out: Path, force: bool) -> None:
    check_replaceable(files, out, force)
    if is_folder(files):
        _swap(beside, out, force)
    elif force:
        beside.replace(out)
    else:
        _claim(beside, out)
    _flush_folder(out.parent)


def _flush_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk, on systems that can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _claim(beside: Path, out: Path) -> None:
    try:
        # A link fails where the name has been taken meanwhile; a rename would take it over.
        os.link(beside, out)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links.
        if os.path.lexists(out):
            raise OutputExists(out, free_name(out)) from None
        beside.rename(out)


def _swap(beside: Path, out: Path, force: bool) -> None:
    """Put a folder in place; the one that it replaces is removed last, and put back where that fails."""
    try:
        beside.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not force:
            raise OutputExists(out, free_name(out)) from None
    else:
        return
    old = beside.with_name(f"{beside.name}-old")
    try:
        out.rename(old)
        beside.rename(out)
    except BaseException:
        if not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def verify_payload(files: Files, written: Path, out: Path) -> None:
    """Compare every byte that was copied with where it came from, a buffer at a time; errors speak of ``out``.

    Raises ``payload-differs`` and ``cannot-read``.
    """
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    for relative, pieces in files.items():
        with BufferedReader(_opened(written / relative), _BUFFER_BYTES) as copy:
            # It is read from the disk, not from memory.
            _forget(copy.fileno())
            at = 0
            for piece in pieces:
                if isinstance(piece, Slice):
                    with _opened(piece.path) as source:
                        _compare(copy, Slice(out / relative, at, piece.length), source, piece, buffer)
                at += length(piece)


def _forget(descriptor: int, start: int = 0, n_bytes: int = 0) -> None:
    """Tell the system that it need not hold these bytes in memory: what it has not written yet, it begins to write."""
    with suppress(AttributeError, OSError):
        os.posix_fadvise(descriptor, start, n_bytes, os.POSIX_FADV_DONTNEED)


def _compare(copy: BufferedReader[FileIO], ours: Slice, source: FileIO, theirs: Slice, buffer: memoryview) -> None:
    copy.seek(ours.start)
    done = 0
    for part in _parts(theirs, source, buffer):
        try:
            read = copy.read(len(part))
        except OSError as error:
            raise CannotRead(ours.path, error.strerror or str(error)) from None
        if read != part:
            same = first_difference(read, part)
            raise PayloadDiffers(ours.path, ours.start + done + same, theirs.path, theirs.start + done + same)
        done += len(part)
