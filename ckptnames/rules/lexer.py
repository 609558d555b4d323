"""The text of a rule, cut up: comment, arrow, sides, and the items of a side with their places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ckptnames.errors import RuleSyntax
from ckptnames.rules.arithmetic import MAX_DIGITS, NotArithmetic, names_in, parse_expression
from ckptnames.rules.slots import (
    CANONICAL,
    SLOT_NAME,
    Choice,
    Digits,
    Item,
    Literal,
    Member,
    Members,
    Stars,
    Sum,
    Text,
)

_QUOTE = r'"(?:[^"\\]|\\.)*"'
_PROTECTED = re.compile(
    rf'{_QUOTE}|\{{(?:{_QUOTE}|[^"{{}}])*\}}|(?P<comment>(?:^|(?<=\s))#.*)|(?P<unclosed>".*)', re.DOTALL
)
_PLAIN = re.compile(r'[^"{}\[\]&!|*]+')
_PIECE = re.compile(rf"{_QUOTE}|[^\"]")
_TYPED = re.compile(rf"\s*({SLOT_NAME.pattern})\s*:(.*)", re.DOTALL)
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_SPAN = re.compile(rf"({CANONICAL.pattern})-({CANONICAL.pattern})")

_ARROW_HELP = "write `source pattern -> target pattern`, with a space on both sides of the arrow"
_BRACES_HELP = "write {p} for text, {i:d} for digits, {w:a|b} or {q,k,v} for a choice; slot names are of a-z, 0-9, _"
_QUOTE_HELP = 'put literal text that has such characters in quotes, as in `"{}".weight`'


class Line(NamedTuple):
    """A line of a rule file, with what an error needs to say where."""

    text: str
    number: int = 1
    name: str = "<rules>"

    def error(self, found: str, start: int, end: int, help: str) -> RuleSyntax:
        """Compose the error for the characters from ``start`` to ``end``."""
        if end <= start:
            end = start + 1
        return RuleSyntax(found, name=self.name, line=self.number, text=self.text, start=start, end=end, help=help)


class Lexed(NamedTuple):
    """An item and where it stands in its line."""

    item: Item
    start: int
    end: int


class Span(NamedTuple):
    """A part of a line, without spaces around it."""

    start: int
    end: int


def bare(text: str) -> str:
    """Blank out quotes and braces, so that what is left can be searched; a comment is cut off.

    >>> bare('"a -> b".{x} -> c  # why')
    '\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00.\\x00\\x00\\x00 -> c  '
    """
    parts, at = [], 0
    for found in _PROTECTED.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        if found.lastgroup:
            return "".join([*parts, found["unclosed"] or ""])
        parts.append("\0" * (at - found.start()))
    return "".join([*parts, text[at:]])


def trimmed(text: str, start: int, end: int) -> Span:
    """Leave the spaces at both ends of a part out."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return Span(start, end)


def sides(line: Line, outline: str) -> tuple[Span, Span]:
    """Find the two sides of a rule in its ``bare`` outline."""
    arrows = list(re.finditer(r"(?:^|(?<=\s))->(?=\s|$)", outline))
    if not arrows:
        at = outline.find("->")
        if at >= 0:
            raise line.error("the arrow needs a space on both sides", at, at + 2, _ARROW_HELP)
        _check_closed(line, outline)
        span = trimmed(outline, 0, len(outline))
        raise line.error("there is no ' -> ' in this rule", *span, _ARROW_HELP)
    if len(arrows) > 1:
        found = arrows[1]
        raise line.error("a second arrow", *found.span(), "write one rule a line; '->' in a key stands in quotes")
    _check_closed(line, outline)
    start, end = arrows[0].span()
    left, right = trimmed(outline, 0, start), trimmed(outline, end, len(outline))
    if left.start == left.end:
        raise line.error("nothing stands before '->'", start, end, _ARROW_HELP)
    if right.start == right.end:
        cure = "write a target pattern, or `!drop` to leave these keys out"
        raise line.error("nothing stands after '->'", start, end, cure)
    return left, right


