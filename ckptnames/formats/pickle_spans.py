"""Which bytes of a pickle build which of its values: positions only, nothing is decoded.

The size of each opcode and its effect on the stack come from the tables of the standard library's `pickletools`.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

from ckptnames.errors import MalformedPickle, UneditablePickle


class Value:
    """A value on the stack, and the bytes that build it: from ``start`` until its neighbour starts or it is used."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int = 0) -> None:
        self.start = start
        self.end = end


class Definition:
    """A value kept under a number in the memo by the opcode in ``start:end``."""

    __slots__ = ("end", "number", "start", "value")

    def __init__(self, number: int, value: Value, start: int, end: int) -> None:
        self.number = number
        self.value = value
        self.start = start
        self.end = end


class Token(NamedTuple):
    """The opcode that pushes a string which is to change; ``code`` is the one that pushed it first."""

    value: Value
    end: int
    code: int


class Item(NamedTuple):
    """An item of a mapping: its key from ``start``, its value until ``value_end``, all that is its own until ``end``.

    ``opening`` and ``ending`` stand around key and value; ``closing`` is the opcode that puts this item alone.
    """

    start: int
    value_end: int
    end: int
    opening: bytes = b""
    ending: bytes = b""
    closing: bytes = b""


class Spans:
    """What one pass over a pickle finds."""

    def __init__(self) -> None:
        self.tokens: dict[int, Token] = {}
        self.items: dict[int, Item] = {}
        self.definitions: list[Definition] = []
        self.repeats: list[tuple[int, int, Definition]] = []
        """Where a kept value is pushed again: start and end of the opcode, and the definition."""
        self.numbered: list[tuple[int, int, int]] = []
        """Where a value is kept under the number that follows from its place: start, end, number."""
        self.frames: list[tuple[int, int]] = []
        self.fresh = 0
        """A number from which on the memo is unused."""
        self.reused: set[int] = set()
        """Numbers under which the memo keeps one value after another."""


def key_spans(data: bytes, positions: Collection[int], where: str = "") -> Spans:
    r"""Find the strings pushed at ``positions``, and where these are kept and repeated.

    >>> found = key_spans(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x07s.", {5})
    >>> found.tokens[5].end, found.definitions[0].number
    (11, 1)

    Raises ``corrupt-checkpoint`` for what is no pickle, ``cannot-edit-pickle`` for one that no pickler writes.
    """
    return _surveyed(_KeySurvey(data, positions, where))


def item_spans(data: bytes, positions: Collection[int], items: Collection[int], where: str = "") -> Spans:
    r"""Find the bytes of the items whose keys are pushed at ``items`` too, and of every value that is kept.

    >>> found = item_spans(b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x07s.", {5}, {5})
    >>> found.items[5].start, found.items[5].value_end, found.items[5].end
    (5, 13, 14)

    Raises what ``key_spans`` does.
    """
    return _surveyed(_ItemSurvey(data, positions, items, where))


# Opcodes


_LINE, _TWO_LINES, _COUNT_1, _COUNT_4, _COUNT_8 = -1, -2, -3, -4, -5
_SIZES = {
    pickletools.UP_TO_NEWLINE: _LINE,
    pickletools.TAKEN_FROM_ARGUMENT1: _COUNT_1,
    pickletools.TAKEN_FROM_ARGUMENT4: _COUNT_4,
    pickletools.TAKEN_FROM_ARGUMENT4U: _COUNT_4,
    pickletools.TAKEN_FROM_ARGUMENT8U: _COUNT_8,
}
_COUNTS = {_COUNT_1: struct.Struct("<B"), _COUNT_4: struct.Struct("<I"), _COUNT_8: struct.Struct("<Q")}

_PUSH, _PUT, _GET, _MARK, _FROM_MARK, _ADD, _ADD_FROM_MARK, _RARE = range(8)
_BY_NAME = {"MARK": _MARK, **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _PUT)}
_BY_NAME |= dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _GET)
_BY_NAME |= dict.fromkeys(("APPEND", "SETITEM", "BUILD"), _ADD)
_BY_NAME |= dict.fromkeys(("POP", "POP_MARK", "DUP", "PROTO", "FRAME", "STOP"), _RARE)


def _size(opcode: pickletools.OpcodeInfo) -> int:
    """Give the opcode's bytes with its argument, or how to find that out."""
    if opcode.arg is None:
        return 1
    if opcode.arg.name == "stringnl_noescape_pair":
        return _TWO_LINES
    return _SIZES[opcode.arg.n] if opcode.arg.n < 0 else 1 + opcode.arg.n


