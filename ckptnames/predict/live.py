"""The manifest of a model in memory."""

from __future__ import annotations

from torch import nn

from ckptnames.manifest import Manifest
from ckptnames.predict.say import has_a_say
from ckptnames.predict.tensors import infos_of, ties_of
from ckptnames.predict.walk import Entry, entries, modules


def predict_live(model: nn.Module) -> Manifest:
    """Say what ``model.state_dict()`` would hold: keys in order, shapes, dtypes and ties. Nothing is copied.

    >>> predict_live(nn.Linear(4, 10, device="meta"))["weight"].shape
    (10, 4)

    Raises ``not-a-model``, ``endless-model``, ``no-state-dict``.
    """
    found, notes = answered(model)
    named = [(entry.key, entry.value) for entry in found]
    return Manifest(
        tensors=infos_of(named), name=type(model).__name__, format="model", ties=ties_of(named), notes=tuple(notes)
    )


def answered(model: nn.Module) -> tuple[list[Entry], list[str]]:
    """List the entries of ``model.state_dict()``, and say what is not certain about them."""
    visited = list(modules(model))
    if any(has_a_say(module) for _, module in visited):
        from ckptnames.predict.asking import asked

        return asked(model)
    return entries(visited), []
