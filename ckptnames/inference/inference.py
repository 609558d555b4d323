"""The verb ``infer``: two manifests, the rules that lead from one to the other, and what stays undecided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypedDict

from ckptnames.droppable import is_droppable
from ckptnames.inference.cautions import Caution, cautions
from ckptnames.inference.condensing import LARGE, condensed, extended
from ckptnames.inference.in_context import InContext
from ckptnames.inference.matching.filling import Filling
from ckptnames.inference.rulemaking.choosing import Task, rules_for
from ckptnames.inference.search import Decided, Search
from ckptnames.inference.undecided import Ambiguity, between_flattened, open_lines
from ckptnames.inference.wrappers.flattened import Flattened, is_beside_the_point, rivals_of, unflattened
from ckptnames.inference.wrappers.pairing import fits
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted
from ckptnames.rules.recipes import narrowed
from ckptnames.rules.rule import OPEN, Rule
from ckptnames.rules.ruleset import Stage


class Evidence(NamedTuple):
    """One rule: its line, how many keys it renames, and in words what decided that."""

    rule: str
    n_keys: int
    why: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Inference:
    """What was found out about two sets of names."""

    source: Manifest
    target: Manifest
    rules: Rules
    draft: Rules
    """The rules, and lines that leave open what is ambiguous."""
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
    """True where every key of the target that holds weights is filled, and nothing is ambiguous."""
    flattened: Flattened | None = None
    """Names whose dots were flattened: the rules that give them back come first."""
    by_value: bool = False
    """True where the values of the tensors decided."""

    def __str__(self) -> str:
        from ckptnames.report.inference import inference_text

        return inference_text(self).removesuffix("\n")

    def __repr__(self) -> str:
        return f"<Inference: {len(self.mapping)} of {len(self.target)} filled, {len(self.ambiguous)} ambiguous>"


def inferred(source: Manifest, target: Manifest, given: Rules | None = None) -> Inference:
    """Find the rules between two manifests; lines of ``given`` are taken as decided, unless they leave a key open.

    >>> names = {"layers.0.attention.wq.weight": (8, 8), "layers.0.attention.wv.weight": (8, 8)}
    >>> wanted = {"h.0.self_attn.q_proj.weight": (8, 8), "h.0.self_attn.v_proj.weight": (8, 8)}
    >>> found = inferred(*(Manifest({k: TensorInfo("F32", s) for k, s in side.items()}) for side in (names, wanted)))
    >>> print(found.rules, end="")
    layers.0.attention.w{p:q|v}.** -> h.0.self_attn.{p:q|v}_proj.**
    """
    if given is None and max(len(source), len(target)) >= LARGE:
        found = _of_few(source, target)
        if found is not None:
            return found
    decided = Decided(source, target, None if given is None else narrowed(given, source))
    flat = unflattened(Manifest(decided.source), Manifest(decided.target))
    if flat is None and decided.landed:
        return Answer(source, target, decided, InContext(source, target, decided)).inference()
    search = Search(decided.source, decided.target, () if flat is None else flat.names)
    plain = Answer(source, target, decided, search)
    return plain.inference() if flat is None else _with_dots(plain, flat)


def _of_few(source: Manifest, target: Manifest) -> Inference | None:
    """Infer from a few members of long lists, where what is found holds for all of them and nothing is undecided."""
    ours, theirs = condensed(source), condensed(target)
    if ours is None or theirs is None or source.ties or target.ties:
        return None
    found = inferred(ours.few, theirs.few)
    if found.ambiguous or found.transposed or len(found.rules.stages) > 1:
        return None
    whole = extended(found.mapping, Stage(found.rules), (ours, theirs), source, target)
    if whole is None:
        return None
    return replace(
        found,
        source=source,
        target=target,
        mapping=whole.mapping,
        evidence=tuple(each._replace(n_keys=whole.n_keys[each.rule]) for each in found.evidence),
        cautions=cautions(whole.mapping, source, target) if found.cautions else (),
        **_left(whole.mapping, source, target),
    )


class _Left(TypedDict):
    unused_source: tuple[str, ...]
    unfilled_target: tuple[str, ...]


def _left(mapping: Mapping[str, str], source: Manifest, target: Manifest) -> _Left:
    used = set(mapping.values())
    return {
        "unused_source": tuple(key for key in source if key not in used),
        "unfilled_target": tuple(name for name in target if name not in mapping),
    }


def _with_dots(plain: Answer, flat: Flattened) -> Inference:
    """Take the names whose dots were flattened for what they are, unless another copy is called so already.

    Where another copy has other names, neither is taken: one of the two is wanted. ``plain`` is the answer without any
    of these names.
    """
    source, target, decided = plain.source, plain.target, plain.decided
    rivals = rivals_of(flat, plain.pairs)
    if rivals and is_beside_the_point(flat, rivals, plain.pairs):
        return plain.inference()
    if rivals:
        search = Search(decided.source, decided.target, withheld={*rivals.values(), *flat.names})
        return Answer(source, target, decided, search, [between_flattened(flat, rivals)]).inference()
    given = Rules([*decided.given.stages, *flat.rules.stages, *flat.placed.stages])
    dotted = Decided(source, target, given)
    return replace(
        Answer(source, target, dotted, Search(dotted.source, dotted.target)).inference(),
        flattened=flat,
    )


class Found(Protocol):
    """What a search gives, by names or by values."""

    source: Mapping[str, TensorInfo]
    filled: Filling

    def questions(self) -> list[Ambiguity]:
        """Ask what is not decided."""
        ...

    def cautions(self, target: Manifest) -> tuple[Caution, ...]:
        """Warn of pairs whose values may be laid out in different ways."""
        ...


class Answer:
    """What was found, put into rules and words."""

    def __init__(
        self,
        source: Manifest,
        target: Manifest,
        decided: Decided,
        search: Found,
        asked: Sequence[Ambiguity] = (),
    ) -> None:
        self.source, self.target, self.decided, self.search = source, target, decided, search
        self.asked = asked
        """Questions that the search did not come upon."""
        self.pairs = search.filled.pairs
        # A given line fills what is tied to its name, too; by the name that it has given.
        self.tied = _tied({**{name: name for name in decided.pairs}, **self.pairs}, target)
        self.why = {key: search.filled.why[name] for name, key in self.pairs.items()}

    def inference(self) -> Inference:
        """Give the answer."""
        written, evidence = self._rules()
        mapping = {**self.decided.pairs, **self._original({**self.pairs, **self.tied})}
        mapping = {name: mapping[name] for name in self.target if name in mapping}
        left = _left(mapping, self.source, self.target)
        ambiguous, still_open = self._ambiguous(Rules([*self.decided.given.stages, Stage(written)]))
        return Inference(
            source=self.source,
            target=self.target,
            rules=self._after_given(written),
            draft=self._after_given([*written, *still_open]),
            mapping=mapping,
            evidence=tuple(evidence),
            ambiguous=ambiguous,
            cautions=self.search.cautions(self.target),
            **left,
            transposed=self._original(self.search.filled.transposed),
            complete=not ambiguous
            and not self.decided.collide
            and all(is_droppable(name, self.target[name], self.target) for name in left["unfilled_target"]),
        )

    def _ambiguous(self, rules: Rules) -> tuple[tuple[Ambiguity, ...], Sequence[Rule]]:
        origins = self.decided.origins
        found = [*self.asked, *self.search.questions()]
        is_open = {name for each in found for name in each.sources if rules.fates(origins[name])[0].is_open}
        found, lines = open_lines(found, self.pairs.values(), is_open)
        return tuple(each._replace(sources=tuple(origins[name] for name in each.sources)) for each in found), lines

    def _original(self, pairs: Mapping[str, str]) -> dict[str, str]:
        return {name: self.decided.origins[key] for name, key in pairs.items()}

    def _rules(self) -> tuple[list[Rule], list[Evidence]]:
        becomes: dict[str, list[str]] = {key: [key] for key in self.tied.values() if key in self.decided.pairs}
        for name, key in {**self.pairs, **self.tied}.items():
            becomes.setdefault(key, []).append(name)
        shared = {key: names for key, names in becomes.items() if len(names) > 1}
        both = [f"{quoted(key)} -> {' & '.join(map(quoted, names))}" for key, names in shared.items()]
        fixed = {self.decided.names[key]: name for name, key in self.decided.landed.items()}
        changes = fixed | {key: names[0] for key, names in becomes.items() if len(names) == 1}
        left = [key for key in self.search.source if key not in becomes]
        # What is not used must not be taken for what has its name in the target; of another shape, a plan refuses it.
        undecided = {key: OPEN for key in left if key in self.target and not self._is_refused(key)}
        wanted = changes | undecided
        ordered = {key: wanted[key] for key in self.decided.names.values() if key in wanted}
        written = rules_for(Task(ordered, [key for key in left if key not in undecided], self.target))
        evidence = [Evidence(line, 1, "the two share their storage in the target") for line in both]
        evidence += [self._evidence(rule, keys) for rule, keys in written.keys.items()]
        return [*map(Rule.parse, both), *written.rules], evidence

    def _is_refused(self, key: str) -> bool:
        """Tell whether a key keeps a name of the target that nothing else fills, and is of another shape."""
        filled = key in self.pairs or key in self.tied or key in self.decided.landed
        return not filled and not fits(self.search.source[key], self.target[key])

    def _after_given(self, rules: Sequence[Rule]) -> Rules:
        return Rules.parse(str(Rules([*self.decided.given.stages, Stage(rules)])))

    def _evidence(self, rule: Rule, keys: Sequence[str]) -> Evidence:
        reasons = Counter(self.why.get(key, "") for key in keys)
        said = [reason for reason, _ in reasons.most_common() if reason]
        return Evidence(str(rule), len(keys), said[0] if said else "")


def _tied(pairs: Mapping[str, str], target: Manifest) -> dict[str, str]:
    """Fill each tensor of the target that shares its storage with a filled one."""
    found = {}
    for group in target.ties:
        key = next((pairs[name] for name in group if name in pairs), None)
        if key is not None:
            found.update({name: key for name in group if name not in pairs})
    return found
