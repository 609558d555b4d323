"""From what a caller holds (a path, a manifest, a model, a state dict) to a manifest."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ckptnames.errors import EmptyPath, NotAStateDict
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.recognise import open_checkpoint
from ckptnames.manifest import Manifest, TensorInfo


class HasStateDict(Protocol):
    """A model, or whatever else can say its state dict."""

    def state_dict(self) -> Mapping[str, Any]:
        """Give the tensors by name."""


Readable = Manifest | str | os.PathLike[str] | Mapping[str, Any] | HasStateDict
"""What a manifest can be had from; a text is a path, ``PATH#container``, or names a model."""

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "complex64": "C64",
    "complex128": "C128",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
    "float4_e2m1fn_x2": "F4",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}


class Opened(NamedTuple):
    """A checkpoint, and the name of the container that was asked for, if one was."""

    checkpoint: Checkpoint
    container: str | None


def read(path: str | os.PathLike[str], container: str | None = None) -> Manifest:
    """Read the keys of a checkpoint, each with its dtype and shape, from headers alone; no pickle is ever run.

    ``container`` names one of several in the file, as ``PATH#container`` does; ``""`` is the root. Without it the
    choice is ``ckptnames``'s, and the manifest lists them all.

    >>> read("fixtures/example/model.safetensors").format
    'safetensors'

    Raises ``FileError``: ``no-such-path``, ``no-such-container``, ``not-a-checkpoint``, ``corrupt-checkpoint``, ….
    """
    checkpoint, named = open_path(path)
    return checkpoint.manifest(named if container is None else container)


def open_path(path: str | os.PathLike[str]) -> Opened:
    """Open a path or ``PATH#container``; an existing path with ``#`` in it comes first.

    Raises ``no-such-path``, ``no-such-container``, and what the format's reader raises.
    """
    text = os.fspath(path)
    if not text:
        raise EmptyPath()
    file, mark, container = text.rpartition("#")
    if not (mark and file) or exists(text):
        return Opened(open_checkpoint(Path(text)), None)
    checkpoint = open_checkpoint(Path(file))
    return Opened(checkpoint, checkpoint.container(container).info.name)


def exists(text: str) -> bool:
    """Tell whether something is at a path; what cannot be a path, or may not be looked at, is left to who opens it."""
    try:
        return Path(text).exists()
    except OSError:
        return False


def manifest_of(source: Readable) -> Manifest:
    """Give the manifest of a path, a manifest, a state dict or a model.

    >>> list(manifest_of({"fc.bias": 1.0}))
    ['fc.bias']

    Raises ``FileError`` as ``read`` does, and ``not-a-state-dict``.
    """
    if isinstance(source, Manifest):
        return source
    if isinstance(source, str | os.PathLike):
        return read(source)
    if isinstance(source, Mapping):
        return _of_state_dict(source, name="")
    if hasattr(source, "state_dict"):
        return _of_state_dict(source.state_dict(), name=type(source).__name__)
    raise NotAStateDict(f"of type '{type(source).__name__}'", [])


def _of_state_dict(state_dict: Mapping[str, Any], name: str) -> Manifest:
    inner = [str(key) for key, value in state_dict.items() if isinstance(value, Mapping)]
    if inner and not any(hasattr(value, "shape") for value in state_dict.values()):
        raise NotAStateDict("a dict of dicts", inner)
    odd = [key for key in state_dict if not isinstance(key, str)]
    if odd:
        raise NotAStateDict(f"a dict with the key {odd[0]!r}", [])
    return Manifest(
        tensors={key: _info(value) for key, value in state_dict.items()},
        name=name,
        format="state-dict",
        ties=_ties(state_dict),
    )


def _info(value: Any) -> TensorInfo:
    """Describe a tensor or an array; of what is neither (a module's extra state) dtype and shape are unknown."""
    try:
        word = str(value.dtype).rpartition(".")[2]
        return TensorInfo(_DTYPES.get(word, word), tuple(map(int, value.shape)), int(value.nbytes))
    except (AttributeError, RuntimeError):  # torch's lazy parameters have no shape yet, and raise RuntimeError.
        return TensorInfo(None, None)


def _ties(state_dict: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    groups: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for key, value in state_dict.items():
        address = _address(value)
        if address:
            groups[address, tuple(value.shape), value.stride(), value.dtype].append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _address(value: Any) -> int:
    """Tell where a torch tensor's first element lies; 0 for what has no memory of its own."""
    try:
        return int(value.data_ptr())
    except (AttributeError, RuntimeError):
        return 0
