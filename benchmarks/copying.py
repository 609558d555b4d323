"""Ways to copy a large file and flush it, against ``cp`` and ``sync``: why ``ckptnames fix`` copies as it does.

python -m benchmarks.copying [--rounds N] [--megabytes N] [--folder FOLDER]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from benchmarks.measure import arguments, best_seconds, in_turns, show_times

KIB, MIB = 1 << 10, 1 << 20
FLUSH_BYTES = 32 * MIB


def loop(source: BinaryIO, target: BinaryIO, buffer_bytes: int, early: bool) -> None:
    """Read and write; with ``early``, have the system begin to write to the disk after every 32 MiB."""
    buffer = memoryview(bytearray(buffer_bytes))
    at = flushed = 0
    while got := os.readv(source.fileno(), [buffer]):
        target.write(buffer[:got])
        at += got
        if early and at - flushed >= FLUSH_BYTES:
            os.posix_fadvise(target.fileno(), flushed, at - flushed, os.POSIX_FADV_DONTNEED)
            flushed = at


def copy_file_range(source: BinaryIO, target: BinaryIO) -> None:
    while os.copy_file_range(source.fileno(), target.fileno(), 64 * MIB):
        pass


def sendfile(source: BinaryIO, target: BinaryIO) -> None:
    at = 0
    while sent := os.sendfile(target.fileno(), source.fileno(), at, 64 * MIB):
        at += sent


WAYS: dict[str, Callable[[BinaryIO, BinaryIO], None]] = {
    "loop of 256 KiB, flushed early": lambda source, target: loop(source, target, 256 * KIB, early=True),
    "loop of 1 MiB, flushed early": lambda source, target: loop(source, target, MIB, early=True),
    "loop of 256 KiB": lambda source, target: loop(source, target, 256 * KIB, early=False),
    "loop of 1 MiB": lambda source, target: loop(source, target, MIB, early=False),
    "copy_file_range": copy_file_range,
    "sendfile": sendfile,
}


def copy(way: str, source: Path, target: Path) -> None:
    """Copy in one of the ways, and flush."""
    with source.open("rb", 0) as original, target.open("wb", 0) as made:
        WAYS[way](original, made)
        os.fsync(made.fileno())


def main() -> int:
    parser = arguments("ways to copy a file against cp and sync")
    parser.add_argument("--megabytes", type=int, default=1_000, help="size of the file")
    parser.add_argument("--folder", type=Path, help="where to make it; needs twice its size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        with source.open("wb") as file:
            for _ in range(options.megabytes):
                file.write(os.urandom(1_000_000))
        commands = {
            way: [sys.executable, "-m", "benchmarks.copying", way, str(source), str(target)] for way in WAYS
        } | {"cp and sync": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", str(source), str(target)]}

        def settle() -> None:
            target.unlink(missing_ok=True)
            os.sync()

        runs = in_turns(commands, options.rounds, before=settle)
    show_times(f"copy of {options.megabytes:,} MB", runs)
    print()
    for way in WAYS:
        print(f"  {way:<44} {best_seconds(runs[way]) / best_seconds(runs['cp and sync']):8.2f} of cp and sync")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        copy(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(main())
