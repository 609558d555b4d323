"""Which of several names is which of several others, where their tensors could be either's: by words, with a margin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import NamedTuple

from ckptnames.inference.matching.rivals import are_moved
from ckptnames.inference.matching.units import template_of
from ckptnames.inference.naming.places import (
    gate_and_up,
    in_order,
    in_sequence,
    is_norm,
    is_sandwich,
    is_scale,
    may_count_backwards,
    norm_places,
    scale_places,
)
from ckptnames.inference.naming.words import (
    OBJECTION,
    counts_otherwise,
    is_counted_in,
    likeness,
    meaning,
    names_block,
    telling_likeness,
    told_apart,
)
from ckptnames.keys import is_index

MARGIN = 0.35
"""By so much a pair has to be more alike than its rivals."""

ENOUGH = 1.0
"""So alike are two names that speak of one thing."""

_SUPPORT = 0.5
_MOST_PERMUTED = 6
_MOST_COMPARED = 2500
_MOST_PLACED = 2

ENDS = ("in", "out")

FAIR = 0.4
"""So alike are two names that share a word, enough where shapes say the rest."""

Likeness = Callable[[str, str], float]


class Evidence(NamedTuple):
    """What is known of some names whose tensors have equal shapes."""

    likeness: Likeness
    known: Callable[[str, str, Collection[str]], float]
    """What other blocks told of the two names, where those beside them that differ in a number stood there too."""
    support: Callable[[str, str], float]
    """From -1 to 1: whether the neighbours of the two are matched with each other."""
    is_apart: Callable[[str, str], bool]
    """Whether the blocks that the two stand in were found to belong to others."""
    is_complete: bool
    """Each of these sources has its target here, so that what is left over belongs together."""
    is_distinctive: bool
    """Few other tensors would have these shapes by chance."""
    is_varied: bool
    """Hardly any would: it is a sequence of several shapes."""
    is_inside: bool
    """The tensors stand in blocks that correspond."""
    is_vector: bool
    """Each is one vector or number on its own: its length is little to go by."""
    is_unique: bool = False
    """No other tensors of either side have these shapes, and most others are matched."""


class Found(NamedTuple):
    """A pair of names, and in words what told that they belong together."""

    source: str
    target: str
    why: str


class Block(NamedTuple):
    """The names of all parts of the block on either side, for names whose meaning depends on what stands beside."""

    source: Collection[str]
    target: Collection[str]
    sorts: tuple[str, str] = ("", "")
    """What the block is called on either side, where that says of what sort it is."""

    def is_denied(self, source: str, target: str) -> bool:
        """Tell whether one of two names says in this block what the other denies."""
        ours, theirs = (f"{sort}.{name}" for sort, name in zip(self.sorts, (source, target), strict=True))
        return all(self.sorts) and likeness(ours, theirs) == OBJECTION

    @property
    def is_sandwich(self) -> bool:
        """Tell whether it has norms before and after its parts."""
        return is_sandwich(self.source) or is_sandwich(self.target)


def assigned(sources: Collection[str], targets: Collection[str], block: Block, evidence: Evidence) -> list[Found]:
    """Pair names whose tensors have equal shapes, as far as the names and what is around them tell."""
    search = _Search(sources, targets, evidence, block)
    search.by_name()
    search.by_norm_place()
    search.by_last_norm()
    search.leave_norms(block)
    if search.is_square:
        search.by_gate(block)
        search.by_order()
    search.by_likeness()
    return search.found


class _Search:
    def __init__(self, sources: Collection[str], targets: Collection[str], evidence: Evidence, block: Block) -> None:
        self.sources, self.targets = list(sources), list(targets)
        self.evidence, self.block = evidence, block
        # Below the root, where no one block is looked at, what stands beside a norm tells nothing of its place.
        company = block if evidence.is_inside else Block((), ())
        self.places = [
            norm_places(names, around, block.is_sandwich)
            for names, around in ((self.sources, company.source), (self.targets, company.target))
        ]
        self.is_square = len(sources) == len(targets)
        self.is_complete = evidence.is_complete and self.is_square
        self.found: list[Found] = []
        self.shifted: set[str] = set()
        self.sandwich = False

    def take(self, pairs: Iterable[tuple[str, str]], why: str) -> None:
        for source, target in pairs:
            self.found.append(Found(source, target, why))
            self.sources.remove(source)
            self.targets.remove(target)

    def by_name(self) -> None:
        """Take the same name for the same thing, but not a number that may have shifted.

        Where `layers.0` stands on both sides, one side has a `layers.1` and the other a `proj_in` of the same shape,
        the numbers do not count the same things.
        """
        same = [name for name in self.targets if name in self.sources]
        if len(same) < min(len(self.sources), len(self.targets)):
            self.shifted = {name for name in same if _family(name, self.sources) != _family(name, self.targets)}
        self.take([(name, name) for name in same if name not in self.shifted], "the same name")

    def by_norm_place(self) -> None:
        """Pair the norms of one place; below the root there are norms of no block, or of several."""
        if len(self.sources) + len(self.targets) < 3 or not self.evidence.is_inside:
            return
        ours, theirs = (
            _unique({name: place for name, place in places.items() if name in names})
            for places, names in zip(self.places, (self.sources, self.targets), strict=True)
        )
        found = [(ours[place], theirs[place]) for place in ours if place in theirs]
        self.take([pair for pair in found if not self.evidence.is_apart(*pair)], "the place of the norm in its block")

    def by_last_norm(self) -> None:
        """Pair the norms that stand outside of all lists, where each side has one, whatever stands beside them."""
        ours, theirs = _outside(self.sources), _outside(self.targets)
        if not self.evidence.is_inside and len(ours) == len(theirs) == 1:
            (source,), (target,) = ours, theirs
            if self.evidence.likeness(source, target) >= ENOUGH and not told_apart(source, target):
                self.take([(source, target)], "the one norm outside of all lists")

    def leave_norms(self, block: Block) -> None:
        """Leave norms of a block to their places alone where words mislead: one after is named as one before."""
        if block.is_sandwich or _is_counted(self.sources) != _is_counted(self.targets):
            self.sources = [name for name in self.sources if not is_norm(name)]
            self.targets = [name for name in self.targets if not is_norm(name)]

    def by_gate(self, block: Block) -> None:
        """Pair the two ways into a gated feed-forward block."""
        ours, theirs = gate_and_up(self.sources, block.source), gate_and_up(self.targets, block.target)
        if ours and theirs:
            self.take(zip(ours, theirs, strict=True), "gate and up projection by their names")

    def by_order(self) -> None:
        """Pair by number, or a number with a place in words."""
        if not 1 < len(self.sources) == len(self.targets):
            return
        ours, theirs = in_order(self.sources), in_order(self.targets)
        if self.is_complete:
            ours, theirs = ours or in_sequence(self.sources), theirs or in_sequence(self.targets)
        if ours and theirs:
            # `w2` and `w3` are not what `wi_0` and `wi_1` are.
            if is_counted_in(ours[0]) != is_counted_in(theirs[0]) or are_moved(ours, theirs):
                return
            if self.is_complete and not may_count_backwards(ours[0], theirs[0]):
                self.take(zip(ours, theirs, strict=True), "their numbers, in order")
        elif ours or theirs:
            places = self.places
            if all(map(is_scale, (*self.sources, *self.targets))):
                places = [scale_places(self.sources), scale_places(self.targets)]
            ours = ours or _ordered_by(places[0], self.sources)
            theirs = theirs or _ordered_by(places[1], self.targets)
            if self.is_complete and len(self.sources) == len(ENDS):
                ours, theirs = ours or _ends(self.sources), theirs or _ends(self.targets)
            if ours and theirs:
                self.take(zip(ours, theirs, strict=True), "numbers on one side, places on the other, in order")

    def by_likeness(self) -> None:
        if not 0 < len(self.sources) * len(self.targets) <= _MOST_COMPARED:
            return
        scores = self.scores()
        if 1 < len(self.sources) == len(self.targets) <= _MOST_PERMUTED:
            pairs, margin = _best_permutation(self.sources, self.targets, scores)
            pairs = [] if any(self.evidence.is_apart(*pair) for pair in pairs) else pairs
            # A part of the pairs is told by itself, or else by what only seemed to tell the others.
            is_told = len(pairs) == len(self.sources) or all(_stands_out(pair, scores) for pair in pairs)
            least = FAIR if self.is_complete and is_told else ENOUGH
            is_clear = margin >= ENOUGH or all(scores[pair] >= least for pair in pairs)
            if is_clear and all(self.is_told_beside(*pair) for pair in pairs):
                self.take(pairs, "the likeness of all names together")
        while self.sources and self.targets:
            # What is in a block of another is not taken, and yet may be what is meant: it stays a rival.
            near = [(s, t) for s in self.sources for t in self.targets if not self.evidence.is_apart(s, t)]
            near = [pair for pair in near if self.is_told_beside(*pair)]
            if not near:
                break
            score, source, target = max((scores[pair], *pair) for pair in near)
            rivals = [scores[source, t] for t in self.targets if t != target]
            rivals += [scores[s, target] for s in self.sources if s != source]
            nearest = max(rivals, default=OBJECTION)
            if score == OBJECTION or nearest > score - MARGIN:
                break
            if not self.is_complete and told_apart(source, target):
                break
            if score < ENOUGH and (nearest > OBJECTION or not self.stands_alone(source, target, score)):
                break
            self.take([(source, target)], "the likeness of names" if rivals else "the only one left of its shape")

    def is_told_beside(self, source: str, target: str) -> bool:
        """Tell whether two names are told from those that stand in the same modules by what is not the modules'."""
        sources, targets = _beside(source, self.sources), _beside(target, self.targets)
        last = {name: name.removeprefix(f"{_module(name)}.") for name in (*sources, *targets)}
        known = self.evidence.known
        if len(self.targets) > len(targets) > 1:
            rated = telling_likeness([source], [last[t] for t in targets])
            scores = {t: rated[source, last[t]] + known(source, t, ()) for t in targets}
            if scores.pop(target) < max(scores.values()) + MARGIN:
                return False
        if len(self.sources) > len(sources) > 1:
            rated = telling_likeness([last[s] for s in sources], [target])
            scores = {s: rated[last[s], target] + known(s, target, ()) for s in sources}
            if scores.pop(source) < max(scores.values()) + MARGIN:
                return False
        return True

    def scores(self) -> dict[tuple[str, str], float]:
        """Rate all pairs: where there are several, by what tells them apart."""
        if len(self.sources) == len(self.targets) == 1:
            rated = {(s, t): self.evidence.likeness(s, t) for s in self.sources for t in self.targets}
        else:
            are_norms = not self.evidence.is_distinctive
            rated = telling_likeness(self.sources, self.targets, are_norms)
            counted, everything = _counted(self.sources) | _counted(self.targets), {*self.sources, *self.targets}
            for source, target in rated:
                if counts_otherwise(source, target):
                    rated[source, target] = min(rated[source, target], 0.0)
                # What a number stands for depends on all that is counted.
                beside = everything if source in counted or target in counted else ()
                rated[source, target] += self.evidence.known(source, target, beside)
        for source, target in rated:
            if source == target and source in self.shifted:
                rated[source, target] = self.evidence.known(source, target, ())
            elif any(name in self.shifted and not is_index(name.rpartition(".")[2]) for name in (source, target)):
                # A number that belongs to a word shifts less than an index: it may be what has its name all the same.
                rated[source, target] = min(rated[source, target], 0.0)
            rated[source, target] += _SUPPORT * self.evidence.support(source, target)
            place, other = self.places[0].get(source), self.places[1].get(target)
            if (place and other and place != other) or self.block.is_denied(source, target):
                rated[source, target] = OBJECTION
        return rated

    def stands_alone(self, source: str, target: str, score: float) -> bool:
        """Tell whether two names without rivals belong together though they are not much alike."""
        known = self.evidence
        if counts_otherwise(source, target):
            return False
        if known.is_vector and not known.is_inside:
            return known.likeness(source, target) >= FAIR
        if self.is_complete:
            return score > -ENOUGH
        if known.support(source, target) > 0 or known.is_varied or (known.is_inside and known.is_distinctive):
            return score > -ENOUGH
        if known.is_unique:
            return score > -FAIR and not told_apart(source, target)
        return known.is_distinctive and score >= FAIR