def _check_closed(line: Line, outline: str) -> None:
    for sign, word in (('"', "quote"), ("{", "brace")):
        at = outline.find(sign)
        if at >= 0:
            close = '"' if sign == '"' else "}"
            end = re.compile(r"\s|$").search(outline, at)
            stop = end.start() if end else len(outline)
            raise line.error(f"this {word} is not closed", at, stop, f"close it with {close}")


def targets(line: Line, outline: str, side: Span) -> list[Span]:
    """Split a right side at ``&``."""
    cuts = [m.span() for m in re.finditer(r"(?<=\s)&(?=\s|$)", outline[: side.end]) if m.start() >= side.start]
    starts = [side.start, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), side.end]
    found = [trimmed(line.text, start, end) for start, end in zip(starts, ends, strict=True)]
    for span in found:
        if span.start == span.end:
            raise line.error("a target is missing beside '&'", *side, "write `a -> b & c` for two names of one tensor")
    return found


def items(line: Line, side: Span) -> list[Lexed]:
    """Cut a side into items; literal text that stands together is one item."""
    found: list[Lexed] = []
    for lexed in _pieces(line, side):
        last = found[-1] if found else None
        if last and isinstance(last.item, Literal) and isinstance(lexed.item, Literal):
            found[-1] = Lexed(Literal(last.item.text + lexed.item.text), last.start, lexed.end)
        else:
            found.append(lexed)
    for n, lexed in enumerate(found):
        if isinstance(lexed.item, Stars):
            _check_stars(line, found, n)
    if all(isinstance(lexed.item, Literal) and not lexed.item.text for lexed in found):
        raise line.error("an empty name", *side, "write the key that is meant")
    return [lexed for lexed in found if lexed.item != Literal("")]


def _check_stars(line: Line, found: list[Lexed], n: int) -> None:
    before = found[n - 1].item if n else Literal(".")
    after = found[n + 1].item if n + 1 < len(found) else Literal(".")
    ours = isinstance(before, Literal) and before.text.endswith(".")
    if ours and isinstance(after, Literal) and after.text.startswith("."):
        return
    lexed = found[n]
    cure = "put dots around `**`, as in `module.**`; a slot such as {p} stands for a part of a segment"
    raise line.error("'**' stands for whole segments only", lexed.start, lexed.end, cure)


def _pieces(line: Line, side: Span) -> Iterator[Lexed]:
    text, (at, end) = line.text, side
    while at < end:
        sign = text[at]
        if sign == '"':
            lexed = _quote(line, at, end)
        elif sign == "{":
            lexed = _braces(line, at, end)
        elif text.startswith("**", at, end):
            lexed = Lexed(Stars(), at, at + 2)
        elif sign in "[]&!}" or (sign == "|" and text[at - 1 : at + 2] == " | "):
            raise line.error(f"'{sign}' is reserved", at, at + 1, _QUOTE_HELP.format(sign))
        else:
            plain = _PLAIN.match(text, at + 1, end)
            lexed = Lexed(Literal(text[at : plain.end() if plain else at + 1]), at, plain.end() if plain else at + 1)
            _check_dots(line, lexed, side)
        yield lexed
        at = lexed.end


def _check_dots(line: Line, lexed: Lexed, side: Span) -> None:
    """Refuse an empty segment outside quotes: it is nearly always a slip."""
    text, start, end = line.text, lexed.start, lexed.end
    cure = 'write `module.**` for a prefix; an empty segment that is meant stands in quotes, as in `"a..b"`'
    for at in (text.find("..", start, end), text.find("..", max(side.start, start - 1), start + 1)):
        if at >= 0:
            raise line.error("an empty segment", at, at + 2, cure)
    if start == side.start and text[start] == ".":
        raise line.error("an empty segment", start, start + 1, cure)
    if end == side.end and text[end - 1] == ".":
        raise line.error("an empty segment", end - 1, end, cure)


