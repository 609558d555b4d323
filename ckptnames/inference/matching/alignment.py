"""Two trees of modules laid over each other: corresponding blocks first, from the largest in, then the units in them.

Blocks are found by the shapes they hold, in the order of their numbers, so that neither the names of the levels nor
how many there are matters. Inside blocks that correspond, units of equal shape are told apart by their names. What was
told once holds for all blocks of a kind: a pair of names that shapes alone decide in one is known in the next.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ckptnames.inference.matching.assignment import Block, Evidence, Found, assigned
from ckptnames.inference.matching.columns import are_layers, columns_below, modules_below, part_of
from ckptnames.inference.matching.correspondence import ALIKE, Candidate, Choice, candidates
from ckptnames.inference.matching.counting import by_shapes, n_doubles, n_units, n_weights
from ckptnames.inference.matching.entered import Entered, Pairs
from ckptnames.inference.matching.groups import (
    Form,
    Group,
    exact,
    group_of,
    hold_the_same,
    is_distinctive,
    is_varied,
    is_vector,
    squeezed,
)
from ckptnames.inference.matching.in_part import alike_in_part
from ckptnames.inference.matching.learned import Known, Level
from ckptnames.inference.matching.reversed_lists import may_be_reversed
from ckptnames.inference.matching.rivals import are_roles_moved, counts_differently
from ckptnames.inference.matching.surroundings import (
    home,
    is_before,
    is_beside_blocks,
    is_counted_alike,
    is_in_block,
    sort_of,
)
from ckptnames.inference.matching.twins import Twins
from ckptnames.inference.matching.units import Node, Shapes, Unit, all_known
from ckptnames.inference.naming.places import is_norm
from ckptnames.inference.naming.words import likeness

_KNOWN = 6.0
"""How much it counts that the shapes told the same pair of names in another block."""

_KNOWN_OTHERWISE = 1.0
_MOST_LEFT = 4
"""Most of the target is matched where not more than the fourth part of it is left."""


class Match(NamedTuple):
    """A unit of the target, the unit of the source that fills it, and what told so."""

    source: Unit
    target: Unit
    why: str


class Open(NamedTuple):
    """Names that could be each other's, and that nothing told apart."""

    sources: tuple[tuple[Unit, ...], ...]
    targets: tuple[tuple[Unit, ...], ...]


class _Visit(NamedTuple):
    """Blocks that correspond, and where the search was when it went into them."""

    sources: Sequence[Node]
    targets: Sequence[Node]
    is_exact: bool
    levels: tuple[Level, ...]


