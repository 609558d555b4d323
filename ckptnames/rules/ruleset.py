"""Rules in their order and stages: reading and writing a rule file, and deciding a key."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ckptnames.errors import RuleSyntax, UnknownRulesVersion, UnreadableRules
from ckptnames.rules.lexer import bare
from ckptnames.rules.rule import OPEN, Rule
from ckptnames.rules.slots import Literal

VERSION = "1"

# One word, or a number with anything behind it: `# ckptnames rules for llama` is a comment like any other.
_HEADER = re.compile(r"#\s*ckptnames rules\s+(\S+(?=\s*$)|[0-9]\S*)")


class Stage:
    """Rules that see the same keys; the first that matches decides a key, once."""

    def __init__(self, rules: Iterable[Rule] = (), name: str = "") -> None:
        self.rules = tuple(rules)
        self.name = name
        self._plain: dict[str, list[int]] = {}
        self._by_segment: dict[str, list[tuple[int, str, str]]] = {}
        """The rules whose pattern has this segment, each under its rarest, with text that the key must hold and with
        text that it must end with."""
        self._others: list[tuple[int, str, str]] = []
        n_rules = Counter(segment for rule in self.rules for segment in _literal_segments(rule))
        for n, rule in enumerate(self.rules):
            if rule.source.literal is not None:
                self._plain.setdefault(rule.source.literal, []).append(n)
                continue
            rarest = min(_literal_segments(rule), key=n_rules.__getitem__, default=None)
            found = self._others if rarest is None else self._by_segment.setdefault(rarest, [])
            found.append((n, _longest_literal(rule), _last_literal(rule)))

    def decide(self, key: str) -> tuple[Rule, tuple[str, ...]] | None:
        """Give the rule that decides the key and what it becomes; ``None`` where it passes through."""
        for rule in self.candidates(key):
            names = rule.apply(key)
            if names is not None:
                return rule, names
        return None

    def candidates(self, key: str) -> list[Rule]:
        """Give the rules in their order, without most of those whose literal text is not in the key."""
        found = [n for n, text, end in self._others if text in key and key.endswith(end)]
        if key in self._plain:
            found += self._plain[key]
        by_segment = self._by_segment
        if by_segment:
            for segment in {*key.split(".")}:
                if segment in by_segment:
                    found += [n for n, text, end in by_segment[segment] if text in key and key.endswith(end)]
        rules = self.rules
        return [rules[n] for n in sorted(found)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and (self.rules, self.name) == (other.rules, other.name)

    def __hash__(self) -> int:
        return hash((self.rules, self.name))

    def __repr__(self) -> str:
        return f"Stage({list(self.rules)!r}, {self.name!r})"


def _literal_segments(rule: Rule) -> list[str]:
    return list(dict.fromkeys(segment for segment in rule.source.segments if isinstance(segment, str)))


def _longest_literal(rule: Rule) -> str:
    # `**` takes a dot beside it with it where it is empty.
    return max((item.text.strip(".") for item in rule.source.items if isinstance(item, Literal)), key=len, default="")


def _last_literal(rule: Rule) -> str:
    last = rule.source.segments[-1]
    return last if isinstance(last, str) else ""


class Step(NamedTuple):
    """A rule that decided a name, in which stage (counted from 0), and the name as it stood before."""

    stage: int
    rule: Rule
    key: str


class Fate(NamedTuple):
    """What becomes of a key under one name: ``name`` is ``None`` where it is left out; ``steps`` say who decided."""

    name: str | None
    steps: tuple[Step, ...] = ()
    is_open: bool = False
    """True where the last rule says ``!open``; the name is then the one that is not decided yet."""

    @property
    def where(self) -> str:
        """The last line that decided, as in ``llama.rules:4``; ``identity`` where none did."""
        return self.steps[-1].rule.where if self.steps else "identity"

    def after(self, stage: int) -> str | None:
        """Give the name as the stage, counted from 0, leaves it."""
        return next((step.key for step in self.steps if step.stage > stage), self.name)

    def decided_by(self, stage: int) -> str:
        """Give the last line that decided up to the stage, as ``where`` does."""
        return self._replace(steps=tuple(step for step in self.steps if step.stage <= stage)).where


class Rules:
    """An ordered set of rules in stages. Immutable; ``Rules.parse(str(rules)) == rules``.

    >>> rules = Rules.parse("module.** -> **")
    >>> rules("module.fc.weight"), rules("fc.weight")
    ('fc.weight', 'fc.weight')
    """

    __slots__ = ("name", "stages")

    stages: tuple[Stage, ...]
    name: str
    """Where the rules come from, for messages."""

    def __init__(self, stages: Iterable[Stage] = (), name: str = "<rules>") -> None:
        # A stage without rules and without a name changes nothing and cannot be written down.
        object.__setattr__(self, "stages", tuple(stage for stage in stages if stage.rules or stage.name))
        object.__setattr__(self, "name", name)

    @classmethod
    def parse(cls, text: str, name: str = "<rules>") -> Rules:
        """Read rules, one a line.

        Raises ``rule-syntax`` with the place, ``rules-version`` for a version other than 1.

        >>> len(Rules.parse("q -> k  # swap" + chr(10) + "k -> q"))
        2
        """
        lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        header = _HEADER.match(lines[0])
        if header and header[1] != VERSION:
            raise UnknownRulesVersion(name, header[1])
        stages: list[tuple[str, list[Rule]]] = [("", [])]
        for number, line in enumerate(lines, 1):
            outline = bare(line).rstrip()
            if not outline.strip():
                continue
            if outline == "---" or outline.startswith("--- "):
                stages.append((_stage_name(line, outline, number, name), []))
            else:
                stages[-1][1].append(Rule.parse(line, number, name))
        return cls([Stage(rules, title) for title, rules in stages], name)

    @classmethod
    def load(cls, path: str | Path) -> Rules:
        """Read a rule file in UTF-8, or a recipe that comes with ckptnames.

        Raises ``unreadable-rules``, ``unknown-recipe``, and what ``parse`` raises.

        >>> Rules.load("recipe:layer-norm")("encoder.LayerNorm.gamma")
        'encoder.LayerNorm.weight'
        """
        if str(path).startswith("recipe:"):
            from ckptnames.rules.recipes import PREFIX, recipe_named

            return recipe_named(str(path).removeprefix(PREFIX)).rules
        try:
            text = Path(path).read_bytes().decode("utf-8")
        except OSError as error:
            raise UnreadableRules(path, error.strerror or str(error)) from error
        except UnicodeDecodeError as error:
            raise UnreadableRules(path, f"byte {error.start} is not UTF-8") from error
        return cls.parse(text, name=str(path))

    def __call__(self, key: str) -> str | None:
        """Give the key that ``key`` becomes, the first of several; ``None`` where it is dropped.

        A key that a rule leaves open keeps the name it has. Raises ``bad-arithmetic``.
        """
        names = self.targets(key)
        return names[0] if names else None

    def targets(self, key: str) -> tuple[str, ...]:
        """Give every key that ``key`` becomes: none where it is dropped, two for ``a -> b & c``.

        >>> Rules.parse("embed.w -> embed.w & head.w").targets("embed.w")
        ('embed.w', 'head.w')
        """
        names: tuple[str, ...] = (key,)
        for stage in self.stages:
            if len(names) > 1:
                return tuple(dict.fromkeys([fate.name for fate in self.fates(key) if fate.name is not None]))
            found = stage.decide(names[0])
            if found is None:
                continue
            rule, after = found
            if rule.action == OPEN:
                return names
            if not after:
                return ()
            names = after
        return names

    def fates(self, key: str) -> tuple[Fate, ...]:
        """Say what becomes of a key and which lines decide it: one fate for each name, or the one that leaves it out.

        >>> fate, = Rules.parse("a.** -> b.**", name="x.rules").fates("a.w")
        >>> fate.name, fate.where
        ('b.w', 'x.rules:1')
        """
        fates = [Fate(key)]
        for number, stage in enumerate(self.stages):
            if len(fates) == 1:
                fates = _decided(stage, number, fates[0])
            else:
                fates = [after for fate in fates for after in _decided(stage, number, fate)]
        return tuple(fates)

    def inverse(self, keys: Iterable[str] | None = None) -> Rules:
        """Give the rules that undo these, proved on ``keys``; without keys, only what holds for every key set.

        Raises ``not-invertible`` with the line that loses information.

        >>> print(Rules.parse("a.** -> b.**").inverse(["a.w"]), end="")
        b.** -> a.**
        """
        from ckptnames.rules.inverse import inverse

        return inverse(self, keys)

    def __iter__(self) -> Iterator[Rule]:
        return (rule for stage in self.stages for rule in stage.rules)

    def __len__(self) -> int:
        return sum(len(stage.rules) for stage in self.stages)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"rules are immutable: '{name}' cannot be set")

    def __reduce__(self) -> tuple[object, ...]:
        return Rules, (self.stages, self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and self.stages == other.stages

    def __hash__(self) -> int:
        return hash(self.stages)

    def __str__(self) -> str:
        lines: list[str] = []
        for number, stage in enumerate(self.stages):
            if number or stage.name:
                lines.append(f"--- {stage.name}".rstrip())
            lines += map(str, stage.rules)
        return "".join(f"{line}\n" for line in lines)

    def __repr__(self) -> str:
        return f"Rules.parse({str(self)!r})"


def _decided(stage: Stage, number: int, fate: Fate) -> list[Fate]:
    if fate.name is None or fate.is_open:
        return [fate]
    found = stage.decide(fate.name)
    if found is None:
        return [fate]
    rule, names = found
    steps = (*fate.steps, Step(number, rule, fate.name))
    if rule.action == OPEN:
        return [Fate(fate.name, steps, is_open=True)]
    if not names:
        return [Fate(None, steps)]
    return [Fate(name, steps) for name in names]


def _stage_name(line: str, outline: str, number: int, name: str) -> str:
    title = line[3 : len(outline)].strip()
    if "\0" not in outline and "->" not in outline:
        return title
    raise RuleSyntax(
        "'---' begins a stage, not a rule",
        name=name,
        line=number,
        text=line,
        start=0,
        end=3,
        help="write `--- name` with a plain name; a key that begins with `---` stands in quotes",
    )
