"""State dicts in memory: whatever has a shape and a dtype by name, of torch or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ckptnames.errors import NotAStateDict
from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.manifest import Manifest, TensorInfo


def of_state_dict(state_dict: Mapping[str, Any], name: str = "") -> Manifest:
    """Describe a dict of tensors or arrays by name.

    >>> list(of_state_dict({"fc.bias": 1.0}))
    ['fc.bias']

    Raises ``not-a-state-dict``.
    """
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
        dtype = DTYPES[word][0] if word in DTYPES else word.upper()
        return TensorInfo(dtype, tuple(map(int, value.shape)), int(value.nbytes))
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
