"""Units whose parameters agree in part: a weight was transposed, a bias came or went. Their names have to say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ckptnames.inference.matching.assignment import MARGIN, Block, Likeness
from ckptnames.inference.matching.groups import Group, fit_in_part, squeezed
from ckptnames.inference.matching.rivals import counted_among, nearest_rivals, told_by_number
from ckptnames.inference.matching.surroundings import is_in_block
from ckptnames.inference.naming.places import is_norm, norm_places
from ckptnames.inference.naming.words import OBJECTION, counts_otherwise, ends_alike, likeness

# On the scale of `likeness`, where 1 and more speaks for one thing.
_SAME_PLACE = 2.5
_SAME_NUMBER = 0.5
_ENOUGH_ALONE = 1.3
_MOST_COMPARED = 40_000


def alike_in_part(
    ours: Sequence[Group],
    theirs: Sequence[Group],
    is_inside: bool,
    likeness_here: Likeness,
    is_apart: Callable[[Group, Group], bool],
) -> Iterator[tuple[Group, Group]]:
    """Pair groups of units that no rival comes near to by name; ``is_inside`` says that they stand in one block."""
    if len(ours) * len(theirs) > _MOST_COMPARED:
        return
    names = Block([group.name for group in ours], [group.name for group in theirs])
    places = [norm_places(side, side if is_inside else (), names.is_sandwich) for side in names]
    numbers = counted_among(names.source), counted_among(names.target)
    scores: dict[tuple[str, str], float] = {}
    left_open: list[tuple[str, str]] = []
    for one in ours:
        for other in theirs:
            # Where all shapes agree the pair was looked at before, and left open for a reason: words alone count.
            is_new = one.shapes(squeezed) != other.shapes(squeezed)
            place, wanted = places[0].get(one.name), places[1].get(other.name)
            # What has its own name on the other side, or differs in its number, is not what a likeness is for, nor are
            # norms of a block of which nothing is said but that they are norms.
            is_named = one.name in names.target or other.name in names.source
            is_named = is_named or counts_otherwise(one.name, other.name)
            is_inner = is_inside or any(is_in_block(next(group.all).node) for group in (one, other))
            is_untold = names.is_sandwich or (is_inner and not (place and wanted))
            if not is_new and (is_named or (is_norm(other.name) and is_untold)):
                left_open.append((one.name, other.name))
                continue
            if not ends_alike(one.name, other.name):
                continue
            score = (likeness_here if is_new else likeness)(one.name, other.name)
            if place and wanted:
                score = OBJECTION if place != wanted else max(score, _SAME_PLACE)
            if score >= _ENOUGH_ALONE and fit_in_part(one, other) and not is_apart(one, other):
                is_same = numbers[0].get(one.name) == numbers[1].get(other.name)
                scores[one.name, other.name] = score + is_same * _SAME_NUMBER
    # What was left open may be meant where no more than a number tells it from what is looked at now.
    for pair in told_by_number(scores, left_open):
        del scores[pair]
    nearest = nearest_rivals(scores)
    by_name = {group.name: group for group in ours}, {group.name: group for group in theirs}
    for pair, score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        if nearest[pair] <= score - MARGIN:
            yield by_name[0][pair[0]], by_name[1][pair[1]]