def _effect(opcode: pickletools.OpcodeInfo) -> tuple[int, int]:
    """Give the kind of the opcode, and how many values it takes."""
    before = opcode.stack_before
    if opcode.name in _BY_NAME:
        return _BY_NAME[opcode.name], len(before) - 1
    if pickletools.markobject in before:
        return (_FROM_MARK if before[0] is pickletools.markobject else _ADD_FROM_MARK), 0
    return _PUSH, len(before)


_TABLE = {ord(opcode.code): (_size(opcode), *_effect(opcode)) for opcode in pickletools.opcodes}

_POP, _POP_MARK, _DUP, _STOP = b"012."
_SETITEM, _SETITEMS, _APPEND, _DICT = b"suad"
_FRAME = 0x95


def _surveyed(survey: _Survey) -> Spans:
    try:
        survey.run()
    except (IndexError, KeyError, ValueError, struct.error) as fault:
        raise MalformedPickle(survey.where, f"{type(fault).__name__}: {fault}", survey.position) from None
    return survey.found


class _Survey:
    """One pass over a pickle."""

    def __init__(self, data: bytes, positions: Collection[int], where: str) -> None:
        self.data, self.positions, self.where = data, positions, where
        self.position = 0
        self.found = Spans()

    def run(self) -> None:
        """Read to STOP."""
        raise NotImplementedError

    def end_of(self, pos: int, size: int) -> int:
        """Give the end of an opcode whose argument says how long it is."""
        if size in _COUNTS:
            count = _COUNTS[size]
            return pos + 1 + count.size + int(count.unpack_from(self.data, pos + 1)[0])
        end = self.data.index(b"\n", pos) + 1
        return end if size == _LINE else self.data.index(b"\n", end) + 1

    def number(self, pos: int, end: int) -> int:
        """Give the memo's number that an opcode names."""
        argument = self.data[pos + 1 : end]
        return int(argument) if self.data[pos] in b"pg" else int.from_bytes(argument, "little")

    def number_kept(self, pos: int, end: int, memo: Collection[int]) -> int:
        """Give the number under which an opcode keeps a value, by name or by its place."""
        number = self.number(pos, end) if end > pos + 1 else len(memo)
        if end == pos + 1:
            self.found.numbered.append((pos, end, number))
        if number in memo:
            self.found.reused.add(number)
        self.found.fresh = max(self.found.fresh, number + 1)
        return number

    def define(self, number: int, value: Value, pos: int, end: int) -> Definition:
        """Note where a value is kept."""
        definition = Definition(number, value, pos, end)
        self.found.definitions.append(definition)
        return definition

    def pass_over(self, code: int, pos: int, end: int) -> None:
        """Look at an opcode that pushes nothing new."""
        if code == _FRAME:
            self.found.frames.append((pos, end))
        elif code == _DUP:
            raise UneditablePickle(self.where, "it repeats a value with DUP, as no pickler does")


class _KeySurvey(_Survey):
    """A pass that knows of the stack only whether a string was pushed just now."""

    def run(self) -> None:
        """Read to STOP."""
        data, positions = self.data, self.positions
        memo: dict[int, Definition | int] = {}
        token: Token | None = None
        pos = before = 0
        while data[pos] != _STOP:
            self.position = pos
            size, kind, _ = _TABLE[data[pos]]
            end = pos + size if size > 0 else self.end_of(pos, size)
            if kind == _PUT:
                number = self.number_kept(pos, end, memo)
                memo[number] = data[before]
                if token and token.value.end == pos:
                    token.value.end = end
                    memo[number] = self.define(number, token.value, pos, end)
            elif kind == _GET:
                kept = memo[self.number(pos, end)]
                if not isinstance(kept, int):
                    self.found.repeats.append((pos, end, kept))
                if pos in positions:
                    code = kept if isinstance(kept, int) else data[kept.value.start]
                    token = self.found.tokens[pos] = Token(Value(pos, end), end, code)
            elif pos in positions:
                token = self.found.tokens[pos] = Token(Value(pos, end), end, data[pos])
            elif kind == _RARE:
                self.pass_over(data[pos], pos, end)
            before, pos = pos, end


