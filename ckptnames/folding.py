"""Many keys as few patterns, for people to read: ``layers.{0-31}.attn.{q,k,v}_proj.weight``.

A key is cut into *atoms*: its indices, also those inside words (``conv1``), and the words between them. From the last
atom to the first, patterns that differ in one atom only become one pattern with a set in that place. Each such step
joins disjoint sets of keys, so that a pattern stands for exactly the keys it was made from, never for one more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import product
from math import prod
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from ckptnames.rules.slots import Item, Literal, Member, Members, written

_MAX_WORDS_WIDTH = 48
"""A set of words wider than this is a wall of text, and is shown as two patterns."""

_MAX_KEY = 1000
"""A key longer than this stands alone: each of its atoms would be cut off a string of its length."""

_EMPTY_KEY = '""'
"""The one key that fold can show and no rule can name."""

_INDEX = re.compile(r"((?<![0-9])(?:0|[1-9][0-9]{0,17})(?![0-9]))")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Label = TypeVar("Label", bound=Hashable)


class Group(NamedTuple, Generic[Label]):
    """A pattern, how many keys it stands for, and what all of them have in common."""

    pattern: str
    n_keys: int
    label: Label


_Box = tuple[str, int, int]
"""A pattern in the making: the head, not yet cut into atoms; the chain behind it; the number of its first key."""


def fold(items: Iterable[tuple[str, Label]]) -> list[Group[Label]]:
    """Group distinct keys into patterns; all keys of a pattern have the same label.

    The patterns stand in the order in which their first keys came, and paste into a rule. Together they stand for
    every key once; ``expand`` gives them back.

    >>> fold([("fc.weight", 2), ("layer.0.bias", 1), ("layer.1.bias", 1)])
    [Group(pattern='fc.weight', n_keys=1, label=2), Group(pattern='layer.{0,1}.bias', n_keys=2, label=1)]
    """
    chains = _Chains[Label]()
    boxes: list[_Box] = [(key, chains.ending_in(label), n) for n, (key, label) in enumerate(items)]
    done = [(n, chains.groups(key, chain)) for key, chain, n in boxes if len(key) > _MAX_KEY]
    if done:
        boxes = [box for box in boxes if len(box[0]) <= _MAX_KEY]
    while boxes:
        # A chain that one box alone has joins with nothing any more; a box whose head is used up has such a chain.
        n_with = Counter(map(itemgetter(1), boxes))
        if 1 in n_with.values():
            done += [(first, chains.groups(head, chain)) for head, chain, first in boxes if n_with[chain] == 1]
            boxes = [box for box in boxes if n_with[box[1]] > 1]
        boxes = _one_atom_further(boxes, chains)
    done.sort(key=itemgetter(0))
    return [group for _, groups in done for group in groups]


def expand(pattern: str) -> Iterator[str]:
    """Give the keys that a pattern made by ``fold`` stands for.

    >>> list(expand("layers.{0-2}.{q,k}_proj"))[:3]
    ['layers.0.q_proj', 'layers.0.k_proj', 'layers.1.q_proj']

    Raises ``rule-syntax``, and ``ValueError`` where the pattern has slots or ``**``.
    """
    from ckptnames.rules.pattern import Pattern  # Who folds seldom unfolds.

    if pattern == _EMPTY_KEY:
        return iter([""])
    return map("".join, product(*map(_texts, Pattern.parse(pattern).items)))


def _texts(item: Item) -> Iterable[str]:
    if isinstance(item, Members):
        return item
    if isinstance(item, Literal):
        return (item.text,)
    raise ValueError(f"'{item}' stands for more keys than can be listed")


def spans(numbers: Iterable[int]) -> tuple[Member, ...]:
    """Write numbers as the members of a set: three or more in a row as a range.

    >>> str(Members(spans([0, 1, 2, 5, 7, 8])))
    '{0-2,5,7,8}'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    found: list[Member] = []
    for run in runs:
        found += [(run[0], run[-1])] if len(run) > 2 else map(str, run)
    return tuple(found)


def _one_atom_further(boxes: list[_Box], chains: _Chains[Label]) -> list[_Box]:
    """Move the last atom of each head to its chain, and join the boxes that differ in this atom only."""
    atoms: dict[str, tuple[str, str, int]] = {}
    joined: dict[tuple[str, str, int], tuple[int, list[str]]] = {}
    for text, chain, first in boxes:
        head, joint, segment = text.rpartition(".")
        found = atoms.get(segment)
        if found is None:
            found = atoms[segment] = _last_atom(segment)
        atom, kind, cut = found
        if cut:
            head, joint = text[:-cut], "+"
        place = head, (joint or "^") + kind, chain
        same_place = joined.get(place)
        if same_place is None:
            joined[place] = first, [atom]
        else:
            same_place[1].append(atom)
    return [
        (head, chains.linked(members, kind, chain), first) for (head, kind, chain), (first, members) in joined.items()
    ]


