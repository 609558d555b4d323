"""Which source key is which target key, as far as wrappers and prefixes tell: by the two whole key sets, never by text.

A *hypothesis* says: leave wrapper segments out of both sides or keep them, take the prefix ``strip`` off the source and
put ``add`` in front of what is left. Every hypothesis is judged by how many target keys it fills with a tensor of their
shape. A user's own submodule called ``module`` survives because stripping it would fill fewer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptnames.inference.wrappers.wrapping import may_be_wrapped, unwrapped
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
    """One of several copies, in the source or in the target, that fit what the other side has equally well."""

    strip: str
    add: str
    n_keys: int
    is_flattened: bool = False
    """True where its names have their dots back only in thought: its rule alone does not take it."""
    given: str = ""
    """For a flattened copy, the line that leaves out the other: with it, the rules for this one are found."""

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
    """The keys of one side by their spelling, and where those are that end alike."""

    def __init__(self, spelled: Mapping[str, str]) -> None:
        self.keys = spelled
        self._places = {spelling[::-1]: n for n, spelling in enumerate(spelled)}
        self._backwards = sorted(self._places)

    def ending_with(self, key: str) -> list[str]:
        """Give the prefix of every key that ends with these whole segments, in the order of the keys."""
        ending = key[::-1]
        # Spelled backwards they stand together, up to what would follow the dot in front of them.
        start, end = (bisect_left(self._backwards, ending + after) for after in (".", "/"))
        found = [*([ending] if key in self.keys else []), *self._backwards[start:end]]
        return [backwards[len(key) + 1 :][::-1] for backwards in sorted(found, key=self._places.__getitem__)]


def _sides(keys: Iterable[str]) -> tuple[_Side, _Side]:
    """Give the keys as they stand, and without their wrapper segments."""
    plain = _Side({key: key for key in keys})
    if not any(map(may_be_wrapped, plain.keys)):
        return plain, plain
    bare: dict[str, str] = {}
    shared: set[str] = set()
    for key in plain.keys:
        spelling = unwrapped(key)
        if bare.setdefault(spelling, key) != key:
            shared.add(spelling)
    # A spelling that two keys share cannot tell them apart: it decides nothing.
    return plain, _Side({spelling: key for spelling, key in bare.items() if spelling not in shared})


def pair(source: Manifest, target: Manifest) -> Pairing:
    """Pair what wrappers and prefixes explain, and abstain where two copies on a side fit equally well.

    >>> info = TensorInfo("F32", (2,), 8)
    >>> pair(Manifest({"module.fc.bias": info}), Manifest({"fc.bias": info})).pairs
    {'fc.bias': 'module.fc.bias'}
    """
    pairs: dict[str, str] = {}
    ties = {name: group[0] for group in target.ties for name in group}
    for round_ in range(_MAX_ROUNDS):
        used = set(pairs.values())
        free_source = {key: info for key, info in source.items() if key not in used} if pairs else source.tensors
        free_target = {key: info for key, info in target.items() if key not in pairs} if pairs else target.tensors
        best, rivals = _best(free_source, free_target, ties, first=round_ == 0)
        if rivals and round_ == 0:
            return Pairing({}, rivals)
        if not best or rivals:
            break
        pairs.update(best)
    return Pairing(pairs)


def _best(
    source: Mapping[str, TensorInfo], target: Mapping[str, TensorInfo], ties: Mapping[str, str], *, first: bool
) -> tuple[dict[str, str], tuple[Choice, ...]]:
    if not source or not target:
        return {}, ()
    sides = dict(zip((False, True), zip(_sides(source), _sides(target), strict=True), strict=True))
    sample = {*_spread(list(target), _SAMPLE), *_spread(list(source), _SAMPLE)}
    samples = {bare: {s: key for s, key in sides[bare][1].keys.items() if key in sample} for bare in sides}
    guesses = _hypotheses(sides)

    def promise(guess: Hypothesis) -> tuple[int, bool, int]:
        found = _filled(guess, sides[guess.bare][0].keys, samples[guess.bare], source, target)
        return -len(found), guess.bare, len(guess.strip) + len(guess.add)

    finalists = sorted(guesses, key=promise)[:_FINALISTS]
    if IDENTITY not in finalists:
        finalists.append(IDENTITY)
    results: dict[Hypothesis, dict[str, str]] = {}
    for guess in finalists:
        source_side, target_side = sides[guess.bare]
        results[guess] = _filled(guess, source_side.keys, target_side.keys, source, target)
    ranked = sorted(finalists, key=lambda g: (-len(results[g]), g.bare, len(g.strip) + len(g.add)))
    winner = ranked[0]
    pairs = results[winner]
    if not _convincing(winner, pairs, source, target, first=first):
        return {}, ()
    if winner.is_identity or len(results[IDENTITY]) == len(pairs):
        return results[IDENTITY], ()
    rivals = [g for g in ranked[1:] if _is_rival(results[g], pairs, ties)]
    if rivals:
        return {}, _choices([winner, *rivals], results)
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
    source_keys: Mapping[str, str],
    target_keys: Mapping[str, str],
    source: Mapping[str, TensorInfo],
    target: Mapping[str, TensorInfo],
) -> dict[str, str]:
    """Give the target keys that the guess fills, each with the source key; both sides by their spelling."""
    strip = guess.strip and guess.strip + "."
    add = guess.add and guess.add + "."
    cut = len(add)
    pairs = (
        (key, source_keys.get(strip + spelling[cut:]))
        for spelling, key in target_keys.items()
        if spelling.startswith(add)
    )
    return {key: found for key, found in pairs if found is not None and fits(source[found], target[key])}


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


def _is_rival(other: Mapping[str, str], best: Mapping[str, str], ties: Mapping[str, str]) -> bool:
    """Tell whether a reading fills nearly as much, from other tensors or in other places that are not tied to these."""
    if len(other) < _ALMOST * len(best):
        return False
    places = {key: ties.get(name, name) for name, key in best.items()}
    disputed = sum(
        1
        for name, key in other.items()
        if best.get(name, key) != key or places.get(key, ties.get(name, name)) != ties.get(name, name)
    )
    return 2 * disputed >= len(other)


def _choices(guesses: Sequence[Hypothesis], results: Mapping[Hypothesis, Mapping[str, str]]) -> tuple[Choice, ...]:
    """Keep one reading for each set of pairs: with and without wrapper segments often say the same."""
    seen: dict[frozenset[tuple[str, str]], Hypothesis] = {}
    for guess in guesses:
        seen.setdefault(frozenset(list(results[guess].items())[:50]), guess)
    spelled = ((_with_wrappers(guess, results[guess]), len(results[guess])) for guess in seen.values())
    return tuple(Choice(guess.strip, guess.add, n_keys) for guess, n_keys in spelled)


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
