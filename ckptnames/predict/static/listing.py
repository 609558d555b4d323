"""From a module that was followed to the keys that it will save, and to what of it is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ckptnames.predict.static.torch_nn.module import has_extra_state, saying
from ckptnames.predict.static.values import Module, Unknown, Value


class Key(NamedTuple):
    """A key that is certain."""

    key: str
    owner: Module
    leaf: str
    value: Value


class Open(NamedTuple):
    """A part of a model of which the keys are not known: all that begin with ``path``, and why."""

    path: str
    why: Unknown


def listed(root: Value, spoiled: Unknown | None = None) -> Iterator[Key | Open]:
    """List what a module saves, in order."""
    if spoiled is not None or not isinstance(root, Module):
        yield Open("", spoiled or (root if isinstance(root, Unknown) else Unknown("it is no module")))
        return
    yield from _below(root, "", ())


def _below(module: Module, path: str, above: tuple[int, ...]) -> Iterator[Key | Open]:
    prefix = f"{path}." if path else ""
    if id(module) in above:
        yield Open(path, Unknown("a module holds itself"))
        return
    says = saying(module)
    if says:
        yield Open(path, Unknown(f"'{says}' decides what is saved, and is not run", next(iter(module.sites.values()), None)))
        return
    for name, value in module.params.items():
        if value is not None:
            yield Key(prefix + name, module, name, value)
    for name, value in module.buffers.items():
        if value is not None and name not in module.fleeting:
            yield Open(prefix + name, value) if isinstance(value, Unknown) else Key(prefix + name, module, name, value)
    if has_extra_state(module):
        yield Key(f"{prefix}_extra_state", module, "_extra_state", None)
    for name, child in module.modules.items():
        if isinstance(child, Unknown):
            yield Open(prefix + name, child)
        elif child is not None:
            yield from _below(child, prefix + name, (*above, id(module)))
    if module.extra is not None:
        yield Open(path, module.extra)
