"""Random training checkpoints: weights, copies of them, optimizers and settings, which share strings and tensors."""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn


class Settings:
    """A class that a reader of the file knows by name only."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.facts == other.facts

    __hash__ = None  # type: ignore[assignment]


class Made(NamedTuple):
    """A checkpoint, and where its weights are: under which keys of which nested dicts."""

    content: Any
    path: tuple[str, ...]

    @property
    def weights(self) -> dict[str, Any]:
        found: dict[str, Any] = inside(self.content, self.path)
        return found

    @property
    def container(self) -> str:
        return ".".join(self.path)


def inside(content: Any, path: Sequence[str]) -> Any:
    for key in path:
        content = content[key]
    return content


# Tensors: any bytes at all, seen in any way


DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)
SHAPES = ((), (0,), (1,), (5,), (2, 3), (3, 1, 2))


def noise(seed: int, dtype: torch.dtype, n: int) -> Tensor:
    """A storage full of random bytes: NaNs of every kind, and bools that are neither 0 nor 1."""
    raw = np.random.default_rng(seed).integers(0, 256, n * dtype.itemsize, dtype=np.uint8)
    return torch.empty(0, dtype=dtype).set_(torch.from_numpy(raw).untyped_storage(), 0, (n,), (1,))


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """A tensor of its own, or a view into a larger storage, transposed or expanded."""
    shape = draw(st.sampled_from(SHAPES))
    before, behind = draw(st.sampled_from([(0, 0), (0, 4), (3, 2)]))
    numel = math.prod(shape)
    base = noise(draw(st.integers(0, 1 << 20)), draw(st.sampled_from(DTYPES)), before + numel + behind)
    tensor = base[before : before + numel].reshape(shape)
    if draw(st.booleans()):
        tensor = tensor.mT if tensor.dim() > 1 else tensor.expand(2, *tensor.shape)
    return tensor


WRAPPINGS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t,
    lambda t: nn.Parameter(t, requires_grad=t.dtype.is_floating_point),
    lambda t: nn.Buffer(t),
    lambda t: t.detach().requires_grad_() if t.dtype.is_floating_point else t,
    lambda t: t[:1] if t.dim() else t,
)

# Names


SEGMENTS = ("conv", "bn", "0", "1", "10", "attn", "w_q", "module", "é", "a b", "x" * 130)
LEAVES = ("weight", "bias", "running_mean", "a#b", "名")

modules = st.lists(st.sampled_from(SEGMENTS), max_size=3).map(".".join)
keys = st.tuples(modules, st.sampled_from(LEAVES)).map(lambda parts: ".".join(filter(None, parts)))


@st.composite
def weights(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(keys, min_size=1, max_size=8, unique=True))
    pool: list[Tensor] = []
    found: dict[str, Any] = {}
    for name in names:
        if not pool or draw(st.booleans()):
            pool.append(draw(tensors()))
        tensor = draw(st.sampled_from(pool))
        found[name] = draw(st.sampled_from(WRAPPINGS))(tensor)
    if draw(st.booleans()):
        found["epoch"] = 3
    if draw(st.booleans()):
        return found
    ordered = OrderedDict(found)
    paths = dict.fromkeys(name.rpartition(".")[0] for name in names)
    ordered._metadata = OrderedDict({path: {"version": n} for n, path in enumerate(paths)})  # type: ignore[attr-defined]
    return ordered


# What else is in a file


def optimizer_by_name(state: Mapping[str, Any]) -> Any:
    moments = {name: {"step": 1, "exp_avg": torch.zeros(2)} for name in state}
    return {"state": moments, "param_groups": [{"lr": 0.1, "params": list(state)}]}


def optimizer_by_position(state: Mapping[str, Any]) -> Any:
    moments = {n: {"exp_avg": torch.ones(1)} for n, _ in enumerate(state)}
    return {"state": moments, "param_groups": [{"params": list(moments), "param_names": list(state)}]}


RESTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "optimizer": optimizer_by_name,
    "optimizer_2": optimizer_by_position,
    "model_ema": lambda state: OrderedDict(state),
    "ema_clone": lambda state: {f"shadow.{k}": v.clone() for k, v in state.items() if isinstance(v, Tensor)},
    "args": lambda state: argparse.Namespace(lr=0.1, frozen=[*state][:2]),
    "settings": lambda state: Settings(names=tuple(state), first=next(iter(state)), nested={"keys": {*state}}),
    "names": lambda state: {name: name for name in state},
    "history": lambda state: [{"loss": 0.5, "worst": name} for name in state],
    "array": lambda state: np.arange(len(state)),
    "one_tensor": lambda state: next(v for v in state.values() if isinstance(v, Tensor)),
    "size": lambda state: (torch.Size([2, len(state)]), torch.float16, torch.device("cpu")),
}


@st.composite
def checkpoints(draw: st.DrawFn, rests: Sequence[str] = tuple(RESTS)) -> Made:
    state = draw(weights())
    path = draw(st.sampled_from([(), ("model",), ("state", "net_g")]))
    if not path:
        return Made(state, path)
    chosen = draw(st.lists(st.sampled_from(rests), max_size=4, unique=True))
    content: dict[str, Any] = {name: RESTS[name](state) for name in chosen}
    outer: Any = state
    for key in reversed(path[1:]):
        outer = {key: outer, "epoch": 3}
    items = draw(st.permutations([*content.items(), (path[0], outer)]))
    return Made(dict(items), path)


# Files


class Form(NamedTuple):
    """How a file is saved."""

    is_zip: bool
    protocol: int

    @property
    def is_safe(self) -> bool:
        """True where ``weights_only=True`` can read the protocol."""
        return self.protocol < 4

    def save(self, content: Any, path: Path) -> None:
        torch.save(content, path, pickle_protocol=self.protocol, _use_new_zipfile_serialization=self.is_zip)


forms = st.builds(Form, st.booleans(), st.integers(2, 5))


def load(path: Path, **options: Any) -> Any:
    """Load a file that the tests made themselves, with all its classes."""
    return torch.load(path, weights_only=False, **options)


# Renames


def renamed(made: Made, names: Mapping[str, Sequence[str]]) -> None:
    """Rename the weights in place, as a person would in memory: the keys, and the modules in ``_metadata``."""
    state = made.weights
    items = [(name, value) for key, value in state.items() for name in names.get(key, (key,))]
    metadata = getattr(state, "_metadata", None)
    state.clear()
    state.update(items)
    if metadata is not None:
        moved = {key.rpartition(".")[0]: [n.rpartition(".")[0] for n in new] for key, new in names.items()}
        kept = [(path, facts) for module, facts in metadata.items() for path in moved.get(module, [module])]
        metadata.clear()
        metadata.update(kept)


@st.composite
def renames(draw: st.DrawFn, names: Sequence[str]) -> dict[str, list[str]]:
    """New names, one for each key: whole modules move, leaves change, and names may swap."""
    by_module: dict[str, list[str]] = {}
    for name in names:
        by_module.setdefault(name.rpartition(".")[0], []).append(name.rpartition(".")[2])
    fresh = draw(st.lists(modules.filter(bool), min_size=len(by_module), max_size=len(by_module), unique=True))
    paths = draw(st.permutations([*by_module])) if draw(st.booleans()) else [f"new.{path}" for path in fresh]
    found: dict[str, list[str]] = {}
    for (module, leaves), path in zip(by_module.items(), paths, strict=True):
        new = draw(st.permutations(leaves)) if draw(st.booleans()) else leaves
        for leaf, new_leaf in zip(leaves, new, strict=True):
            found[".".join(filter(None, (module, leaf)))] = [".".join(filter(None, (path, new_leaf)))]
    return found
