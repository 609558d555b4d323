"""Planners that rename: what ``torch.distributed.checkpoint`` reads and writes, under other names."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch.distributed.checkpoint._nested_dict import flatten_state_dict
from torch.distributed.checkpoint._traverse import set_element
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.planner import LoadPlan, ReadItem
from torch.distributed.checkpoint.planner_helpers import _create_read_items

from ckptnames.errors import TiedValuesDiffer
from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.loading.content import Tie, contested_ties
from ckptnames.loading.distributed.fitting import Policy, described, fit, local, on_meta
from ckptnames.loading.loaded import LoadReport
from ckptnames.loading.sources import same_bits
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Rules, plan
from ckptnames.rules.slots import quoted


class RenamingLoadPlanner(DefaultLoadPlanner):
    """Renames while ``torch.distributed.checkpoint.load`` reads: each rank its own shards, into their place.

    ``rules`` lead from the stored names to those of the state dict, both as DCP flattens them (``model.fc.weight`` for
    ``{"model": {"fc.weight": ...}}``). Without rules, what wrappers and prefixes explain is applied; with ``infer``
    also what names and shapes tell, if it is complete and every caution about it is in ``accept``. Everything that
    names, shapes and dtypes can tell is checked on every rank before the first value is read; ``report`` says what
    becomes of each name. Where the state dict is nested, only names below its own entries can be unexpected: an
    optimizer that is not asked for stays in the folder.

    >>> planner = RenamingLoadPlanner("module.** -> **")
    >>> planner.report is None
    True

    On the ranks raises ``incomplete-load``, ``nothing-matched``, ``lossy-cast``, ``meta-model``, and what is wrong with
    the rules; ``tied-values-differ`` while it reads. DCP wraps these into its ``CheckpointException``, which is no
    ``Exception``: call it in ``as_ckptnames_errors``.
    """

    name = ""
    """Where the checkpoint is, for messages."""
    container = ""
    """The entry of a nested checkpoint that is loaded; empty for all of it."""
    report: LoadReport | None = None
    """What becomes of each name, once the load is planned."""

    def __init__(
        self,
        rules: Rules | str | None = None,
        *,
        infer: bool = False,
        accept: Collection[str] = (),
        missing: Literal["raise", "keep"] = "raise",
        unexpected: Literal["raise", "ignore"] = "raise",
        mismatched: Literal["raise", "keep"] = "raise",
    ) -> None:
        super().__init__()
        self.rules = Rules.parse(rules) if isinstance(rules, str) else rules
        self.policy = Policy(self.rules, infer, accept, missing, unexpected, mismatched)
        self.overwritten: dict[str, None] = {}
        """Names of the state dict that hold new values on this rank, in the order of reading."""
        self._readings: dict[_Stored, _Reading] = {}
        self._target = Manifest({})
        self._on_meta: list[str] = []
        self._tied: dict[str, _Tied] = {}

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        """Take the state dict; what has no memory in it is given some."""
        flat, paths = flatten_state_dict(state_dict)
        self.describe(flat)
        if not dist.is_initialized():
            # torch asks the process group on which device to put it.
            for name in self._on_meta:
                set_element(state_dict, paths[name], torch.empty_like(flat[name], device="cpu"))
        super().set_up_planner(state_dict, metadata, is_coordinator)
        for first, *others in self._target.ties:
            for name in others if first in self._on_meta else ():
                # To what is tied torch has given memory twice.
                self.state_dict[name] = self.state_dict[first]
                set_element(state_dict, paths[name], self.state_dict[first])

    def describe(self, flat: Mapping[str, Any]) -> None:
        """Take note of what is wanted, before it has memory."""
        self._target, self._on_meta = described(flat), on_meta(flat)

    def create_local_plan(self) -> LoadPlan:
        """Plan what this rank reads: its part of every tensor that is filled, each stored item once."""
        self.report, stored = self._fitted()
        assert self.metadata is not None
        for tie in contested_ties(self._source(stored), self._target, self.report.matched):
            place = self.state_dict[next(name for name in tie.names if name in self.report.matched)]
            self._tied.update(dict.fromkeys(tie.names, _Tied(tie, local(place))))
        items = [
            replace(item, storage_index=replace(item.storage_index, fqn=stored[key]))
            for name, key in self.report.matched.items()
            for item in _create_read_items(name, self.metadata.state_dict_metadata[stored[key]], self.state_dict[name])
        ]
        return LoadPlan(list(self._read_once(items)))

    def _fitted(self) -> tuple[LoadReport, dict[str, str]]:
        """Make the report, and give the name under which each key is stored."""
        assert self.metadata is not None
        stored = self._stored(self.metadata)
        return fit(self._source(stored), self._target, self.policy, self._scopes(), self._on_meta), stored

    def _stored(self, metadata: Metadata) -> dict[str, str]:
        """Give the keys that the rules see, each with the name under which it is stored."""
        return {key: key for key in metadata.state_dict_metadata}

    def _source(self, stored: Mapping[str, str]) -> Manifest:
        assert self.metadata is not None
        tensors = {key: _info(self.metadata.state_dict_metadata[name]) for key, name in stored.items()}
        return Manifest(tensors, name=self.name, format="distributed", container=self.container)

    def _scopes(self) -> list[str]:
        """Name the entries of a nested state dict; a flat one is all that is asked for."""
        paths = self.mappings.values()
        return list({str(path[0]): None for path in paths}) if any(len(path) > 1 for path in paths) else []

    def _read_once(self, items: Iterable[ReadItem]) -> Iterable[ReadItem]:
        """Join the reads of one stored item into one, from which the others are filled."""
        assert self.metadata is not None
        by_stored: dict[_Stored, list[ReadItem]] = {}
        for item in items:
            by_stored.setdefault(_Stored.of(item), []).append(item)
        for stored, parts in by_stored.items():
            if len(parts) > 1 or parts[0].dest_index.fqn in self._tied:
                dtype = self.metadata.state_dict_metadata[stored.fqn].properties.dtype  # type: ignore[union-attr]
                reading = _Reading(parts, dtype)
                self._readings[stored] = reading
                yield reading.whole
            else:
                yield parts[0]

    def resolve_tensor(self, read_item: ReadItem) -> torch.Tensor:
        """Give the memory that an item is read into."""
        reading = self._readings.get(_Stored.of(read_item))
        return super().resolve_tensor(read_item) if reading is None else reading.begin()

    def commit_tensor(self, read_item: ReadItem, tensor: torch.Tensor) -> None:  # noqa: ARG002 - as torch calls it
        """Take note of what was read, and fill from it what else is stored there."""
        reading = self._readings.get(_Stored.of(read_item))
        if reading is None:
            self.overwritten[read_item.dest_index.fqn] = None
            return
        for part in reading.parts:
            name = part.dest_index.fqn
            place = super().resolve_tensor(part).detach()
            self.overwritten[name] = None
            if name in self._tied:
                tied = self._tied[name]
                tied.copy(reading.part(part), place, self.transform_tensor(part, tied.written), self.name)
            else:
                place.copy_(reading.part(part))
        reading.end()

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Put what is no tensor into the state dict; only plain data is unpickled, as ``weights_only`` does."""
        found = torch.load(value, weights_only=True)
        set_element(self.original_state_dict, self.mappings[read_item.dest_index.fqn], found)
        self.overwritten[read_item.dest_index.fqn] = None


