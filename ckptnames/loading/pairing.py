"""Which value fills which key of a model, and under which rule; what is left over on either side."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ckptnames.diffs import ShapeMismatch
from ckptnames.droppable import is_droppable
from ckptnames.errors import UndecidedCopies
from ckptnames.inference.wrappers.explanation import Explanation, explain
from ckptnames.inference.wrappers.wrapping import unwrapped
from ckptnames.loading.targets import Target, is_part, old_spelling
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.prediction.walk import EXTRA_STATE
from ckptnames.rules import Rules, plan
from ckptnames.rules.module_paths import following

WRAPPERS = "the wrappers of the model"
NORM = "weight norm, spelled the other way"
TIED = "one tensor in the model"
_WHAT_CLASHES = ("key-collision", "open-key", "split-siblings")
_OF_THE_RULES = (*_WHAT_CLASHES, "unmatched-rule", "shadowed-rule")


class Pair(NamedTuple):
    """A key of the model, the entry of the source that fills it, and what says so; empty where the names are equal."""

    target: str
    source: str
    by: str = ""


@dataclass(frozen=True)
class Pairing:
    """What fills what, and what is left over on either side."""

    pairs: Mapping[str, Pair]
    """By the key of the model, in its order."""
    rules: Rules
    missing: tuple[str, ...]
    """Keys of the model, with weights, that nothing fills."""
    unexpected: tuple[str, ...]
    """Entries of the source, with weights, that fill nothing."""
    mismatched: tuple[ShapeMismatch, ...]
    left_out: tuple[str, ...]
    """Entries of the source that fill nothing and carry no weights."""
    no_weights: frozenset[str] = frozenset()
    """All keys of the model that carry no weights."""
    misfits: Mapping[str, str] = field(default_factory=dict)
    """Those of another shape, each with the entry of the source that it has."""

    @property
    def is_whole(self) -> bool:
        """True where every weight has its place."""
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def is_empty(self) -> bool:
        """True where no weight at all is filled."""
        return all(pair.target in self.no_weights for pair in self.pairs.values())

    def without(self, keys: Collection[str]) -> Pairing:
        """Give the same without some keys of the model, which keep what they have."""
        return replace(self, pairs={key: pair for key, pair in self.pairs.items() if key not in keys})


class _Names(NamedTuple):
    """The names that the entries of a source have under some rules, each with its key there."""

    origins: Mapping[str, str]
    rules: Rules


def paired(source: Manifest, target: Target, rules: Rules | None, *, lenient: bool = False) -> Pairing:
    """Pair by the given rules, else by the names as they stand or by what wrappers on either side explain.

    Raises the problems of the rules, of which ``lenient`` lets one match nothing, and ``ambiguous-inference``.
    """
    as_it_is = _Names(_as_they_stand(source), Rules())
    if rules is not None:
        return _best(
            source, target, [_given(source, target, rules, as_it_is, _WHAT_CLASHES if lenient else _OF_THE_RULES)]
        )
    best = _best(source, target, [as_it_is])
    if not best.is_whole:
        found = explained(source, target)
        if found.choices:
            raise UndecidedCopies(source.name, [(choice.rule, choice.n_keys) for choice in found.choices])
        if found.rules is not None:
            names = _Names(_renamed(source, found.rules), found.rules)
            if _is_one_prefix(target, names):
                best = _best(source, target, [as_it_is, names])
    return best


def explained(source: Manifest, target: Target) -> Explanation:
    """Find the wrappers and prefixes between a source and the bare names of a model."""
    return explain(_spelled(source), target.bare_manifest)


def _is_one_prefix(target: Target, names: _Names) -> bool:
    olden = old_spelling(names.origins.values())
    bare = set(target.bare.values())
    return differ_by_one_prefix((olden.get(key, key), name) for name, key in names.origins.items() if name in bare)


def differ_by_one_prefix(pairs: Iterable[tuple[str, str]]) -> bool:
    """Tell whether names differ by wrappers and one prefix more; one prefix for another is a rename like any other.

    >>> differ_by_one_prefix([("module.fc.weight", "net.fc.weight")]), differ_by_one_prefix([("fc.bias", "out.bias")])
    (True, False)
    """
    changes = {heads(unwrapped(key), unwrapped(name)) for key, name in pairs} - {("", "")}
    return len(changes) <= 1 and all(not (strip and add) for strip, add in changes)


def heads(source: str, target: str) -> tuple[str, str]:
    """Cut off what two names have in common at their ends, in whole segments.

    >>> heads("module.fc.weight", "net.fc.weight")
    ('module', 'net')
    """
    strip, add = source.split("."), target.split(".")
    while strip and add and strip[-1] == add[-1]:
        strip.pop()
        add.pop()
    return ".".join(strip), ".".join(add)


def _best(source: Manifest, target: Target, readings: Sequence[_Names]) -> Pairing:
    """Take the reading that fills most of the model; of equals the first, which changes least."""
    pairings = [_pairing(source, target, names) for names in readings]
    return max(pairings, key=lambda each: (len(each.pairs), -len(each.unexpected)))


def _as_they_stand(source: Manifest) -> dict[str, str]:
    return {key: key for key in (*source, *source.other)}


def _spelled(source: Manifest) -> Manifest:
    olden = old_spelling(source)
    tensors = {olden.get(key, key): info for key, info in source.items()}
    return replace(source, tensors=tensors) if len(tensors) == len(source) else source


def _given(source: Manifest, target: Target, rules: Rules, as_it_is: _Names, problems: Sequence[str]) -> _Names:
    """Apply rules, and raise what is wrong with them; what the model lacks is said later, with all else."""
    planned = plan(source, rules, target.bare_manifest)
    errors = [error for error in planned.errors if error.code in problems]
    if errors:
        changes = any(fate.steps for decision in planned.decisions for fate in decision.fates)
        if not changes and _pairing(source, target, as_it_is).is_whole:
            return as_it_is
        raise errors[0]
    return _Names(_moved(source, dict(planned.renames)), rules)


def _renamed(source: Manifest, rules: Rules) -> dict[str, str]:
    olden = old_spelling(source)
    return _moved(source, {key: rules.targets(olden.get(key, key)) for key in source})


def _moved(source: Manifest, names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Give the origin of every new name; what is no tensor goes where its module goes."""
    moved = {**names, **following(source.other, names)}
    found: dict[str, str] = {}
    for key, after in moved.items():
        for name in after:
            found.setdefault(name, key)
    return found


