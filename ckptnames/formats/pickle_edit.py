"""A pickle with other strings in it: bytes are changed where a name stands, every other value comes out as it went in.

A pickle keeps values in a memo and repeats them by number. Where a name that is changed or dropped was kept, and is
repeated elsewhere, the bytes that build it are written at the first of those places.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from ckptnames.errors import UneditablePickle
from ckptnames.formats.pickle_spans import Definition, Item, Spans, Value, item_spans, key_spans


def edit(data: bytes, names: Mapping[int, Sequence[str]], where: str = "") -> bytes:
    r"""Give the pickle with other names for the strings pushed at the positions ``names``.

    One name replaces the string, wherever it stands. No name drops the item whose key it is, several give that item
    under each. A string that the pickle repeats by its memo changes at the given position only. All that was
    readable by torch's ``weights_only`` unpickler still is.

    >>> import pickle
    >>> data = pickle.dumps({"a": 1, "b": 2}, protocol=2)
    >>> pickle.loads(edit(data, {data.index(b"X"): ["x", "y"]}))
    {'x': 1, 'y': 1, 'b': 2}

    Raises ``cannot-edit-pickle`` where nothing short of loading it gives that result.
    """
    if not names:
        return data
    items = {pos for pos, new in names.items() if len(new) != 1}
    found = item_spans(data, names.keys(), items, where) if items else key_spans(data, names.keys(), where)
    return _Writer(data, found, _events(data, names, found, where), where).written()


class _Event(NamedTuple):
    """Something other than copying, at ``start`` of the pickle; what comes next stands at ``end``."""

    start: int
    rank: int
    end: int
    data: bytes = b""
    value: Value | None = None
    definition: Definition | None = None


# At one position the outermost comes first: a value is written whole, or repeated, before what is in it.
_INSERT, _CUT, _REPEAT, _REPLACE, _GET, _PUT, _PUT_STRING = range(7)


def _events(data: bytes, names: Mapping[int, Sequence[str]], found: Spans, where: str) -> list[_Event]:
    """List all that is to be done, in the order of the bytes."""
    events = [_Event(start, _CUT, end) for start, end in found.frames]
    cuts: list[tuple[int, int]] = []
    replaced: set[Value] = set()
    fresh = found.fresh
    for pos, new in names.items():
        if pos not in found.tokens or (len(new) != 1 and pos not in found.items):
            raise UneditablePickle(where, f"the string at byte {pos} is no key that can be dropped or doubled")
        if not new:
            cuts.append((found.items[pos].start, found.items[pos].end))
            continue
        token = found.tokens[pos]
        strings = [_string(token.code, name) for name in new]
        replaced.add(token.value)
        events.append(_Event(pos, _REPLACE, token.end, strings[0], token.value))
        if len(new) > 1:
            events += _doubled(data, found.items[pos], strings[1:], fresh)
            fresh += 1
    events += [_Event(start, _CUT, end) for start, end in cuts]
    events += _memo_events(data, found, cuts, replaced, where)
    # The longer of two values that start together is the outer one.
    return sorted(events, key=lambda event: (event.start, event.rank, -event.end))


def _doubled(data: bytes, item: Item, strings: Sequence[bytes], number: int) -> Iterator[_Event]:
    """Keep the value of an item, and write the item again with that value under other keys."""
    text = data[0] != 0x80
    yield _Event(item.value_end, _INSERT, item.value_end, _put(number, text))
    value = _get(number, text) + item.ending + item.closing
    again = b"".join(item.opening + string + value for string in strings)
    rank = _CUT if item.closing else _INSERT
    yield _Event(item.end - len(item.closing), rank, item.end, item.closing + again)


def _memo_events(
    data: bytes, found: Spans, cuts: list[tuple[int, int]], replaced: set[Value], where: str
) -> Iterator[_Event]:
    """Say what becomes of the memo: numbers are spelled out, and what is lost with its place is watched."""
    lost = set(_within(found.definitions, cuts)) if cuts else set()
    lost.update(definition for definition in found.definitions if definition.value in replaced)
    if any(definition.number in found.reused for definition in lost):
        raise UneditablePickle(where, "it keeps several values under one number, as no pickler does")
    spelled = {start: _put(number, text=False) for start, _, number in found.numbered}
    for definition in lost:
        put = spelled.pop(definition.start, data[definition.start : definition.end])
        value, string = definition.value, definition.value in replaced
        yield _Event(definition.start, _PUT_STRING if string else _PUT, definition.end, put, value, definition)
        if not string:
            yield _Event(value.start, _REPEAT, value.end, b"", value, definition)
    yield from (_Event(start, _CUT, start + 1, put) for start, put in spelled.items())
    yield from (_Event(start, _GET, end, b"", None, kept) for start, end, kept in found.repeats if kept in lost)


def _within(definitions: Sequence[Definition], ranges: list[tuple[int, int]]) -> Iterator[Definition]:
    """Pick the definitions that stand in one of the ranges."""
    ranges = sorted(ranges)
    # Of ranges that lie in others, those around them come first.
    ends = list(accumulate((end for _, end in ranges), max))
    starts = [start for start, _ in ranges]
    for definition in definitions:
        at = bisect_right(starts, definition.start) - 1
        if at >= 0 and definition.start < ends[at]:
            yield definition


class _Frame:
    """A range that is being written: the whole pickle, or a value at the place where it is repeated."""

    __slots__ = ("cursor", "end", "next_event", "start", "value")

    def __init__(self, start: int, end: int, next_event: int, value: Value | None) -> None:
        self.start = self.cursor = start
        self.end = end
        self.next_event = next_event
        self.value = value


class _Writer:
    """Copies the pickle from event to event. Values may lie in values, so the frames are a stack."""

    def __init__(self, data: bytes, found: Spans, events: Sequence[_Event], where: str) -> None:
        self.data, self.found, self.events, self.where = data, found, events, where
        self.starts = [event.start for event in events]
        self.text = data[0] != 0x80
        self.kept: set[Definition] = set()
        """Definitions that lost their place and stand in the output by now."""
        self.out = bytearray()

    def written(self) -> bytes:
        """Write everything."""
        frames = [_Frame(0, len(self.data), 0, None)]
        while frames:
            frame = frames[-1]
            if frame.next_event < len(self.events) and self.starts[frame.next_event] < frame.end:
                event = self.events[frame.next_event]
                frame.next_event += 1
                if event.start >= frame.cursor and (inner := self.step(frame, event)):
                    frames.append(inner)
            else:
                self.copy(frame, frame.end)
                frames.pop()
        return bytes(self.out)

    def copy(self, frame: _Frame, until: int) -> None:
        """Copy what stands before ``until``."""
        self.out += self.data[frame.cursor : until]
        frame.cursor = until

    def step(self, frame: _Frame, event: _Event) -> _Frame | None:
        """Do what an event says, where it concerns the frame. Give the value to write first, if any."""
        if not self.concerns(frame, event):
            return None
        self.copy(frame, event.start)
        frame.cursor = event.end
        if event.definition is None:
            self.out += event.data
        elif event.rank in (_PUT, _PUT_STRING):
            if event.rank == _PUT and event.definition in self.kept:
                raise UneditablePickle(self.where, "a value that is dropped contains itself")
            # A string that was replaced is kept only where it is written for those that repeat it.
            if event.rank == _PUT or frame.value is event.value:
                self.kept.add(event.definition)
                self.out += event.data
        elif event.definition in self.kept:
            self.out += _get(event.definition.number, self.text)
        else:
            value = event.definition.value
            return _Frame(value.start, value.end, bisect_left(self.starts, value.start), value)
        return None

    def concerns(self, frame: _Frame, event: _Event) -> bool:
        """Tell whether an event is for this frame."""
        if event.end > frame.end or (event.rank == _INSERT and event.start == frame.start):
            return False
        if event.rank == _REPLACE:
            return event.value is not frame.value
        return event.rank != _REPEAT or event.definition in self.kept


# Opcodes


def _put(number: int, text: bool) -> bytes:
    if text:
        return b"p%d\n" % number
    return b"q%c" % number if number < 256 else b"r" + number.to_bytes(4, "little")


def _get(number: int, text: bool) -> bytes:
    if text:
        return b"g%d\n" % number
    return b"h%c" % number if number < 256 else b"j" + number.to_bytes(4, "little")


def _string(code: int, text: str) -> bytes:
    """Push a string with the opcode that pushed the one before, where that can hold it.

    torch's ``weights_only`` unpickler knows BINUNICODE and SHORT_BINSTRING only.
    """
    if code in b"VS":
        return b"V" + _escaped(text) + b"\n"
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) < 256 and (code == 0x8C or (code == 0x55 and text.isascii())):
        return b"%c%c" % (code, len(raw)) + raw
    return b"X" + len(raw).to_bytes(4, "little") + raw


def _escaped(text: str) -> bytes:
    for character in "\\\0\n\r\x1a":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("raw-unicode-escape")
