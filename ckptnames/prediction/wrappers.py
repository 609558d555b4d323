"""What wrapping does to names, without a process group, a compiler or a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from ckptnames.errors import BadWrapper, CannotWrap, NoSuchSubmodule, NoWeight, UnknownWrapper
from ckptnames.keys import join
from ckptnames.prediction.shadow import shadow
from ckptnames.prediction.tensors import MetaTwins
from ckptnames.prediction.walk import modules
from ckptnames.prediction.wrapper_types import Holder, unwrapped, unwrapped_paths, wrapped_as

_Wrap = Callable[[nn.Module, str, str], nn.Module]
"""Wraps a module of a shadow; the texts are what stands behind ``=``, and all that was asked for."""

_EXPECTED = {
    "lightning": "lightning=ATTRIBUTE, the attribute of the LightningModule that holds the model",
    "weight_norm": "weight_norm, or weight_norm=old for torch.nn.utils.weight_norm",
    "spectral_norm": "spectral_norm, or spectral_norm=old for torch.nn.utils.spectral_norm",
}

_SAYS = {
    "fsdp1": "fsdp1 leaves names alone: FSDP takes its own segment away when it saves, and saves tied weights apart",
    "fsdp2": "fsdp2 leaves names alone; the values become DTensors of the same shapes",
    "checkpoint": "checkpoint leaves names alone: its segment is in named_parameters() only, not in a state dict",
}


def wrapped(model: nn.Module, wrap: Sequence[str]) -> nn.Module:
    """Wrap a shadow of the model in what the names say, the outermost last.

    ``compile@encoder`` wraps the submodule ``encoder`` where it stands; its path is the one without wrappers.

    >>> [name for name, _ in wrapped(nn.Linear(2, 3), ["compile", "ddp"]).named_parameters()]
    ['module._orig_mod.weight', 'module._orig_mod.bias']

    Raises ``unknown-wrapper``, ``bad-wrapper``, ``no-such-submodule``, ``no-weight``, ``cannot-wrap``.
    """
    root = shadow(model, MetaTwins().twin)
    for text in wrap:
        root = _once(root, text)
    return root


def says_of(wrap: Sequence[str]) -> list[str]:
    """Say of those wrappers that leave names alone that they do."""
    names = dict.fromkeys(text.partition("@")[0] for text in wrap)
    return [_SAYS[name] for name in names if name in _SAYS]


def _once(root: nn.Module, text: str) -> nn.Module:
    what, at, path = text.partition("@")
    name, equals, value = what.partition("=")
    wrap = _WRAPPERS.get(name)
    if wrap is None:
        raise UnknownWrapper(name, list(_WRAPPERS))
    if not _is_allowed(name, value if equals else None) or (at and not path):
        raise BadWrapper(text, _EXPECTED.get(name, f"{name}, or {name}@SUBMODULE"))
    if not at:
        return wrap(root, value, text)
    holder, leaf, inner = _find(root, path)
    holder._modules[leaf] = wrap(inner, value, text)
    return root


def _is_allowed(name: str, value: str | None) -> bool:
    if name == "lightning":
        return bool(value) and "." not in str(value)
    return value is None or (value == "old" and name in _EXPECTED)


def _find(root: nn.Module, path: str) -> tuple[nn.Module, str, nn.Module]:
    """Find a submodule: what holds it, its name there, and itself with its wrappers."""
    holder, child, names = root, root, path.split(".")
    for depth, name in enumerate(names):
        holder = unwrapped(child)
        below = {other: module for other, module in holder._modules.items() if module is not None}
        if name not in below:
            raise NoSuchSubmodule(path, ".".join(names[:depth]), list(below))
        child = below[name]
    return holder, names[-1], child


def _held(attribute: str) -> _Wrap:
    return lambda inner, value, text: Holder(inner, attribute)  # noqa: ARG005


def _same(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    return inner


def _fsdp1(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    """Keep the names: FSDP takes its own away. It saves tied weights apart, the second one last of its module."""
    seen: set[int] = set()
    for parameters in _parameters_in(inner):
        for name, parameter in list(parameters.items()):
            if parameter is not None:
                if id(parameter) in seen:
                    del parameters[name]
                seen.add(id(parameter))
                parameters[name] = MetaTwins().twin(parameter)
    return inner


def _fsdp2(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    """Keep the names. What is tied stays tied, but to nothing outside."""
    copies = MetaTwins(apart=True)
    for parameters in _parameters_in(inner):
        parameters |= {name: copies.twin(parameter) for name, parameter in parameters.items() if parameter is not None}
    return inner


def _parameters_in(inner: nn.Module) -> Iterator[dict[str, Any]]:
    # A script module has no shadow: it is the model's own.
    return (m._parameters for m in inner.modules() if not isinstance(m, torch.jit.ScriptModule))


def _averaged(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    holder = Holder(shadow(inner, MetaTwins(apart=True).twin), "module")
    holder.register_buffer("n_averaged", torch.empty((), dtype=torch.long, device="meta"))
    return holder


def _lightning(inner: nn.Module, value: str, text: str) -> nn.Module:  # noqa: ARG001
    holder = nn.Module()
    holder.add_module(value, inner)
    return holder


def _normed(new: Callable[[nn.Module], nn.Module], old: Callable[[nn.Module], nn.Module]) -> _Wrap:
    """Have torch itself put a norm on the weight, which is on the meta device for that."""

    def wrap(inner: nn.Module, value: str, text: str) -> nn.Module:
        name, kind = text.partition("@")[0], type(unwrapped(inner)).__name__
        if wrapped_as(inner) is not None:
            raise CannotWrap(text, kind, f"it is wrapped already, so {name} has to come before that")
        weight = inner._parameters.get("weight")
        if weight is None and "weight" not in inner.__dict__ and not is_parametrized(inner, "weight"):
            raise NoWeight(text, kind, _with_weight(inner, text.partition("@")[2]))
        if not (weight is None or weight.is_meta or nn.parameter.is_lazy(weight)):
            raise CannotWrap(text, kind, f"its weight is a {type(weight).__name__} of another kind")
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore", FutureWarning)  # the old functions are deprecated
                return (old if value else new)(inner)
        except Exception as error:
            raise CannotWrap(text, kind, str(error).partition("\n")[0]) from error

    return wrap


def _with_weight(inner: nn.Module, path: str) -> list[str]:
    paths = unwrapped_paths(inner)
    return [
        join(path, paths[below]) for below, module in modules(inner) if module._parameters.get("weight") is not None
    ]


_WRAPPERS: dict[str, _Wrap] = {
    "dp": _held("module"),
    "ddp": _held("module"),
    "compile": _held("_orig_mod"),
    "fsdp1": _fsdp1,
    "fsdp2": _fsdp2,
    "checkpoint": _same,
    "averaged": _averaged,
    "lightning": _lightning,
    "weight_norm": _normed(parametrizations.weight_norm, torch.nn.utils.weight_norm),
    "spectral_norm": _normed(parametrizations.spectral_norm, torch.nn.utils.spectral_norm),
    "quant": _held("module"),
}
