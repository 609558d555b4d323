"""Which tensors of two checkpoints hold the same: by dtype, shape and a digest of their bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from math import prod
from typing import NamedTuple, TypeVar

from ckptnames.manifest import TensorInfo
from ckptnames.values.payload import Payload

_LOOK_BYTES = 1 << 16
"""So much of a tensor tells most of them apart; it does not tell that two are the same."""

Progress = Callable[[int, int], None]
Tensors = Mapping[str, TensorInfo]


class Alike(NamedTuple):
    """Keys of both sides whose tensors hold the same; ``is_constant`` where that is one number, over and over."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    is_constant: bool


class _Side(NamedTuple):
    payload: Payload
    tensors: Tensors


def alike(
    source: Payload,
    source_tensors: Tensors,
    target: Payload,
    target_tensors: Tensors,
    progress: Progress | None = None,
) -> list[Alike]:
    """Group the tensors of both sides that hold the same.

    Tensors whose beginnings are unlike are not read further. Raises ``cannot-read`` and ``source-changed``.
    """
    sides = (_Side(source, source_tensors), _Side(target, target_tensors))
    ours, theirs = ([key for key, info in side.tensors.items() if side.payload.holds(info)] for side in sides)
    groups = list(_split((ours, theirs), sides, _facts).values())
    groups = [both for keys in groups for both in _split(keys, sides, _beginning).values()]
    seen: list[_Keys] = []
    unsure: list[_Keys] = []
    for keys in groups:
        is_seen = max(map(len, keys)) == 1 and _is_short(source_tensors[keys[0][0]])
        (seen if is_seen else unsure).append(keys)
    total = sum(sides[n].tensors[key].nbytes or 0 for keys in unsure for n in (0, 1) for key in keys[n])
    done = 0

    def whole(side: _Side, key: str) -> tuple[bytes, bool]:
        nonlocal done
        done += side.tensors[key].nbytes or 0
        found = _digest(side.payload.blocks(side.tensors[key]), side.tensors[key])
        if progress is not None:
            progress(done, total)
        return found

    found = [Alike(tuple(ours), tuple(theirs), False) for ours, theirs in seen]
    for keys in unsure:
        is_alone = max(map(len, keys)) == 1
        for (_, is_constant), (ours, theirs) in _split(keys, sides, whole).items():
            found.append(Alike(tuple(ours), tuple(theirs), is_constant and not is_alone))
    return found


_Keys = tuple[list[str], list[str]]
_Mark = TypeVar("_Mark")


def _split(keys: _Keys, sides: Sequence[_Side], mark: Callable[[_Side, str], _Mark]) -> dict[_Mark, _Keys]:
    """Divide a group by a mark, and leave out what only one side has."""
    found: defaultdict[_Mark, _Keys] = defaultdict(lambda: ([], []))
    for n in (0, 1):
        for key in keys[n]:
            found[mark(sides[n], key)][n].append(key)
    return {marked: both for marked, both in found.items() if both[0] and both[1]}


def _is_short(info: TensorInfo) -> bool:
    """Tell whether the beginning is all there is."""
    return info.nbytes is not None and info.nbytes <= _LOOK_BYTES


def _facts(side: _Side, key: str) -> tuple[object, ...]:
    return side.tensors[key][:2]


def _beginning(side: _Side, key: str) -> bytes:
    first = next(side.payload.blocks(side.tensors[key], _LOOK_BYTES), b"")
    return blake2b(first, digest_size=16).digest()


def _digest(blocks: Iterable[bytes], info: TensorInfo) -> tuple[bytes, bool]:
    """Give the digest of a tensor, and whether it is one number over and over."""
    digest, first, is_constant = blake2b(digest_size=16), b"", True
    size = max((info.nbytes or 0) // max(prod(info.shape or ()), 1), 1)
    for block in blocks:
        digest.update(block)
        first = first or block[:size]
        is_constant = is_constant and block == first * (len(block) // size)
    return digest.digest(), is_constant
