"""Which container of a file is meant, where a target tells: the one that fills most of it."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.inference.wrappers.pairing import pair
from ckptnames.manifest import Manifest


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
