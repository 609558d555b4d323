"""One side of a rule on its own: a pattern, what it matches, and what its slots hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckptnames.errors import KeyTooLong
from ckptnames.rules.arithmetic import names_in
from ckptnames.rules.lexer import Lexed, Line, items, trimmed
from ckptnames.rules.matching import Match, Matcher, TooManySteps, spelled
from ckptnames.rules.slots import Choice, Digits, Item, Literal, Members, Stars, Sum, Text, quoted, written

__all__ = ["Bindings", "Pattern", "quoted"]


class Bindings(NamedTuple):
    """What a pattern found in a key: text by slot name, and the texts of its sets and ``**`` in order."""

    slots: Mapping[str, str]
    sets: tuple[str, ...]
    stars: tuple[str, ...]


class Pattern:
    """A pattern of whole keys, such as ``layers.{0-3}.{p}``; immutable, equal where it is written alike.

    >>> Pattern.parse("layers.{i:d}.**").match("layers.3.attn.weight").slots
    {'i': '3'}
    >>> Pattern.parse("norm").match("layernorm") is None
    True
    """

    __slots__ = ("_matcher", "items")

    items: tuple[Item, ...]
    _matcher: Matcher | None

    def __init__(self, items: Sequence[Item]) -> None:
        object.__setattr__(self, "items", tuple(items))
        object.__setattr__(self, "_matcher", None)

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern; raises ``rule-syntax``."""
        line = Line(text, name="<pattern>")
        side = trimmed(text, 0, len(text))
        if side.start == side.end:
            raise line.error("an empty pattern", 0, 1, "write `**` for every key")
        lexed = items(line, side)
        check_source(line, lexed, {})
        return cls([found.item for found in lexed])

    @property
    def literal(self) -> str | None:
        """The one key that a pattern without slots and ``**`` stands for."""
        item = self.items[0]
        return item.text if len(self.items) == 1 and isinstance(item, Literal) else None

    @property
    def segments(self) -> list[str | Stars | None]:
        """The segments from left to right: literal text, ``**``, or ``None`` where a slot stands.

        >>> Pattern.parse("layers.{i:d}.**").segments
        ['layers', None, Stars()]
        """
        found: list[str | Stars | None] = [""]
        for item in self.items:
            if isinstance(item, Stars):
                found[-1] = item
            elif isinstance(item, Literal):
                first, *others = item.text.split(".")
                last = found[-1]
                if isinstance(last, str):
                    found[-1] = last + first
                found += others
            else:
                found[-1] = None
        return found

    def match(self, key: str) -> Bindings | None:
        """Give what the slots hold where the pattern matches the whole of ``key``, else ``None``.

        Raises ``key-too-long`` where a slot stands twice and the key is absurdly long.
        """
        matcher = self._matcher
        if matcher is None:
            matcher = Matcher(spelled(self.items), {})
            object.__setattr__(self, "_matcher", matcher)
        try:
            found = matcher.match(key + ".")
        except TooManySteps:
            raise KeyTooLong(str(self), key) from None
        return None if found is None else _bindings(matcher, found)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a pattern is immutable: '{name}' cannot be set")

    def __reduce__(self) -> tuple[type[Pattern], tuple[tuple[Item, ...]]]:
        return Pattern, (self.items,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __str__(self) -> str:
        return written(self.items)

    def __repr__(self) -> str:
        return f"Pattern.parse({str(self)!r})"


def _bindings(matcher: Matcher, found: Match) -> Bindings:
    slots = {name: found.texts[place] for name, place in matcher.places.items()}
    sets, stars = [], []
    for text, op in zip(found.texts, matcher.captures, strict=True):
        if isinstance(matcher.ops[op], Members):
            sets.append(text)
        elif isinstance(matcher.ops[op], Stars):
            stars.append(text.removesuffix("."))
    return Bindings(slots, tuple(sets), tuple(stars))


def check_source(line: Line, source: Sequence[Lexed], typed: Mapping[str, Digits]) -> None:
    """Refuse what cannot stand on the left; ``typed`` are the slots that get their type on the right.

    Raises ``rule-syntax``.
    """
    kinds: dict[str, Item] = {}
    for item, start, end in source:
        if isinstance(item, Digits | Choice) and kinds.setdefault(item.name, item) != item:
            raise line.error(f"slot '{item.name}' has two types", start, end, f"write {{{item.name}}} here")
        if isinstance(item, Choice | Members) and (twice := item.repeated()) is not None:
            raise line.error(f"'{twice}' stands twice in one set", start, end, "name each member once")
    for item, start, end in source:
        if isinstance(item, Text) and item.name in typed and item.name not in kinds:
            cure = f"give it its type here: {typed[item.name]}"
            raise line.error(f"slot '{item.name}' has its type on the right only", start, end, cure)
        if isinstance(item, Sum):
            _check_sum(line, Lexed(item, start, end), kinds, typed)


def _check_sum(line: Line, lexed: Lexed, kinds: Mapping[str, Item], typed: Mapping[str, Digits]) -> None:
    item, start, end = lexed
    assert isinstance(item, Sum)
    for name in sorted(names_in(item.expression)):
        if not isinstance(kinds.get(name) or typed.get(name), Digits):
            cure = f"write {{{name}:d}} or {{{name}:0..1}} where it stands alone"
            raise line.error(f"arithmetic over '{name}', which is no digit slot", start, end, cure)
