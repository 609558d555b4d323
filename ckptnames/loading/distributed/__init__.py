"""Loading and saving on many ranks, by PyTorch's own engine, under other names."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import nn

from ckptnames.loading.content import unsaved_on_meta
from ckptnames.loading.distributed.planners import RenamingLoadPlanner, RenamingSavePlanner
from ckptnames.loading.distributed.rank0 import load_from_rank0
from ckptnames.loading.distributed.readers import reader_of
from ckptnames.loading.distributed.sharded import load_sharded
from ckptnames.loading.distributed.together import as_ckptnames_errors, together
from ckptnames.loading.loaded import LoadReport
from ckptnames.loading.sources import Loadable
from ckptnames.rules import Rules

__all__ = [
    "RenamingLoadPlanner",
    "RenamingSavePlanner",
    "as_ckptnames_errors",
    "load_distributed",
    "load_from_rank0",
    "load_sharded",
]


def load_distributed(
    model: nn.Module,
    source: Loadable | None,
    *,
    container: str | None = None,
    rules: Rules | str | None = None,
    infer: bool = False,
    accept: Collection[str] = (),
    missing: Literal["raise", "keep"] = "raise",
    unexpected: Literal["raise", "ignore"] = "raise",
    mismatched: Literal["raise", "keep"] = "raise",
) -> LoadReport:
    """Load a model on every rank, sharded or not: from a folder of shards by ``load_sharded``, else from rank 0.

    >>> import torch
    >>> load_distributed(nn.Linear(1, 1), {"weight": torch.ones(1, 1), "bias": torch.zeros(1)}).missing
    ()

    Raises what ``load_sharded`` and ``load_from_rank0`` raise.
    """

    def is_folder() -> bool:
        return isinstance(source, str | os.PathLike) and reader_of(Path(source)) is not None

    # What rank 0 sees decides: another rank may not see the file at all.
    is_sharded = together(is_folder, "looking for the checkpoint")[0]
    load: Callable[..., LoadReport] = load_sharded if is_sharded else load_from_rank0
    report = load(
        model,
        source,
        container=container,
        rules=rules,
        infer=infer,
        accept=accept,
        missing=missing,
        unexpected=unexpected,
        mismatched=mismatched,
    )
    return replace(report, notes=(*report.notes, *unsaved_on_meta(model)))