class _ItemSurvey(_Survey):
    """A pass with the stack of values, the marks and the memo."""

    def __init__(self, data: bytes, positions: Collection[int], items: Collection[int], where: str) -> None:
        super().__init__(data, positions, where)
        self.items = items
        self.stack: list[Value] = []
        self.marks: list[tuple[int, int]] = []
        self.memo: dict[int, Definition] = {}
        # A value that is popped was needed to build the one that follows: recursive tuples are written so.
        self.popped = (-1, 0)
        self.keys: dict[Value, int] = {}
        self.pairs: dict[Value, tuple[int, int]] = {}

    def run(self) -> None:
        """Read to STOP. The opcodes of which torch writes thousands stand first."""
        data, stack, positions = self.data, self.stack, self.positions
        pos = 0
        while True:
            self.position = pos
            code = data[pos]
            size, kind, takes = _TABLE[code]
            end = pos + size if size > 0 else self.end_of(pos, size)
            if kind == _PUSH:
                if takes:
                    taken = self.take(takes, pos)
                    stack.append(Value(taken[0].start))
                else:
                    stack.append(Value(self.start_at(pos)))
                    if pos in positions:
                        self.note_token(pos, end, code)
            elif kind == _GET:
                self.get(pos, end)
            elif kind == _PUT:
                number = self.number_kept(pos, end, self.memo)
                self.memo[number] = self.define(number, stack[-1], pos, end)
            elif kind == _MARK:
                self.marks.append((len(stack), self.start_at(pos)))
            elif kind == _FROM_MARK:
                taken, start = self.since_mark(pos)
                stack.append(Value(start))
                self.note_items(code, taken, end)
            elif kind != _RARE:
                taken = self.since_mark(pos)[0] if kind == _ADD_FROM_MARK else self.take(takes, pos)
                self.note_items(code, taken, end)
            elif code == _STOP:
                self.take(1, pos)
                return
            else:
                self.pass_over(code, pos, end)
            pos = end

    def start_at(self, pos: int) -> int:
        """Give the start of a value whose own opcode is at ``pos``."""
        return self.popped[1] if self.popped[0] == pos else pos

    def take(self, n: int, pos: int) -> list[Value]:
        """Take values off the stack, which are used at ``pos``."""
        taken = self.stack[-n:]
        if len(taken) < n:
            raise IndexError("the stack is empty")
        del self.stack[-n:]
        return self.closed(taken, pos)

    def since_mark(self, pos: int) -> tuple[list[Value], int]:
        """Take the values since the last mark, and give where that stands."""
        height, start = self.marks.pop()
        taken = self.stack[height:]
        del self.stack[height:]
        return self.closed(taken, pos), start

    def closed(self, taken: list[Value], pos: int) -> list[Value]:
        """Say of values that are used at ``pos`` where their bytes end."""
        for value, following in pairwise(taken):
            value.end = following.start
        if taken:
            taken[-1].end = pos
        return taken

    def get(self, pos: int, end: int) -> None:
        """Push what was kept."""
        definition = self.memo[self.number(pos, end)]
        self.stack.append(Value(self.start_at(pos)))
        self.found.repeats.append((pos, end, definition))
        if pos in self.positions:
            self.note_token(pos, end, self.data[definition.value.start])

    def pass_over(self, code: int, pos: int, end: int) -> None:
        """Pop, or pass over what does nothing to the stack."""
        if code == _POP_MARK or (code == _POP and self.marks and self.marks[-1][0] == len(self.stack)):
            self.popped = (end, self.since_mark(pos)[1])
        elif code == _POP:
            self.popped = (end, self.take(1, pos)[0].start)
        else:
            super().pass_over(code, pos, end)

    def note_token(self, pos: int, end: int, code: int) -> None:
        """Keep where a string that is to change is pushed."""
        self.found.tokens[pos] = Token(self.stack[-1], end, code)
        if pos in self.items:
            self.keys[self.stack[-1]] = pos

    def note_items(self, code: int, taken: list[Value], end: int) -> None:
        """Keep where items lie whose key is to change."""
        if code in (_SETITEM, _SETITEMS, _DICT):
            for key, value in zip(taken[::2], taken[1::2], strict=True):
                if key in self.keys:
                    item = Item(key.start, value.end, value.end)
                    if code == _SETITEM:
                        item = item._replace(end=end, closing=b"s")
                    self.found.items[self.keys.pop(key)] = item
        elif self.keys or self.pairs:
            self.note_pairs(code, taken, end)

    def note_pairs(self, code: int, taken: list[Value], end: int) -> None:
        """Keep where pairs lie: Python 2 wrote an ``OrderedDict`` as a list of lists of two."""
        for value in taken:
            if value in self.pairs:
                pos, value_end = self.pairs.pop(value)
                item = Item(value.start, value_end, value.end, b"](", b"e")
                if code == _APPEND:
                    item = item._replace(end=end, closing=b"a")
                self.found.items[pos] = item
        if len(taken) == 2 and taken[0] in self.keys and self.stack:
            self.pairs[self.stack[-1]] = (self.keys.pop(taken[0]), taken[1].end)
