"""The scopes that are open while code runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ckptnames.prediction.static.interpreter.scopes import Scope
from ckptnames.prediction.static.values import Class, Function, Namespace, Value


@dataclass(slots=True, eq=False)
class Frame:
    """One scope: of a module, a class, a function that was called, or a comprehension."""

    namespace: Namespace
    vars: dict[str, Value]
    parent: Frame | None = None
    """The scope around it, where names are looked up next; ``None`` for that of a module."""
    scope: Scope | None = None
    kind: str = "module"
    function: Function | None = None
    first: Value = None
    """The first argument, which ``super()`` is about."""
    line: int = 1
    guarded: int = 0
    """How many ``try`` with handlers the line that runs stands in."""
    doubts: int = 0
    """What of a generator's own code may raise an exception that nobody here can know of."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def owner(self) -> Class | None:
        """The class in whose body the running code stands: what ``super()`` looks behind."""
        frame: Frame | None = self
        while frame is not None and frame.kind != "class":
            frame = frame.parent
        return frame.extra.get("class") if frame is not None else None
