"""What wrapping does to names, without a process group, a compiler or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from ckptnames.errors import BadWrapper, NoSuchSubmodule, NoWeight, UnknownWrapper
from ckptnames.predict.shadow import shadow
from ckptnames.predict.walk import modules
from ckptnames.predict.wrapper_types import Holder, unwrapped

_Wrap = Callable[[nn.Module, str, str], nn.Module]
"""Wraps a module; the texts are the value behind ``=``, and all that was asked for."""


def wrapped(model: nn.Module, wrap: Sequence[str]) -> nn.Module:
    """Wrap a copy of the model's modules, over the same tensors, in what the names say: the outermost last.

    ``compile@encoder`` wraps the submodule ``encoder`` where it stands; paths are those of the model without wrappers.

    >>> [name for name, _ in wrapped(nn.Linear(2, 3), ["compile", "ddp"]).named_parameters()]
    ['module._orig_mod.weight', 'module._orig_mod.bias']

    Raises ``unknown-wrapper``, ``bad-wrapper``, ``no-such-submodule``, ``no-weight``.
    """
    root = shadow(model)
    for text in wrap:
        root = _one(root, text)
    return root


def _one(root: nn.Module, text: str) -> nn.Module:
    what, _, path = text.partition("@")
    name, equals, value = what.partition("=")
    make = _WRAPPERS.get(name)
    if make is None:
        raise UnknownWrapper(name, list(_WRAPPERS))
    if (name == "lightning") != bool(equals):
        raise BadWrapper(text, "lightning=ATTRIBUTE" if name == "lightning" else name)
    if not path:
        return make(root, value, text)
    parent, leaf = _find(root, path)
    inner = parent._modules[leaf]
    assert inner is not None
    parent._modules[leaf] = make(inner, value, text)
    return root


def _find(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """Find a submodule: the module that holds it, and its name there."""
    *above, leaf = path.split(".")
    module = unwrapped(root)
    for depth, name in enumerate([*above, leaf]):
        child = module._modules.get(name)
        if child is None:
            raise NoSuchSubmodule(path, ".".join(above[:depth]), list(module._modules))
        if depth == len(above):
            return module, leaf
        module = unwrapped(child)
    raise AssertionError


def _held(attribute: str) -> _Wrap:
    return lambda inner, value, text: Holder(inner, attribute)  # noqa: ARG005


def _same(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    """Leave the module as it is: the wrapper's own hooks take its names away again, or it adds none."""
    return inner


def _averaged(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    holder = Holder(inner, "module")
    holder.register_buffer("n_averaged", torch.empty((), dtype=torch.long, device="meta"))
    return holder


def _lightning(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    holder = nn.Module()
    holder.add_module(value, inner)
    return holder


def _parametrized(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    weight = inner._parameters.get("weight")
    if weight is None:
        candidates = [path for path, module in modules(inner) if "weight" in module._parameters]
        raise NoWeight(text, type(inner).__name__, candidates)
    raise NotImplementedError


_WRAPPERS: dict[str, _Wrap] = {
    "dp": _held("module"),
    "ddp": _held("module"),
    "compile": _held("_orig_mod"),
    "fsdp1": _same,
    "fsdp2": _same,
    "checkpoint": _same,
    "averaged": _averaged,
    "lightning": _lightning,
    "weight_norm": _parametrized,
    "spectral_norm": _parametrized,
    "quant": _held("module"),
}
