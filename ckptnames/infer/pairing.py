"""Which source key is which target key, as far as wrappers and prefixes tell: by the two whole key sets, never by text.

A *hypothesis* says: leave wrapper segments out of both sides or keep them, take the prefix ``strip`` off the source and
put ``add`` in front of what is left. Every hypothesis is judged by how many target keys it fills with a tensor of their
shape. A user's own submodule called ``module`` survives because stripping it would fill fewer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptnames.infer.wrapping import unwrapped
from ckptnames.keys import has_prefix
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules.pattern import quoted

_PROBES = 24
_SAMPLE = 400
_FINALISTS = 8
_ALMOST = 0.9
"""A second reading that fills this share of what the best one fills is a rival, not noise."""
_MAX_ROUNDS = 4


class Hypothesis(NamedTuple):
    """One reading of how source keys become target keys."""

    strip: str
    add: str
    bare: bool
    """True where wrapper segments are left out of both sides before comparing."""

    @property
    def is_identity(self) -> bool:
        """True for the reading under which names are right as they stand."""
        return not (self.strip or self.add or self.bare)


IDENTITY = Hypothesis("", "", False)


class Choice(NamedTuple):
    """One of several copies in the source that fit the target equally well."""

    strip: str
    add: str
    n_keys: int

    @property
    def rule(self) -> str:
        """The rule that takes this copy.

        >>> Choice("teacher", "", 9).rule
        'teacher.** -> **'
        """
        return " -> ".join(".".join([*map(quoted, filter(None, p.split("."))), "**"]) for p in (self.strip, self.add))


class Pairing(NamedTuple):
    """``pairs`` maps target keys to source keys; ``choices`` are rival copies, and then nothing is paired."""

    pairs: dict[str, str]
    choices: tuple[Choice, ...] = ()


class _Side:
    """The keys of one side under one spelling, and an index by their last segments."""

    def __init__(self, keys: Iterable[str], bare: bool) -> None:
        spelled: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            spelled[unwrapped(key) if bare else key].append(key)
        # A spelling that two keys share cannot tell them apart: it decides nothing.
        self.keys = {spelling: found[0] for spelling, found in spelled.items() if len(found) == 1}
        self._by_tail: defaultdict[str, list[str]] = defaultdict(list)
        for spelling in self.keys:
            self._by_tail[_tail(spelling)].append(spelling)

    def ending_with(self, key: str) -> Iterator[str]:
        """Give the prefix of every key that ends with these whole segments."""
        if "." not in key:
            candidates: Iterable[str] = self.keys
        else:
            candidates = self._by_tail[_tail(key)]
        for other in candidates:
            if other == key:
                yield ""
            elif other.endswith("." + key):
                yield other[: -len(key) - 1]


def _tail(key: str) -> str:
    return ".".join(key.rsplit(".", 2)[-2:])


def pair(source: Manifest, target: Manifest) -> Pairing:
    """Pair what wrappers and prefixes explain, and abstain where two copies in the source fit equally well.

    >>> info = TensorInfo("F32", (2,), 8)
    >>> pair(Manifest({"module.fc.bias": info}), Manifest({"fc.bias": info})).pairs
    {'fc.bias': 'module.fc.bias'}
    """
    pairs: dict[str, str] = {}
    for round_ in range(_MAX_ROUNDS):
        used = set(pairs.values())
        free_source = {key: info for key, info in source.items() if key not in used}
        free_target = {key: info for key, info in target.items() if key not in pairs}
        best, rivals = _best(free_source, free_target, first=round_ == 0)
        if rivals and round_ == 0:
            return Pairing({}, rivals)
        if not best or rivals:
            break
        pairs.update(best)
    return Pairing(pairs)


def _best(
    source: Mapping[str, TensorInfo], target: Mapping[str, TensorInfo], *, first: bool
) -> tuple[dict[str, str], tuple[Choice, ...]]:
    if not source or not target:
        return {}, ()
    sides = {bare: (_Side(source, bare), _Side(target, bare)) for bare in (False, True)}
    sample = _spread(list(target), _SAMPLE) + _spread(list(source), _SAMPLE)
    guesses = _hypotheses(sides)

    def filled(guess: Hypothesis, among: Collection[str] | None) -> dict[str, str]:
        return dict(_filled(guess, sides[guess.bare], source, target, among))

    def promise(guess: Hypothesis) -> tuple[int, bool, int]:
        return -len(filled(guess, sample)), guess.bare, len(guess.strip) + len(guess.add)

    finalists = sorted(guesses, key=promise)[:_FINALISTS]
    if IDENTITY not in finalists:
        finalists.append(IDENTITY)
    results = {guess: filled(guess, None) for guess in finalists}
    ranked = sorted(finalists, key=lambda g: (-len(results[g]), g.bare, len(g.strip) + len(g.add)))
    winner = ranked[0]
    pairs = results[winner]
    if not _convincing(winner, pairs, source, target, first=first):
        return {}, ()
    if winner.is_identity or len(results[IDENTITY]) == len(pairs):
        return results[IDENTITY], ()
    rivals = [g for g in ranked[1:] if _is_rival(results[g], pairs)]
    if rivals:
        return {}, tuple(Choice(g.strip, g.add, len(results[g])) for g in _spelled_out([winner, *rivals], results))
    return pairs, ()


def _hypotheses(sides: Mapping[bool, tuple[_Side, _Side]]) -> list[Hypothesis]:
    found: Counter[Hypothesis] = Counter({IDENTITY: 1, Hypothesis("", "", True): 1})
    for bare, (source, target) in sides.items():
        for key in _spread(list(target.keys), _PROBES):
            found.update(Hypothesis(prefix, "", bare) for prefix in source.ending_with(key))
            found.update(_both(key, source, bare))
        for key in _spread(list(source.keys), _PROBES):
            found.update(Hypothesis("", prefix, bare) for prefix in target.ending_with(key))
    return [guess for guess, _ in found.most_common(8 * _FINALISTS) if not _is_optimizer(guess.strip)]


def _is_optimizer(prefix: str) -> bool:
    """Tell an optimizer's flat copy of the weights, as DeepSpeed keeps one, from a copy of the model."""
    return "optim" in prefix.lower()


