"""Match a key against the items of a pattern: a regular expression where that is exact and quick, else a search.

Both work on the key with a dot added, so that every segment ends in one and ``**`` is a run of whole segments. Both
prefer the same match: from left to right, each slot and ``**`` as short as possible, each choice as long as possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ckptnames.rules.arithmetic import MAX_DIGITS, UNBOUNDED, Expression, Interval, names_in, solve
from ckptnames.rules.slots import CANONICAL, Choice, Digits, Item, Literal, Members, Stars, Sum, Text, texts_of

_MOST_SPELLED_OUT = 200
_MOST_STATES = 200_000
"""Only slots that stand twice can make a search longer than its pattern times the key."""

_LONGEST_FOR_REGEX = 400
"""A regular expression that has to try several places takes a power of the length; a longer key is searched."""


class _Same(NamedTuple):
    """The second and later places of a slot: the text of the first."""

    place: int


Op = Item | _Same


class TooManySteps(Exception):
    """The search was given up: the key is far too long for a pattern whose slots stand twice."""


class Match(NamedTuple):
    """What the places of a pattern hold, the numbers of the slots that were solved, and where the match ends."""

    texts: tuple[str, ...]
    numbers: Mapping[str, int]
    end: int


def spelled(items: Iterable[Item]) -> list[Item]:
    """Give every segment its closing dot: ``**`` takes the dot behind it, the last segment gets one.

    >>> [str(item) for item in spelled((Literal("a."), Stars(), Literal(".b")))]
    ['a.', '**', 'b.']
    """
    found: list[Item] = []
    for item in items:
        if isinstance(item, Literal) and found and isinstance(found[-1], Stars):
            item = Literal(item.text.removeprefix("."))
        if item != Literal(""):
            found.append(item)
    if not found or isinstance(found[-1], Stars):
        return found
    last = found[-1]
    return [*found[:-1], Literal(last.text + ".")] if isinstance(last, Literal) else [*found, Literal(".")]


def prefix_of(items: Sequence[Item]) -> str | None:
    """Give what stands before the ``**`` of spelled items that are nothing else.

    >>> prefix_of([Literal("a."), Stars()]), prefix_of([Stars()]), prefix_of([Literal("a.")])
    ('a.', '', None)
    """
    *before, last = items
    if not isinstance(last, Stars) or len(before) > 1:
        return None
    if not before:
        return ""
    return before[0].text if isinstance(before[0], Literal) else None


class Matcher:
    """The compiled form of ``spelled`` items; ``ranges`` types the slots that arithmetic has to solve."""

    def __init__(self, items: Sequence[Item], ranges: Mapping[str, Interval]) -> None:
        self.ranges = dict(ranges)
        self.places: dict[str, int] = {}
        """For each named slot the index of its text in ``Match.texts``."""
        self.ops: list[Op] = []
        self.captures: list[int] = []
        """The op of each text in ``Match.texts``."""
        kinds = {i.name: i for i in items if isinstance(i, Digits | Choice)}
        for item in items:
            self._add(kinds.get(item.name, item) if isinstance(item, Text) else item)
        self._sums = [(place, op.expression) for place, op in self._captured() if isinstance(op, Sum)]
        self.solved_from = self._arithmetic_group()
        """The places that arithmetic reads, each with an expression it stands in, for messages."""
        self._group = set(self.solved_from)
        self._needed = self._places_needed()
        self._kept = [self._kept_place(k) for k in range(len(self.ops))]
        self._solved = lru_cache(maxsize=1024)(self._solve)
        self._regex, self._is_final = self._compiled()
        self._is_checked = any(map(_is_loose, self.ops))

    def _add(self, item: Item) -> None:
        if isinstance(item, Text | Digits | Choice):
            if item.name in self.places:
                self.ops.append(_Same(self.places[item.name]))
                return
            self.places[item.name] = len(self.captures)
        if not isinstance(item, Literal):
            self.captures.append(len(self.ops))
        self.ops.append(item)

    def _captured(self) -> Iterator[tuple[int, Op]]:
        return ((place, self.ops[op]) for place, op in enumerate(self.captures))

    def _arithmetic_group(self) -> dict[int, str]:
        """Collect what is solved together, once the last of it is known."""
        found = {}
        for place, expression in self._sums:
            found[place] = str(expression)
            for name in sorted(names_in(expression) & self.places.keys()):
                found.setdefault(self.places[name], str(expression))
        return found

    def _places_needed(self) -> list[frozenset[int]]:
        """For each op the places whose texts it, or a later one, has to know."""
        last = max((self.captures[place] for place in self._group), default=-1)
        needed: list[frozenset[int]] = []
        later: frozenset[int] = frozenset()
        for k in reversed(range(len(self.ops))):
            op = self.ops[k]
            if isinstance(op, _Same):
                later |= {op.place}
            if k == last:
                later |= self._group
            needed.append(later)
        return [*reversed(needed), frozenset()]

    # Regular expressions

    def _compiled(self) -> tuple[re.Pattern[str] | None, bool]:
        """Compile, and tell whether a match that fails its checks is final: there is no other way to match."""
        groups = list(_by_segment(self.ops))
        n_stars = sum(isinstance(op, Stars) for op in self.ops)
        n_variable = max((sum(not isinstance(op, Literal | Stars) for op in group) for group in groups), default=0)
        dotted = sum(any("." in text for text in texts_of(op)) for op in self.ops)
        if n_stars > 2 or n_variable > 3 or dotted > 1 or not all(map(_is_regular, self.ops)):
            return None, False
        if n_variable > 1 and any(isinstance(op, _Same) for op in self.ops):
            return None, False
        parts = []
        for group in groups:
            text = "".join(map(self._as_regex, group))
            # A segment ends at the next dot whatever its slots hold: there is nothing to come back to.
            atomic = len(group) > 1 and not any("." in text for op in group for text in texts_of(op))
            parts.append(f"(?>{text})" if atomic else text)
        return re.compile("".join(parts)), n_stars <= 1 and n_variable <= 1 and not dotted

    def _as_regex(self, op: Op) -> str:
        if isinstance(op, Literal):
            return re.escape(op.text)
        if isinstance(op, Stars):
            return r"((?:[^.]*\.)*?)"
        if isinstance(op, Text):
            return r"([^.]+?)"
        if isinstance(op, Digits | Sum):
            return "([0-9]+?)"
        if isinstance(op, _Same):
            return f"(?:\\{op.place + 1})"
        if isinstance(op, Members) and len(op) > _MOST_SPELLED_OUT:
            return "(" + "|".join(["[0-9]+", *map(re.escape, _longest_first(texts_of(op)))]) + ")"
        texts = op.texts if isinstance(op, Choice) else op
        return "(" + "|".join(map(re.escape, _longest_first(texts))) + ")"

    # Matching

    def match(self, text: str) -> Match | None:
        """Match the whole of ``text``, a key with a dot added."""
        regex = self._regex
        if regex is None or (len(text) > _LONGEST_FOR_REGEX and not self._is_final):
            return self._search(text, 0, len(text))
        found = regex.fullmatch(text)
        if found is None:
            return None
        if not self._is_checked:
            return Match(found.groups(), {}, found.end())
        return self._checked(found) or (None if self._is_final else self._search(text, 0, len(text)))

    def find(self, text: str, start: int) -> tuple[int, Match] | None:
        """Find the first segment at or after ``start`` where a match begins; it ends where it may."""
        while start < len(text):
            found = self.match_at(text, start)
            if found is not None:
                return start, found
            start = text.index(".", start) + 1
        return None

    def match_at(self, text: str, start: int) -> Match | None:
        """Match what begins at ``start``, up to any end."""
        regex = self._regex
        if regex is None or (len(text) > _LONGEST_FOR_REGEX and not self._is_final):
            return self._search(text, start, None)
        found = regex.match(text, start)
        if found is None:
            return None
        return self._checked(found) or (None if self._is_final else self._search(text, start, None))

    def _checked(self, found: re.Match[str]) -> Match | None:
        texts = found.groups()
        for place, op in self._captured():
            if isinstance(op, Digits) and not op.holds(texts[place]):
                return None
            if isinstance(op, Members) and op.index(texts[place]) is None:
                return None
        numbers = self._numbers(texts)
        return None if numbers is None else Match(texts, numbers, found.end())

    # Arithmetic

    def _numbers(self, texts: Sequence[str]) -> Mapping[str, int] | None:
        """Solve for the slots that only arithmetic names; ``None`` where there is not just one solution."""
        if not self._sums:
            return {}
        return self._solved(tuple(texts[place] for place in sorted(self._group)))

    def _solve(self, texts: tuple[str, ...]) -> Mapping[str, int] | None:
        if max(map(len, texts)) > MAX_DIGITS:
            return None
        values = dict(zip(sorted(self._group), map(int, texts), strict=True))
        ranges = dict(self.ranges)
        ranges.update({n: (values[p], values[p]) for n, p in self.places.items() if p in values})
        equations: list[tuple[Expression, int]] = [(expression, values[place]) for place, expression in self._sums]
        found = solve(equations, ranges)
        return None if found is None else {name: found[name] for name in self.ranges}

    # Search

    def _search(self, text: str, start: int, end: int | None) -> Match | None:
        """Walk the states depth first, best first, and none of them twice: the work is states times choices."""
        first = _State(0, start, False, ())
        path, waiting, seen = [first], [self._after(text, first)], {first}
        while path:
            for state in waiting[-1]:
                if state in seen:
                    continue
                seen.add(state)
                if state.known and len(seen) > _MOST_STATES:
                    raise TooManySteps
                if state.op == len(self.ops):
                    if end is not None and state.at != end:
                        continue
                    return self._read(text, [*path, state])
                path.append(state)
                waiting.append(self._after(text, state))
                break
            else:
                path.pop()
                waiting.pop()
        return None

    def _read(self, text: str, path: Sequence[_State]) -> Match:
        starts: dict[int, int] = {}
        for state in path:
            starts.setdefault(state.op, state.at)
        texts = tuple(text[starts[op] : starts[op + 1]] for op in self.captures)
        return Match(texts, self._numbers(texts) or {}, path[-1].at)

    def _after(self, text: str, state: _State) -> Iterator[_State]:
        """Give the states that can follow, the preferred one first."""
        op, at = self.ops[state.op], state.at
        if isinstance(op, Stars):
            yield _State(state.op + 1, at, False, state.known)
            dot = text.find(".", at)
            if dot >= 0:
                yield _State(state.op, dot + 1, False, state.known)
            return
        place = self._kept[state.op]
        if place is None and isinstance(op, Text | Digits) and not _is_loose(op):
            if state.inside:
                yield _State(state.op + 1, at, False, state.known)
            if at < len(text) and (text[at] != "." if isinstance(op, Text) else text[at] in "0123456789"):
                yield _State(state.op, at + 1, True, state.known)
            return
        for end in self._ends(op, text, state):
            known = state.known if place is None else ((*state.known, (place, text[at:end])))
            if self._holds(state.op, known):
                needed = self._needed[state.op + 1]
                yield _State(state.op + 1, end, False, tuple(k for k in known if k[0] in needed))

    def _kept_place(self, k: int) -> int | None:
        """The place that op fills, where a later op has to know its text."""
        if isinstance(self.ops[k], Literal | _Same):
            return None
        place = self.captures.index(k)
        return place if place in self._needed[k] | self._needed[k + 1] else None

    def _ends(self, op: Op, text: str, state: _State) -> Iterable[int]:
        at = state.at
        if isinstance(op, Literal):
            return [at + len(op.text)] if text.startswith(op.text, at) else []
        if isinstance(op, _Same):
            value = dict(state.known)[op.place]
            return [at + len(value)] if text.startswith(value, at) else []
        if isinstance(op, Choice):
            return [at + len(t) for t in _longest_first(op.texts) if text.startswith(t, at)]
        if isinstance(op, Members):
            return _member_ends(op, text, at)
        if isinstance(op, Text):
            dot = text.find(".", at)
            # The slot comes again: a text that does not is not worth following.
            return (end for end in range(at + 1, dot + 1) if text.find(text[at:end], end) >= 0)
        stop = _digits_end(text, at)
        if isinstance(op, Digits) and op.high is None:
            return range(at + 1, stop + 1)
        ends = range(at + 1, min(stop, at + MAX_DIGITS) + 1)
        return [end for end in ends if not isinstance(op, Digits) or op.holds(text[at:end])]

    def _holds(self, k: int, known: Sequence[tuple[int, str]]) -> bool:
        """Once the last number of the arithmetic is known, ask whether it can be solved."""
        if not self._group or k != max(self.captures[place] for place in self._group):
            return True
        texts = dict(known)
        return self._solved(tuple(texts[place] for place in sorted(self._group))) is not None


class _State(NamedTuple):
    """Where a search stands: the op that comes next, at which character, and the texts that are still needed."""

    op: int
    at: int
    inside: bool
    """True where the op is a slot that holds some text already."""
    known: tuple[tuple[int, str], ...]


def range_of(slot: Digits) -> Interval:
    """Give the numbers that a slot may hold."""
    return slot.low, UNBOUNDED if slot.high is None else slot.high


def _by_segment(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """Cut ops at the end of every segment; literal text of several segments is cut too."""
    group: list[Op] = []
    for op in ops:
        if isinstance(op, Stars):
            yield [op]
            continue
        pieces: list[Op] = [op]
        if isinstance(op, Literal):
            cut = op.text.rfind(".") + 1
            pieces = [Literal(text) for text in (op.text[:cut], op.text[cut:]) if text]
        for piece in pieces:
            group.append(piece)
            if isinstance(piece, Literal) and piece.text.endswith("."):
                yield group
                group = []
    if group:
        yield group


def _is_regular(op: Op) -> bool:
    """Tell whether a regular expression tries the members in the right order, too many to be spelled out or not."""
    if not isinstance(op, Members) or len(op) <= _MOST_SPELLED_OUT:
        return True
    return not any(text[0].isdigit() for text in texts_of(op))


def _is_loose(op: Op) -> bool:
    """Tell whether the regular expression lets more through than the op does."""
    if isinstance(op, Digits):
        return op.high is not None
    return isinstance(op, Sum) or (isinstance(op, Members) and len(op) > _MOST_SPELLED_OUT)


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=len, reverse=True)


def _digits_end(text: str, at: int) -> int:
    while at < len(text) and text[at] in "0123456789":
        at += 1
    return at


def _member_ends(members: Members, text: str, at: int) -> list[int]:
    ends = {at + len(t) for t in texts_of(members) if text.startswith(t, at)}
    number = CANONICAL.match(text, at)
    if number:
        stop = min(number.end(), at + MAX_DIGITS)
        ends |= {end for end in range(at + 1, stop + 1) if members.index(text[at:end]) is not None}
    return sorted(ends, reverse=True)
