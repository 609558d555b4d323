"""What becomes of values whose dtype is not the model's: which casts keep them, and which do not."""

from __future__ import annotations

import re
from typing import NamedTuple

_KIND = re.compile(r"(BOOL|BF|F|C|QU?INT|[UI]|BITS)([0-9]*)")


class Cast(NamedTuple):
    """A tensor of another dtype in the source than in the model."""

    key: str
    source: str
    target: str


def loss(source: str, target: str, n_dimensions: int) -> str:
    """Say why a cast would lose the values, or give an empty text where it rounds at most.

    >>> loss("F32", "BF16", 2), loss("F32", "I64", 1), loss("I8", "F32", 2)
    ('', 'fractions would be cut off', 'such integers are packed numbers, not weights')
    """
    (kind, bits), (wanted, room) = _kind(source), _kind(target)
    if not (kind and wanted):
        return "one of the two dtypes is not known"
    if kind == wanted and kind in "FCB":
        return ""
    if "Q" in (kind, wanted):
        return "one of the two is quantised"
    if kind == "C":
        return "imaginary parts would be cut off"
    if wanted in "FC":
        return "such integers are packed numbers, not weights" if kind in "UI" and bits == 8 and n_dimensions else ""
    if kind == "F":
        return "fractions would be cut off"
    if wanted == "B":
        return "all but zero would become true"
    fits = kind == "B" or room > bits or (room == bits and kind == wanted)
    return "" if fits and not (kind == "I" and wanted == "U") else "large or negative numbers would wrap around"


def _kind(word: str) -> tuple[str, int]:
    """Give the kind of a dtype in one letter, and its bits."""
    found = _KIND.match(word)
    if found is None:
        return "", 0
    kind = {"BOOL": "B", "BF": "F", "QINT": "Q", "QUINT": "Q", "BITS": "Q"}.get(found[1], found[1])
    return kind, int(found[2] or 0)
