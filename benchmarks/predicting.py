"""``predict(model)`` against ``model.state_dict()``, for models in memory.

python -m benchmarks.predicting [--check] [--rounds N]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from benchmarks.measure import Target, arguments, conclude
from ckptnames.prediction.live import predict_live

LIMIT = 1.5
CALLS = 10
"""Calls of each function in a round of measuring."""


def convolutions() -> nn.Module:
    """Make small layers with many buffers."""
    return nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(250)))


def attention(device: str) -> nn.Module:
    """Make layers with modules between them that hold nothing."""
    return nn.Transformer(16, 2, 40, 40, 16, batch_first=True, device=device)


def checkpointed() -> nn.Module:
    """Make layers in wrappers that take their own names away when they save."""
    model = attention("cpu")
    for layers in (model.get_submodule("encoder.layers"), model.get_submodule("decoder.layers")):
        for name, layer in list(layers.named_children()):
            layers.register_module(name, checkpoint_wrapper(layer))
    return model


def tied() -> nn.Module:
    """Make layers of which every second one has the weight of the one before."""
    layers = [nn.Linear(4, 4) for _ in range(600)]
    for layer, before in zip(layers[1::2], layers[::2], strict=True):
        layer.weight = before.weight
    return nn.ModuleList(layers)


def seconds(call: Callable[[], object]) -> float:
    """Measure the CPU time of one call: both work in one thread, and another process does not count."""
    started = time.process_time()
    call()
    return time.process_time() - started


def compare(title: str, model: nn.Module, rounds: int) -> Target:
    """Measure both in turns, and give the ratio of the quickest calls."""
    n_keys = len(model.state_dict())
    turns = [(seconds(lambda: predict_live(model)), seconds(model.state_dict)) for _ in range(rounds * CALLS)]
    ours, theirs = (min(column) * 1e3 for column in zip(*turns, strict=True))
    print(f"{title:<44} {n_keys:>6,} keys   predict {ours:7.2f} ms   state_dict() {theirs:7.2f} ms")
    return Target(f"predict / state_dict(), {title}", ours / theirs, LIMIT)


def main() -> int:
    options = arguments("predict(model) against model.state_dict()").parse_args()
    models: Mapping[str, nn.Module] = {
        "convolutions and norms": convolutions(),
        "attention": attention("cpu"),
        "attention on the meta device": attention("meta"),
        "attention in checkpoint wrappers": checkpointed(),
        "linear layers, tied in pairs": tied(),
    }
    targets = [compare(title, model, options.rounds) for title, model in models.items()]
    return conclude(targets, options.check)


if __name__ == "__main__":
    sys.exit(main())
