"""``ckptnames ls`` against the scripts that people write to see the keys of a checkpoint.

python -m benchmarks.listing [--check] [--rounds N] [--keys N] [--many-keys N]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.made import made
from benchmarks.measure import CKPTNAMES, Target, arguments, best_seconds, conclude, in_turns, show_times

TORCH_LOAD = """
import sys, torch
for key in torch.load(sys.argv[1], mmap=True, weights_only=True):
    print(key)
"""

SAFE_OPEN = """
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework=sys.argv[2]) as file:
    for key in file.keys():
        print(key)
"""


def compare(path: Path, script: str, *options: str, rounds: int, limit: float, title: str) -> Target:
    """Measure ``ls`` against a script, and give the ratio."""
    commands = {
        "ckptnames ls": [*CKPTNAMES, "ls", str(path)],
        "script": [sys.executable, "-c", script, str(path), *options],
    }
    runs = in_turns(commands, rounds)
    show_times(title, runs)
    return Target(title, best_seconds(runs["ckptnames ls"]) / best_seconds(runs["script"]), limit)


def main() -> int:
    parser = arguments("ls against a script that prints the keys")
    parser.add_argument("--keys", type=int, default=1_000, help="keys of the small checkpoints")
    parser.add_argument("--many-keys", type=int, default=90_000, help="keys of the large one")
    options = parser.parse_args()
    rounds, keys, many = options.rounds, options.keys, options.many_keys
    with tempfile.TemporaryDirectory() as folder:
        few_pt = made(Path(folder, "few.pt"), keys, 4096)
        few_st = made(Path(folder, "few.safetensors"), keys, 4096)
        many_pt = made(Path(folder, "many.pt"), many, 64)
        loading, opening = "torch.load(mmap=True)", "safe_open(framework='{}')"
        targets = [
            compare(few_pt, TORCH_LOAD, rounds=rounds, limit=1 / 8, title=f"ls / {loading}, {keys:,} keys"),
            compare(many_pt, TORCH_LOAD, rounds=rounds, limit=1 / 4, title=f"ls / {loading}, {many:,} keys"),
            *(
                compare(
                    few_st, SAFE_OPEN, f, rounds=rounds, limit=most, title=f"ls / {opening.format(f)}, {keys:,} keys"
                )
                for f, most in (("pt", 1 / 8), ("numpy", 1.0))
            ),
        ]
    return conclude(targets, options.check)


if __name__ == "__main__":
    sys.exit(main())
