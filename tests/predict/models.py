"""Random models: layers in containers, shared, tied, wrapped, and with code of their own that has a say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.ao.quantization import QuantWrapper
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

LAYERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(2, 3),
    lambda: nn.Linear(3, 3, bias=False),
    lambda: nn.Conv1d(2, 4, 1, groups=2),
    lambda: nn.BatchNorm1d(3),
    lambda: nn.BatchNorm1d(3, affine=False),
    lambda: nn.LayerNorm(2),
    lambda: nn.LSTM(2, 2, bidirectional=True),
    lambda: nn.MultiheadAttention(2, 1),
    lambda: nn.Embedding(3, 2),
    lambda: nn.LazyLinear(2),
    lambda: nn.PReLU(dtype=torch.float64),
    lambda: nn.ReLU(),
    lambda: nn.ParameterList([torch.ones(1), torch.ones(2)]),
    lambda: nn.ParameterDict({"a": torch.ones(1)}),
    lambda: Extra(),
    lambda: parametrizations.weight_norm(nn.Linear(2, 3)),
    lambda: parametrizations.orthogonal(nn.Linear(2, 2)),
    lambda: pruned(),
]

NAMES = st.sampled_from(["a", "b", "fc", "module", "_orig_mod", "weight", "0", "größe", "with space", "x/y"])

WRAPPERS: dict[str, Callable[[Any], nn.Module]] = {
    "dp": nn.DataParallel,
    "checkpoint": checkpoint_wrapper,
    "averaged": AveragedModel,
    "quant": QuantWrapper,
}
"""Those that take no time and no process group."""


class Extra(nn.Module):
    """Has an extra state beside a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int32))

    def get_extra_state(self) -> object:
        return {"epoch": 3}


def rename(module: nn.Module, saved: dict[str, Any], prefix: str, metadata: object) -> None:
    """Put a segment before the names of a module."""
    for key in [key for key in saved if key.startswith(prefix)]:
        saved[f"{prefix}renamed.{key.removeprefix(prefix)}"] = saved.pop(key)


def halve(module: nn.Module, saved: dict[str, Any], prefix: str, metadata: object) -> None:
    """Save fewer elements of smaller ones."""
    for key, value in saved.items():
        if isinstance(value, torch.Tensor) and not nn.parameter.is_lazy(value) and value.ndim:
            saved[key] = value[:1].half()


def other(module: nn.Module, saved: dict[str, Any], prefix: str, metadata: object) -> dict[str, Any]:
    """Give another dict, which counts at the root alone."""
    return {f"other.{key}": value for key, value in saved.items()}


def pruned() -> nn.Module:
    """Prune a layer so that it can be copied."""
    with torch.no_grad():
        layer: nn.Module = prune.random_unstructured(nn.Linear(2, 2), "weight", amount=1)  # type: ignore[no-untyped-call]
    return layer


@st.composite
def models(draw: st.DrawFn, wrappers: bool = True, hooks: bool = True) -> nn.Module:
    """Draw a model."""
    made: list[nn.Module] = []

    def tree(depth: int) -> nn.Module:
        kinds = ["layer", "layer", "shared"]
        if depth:
            kinds += ["sequential", "list", "dict", "own", "own"] + ["wrapped"] * wrappers
        kind = draw(st.sampled_from(kinds))
        if kind == "shared" and made:
            return draw(st.sampled_from(made))
        if kind == "wrapped":
            return WRAPPERS[draw(st.sampled_from(["dp", "checkpoint", "quant"]))](tree(depth - 1))
        if kind in ("layer", "shared"):
            module = draw(st.sampled_from(LAYERS))()
        else:
            module = _branch(draw, kind, [tree(depth - 1) for _ in range(draw(st.integers(0, 3)))])
        made.append(module)
        return module

    root = tree(3)
    if hooks:
        for module in draw(st.lists(st.sampled_from(made or [root]), max_size=2)):
            module._register_state_dict_hook(draw(st.sampled_from([rename, halve, other])))  # type: ignore[no-untyped-call]
    return root


def _branch(draw: st.DrawFn, kind: str, children: list[nn.Module]) -> nn.Module:
    if kind == "sequential":
        whole = nn.Sequential(*children)
        return draw(st.sampled_from([whole, whole[1:]]))
    if kind == "list":
        return nn.ModuleList(children)
    names = draw(st.lists(NAMES, min_size=len(children), max_size=len(children), unique=True))
    if kind == "dict":
        return nn.ModuleDict(dict(zip(names, children, strict=True)))
    return _own(draw, names, children)


def _own(draw: st.DrawFn, names: list[str], children: list[nn.Module]) -> nn.Module:
    """Register parameters, buffers, modules and nothing under them in a drawn order, some of them views of others."""
    module = nn.Module()
    flat = torch.zeros(6)
    views = [flat, flat[:3], flat[3:], flat[:3], flat.view(2, 3), flat.view(2, 3).t()]
    free = draw(st.lists(NAMES.filter(lambda name: name not in names), max_size=4, unique=True))
    for name in draw(st.permutations([*names, *free])):
        if name in names:
            module.add_module(name, children[names.index(name)])
            continue
        view = draw(st.sampled_from(views))
        match draw(st.sampled_from(["parameter", "buffer", "flags", "fleeting", "none"])):
            case "parameter":
                module.register_parameter(name, nn.Parameter(view))
            case "buffer" | "flags" as kind:
                module.register_buffer(name, view if kind == "buffer" else view.to(torch.bool))
            case "fleeting":
                module.register_buffer(name, view, persistent=False)
            case _:
                getattr(module, draw(st.sampled_from(["register_parameter", "register_buffer", "add_module"])))(
                    name, None
                )
    return module
