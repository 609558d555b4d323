"""``ckptnames.load`` into a large model, against torch's own ``load_state_dict(torch.load(path, mmap=True))``.

python -m benchmarks.loading [--check] [--rounds N] [--megabytes N] [--folder FOLDER]

Each run is a process of its own, which makes the model, loads it, and tells the time of the load and the most memory
that it had beyond what it had before. What is mapped from a file counts as memory here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Target, arguments, conclude

MEGABYTE = 1_000_000
N_LAYERS = 24
WAYS = {
    "torch": "model.load_state_dict(torch.load(path, mmap=True))",
    "ckptnames": "ckptnames.load(model, path)",
    "ckptnames, wrapped": "ckptnames.load(torch.nn.DataParallel(model), path)",
    "torch, assign": "model.load_state_dict(torch.load(path, mmap=True), assign=True)",
    "ckptnames, assign": "ckptnames.load(model, path, assign=True)",
}
MAKE = """
import json, sys, time
import torch
import ckptnames
from torch import nn

def made(megabytes, device):
    width = max(8, int((megabytes * 1e6 / 4 / 24 / 4) ** 0.5) // 8 * 8)
    with torch.device(device):
        layers = [nn.Sequential(nn.LayerNorm(width), *(nn.Linear(width, width) for _ in range(4))) for _ in range(24)]
    return nn.Sequential(*layers)

def resident(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what))
"""
SAVE = """
torch.set_num_threads(1)
model = made(float(sys.argv[1]), "cpu")
torch.save(model.state_dict(), sys.argv[2])
"""
RUN = """
torch.set_num_threads(1)
path = sys.argv[2]
model = made(float(sys.argv[1]), sys.argv[4])
for parameter in model.parameters():
    if not parameter.is_meta:
        parameter.data.fill_(1)  # so that its memory is really there
import torch.utils._pytree, ckptnames.loading.load  # what is imported once is not what a load costs
largest = max(parameter.numel() * parameter.element_size() for parameter in model.parameters())
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # from here on the peak counts
before, started = resident("VmRSS"), time.perf_counter()
exec(sys.argv[3])
seconds = time.perf_counter() - started
new = sum(p.numel() * p.element_size() for p in model.parameters()) if sys.argv[4] == "meta" else 0
print(json.dumps({"seconds": seconds, "extra": resident("VmHWM") - before - new, "largest": largest}))
"""


class Load(NamedTuple):
    """What one load took."""

    seconds: float
    extra: int
    largest: int


def load(way: str, path: Path, megabytes: int) -> Load:
    """Load once, in a process of its own."""
    device = "meta" if way.endswith("assign") else "cpu"
    command = [sys.executable, "-W", "ignore", "-c", MAKE + RUN, str(megabytes), str(path), WAYS[way], device]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(said))


def rounds_of(ways: Sequence[str], path: Path, megabytes: int, rounds: int) -> dict[str, list[Load]]:
    """Load in turns; a first round, which fills the caches, does not count."""
    loads: dict[str, list[Load]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way in ways:
            measured = load(way, path, megabytes)
            if turn:
                loads[way].append(measured)
    return loads


def main() -> int:
    parser = arguments("load of a large model against torch's own")
    parser.add_argument("--megabytes", type=int, default=4_000, help="size of the model and of its checkpoint")
    parser.add_argument("--folder", type=Path, help="where to make the checkpoint")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "model.pt"
        subprocess.run([sys.executable, "-c", MAKE + SAVE, str(options.megabytes), str(path)], check=True)
        loads = rounds_of(list(WAYS), path, options.megabytes, options.rounds)
    print(f"\na model of {options.megabytes:,} MB")
    for way, measured in loads.items():
        extra = max(each.extra for each in measured) / MEGABYTE
        print(f"  {WAYS[way]:<70} {min(m.seconds for m in measured):8.3f} s  {extra:8.1f} MB more at the most")
    largest = loads["torch"][0].largest / MEGABYTE
    own, theirs = loads["ckptnames"], loads["torch"]
    ratio = min(m.seconds for m in own) / min(m.seconds for m in theirs)
    extra = max(m.extra for m in [*own, *loads["ckptnames, wrapped"], *loads["ckptnames, assign"]]) / MEGABYTE
    targets = [
        Target("time of load / load_state_dict(torch.load(mmap=True))", ratio, 1.1),
        Target("memory beyond the model, at most its largest tensor", extra, largest, "MB"),
    ]
    return conclude(targets, options.check)


if __name__ == "__main__":
    sys.exit(main())
