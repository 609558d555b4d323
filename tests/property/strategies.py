"""Random patterns, rules and keys, nasty ones among them."""

from __future__ import annotations

import re

from hypothesis import reject
from hypothesis import strategies as st

from ckptnames.errors import RuleSyntax
from ckptnames.rules import Pattern, Rule, Rules
from ckptnames.rules.arithmetic import Expression, Name, Number, Operation
from ckptnames.rules.ruleset import Stage
from ckptnames.rules.slots import Choice, Digits, Item, Literal, Members, Stars, Sum, Text

WORDS = ("a", "b", "ab", "0", "1", "10", "007", "weight", "q_proj")
NASTY = (
    *WORDS,
    *(
        "a b",
        "#",
        "a#b",
        "->",
        "{",
        "}",
        '"',
        "\\",
        "[0]",
        "a&b",
        "!drop",
        "!",
        "|",
        " | ",
        "**",
        "*",
        "a**",
        "?",
        "w?",
    ),
    *("---", "é", "\x1b", "\n", "\u2028", "名", "-", "0-3", "a,b", "x:d", "+", " ", "\ud800"),
)

words = st.sampled_from(WORDS)
nasty_segments = st.lists(st.sampled_from(NASTY), min_size=1, max_size=2).map("".join)
plain_keys = st.lists(st.sampled_from(("a", "b", "ab", "aa", "0", "1", "12", "01")), min_size=1, max_size=5).map(
    ".".join
)
nasty_keys = st.lists(nasty_segments, min_size=1, max_size=4).map(".".join)
key_sets = st.lists(plain_keys, max_size=12, unique=True)

_NAMES = ("i", "j", "p")


@st.composite
def _segment(draw: st.DrawFn, pieces: st.SearchStrategy[Item]) -> list[Item]:
    return draw(st.lists(pieces, min_size=1, max_size=3))


def _merged(segments: list[list[Item]]) -> tuple[Item, ...]:
    """Join segments with dots, and literal text that stands together."""
    found: list[Item] = []
    for n, segment in enumerate(segments):
        for item in [*([Literal(".")] if n else []), *segment]:
            last = found[-1] if found else None
            if isinstance(item, Literal) and isinstance(last, Literal):
                found[-1] = Literal(last.text + item.text)
            else:
                found.append(item)
    return tuple(found)


def _small_pieces() -> st.SearchStrategy[Item]:
    return st.one_of(
        st.sampled_from(("a", "b", "1")).map(Literal),
        st.sampled_from(_NAMES).map(Text),
        st.just(Digits("d")),
        st.just(Digits("e", 0, 1)),
        st.just(Choice("w", ("a", "ab", "a.b"))),
        st.sampled_from((Members(("a", "aa")), Members(((0, 2), "b")), Members(((0, 300),)))),
    )


@st.composite
def small_patterns(draw: st.DrawFn) -> Pattern:
    """Patterns over few letters, so that random keys match them in many ways."""
    stars: st.SearchStrategy[list[Item]] = st.just([Stars()])
    segments = st.one_of(_segment(_small_pieces()), stars)
    return Pattern(_merged(draw(st.lists(segments, min_size=1, max_size=4))))


