"""Random patterns, rules and keys, nasty ones among them."""

from __future__ import annotations

from hypothesis import strategies as st

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
