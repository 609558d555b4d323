"""What speaks against a pair of names: the best of its rivals, and numbers that count something else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ckptnames.inference.matching.units import numbers_in, template_of
from ckptnames.inference.naming.places import has_role_number
from ckptnames.inference.naming.words import OBJECTION, counts_otherwise, is_counted_in
from ckptnames.keys import is_index


def counted_among(names: Iterable[str]) -> dict[str, tuple[tuple[int, ...], frozenset[tuple[int, ...]]]]:
    """Give for each name that differs from others in its numbers only these numbers, and all that there are.

    A name that is counted and one that stands for itself are not the same thing either.
    """
    by_template: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        by_template[template_of(name)].append(name)
    counted = ((alike, frozenset(map(numbers_in, alike))) for alike in by_template.values() if len(alike) > 1)
    return {name: (numbers_in(name), numbers) for alike, numbers in counted for name in alike}


def nearest_rivals(scores: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Give for each pair the best of the others that have one of its names."""
    rows: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for pair, score in scores.items():
        for side, name in enumerate(pair):
            rows[side, name].append(score)
    found = {}
    for pair, score in scores.items():
        best = OBJECTION
        for row in (rows[side, name] for side, name in enumerate(pair)):
            highest = max(row)
            best = max(best, highest if highest > score or row.count(highest) > 1 else _second(row))
        found[pair] = best
    return found


def are_moved(sources: Sequence[str], targets: Sequence[str]) -> bool:
    """Tell whether a word with a number, that both sides have, would become another one of the same word.

    >>> are_moved(["mlp.w2", "mlp.w3"], ["mlp.w1", "mlp.w2"]), are_moved(["mlp.1", "mlp.2"], ["mlp.0", "mlp.1"])
    (True, False)
    """
    pairs = list(zip(sources, targets, strict=True))
    if any(source != target and source in targets and not is_index(_last(source)) for source, target in pairs):
        return True
    return are_roles_moved([_last(name) for name in sources], [_last(name) for name in targets])


def are_roles_moved(sources: Sequence[str], targets: Sequence[str]) -> bool:
    """Tell whether numbers that stand for roles would be taken for a count that has shifted."""
    pairs = zip(sources, targets, strict=True)
    return any(source != target and source in targets and has_role_number(source) for source, target in pairs)


def told_by_number(pairs: Iterable[tuple[str, str]], others: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give the pairs of which one name is in a pair of the others too, with one that differs in its numbers only.

    >>> told_by_number([("0.norm", "1.bn"), ("fc", "head")], [("0.norm", "0.bn")])
    [('0.norm', '1.bn')]
    """

    def sides(pair: tuple[str, str]) -> Iterator[tuple[str, ...]]:
        source, target = pair
        yield source, template_of(target)
        yield template_of(source), "", target

    known = {side for pair in others for side in sides(pair)}
    return [pair for pair in pairs if not known.isdisjoint(sides(pair))]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _second(row: Sequence[float]) -> float:
    return sorted(row)[-2] if len(row) > 1 else OBJECTION


def counts_differently(ends: Collection[tuple[str, str]]) -> bool:
    """Tell whether words end in numbers that do not count the same: `w1` and `w3`, or `w1`, `w2` and `wi_0`, `wi_1`."""
    if len(ends) == 1:
        return any(counts_otherwise(source, target) for source, target in ends)
    # Gate and up projection are `wi_0` and `wi_1`, and what is beside them is `wo`: elsewhere one count has all three.
    return any(is_counted_in(source) != is_counted_in(target) for source, target in ends)