def _expressions(names: list[str]) -> st.SearchStrategy[Expression]:
    leaves: st.SearchStrategy[Expression] = st.one_of(st.sampled_from(names).map(Name), st.integers(0, 20).map(Number))
    return st.recursive(
        leaves,
        lambda inner: st.builds(Operation, st.sampled_from(("+", "-", "*", "//", "%")), inner, inner),
        max_leaves=6,
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Rules of every kind, with text that needs quotes."""
    literal = nasty_segments.map(Literal)
    source_items: list[Item] = [
        Text("p"),
        Digits("i"),
        Digits("j", 0, 11),
        Choice("w", ("a", "b c")),
        Members(("q", "k")),
    ]
    bound = draw(st.lists(st.sampled_from(source_items), unique=True, max_size=4))
    n_stars = draw(st.integers(0, 2))
    stars: list[list[Item]] = [[Stars()] for _ in range(n_stars)]
    source = _merged(draw(_shuffled([*([item] for item in bound), *stars], literal)))
    targets = []
    for _ in range(draw(st.integers(1, 2))):
        items = list(stars)
        items += [[_on_the_right(item)] for item in bound]
        digits = [item.name for item in bound if isinstance(item, Digits)]
        if digits:
            expression = draw(_expressions(digits).filter(lambda e: isinstance(e, Operation)))
            if any(name in str(expression) for name in digits):
                items.append([Sum(expression)])
        targets.append(Pattern(_merged(draw(_shuffled(items, literal)))))
    action = draw(st.sampled_from(["", "", "", "!drop", "!open"]))
    right = action or " & ".join(dict.fromkeys(map(str, targets)))
    return Rule.parse(f"{Pattern(source)} -> {right}{draw(st.sampled_from(['', ' ?']))}")


def _on_the_right(item: Item) -> Item:
    if isinstance(item, Choice):
        return Choice(item.name, ("x", "y,z"))
    if isinstance(item, Members):
        return Members(("query", "0-3"))
    return Text(item.name) if isinstance(item, Text | Digits) else item


@st.composite
def _shuffled(draw: st.DrawFn, segments: list[list[Item]], literal: st.SearchStrategy[Literal]) -> list[list[Item]]:
    extra: list[list[Item]] = [[item] for item in draw(st.lists(literal, min_size=0 if segments else 1, max_size=3))]
    found: list[list[Item]] = draw(st.permutations([*segments, *extra]))
    return found


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    """Rules in stages, some of them named."""
    stage = st.builds(Stage, st.lists(rules(), min_size=1, max_size=3), st.sampled_from(["", "version 3", "2.0"]))
    return Rules(draw(st.lists(stage, max_size=3)))


_SIMPLE = (
    "a.** -> b.**",
    "a.** -> **",
    "** -> b.**",
    "b.** -> a.**",
    "**.a.** -> **.**",
    "**.a.** -> **.b.**",
    "{p}.a -> a.{p}",
    "{p}{r}.a -> {r}{p}.b",
    "{i:d}.{p} -> {p}.{i}",
    "a.{i:d} -> a.{i}1",
    "{w:a|b}.** -> {w:b|a}.**",
    "{a,b,ab} -> {b,ab,a}",
    "ab -> aa",
    "aa -> !drop",
    "b -> a & ab",
    "{i:d} -> {i}.{i}",
    "{p}.b -> a",
)

working_rules = st.lists(
    st.lists(st.sampled_from(_SIMPLE), min_size=1, max_size=3, unique=True).map("\n".join), min_size=1, max_size=2
).map(lambda stages: Rules.parse("\n---\n".join(stages)))
"""Rules over the letters of ``plain_keys``, so that they match."""

_SUMS = ("{i+1}", "{2*i+j}", "{i-1}", "{i//2}", "{i%2}", "{i+d}", "{j-i}", "{3-i}", "{i+e}")
_SETS = {"{a,aa,b}": "{a,b,c.d}", "{0-2,b}": "{3-5,c}"}
_BOUND = ("{p}", "{q}", "{d:d}", "{e:0..1}", "{w:a|ab|a.b|1}")
_TEXTS = ("a", "b", "1", "ab", "0")


@st.composite
def small_rules(draw: st.DrawFn) -> Rule:
    """Rules of every kind over few letters, so that the keys of ``crowded_keys`` match them in many ways."""
    pieces = st.one_of(st.sampled_from(_TEXTS), st.sampled_from((*_BOUND, *_SETS)), st.sampled_from(_SUMS))
    parts = st.one_of(st.lists(pieces, min_size=1, max_size=3).map("".join), st.just("**"))
    left = draw(st.lists(parts, min_size=1, max_size=4))
    targets = [_small_target(draw, left) for _ in range(draw(st.sampled_from((1, 1, 1, 2))))]
    try:
        return Rule.parse(f"{'.'.join(left)} -> {' & '.join(targets)}")
    except RuleSyntax:
        reject()


def _small_target(draw: st.DrawFn, left: list[str]) -> str:
    text = ".".join(left)
    parts = ["**"] * left.count("**")
    for name in "pqdew":
        if f"{{{name}}}" in text or f"{{{name}:" in text:
            parts += draw(st.sampled_from(([], [f"{{{name}}}"], [f"x{{{name}}}"], [f"{{{name}}}"] * 2)))
    if "{w:" in text:
        parts += draw(st.sampled_from(([], ["{w:a|x|y.z|b}"])))
    for name in "de":
        if f"{{{name}:" in text:
            sums = (f"{{{name}+1}}", f"{{{name}-1}}", f"{{5//{name}}}", f"x{{{name}%2}}")
            parts += draw(st.lists(st.sampled_from(sums), max_size=1))
    for name in "ij":
        if any(one in text and name in one for one in _SUMS):
            parts.append(f"{{{name}:{draw(st.sampled_from(('d', '0..1', '0..5')))}}}")
    parts = draw(st.permutations([*parts, *draw(st.lists(st.sampled_from(("a", "x")), max_size=1 if parts else 0))]))
    sets = re.findall("|".join(map(re.escape, _SETS)), text)
    for one in sets[: draw(st.integers(0, len(sets)))]:
        parts.append(_SETS[one])
    return ".".join(parts or ["a"])


_crowded_segments = st.sampled_from(("a", "b", "ab", "aa", "0", "1", "12", "01", "a1", "1b", "2", "ba1"))
crowded_keys = st.lists(_crowded_segments, min_size=1, max_size=5).map(".".join)


@st.composite
def small_rules_and_keys(draw: st.DrawFn, n_rules: int = 1) -> tuple[list[Rule], list[str]]:
    """Rules, and keys of which most match the left side of one."""
    found = [draw(small_rules()) for _ in range(n_rules)]
    keys = [_key_like(draw, draw(st.sampled_from(found)).source.items) for _ in range(4)]
    return found, [*keys, draw(crowded_keys), draw(crowded_keys)]


def _key_like(draw: st.DrawFn, items: tuple[Item, ...]) -> str:
    texts: dict[str, str] = {}
    parts = [_text_like(draw, item, texts) for item in items]
    return re.sub(r"\.\.+", ".", "".join(parts)).strip(".") or "a"


def _text_like(draw: st.DrawFn, item: Item, texts: dict[str, str]) -> str:
    if isinstance(item, Literal):
        return item.text
    if isinstance(item, Stars):
        return draw(st.one_of(st.just(""), crowded_keys))
    if isinstance(item, Choice | Members):
        return draw(st.sampled_from(item.texts if isinstance(item, Choice) else tuple(item)))
    if isinstance(item, Text) and item.name in texts:
        return texts[item.name]
    drawn = draw(
        _crowded_segments if isinstance(item, Text) else st.sampled_from(("0", "1", "2", "3", "7", "12", "01"))
    )
    if isinstance(item, Text):
        texts[item.name] = drawn
    return drawn


_SIDES = ("a", "b", "{p}", "a{p}", "{i:d}", "{w:a|b}", "{a,b}", "**")


@st.composite
def exchanges(draw: st.DrawFn) -> Rules:
    """Rules whose right sides are left sides in another order: many can be undone for every key, others seem so."""
    sides = draw(st.lists(st.lists(st.sampled_from(_SIDES), min_size=1, max_size=3), min_size=1, max_size=3))
    others = draw(st.one_of(st.permutations(sides), st.lists(st.sampled_from(sides), min_size=3, max_size=3)))
    turned = {"{w:a|b}": "{w:b|a}", "{a,b}": "{b,a}"}
    lines = [f"{'.'.join(a)} -> {'.'.join(turned.get(s, s) for s in b)}" for a, b in zip(sides, others, strict=False)]
    try:
        return Rules.parse("\n".join(lines))
    except RuleSyntax:
        reject()
