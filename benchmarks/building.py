"""Building a model by its name, every line recorded, against building it on torch's meta device by hand.

python -m benchmarks.building [--check] [--rounds N]
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.measure import Target, arguments, conclude
from ckptnames.prediction.building import built

MODELS = """
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act = nn.ReLU()


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(*(Block(64 << n) for _ in range(25))) for n in range(4))
        self.fc = nn.Linear(512, 1000)


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50000, 1024)
        self.layers = nn.ModuleList(Layer(1024) for _ in range(80))
"""


def by_hand(path: Path, name: str) -> nn.Module:
    """Run the file, and build under ``torch.device("meta")``."""
    names: dict[str, Callable[[], nn.Module]] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with torch.device("meta"):
        return names[name]()


def recorded(path: Path, name: str) -> nn.Module:
    """Build as ``ckptnames predict`` does."""
    return built(f"{path}:{name}").model


def ratio(path: Path, name: str, rounds: int) -> Target:
    """Build both ways in turns, and give the ratio of the CPU time of the quickest of each."""
    times = []
    for _ in range(rounds + 1):
        taken = []
        for build in (by_hand, recorded):
            gc.collect()
            started = time.process_time()
            model = build(path, name)
            taken.append(time.process_time() - started)
        times.append(taken)
    n_keys = len(model.state_dict())
    hand, ours = (1000 * min(column) for column in zip(*times, strict=True))
    print(f"{name}, {n_keys:,} keys: by hand {hand:.1f} ms, recorded {ours:.1f} ms")
    return Target(f"building {name}, recorded / under torch.device('meta')", ours / hand, 1.1)


def main() -> int:
    options = arguments("building with every line recorded, against torch's meta device").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "models.py")
        path.write_text(MODELS)
        targets = [ratio(path, name, options.rounds) for name in ("Convolutions", "Transformer")]
    return conclude(targets, options.check)


if __name__ == "__main__":
    sys.exit(main())
