"""One short line for anything that a pickle holds."""

from __future__ import annotations

import re
from typing import Any

from ckptnames.formats.symbols import Dict, Global, Mapping, Object, PersistentId
from ckptnames.formats.torch_tensors import rebuild_of
from ckptnames.wording import counted

_WORDS = re.compile(r"[^A-Za-z]+|(?<=[a-z])(?=[A-Z])")
_OPTIMIZER = {"optim", "optims", "optimizer", "optimizers", "optimiser", "optimisers"}
_MOST_CHARACTERS = 40
_LONGEST_NAME = 200
_MOST_VISITS = 1_000_000


class Visits:
    """How many values may still be looked into: one that stands in many places is met again in each of them."""

    def __init__(self) -> None:
        self.left = _MOST_VISITS


def words(name: str) -> set[str]:
    """Give the words of a name, in small letters; of a very long one, those at its start.

    >>> sorted(words("state_dict-EMA2")), sorted(words("modelEMA"))
    (['dict', 'ema', 'state'], ['ema', 'model'])
    """
    return {word.lower() for word in _WORDS.split(name[:_LONGEST_NAME]) if word}


def is_optimizer(name: str | int, value: Any) -> bool:
    """Tell whether a value is an optimizer or the state of one: by what it has, or by its name.

    >>> is_optimizer("optimizer_states", []), is_optimizer("optimized_model", [])
    (True, False)
    """
    has = value.state if type(value) is Object and type(value.state) is Dict else value
    if isinstance(has, Mapping) and has.has("state") and isinstance(has.get("param_groups"), list | tuple):
        return True
    return isinstance(name, str) and not words(name).isdisjoint(_OPTIMIZER)


def describe(value: Any, name: str = "", visits: Visits | None = None) -> str:
    """Say what a value is, in a few words. ``visits`` are shared by those who describe many values.

    >>> describe(12), describe("a"), describe([1, 2]), describe(None)
    ('int 12', "str 'a'", 'list, 2 entries', 'None')
    """
    if value is None or isinstance(value, bool | int | float):
        return "None" if value is None else f"{type(value).__name__} {value!r:.{_MOST_CHARACTERS}}"
    if isinstance(value, str):
        text = str(value)
        return f"str {text!r}" if len(text) <= _MOST_CHARACTERS else f"str of {len(text)} characters"
    if isinstance(value, bytes):
        return f"bytes, {len(value)}"
    if rebuild_of(value) is not None:
        return "tensor"
    if is_optimizer(name, value) and (n_tensors := _tensors_in(value, visits or Visits())):
        return f"optimizer state, {counted(n_tensors, 'tensor')}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}, {counted(len(value), 'entry')}"
    if isinstance(value, Dict):
        return f"dict, {counted(len(value.items), 'entry')}"
    return _described(value)


def _described(value: Any) -> str:
    if isinstance(value, PersistentId):
        return "a storage"
    if isinstance(value, Global):
        return f"{value.path[:_LONGEST_NAME]} (a name)"
    path = value.cls.path if isinstance(value.cls, Global) else "an object"
    path = _PLAIN.get(path, path[:_LONGEST_NAME])
    return f"{path}, {counted(len(value.items), 'entry')}" if value.items else str(path)


_PLAIN = {
    "_codecs.encode": "bytes",
    "numpy.core.multiarray._reconstruct": "numpy.ndarray",
    "numpy._core.multiarray._reconstruct": "numpy.ndarray",
    "numpy.core.multiarray.scalar": "a numpy number",
    "numpy._core.multiarray.scalar": "a numpy number",
    "__builtin__.set": "set",
    "builtins.set": "set",
}


def _tensors_in(value: Any, visits: Visits) -> int:
    """Count the tensors inside a value; where too much was looked at, those that were seen."""
    seen: set[int] = set()
    stack = [value]
    n_tensors = 0
    while stack and visits.left > 0:
        visits.left -= 1
        current = stack.pop()
        if not isinstance(current, list | tuple | Mapping) or id(current) in seen:
            continue
        seen.add(id(current))
        if rebuild_of(current) is not None:
            n_tensors += 1
        elif isinstance(current, Mapping):
            stack += [current.state, *(inner for _, inner in current.items)]
        else:
            stack.extend(current)
    return n_tensors
