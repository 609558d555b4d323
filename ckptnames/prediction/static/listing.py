"""From a module that was followed to the keys that it will save, and to what of it is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ckptnames.prediction.static.torch_nn.module import has_extra_state, saying
from ckptnames.prediction.static.values import Module, Unknown, Value

MARK = "?"
"""The last segment of what stands for keys that are not known: no attribute is called that."""
_MOST_ENTRIES = 200_000


class Key(NamedTuple):
    """A key that is certain."""

    key: str
    path: str
    owner: Module
    leaf: str
    value: Value


class Open(NamedTuple):
    """A part of a model of which the keys are not known: ``path``, and all below it; and why."""

    path: str
    why: Unknown
    all_of_it: bool = True
    """False where what is listed below the path is certain, and only that there is no more is not."""


def listed(root: Value, spoiled: Unknown | None = None) -> Iterator[Key | Open]:
    """List what a module saves, in order."""
    if spoiled is not None or not isinstance(root, Module):
        yield Open("", spoiled or (root if isinstance(root, Unknown) else Unknown("it is no module")))
        return
    for n, entry in enumerate(_below(root, "", ())):
        if n > _MOST_ENTRIES:
            yield Open("", Unknown(f"more than {_MOST_ENTRIES:,} keys are not listed"))
            return
        yield entry


def opening(module: Module) -> Open | None:
    """Tell whether a module itself is open."""
    says = saying(module)
    if says:
        place = next(iter(module.sites.values()), None)
        return Open("", Unknown(f"'{says}' decides what is saved, and is not run", place))
    return Open("", module.extra, all_of_it=False) if module.extra is not None else None


def children(module: Module) -> Iterator[tuple[str, Value]]:
    """Give what is registered below a module; what is only perhaps there is part of what is open in it anyway."""
    for name, child in module.modules.items():
        if not (module.extra is not None and isinstance(child, Unknown) and child.perhaps):
            yield name, child


def _below(module: Module, path: str, above: tuple[int, ...]) -> Iterator[Key | Open]:
    prefix = f"{path}." if path else ""
    if id(module) in above:
        yield Open(path, Unknown("a module holds itself"))
        return
    opened = opening(module)
    if opened is not None and opened.all_of_it:
        yield opened._replace(path=path)
        return
    for name, value in module.params.items():
        if value is not None:
            yield Key(prefix + name, path, module, name, value)
    for name, value in module.buffers.items():
        if name in module.fleeting:
            continue
        if isinstance(value, Unknown):
            yield Open(prefix + name, value)
        elif value is not None:
            yield Key(prefix + name, path, module, name, value)
    if has_extra_state(module):
        yield Key(f"{prefix}_extra_state", path, module, "_extra_state", None)
    for name, child in children(module):
        if isinstance(child, Unknown):
            yield Open(prefix + name, child)
        elif child is not None:
            yield from _below(child, prefix + name, (*above, id(module)))
    if opened is not None:
        yield opened._replace(path=path)
