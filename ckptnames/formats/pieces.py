"""A file to be written, as a list of literal bytes and byte ranges of files that exist: payload is never decoded."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Slice(NamedTuple):
    """``length`` bytes of ``path`` from ``start``, to be copied as they stand."""

    path: Path
    start: int
    length: int


Piece = bytes | Slice


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Join neighbours that are one run, and leave out what is empty, so that a bulk copy is one piece.

    >>> merged([b"a", b"b", Slice(Path("x"), 0, 2), Slice(Path("x"), 2, 3), b""])
    [b'ab', Slice(path=PosixPath('x'), start=0, length=5)]
    """
    out: list[Piece] = []
    for piece in pieces:
        if not length(piece):
            continue
        last = out[-1] if out else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            out[-1] = last + piece
        elif (
            isinstance(piece, Slice)
            and isinstance(last, Slice)
            and piece.path == last.path
            and piece.start == last.start + last.length
        ):
            out[-1] = Slice(last.path, last.start, last.length + piece.length)
        else:
            out.append(piece)
    return out


def first_difference(one: bytes | memoryview, other: bytes | memoryview) -> int:
    """Tell where two strings of bytes part.

    >>> first_difference(b"abc", b"abd"), first_difference(b"ab", b"abc")
    (2, 2)
    """
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def length(piece: Piece) -> int:
    """Count the bytes that a piece will write."""
    return len(piece) if isinstance(piece, bytes) else piece.length


class Landing:
    """Tells where a byte range of a source lands in the file that the pieces make.

    >>> Landing([b"head", Slice(Path("x"), 10, 5)])(Path("x"), 12, 2)
    (6,)
    """

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._runs: dict[Path, list[tuple[int, int, int]]] = {}
        at = 0
        for piece in pieces:
            if isinstance(piece, Slice):
                self._runs.setdefault(piece.path, []).append((piece.start, piece.length, at))
            at += length(piece)
        for runs in self._runs.values():
            runs.sort()

    def __call__(self, path: Path, start: int, size: int) -> tuple[int, ...]:
        """Give every output position at which the ``size`` bytes of ``path`` from ``start`` are written whole."""
        runs = self._runs.get(path, [])
        until = bisect.bisect_right(runs, (start, 1 << 63, 0))
        # Runs of one file overlap only where a tensor is written twice: then the same start stands more than once.
        found = []
        for run_start, run_length, at in reversed(runs[:until]):
            if start + size <= run_start + run_length:
                found.append(at + start - run_start)
            elif found or run_start < start:
                break
        return tuple(sorted(found))
