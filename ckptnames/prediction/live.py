"""The manifest of a model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from ckptnames.manifest import BUILT, Manifest
from ckptnames.prediction.say import has_a_say
from ckptnames.prediction.tensors import infos_of, ties_of
from ckptnames.prediction.walk import Entry, entries, modules, tensors_of


def predict_live(model: nn.Module) -> Manifest:
    """Say what ``model.state_dict()`` would hold: keys in order, shapes, dtypes and ties. Nothing is copied.

    The manifest has no name: a model in memory has none that could be pasted into a command.

    >>> predict_live(nn.Linear(4, 10, device="meta"))["weight"].shape
    (10, 4)

    Raises ``not-a-module``, ``endless-model``, ``no-state-dict``.
    """
    named, notes = _named_values(model)
    tensors = infos_of(named)
    shapeless = [(key, value) for key, value in named if tensors[key].shape is None]
    return Manifest(
        tensors=tensors,
        format=BUILT,
        ties=ties_of(named),
        notes=(*notes, *_without_shape(shapeless)),
    )


def _without_shape(named: Sequence[tuple[str, Any]]) -> Iterator[str]:
    lazy = [key for key, value in named if is_lazy(value)]
    other = [key for key, value in named if not is_lazy(value)]
    if lazy:
        yield f"{_keys(lazy)} lazy: a shape comes with the first forward"
    if other:
        yield f"{_keys(other)} without a shape: what is saved there is no tensor, or is packed away"


def _keys(keys: Sequence[str]) -> str:
    return f"'{keys[0]}' is" if len(keys) == 1 else f"'{keys[0]}' and {len(keys) - 1:,} more are"


def _named_values(model: nn.Module) -> tuple[list[tuple[str, Any]], list[str]]:
    """Give the keys and values alone: for most models that is much faster than to say where each comes from."""
    visited = list(modules(model))
    if any(has_a_say(module) for _, module in visited):
        from ckptnames.prediction.asking import ask

        answer = ask(model)
        return list(answer.values.items()), answer.notes
    return [
        (f"{path}.{leaf}" if path else leaf, value) for path, module in visited for leaf, value in tensors_of(module)
    ], []


def answered(model: nn.Module) -> tuple[list[Entry], list[str]]:
    """List the entries of ``model.state_dict()``, and say what is not certain about them."""
    visited = list(modules(model))
    if any(has_a_say(module) for _, module in visited):
        from ckptnames.prediction.asking import ask, traced

        answer = ask(model)
        return traced(answer.model, answer.values), answer.notes
    return entries(visited), []
