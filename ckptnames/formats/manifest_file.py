"""A manifest in JSON: what ``ckptnames ls --json`` prints, or any object with ``tensors``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ckptnames.errors import InvalidManifest
from ckptnames.formats.checkpoint import Checkpoint, Container
from ckptnames.formats.safetensors_header import BITS
from ckptnames.manifest import ContainerInfo, Manifest, OpenPart, TensorInfo

_DTYPE = re.compile(r"[A-Z][A-Z0-9_]*")
_MOST_DIMENSIONS = 1000


@dataclass(frozen=True, slots=True)
class ManifestFile(Checkpoint):
    """The names of a checkpoint without the checkpoint. It can be compared with, and not written again."""

    open: tuple[OpenPart, ...] = ()
    """The parts of a model of which its source did not tell the keys."""

    def manifest(self, name: str | None = None) -> Manifest:
        """Give the manifest, with what is open in it."""
        return replace(Checkpoint.manifest(self, name), partial=bool(self.open), open=self.open)


def manifest_file(path: Path, value: Mapping[str, Any]) -> ManifestFile:
    """Read a manifest from the value of its JSON; ``dtype`` and ``shape`` may be null, the size may be left out.

    Raises ``invalid-manifest``, naming the key.
    """
    if not isinstance(value["tensors"], dict):
        _refuse(path, None, f"has {value['tensors']!r:.60} for its tensors, not an object of keys")
    tensors = {key: _tensor(path, key, entry) for key, entry in value["tensors"].items()}
    container = Container(ContainerInfo("", len(tensors)), tensors, ties=_ties(path, value, tensors))
    size = sum(info.nbytes or 0 for info in tensors.values())
    return ManifestFile(path, "manifest", size, (container,), notes=_notes(path, value), open=_open(path, value))


def _tensor(path: Path, key: str, entry: Any) -> TensorInfo:
    if not isinstance(entry, dict):
        _refuse(path, key, f"is {entry!r:.60}, not an object with dtype and shape")
    missing = [member for member in ("dtype", "shape") if member not in entry]
    if missing:
        _refuse(path, key, f"has no {missing[0]}")
    dtype, sizes, n_bytes = entry["dtype"], entry["shape"], entry.get("nbytes")
    if dtype is not None and not (isinstance(dtype, str) and _DTYPE.fullmatch(dtype)):
        _refuse(path, key, f"has the dtype {dtype!r:.60}, which safetensors does not spell so")
    if sizes is not None and not _are_sizes(sizes):
        _refuse(path, key, f"has the shape {sizes!r:.60}, not a list of sizes")
    if sizes is not None and math.prod(sizes) >= 1 << 64:
        _refuse(path, key, f"has the shape {sizes!r:.60}, with more elements than any file can hold")
    if n_bytes is not None and not _are_sizes([n_bytes]):
        _refuse(path, key, f"has {n_bytes!r:.60} bytes, not a number")
    shape = None if sizes is None else tuple(sizes)
    if n_bytes is None and shape is not None and dtype in BITS:
        n_bytes = (math.prod(shape) * BITS[dtype] + 7) // 8
    return TensorInfo(dtype, shape, n_bytes)


def _are_sizes(value: Any) -> bool:
    # Bounded, so that the product of many can be taken.
    return (
        isinstance(value, list)
        and len(value) <= _MOST_DIMENSIONS
        and all(type(n) is int and 0 <= n < 1 << 64 for n in value)
    )


def _ties(path: Path, value: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> tuple[tuple[str, ...], ...]:
    groups = value.get("ties") or []
    if not isinstance(groups, list):
        _refuse(path, None, f"has {groups!r:.60} for its ties, not a list of lists of keys")
    for group in groups:
        if not isinstance(group, list) or not all(isinstance(key, str) and key in tensors for key in group):
            _refuse(path, None, f"ties {group!r:.60}, which are not keys of it")
    return tuple(map(tuple, groups))


def _notes(path: Path, value: Mapping[str, Any]) -> tuple[str, ...]:
    notes = value.get("notes") or []
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        _refuse(path, None, f"has {notes!r:.60} for its notes, not a list of texts")
    return tuple(notes)


def _open(path: Path, value: Mapping[str, Any]) -> tuple[OpenPart, ...]:
    parts = value.get("open") or []
    if not isinstance(parts, list) or not all(_is_open_part(part) for part in parts):
        _refuse(path, None, f"has {parts!r:.60} for what is open, not a list of patterns with reasons")
    return tuple(
        OpenPart(part["pattern"], part["reason"], part.get("where", ""), part.get("all_of_it", True)) for part in parts
    )


def _is_open_part(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("all_of_it", True), bool):
        return False
    texts = [part.get("pattern"), part.get("reason"), part.get("where", "")]
    return all(isinstance(text, str) for text in texts) and f".{texts[0]}".endswith(".?")


def _refuse(path: Path, key: str | None, reason: str) -> NoReturn:
    raise InvalidManifest(path, key, reason)
