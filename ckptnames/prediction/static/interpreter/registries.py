"""Registries: a module that was not run yet, since none of its names was wanted, may fill a dict of another module.

Python runs every import at once, so that all of them are full before a model is built. Here those modules wait until
something is looked for in a dict that was empty when it was made, and is not there.
"""

from __future__ import annotations

import re
from typing import Any

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.sources.finder import Source
from ckptnames.prediction.static.values import Unknown, Value

_REGISTERS = re.compile(rb"^@(?!torch\.|dataclass|dataclasses\.|functools\.|lru_cache|contextmanager)", re.MULTILINE)
"""A decorator at the start of a line: it may note somewhere what it decorates."""


def wait(machine: Machine, name: str, place: Place) -> None:
    """Note an import that is left for later, where the module may do more than define its own names."""
    source = machine.finder.find(name)
    if isinstance(source, Source) and name not in machine.modules and name not in machine.waiting:
        fills = _REGISTERS.search(source.text) is not None or machine.has_subclass_hooks
        # A package imports others, which may.
        if fills or source.is_package or b"import" in source.text:
            machine.waiting[name] = place


def made_empty(machine: Machine, collection: Any) -> Any:
    """Note a dict or list that is made empty while a module runs: it may be a registry."""
    if machine.importing and not collection:
        machine.registries[id(collection)] = collection
    return collection


def looked_into(machine: Machine, collection: Value) -> None:
    """Run what waits, before something is looked for in vain in what may be a registry, or all of it is looked at."""
    if id(collection) not in machine.registries or machine.importing:
        return
    from ckptnames.prediction.static.interpreter.imports import module

    while machine.waiting:
        name, place = next(iter(machine.waiting.items()))
        del machine.waiting[name]
        module(machine, name, place)


def runs(machine: Machine, name: str) -> None:
    """Note that a module is run: one before which others wait fills registries in another order than in Python."""
    first = next(iter(machine.waiting), name)
    if first != name and machine.disordered is None:
        machine.disordered = machine.place
    machine.waiting.pop(name, None)


def check_order(machine: Machine, collection: Value) -> None:
    """Raise ``Unsure`` where it is not known in which order modules have filled a collection."""
    if machine.disordered is not None and len(collection) > 1 and id(collection) in machine.registries:
        raise Unsure(Unknown("in which order modules fill it is not followed", machine.disordered))
