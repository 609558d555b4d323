"""A model of which each rank holds a part, loaded from a folder of which each rank reads its part."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint._nested_dict import flatten_state_dict
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.storage import StorageReader

from ckptnames.errors import LoadError, NoSuchContainer, TiedValuesDiffer, UnsupportedFormat
from ckptnames.formats.recognise import no_such_path
from ckptnames.inference.wrappers.containers import best_container
from ckptnames.loading.content import Tie, contested_ties
from ckptnames.loading.distributed.fitting import local
from ckptnames.loading.distributed.models import state_of
from ckptnames.loading.distributed.planners import RenamingLoadPlanner
from ckptnames.loading.distributed.readers import reader_of
from ckptnames.loading.distributed.together import as_ckptnames_errors, is_distributed, together
from ckptnames.loading.loaded import LoadReport
from ckptnames.loading.sources import same_bits
from ckptnames.rules import Rules


def load_sharded(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    container: str | None = None,
    rules: Rules | str | None = None,
    infer: bool = False,
    accept: Collection[str] = (),
    missing: Literal["raise", "keep"] = "raise",
    unexpected: Literal["raise", "ignore"] = "raise",
    mismatched: Literal["raise", "keep"] = "raise",
    process_group: dist.ProcessGroup | None = None,
) -> LoadReport:
    """Load a model from a ``.distcp`` folder or one of safetensors: each rank reads its shards, into their place.

    The model's names are its unwrapped ones (``canonical``). ``container`` names an entry of the saved dict; without
    it the one that fills most of the model is taken. ``rules``, ``infer`` and what follows mean what they mean in
    ``ckptnames.load``. Without a process group, one process reads all.

    >>> from torch import nn
    >>> load_sharded(nn.Linear(1, 1), "fixtures/none")
    Traceback (most recent call last):
    ...
    ckptnames.errors.operands.NoSuchPath: error[no-such-path]: 'fixtures/none' does not exist
    ...

    Raises on every rank what is wrong on any, before the first value is written: ``incomplete-load``, ``lossy-cast``,
    ``tied-values-differ``, ``meta-model``, ``incomplete-tensor``, ``unsafe-pickle``, ``rank-failed``, and what is wrong
    with the rules. ``load-interrupted``
    after that.
    """
    path = Path(folder)
    reader = _opened_together(path, process_group)
    described_model = []
    together(lambda: described_model.append(state_of(model)), "describing the model", process_group)
    state, given_back = described_model[0]
    planner = _ContainerPlanner(
        rules, infer=infer, accept=accept, missing=missing, unexpected=unexpected, mismatched=mismatched
    )
    planner.name, planner.wanted = str(path), container
    contested = together(lambda: planner.prepare(state, reader.read_metadata()), "planning", process_group)
    how: dict[str, Any] = {"storage_reader": reader, "process_group": process_group, "no_dist": not is_distributed()}
    if any(contested):
        values = planner.values_of_ties(state)
        _read(values, how)
        together(lambda: planner.check_ties(values), "comparing tied weights", process_group)
    with as_ckptnames_errors(planner), _quiet():
        load(state, planner=planner, **how)
        given_back()
    assert planner.report is not None
    return planner.report


def _read(values: dict[str, torch.Tensor], how: Mapping[str, Any]) -> None:
    """Read into memory that is not the model's."""
    try:
        with as_ckptnames_errors(), _quiet():
            load(values, **how)
    except LoadError as error:
        error.outcome = "Nothing was loaded"
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of what DCP warns: that it is alone, which is what was asked for, and of functions of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.distributed")
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        yield


def _opened_together(path: Path, group: dist.ProcessGroup | None) -> StorageReader:
    """Open the folder on every rank, its metadata read: what is wrong with it, DCP would pass over."""
    readers = []

    def step() -> None:
        readers.append(_opened(path))
        readers[0].read_metadata()

    together(step, "reading the metadata of the folder", group)
    return readers[0]


def _opened(path: Path) -> StorageReader:
    if not path.exists():
        raise no_such_path(path)
    reader = reader_of(path)
    if reader is None:
        raise UnsupportedFormat(path, "no folder of shards", "name a folder of .distcp files or of safetensors")
    return reader


class _ContainerPlanner(RenamingLoadPlanner):
    """Loads one entry of what was saved as a dict of dicts."""

    wanted: str | None = None
    """The entry that was asked for, if one was."""
    _found: tuple[LoadReport, dict[str, str]]
    _contested: list[Tie]

    def prepare(self, state: Mapping[str, Any], metadata: Metadata) -> bool:
        """Fit the checkpoint to the model before anything is read; true where stored tensors contest a place."""
        self.describe(flatten_state_dict(dict(state))[0])
        self.metadata = metadata
        self._found = super()._fitted()
        report, stored = self._found
        self._contested = contested_ties(self._source(stored), self._target, report.matched)
        return bool(self._contested)

    def _fitted(self) -> tuple[LoadReport, dict[str, str]]:
        return self._found

    def values_of_ties(self, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Make place for this rank's share of the tensors that contest one, by their stored names."""
        report, stored = self._found
        assert self.metadata is not None
        places: dict[str, torch.Tensor] = {}
        flat, _ = flatten_state_dict(dict(state))
        for tie in self._contested:
            own = next(flat[name] for name in tie.names if name in report.matched)
            for key in tie.keys:
                dtype = self.metadata.state_dict_metadata[stored[key]].properties.dtype  # type: ignore[union-attr]
                # On meta, torch gives it memory as it does to the model.
                device = "cpu" if own.is_meta and not is_distributed() else own.device
                places[stored[key]] = torch.empty_like(own, dtype=dtype, device=device)
        return places

    def check_ties(self, values: Mapping[str, torch.Tensor]) -> None:
        """Hold that they are the same; raises ``tied-values-differ``."""
        _, stored = self._found
        for tie in self._contested:
            first, *others = (local(values[stored[key]]) for key in tie.keys)
            if not all(same_bits(first, other) for other in others):
                raise TiedValuesDiffer(self.name, *tie)

    def _stored(self, metadata: Metadata) -> dict[str, str]:
        found = _containers(metadata)
        self.container = self._chosen(found) if self.wanted is None else self.wanted
        if self.container not in found:
            raise NoSuchContainer(self.name, self.container, [(each, "weights") for each in found])
        return found[self.container]

    def _chosen(self, found: Mapping[str, Mapping[str, str]]) -> str:
        """Name the entry that fills most of the state dict."""
        if len(found) == 1:
            return ""
        if self.rules is not None:
            rules = self.rules
            return max(found, key=lambda name: sum(rules(key) in self._target for key in found[name]))
        sources = [self._source(stored) for stored in found.values()]
        best = best_container(sources, self._target)
        return next(name for name, source in zip(found, sources, strict=True) if source is best)

    def _scopes(self) -> list[str]:
        return []


def _containers(metadata: Metadata) -> dict[str, dict[str, str]]:
    """Give the entries of the saved dict that are dicts, each key in them with its whole stored name; last the root."""
    found: dict[str, dict[str, str]] = {}
    paths: Mapping[str, tuple[str | int, ...]] = metadata.planner_data or {}
    for name, path in paths.items():
        if len(path) > 1 and name in metadata.state_dict_metadata:
            found.setdefault(str(path[0]), {})[".".join(map(str, path[1:]))] = name
    return {**found, "": {name: name for name in metadata.state_dict_metadata}}
