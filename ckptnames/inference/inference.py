"""The verb ``infer``: two manifests, the rules that lead from one to the other, and what stays undecided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ckptnames.droppable import is_droppable
from ckptnames.inference.cautions import Caution, cautions
from ckptnames.inference.matching.alignment import Alignment, Open
from ckptnames.inference.matching.copies import Copies, copies_in, superseded
from ckptnames.inference.matching.filling import Filling, filling
from ckptnames.inference.matching.orientation import is_turned, turned
from ckptnames.inference.matching.units import Unit, template_of, tree_of
from ckptnames.inference.rulemaking.choosing import Task, rules_for
from ckptnames.inference.rulemaking.proposals import OPEN
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Stage

_MOST_CANDIDATES = 6


class Evidence(NamedTuple):
    """One rule: its line, how many keys it renames, and in words what decided that."""

    rule: str
    n_keys: int
    why: str


class Ambiguity(NamedTuple):
    """Keys that fit each other equally well, and for each candidate of one of them the line that would decide."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    why: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inference:
    """What was found out about two sets of names."""

    rules: Rules
    mapping: Mapping[str, str]
    """Target key to the source key that fills it."""
    evidence: tuple[Evidence, ...]
    ambiguous: tuple[Ambiguity, ...]
    cautions: tuple[Caution, ...]
    unused_source: tuple[str, ...]
    unfilled_target: tuple[str, ...]
    transposed: Mapping[str, str]
    """Target key to the source key that holds the same weight transposed, which no rename mends."""
    complete: bool
    """True where every key of the target that holds weights is filled."""


def inferred(source: Manifest, target: Manifest, given: Rules | None = None) -> Inference:
    """Find the rules between two manifests; lines of ``given`` are taken as decided.

    >>> names = {"layers.0.attention.wq.weight": (8, 8), "layers.0.attention.wv.weight": (8, 8)}
    >>> wanted = {"h.0.self_attn.q_proj.weight": (8, 8), "h.0.self_attn.v_proj.weight": (8, 8)}
    >>> found = inferred(*(Manifest({k: TensorInfo("F32", s) for k, s in side.items()}) for side in (names, wanted)))
    >>> print(found.rules, end="")
    layers.0.attention.w{p:q|v}.** -> h.0.self_attn.{p:q|v}_proj.**
    """
    decided = _Decided(source, target, given)
    search = _Search(decided.source, decided.target)
    return _Answer(source, target, decided, search).inference()


class _Decided:
    """What given lines decide, and the two sides without that."""

    def __init__(self, source: Manifest, target: Manifest, given: Rules | None) -> None:
        self.given = given or Rules()
        self.names: dict[str, str] = {}
        """Each source key that is not left out, and the name that the given lines make of it."""
        self.pairs: dict[str, str] = {}
        for key in source:
            for fate in self.given.fates(key):
                if fate.name is not None:
                    self.names[key] = fate.name
                    if fate.steps and not fate.is_open and fate.name in target:
                        self.pairs[fate.name] = key
        fixed = {self.names[key] for key in self.pairs.values()}
        self.origins = {name: key for key, name in self.names.items()}
        self.source = {name: source[key] for key, name in self.names.items() if name not in fixed}
        self.target = {name: info for name, info in target.items() if name not in self.pairs}


class _Search:
    """The search itself, once more with the weights turned where that is what the shapes say."""

    def __init__(self, source: Mapping[str, TensorInfo], target: Mapping[str, TensorInfo]) -> None:
        self.source, self.target = source, target
        self.alignment, self.filled = self._run({})
        weights = (
            (key, name, source[key].shape, target[name].shape)
            for match in self.alignment.matches.values()
            if (key := match.source.keys.get("weight")) and (name := match.target.keys.get("weight"))
        )
        if is_turned(weights):
            self.alignment, self.filled = self._run(turned(source))

    def _run(self, other: Mapping[str, TensorInfo]) -> tuple[Alignment, Filling]:
        ours, theirs = tree_of({**self.source, **other}), tree_of(self.target)
        self.copies = copies_in(ours, theirs)
        alignment = Alignment(ours, theirs)
        for node in (*superseded(ours), *(node for found in self.copies for node in found.nodes)):
            for unit in node.units:
                alignment.withhold(unit)
        alignment.run()
        return alignment, filling(alignment, self.source, self.target, other)


