"""Writing the file that pieces describe, as a test does it: plainly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ckptnames.formats.pieces import Piece

_CHUNK = 1 << 24


def assemble(pieces: Iterable[Piece], out: Path) -> Path:
    """Write the pieces one after the other; runs of zeros become holes, so that sparse files stay so."""
    with out.open("wb") as target:
        for piece in pieces:
            if isinstance(piece, bytes):
                target.write(piece)
                continue
            with piece.path.open("rb") as source:
                source.seek(piece.start)
                left = piece.length
                while left:
                    chunk = source.read(min(left, _CHUNK))
                    assert chunk, f"{piece} reaches beyond its file"
                    left -= len(chunk)
                    if len(chunk) > 4096 and chunk.count(0) == len(chunk):
                        target.seek(len(chunk), 1)
                    else:
                        target.write(chunk)
        target.truncate()
    return out
