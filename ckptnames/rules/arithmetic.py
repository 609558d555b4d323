"""Arithmetic between indices: ``3*i+j+1``, its value, and the slots that give a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_DIGITS = 18
"""Longer digit strings are text: no model has that many layers, and arithmetic on them could be made slow."""

UNBOUNDED = 10**MAX_DIGITS - 1
_MOST_TOKENS = 100
_WIDEST_SEARCH = 10_000
_MOST_STEPS = 20_000
_MOST_ROUNDS = 20

_TOKEN = re.compile(r"\s*(?:([0-9]+)|([a-z][a-z0-9_]*)|(//|[-+*%()]))")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2, "%": 2}


@dataclass(frozen=True, slots=True)
class Number:
    """An integer as written."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Name:
    """The number that a slot holds."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Operation:
    """Two expressions and ``+ - * // %`` between them."""

    sign: str
    left: Expression
    right: Expression

    def __str__(self) -> str:
        level = _PRECEDENCE[self.sign]
        return _nested(self.left, level) + self.sign + _nested(self.right, level + 1)


Expression = Number | Name | Operation
Interval = tuple[int, int]


def _nested(part: Expression, level: int) -> str:
    loose = isinstance(part, Operation) and _PRECEDENCE[part.sign] < level
    return f"({part})" if loose else str(part)


class NotArithmetic(ValueError):
    """The text is no expression: ``start`` and ``end`` tell which part of it, and the message why."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start, self.end = start, end


def parse_expression(text: str) -> Expression:
    """Read an expression; raises ``NotArithmetic``.

    >>> str(parse_expression("(i + 1) * 2"))
    '(i+1)*2'
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0

    def whole(self) -> Expression:
        found = self.sum(1)
        if self.at < len(self.tokens):
            raise self.unexpected()
        return found

    def sum(self, level: int) -> Expression:
        found = self.sum(level + 1) if level < 2 else self.factor()
        while self.at < len(self.tokens) and _PRECEDENCE.get(self.tokens[self.at][0]) == level:
            sign = self.tokens[self.at][0]
            self.at += 1
            found = Operation(sign, found, self.sum(level + 1) if level < 2 else self.factor())
        return found

    def factor(self) -> Expression:
        if self.at == len(self.tokens):
            raise self.unexpected()
        token = self.tokens[self.at][0]
        if token in _PRECEDENCE or token == ")":
            raise self.unexpected()
        self.at += 1
        if token != "(":
            return Number(int(token)) if token.isdigit() else Name(token)
        found = self.sum(1)
        if self.at == len(self.tokens) or self.tokens[self.at][0] != ")":
            raise self.unexpected()
        self.at += 1
        return found

    def unexpected(self) -> NotArithmetic:
        if self.at == len(self.tokens):
            return NotArithmetic("the arithmetic stops too early", 0, len(self.text))
        token, start = self.tokens[self.at]
        return NotArithmetic(f"'{token}' cannot stand here", start, start + len(token))


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    at, n_tokens = 0, 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise NotArithmetic(f"'{text[at]}' cannot stand in braces", at, at + 1)
        token = found[found.lastindex or 0]
        start = found.start(found.lastindex or 0)
        n_tokens += 1
        if n_tokens > _MOST_TOKENS or (token.isdigit() and len(token) > MAX_DIGITS):
            raise NotArithmetic("the arithmetic is too long", start, found.end())
        yield token, start
        at = found.end()


def names_in(expression: Expression) -> set[str]:
    """Name the slots of an expression."""
    if isinstance(expression, Operation):
        return names_in(expression.left) | names_in(expression.right)
    return {expression.name} if isinstance(expression, Name) else set()


def evaluate(expression: Expression, values: Mapping[str, int]) -> int:
    """Compute an expression; raises ``ZeroDivisionError``.

    >>> evaluate(parse_expression("3*i+1"), {"i": 2})
    7
    """
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Name):
        return values[expression.name]
    left, right = evaluate(expression.left, values), evaluate(expression.right, values)
    if expression.sign == "+":
        return left + right
    if expression.sign == "-":
        return left - right
    if expression.sign == "*":
        return left * right
    return left // right if expression.sign == "//" else left % right


def is_solvable(expression: Expression, unknown: set[str]) -> bool:
    """Tell whether ``solve`` can take the expression apart: no two unknowns are multiplied, none divides."""
    if not isinstance(expression, Operation):
        return True
    left, right = names_in(expression.left) & unknown, names_in(expression.right) & unknown
    if expression.sign in ("//", "%") and right:
        return False
    if expression.sign == "*" and left and right:
        return False
    return is_solvable(expression.left, unknown) and is_solvable(expression.right, unknown)