def _pairing(source: Manifest, target: Target, names: _Names) -> Pairing:
    by_own = {key: names.origins[key] for key in target.manifest if key in names.origins}
    olden = old_spelling(names.origins)
    spelled = {olden.get(name, name): key for name, key in names.origins.items()}
    by_bare = {
        key: spelled[name]
        for key, name in target.bare.items()
        # What only spelling joins, `weight_g` and `original0`, has to be a weight norm in the model.
        if name in spelled and (_spelled_alike(key, spelled[name]) or target.is_weight_norm(key))
    }
    # One of the two as a whole: what is wrapped in the one reading is not in the other.
    chosen = by_own if len(by_own) >= len(by_bare) else by_bare
    found = {key: _pair(key, chosen[key], names.rules) for key in target.manifest if key in chosen}
    found |= _through_ties(target, found)
    found = {key: pair for key, pair in found.items() if _is_of_its_kind(source, target, pair)}
    mismatched, fitting = _by_shape(source, target, found)
    missing, _ = _left(target.manifest, (key for key in target.manifest if key not in found))
    filling = {pair.source for pair in found.values()}
    used = filling.copy()
    used |= {key for group in source.ties if not used.isdisjoint(group) for key in group}
    dropped = {key for key in source if not names.rules.targets(key)}
    unexpected, left_out = _left(source, (key for key in source if key not in used and key not in dropped))
    entries = [key for key in source.other if key not in used and ("." in key or key == EXTRA_STATE)]
    return Pairing(
        {key: fitting[key] for key in target.manifest if key in fitting},
        names.rules,
        missing,
        (*unexpected, *entries),
        mismatched,
        (*left_out, *(key for key in source if key in dropped or key in used - filling)),
        frozenset(key for key, info in target.manifest.items() if is_droppable(key, info, target.manifest)),
        {each.key: found[each.key].source for each in mismatched},
    )


def _spelled_alike(key: str, origin: str) -> bool:
    return is_part(key) == is_part(origin)


def _pair(key: str, origin: str, rules: Rules) -> Pair:
    if key == origin:
        return Pair(key, origin)
    fates = rules.fates(origin) if len(rules) else ()
    said = [str(step.rule) for fate in fates[:1] for step in fate.steps]
    reached = rules.targets(origin) if len(rules) else (origin,)
    if key not in reached:
        said.append(WRAPPERS if _spelled_alike(key, origin) else NORM)
    return Pair(key, origin, "; ".join(said))


def _through_ties(target: Target, found: Mapping[str, Pair]) -> dict[str, Pair]:
    """Fill what is one tensor with a key that is filled."""
    more: dict[str, Pair] = {}
    for group in target.manifest.ties:
        first = next((found[key] for key in group if key in found), None)
        if first is not None:
            more |= {key: Pair(key, first.source, TIED) for key in group if key not in found}
    return more


def _is_of_its_kind(source: Manifest, target: Target, pair: Pair) -> bool:
    """Hold that what the model has as a tensor is one in the source."""
    return pair.source in source or target.manifest[pair.target].dtype is None


def _by_shape(
    source: Manifest, target: Target, found: Mapping[str, Pair]
) -> tuple[tuple[ShapeMismatch, ...], dict[str, Pair]]:
    """Sort out the pairs of which the shapes are known to differ."""
    mismatched: list[ShapeMismatch] = []
    fitting: dict[str, Pair] = {}
    for key, pair in found.items():
        info = source.tensors.get(pair.source)
        has, wants = info.shape if info else None, target.manifest[key].shape
        # torch itself takes one element for a scalar: so its first versions saved them.
        if has is None or wants is None or has == wants or (has, wants) == ((1,), ()):
            fitting[key] = pair
        else:
            mismatched.append(ShapeMismatch(key, has, wants))
    return tuple(mismatched), fitting


def _left(manifest: Mapping[str, TensorInfo], keys: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    weights: list[str] = []
    others: list[str] = []
    for key in keys:
        (others if is_droppable(key, manifest[key], manifest) else weights).append(key)
    return tuple(weights), tuple(others)
