"""What a pattern is made of: literal text, ``**``, and the kinds of braces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ckptnames.rules.arithmetic import MAX_DIGITS, Expression

# Text that has a meaning of its own somewhere in a rule, or cannot be told from its surroundings in print.
_TO_QUOTE = re.compile(r'[\[\]&!"{}|#?\s]|->|\*\*|^---')
_TO_QUOTE_IN_BRACES = re.compile(r'[\[\]&!"{}|#?\s,:]|^[0-9]+-[0-9]+$|^$')

SLOT_NAME = re.compile(r"[a-z][a-z0-9_]*")
CANONICAL = re.compile(r"0|[1-9][0-9]*")
"""A decimal without leading zeros."""


def quoted(text: str) -> str:
    """Write literal text as a pattern holds it, in quotes only where it needs them.

    >>> quoted("layers.0.weight"), quoted("self connection.weight")
    ('layers.0.weight', '"self connection".weight')
    """
    if not text or ".." in text:
        return _in_quotes(text)
    return ".".join(_in_quotes(s) if _TO_QUOTE.search(s) or not s.isprintable() else s for s in text.split("."))


def _first_repeated(texts: Iterable[str]) -> str | None:
    return next((text for text, n in Counter(texts).items() if n > 1), None)


def _quoted_in_braces(text: str) -> str:
    return _in_quotes(text) if _TO_QUOTE_IN_BRACES.search(text) or not text.isprintable() else text


def _in_quotes(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=not text.isprintable())


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands for itself."""

    text: str

    def __str__(self) -> str:
        return quoted(self.text)


@dataclass(frozen=True, slots=True)
class Stars:
    """``**``: zero or more whole segments."""

    def __str__(self) -> str:
        return "**"


@dataclass(frozen=True, slots=True)
class Text:
    """``{p}``: on the left any text without a dot, on the right what the slot holds."""

    name: str

    def __str__(self) -> str:
        return "{" + self.name + "}"


@dataclass(frozen=True, slots=True)
class Digits:
    """``{i:d}`` or ``{j:0..11}``: ASCII digits, perhaps within a range."""

    name: str
    low: int = 0
    high: int | None = None

    def __str__(self) -> str:
        kind = "d" if self.high is None else f"{self.low}..{self.high}"
        return "{" + f"{self.name}:{kind}" + "}"

    def holds(self, digits: str) -> bool:
        """Tell whether these digits lie in the range."""
        if self.high is None:
            return True
        return len(digits) <= MAX_DIGITS and self.low <= int(digits) <= self.high


@dataclass(frozen=True, slots=True)
class Choice:
    """``{w:a|b}``: one of the texts; on the right the n-th stands for the n-th on the left."""

    name: str
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return "{" + self.name + ":" + "|".join(map(_quoted_in_braces, self.texts)) + "}"

    def repeated(self) -> str | None:
        """Give a text that stands twice, if one does."""
        return _first_repeated(self.texts)


Member = str | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Members:
    """``{q,k,v}`` or ``{0-2,4-31}``: a set without a name; sets of both sides pair by order of appearance."""

    members: tuple[Member, ...]

    def __str__(self) -> str:
        return "{" + ",".join(_member(member) for member in self.members) + "}"

    def __len__(self) -> int:
        return sum(1 if isinstance(m, str) else m[1] - m[0] + 1 for m in self.members)

    def __iter__(self) -> Iterator[str]:
        for member in self.members:
            if isinstance(member, str):
                yield member
            else:
                yield from map(str, range(member[0], member[1] + 1))

    def index(self, text: str) -> int | None:
        """Tell which member the text is, or ``None``.

        >>> Members(((0, 2), "x")).index("x")
        3
        """
        number = int(text) if len(text) <= MAX_DIGITS and CANONICAL.fullmatch(text) else None
        before = 0
        for member in self.members:
            if isinstance(member, str):
                if member == text:
                    return before
                before += 1
                continue
            low, high = member
            if number is not None and low <= number <= high:
                return before + number - low
            before += high - low + 1
        return None

    def repeated(self) -> str | None:
        """Give a text that stands twice, if one does.

        >>> Members(((0, 2), "x", "2")).repeated()
        '2'
        """
        spans = sorted(member for member in self.members if not isinstance(member, str))
        for before, after in pairwise(spans):
            if after[0] <= before[1]:
                return str(after[0])
        texts, ranges = texts_of(self), Members(tuple(spans))
        return next((text for text in texts if ranges.index(text) is not None), None) or _first_repeated(texts)

    def __getitem__(self, n: int) -> str:
        for member in self.members:
            if isinstance(member, str):
                if n == 0:
                    return member
                n -= 1
                continue
            low, high = member
            if n <= high - low:
                return str(low + n)
            n -= high - low + 1
        raise IndexError(n)


def _member(member: Member) -> str:
    return _quoted_in_braces(member) if isinstance(member, str) else f"{member[0]}-{member[1]}"


@dataclass(frozen=True, slots=True)
class Sum:
    """``{3*i+j+1}``: arithmetic; on the left it is solved, on the right computed."""

    expression: Expression

    def __str__(self) -> str:
        return "{" + str(self.expression) + "}"


def texts_of(item: object) -> tuple[str, ...]:
    """Give the texts that a choice or a set spells out; not the numbers of a range, which may be many."""
    if isinstance(item, Choice):
        return item.texts
    return tuple(m for m in item.members if isinstance(m, str)) if isinstance(item, Members) else ()


Item = Literal | Stars | Text | Digits | Choice | Members | Sum


def written(items: tuple[Item, ...]) -> str:
    """Write items as one side of a rule.

    >>> written((Literal("a b."), Text("p")))
    '"a b".{p}'
    """
    parts = [str(item) for item in items]
    # A dot at either end of a side is refused unquoted: it is nearly always a prefix that lacks its `**`.
    for at, is_dot in ((0, str.startswith), (-1, str.endswith)):
        item = items[at]
        if isinstance(item, Literal) and is_dot(item.text, "."):
            parts[at] = _in_quotes(item.text)
    return "".join(parts)
