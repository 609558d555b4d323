"""The table of what is known by its full name, and the decorators that put something into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ckptnames.prediction.static.values import Native, Pure, Unknown, Value

if TYPE_CHECKING:
    from ckptnames.prediction.static.interpreter.machine import Machine

KNOWN: dict[str, Value] = {}
"""What a full name, such as ``functools.partial``, stands for."""
MODULES: set[str] = set()
"""Modules of which something is known."""
PREFERRED = frozenset(
    [
        "numpy",
        "einops",
        "yaml",
        "tqdm",
        "wandb",
        "absl",
        "matplotlib",
        "cv2",
        "scipy",
        "PIL",
        "requests",
        "pandas",
        "sympy",
        "transformers",
    ]
)
"""Packages that are not read, installed or not: what matters of them stands in tables, or cannot be known."""
COMPUTING = frozenset({"numpy", "scipy", "math", "cmath", "statistics"})
"""Packages of which every function only computes numbers."""


def put(name: str, value: Value) -> None:
    """Make a full name known."""
    KNOWN[name] = value
    above = name.rpartition(".")[0]
    while above:
        MODULES.add(above)
        above = above.rpartition(".")[0]


def known(*names: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Make a function known under full names; it is called with the machine before its arguments."""

    def put_all(code: Callable[..., Value]) -> Callable[..., Value]:
        for name in names:
            put(name, Native(name, code))
        return code

    return put_all


def pure(module: str, holder: Any, names: str) -> None:
    """Make functions of Python's own known that only compute, and cannot take long."""
    for name in names.split():
        put(f"{module}.{name}", Pure(f"{module}.{name}", getattr(holder, name)))


def same(machine: Machine, value: Value = None, *args: Value, **kwargs: Value) -> Value:
    """Give back what is given: what many decorators do, with arguments of their own or without."""
    if value is None or isinstance(value, str | bool | Unknown):
        return Native("same", lambda machine, inner: inner)
    return value
