"""A checkpoint that has been opened: its containers, and how each format answers for itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ckptnames.errors import CannotRewrite, NoSuchContainer
from ckptnames.formats.file_state import FileState
from ckptnames.formats.pieces import Piece
from ckptnames.manifest import ContainerInfo, Manifest, Storage, TensorInfo
from ckptnames.wording import counted

if TYPE_CHECKING:  # `ls` needs no rules, and starts sooner without them.
    from ckptnames.rules.module_paths import Conflict

Renames = Mapping[str, Sequence[str]]
"""For each key of a container the keys it becomes: none drops it, one renames or keeps it, two tie it under both."""


@dataclass(frozen=True, slots=True)
class Container:
    """A mapping of names to tensors inside a checkpoint."""

    info: ContainerInfo
    tensors: Mapping[str, TensorInfo]
    other: Mapping[str, str] = field(default_factory=dict)
    """Entries that are not tensors, each with a short description (``int``, ``bytes``, a class name)."""
    ties: tuple[tuple[str, ...], ...] | None = None
    """Ties that the format records by name; ``None`` where they follow from the storages."""


@dataclass(frozen=True, slots=True)
class BlockedGlobal:
    """A class or function that ``torch.load(weights_only=True)`` would stop at, and the line that cures it, if any.

    It ``runs`` something where a pickle can have no other use for it.
    """

    name: str
    cure: str = ""
    runs: bool = False

    def __str__(self) -> str:
        return f"torch.load(weights_only=True) stops at {self.name}" + (f"; allow it: {self.cure}" if self.cure else "")


class Remarks(NamedTuple):
    """What a rewriting does not reach, and a person should know of. Each place comes with how many old names it has."""

    stale: tuple[tuple[str, int], ...] = ()
    """Places in the file, as ``--also`` takes them."""
    configs: tuple[tuple[str, int], ...] = ()
    """Files beside the shards that speak of modules by name."""
    conflicts: tuple[Conflict, ...] = ()
    """Module paths in ``_metadata`` that two modules would have, each with a version of its own."""
    not_copied: tuple[str, ...] = ()
    """Files and folders that do not belong to the checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file or folder that was recognised and read from its headers. Subclasses know one format each."""

    path: Path
    format: str
    """Writer and container: ``torch-zip``, ``torch-legacy``, ``safetensors``, ``sharded-safetensors``, …"""
    n_bytes: int
    containers: tuple[Container, ...]
    """Candidates, best choice first. Never empty."""
    contents: tuple[tuple[str, str], ...] = ()
    """What else the file holds: where, and what it is (``optimizer``, ``optimizer state, 244 tensors``)."""
    blocked: tuple[BlockedGlobal, ...] = ()
    notes: tuple[str, ...] = ()
    minor: tuple[Container, ...] = ()
    """Mappings that hold tensors among more that are none: no candidates, but there for who names them."""
    states: Mapping[Path, FileState] = field(default_factory=dict)
    """The files that tensors were found in, as they were just before they were read."""

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Every container that has a name."""
        return (*self.containers, *self.minor)

    @property
    def unsafe(self) -> tuple[str, ...]:
        """What the file names that a pickle can have no use for but to run something."""
        return tuple(each.name for each in self.blocked if each.runs)

    @property
    def root(self) -> Path:
        """The file, or the folder of the files, that ``file_of`` and ``rewritten`` speak of."""
        return self.path

    def file_of(self, storage: Storage) -> Path:  # noqa: ARG002
        """Tell in which file, relative to ``root``, a storage lies; ``Path()`` is the root itself."""
        return Path()

    def container(self, name: str | None = None) -> Container:
        """Give the container of that name (``""`` is the root), or the chosen one.

        Raises ``no-such-container`` where there is none.
        """
        if name is None:
            return self.containers[0]
        for candidate in self.all_containers:
            if candidate.info.name == name:
                return candidate
        there = [(c.info.name, described(c.info)) for c in self.containers]
        raise NoSuchContainer(self.path, name, there, found=dict(self.contents).get(name, ""))

    def manifest(self, name: str | None = None) -> Manifest:
        """Give the manifest of one container."""
        chosen = self.container(name)
        return Manifest(
            tensors=chosen.tensors,
            name=str(self.path),
            format=self.format,
            container=chosen.info.name,
            containers=tuple(c.info for c in self.containers),
            ties=ties_of(chosen.tensors.items()) if chosen.ties is None else chosen.ties,
            notes=(*self.notes, *map(str, self.blocked)),
            other=chosen.other,
            unsafe=self.unsafe,
        )

    def rewritten(self, renames: Mapping[str, Renames]) -> dict[Path, list[Piece]]:  # noqa: ARG002
        """Compose the files of this checkpoint with the keys of the named containers renamed, nothing else changed.

        ``renames`` goes by container name; a key that it does not list keeps its name. The paths are relative to the
        output folder for a folder checkpoint; ``Path()`` stands for the output itself. Raises ``cannot-rewrite``.
        """
        raise CannotRewrite(self.path, self.format)

    def check_place(self, name: str) -> None:
        """Raise ``no-such-container`` where nothing stands at the name, be it a container or else."""
        self.container(name)

    def remarks(self, renames: Mapping[str, Renames]) -> Remarks:  # noqa: ARG002
        """Say what a rewriting under these names does not reach."""
        return Remarks()


_ROLES = {"ema": "EMA, an averaged copy", "module": "a pickled nn.Module", "optimizer": "optimizer state, not weights"}


def described(container: ContainerInfo) -> str:
    """Say how many keys a container has, and what it is where it is not simply weights.

    >>> described(ContainerInfo("ema", 9, "ema"))
    '9 keys, EMA, an averaged copy'
    """
    return ", ".join(filter(None, [counted(container.n_keys, "key"), _ROLES.get(container.role, "")]))


def ties_of(tensors: Iterable[tuple[str, TensorInfo]]) -> tuple[tuple[str, ...], ...]:
    """Group the keys that are one tensor: same storage, offset, shape and strides."""
    groups: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for key, info in tensors:
        if info.storage is not None and info.nbytes:
            groups[info.storage, info.offset, info.shape, info.strides, info.dtype].append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
