"""The state of a run of the pickle machine: stack, marks, memo, and how far it may go."""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple, NoReturn

from ckptnames.errors import PickleLimit
from ckptnames.formats.symbols import ORDERED_DICT, Dict, Global, Mapping, Object, PersistentId, Text

Buffer = bytes | bytearray | memoryview | mmap.mmap


class Limits(NamedTuple):
    """How much of a pickle is read before it is refused. torch writes about 40 opcodes for a tensor."""

    opcodes: int = 16_000_000
    pickle_bytes: int = 512 << 20
    integer_bytes: int = 1024
    names: int = 10_000
    """Different classes and functions. A checkpoint names some dozens."""
    name_characters: int = 4096
    traced_characters: int = 256 << 20
    """Strings that a traced run may copy where the pickle repeats one that it kept."""


LIMITS = Limits()


class Malformed(Exception):
    """The bytes do not make a pickle, for the reason given."""


class CutShort(Malformed):
    """The bytes end where the pickle goes on."""


class Machine:
    """The stack, marks and memo of one run."""

    __slots__ = (
        "copied",
        "data",
        "end",
        "filled",
        "globals",
        "limits",
        "marks",
        "memo",
        "outside",
        "position",
        "stack",
        "start",
        "traced",
        "where",
    )

    def __init__(self, data: Buffer, start: int, limits: Limits, traced: bool, where: str) -> None:
        self.data = data
        self.start = start
        self.position = start
        self.end = min(len(data), start + limits.pickle_bytes)
        self.limits = limits
        self.traced = traced
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}
        self.outside: list[PersistentId] = []
        self.filled: set[Global] = set()
        self.copied = 0

    def refuse_length(self, end: int) -> NoReturn:
        """Say why the pickle cannot reach ``end``: the file is cut short, or the pickle is beyond its limit."""
        if end > len(self.data):
            raise CutShort(f"it needs {end - self.start:,} bytes, {len(self.data) - self.start:,} are there")
        raise PickleLimit(self.where, "bytes", self.limits.pickle_bytes, end - self.start)

    def refuse_opcodes(self) -> NoReturn:
        """Say that there are too many opcodes."""
        raise PickleLimit(self.where, "opcodes", self.limits.opcodes, self.limits.opcodes + 1)

    def again(self, text: Text, start: int, end: int) -> Text:
        """Push a string once more from other bytes, within what a traced run may copy."""
        self.copied += len(text)
        if self.copied > self.limits.traced_characters:
            raise PickleLimit(self.where, "repeated characters", self.limits.traced_characters, self.copied)
        return Text.at(text, start, end)

    def take(self, start: int, length: int) -> bytes:
        """Give ``length`` bytes of the pickle, all of which must be there."""
        if start + length > self.end:
            self.refuse_length(start + length)
        return bytes(self.data[start : start + length])

    def line(self, start: int) -> bytes:
        """Give the bytes up to the next newline, which is not included."""
        size = 256
        while True:
            window = bytes(self.data[start : min(start + size, self.end)])
            at = window.find(b"\n")
            if at >= 0:
                return window[:at]
            if start + size >= self.end:
                self.refuse_length(self.end + 1)
            size *= 8

    def push_text(self, text: str, start: int, end: int) -> int:
        """Push a string, traced where asked; give the position after its opcode."""
        self.stack.append(Text.at(text, start, end) if self.traced else text)
        return end

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last MARK off the stack."""
        mark = self.marks.pop()
        taken = self.stack[mark:]
        del self.stack[mark:]
        return taken

    def named(self, module: str, name: str) -> Global:
        """Give the one global of that name."""
        known = self.globals.get((module, name))
        if known is None:
            if len(self.globals) >= self.limits.names:
                raise PickleLimit(self.where, "names of classes", self.limits.names, len(self.globals) + 1)
            if len(module) + len(name) > self.limits.name_characters:
                limit = self.limits.name_characters
                raise PickleLimit(self.where, "characters in the name of a class", limit, len(module) + len(name))
            known = ORDERED_DICT if (module, name) == ("collections", "OrderedDict") else Global(module, name)
            self.globals[module, name] = known
        return known

    def refer(self, value: Any) -> PersistentId:
        """Make a reference to something outside the pickle."""
        reference = PersistentId(value)
        self.outside.append(reference)
        return reference

    def call(self, function: Any, args: Any) -> Any:
        """Record a call. Only ``collections.OrderedDict`` means something here."""
        if not isinstance(args, tuple):
            raise Malformed(f"a call has {type(args).__name__} for its arguments")
        if function is ORDERED_DICT:
            return self.ordered_dict(args)
        return Object(function, args)

    def ordered_dict(self, args: tuple[Any, ...]) -> Any:
        """Make an ``OrderedDict``; Python 2 gave its items as one list of pairs."""
        made = Dict("OrderedDict")
        if args:
            pairs = args[0]
            if not isinstance(pairs, list):
                return Object(ORDERED_DICT, args)
            for pair in pairs:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    return Object(ORDERED_DICT, args)
                made.put(pair[0], pair[1])
        return made

    def mapping(self) -> Mapping:
        """Give the top of the stack where items can be put into it."""
        target = self.stack[-1]
        if not isinstance(target, Mapping):
            raise Malformed(f"items are put into {described(target)}")
        if isinstance(target, Object):
            self.note_filled(target)
        return target

    def note_filled(self, target: Object) -> None:
        """Note the class of an instance that gets its content item by item, as a ``defaultdict`` does."""
        if isinstance(target.cls, Global):
            self.filled.add(target.cls)


def described(value: Any) -> str:
    """Name the kind of a value, for a message."""
    return "a global" if isinstance(value, Global) else f"a {type(value).__name__}"