def _quote(line: Line, start: int, limit: int) -> Lexed:
    from json import JSONDecodeError, JSONDecoder

    try:
        text, end = JSONDecoder().raw_decode(line.text[:limit], start)
    except JSONDecodeError as error:
        at = min(max(error.pos, start), limit - 1)
        cure = r"quotes follow JSON: `\"` for a quote, `\\` for a backslash, `\u00e9` for a code point"
        raise line.error("this quote is not closed or has a wrong escape", start, at + 1, cure) from None
    return Lexed(Literal(text), start, end)


def _braces(line: Line, start: int, limit: int) -> Lexed:
    found = _PROTECTED.match(line.text, start, limit)
    if found is None:
        raise line.error("this brace is not closed", start, limit, "close it with }")
    inside = Span(start + 1, found.end() - 1)
    return Lexed(_slot(line, inside), start, found.end())


def _slot(line: Line, inside: Span) -> Item:
    content = line.text[inside.start : inside.end]
    if not content.strip():
        raise line.error("nothing stands in these braces", inside.start - 1, inside.end + 1, _BRACES_HELP)
    typed = _TYPED.fullmatch(content)
    if typed:
        return _typed(line, inside, typed[1], inside.start + typed.start(2))
    if _range_of(content.strip()) or len(list(_split(line.text, inside, ","))) > 1:
        return _set(line, inside)
    if SLOT_NAME.fullmatch(content.strip()):
        return Text(content.strip())
    try:
        expression = parse_expression(content)
    except NotArithmetic as error:
        start = inside.start + error.start
        raise line.error(str(error), start, inside.start + error.end, _BRACES_HELP) from None
    if not names_in(expression):
        raise line.error("arithmetic without a slot", inside.start - 1, inside.end + 1, "write the number itself")
    return Sum(expression)


def _typed(line: Line, inside: Span, name: str, at: int) -> Item:
    kind = trimmed(line.text, at, inside.end)
    text = line.text[kind.start : kind.end]
    if text == "d":
        return Digits(name)
    within = _RANGE.fullmatch(text)
    if within:
        if max(map(len, within.groups())) > MAX_DIGITS or int(within[1]) > int(within[2]):
            raise line.error("a range that holds no index", *kind, "write the smaller number first, as in {j:0..11}")
        return Digits(name, int(within[1]), int(within[2]))
    parts = list(_split(line.text, Span(at, inside.end), "|"))
    if len(parts) < 2:
        cure = "write {i:d} for digits, {j:0..11} for a range, {w:a|b} for a choice of texts"
        raise line.error(f"'{text}' is no kind of slot", kind.start, kind.end, cure)
    return Choice(name, tuple(_member_text(line, part) for part in parts))


def _set(line: Line, inside: Span) -> Members:
    members: list[Member] = []
    for part in _split(line.text, inside, ","):
        members.append(_range_of(line.text[part.start : part.end]) or _member_text(line, part))
    return Members(tuple(members))


def _range_of(member: str) -> tuple[int, int] | None:
    """Read a member such as ``4-31``; anything but two indices in their order is text."""
    found = _SPAN.fullmatch(member)
    if found is None or max(map(len, found.groups())) > MAX_DIGITS:
        return None
    low, high = int(found[1]), int(found[2])
    return (low, high) if low < high else None


def _split(text: str, inside: Span, sign: str) -> Iterator[Span]:
    start = inside.start
    for piece in _PIECE.finditer(text, inside.start, inside.end):
        if piece[0] == sign:
            yield trimmed(text, start, piece.start())
            start = piece.end()
    yield trimmed(text, start, inside.end)


def _member_text(line: Line, part: Span) -> str:
    """Read a choice or a member: plain text, quotes, or both."""
    found, at = "", part.start
    while at < part.end:
        if line.text[at] == '"':
            lexed = _quote(line, at, part.end)
            found += str(lexed.item.text) if isinstance(lexed.item, Literal) else ""
            at = lexed.end
            continue
        if line.text[at] in "[]&!|":
            raise line.error(f"'{line.text[at]}' is reserved", at, at + 1, _QUOTE_HELP.format(line.text[at]))
        found += line.text[at]
        at += 1
    if not found:
        raise line.error("an empty choice", part.start - 1, part.end + 1, "leave it out: a slot is never empty")
    return found
