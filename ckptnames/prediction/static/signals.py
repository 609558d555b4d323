"""How a piece of a program ends other than by its last line."""

from __future__ import annotations

from typing import Any

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.values import Unknown


class Return(Exception):
    """A function returns."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Break(Exception):
    """A loop ends."""


class Continue(Exception):
    """A loop goes on with its next round."""


class Raised(Exception):
    """The program raises an exception: ``value`` is one of Python's own, or an instance of a class of the program."""

    def __init__(self, value: Any, place: Place | None = None) -> None:
        super().__init__(value)
        self.value = value
        self.place = place


class Stuck(Exception):
    """A piece of the program cannot be followed; what it could have changed is not known from here on."""

    def __init__(self, why: Unknown) -> None:
        super().__init__(why.reason)
        self.why = why


class TooDeep(Stuck):
    """A function calls itself too often; it is given up as a whole, where it was called first."""

    def __init__(self, why: Unknown, node: Any) -> None:
        super().__init__(why)
        self.node = node


class Endless(Stuck):
    """A loop does not end; the function that it stands in is given up as a whole."""


class Exhausted(Stuck):
    """The program does more than is worth following; it is given up in a line of the model that was asked for."""


class Unsure(Exception):
    """A value is needed, and is not known; the expression that needs it is not known either."""

    def __init__(self, why: Unknown) -> None:
        super().__init__(why.reason)
        self.why = why
