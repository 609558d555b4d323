"""The order in which a file lists its keys, as evidence: where it is a model's, and words do not object."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from ckptnames.inference.matching.units import numbers_in, template_of

_LEAST_STEPS = 4


def positions(keys: Collection[str]) -> Mapping[str, int] | None:
    """Give each key its position, where the keys stand in the order in which a model registered them.

    That is so where numbers count up and names are not sorted: safetensors files list their keys sorted, and a dict
    that was shuffled counts down somewhere.

    >>> positions(["b.0.x", "b.1.x", "b.2.x", "b.3.x", "b.4.x", "a.x"])["a.x"]
    5
    >>> positions(["a.x", "b.x"]) is None
    True
    """
    listed = list(keys)
    if listed == sorted(listed):
        return None
    last: dict[str, tuple[int, ...]] = {}
    steps = 0
    for key in listed:
        template, numbers = template_of(key), numbers_in(key)
        if template in last:
            if numbers < last[template]:
                return None
            steps += 1
        last[template] = numbers
    return {key: at for at, key in enumerate(listed)} if steps >= _LEAST_STEPS else None


def ranked(groups: Sequence[Sequence[int]]) -> list[int] | None:
    """Order groups by their members' positions, where each pair of groups stands in one order in every place.

    >>> ranked([[5, 15], [1, 11]]), ranked([[5, 11], [1, 15]])
    ([1, 0], None)
    """
    order = sorted(range(len(groups)), key=lambda n: groups[n][0])
    for before, after in pairwise(order):
        if any(a >= b for a, b in zip(groups[before], groups[after], strict=True)):
            return None
    return order
