"""Tensors that hold the same as others, such as zeros or ones: told apart by what stands around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ckptnames.inference.matching.units import template_of

_HIGHEST = 4
"""So many levels up a neighbour may stand."""
_NEAR = 2
"""So far below a module, what is left alone on both sides needs no name to be the same."""

Group = tuple[Sequence[str], Sequence[str]]


class Neighbours:
    """Pairs that are certain, and what they say of keys that could be several."""

    def __init__(self) -> None:
        self.pairs: dict[str, str] = {}
        """Target key to source key."""
        self._used: set[str] = set()
        self._partners: defaultdict[str, set[str]] = defaultdict(set)
        """The modules of the target that a module of the source is."""
        self._endings: defaultdict[str, set[str]] = defaultdict(set)
        """How the end of a name is called in the target, whatever its numbers."""

    def pair(self, source: str, target: str) -> None:
        """Note that one key is the other."""
        self.pairs[target] = source
        self._used.add(source)
        levels = range(_HIGHEST)
        for _, (above, below), (other, ending) in zip(levels, _cuts(source), _cuts(target), strict=False):
            self._partners[above].add(other)
            self._endings[template_of(below)].add(template_of(ending))

    def settle(self, groups: Sequence[Group]) -> list[Group]:
        """Pair what neighbours tell apart, as long as something new is told, and give what is left of each group."""
        left = [group for group in groups if group[0] and group[1]]
        n_before = -1
        while n_before < len(self.pairs):
            n_before = len(self.pairs)
            for level in range(1, _HIGHEST + 1):
                left = [self._rest(group) for group in left]
                left = [group for group in left if group[0] and group[1]]
                for group in left:
                    for source, target in list(self._told(group, level)):
                        if target not in self.pairs and source not in self._used:
                            self.pair(source, target)
                if len(self.pairs) > n_before:
                    break
        return [group for group in map(self._rest, left) if group[0] and group[1]]

    def _rest(self, group: Group) -> Group:
        sources, targets = group
        return [key for key in sources if key not in self._used], [key for key in targets if key not in self.pairs]

    def _told(self, group: Group, level: int) -> Iterator[tuple[str, str]]:
        """Pair the keys of a group that stand alone in modules which are each other's, or end in the same words."""
        sources, targets = (_by_module(keys, level) for keys in group)
        for above, keys in sources.items():
            partners = self._partners.get(above, set())
            others = {name: ending for other in partners for name, ending in targets.get(other, {}).items()}
            if len(keys) == len(others) == 1 and level <= _NEAR:
                yield next(iter(keys)), next(iter(others))
            else:
                yield from self._by_ending(keys, others)

    def _by_ending(self, keys: dict[str, str], others: dict[str, str]) -> Iterator[tuple[str, str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for key, ending in keys.items():
            said = self._endings.get(template_of(ending), set())
            known = [name for name, other in others.items() if template_of(other) in said]
            same = [name for name, other in others.items() if other == ending]
            for name in same or (known if len(said) == 1 and len(known) == 1 else []):
                found[name].append(key)
        for name, claims in found.items():
            if len(claims) == 1:
                yield claims[0], name


def _cuts(key: str) -> Iterator[tuple[str, str]]:
    """Cut a name at each dot, from its end.

    >>> list(_cuts("a.b.c"))
    [('a.b', 'c'), ('a', 'b.c'), ('', 'a.b.c')]
    """
    at = len(key)
    while at > 0:
        at = key.rfind(".", 0, at)
        yield key[: max(at, 0)], key[at + 1 :]


def _by_module(keys: Sequence[str], level: int) -> dict[str, dict[str, str]]:
    """Give for each module the keys so many levels below it, each with its ending."""
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        for n, (above, ending) in enumerate(_cuts(key), 1):
            if n == level:
                found.setdefault(above, {})[key] = ending
                break
    return found