def _beside(name: str, names: Iterable[str]) -> list[str]:
    """Give the names that stand in the same module, this one too."""
    module = _module(name)
    return [other for other in names if _module(other) == module]


@cache
def _module(name: str) -> str:
    """Give the attention or the feed-forward block that a name is in, else the module right around it."""
    segments = name.split(".")
    for n in range(len(segments) - 1, 0, -1):
        if names_block(segments[n - 1]):
            return ".".join(segments[:n])
    return name.rpartition(".")[0]


def _family(name: str, names: Collection[str]) -> set[str]:
    """Give the names that differ from this one in their numbers only."""
    template = template_of(name)
    return {other for other in names if template_of(other) == template} if template != name else set()


def _counted(names: Collection[str]) -> set[str]:
    """Give the names that differ from others in their numbers only."""
    templates = {name: template_of(name) for name in names}
    n_alike = Counter(templates.values())
    return {name for name, template in templates.items() if template != name and n_alike[template] > 1}


def _is_counted(names: Sequence[str]) -> bool:
    """Tell whether three or more norms are told apart by one number alone."""
    norms = [name for name in names if is_norm(name)]
    return len(norms) > _MOST_PLACED and in_order(norms) is not None


def _ends(names: Sequence[str]) -> list[str] | None:
    """Give first what is called the way in, then what is called the way out."""
    ends = {tuple(meaning(name).get("end", ())): name for name in names}
    return [ends[end,] for end in ENDS] if all((end,) in ends for end in ENDS) else None