def _last_atom(segment: str) -> tuple[str, str, int]:
    """Give the last atom of a segment, its kind, and how much to cut off when that is not the whole segment.

    Atoms join only with atoms of their kind.

    >>> _last_atom("conv1"), _last_atom("weight")
    (('1', 'index', 1), ('weight', 'word', 0))
    """
    atom = next((text for text in reversed(_INDEX.split(segment)) if text), "")
    cut = len(atom) if len(atom) < len(segment) else 0
    if _INDEX.fullmatch(atom):
        return atom, "index", cut
    # What a set cannot hold unquoted is a kind of its own, and so joins with nothing.
    return atom, "word" if _WORD.fullmatch(atom) else f"text {atom}", cut


class _Link(NamedTuple):
    """One place of a pattern: what may stand there, its kind, and the number of the chain that follows.

    The kind opens with ``^`` at the start of the key, ``.`` at the start of another segment, and ``+`` inside one.
    """

    members: list[str]
    kind: str
    then: int


class _Chains(Generic[Label]):
    """Numbered chains of sets, each ending in a label; equal chains have equal numbers."""

    def __init__(self) -> None:
        self._labels: list[Label] = []
        self._label_numbers: dict[Label, int] = {}
        self._links: list[_Link] = []
        self._link_numbers: dict[tuple[Hashable, str, int], int] = {}

    def ending_in(self, label: Label) -> int:
        """Give the number of the empty chain that ends in this label: -1, -2, …."""
        number = self._label_numbers.get(label)
        if number is None:
            self._labels.append(label)
            number = self._label_numbers[label] = -len(self._labels)
        return number

    def linked(self, members: list[str], kind: str, then: int) -> int:
        """Give the number of the chain with one more set in front; the order of members makes no difference."""
        same: Hashable = members[0] if len(members) == 1 else frozenset(members)
        number = self._link_numbers.get((same, kind, then))
        if number is None:
            number = self._link_numbers[same, kind, then] = len(self._links)
            self._links.append(_Link(members, kind, then))
        return number

    def groups(self, head: str, chain: int) -> list[Group[Label]]:
        """Write a head and a chain as a pattern, or as several where a set is too wide to read."""
        places = [[_Place(head)]]
        while chain >= 0:
            link = self._links[chain]
            places.append(_places(link))
            chain = link.then
        label = self._labels[-1 - chain]
        return [Group(_written(chosen), prod(place.n for place in chosen), label) for chosen in product(*places)]


class _Place(NamedTuple):
    """Literal text, then perhaps a set, and literal text after it."""

    before: str
    members: tuple[Member, ...] = ()
    after: str = ""
    n: int = 1


def _places(link: _Link) -> list[_Place]:
    dot = "." if link.kind.startswith(".") else ""
    if len(link.members) == 1:
        return [_Place(dot + link.members[0])]
    if link.kind.endswith("index"):
        return [_Place(dot, spans(map(int, link.members)), n=len(link.members))]
    return [_place_of_words(dot, line) for line in _in_lines(link.members)]


def _in_lines(words: Iterable[str]) -> list[list[str]]:
    lines: list[list[str]] = []
    width = 0
    for word in words:
        width += len(word) + 1
        if not lines or width > _MAX_WORDS_WIDTH:
            lines.append([])
            width = len(word) + 1
        lines[-1].append(word)
    return lines


def _place_of_words(dot: str, words: Sequence[str]) -> _Place:
    """Take the pieces that all words begin or end with out of the set: ``{q_proj,k_proj}`` is ``{q,k}_proj``."""
    if len(words) == 1:
        return _Place(dot + words[0])
    rows = [word.split("_") for word in words]
    front = _n_common(rows)
    back = _n_common([row[front:][::-1] for row in rows])
    inner = ["_".join(row[front : len(row) - back]) for row in rows]
    if not all(map(_WORD.fullmatch, inner)):
        return _Place(dot, tuple(words), n=len(words))
    before = "".join(piece + "_" for piece in rows[0][:front])
    after = "".join("_" + piece for piece in rows[0][len(rows[0]) - back :])
    return _Place(dot + before, tuple(inner), after, len(words))


def _n_common(rows: Iterable[Sequence[str]]) -> int:
    """Count the leading pieces that all rows share, leaving each row at least one."""
    n = 0
    for column in zip(*(row[:-1] for row in rows), strict=False):
        if len(set(column)) > 1:
            break
        n += 1
    return n


def _written(places: Sequence[_Place]) -> str:
    items: list[Item] = []
    literal = ""
    for place in places:
        literal += place.before
        if place.members:
            items += [Literal(literal)] * bool(literal) + [Members(place.members)]
            literal = place.after
    if literal or not items:
        items.append(Literal(literal))
    return written(tuple(items))
