"""How much of a program is followed: steps, depth and sizes, so that every answer comes within seconds."""

from __future__ import annotations

from typing import Any

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.signals import Exhausted, Stuck
from ckptnames.prediction.static.values import Unknown

STEPS = 2_000_000
"""Expressions and statements that are followed for one model: the largest of well-known packages need a fifth."""
ROUNDS = 30_000
"""Rounds of one loop."""
DEEPEST = 120
"""Calls inside each other."""
LARGEST = 2_000_000
"""Items of a sequence that an operation may make."""
MOST_BITS = 20_000
"""Bits of a whole number."""
_SHORTEST = 1_000
"""Steps below which there is no use in another try."""
_PER_STEP = 64
"""Items that are copied in the time of a step."""


class Budget:
    """Counts what following a program takes."""

    def __init__(self, steps: int = STEPS) -> None:
        self.left = steps
        self._whole = steps

    def spend(self, place: Place | None, n_items: int = 0) -> None:
        """Count a piece of work that is larger than a step."""
        self.left -= 1 + n_items // _PER_STEP
        if self.left < 0:
            self.exhausted(place)

    def exhausted(self, place: Place | None) -> None:
        """Give up. Raises ``Exhausted``."""
        raise Exhausted(Unknown("the code does not come to an end within the steps that are followed", place))

    def another_try(self) -> bool:
        """Give half of what there was to what comes after a piece that was given up."""
        self._whole //= 2
        self.left = max(self.left, self._whole)
        return self._whole > _SHORTEST


def check_length(n: int, place: Place | None) -> None:
    """Raise ``Stuck`` where a sequence of that length would be made."""
    if n > LARGEST:
        raise Stuck(Unknown(f"a sequence of {n:,} items is not made", place, plain=True))


def check_number(value: Any, place: Place | None) -> None:
    """Raise ``Stuck`` where a whole number is too long to go on with."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise Stuck(Unknown("a number of thousands of digits is not computed with", place, plain=True))
