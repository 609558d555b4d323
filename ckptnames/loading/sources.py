"""Where values come from: whatever a caller holds, as a manifest and a way to get one tensor after the other."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ckptnames.errors import NoSuchContainer, NoSuchEntry, NotAStateDict, TwoContainers
from ckptnames.formats.containers import quoted, role_of
from ckptnames.formats.reading import open_path
from ckptnames.formats.safetensors_file import STAMP
from ckptnames.inference.wrappers.containers import best_container
from ckptnames.manifest import ContainerInfo, Manifest
from ckptnames.prediction.tensors import infos_of, ties_of
from ckptnames.wording import counted

Loadable = str | os.PathLike[str] | Mapping[str, Any] | nn.Module
"""A path, a state dict, a dict that holds one, or a model."""

Versions = Mapping[str, Mapping[str, Any]]
"""The ``_metadata`` of a state dict: for each path of a module what it said of itself."""

_MOST_LEVELS = 6


class Source(ABC):
    """One container: what is in it, by name, and its values, one at a time."""

    manifest: Manifest
    versions: Versions | None = None
    stamp: int | None = None
    """The version of the model's names that the file says it has."""

    @abstractmethod
    def dtype(self, key: str) -> torch.dtype:
        """Give the dtype of a tensor."""

    @abstractmethod
    def tensor(self, key: str) -> torch.Tensor:
        """Give a tensor; one of a file is in memory of its own."""

    @abstractmethod
    def entry(self, key: str) -> Any:
        """Give the value of an entry that is no tensor."""

    def read_into(self, key: str, destination: torch.Tensor) -> None:
        """Copy a tensor into one that exists."""
        destination.copy_(self.tensor(key))

    def is_equal(self, one: str, other: str) -> bool:
        """Tell whether two tensors are the same bit for bit: a NaN is equal to itself here."""
        return same_bits(self.tensor(one), self.tensor(other))

    def check(self) -> None:  # noqa: B027
        """Raise ``source-changed`` where the source is another than the one that was described."""

    def is_whole(self, key: str) -> bool:  # noqa: ARG002
        """Tell whether a tensor can be copied like any other: a sparse or quantised one cannot."""
        return True


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether two tensors are the same bit for bit."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    one, other = one.contiguous().view(-1).view(torch.uint8), other.contiguous().view(-1).view(torch.uint8)
    return bool(torch.equal(one, other))


def open_source(source: Loadable, container: str | None, target: Manifest) -> Source:
    """Open the container that is named, or else the one that fills most of ``target``.

    Raises ``no-such-container``, ``two-containers``, ``not-a-state-dict``, and what reading a path raises.
    """
    if isinstance(source, str | os.PathLike):
        from ckptnames.loading.files import FileSource

        checkpoint, named = open_path(source)
        if named is not None and container not in (None, named):
            raise TwoContainers(source, named, container)
        return FileSource(checkpoint, named if container is None else container, target)
    if isinstance(source, nn.Module):
        if container is not None:
            raise NoSuchContainer("", container, [], "container=")
        return _Memory("", source.state_dict())
    if isinstance(source, Mapping):
        return _of_mapping(source, container, target)
    raise NotAStateDict(f"of type '{type(source).__name__}'", [])


def _of_mapping(source: Mapping[str, Any], container: str | None, target: Manifest) -> Source:
    found = dict(_containers(source))
    if container is not None:
        if container not in found:
            raise NoSuchEntry(container, [(name, counted(len(each), "key")) for name, each in found.items()])
        chosen = container
    elif found:
        chosen = _best(found, target)
    else:
        raise NotAStateDict("a dict without tensors", [])
    infos = tuple(_info(name, values) for name, values in found.items())
    stamp = source.get(STAMP)
    return _Memory(chosen, found[chosen], infos, stamp if type(stamp) is int else None)


def _best(found: Mapping[str, Mapping[str, Any]], target: Manifest) -> str:
    """Take the one that fills most of the target; weights come before averaged copies, larger before smaller."""
    names = sorted(found, key=lambda name: (role_of(tuple(name.split("."))) == "ema", -len(found[name])))
    manifests = [_manifest(name, found[name]) for name in names]
    return best_container(manifests, target).container


def _containers(root: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Find the mappings of names to tensors; the state of an optimizer is none."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, nn.Module):
            value = value.state_dict()
        if not isinstance(value, Mapping) or ("state" in value and "param_groups" in value):
            continue
        tensors = [key for key, each in value.items() if isinstance(key, str) and is_tensor(each)]
        if tensors and 2 * len(tensors) >= len(value):
            yield quoted(path), value
        if len(path) < _MOST_LEVELS:
            inner = [((*path, key), each) for key, each in value.items() if isinstance(key, str)]
            stack += [each for each in reversed(inner) if isinstance(each[1], Mapping | nn.Module)]


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor, or an array that can become one."""
    return isinstance(value, torch.Tensor) or (hasattr(value, "shape") and hasattr(value, "__array__"))


def _info(name: str, values: Mapping[str, Any]) -> ContainerInfo:
    n_tensors = sum(is_tensor(value) for value in values.values())
    return ContainerInfo(name, n_tensors, role_of(tuple(name.split("."))))


def _manifest(name: str, values: Mapping[str, Any], containers: tuple[ContainerInfo, ...] = ()) -> Manifest:
    tensors = [(key, _as_tensor(value)) for key, value in values.items() if is_tensor(value)]
    return Manifest(
        tensors=infos_of(tensors),
        format="state-dict",
        container=name,
        containers=containers,
        ties=ties_of(tensors),
        other={key: type(value).__name__ for key, value in values.items() if not is_tensor(value)},
    )


def _as_tensor(value: Any) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.as_tensor(value)


class _Memory(Source):
    """A state dict in memory."""

    def __init__(
        self,
        name: str,
        values: Mapping[str, Any],
        containers: tuple[ContainerInfo, ...] = (),
        stamp: int | None = None,
    ) -> None:
        odd = [key for key in values if not isinstance(key, str)]
        if odd:
            raise NotAStateDict(f"a dict with the key {odd[0]!r}", [])
        self._values = values
        self.manifest = _manifest(name, values, containers)
        self.versions = getattr(values, "_metadata", None)
        self.stamp = stamp

    def dtype(self, key: str) -> torch.dtype:
        """Give the dtype of a tensor."""
        return _as_tensor(self._values[key]).dtype

    def tensor(self, key: str) -> torch.Tensor:
        """Give the tensor itself; what is sharded is put together."""
        value = _as_tensor(self._values[key]).detach()
        return value.full_tensor() if hasattr(value, "full_tensor") else value

    def entry(self, key: str) -> Any:
        """Give the value itself."""
        return self._values[key]

    def is_whole(self, key: str) -> bool:
        """Tell whether a tensor is strided and of plain numbers."""
        value = self._values[key]
        return not isinstance(value, torch.Tensor) or (value.layout is torch.strided and not value.is_quantized)
