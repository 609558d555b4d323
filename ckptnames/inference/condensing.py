"""Long lists of equal members: rules are inferred from a few of them, and then hold for all or are thrown away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules.ruleset import Stage

LARGE = 20_000
"""Manifests of fewer keys are looked at whole."""

_LONG = 32
_ENDS = (3, 2)
_INDEX = re.compile(r"(?<![^.])([0-9]+)(?![^.])")


class Row(NamedTuple):
    """A key and the numbers in it."""

    numbers: Sequence[str]
    key: str


class Condensed(NamedTuple):
    """A manifest with few members of each long list, and the rows of the lists that were shortened."""

    few: Manifest
    shortened: Sequence[Sequence[Row]]


def condensed(manifest: Manifest) -> Condensed | None:
    """Leave out most members of the long lists whose members are equal; ``None`` where that leaves much.

    Of the indices that a group of names counts with the longest count is shortened, to its first and last members.

    >>> info = TensorInfo("F32", (2,))
    >>> experts = Manifest({f"layers.{i}.experts.{j}.w": info for i in range(2) for j in range(100)})
    >>> [key for key in condensed(experts).few if key.startswith("layers.0")][2:4]
    ['layers.0.experts.2.w', 'layers.0.experts.98.w']
    """
    dropped: set[str] = set()
    shortened = []
    for rows in _groups(manifest):
        if len(rows) > _LONG and _are_equal(manifest, rows) and (middle := _middle(rows)):
            dropped.update(middle)
            shortened.append(rows)
    if len(manifest) - len(dropped) >= LARGE:
        return None
    few = {key: info for key, info in manifest.items() if key not in dropped}
    return Condensed(replace(manifest, tensors=few), shortened)


def _groups(keys: Iterable[str]) -> Iterable[Sequence[Row]]:
    """Put together the names that differ only in segments that are numbers."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for key in keys:
        parts = _INDEX.split(key)
        groups.setdefault(tuple(parts[::2]), []).append(Row(parts[1::2], key))
    return groups.values()


def _are_equal(manifest: Mapping[str, TensorInfo], rows: Sequence[Row]) -> bool:
    first = manifest[rows[0].key].shape
    return all(manifest[row.key].shape == first for row in rows)


def _middle(rows: Sequence[Row]) -> list[str]:
    """Give the names of all but the first and last members, by the longest count in them."""
    columns = [set(column) for column in zip(*(row.numbers for row in rows), strict=True)]
    if not columns:
        return []
    place = max(range(len(columns)), key=lambda at: len(columns[at]))
    values = sorted(columns[place], key=int)
    if len(values) <= _LONG:
        return []
    kept = {*values[: _ENDS[0]], *values[-_ENDS[1] :]}
    return [row.key for row in rows if row.numbers[place] not in kept]


class Extended(NamedTuple):
    """What rules make of all keys: target key to source key, and how many keys each rule decides."""

    mapping: dict[str, str]
    n_keys: Counter[str]


def extended(
    mapping: Mapping[str, str], stage: Stage, sides: tuple[Condensed, Condensed], source: Manifest, target: Manifest
) -> Extended | None:
    """Apply to all keys the rules that were inferred from a few of them, which became ``mapping``.

    ``None`` where they do not hold for all: two keys would become one, a shape does not fit, or of a list that was
    shortened on either of the ``sides`` only some members are used or filled.
    """
    found: dict[str, str] = {}
    n_keys: Counter[int] = Counter()
    for key, info in source.items():
        rule, names = stage.decide(key) or (None, (key,))
        n_keys[id(rule)] += 1
        for name in names:
            if name in target and (found.setdefault(name, key) != key or target[name].shape != info.shape):
                return None
    if any(found.get(name) != key for name, key in mapping.items()):
        return None
    for side, known in zip(sides, (set(found.values()), found), strict=True):
        if any(len({row.key in known for row in rows}) > 1 for rows in side.shortened):
            return None
    by_rule = Counter({str(rule): n_keys[id(rule)] for rule in stage.rules})
    return Extended({name: found[name] for name in target if name in found}, by_rule)