class _Answer:
    """What was found, put into rules and words."""

    def __init__(self, source: Manifest, target: Manifest, decided: _Decided, search: _Search) -> None:
        self.source, self.target, self.decided, self.search = source, target, decided, search
        self.pairs = search.filled.pairs
        self.tied = _tied(self.pairs, target)
        self.why = {key: search.filled.why[name] for name, key in self.pairs.items()}

    def inference(self) -> Inference:
        rules, evidence = self._rules()
        mapping = {**self.decided.pairs, **self._original(self.pairs), **self._original(self.tied)}
        mapping = {name: mapping[name] for name in self.target if name in mapping}
        used = set(mapping.values())
        unfilled = tuple(name for name in self.target if name not in mapping)
        return Inference(
            rules=rules,
            mapping=mapping,
            evidence=tuple(evidence),
            ambiguous=tuple(_ambiguities(self.search)),
            cautions=cautions(self.pairs, self.search.source, self.target),
            unused_source=tuple(key for key in self.source if key not in used),
            unfilled_target=unfilled,
            transposed=self._original(self.search.filled.transposed),
            complete=all(is_droppable(name, self.target[name], self.target) for name in unfilled),
        )

    def _original(self, pairs: Mapping[str, str]) -> dict[str, str]:
        return {name: self.decided.origins[key] for name, key in pairs.items()}

    def _rules(self) -> tuple[Rules, list[Evidence]]:
        becomes: dict[str, list[str]] = {}
        for name, key in {**self.pairs, **self.tied}.items():
            becomes.setdefault(key, []).append(name)
        shared = {key: names for key, names in becomes.items() if len(names) > 1}
        both = [f"{quoted(key)} -> {' & '.join(map(quoted, names))}" for key, names in shared.items()]
        fixed = {self.decided.names[key]: name for name, key in self.decided.pairs.items()}
        changes = fixed | {key: names[0] for key, names in becomes.items() if len(names) == 1}
        left = [key for key in self.search.source if key not in becomes]
        # What is not used must not be taken for what has its name in the target.
        undecided = {key: OPEN for key in left if key in self.target}
        wanted = changes | undecided
        ordered = {key: wanted[key] for key in self.decided.names.values() if key in wanted}
        written = rules_for(Task(ordered, [key for key in left if key not in undecided], self.target))
        evidence = [Evidence(line, 1, "the two share their storage in the target") for line in both]
        evidence += [self._evidence(rule, keys) for rule, keys in written.keys.items()]
        return Rules([*self.decided.given.stages, *_joined(both, written.rules)]), evidence

    def _evidence(self, rule: Rule, keys: Sequence[str]) -> Evidence:
        reasons = Counter(self.why.get(key, "") for key in keys)
        said = [reason for reason, _ in reasons.most_common() if reason]
        return Evidence(str(rule), len(keys), said[0] if said else "")


def _joined(lines: Sequence[str], rules: Rules) -> Sequence[Stage]:
    """Put lines above the rules of a stage."""
    return Rules.parse("\n".join([*lines, *map(str, rules)])).stages


def _tied(pairs: Mapping[str, str], target: Manifest) -> dict[str, str]:
    """Fill each tensor of the target that shares its storage with a filled one."""
    found = {}
    for group in target.ties:
        key = next((pairs[name] for name in group if name in pairs), None)
        if key is not None:
            found.update({name: key for name in group if name not in pairs})
    return found


def _ambiguities(search: _Search) -> Iterator[Ambiguity]:
    for copies in search.copies:
        yield _between(copies)
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Open]] = {}
    for group in search.alignment.still_open():
        groups.setdefault((_templates(group.sources), _templates(group.targets)), []).append(group)
    for found in groups.values():
        yield _undecided(found)


def _templates(columns: Sequence[Sequence[Unit]]) -> tuple[str, ...]:
    return tuple(sorted({template_of(".".join(units[0].path)) for units in columns}))


def _between(copies: Copies) -> Ambiguity:
    paths = [".".join(node.path) for node in copies.nodes]
    keys = tuple(key for node in copies.nodes for unit in node.units for key in unit.keys.values())
    named = " and ".join(f"`{path}.`" for path in paths)
    why = f"{named} hold the same names and shapes: complete copies of one network, of which one is wanted"
    return Ambiguity(keys, (), why, tuple(f"{quoted(path)}.** -> !drop" for path in paths))


def _undecided(groups: Sequence[Open]) -> Ambiguity:
    """Say of groups that are alike in all blocks what could fill their first target."""
    first = groups[0]
    place = _templates(first.targets[:1])
    lines = []
    for number in range(min(len(first.sources), _MOST_CANDIDATES)):
        changes = {}
        for group in groups:
            if len(group.sources) > number and _templates(group.targets[:1]) == place:
                changes.update(_renamed(group.sources[number], group.targets[0]))
        lines += [str(rule) for rule in rules_for(Task(changes)).rules][:1]
    return Ambiguity(
        tuple(key for group in groups for units in group.sources for unit in units for key in unit.keys.values()),
        tuple(key for group in groups for units in group.targets for unit in units for key in unit.keys.values()),
        "of equal shapes, and nothing in their names tells which is which",
        tuple(dict.fromkeys(lines)),
    )


def _renamed(sources: Iterable[Unit], targets: Iterable[Unit]) -> dict[str, str]:
    return {
        key: target.keys[role]
        for source, target in zip(sources, targets, strict=True)
        for role, key in source.keys.items()
        if role in target.keys
    }
