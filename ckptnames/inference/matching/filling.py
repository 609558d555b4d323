"""From matched units to keys: which source key fills which target key, and what is left to add to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from ckptnames.inference.matching.alignment import Alignment, Match, Open
from ckptnames.inference.matching.assignment import ENOUGH, MARGIN
from ckptnames.inference.matching.order import positions, ranked
from ckptnames.inference.matching.orientation import is_turned_alone
from ckptnames.inference.matching.units import COUNTER, Node, Unit, leaf_of
from ckptnames.inference.naming.words import OBJECTION, likeness, meaning, says_the_same
from ckptnames.manifest import TensorInfo

Tensors = Mapping[str, TensorInfo]

_GATE_AND_UP = 2


class Filling(NamedTuple):
    """Target keys with the source keys that fill them, why, and those of them whose weight is held transposed."""

    pairs: dict[str, str]
    why: dict[str, str]
    transposed: dict[str, str]


def filling(alignment: Alignment, source: Tensors, target: Tensors, turned: Tensors) -> Filling:
    """Fill the keys of matched units; ``turned`` holds those that were compared transposed."""
    while _by_order(alignment, source, target):
        alignment.again()
    alignment.match_twins()
    found = Filling({}, {}, {})
    for match in alignment.matches.values():
        for role, name in match.target.keys.items():
            key = match.source.keys.get(role)
            if key is not None:
                _fill(found, name, key, match, source, target, turned)
    used = {*found.pairs.values(), *found.transposed.values()}
    for name, key in chain(_left_roles(alignment, found, target), _moved(alignment)):
        if name not in found.pairs and source[key].shape == target[name].shape and key not in used:
            found.pairs[name], found.why[name] = key, "the parameter that its module lacks, beside it"
            used.add(key)
    return found


def _fill(found: Filling, name: str, key: str, match: Match, source: Tensors, target: Tensors, turned: Tensors) -> None:
    shape, wanted = source[key].shape, target[name].shape
    other = turned[key].shape if key in turned else None
    if (other is not None and other == wanted) or (shape == wanted and is_turned_alone(key, name, shape)):
        found.transposed[name] = key
    elif (shape is not None and shape == wanted) or ((shape is None or wanted is None) and _is_same(match)):
        found.pairs[name], found.why[name] = key, match.why


def _is_same(match: Match) -> bool:
    """Where no shape speaks for a pair, its names have to."""
    return says_the_same(".".join(match.source.path), ".".join(match.target.path))


def _left_roles(alignment: Alignment, found: Filling, target: Tensors) -> Iterator[tuple[str, str]]:
    """Find the parameters of matched units that stand alone beside the module on the other side: ``q_bias``."""
    for match in alignment.matches.values():
        above = match.source.node.parent
        for role, name in match.target.keys.items():
            if name in found.pairs or name in found.transposed or role == COUNTER or above is None:
                continue
            beside = [child.unit for child in above.children if child.unit and alignment.is_free(child.unit)]
            fits = [unit for unit in beside if role in unit.keys and unit.shape(role) == target[name].shape]
            scores = sorted(((_alike(unit, match.source), unit.keys[role]) for unit in fits), reverse=True)
            if scores and scores[0][0] >= ENOUGH and (len(scores) < 2 or scores[1][0] < scores[0][0] - MARGIN):
                yield name, scores[0][1]


def _moved(alignment: Alignment) -> Iterator[tuple[str, str]]:
    """Find the parameters that one side keeps in the module itself and the other in the only layer inside it."""
    for match in alignment.matches.values():
        ours, theirs = _holder(match.source), _holder(match.target)
        if theirs and theirs not in alignment.matches and not ours:
            yield from (
                (theirs.keys[role], match.source.keys[role]) for role in theirs.keys if role in match.source.keys
            )
        if ours and alignment.is_free(ours) and not theirs:
            yield from ((match.target.keys[role], ours.keys[role]) for role in ours.keys if role in match.target.keys)


def _holder(unit: Unit) -> Unit | None:
    """Give the parameter of the module that holds this layer and no other."""
    above = unit.node.parent
    beside = [other for other in above.units if other is not unit] if above is not None else []
    if len(beside) == 1 and beside[0].node.parent is above and _is_bare(beside[0]):
        return beside[0]
    return None


def _is_bare(unit: Unit) -> bool:
    return [leaf_of(key) for key in unit.keys.values()] == [unit.path[-1]]


def _alike(unit: Unit, other: Unit) -> float:
    return likeness(unit.path[-1], other.path[-1])


def _by_order(alignment: Alignment, source: Tensors, target: Tensors) -> bool:
    """Tell apart by the order of the files what nothing else did: where both are in order, and names do not object.

    True where that told some.
    """
    n_before = len(alignment.matches)
    left = list(alignment.still_open())
    ours, theirs = (positions(source), positions(target)) if left else (None, None)
    if ours is None or theirs is None:
        return False
    for group in left:
        if not all(alignment.is_free(unit) for units in group.targets for unit in units):
            continue
        order = ranked([[ours[_first(unit)] for unit in units] for units in group.sources])
        other = ranked([[theirs[_first(unit)] for unit in units] for units in group.targets])
        if order is None or other is None or len(order) != len(other) or len(order) < 2:
            continue
        pairs = [(group.sources[a], group.targets[b]) for a, b in zip(order, other, strict=True)]
        if _is_contradicted(alignment, group, ours, theirs) or _is_counted_otherwise(pairs):
            continue
        if all(likeness(a[0].path[-1], b[0].path[-1]) > OBJECTION or _is_numbered(b[0]) for a, b in pairs):
            for some, others in pairs:
                for a, b in zip(some, others, strict=True):
                    alignment.match(a, b, "the order in which both files list them")
    return len(alignment.matches) > n_before


def _is_contradicted(alignment: Alignment, group: Open, ours: Mapping[str, int], theirs: Mapping[str, int]) -> bool:
    """Tell whether what is matched around the group stands in another order on either side."""
    above, other = _around([units[0] for units in group.sources]), _around([units[0] for units in group.targets])
    inside = set(above.units)
    matches = [alignment.matches[unit] for unit in other.units if unit in alignment.matches]
    known = sorted((theirs[_first(m.target)], ours[_first(m.source)]) for m in matches if m.source in inside)
    return any(before[1] > after[1] for before, after in pairwise(known))


def _is_counted_otherwise(pairs: Sequence[tuple[Sequence[Unit], Sequence[Unit]]]) -> bool:
    """Tell whether gate, up and down meet `w1`, `w2`, `w3`, of which the second mostly is the down projection."""
    sides = [[units[0] for units in side] for side in zip(*pairs, strict=True)]
    counted = [all(map(_is_numbered, side)) for side in sides]
    named = [all("feed-forward" in meaning(".".join(unit.path[-2:])) for unit in side) for side in sides]
    return len(pairs) > _GATE_AND_UP and any(a and b for a, b in zip(counted, reversed(named), strict=True))


def _around(units: Sequence[Unit]) -> Node:
    """Give the innermost module that all of them stand in."""
    depth = min(len(unit.path) for unit in units)
    while any(unit.path[:depth] != units[0].path[:depth] for unit in units):
        depth -= 1
    node = units[0].node
    while node.depth > depth and node.parent is not None:
        node = node.parent
    return node


def _is_numbered(unit: Unit) -> bool:
    """A number is no word: ``fc_1`` may be a gate."""
    return unit.node.template[-1] != unit.path[-1]


def _first(unit: Unit) -> str:
    return next(iter(unit.keys.values()))
