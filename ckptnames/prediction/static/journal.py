"""Both ways of a branch: what each changes is noted, undone, and joined.

Everything that a program can change lives in dicts, lists, sets and deques. Whatever changes one of them says so
first (``touch``). While a branch runs of which nobody knows whether it is taken, that makes a copy of how it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from ckptnames.prediction.static.values import Names, Unknown, Value

_NOTHING = object()
_SCALARS = (int, float, str, bytes, bool, complex)


class After(NamedTuple):
    """What one way of a branch left behind: each collection it touched, as it was before and as it was then."""

    touched: dict[int, tuple[Any, Any, Any]]


class _Branch:
    """What a branch that runs has changed, and what it has made."""

    __slots__ = ("began", "for_certain", "made", "noted")

    def __init__(self, began: int, for_certain: bool) -> None:
        self.began = began
        self.for_certain = for_certain
        self.noted: dict[int, tuple[Any, Any]] = {}
        self.made: dict[int, Any] = {}

    def has_made(self, collection: Any) -> bool:
        """Tell whether a collection was not there before."""
        return id(collection) in self.made or (isinstance(collection, Names) and collection.born > self.began)


class Journal:
    """Notes what is changed while branches run of which it is not known whether they are taken."""

    def __init__(self) -> None:
        self._open: list[_Branch] = []
        self.n_branches = 0

    @property
    def depth(self) -> int:
        """How many such branches run inside each other."""
        return sum(not branch.for_certain for branch in self._open)

    def touch(self, collection: Any) -> None:
        """Say that a collection is about to be changed."""
        if self._open:
            branch = self._open[-1]
            if id(collection) not in branch.noted and not branch.has_made(collection):
                branch.noted[id(collection)] = collection, collection.copy()

    def made(self, collection: Any) -> None:
        """Say that a list, dict or set is new: what happens to it in this branch is nobody else's concern."""
        if self._open:
            self._open[-1].made[id(collection)] = collection

    def begin(self, *, for_certain: bool = False) -> None:
        """Start a branch."""
        self._open.append(_Branch(Names().born, for_certain))
        self.n_branches += not for_certain

    def end(self) -> After:
        """End a branch: everything is as it was before it; what it left is given."""
        branch = self._open.pop()
        if self._open:
            self._open[-1].made.update(branch.made)
        touched = {}
        for key, (collection, before) in branch.noted.items():
            touched[key] = collection, before, collection.copy()
            _fill(collection, before)
        return After(touched)

    def redo(self, after: After) -> None:
        """Put back what a branch left: it is known to be taken after all."""
        for collection, _, left in after.touched.values():
            self.touch(collection)
            _fill(collection, left)

    def join(
        self, ways: list[After], why: Unknown, unsure: Callable[[Any, Unknown], None], *, again: bool = False
    ) -> bool:
        """Leave what is the same in all ways; the rest is unknown. Tells whether anything came to be unknown.

        ``unsure`` marks a collection of which not even the length is known. ``again`` says that this is a further round
        of a loop: what still gets new names in it will get more of them.
        """
        changed = False
        collections = {key: way.touched[key][0] for way in ways for key in way.touched}
        for key, collection in collections.items():
            states = [way.touched[key][2] if key in way.touched else collection for way in ways]
            before = collection.copy()
            joined = _joined(states, isinstance(collection, Names), why)
            grows = again and getattr(collection, "owner", None) is not None and len(joined) > len(before)
            if joined is None or grows:
                unsure(collection, why)
                changed = True
                continue
            if not _same(joined, before):
                changed = True
                self.touch(collection)
                _fill(collection, joined)
        return changed


def _joined(states: list[Any], of_names: bool, why: Unknown) -> Any:
    """Join what a collection is in each way; ``None`` where not even its keys or its length are the same."""
    first = states[0]
    if isinstance(first, dict):
        if not of_names and any(list(state) != list(first) for state in states):
            return None
        keys = dict.fromkeys(key for state in states for key in state)
        return {key: joined_value([state.get(key, _NOTHING) for state in states], why) for key in keys}
    if isinstance(first, list | deque):
        if any(len(state) != len(first) for state in states):
            return None
        return [joined_value(list(items), why) for items in zip(*states, strict=True)]
    return first if all(state == first for state in states) else None


def joined_value(values: list[Value], why: Unknown) -> Value:
    """Give the value that all of several are, or else an unknown one."""
    first = values[0]
    if all(_equal(first, other) for other in values[1:]):
        return first
    unknown = next((value for value in values if isinstance(value, Unknown)), None)
    plain = all(_is_plain(value) for value in values)
    perhaps = any(value is _NOTHING or (isinstance(value, Unknown) and value.perhaps) for value in values)
    if unknown is not None and unknown.plain == plain:
        return replace(unknown, perhaps=perhaps)
    return replace(why.as_plain() if plain else why.within(tuple(values)), perhaps=perhaps)


def _equal(one: Value, other: Value) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, _SCALARS):
        return bool(one == other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    # An unknown value that was unknown before has not changed.
    if not isinstance(one, Unknown):
        return False
    return (one.plain, one.perhaps, one.place) == (other.plain, other.perhaps, other.place)


def _is_plain(value: Value) -> bool:
    if isinstance(value, Unknown):
        return value.plain
    return value is _NOTHING or value is None or isinstance(value, _SCALARS)


def _same(one: Any, other: Any) -> bool:
    if len(one) != len(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(_equal, one.values(), other.values()))
    if isinstance(one, set):
        return bool(one == other)
    return all(map(_equal, one, other))


def _fill(collection: Any, content: Any) -> None:
    collection.clear()
    if isinstance(collection, dict | set):
        collection.update(content)
    else:
        collection.extend(content)
