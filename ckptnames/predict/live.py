"""The manifest of a model in memory."""

from __future__ import annotations

from torch import nn

from ckptnames.manifest import Manifest
from ckptnames.predict.tensors import info_of, ties_of
from ckptnames.predict.walk import entries


def predict_live(model: nn.Module) -> Manifest:
    """Say what ``model.state_dict()`` would hold: keys in order, shapes, dtypes and ties. Nothing is copied.

    >>> predict_live(nn.Linear(4, 10, device="meta"))["weight"].shape
    (10, 4)
    """
    found = entries(model)
    return Manifest(
        tensors={entry.key: info_of(entry.value) for entry in found},
        name=type(model).__name__,
        format="model",
        ties=ties_of([(entry.key, entry.value) for entry in found]),
    )
