"""The rule language read a second time, word by word and with no thought of speed: try every way, take the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from ckptnames.rules import Rule
from ckptnames.rules.arithmetic import evaluate, names_in
from ckptnames.rules.slots import Choice, Digits, Item, Literal, Members, Stars, Sum, Text

TOP = 40
"""No slot that is solved for is tried beyond this."""


class Refused(Exception):
    """The rule stops at this key with an error."""


class TooLarge(Exception):
    """A number in the key may need a slot beyond ``TOP``: what the rule does is not known here."""


class Way(dict[str, str]):
    """One way to match: text by slot name; sets by `set 0`, `set 1`; `**` by `** 0`, `** 1`; solved numbers too."""


def _dotted(items: Sequence[Item]) -> list[Item]:
    """Let every segment end in a dot, and `**` in that of its last segment."""
    found: list[Item] = []
    for item in items:
        if isinstance(item, Literal) and found and isinstance(found[-1], Stars):
            item = Literal(item.text[1:])
        found.append(item)
    return found if isinstance(found[-1], Stars) else [*found, Literal(".")]


def _starts(item: Item, text: str, way: Mapping[str, str]) -> list[str]:
    """What the item can stand for at the beginning of the text, the preferred first."""
    prefixes = [text[:n] for n in range(len(text) + 1)]
    if isinstance(item, Literal):
        return [t for t in prefixes if t == item.text]
    if isinstance(item, Stars):
        return [t for t in prefixes if t == "" or t.endswith(".")]
    if isinstance(item, Members):
        return sorted((t for t in item if t in prefixes), key=len, reverse=True)
    if isinstance(item, Sum):
        return [t for t in prefixes if t.isdigit()]
    if item.name in way:
        return [t for t in prefixes if t == way[item.name]]
    if isinstance(item, Choice):
        return sorted((t for t in item.texts if t in prefixes), key=len, reverse=True)
    if isinstance(item, Digits):
        high = 10**9 if item.high is None else item.high
        return [t for t in prefixes if t.isdigit() and item.low <= int(t) <= high]
    return [t for t in prefixes if t and "." not in t]


def _label(item: Item, way: Mapping[str, str]) -> str:
    if isinstance(item, Text | Digits | Choice):
        return item.name
    kind = "**" if isinstance(item, Stars) else "set" if isinstance(item, Members) else "sum"
    return f"{kind} {sum(name.startswith(kind) for name in way)}"


def ways(items: Sequence[Item], text: str, way: Way) -> Iterator[tuple[Way, str]]:
    """Give every way to match the beginning of a text, the preferred first, and what is left of the text."""
    if not items:
        yield way, text
        return
    for start in _starts(items[0], text, way):
        more = way if isinstance(items[0], Literal) else Way({**way, _label(items[0], way): start})
        yield from ways(items[1:], text[len(start) :], more)


def _solutions(rule: Rule, items: Sequence[Item], way: Way) -> list[Way]:
    sums = [item.expression for item in items if isinstance(item, Sum)]
    typed = {item.name: item for target in rule.targets for item in target.items if isinstance(item, Digits)}
    unknown = sorted({name for one in sums for name in names_in(one)} - way.keys())
    spans = [range(typed[name].low, 1 + (TOP if (high := typed[name].high) is None else high)) for name in unknown]
    known = {name: int(text) for name, text in way.items() if text.isdigit()}
    if unknown and any(int(text) > TOP // 2 - 2 for name, text in way.items() if name.startswith("sum ")):
        raise TooLarge
    found = []
    for numbers in product(*spans):
        values = {**known, **dict(zip(unknown, numbers, strict=True))}
        try:
            if all(evaluate(one, values) == int(way[f"sum {n}"]) for n, one in enumerate(sums)):
                found.append(Way({**way, **{name: str(values[name]) for name in unknown}}))
        except ZeroDivisionError:
            continue
    return found


def _first(rule: Rule, items: Sequence[Item], text: str, whole: bool) -> tuple[Way, str] | None:
    kinds = {item.name: item for item in items if isinstance(item, Digits | Choice)}
    typed = [kinds.get(item.name, item) if isinstance(item, Text) else item for item in items]
    for way, rest in ways(typed, text, Way()):
        solved = _solutions(rule, typed, way)
        if len(solved) == 1 and not (whole and rest):
            read = {name for item in typed if isinstance(item, Sum) for name in names_in(item.expression)}
            numbers = [way[name] for name in read if name in way] + [way[name] for name in way if name[:4] == "sum "]
            _check(numbers)
            return solved[0], rest
    return None


def _check(numbers: Sequence[str]) -> None:
    if any(text != str(int(text)) for text in numbers):
        raise Refused("leading zeros")


def _text(item: Item, source: Sequence[Item], way: Way, n_sets: int) -> str:
    if isinstance(item, Literal):
        return item.text
    if isinstance(item, Members):
        left = [other for other in source if isinstance(other, Members)][n_sets]
        return list(item)[list(left).index(way[f"set {n_sets}"])]
    if isinstance(item, Choice):
        (texts,) = {other.texts for other in source if isinstance(other, Choice) and other.name == item.name}
        return item.texts[texts.index(way[item.name])]
    if isinstance(item, Sum):
        names = names_in(item.expression)
        _check([way[name] for name in names])
        try:
            value = evaluate(item.expression, {name: int(way[name]) for name in names})
        except ZeroDivisionError:
            raise Refused("division by zero") from None
        if value < 0:
            raise Refused("negative")
        return str(value)
    assert isinstance(item, Text | Digits)
    return way[item.name]


def _built(items: Sequence[Item], source: Sequence[Item], way: Way, n_sets: int = 0) -> str:
    found = ""
    for item in items:
        found += _text(item, source, way, n_sets)
        n_sets += isinstance(item, Members)
    return found


def _whole(rule: Rule, key: str) -> list[str] | None:
    source = _dotted(rule.source.items)
    found = _first(rule, source, f"{key}.", whole=True)
    if found is None:
        return None
    results = []
    for target in rule.targets:
        text, n_stars, n_sets = "", 0, 0
        for item in _dotted(target.items):
            if isinstance(item, Stars):
                text += found[0][f"** {n_stars}"]
            else:
                text += _text(item, source, found[0], n_sets)
            n_stars += isinstance(item, Stars)
            n_sets += isinstance(item, Members)
        results.append(text)
    return results


def _everywhere(rule: Rule, key: str) -> list[str] | None:
    source = _dotted(rule.source.items)[1:-1]
    text, parts, first = f"{key}.", [], None
    targets = [_dotted(target.items) for target in rule.targets]
    cuts = [[n for n, item in enumerate(target) if isinstance(item, Stars)] for target in targets]
    while text:
        found = _first(rule, source, text, whole=False)
        if found is None:
            segment, _, text = text.partition(".")
            parts.append([f"{segment}."] * len(targets))
            continue
        way, text = found
        first = first or way
        middles = []
        for target, (a, b) in zip(targets, cuts, strict=True):
            n_sets = sum(isinstance(item, Members) for item in target[:a])
            middles.append(_built(target[a + 1 : b], source, way, n_sets))
        parts.append(middles)
    if first is None:
        return None
    results = []
    for n, (target, (a, b)) in enumerate(zip(targets, cuts, strict=True)):
        n_sets = sum(isinstance(item, Members) for item in target[:b])
        before, behind = _built(target[:a], source, first), _built(target[b + 1 :], source, first, n_sets)
        results.append(before + "".join(part[n] for part in parts) + behind)
    return results


def applied(rule: Rule, key: str) -> tuple[str, ...] | None:
    """Say what a rule makes of a key; ``None`` where it does not match. Raises ``Refused``, ``TooLarge``."""
    items = rule.source.items
    n_stars = sum(isinstance(item, Stars) for item in items)
    around = isinstance(items[0], Stars) and isinstance(items[-1], Stars) and items[1:-1] != (Literal("."),)
    found = _everywhere(rule, key) if n_stars == 2 and around else _whole(rule, key)
    if found is None or any(text in ("", ".") for text in found):
        return None
    return tuple(dict.fromkeys(text[:-1] for text in found))
