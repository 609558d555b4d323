"""Whether a load is one for ranks that each hold a part of the model, or wrote the checkpoint together."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from ckptnames.loading.hook import rules_of_hooks
from ckptnames.loading.migrations import history_of
from ckptnames.prediction.wrapper_types import unwrapped


def is_for_ranks(model: nn.Module, source: object) -> bool:
    """Tell whether the ranks load a path together: into a sharded model, or from a folder of shards that ranks wrote.

    A state dict in memory is each rank's own. A model that knows its former names is asked for them on every rank.

    >>> is_for_ranks(nn.Linear(1, 1), "model.pt")
    False
    """
    if not isinstance(source, str | os.PathLike):
        return False
    inner = unwrapped(model)
    if history_of(inner) is not None or rules_of_hooks(model) is not None:
        return False
    return is_of_ranks(source) or any(map(_is_shared, model.parameters()))


def is_of_ranks(source: object) -> bool:
    """Tell whether a path is a folder of shards that ranks wrote."""
    return isinstance(source, str | os.PathLike) and Path(source, ".metadata").is_file()


def _is_shared(parameter: nn.Parameter) -> bool:
    """Tell whether several ranks hold a parameter: on a mesh of one, it is whole."""
    mesh = getattr(parameter, "device_mesh", None)
    return mesh is not None and mesh.size() > 1
