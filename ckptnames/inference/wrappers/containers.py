"""Which container of a file is meant, where a target tells: the one that fills most of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.reading import open_path
from ckptnames.inference.wrappers.pairing import pair
from ckptnames.manifest import Manifest
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
    candidates = [checkpoint.manifest(c.info.name) for c in checkpoint.containers if c.info.role != "optimizer"]
    return best_container(candidates, target)


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
    return max(candidates, key=lambda manifest: _filled(manifest, target))


def _filled(source: Manifest, target: Manifest) -> int:
    pairing = pair(source, target)
    return max([len(pairing.pairs), *(choice.n_keys for choice in pairing.choices)])
