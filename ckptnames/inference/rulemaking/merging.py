"""Several rules in one line: those that differ in one place become a choice, ``w{p:q|k|v}`` to ``{p:q|k|v}_proj``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ckptnames.errors import RuleError
from ckptnames.rules.rule import Rule
from ckptnames.rules.slots import Choice

_DOT = re.compile(r"\.(?![^{]*\})")
_HOLE = "\0"
_NAMES = "pqrstuvwxyz"
_LONGEST = 116
_SHORT = 3

Segments = tuple[str, ...]


class _Frame(NamedTuple):
    """A rule without one run of segments on each side; ``right`` has no hole where its targets are the same."""

    left: Segments
    right: Segments


def merged(rules: Sequence[Rule], is_right: Callable[[Sequence[Rule], Sequence[Rule]], bool]) -> list[Rule]:
    """Put rules together as long as what they do stays right, told by ``is_right`` of all rules and those that changed.

    >>> rules = [Rule.parse("a.wq -> b.q_proj"), Rule.parse("a.wk -> b.k_proj")]
    >>> merged(rules, lambda *_: True)
    [Rule.parse('a.w{p:q|k} -> b.{p:q|k}_proj')]
    """
    found = list(rules)
    refused: set[tuple[str, ...]] = set()
    while True:
        for frame, holes in _groups(found):
            members = tuple(str(rule) for rule, _, _ in holes)
            rule = None if members in refused else _together(frame, [(left, right) for _, left, right in holes])
            if rule is None:
                continue
            places = [number for number, other in enumerate(found) if any(other is member for member, _, _ in holes)]
            left = [other for number, other in enumerate(found) if number not in places]
            tried = ([*left[:at], rule, *left[at:]] for at in dict.fromkeys((places[0], places[-1] - len(places) + 1)))
            changed = [rule, *(member for member, _, _ in holes)]
            better = next((rules for rules in tried if is_right(rules, changed)), None)
            if better is not None:
                found = better
                break
            refused.add(members)
        else:
            return found


Hole = tuple[Rule, str, str]


def _groups(rules: Sequence[Rule]) -> list[tuple[_Frame, list[Hole]]]:
    """Give the frames that several rules share, those of most rules first, as many rules as fit into a line."""
    by_frame: defaultdict[_Frame, list[Hole]] = defaultdict(list)
    for rule in rules:
        for frame, left, right in _frames(rule):
            by_frame[frame].append((rule, left, right))
    found = []
    for frame, holes in by_frame.items():
        distinct = list({left: hole for hole in holes for left in hole[1:2]}.values())
        fitting = _fitting(frame, distinct)
        if len(fitting) > 1:
            found.append((frame, fitting))
    return sorted(found, key=lambda item: (-len(item[1]), sum(len(left) + len(right) for _, left, right in item[1])))


def _fitting(frame: _Frame, holes: Sequence[Hole]) -> list[Hole]:
    """Take as many holes as fit into a line, once what they share is written once."""
    length = sum(map(len, (*frame.left, *frame.right))) + len(frame.left) + len(frame.right) + 12
    texts = [left for _, left, _ in holes], [right for _, _, right in holes]
    shared = [_shared(side) if len(holes) > 1 else ("", "") for side in texts]
    length += sum(len(head) + len(tail) for head, tail in shared)
    fitting = []
    for hole in holes:
        own = (len(text) - sum(map(len, ends)) for text, ends in zip((hole[1], hole[2]), shared, strict=True))
        length += sum(max(0, n) for n in own) + 2
        if length > _LONGEST:
            break
        fitting.append(hole)
    return fitting


def _frames(rule: Rule) -> Iterator[tuple[_Frame, str, str]]:
    text = str(rule)
    before, arrow, after = text.partition(" -> ")
    if '"' in text or "&" in text or not arrow:
        return
    ours, theirs = tuple(_DOT.split(before)), tuple(_DOT.split(after))
    rights = list(_spans(theirs)) if not rule.action else []
    for left, hole in _spans(ours):
        yield _Frame(left, theirs), hole, ""
        for right, other in rights:
            yield _Frame(left, right), hole, other


def _spans(segments: Segments) -> Iterator[tuple[Segments, str]]:
    """Cut out each run of segments that are plain text."""
    for start in range(len(segments)):
        for end in range(start + 1, len(segments) + 1):
            if any(sign in segments[end - 1] for sign in "{*"):
                break
            yield (*segments[:start], _HOLE, *segments[end:]), ".".join(segments[start:end])


def _together(frame: _Frame, holes: Sequence[tuple[str, str]]) -> Rule | None:
    taken = set(re.findall(r"\{([a-z]+)", ".".join((*frame.left, *frame.right))))
    name = next((name for name in _NAMES if name not in taken), None)
    if name is None or not _is_one_thing(frame, holes):
        return None
    before = _filled(frame.left, name, [left for left, _ in holes])
    after = _filled(frame.right, name, [right for _, right in holes])
    try:
        return Rule.parse(f"{before} -> {after}")
    except RuleError:
        return None


def _is_one_thing(frame: _Frame, holes: Sequence[tuple[str, str]]) -> bool:
    """Tell whether rules have any text in common: a list of unrelated modules is hard to read."""
    if frame.left[0] != _HOLE or any(segment not in (_HOLE, "**") for segment in (*frame.left, *frame.right)):
        return True
    return any(any(_shared(texts)) for texts in zip(*holes, strict=True))


def _filled(segments: Segments, name: str, texts: Sequence[str]) -> str:
    if _HOLE not in segments:
        return ".".join(segments)
    if len(set(texts)) == 1:
        return ".".join(segments).replace(_HOLE, texts[0])
    head, tail = _shared(texts)
    middle = tuple(text[len(head) : len(text) - len(tail)] for text in texts)
    return ".".join(segments).replace(_HOLE, f"{head}{Choice(name, middle)}{tail}")


def _shared(texts: Sequence[str]) -> tuple[str, str]:
    """Give what all texts begin with and end with, in whole words unless only a letter or two differ.

    >>> _shared(["attention.wq", "attention.wk"]), _shared(["input_layer_norm", "inner_norm"])
    (('attention.w', ''), ('', '_norm'))
    """
    head = _common(texts)
    tail = _common([text[len(head) :][::-1] for text in texts])[::-1]
    if max(len(text) - len(head) - len(tail) for text in texts) > _SHORT or head[-1:].isdigit() or tail[:1].isdigit():
        head, tail = _to_word(head), _to_word(tail[::-1])[::-1]
    if any(len(text) <= len(head) + len(tail) for text in texts):
        return "", ""
    return head, tail


def _common(texts: Sequence[str]) -> str:
    shortest, longest = min(texts), max(texts)
    n = 0
    while n < len(shortest) and shortest[n] == longest[n]:
        n += 1
    return shortest[:n]


def _to_word(text: str) -> str:
    """Cut text off after its last dot, slash or underscore."""
    return text[: max(map(text.rfind, "./_")) + 1]
