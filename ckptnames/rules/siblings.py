"""Tensors that mean nothing alone: which companions, such as scales, belong to which quantised weight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_SUFFIXES = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", "_scale_inv")
"""What stands behind the whole name of the tensor."""

_WEIGHT_SUFFIXES = ("_scale", "_scale_2", "_zero_point", "_packed_scale")
"""The same, behind a weight only: elsewhere they are words like any other."""

_QUANT_STATE = re.compile(r"(.*)(\.quant_state\..*)")

_NEIGHBOURS = {
    "SCB": "weight",
    "weight_format": "weight",
    "qzeros": "qweight",
    "scales": "qweight",
    "g_idx": "qweight",
}
"""What stands beside the tensor in its module."""

_ENDINGS = (*_SUFFIXES, *_WEIGHT_SUFFIXES, *_NEIGHBOURS)


class Companion(NamedTuple):
    """A key that gives another its meaning, and how its name follows from the other's."""

    key: str
    owner: str
    suffix: str
    """What is added to the owner's name, or what replaces its last segment where it has no dot or underscore."""

    def under(self, owner: str) -> str:
        """Give the name that belongs beside ``owner``.

        >>> Companion("a.SCB", "a.weight", "SCB").under("b.weight")
        'b.SCB'
        """
        if self.suffix[0] in "._":
            return owner + self.suffix
        module, dot, _ = owner.rpartition(".")
        return module + dot + self.suffix


def companions(keys: Mapping[str, object]) -> Iterator[Companion]:
    """Find the companions among ``keys`` whose tensors are there too.

    >>> [c.owner for c in companions({"fc.weight": 0, "fc.weight.absmax": 0})]
    ['fc.weight']
    """
    for key in keys:
        if key.endswith(_ENDINGS) or ".quant_state." in key:
            found = _companion(key)
            if found is not None and found.owner in keys:
                yield found


def _companion(key: str) -> Companion | None:
    state = _QUANT_STATE.fullmatch(key)
    if state:
        return Companion(key, state[1], state[2])
    for suffix in _SUFFIXES:
        if key.endswith(suffix):
            return Companion(key, key[: -len(suffix)], suffix)
    for suffix in _WEIGHT_SUFFIXES:
        if key.endswith("weight" + suffix):
            return Companion(key, key[: -len(suffix)], suffix)
    module, dot, leaf = key.rpartition(".")
    if leaf in _NEIGHBOURS:
        return Companion(key, module + dot + _NEIGHBOURS[leaf], leaf)
    return None
