"""``ckptnames diff`` of two large checkpoints against ``ckptnames ls`` of both.

python -m benchmarks.diffing [--check] [--rounds N] [--keys N]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.made import made
from benchmarks.measure import CKPTNAMES, Target, arguments, best_seconds, conclude, in_turns, show_times


def compare(folder: Path, extension: str, keys: int, rounds: int) -> Target:
    """Measure ``diff`` of a wrapped and a plain checkpoint, and give its ratio to the two listings."""
    source = str(made(folder / f"source{extension}", keys, 64, "module."))
    target = str(made(folder / f"target{extension}", keys, 64))
    commands = {
        "ckptnames diff": [*CKPTNAMES, "diff", source, target],
        "ckptnames ls SOURCE": [*CKPTNAMES, "ls", source],
        "ckptnames ls TARGET": [*CKPTNAMES, "ls", target],
    }
    runs = in_turns(commands, rounds)
    title = f"diff / (ls + ls), {extension}, {keys:,} keys each"
    show_times(title, runs)
    diffing, *listing = (best_seconds(measured) for measured in runs.values())
    return Target(title, diffing / sum(listing), 2.5)


def main() -> int:
    parser = arguments("diff of two checkpoints against ls of both")
    parser.add_argument("--keys", type=int, default=90_000, help="keys of each checkpoint")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        formats = (".pt", ".safetensors")
        targets = [compare(Path(folder), extension, options.keys, options.rounds) for extension in formats]
    return conclude(targets, options.check)


if __name__ == "__main__":
    sys.exit(main())
