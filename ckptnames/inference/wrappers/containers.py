"""Which container of a file is meant, where a target tells: the one that fills most of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.reading import open_path
from ckptnames.formats.torch_error import TorchComplaint
from ckptnames.inference.wrappers.pairing import pair
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.operands import Readable, manifest_of, open_operand


def source_for(source: Readable, target: Manifest | None) -> Manifest:
    """Give the manifest of a source: of a file with several containers, the one that the target asks for.

    >>> from ckptnames.manifest import TensorInfo
    >>> wanted = Manifest({"stem.bias": TensorInfo("F32", (8,))})
    >>> source_for("fixtures/example/trained_ddp.pt", wanted).container
    'model'
    """
    if not isinstance(source, str | os.PathLike):
        return manifest_of(source)
    checkpoint, container = open_operand(source) if isinstance(source, str) else open_path(source)
    return chosen(checkpoint, container, target)


def chosen(checkpoint: Checkpoint, container: str | None, target: Manifest | None) -> Manifest:
    """Give the manifest of the container that is meant: the one named, else the one that fills most of the target."""
    if container is not None or target is None:
        return checkpoint.manifest(container)
    return best_container(_candidates(checkpoint), target)


def complained_of(checkpoint: Checkpoint, container: str | None, complaint: TorchComplaint) -> Manifest:
    """Give the manifest of the container that a message speaks of: the one named, else the one with most of its keys.

    Where no container has a key that torch found in it, the whole file was loaded, and what torch misses tells.
    """
    if container is not None:
        return checkpoint.manifest(container)
    candidates = _candidates(checkpoint)
    if len(candidates) == 1:
        return candidates[0]
    seen = {*complaint.unexpected, *complaint.mismatched}
    missed = Manifest(dict.fromkeys(complaint.missing, TensorInfo(None, None)))
    return max(candidates, key=lambda m: (sum(key in m for key in seen), n_filled(m, missed)))


def _candidates(checkpoint: Checkpoint) -> list[Manifest]:
    return [checkpoint.manifest(c.info.name) for c in checkpoint.containers if c.info.role != "optimizer"]


def best_container(candidates: Sequence[Manifest], target: Manifest) -> Manifest:
    """Give the candidate that fills most of the target's keys; the first of those that fill equally many.

    >>> from ckptnames.manifest import TensorInfo
    >>> info = TensorInfo("F32", (2,), 8)
    >>> found = best_container([Manifest({"d.b": info}), Manifest({"g.b": info})], Manifest({"g.b": info}))
    >>> list(found)
    ['g.b']
    """
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda manifest: n_filled(manifest, target))


def n_filled(source: Manifest, target: Manifest) -> int:
    """Count the keys of the target that the source fills."""
    pairing = pair(source, target)
    return max([len(pairing.pairs), *(choice.n_keys for choice in pairing.choices)])