def solve(equations: Sequence[tuple[Expression, int]], ranges: Mapping[str, Interval]) -> dict[str, int] | None:
    """Find the one assignment within ``ranges`` under which every expression has its value; ``None`` if not just one.

    >>> solve([(parse_expression("3*i+j+1"), 5)], {"i": (0, UNBOUNDED), "j": (0, 1)})
    {'i': 1, 'j': 1}
    """
    search = _Search(equations)
    search.explore(dict(ranges))
    return search.found[0] if len(search.found) == 1 and not search.given_up else None


class _Search:
    """Narrow the ranges as far as the equations allow, then try what is left; two solutions end it."""

    def __init__(self, equations: Sequence[tuple[Expression, int]]) -> None:
        self.equations = equations
        self.found: list[dict[str, int]] = []
        self.steps = 0
        self.given_up = False

    def explore(self, ranges: dict[str, Interval]) -> None:
        self.steps += 1
        if not self.narrowed(ranges):
            return
        free = [name for name, (low, high) in ranges.items() if low < high]
        if not free:
            self.check({name: low for name, (low, _) in ranges.items()})
            return
        name = min(free, key=lambda n: ranges[n][1] - ranges[n][0])
        low, high = ranges[name]
        if high - low > _WIDEST_SEARCH or self.steps > _MOST_STEPS:
            self.given_up = True
            return
        for value in range(low, high + 1):
            if self.given_up or len(self.found) > 1:
                return
            self.explore({**ranges, name: (value, value)})

    def check(self, values: dict[str, int]) -> None:
        try:
            if all(evaluate(expression, values) == value for expression, value in self.equations):
                self.found.append(values)
        except ZeroDivisionError:
            pass

    def narrowed(self, ranges: dict[str, Interval]) -> bool:
        for _ in range(_MOST_ROUNDS):
            before = dict(ranges)
            if not all(_narrow(expression, (value, value), ranges) for expression, value in self.equations):
                return False
            if ranges == before:
                break
        return True


def _narrow(expression: Expression, within: Interval, ranges: dict[str, Interval]) -> bool:
    """Take from ``ranges`` what cannot give a value ``within``; false if nothing can."""
    low, high = within
    if isinstance(expression, Number):
        return low <= expression.value <= high
    if isinstance(expression, Name):
        known_low, known_high = ranges[expression.name]
        ranges[expression.name] = low, high = max(low, known_low), min(high, known_high)
        return low <= high
    left, right = expression.left, expression.right
    l_low, l_high = _hull(left, ranges)
    r_low, r_high = _hull(right, ranges)
    if expression.sign == "+":
        return _narrow(left, (low - r_high, high - r_low), ranges) and _narrow(
            right, (low - l_high, high - l_low), ranges
        )
    if expression.sign == "-":
        return _narrow(left, (low + r_low, high + r_high), ranges) and _narrow(
            right, (l_low - high, l_high - low), ranges
        )
    if expression.sign == "*":
        if r_low != r_high:
            left, right, r_low = right, left, l_low
        return _narrow_product(left, r_low, within, ranges)
    return _narrow_division(expression, r_low, within, ranges)


def _narrow_product(factor: Expression, times: int, within: Interval, ranges: dict[str, Interval]) -> bool:
    low, high = within
    if times == 0:
        return low <= 0 <= high
    if times < 0:
        low, high, times = -high, -low, -times
    return _narrow(factor, (-(-low // times), high // times), ranges)


def _narrow_division(expression: Operation, by: int, within: Interval, ranges: dict[str, Interval]) -> bool:
    low, high = within
    if by <= 0:
        return False
    if expression.sign == "//":
        return _narrow(expression.left, (low * by, high * by + by - 1), ranges)
    return low < by and high >= 0


def _hull(expression: Expression, ranges: Mapping[str, Interval]) -> Interval:
    """Give an interval that holds every value the expression can have."""
    if isinstance(expression, Number):
        return expression.value, expression.value
    if isinstance(expression, Name):
        return ranges[expression.name]
    a, b = _hull(expression.left, ranges)
    c, d = _hull(expression.right, ranges)
    if expression.sign == "+":
        return a + c, b + d
    if expression.sign == "-":
        return a - d, b - c
    if expression.sign == "*":
        corners = (a * c, a * d, b * c, b * d)
        return min(corners), max(corners)
    if c <= 0:
        return -UNBOUNDED, UNBOUNDED
    return (a // d if a >= 0 else a // c, max(b // c, b // d)) if expression.sign == "//" else (0, d - 1)