class _Tied:
    """A tensor with several names, for which several are stored: what the second brings has to be there already."""

    def __init__(self, tie: Tie, place: torch.Tensor) -> None:
        self._tie = tie
        self.written = torch.zeros(place.shape, dtype=torch.bool, device=place.device)
        """Which of its elements some name has brought."""

    def copy(self, value: torch.Tensor, place: torch.Tensor, written: torch.Tensor, where: str) -> None:
        """Copy a part of it; raises ``tied-values-differ``."""
        before = place[written]
        place.copy_(value)
        if not same_bits(before, place[written]):
            error = TiedValuesDiffer(where, *self._tie)
            error.outcome = "The model may be part old and part new"
            raise error
        written.fill_(True)


class _Stored(NamedTuple):
    """One stored item: a part of a tensor."""

    fqn: str
    offset: tuple[int, ...] | None

    @classmethod
    def of(cls, item: ReadItem) -> _Stored:
        index = item.storage_index
        return cls(index.fqn, None if index.offset is None else tuple(index.offset))


class _Reading:
    """Several places that are filled from one stored item: what is read, once, is the box around them all."""

    def __init__(self, parts: list[ReadItem], dtype: torch.dtype) -> None:
        self.parts, self._dtype = parts, dtype
        starts = [min(at) for at in zip(*(part.storage_offsets for part in parts), strict=True)]
        stops = [
            max(ends)
            for ends in zip(
                *([a + n for a, n in zip(p.storage_offsets, p.lengths, strict=True)] for p in parts), strict=True
            )
        ]
        lengths = [stop - start for start, stop in zip(starts, stops, strict=True)]
        self.whole = replace(parts[0], storage_offsets=torch.Size(starts), lengths=torch.Size(lengths))
        self._read: torch.Tensor | None = None

    def begin(self) -> torch.Tensor:
        self._read = torch.empty(self.whole.lengths, dtype=self._dtype)
        return self._read

    def part(self, item: ReadItem) -> torch.Tensor:
        assert self._read is not None
        found = self._read
        for dim, (start, first, length) in enumerate(
            zip(item.storage_offsets, self.whole.storage_offsets, item.lengths, strict=True)
        ):
            found = found.narrow(dim, start - first, length)
        return found

    def end(self) -> None:
        self._read = None


