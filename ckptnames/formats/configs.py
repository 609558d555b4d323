"""Names of modules in the JSON files beside the shards: those that say which layers are quantised, and how."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ckptnames.formats.checkpoint import Renames
from ckptnames.keys import modules_of
from ckptnames.rules.module_paths import renamed_modules

_MEMBER = "quantization_config"
_OWN_FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json", "quantization_config.json")
_MOST_BYTES = 4_000_000


def old_names(folder: Path, files: Iterable[str], planned: Renames) -> list[tuple[str, int]]:
    """Say in which files how many texts about quantisation name a key or module that is renamed.

    They are told and not changed: what such a text means, a whole name, its beginning or its end, is up to the library
    that reads it.
    """
    texts = [(file, list(_texts(folder / file))) for file in files if file == "config.json" or file in _OWN_FILES]
    if not any(found for _, found in texts):
        return []
    modules = modules_of(planned)
    paths, _ = renamed_modules(modules, planned)
    old = {key for key, names in planned.items() if tuple(names) != (key,)}
    old |= {module for module in modules if module and paths[module] != (module,)}
    counts = ((file, sum(text.rstrip("*.") in old for text in found)) for file, found in texts)
    return [(file, n) for file, n in counts if n]


def _texts(path: Path) -> Iterator[str]:
    """Give every string below the part of a file that is about quantisation."""
    try:
        with path.open("rb") as file:
            stack: list[tuple[Any, bool]] = [(json.loads(file.read(_MOST_BYTES)), path.name in _OWN_FILES)]
    except (OSError, ValueError, RecursionError):
        return  # It is copied as it is, whatever it is.
    while stack:
        value, is_inside = stack.pop()
        if isinstance(value, dict):
            stack += [(member, is_inside or name == _MEMBER) for name, member in value.items()]
            yield from value if is_inside else ()
        elif isinstance(value, list):
            stack += [(member, is_inside) for member in value]
        elif isinstance(value, str) and is_inside:
            yield value