class Alignment:
    """The search, and what it found."""

    def __init__(self, source: Node, target: Node) -> None:
        self.source, self.target = source, target
        self.matches: dict[Unit, Match] = {}
        self.open: list[Open] = []
        self._taken: set[Unit] = set()
        self._visits: list[_Visit] = []
        self._held: set[Unit] = set()
        self._known = Known()
        self._twins = Twins()
        self._entered = Entered()
        self._units_of = [by_shapes(source), by_shapes(target)]

    def run(self) -> None:
        """Lay the source over the target."""
        is_exact = self.source.bag == self.target.bag and all_known(self.target.units)
        self._inside([(self.source, self.target)], is_exact)
        self.again()

    def again(self) -> None:
        """Look once more into every pair of blocks that was left with open units, with what was learned since."""
        n_before = -1
        while n_before < len(self.matches):
            n_before = len(self.matches)
            for visit in self._visits:
                if any(block.left for block in visit.sources) and any(block.left for block in visit.targets):
                    with self._known.back_in(visit.levels):
                        self._units(visit.sources, visit.targets, visit.is_exact)

    def match(self, source: Unit, target: Unit, why: str) -> None:
        """Note that one unit fills another, unless either is taken."""
        if source in self._taken or target in self.matches:
            return
        self.matches[target] = Match(source, target, why)
        self.withhold(source)
        _count_down(target)
        self._known.learn(source, target)

    def withhold(self, source: Unit) -> None:
        """Let a unit of the source fill nothing any more."""
        if self.is_free(source):
            _count_down(source)
        self._taken.add(source)

    def match_twins(self) -> None:
        """Match the units of all blocks that are twins of others as those are matched."""
        filled = {target: match.source for target, match in self.matches.items()}
        for source, target, first in self._twins.counterparts(filled):
            if target not in self.matches and source not in self._taken:
                filled[target] = source
                self.matches[target] = Match(source, target, self.matches[first].why)
                self._taken.add(source)
        self._held.clear()

    def is_free(self, unit: Unit) -> bool:
        """Tell whether a unit is not matched yet."""
        return unit not in self._taken and unit not in self.matches and unit not in self._held

    def still_open(self) -> Iterator[Open]:
        """Give what was left open and nothing has filled since, each target once."""
        seen: set[Unit] = set()
        for group in self.open:
            free = tuple(units for units in group.sources if all(map(self.is_free, units)))
            left = tuple(units for units in group.targets if all(map(self.is_free, units)))
            if free and left and seen.isdisjoint(unit for units in left for unit in units):
                seen.update(unit for units in left for unit in units)
                yield Open(free, left)

    # Blocks

    def _align(self, pairs: Pairs, is_exact: bool) -> None:
        """Go inside pairs of blocks, those of equal structure together, the ones with fewest doubles first."""
        firsts, twins = self._twins.parted(pairs)
        for source, target in twins:
            self._hold(source, target)
            self._known.meet(source, target)
        parts: dict[tuple[int, int], list[tuple[Node, Node]]] = {}
        for source, target in firsts:
            parts.setdefault((source.build, target.build), []).append((source, target))
        with self._known.within(*pairs[0]):
            for part in sorted(parts.values(), key=lambda part: n_doubles(part[0][1])):
                self._inside(part, is_exact)

    def _hold(self, source: Node, target: Node) -> None:
        """Keep the units of twins, which will be matched as those of the first are."""
        for node in (source, target):
            for unit in node.units:
                if unit not in self._held:
                    self._held.add(unit)
                    _count_down(unit)

    def _inside(self, pairs: Pairs, is_exact: bool) -> None:
        if all(source.unit and target.unit and len(source.units) == len(target.units) == 1 for source, target in pairs):
            for source, target in pairs:
                if source.unit and target.unit and source.unit.shapes == target.unit.shapes:
                    self.match(source.unit, target.unit, "the block it stands for")
            return
        sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
        self._visits.append(_Visit(sources, targets, is_exact, self._known.levels))
        self._blocks(sources, targets)
        self._all_units(sources, targets, is_exact)
        if self._modules(sources, targets):
            self._all_units(sources, targets, is_exact)
        if sources[0].left and targets[0].left:
            self._all_units(sources, targets, hold_the_same(sources, targets, squeezed), squeezed)
            self._runs(sources, targets)
        self._by_name(sources, targets)

    def _blocks(self, sources: Sequence[Node], targets: Sequence[Node]) -> None:
        tried: set[tuple[str, str, int]] = set()
        while True:
            found = candidates(columns_below(sources), columns_below(targets))
            choice = Choice([c for c in found if _key(c) not in tried], self._likeness)
            n_before = len(tried)
            while (chosen := choice.next()) is not None:
                tried.add(_key(chosen))
                if self._entered.denies(chosen.pairs):
                    continue
                self._entered.note(chosen.pairs)
                is_exact = chosen.trust > ALIKE and all_known(unit for _, block in chosen.pairs for unit in block.units)
                self._align(chosen.pairs, is_exact)
            if len(tried) == n_before:
                return

    def _modules(self, sources: Sequence[Node], targets: Sequence[Node]) -> bool:
        """Go inside the modules that no list holds and that are still open as a whole; true where that told some."""
        n_before = len(self.matches)
        ours, theirs = modules_below(sources), modules_below(targets)
        names = Block(list(ours), list(theirs))
        by_bags: defaultdict[tuple[int, ...], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, modules in enumerate((ours, theirs)):
            for name, nodes in modules.items():
                by_bags[tuple(node.bag for node in nodes)][side].append(name)
        for some, others in sorted(by_bags.values(), key=lambda names: -sum(map(n_units, map(theirs.get, names[1])))):
            some = [name for name in some if all(node.is_fresh for node in ours[name])]
            others = [name for name in others if all(node.is_fresh for node in theirs[name])]
            if not some or not others:
                continue
            n_matrices = n_weights(theirs[others[0]][0])
            evidence = Evidence(
                self._likeness,
                self._told,
                lambda *_: 0.0,
                lambda *_: False,
                False,
                n_matrices > 0,
                n_matrices > 1,
                sources[0].parent is not None,
                False,
            )
            for pair in assigned(some, others, names, evidence):
                pairs = list(zip(ours[pair.source], theirs[pair.target], strict=True))
                self._align(pairs, all_known(unit for _, node in pairs for unit in node.units))
        return len(self.matches) > n_before

    def _runs(self, sources: Sequence[Node], targets: Sequence[Node]) -> None:
        """Match the members of two lists of layers, of which one is a part of the other, where their shapes vary."""
        sides = [
            [column for column in columns_below(side) if column.is_whole and are_layers(column)]
            for side in (sources, targets)
        ]
        found = [(a, b, places) for a in sides[0] for b in sides[1] if (places := part_of(a, b)) is not None]
        for ours, theirs, places in found:
            if sum(ours is a or theirs is b for a, b, _ in found) == 1:
                for some, others in places:
                    for a, b in zip(some, others, strict=True):
                        self.match(a.units[0], b.units[0], "its place in a sequence of shapes")

    # Units

    def _all_units(self, sources: Sequence[Node], targets: Sequence[Node], is_exact: bool, form: Form = exact) -> None:
        """Match units for as long as it tells anything: what is matched supports its neighbours, in whatever order."""
        n_before = -1
        while n_before < len(self.matches):
            n_before = len(self.matches)
            self._units(sources, targets, is_exact, form)

    def _units(self, sources: Sequence[Node], targets: Sequence[Node], is_exact: bool, form: Form = exact) -> None:
        ours, theirs = self._groups(sources), self._groups(targets)
        block = Block(_names(sources[0], ours), _names(targets[0], theirs), (sort_of(sources[0]), sort_of(targets[0])))
        left = [
            [Counter(form(unit) for unit in node.units if self.is_free(unit)) for node in side]
            for side in (sources, targets)
        ]
        by_shapes: defaultdict[tuple[tuple[Shapes, ...], ...], tuple[list[Group], list[Group]]] = defaultdict(
            lambda: ([], [])
        )
        for side, groups in enumerate((ours, theirs)):
            for group in groups:
                by_shapes[group.shapes(form)][side].append(group)
        for shapes, (some, others) in sorted(by_shapes.items(), key=lambda item: -sum(map(len, item[0]))):
            some, others = self._free(some), self._free(others)
            if some and others:
                complete = is_exact and all(
                    counter[shape] == len(side) * sum(s == shape for s in row)
                    for side, counters in ((some, left[0]), (others, left[1]))
                    for row, counter in zip(shapes, counters, strict=True)
                    for shape in row
                )
                self._assign(some, others, block, complete)

    def _assign(self, some: Sequence[Group], others: Sequence[Group], block: Block, complete: bool) -> None:
        ours, theirs = {group.name: group for group in some}, {group.name: group for group in others}
        evidence = Evidence(
            self._likeness,
            self._told,
            lambda source, target: self._kinship(ours[source], theirs[target]),
            lambda source, target: self._is_apart(ours[source], theirs[target]),
            complete,
            is_distinctive(others[0]),
            is_varied(others[0]),
            others[0].is_inside,
            is_vector(others[0]),
            self._is_unique(some, others),
        )
        for pair in assigned(list(ours), list(theirs), block, evidence):
            source, target = ours[pair.source], theirs[pair.target]
            if not may_be_reversed(source, target) and not self._are_moved(source, target):
                self._take(source, target, pair)
        some, others = self._free(some), self._free(others)
        if some and others:
            self.open.append(
                Open(tuple(tuple(group.all) for group in some), tuple(tuple(group.all) for group in others))
            )

    def _is_unique(self, some: Sequence[Group], others: Sequence[Group]) -> bool:
        """Tell whether nothing else has the shapes of these, on either side, where most of the target is matched."""
        if _MOST_LEFT * self.target.left > len(self.target.units) or not is_distinctive(others[0]):
            return False
        if len(some) != 1 or len(others) != 1:
            return False
        # A list may be counted from the other end.
        own = [list(groups[0].all) for groups in (some, others)]
        return all(
            units_of[units[0].shapes] == {*units} and len(units) == 1
            for units, units_of in zip(own, self._units_of, strict=True)
        )

    def _are_moved(self, source: Group, target: Group) -> bool:
        sides = zip(source.units, target.units, strict=True)
        return any(are_roles_moved(*([unit.path[-1] for unit in units] for units in side)) for side in sides)

    def _take(self, source: Group, target: Group, pair: Found) -> None:
        for a, b in zip(source.all, target.all, strict=True):
            self.match(a, b, pair.why)

    def _groups(self, blocks: Sequence[Node]) -> list[Group]:
        """Give the free units below the blocks by their names, and the columns of them."""
        by_name: dict[str, list[tuple[Unit, ...]]] = {}
        for number, block in enumerate(blocks):
            for unit in block.units:
                if self.is_free(unit):
                    by_name.setdefault(block.below(unit), [()] * len(blocks))[number] = (unit,)
        is_inside = blocks[0].parent is not None
        groups = [Group(name, tuple(units), is_inside) for name, units in by_name.items()]
        seen = {frozenset(group.all) for group in groups}
        for column in columns_below(blocks):
            group = group_of(column, is_inside)
            if group and (units := frozenset(group.all)) not in seen:
                seen.add(units)
                groups.append(group)
        return groups

    def _free(self, groups: Iterable[Group]) -> list[Group]:
        return [group for group in groups if all(map(self.is_free, group.all))]

    # Units whose parameters agree in part

    def _by_name(self, sources: Sequence[Node], targets: Sequence[Node]) -> None:
        """Match units by name where not all of their shapes agree."""
        ours, theirs = ([g for g in self._groups(side) if len(g.units[0]) < 2] for side in (sources, targets))
        is_inside = sources[0].parent is not None
        for source, target in alike_in_part(ours, theirs, is_inside, self._likeness, self._is_apart):
            for units, others in zip(source.units, target.units, strict=True):
                for a, b in zip(units, others, strict=False):
                    self.match(a, b, "names that are alike, though not all shapes are")

    # Evidence

    def _likeness(self, source: str, target: str) -> float:
        known = self._told(source, target)
        return max(likeness(source, target), 0.0) + known if known > 0 else likeness(source, target) + known

    def _told(self, source: str, target: str, beside: Collection[str] = ()) -> float:
        """Say how much the names count that were found to belong together elsewhere, or not to."""
        verdict = self._known.verdict(source, target, beside)
        return _KNOWN if verdict > 0 else _KNOWN_OTHERWISE * verdict if source != target else 0.0

    def _kinship(self, source: Group, target: Group) -> float:
        """Tell whether the neighbours of units are matched with each other (1), with others (-1), or not yet (0)."""
        votes = [self._kin(a, b) for a, b in zip(source.all, target.all, strict=True)]
        return sum(votes) / len(votes)

    def _kin(self, source: Unit, target: Unit) -> int:
        above = home(source.node)
        if above is None:
            return 0
        near = [child for child in above.children if child is not source.node and self._counterpart(child)]
        before = [child for child in near if is_before(child, source.node)]
        # `bn2` goes with `conv2`, whatever else is near.
        same = [child for child in near if is_counted_alike(child, source.node)]
        if same:
            near = same
        elif before:
            near = [max(before, key=lambda child: child.slots)]
        found = [self._counterpart(child) for child in near]
        return 0 if not found else 1 if any(node and home(node) is home(target.node) for node in found) else -1

    def _is_apart(self, source: Group, target: Group) -> bool:
        """Tell whether units stand in blocks that belong to others, or are norms of which one is of no block."""
        pairs = list(zip(source.all, target.all, strict=False))
        ends = {(a.path[-1], b.path[-1]) for a, b in pairs}
        if any(self._known.is_apart(a, b) for a, b in pairs) or counts_differently(ends):
            return True
        norms = is_norm(source.name) or is_norm(target.name)
        return norms and any(self._is_after_blocks(a, b) or self._is_after_blocks(b, a) for a, b in pairs)

    def _is_after_blocks(self, unit: Unit, other: Unit) -> bool:
        """Tell whether a unit stands beside a list of blocks, and another inside of one that is one on both sides."""
        return (
            is_beside_blocks(unit.node)
            and not is_beside_blocks(other.node)
            and is_in_block(other.node)
            and not self._known.is_spread(other.node)
        )

    def _counterpart(self, node: Node) -> Node | None:
        found = self._known.counterparts.get(node.unit) if node.unit else None
        return found.node if found else None


def _key(candidate: Candidate) -> tuple[str, str, int]:
    return candidate.source.name, candidate.target.name, candidate.trust


def _names(block: Node, groups: Iterable[Group]) -> list[str]:
    """Name the parts of a block, matched ones too, and what others like it have besides; of the root what is free."""
    inside = map(block.below, block.units if block.parent is not None else ())
    return list(dict.fromkeys([*inside, *(group.name for group in groups)]))


def _count_down(unit: Unit) -> None:
    node: Node | None = unit.node
    while node is not None:
        node.left -= 1
        node = node.parent
