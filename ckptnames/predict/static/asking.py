"""From a model that is named in text to what the interpreter knows of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ckptnames.predict.locating import Arguments, ModelOperand
from ckptnames.predict.static.budget import DEEPEST
from ckptnames.predict.static.interpreter.exceptions import said
from ckptnames.predict.static.interpreter.machine import Machine
from ckptnames.predict.static.places import Place
from ckptnames.predict.static.signals import Raised, Stuck, Unsure
from ckptnames.predict.static.sources.finder import Directory, Finder, Folder, installed
from ckptnames.predict.static.values import Module, Unknown, Value


def load_knowledge() -> None:
    """Fill the tables."""
    from ckptnames.predict.static.interpreter import comprehensions, expressions, statements  # noqa: F401
    from ckptnames.predict.static.stdlib import arrays, collections_, copying, dataclasses_, enums, quiet, texts  # noqa: F401
    from ckptnames.predict.static.torch_nn import functions  # noqa: F401


def machine_for(folders: list[Folder]) -> Machine:
    """Make an interpreter that finds modules in folders and among what is installed."""
    load_knowledge()
    from ckptnames.predict.static.torch_nn.with_torch import WithTorch

    return Machine(Finder([*folders, *installed()]), WithTorch())


def interpreted(operand: ModelOperand, given: Arguments) -> tuple[Machine, Value]:
    """Follow the code of a model, and give what it makes."""
    if operand.in_file:
        path = Path(operand.place).absolute()
        machine = machine_for([Directory(path.parent), Directory(Path.cwd())])
        module = path.stem
    else:
        machine = machine_for([Directory(Path.cwd())])
        module = operand.place
    try:
        with deep_enough():
            return machine, _made(machine, module, operand, given)
    except (Unsure, Stuck) as error:
        return machine, error.why
    except Raised as raised:
        return machine, Unknown(f"raises {said(raised.value)}", raised.place)


def _made(machine: Machine, module: str, operand: ModelOperand, given: Arguments) -> Value:
    from ckptnames.predict.static.interpreter import imports

    found: Any = imports.module(machine, module, Place(operand.place, 1))
    for name in operand.name.split("."):
        found = machine.get(found, name)
    if isinstance(found, Module):
        return found
    return machine.call(found, list(given.positional), dict(given.named))


@contextmanager
def deep_enough() -> Iterator[None]:
    """Let Python's own calls go as deep as following the program's may take."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST * _CALLS_FOR_ONE))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


_CALLS_FOR_ONE = 100
"""Calls of Python's that following one call of a program takes, at most."""
