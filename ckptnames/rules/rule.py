"""One rule: a source pattern and what becomes of the keys that it matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from ckptnames.errors import BadArithmetic, KeyTooLong
from ckptnames.rules.arithmetic import Interval
from ckptnames.rules.building import ArithmeticFault, Template, index_of
from ckptnames.rules.checks import checked
from ckptnames.rules.lexer import Line, Span, bare, items, sides, targets, trimmed
from ckptnames.rules.matching import Match, Matcher, TooManySteps, prefix_of, spelled
from ckptnames.rules.pattern import Pattern
from ckptnames.rules.slots import Item, Stars, quoted

DROP = "!drop"
OPEN = "!open"


class Rule:
    """A source pattern and its targets; immutable, equal where it is written alike.

    >>> rule = Rule.parse("layers.{i:d}.** -> blocks.{i+1}.**")
    >>> rule.apply("layers.0.weight"), rule.apply("head.weight")
    (('blocks.1.weight',), None)
    """

    __slots__ = ("_program", "_ranges", "action", "line", "name", "optional", "source", "targets")

    source: Pattern
    targets: tuple[Pattern, ...]
    action: str
    """``!drop``, ``!open``, or empty where there are targets."""
    optional: bool
    """True where the line ends in ``?``: it may match nothing."""
    line: int
    name: str
    _program: Program | None
    _ranges: Mapping[str, Interval]

    @classmethod
    def parse(cls, text: str, line: int = 1, name: str = "<rules>") -> Rule:
        """Read one line, without its comment; raises ``rule-syntax``."""
        where = Line(text, line, name)
        outline = bare(text)
        left, right = sides(where, outline)
        optional = outline[right.end - 1] == "?"
        if optional:
            right = trimmed(text, right.start, right.end - 1)
        source = items(where, left)
        action = _action(where, right)
        built = [] if action else [items(where, span) for span in targets(where, outline, right)]
        ranges = checked(where, source, built)
        rule = cls.__new__(cls)
        rule._set(
            source=Pattern([found.item for found in source]),
            targets=tuple(Pattern([found.item for found in side]) for side in built),
            action=action,
            optional=optional,
            line=line,
            name=name,
            _ranges=ranges,
            _program=None,
        )
        return rule

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def where(self) -> str:
        """File and line, as in ``llama.rules:4``."""
        return f"{self.name}:{self.line}"

    def apply(self, key: str) -> tuple[str, ...] | None:
        """Give the keys that ``key`` becomes, none where it is dropped or open; ``None`` where the rule does not match.

        Raises ``bad-arithmetic``, ``key-too-long``.
        """
        try:
            return self.program.run(key)
        except TooManySteps:
            raise KeyTooLong(str(self.source), key) from None
        except ArithmeticFault as fault:
            keep = f"{quoted(key)} -> {quoted(key)}"
            raise BadArithmetic(self.where, str(self), key, fault.expression, fault.reason, keep) from None

    @property
    def program(self) -> Program:
        """The compiled rule."""
        program = self._program
        if program is None:
            program = _compiled(self, self._ranges)
            self._set(_program=program)
        return program

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a rule is immutable: '{name}' cannot be set")

    def __reduce__(self) -> tuple[object, ...]:
        return Rule.parse, (str(self), self.line, self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self._written() == other._written()

    def __hash__(self) -> int:
        return hash(self._written())

    def _written(self) -> tuple[object, ...]:
        return self.source, self.targets, self.action, self.optional

    def __str__(self) -> str:
        target = self.action or " & ".join(map(str, self.targets))
        return f"{self.source} -> {target}{' ?' if self.optional else ''}"

    def __repr__(self) -> str:
        return f"Rule.parse({str(self)!r})"


def _action(line: Line, right: Span) -> str:
    text = line.text[right.start : right.end]
    if not text:
        cure = "write a target pattern, or `!drop`, before the `?`"
        raise line.error("nothing stands after '->'", right.start, right.start + 1, cure)
    if text in (DROP, OPEN):
        return text
    if text.startswith("!"):
        cure = "write `!drop` to leave keys out, `!open` for what is not decided; quote a literal '!'"
        raise line.error(f"'{text}' is no action", right.start, right.end, cure)
    return ""


class Program:
    """A compiled rule."""

    def run(self, key: str) -> tuple[str, ...] | None:
        """Give what the key becomes, or ``None``."""
        raise NotImplementedError


class _Whole(Program):
    """The pattern matches the whole key, once."""

    def __init__(self, rule: Rule, ranges: Mapping[str, Interval]) -> None:
        self.matcher = Matcher(spelled(rule.source.items), ranges)
        self.templates = [Template(spelled(target.items), self.matcher) for target in rule.targets]

    def run(self, key: str) -> tuple[str, ...] | None:
        found = self.matcher.match(key + ".")
        if found is None:
            return None
        _check_indices(self.matcher, found)
        return _keys([template.build(found) for template in self.templates])


class _Prefix(Program):
    """``a.** -> b.**``: one prefix for another, which needs no search."""

    def __init__(self, source: str, targets: Sequence[str]) -> None:
        self.source, self.targets = source, targets
        self.first = source.partition(".")[0] or None

    def run(self, key: str) -> tuple[str, ...] | None:
        text = key + "."
        if not text.startswith(self.source):
            return None
        rest = text[len(self.source) :]
        return _keys([target + rest for target in self.targets])


class _Everywhere(Program):
    """``**.X.**``: every occurrence of ``X`` becomes what stands between the two ``**`` of the target."""

    def __init__(self, rule: Rule, ranges: Mapping[str, Interval]) -> None:
        inner = spelled(rule.source.items)[1:-1]
        self.matcher = Matcher(inner, ranges)
        self.targets = [self._split(spelled(target.items)) for target in rule.targets]

    def _split(self, items: Sequence[Item]) -> list[Template]:
        """Compile what stands before, between and behind the two ``**``."""
        first, second = (n for n, item in enumerate(items) if isinstance(item, Stars))
        sets = count()
        pieces = items[:first], items[first + 1 : second], items[second + 1 :]
        return [Template(piece, self.matcher, sets) for piece in pieces]

    def run(self, key: str) -> tuple[str, ...] | None:
        text = key + "."
        found: list[tuple[int, Match]] = []
        at = 0
        while one := self.matcher.find(text, at):
            _check_indices(self.matcher, one[1])
            found.append(one)
            at = one[1].end
        if not found:
            return None
        return _keys([self._build(text, found, target) for target in self.targets])

    def _build(self, text: str, found: Sequence[tuple[int, Match]], target: Sequence[Template]) -> str:
        before, between, behind = target
        parts, at = [before.build(found[0][1])], 0
        for start, match in found:
            parts += [text[at:start], between.build(match)]
            at = match.end
        return "".join([*parts, text[at:], behind.build(found[0][1])])


def _compiled(rule: Rule, ranges: Mapping[str, Interval]) -> Program:
    prefix, *others = [prefix_of(spelled(pattern.items)) for pattern in (rule.source, *rule.targets)]
    known = [other for other in others if other is not None]
    if prefix is not None and len(known) == len(others):
        return _Prefix(prefix, known)
    found = spelled(rule.source.items)
    n_stars = sum(isinstance(item, Stars) for item in found)
    around = len(found) > 2 and isinstance(found[0], Stars) and isinstance(found[-1], Stars)
    return _Everywhere(rule, ranges) if around and n_stars == 2 else _Whole(rule, ranges)


def _keys(texts: Sequence[str]) -> tuple[str, ...] | None:
    """Take the closing dots off; a rule that would leave an empty key does not match."""
    if "" in texts or "." in texts:
        return None
    return (texts[0][:-1],) if len(texts) == 1 else tuple(dict.fromkeys([text[:-1] for text in texts]))


def _check_indices(matcher: Matcher, found: Match) -> None:
    for place, expression in matcher.solved_from.items():
        index_of(found.texts[place], expression)
