"""A caution: that names and shapes fit says nothing of how the values inside are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ckptnames.manifest import TensorInfo

Tensors = Mapping[str, TensorInfo]


class Renaming(NamedTuple):
    """What is looked at: target key to source key, and the tensors of both sides."""

    mapping: Mapping[str, str]
    source: Tensors
    target: Tensors


class Caution(NamedTuple):
    """A warning that a rename is not enough for these targets: its code, and what must be checked."""

    code: str
    targets: tuple[str, ...]
    message: str