def _outside(names: Sequence[str]) -> list[str]:
    """Give the norms whose names have no number, those of embeddings apart."""
    norms = (name for name in names if is_norm(name) and "#" not in name and not any(map(str.isdigit, name)))
    return [name for name in norms if "embeddings" not in meaning(name).get("area", ())]


def _unique(places: Mapping[str, int]) -> dict[int, str]:
    names: dict[int, list[str]] = {}
    for name, place in places.items():
        names.setdefault(place, []).append(name)
    return {place: found[0] for place, found in names.items() if len(found) == 1}


def _ordered_by(places: Mapping[str, int], names: Sequence[str]) -> list[str] | None:
    if len(_unique({name: places[name] for name in names if name in places})) < len(names):
        return None
    return sorted(names, key=lambda name: places[name])


def _stands_out(pair: tuple[str, str], scores: Mapping[tuple[str, str], float]) -> bool:
    """Tell whether either name of a pair is clearly less like all others."""
    rivals = [score for other, score in scores.items() if (other[0] == pair[0]) != (other[1] == pair[1])]
    return max(rivals, default=OBJECTION) <= scores[pair] - MARGIN


def _best_permutation(
    sources: Sequence[str], targets: Sequence[str], scores: Mapping[tuple[str, str], float]
) -> tuple[list[tuple[str, str]], float]:
    """Give the pairs of the assignment that is best as a whole which every near rival has too, and its margin."""
    ranked = sorted(
        ((sum(scores[pair] for pair in zip(sources, order, strict=True)), order) for order in permutations(targets)),
        key=lambda found: -found[0],
    )
    best, order = ranked[0]
    if best == OBJECTION:
        return [], 0.0
    pairs = set(zip(sources, order, strict=True))
    for score, other in ranked[1:]:
        if score > best - MARGIN:
            pairs &= set(zip(sources, other, strict=True))
    return sorted(pairs), best - ranked[1][0]