def _info(stored: object) -> TensorInfo:
    if not isinstance(stored, TensorStorageMetadata):
        return TensorInfo(None, None)
    word = str(stored.properties.dtype).removeprefix("torch.")
    dtype, size = DTYPES.get(word, (word.upper(), 0))
    return TensorInfo(dtype, tuple(stored.size), stored.size.numel() * size)


class RenamingSavePlanner(DefaultSavePlanner):
    """Saves under other names: those that rules give, or the unwrapped ones of ``ckptnames.canonical(model)``.

    ``names`` are rules over the names as DCP flattens them, or a mapping from the model's keys to others, which is
    followed wherever such a key stands in the state dict, the state of an optimizer included.

    >>> planner = RenamingSavePlanner({"module.fc.weight": "fc.weight"})
    >>> planner.set_up_planner({"model": {"module.fc.weight": torch.zeros(2)}})
    >>> list(planner.state_dict)
    ['model.fc.weight']

    Raises ``key-collision``, ``unmatched-rule`` and the like before anything is written.
    """

    def __init__(self, names: Rules | str | Mapping[str, str]) -> None:
        super().__init__()
        self.names = Rules.parse(names) if isinstance(names, str) else names

    def set_up_planner(
        self,
        state_dict: dict[str, Any],
        storage_meta: StorageMeta | None = None,
        is_coordinator: bool = False,
    ) -> None:
        """Take the state dict, under its new names."""
        super().set_up_planner(state_dict, storage_meta, is_coordinator)
        paths = {key: self.mappings.get(key, (key,)) for key in self.state_dict}
        named = self._by_rules(paths) if isinstance(self.names, Rules) else self._by_mapping(paths, self.names)
        self.state_dict = {name: self.state_dict[key] for name, (key, _) in named.items()}
        self.mappings = {name: path for name, (_, path) in named.items()}

    def _by_rules(self, paths: Mapping[str, _Path]) -> dict[str, tuple[str, _Path]]:
        assert isinstance(self.names, Rules)
        found = plan(list(paths), self.names)
        found.check()
        return {name: (key, _path_of(name, paths[key])) for name, key in found.mapping.items()}

    def _by_mapping(self, paths: Mapping[str, _Path], names: Mapping[str, str]) -> dict[str, tuple[str, _Path]]:
        after = {
            key: tuple(names.get(part, part) if isinstance(part, str) else part for part in path)
            for key, path in paths.items()
        }
        joined = {key: ".".join(map(str, path)) for key, path in after.items()}
        lines = [f"{quoted(key)} -> {quoted(name)}\n" for key, name in joined.items() if key != name]
        plan(list(paths), Rules.parse("".join(lines), name="<names>")).check()
        return {joined[key]: (key, after[key]) for key in paths}


_Path = tuple[str | int, ...]


def _path_of(name: str, path: _Path) -> _Path:
    """Give the place in the nested dict that a name has now: below the entry that it was below, if it still is."""
    for n in range(len(path) - 1, 0, -1):
        above = ".".join(map(str, path[:n]))
        if name.startswith(f"{above}."):
            return (*path[:n], name.removeprefix(f"{above}."))
    return (name,)
