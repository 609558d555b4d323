"""A safetensors file: read from its header, and written again under other names with its payload copied as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ckptnames.errors import ReservedName
from ckptnames.formats.checkpoint import Checkpoint, Container, Renames
from ckptnames.formats.pieces import Piece, Slice, merged
from ckptnames.formats.safetensors_header import METADATA, Header, header_bytes, read_header, tensors_of
from ckptnames.manifest import ContainerInfo, Storage, TensorInfo

SHARDING = "DCP_SHARDING_INFO"
"""The metadata in which torch.distributed.checkpoint says where each tensor of the file stands in a larger one."""
STAMP = "names_version"
"""Where a file says which version of its model's names it has; a checkpoint of torch has it beside the weights."""
_NO_ALIAS = ("format", SHARDING, STAMP)


def open_safetensors(path: Path, file: str = "") -> SafetensorsFile:
    """Read a safetensors file from its header. ``file`` goes before the names of the storages, in a folder of several.

    Raises ``corrupt-checkpoint`` and ``duplicate-key``, for whatever safetensors itself refuses and for
    names that stand twice.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        header, start = read_header(path, stream, size)
    tensors = tensors_of(path, header, start, size, file)
    metadata = header.get(METADATA) or {}
    aliases = _aliases(metadata, tensors)
    ties: dict[str, list[str]] = {}
    for alias, kept in aliases.items():
        tensors[alias] = tensors[kept]
        ties.setdefault(kept, [kept]).append(alias)
    container = Container(ContainerInfo("", len(tensors)), tensors, ties=tuple(map(tuple, ties.values())))
    contents = tuple((f"{METADATA}.{name}", f"{text:.60}") for name, text in metadata.items() if name not in aliases)
    return SafetensorsFile(path, "safetensors", size, (container,), contents, header=header, aliases=aliases)


def _aliases(metadata: Mapping[str, str], tensors: Mapping[str, TensorInfo]) -> dict[str, str]:
    return {
        name: kept
        for name, kept in metadata.items()
        if kept in tensors and name not in tensors and name not in _NO_ALIAS
    }


@dataclass(frozen=True, slots=True)
class SafetensorsFile(Checkpoint):
    """A safetensors file: one container, at the root.

    The names that ``safetensors.torch.save_model`` left out for tied weights are keys like any other: they stand last,
    tied to the name that was kept, and a rename reaches them in the metadata.
    """

    header: Header = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The names that were left out, each with the name that was kept."""

    def rewritten(self, renames: Mapping[str, Renames]) -> dict[Path, list[Piece]]:
        """Compose the file anew: entries, extra fields and metadata as they were, payload without what is dropped."""
        planned = renames.get("", {})
        names, aliases = self._names(planned)
        offsets, pieces = self._payload(names)
        header: Header = {}
        for key, entry in self.header.items():
            if key == METADATA:
                header[key] = entry and self._metadata(entry, aliases, names)
            for name in names.get(key, ()):
                header[name] = {**entry, "data_offsets": offsets[name]}
        return {Path(): merged([header_bytes(header), *pieces])}

    def _names(self, planned: Renames) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
        """Give the new names of each tensor, and for each name that only the metadata has what it becomes there."""
        names = {key: list(planned.get(key, (key,))) for key in self.header if key != METADATA}
        taken = self._plain_metadata()
        aliases: dict[str, dict[str, str]] = {}
        for alias, kept in self.aliases.items():
            aliases[alias] = {}
            for name in planned.get(alias, (alias,)):
                if names[kept] and name not in taken:
                    aliases[alias][name] = names[kept][0]
                else:
                    names[kept].append(name)
        for key, given in names.items():
            if METADATA in given:
                raise ReservedName(self.path, key, METADATA)
        return names, aliases

    def _plain_metadata(self) -> set[str]:
        return {name for name in self.header.get(METADATA) or () if name not in self.aliases}

    def _payload(self, names: Mapping[str, list[str]]) -> tuple[dict[str, list[int]], list[Piece]]:
        """Lay the payload out in the order in which it stood, without holes."""
        storages: list[tuple[Storage, list[str]]] = []
        tensors = self.containers[0].tensors
        for key, given in names.items():
            storage = tensors[key].storage
            if storage is not None and given:
                storages.append((storage, given))
        storages.sort(key=lambda each: each[0][1:])
        offsets: dict[str, list[int]] = {}
        pieces: list[Piece] = []
        at = 0
        for storage, given in storages:
            for name in given:
                offsets[name] = [at, at + storage.nbytes]
                at += storage.nbytes
                pieces.append(Slice(self.path, storage.position, storage.nbytes))
        return offsets, pieces

    def _metadata(
        self, metadata: Mapping[str, str], aliases: Mapping[str, Mapping[str, str]], names: Mapping[str, list[str]]
    ) -> dict[str, str]:
        made: dict[str, str] = {}
        for name, text in metadata.items():
            made |= aliases.get(name, {name: _renamed_sharding(text, names) if name == SHARDING else text})
        return made


def _renamed_sharding(text: str, names: Mapping[str, list[str]]) -> str:
    try:
        places = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(places, dict):
        return text
    return json.dumps({name: place for key, place in places.items() for name in names.get(key, (key,))})
