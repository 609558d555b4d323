"""``ckptnames fix`` of a large checkpoint to a new file, against ``cp`` and ``sync`` of the copy.

python -m benchmarks.fixing [--check] [--rounds N] [--megabytes N] [--folder FOLDER]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.made import made
from benchmarks.measure import CKPTNAMES, Target, arguments, best_seconds, conclude, in_turns, show_times

N_KEYS = 40
MEGABYTE = 1_000_000


def compare(folder: Path, extension: str, megabytes: int, rounds: int) -> list[Target]:
    """Measure ``fix`` and ``cp``, and give the ratio of their times and what ``fix`` holds in memory."""
    size = megabytes * MEGABYTE // N_KEYS // 16 * 16
    source = made(folder / f"source{extension}", N_KEYS, size, "module.")
    out = folder / f"out{extension}"
    commands = {
        "ckptnames fix": [*CKPTNAMES, "fix", str(source), "-o", str(out), "--strip", "module"],
        "cp and sync": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", str(source), str(out)],
    }

    def settle() -> None:
        out.unlink(missing_ok=True)
        os.sync()

    runs = in_turns(commands, rounds, before=settle)
    source.unlink()
    settle()
    title = f"fix / (cp + sync), {extension}, {megabytes:,} MB"
    show_times(title, runs)
    fixing, copying = (best_seconds(measured) for measured in runs.values())
    resident = max(r.resident_bytes for r in runs["ckptnames fix"]) / MEGABYTE
    return [
        Target(title, fixing / copying, 1.15),
        Target(f"fix, memory, {extension}, {megabytes:,} MB", resident, 150, "MB"),
    ]


def main() -> int:
    parser = arguments("fix of a large checkpoint against cp and sync")
    parser.add_argument("--megabytes", type=int, default=2_000, help="size of the checkpoint")
    parser.add_argument("--folder", type=Path, help="where to make it; needs twice its size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        formats = (".safetensors", ".pt")
        targets = [t for e in formats for t in compare(Path(folder), e, options.megabytes, options.rounds)]
    return conclude(targets, options.check)


if __name__ == "__main__":
    sys.exit(main())