def _both(key: str, source: _Side, bare: bool) -> Iterator[Hypothesis]:
    """One prefix off, another on. Two segments must be left to compare: ``weight`` alone says nothing."""
    parts = key.split(".")
    for depth in range(1, min(4, len(parts) - 1)):
        add, rest = ".".join(parts[:depth]), ".".join(parts[depth:])
        for strip in source.ending_with(rest):
            if strip and strip.rsplit(".", 1)[-1] != parts[depth - 1]:
                yield Hypothesis(strip, add, bare)


def _filled(
    guess: Hypothesis,
    sides: tuple[_Side, _Side],
    source: Mapping[str, TensorInfo],
    target: Mapping[str, TensorInfo],
    among: Collection[str] | None,
) -> Iterator[tuple[str, str]]:
    source_keys, target_keys = sides[0].keys, sides[1].keys
    strip = guess.strip and guess.strip + "."
    add = guess.add and guess.add + "."
    cut = len(add)
    wanted = None if among is None else set(among)
    for spelling, key in target_keys.items():
        if wanted is not None and key not in wanted:
            continue
        if add and not spelling.startswith(add):
            continue
        found = source_keys.get(strip + spelling[cut:])
        if found is not None and fits(source[found], target[key]):
            yield key, found


def fits(source: TensorInfo, target: TensorInfo) -> bool:
    """Tell whether one tensor can fill the other's place; an unknown shape is no objection."""
    return source.shape is None or target.shape is None or source.shape == target.shape


def _convincing(
    guess: Hypothesis,
    pairs: Mapping[str, str],
    source: Mapping[str, TensorInfo],
    target: Mapping[str, TensorInfo],
    *,
    first: bool,
) -> bool:
    """Ask for evidence in proportion to the claim: an exchange of prefixes must explain everything, a loner nothing."""
    if not pairs:
        return False
    if guess.is_identity:
        return True
    if guess.strip and guess.add:
        return first and len(pairs) > 1 and len(pairs) >= _ALMOST * min(len(source), len(target))
    whole = len(pairs) == len(target) or len(pairs) == len(source)
    # The part of the key that both sides share: one segment (`weight`) is found anywhere.
    deep = any(key[len(guess.add) :].lstrip(".").count(".") for key in pairs)
    if first:
        return (whole and (deep or 2 * len(pairs) >= len(source))) or (deep and len(pairs) > 1)
    return deep and (whole or 2 * len(pairs) >= min(len(source), len(target)))


def _is_rival(other: Mapping[str, str], best: Mapping[str, str]) -> bool:
    if len(other) < _ALMOST * len(best):
        return False
    disputed = sum(1 for key, found in other.items() if best.get(key, found) != found)
    return 2 * disputed >= len(other)


def _spelled_out(guesses: Sequence[Hypothesis], results: Mapping[Hypothesis, Mapping[str, str]]) -> list[Hypothesis]:
    """Keep one reading for each set of sources: with and without wrapper segments often say the same."""
    seen: dict[frozenset[str], Hypothesis] = {}
    for guess in guesses:
        seen.setdefault(frozenset(list(results[guess].values())[:50]), guess)
    return [_with_wrappers(guess, results[guess]) for guess in seen.values()]


def _with_wrappers(guess: Hypothesis, pairs: Mapping[str, str]) -> Hypothesis:
    """Spell the prefix of a bare reading as the file does."""
    if not guess.bare:
        return guess
    target, found = next(iter(pairs.items()))
    for cut in range(len(found)):
        rest = found[cut:]
        if (cut == 0 or found[cut - 1] == ".") and has_prefix(target, guess.add) and target.endswith(rest):
            return Hypothesis(found[:cut].rstrip("."), target[: len(target) - len(rest)].rstrip("."), False)
    return guess


def _spread(keys: Sequence[str], count: int) -> list[str]:
    """Take keys from all over the list, its ends included."""
    if len(keys) <= count:
        return list(keys)
    step = (len(keys) - 1) / (count - 1)
    return [keys[round(i * step)] for i in range(count)]
