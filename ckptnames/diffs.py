"""What differs between two checkpoints, and why: names, shapes and dtypes, before and after the rules that explain."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ckptnames.droppable import is_droppable
from ckptnames.inference.wrappers.containers import chosen, source_for
from ckptnames.inference.wrappers.explanation import Cause, explain
from ckptnames.inference.wrappers.flattened import Flattened, unflattened
from ckptnames.inference.wrappers.obstacles import QUANTISED, Obstacle, transposed
from ckptnames.inference.wrappers.pairing import Choice
from ckptnames.keys import has_prefix
from ckptnames.manifest import Manifest, OpenPart, TensorInfo
from ckptnames.operands import Readable, manifest_of
from ckptnames.rules import Rules
from ckptnames.rules.recipes import narrowed, recipes
from ckptnames.rules.rule import OPEN

if TYPE_CHECKING:
    from ckptnames.inference.cautions import Caution
    from ckptnames.inference.inference import Evidence
    from ckptnames.inference.undecided import Ambiguity
    from ckptnames.values.comparing import Progress, ValueDiff
    from ckptnames.values.opening import Payloads

_MOST_NEAREST = 40
"""Nearest names are offered for this many missing keys: the search compares every pair."""


class ShapeMismatch(NamedTuple):
    """A key that both sides have with different shapes."""

    key: str
    source: tuple[int, ...]
    target: tuple[int, ...]


class DtypeMismatch(NamedTuple):
    """A key that both sides have with different dtypes."""

    key: str
    source: str
    target: str


@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """What differs between ``source`` and ``target``; ``missing`` and ``unexpected`` mean what they mean in torch."""

    source: Manifest
    target: Manifest
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shape_mismatch: tuple[ShapeMismatch, ...]
    dtype_mismatch: tuple[DtypeMismatch, ...]
    matched: int
    """Keys that both sides have, with no known difference in shape."""
    rules: Rules | None = None
    """The rules that explain the difference, found or given; ``None`` where none are needed or none are found."""
    after_rules: Diff | None = None
    """The same once ``rules`` are applied to the source."""
    causes: tuple[Cause, ...] = ()
    recipe: str = ""
    """The recipe, as in ``recipe:weight-norm``, that makes the last stage of ``rules``."""
    evidence: tuple[Evidence, ...] = ()
    """The rules one by one, where they go beyond wrappers and prefixes and were inferred."""
    cautions: tuple[Caution, ...] = ()
    ambiguous: tuple[Ambiguity, ...] = ()
    choices: tuple[Choice, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    droppable: frozenset[str] = frozenset()
    """Those of ``missing`` and ``unexpected`` that carry no weights."""
    nearest: Mapping[str, str] = field(default_factory=dict)
    """For missing keys, the unexpected key that is spelled most alike."""
    values: ValueDiff | None = None
    """What differs in value between the keys that both sides have under ``rules``, where that was asked for."""

    @property
    def same(self) -> bool:
        """True where nothing differs: keys, shapes and dtypes."""
        return not (self.missing or self.unexpected or self.shape_mismatch or self.dtype_mismatch)

    @property
    def complete(self) -> bool:
        """False where a side is a model of which the source does not tell all: there, more may differ."""
        return not (self.source.open or self.target.open)

    @property
    def settled(self) -> bool:
        """True where every weight of the target is filled with a tensor of its shape, and no weight is left over."""
        return self.complete and not self.shape_mismatch and self.droppable >= {*self.missing, *self.unexpected}

    def __str__(self) -> str:
        from ckptnames.report.diff import diff_text

        return diff_text(self).removesuffix("\n")

    def __repr__(self) -> str:
        return f"<Diff: {self.matched} matched, {len(self.missing)} missing, {len(self.unexpected)} unexpected>"


def diff(source: Readable, target: Readable, rules: Rules | str | None = None, *, values: bool = False) -> Diff:
    """Say what differs between two checkpoints, manifests, models or state dicts, and find the rules that explain it.

    A model is one in memory, or named in text (``"model.py:Net"``) and built without memory for its weights.
    ``rules`` are applied instead of being searched for, where they are given. With ``values``, both are files, and what
    their tensors hold is compared too.

    >>> from ckptnames.manifest import Manifest, TensorInfo
    >>> info = TensorInfo("F32", (2,), 8)
    >>> found = diff(Manifest({"module.fc.bias": info}), Manifest({"fc.bias": info}))
    >>> found.missing, str(found.rules).strip(), found.after_rules.same
    (('fc.bias',), 'module.** -> **', True)
    """
    if values:
        return _by_value(source, target, rules)
    target_manifest = manifest_of(target)
    source_manifest = source_for(source, target_manifest)
    plain = compare(source_manifest, target_manifest)
    if rules is not None:
        given = narrowed(Rules.parse(rules) if isinstance(rules, str) else rules, source_manifest)
        return _with(plain, rules=given, after_rules=_after(given, plain))
    if plain.same:
        return plain
    return _inferred(_explained(plain))


def _by_value(source: Readable, target: Readable, rules: Rules | str | None) -> Diff:
    from ckptnames.values.opening import open_file, payloads

    ours, theirs = open_file(source), open_file(target)
    wanted = theirs.checkpoint.manifest(theirs.container)
    with payloads(ours, theirs) as both:
        return with_values(diff(chosen(*ours, wanted), wanted, rules), both)


def with_values(found: Diff, payloads: Payloads, progress: Progress | None = None) -> Diff:
    """Compare what the tensors hold, too, of all keys that both sides have once the rules are applied.

    Raises ``cannot-read``, ``source-changed``, ``numpy-missing``.
    """
    from ckptnames.values.comparing import compared

    rules = found.rules or Rules()
    fates = ((key, fate) for key in found.source for fate in rules.fates(key))
    named = {fate.name: key for key, fate in fates if fate.name in found.target and not fate.is_open}
    pairs = [(named[name], name) for name in found.target if name in named]
    sides = (payloads.source, found.source), (payloads.target, found.target)
    return _with(found, values=compared(pairs, *sides, progress=progress))


def _explained(plain: Diff) -> Diff:
    """Find the wrappers and prefixes that explain the difference, and names whose dots were flattened."""
    flat = unflattened(plain.source, plain.target)
    found = explain(plain.source if flat is None else flat.source, plain.target)
    rules, causes, choices = found.rules, found.causes, found.choices
    if flat is not None:
        choices = _flattened_last(choices, flat)
        if flat.fills(plain.target, rules or Rules()):
            rules = Rules([*flat.rules.stages, *(rules or Rules()).stages])
            causes = (Cause(flat.words, len(flat.names), len(plain.source)), *causes)
    return _with(
        plain,
        rules=rules,
        after_rules=None if rules is None else _after(rules, plain),
        causes=causes,
        choices=choices,
        obstacles=found.obstacles,
    )


def _flattened_last(choices: Sequence[Choice], flat: Flattened) -> tuple[Choice, ...]:
    """Mark the copies whose names were flattened: it takes more to have them."""
    marked = [each._replace(is_flattened=any(has_prefix(each.strip, path) for path in flat.paths)) for each in choices]
    return tuple(sorted(marked, key=lambda choice: choice.is_flattened))


def _inferred(explained: Diff) -> Diff:
    """Where wrappers do not explain all, take the rules that can be inferred, if they fill more of the target."""
    left = explained.after_rules or explained
    if left.settled or not (left.missing or left.shape_mismatch):
        return explained
    if any(obstacle.code != QUANTISED for obstacle in explained.obstacles):
        return explained
    by_recipe = _by_recipe(explained)
    if by_recipe is not None:
        return by_recipe
    # Most differences are wrappers and prefixes: they do not pay for loading what finds more.
    from ckptnames.inference.inference import inferred

    found = inferred(explained.source, explained.target)
    # The target may keep the state of quantised weights as well, under other names.
    if not all(set(o.keys) <= set(found.mapping.values()) for o in explained.obstacles):
        return explained
    explained = _with(explained, obstacles=())
    turned = found.transposed.keys() & set(found.unfilled_target)
    if turned:
        explained = _with(explained, obstacles=(transposed(found.target, turned),))
    n_explained = max([0 if explained.choices else left.matched, *(choice.n_keys for choice in explained.choices)])
    if len(found.mapping) > n_explained:
        return _with(
            explained,
            rules=found.rules,
            after_rules=_after(found.rules, explained),
            causes=(),
            choices=(),
            evidence=found.evidence,
            cautions=found.cautions,
            ambiguous=found.ambiguous,
        )
    if explained.choices:
        return _with(explained, choices=_with_lines(explained.choices, found.ambiguous))
    return _with(explained, ambiguous=_of(left.missing, found.ambiguous))


def _with_lines(choices: Sequence[Choice], ambiguous: Sequence[Ambiguity]) -> tuple[Choice, ...]:
    """Note how a flattened copy is had where it is one of two, between which one question asks."""
    asked = [each.lines[0] for each in ambiguous if len(each.lines) == 2]
    line = asked[0] if len(asked) == 1 and len(choices) == 2 else ""
    return tuple(choice._replace(given=line) if choice.is_flattened else choice for choice in choices)


def _by_recipe(explained: Diff) -> Diff | None:
    """Find the recipe that, after wrappers and prefixes, explains all that is left."""
    left = explained.after_rules or explained
    for recipe in recipes() if left.unexpected else ():
        rules = recipe.for_keys(left.source)
        n_renamed = sum(rules(key) != key for key in left.source)
        after = _after(rules, left) if n_renamed else left
        if after.settled:
            cause = Cause(f"{recipe.title} (`{rules.name}`)", n_renamed, len(left.source))
            return _with(
                explained,
                rules=Rules([*(explained.rules or Rules()).stages, *rules.stages]),
                after_rules=after,
                causes=(*explained.causes, cause),
                recipe=rules.name,
                choices=(),
            )
    return None


def _of(missing: Collection[str], ambiguous: Iterable[Ambiguity]) -> tuple[Ambiguity, ...]:
    return tuple(each for each in ambiguous if each.targets and set(each.targets) <= set(missing))


def _after(rules: Rules, plain: Diff) -> Diff:
    """Compare again, once rules are applied; what they leave open fills nothing."""
    if not any(rule.action == OPEN for stage in rules.stages for rule in stage.rules):
        return compare(renamed(plain.source, rules), plain.target)
    left_open = {key: info for key, info in plain.source.items() if any(fate.is_open for fate in rules.fates(key))}
    others = {key: info for key, info in plain.source.items() if key not in left_open}
    after = compare(renamed(replace(plain.source, tensors=others), rules), plain.target)
    after = _with(after, source=replace(after.source, tensors={**left_open, **after.source.tensors}))
    if plain.target.partial:
        return after
    carried = [key for key in left_open if is_droppable(key, plain.source[key], plain.source)]
    return _with(after, unexpected=(*after.unexpected, *left_open), droppable=after.droppable | set(carried))


def _with(plain: Diff, **facts: object) -> Diff:
    return replace(plain, **facts)  # type: ignore[arg-type]


def compare(source: Manifest, target: Manifest) -> Diff:
    """Compare names, shapes and dtypes as they stand."""
    # A partial side does not list all of its keys: what others it has is not known.
    missing = tuple(key for key in target if key not in source and not source.may_have(key))
    unexpected = tuple(key for key in source if key not in target and not target.may_have(key))
    shapes, dtypes, matched = [], [], 0
    for key, info in source.items():
        other = target.tensors.get(key)
        if other is None:
            continue
        if info.shape is not None and other.shape is not None and info.shape != other.shape:
            shapes.append(ShapeMismatch(key, info.shape, other.shape))
            continue
        matched += 1
        if info.dtype is not None and other.dtype is not None and info.dtype != other.dtype:
            dtypes.append(DtypeMismatch(key, info.dtype, other.dtype))
    return Diff(
        source=source,
        target=target,
        missing=missing,
        unexpected=unexpected,
        shape_mismatch=tuple(shapes),
        dtype_mismatch=tuple(dtypes),
        matched=matched,
        droppable=frozenset(
            [key for key in missing if is_droppable(key, target[key], target)]
            + [key for key in unexpected if is_droppable(key, source[key], source)]
        ),
        nearest=_nearest(missing, unexpected),
    )


def renamed(source: Manifest, rules: Rules) -> Manifest:
    """Give the manifest that the rules make of ``source``; of two keys that collide the first stays."""
    tensors: dict[str, TensorInfo] = {}
    for key, info in source.items():
        for name in rules.targets(key):
            tensors.setdefault(name, info)
    return replace(source, tensors=tensors, open=tuple(_renamed_parts(source, rules)))


def _renamed_parts(source: Manifest, rules: Rules) -> Iterator[OpenPart]:
    """Give what is open in ``source`` under its old name, since rules can take some of it, and under its new one."""
    for part in source.open:
        for name in dict.fromkeys([part.pattern, *rules.targets(part.pattern)]):
            yield part._replace(pattern=name)


def _nearest(missing: tuple[str, ...], unexpected: tuple[str, ...]) -> dict[str, str]:
    if not unexpected or len(missing) > _MOST_NEAREST or len(unexpected) > 10 * _MOST_NEAREST:
        return {}
    found = {}
    for key in missing:
        close = difflib.get_close_matches(key, unexpected, n=1, cutoff=0.8)
        if close:
            found[key] = close[0]
    return found
