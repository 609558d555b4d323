"""What rules will do to every key of a checkpoint, and what is wrong with that, before any byte moves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptnames.errors import CannotAllow, PlanError
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules.pattern import Pattern
from ckptnames.rules.problems import (
    Claims,
    Problem,
    collisions,
    dtype_mismatches,
    error_of,
    idle_rules,
    open_keys,
    open_targets,
    shape_mismatches,
    split_siblings,
    unexpected_keys,
    unfilled_targets,
)
from ckptnames.rules.recipes import narrowed
from ckptnames.rules.ruleset import Fate, Rules
from ckptnames.wording import counted

__all__ = ["ALLOWABLE", "Decision", "Plan", "Problem", "plan"]

ALLOWABLE = (
    "key-collision",
    "open-key",
    "open-target",
    "shape-mismatch",
    "unfilled-target",
    "split-siblings",
    "unexpected-key",
    "dtype-mismatch",
)
"""The problems of keys, which can be accepted for some of them; a rule that decides nothing has its ``?``."""

_IDLE = ("unmatched-rule", "shadowed-rule")


class Decision(NamedTuple):
    """A source key, the target keys it becomes, and the lines that say so."""

    source: str
    targets: tuple[str, ...]
    fates: tuple[Fate, ...]
    """One for each name that the rules give; ``targets`` lacks what was left out afterwards."""

    @property
    def action(self) -> str:
        """``keep``, ``rename``, ``drop`` or ``open``."""
        if any(fate.is_open for fate in self.fates):
            return "open"
        if not self.targets:
            return "drop"
        return "keep" if self.targets == (self.source,) else "rename"

    @property
    def where(self) -> str:
        """The line that decided last, as in ``llama.rules:4``; ``identity`` where none did."""
        return self.fates[0].where


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plan:
    """What will happen to every key, and the problems found."""

    source: Manifest
    rules: Rules
    target: Manifest | None
    decisions: tuple[Decision, ...]
    """One for each source key, in order."""
    mapping: Mapping[str, str]
    """Target key to the source key that fills it; of a target that is not known whole, every name. Where source keys
    collide, the first has it."""
    problems: tuple[Problem, ...]
    allowed: tuple[Problem, ...] = ()
    """Problems that the caller accepted."""
    droppable: frozenset[str] = field(default_factory=frozenset)
    """Keys without weights that the target lacks, or that nothing fills: no problem."""
    outcome: str = "ready"
    """``ready``; ``blocked`` where a problem is an error; ``nothing-to-do`` where no rule matches anything and the
    target, if there is one, is satisfied as it is."""

    @property
    def names(self) -> dict[str, str]:
        """Every key of the result, and the source key that it comes from; the first, where source keys collide."""
        names: dict[str, str] = {}
        for decision in self.decisions:
            for name in decision.targets:
                names.setdefault(name, decision.source)
        return names

    @property
    def dropped(self) -> tuple[str, ...]:
        """Source keys that are left out of the result."""
        return tuple(decision.source for decision in self.decisions if not decision.targets)

    @property
    def renames(self) -> dict[str, tuple[str, ...]]:
        """For each source key the keys it becomes."""
        return {decision.source: decision.targets for decision in self.decisions}

    @property
    def errors(self) -> tuple[PlanError, ...]:
        """The errors that stand in the way, one for each code, with all problems of that code."""
        return tuple(self._errors())

    def _errors(self) -> Iterator[PlanError]:
        found: dict[str, list[Problem]] = {}
        for problem in self.problems:
            if problem.severity == "error":
                found.setdefault(problem.code, []).append(problem)
        for problems in found.values():
            yield error_of(problems, self.source, self.target, self.names)

    def check(self) -> None:
        """Raise the first error, if there is one."""
        for error in self._errors():
            raise error

    def __str__(self) -> str:
        from ckptnames.report.plan import plan_text

        return plan_text(self).removesuffix("\n")

    def __repr__(self) -> str:
        return f"<Plan for {counted(len(self.source), 'key')}: {self.outcome}>"


Allow = Sequence[tuple[str, Pattern]]


def plan(
    source: Manifest | Iterable[str],
    rules: Rules | str,
    target: Manifest | Iterable[str] | None = None,
    *,
    allow: Allow = (),
    drop_unexpected: bool = False,
) -> Plan:
    """Say what ``rules`` make of every source key, and find every problem, without touching a byte.

    ``allow`` accepts problems, by code, for the keys that match a pattern. What is accepted does not block: a tensor of
    another shape is left out, of colliding keys the first stays, an open key keeps its name. ``drop_unexpected`` leaves
    out what the target does not have. Raises ``rule-syntax``, ``bad-arithmetic``, ``cannot-allow``.

    >>> found = plan(["module.fc.weight"], "module.** -> **", ["fc.weight"])
    >>> found.mapping, found.outcome
    ({'fc.weight': 'module.fc.weight'}, 'ready')
    """
    for code, _ in allow:
        if code not in ALLOWABLE:
            raise CannotAllow(code, ALLOWABLE)
    if isinstance(rules, str):
        rules = Rules.parse(rules)
    known = _manifest(source)
    draft = _Draft(known, narrowed(rules, known), None if target is None else _manifest(target), allow, drop_unexpected)
    return draft.plan()


def _manifest(keys: Manifest | Iterable[str]) -> Manifest:
    return keys if isinstance(keys, Manifest) else Manifest(dict.fromkeys(keys, TensorInfo(None, None)))


class _Draft:
    """A plan in the making: each step finds problems, and takes out of the result what was accepted for them."""

    def __init__(
        self, source: Manifest, rules: Rules, target: Manifest | None, allow: Allow, drop_unexpected: bool
    ) -> None:
        self.source, self.rules, self.target = source, rules, target
        self.allow, self.drop_unexpected = allow, drop_unexpected
        self.fates = {key: rules.fates(key) for key in source}
        self.blocking: list[Problem] = []
        self.allowed: list[Problem] = []
        self.left_out: set[tuple[str, str]] = set()
        self.excused: set[str] = set()
        self.droppable: set[str] = set()

    def plan(self) -> Plan:
        claims = self._claims(self._found(open_keys(self.fates)))
        mapping = self._without_rivals(claims)
        idle = [] if self.source.partial else idle_rules(self.rules, self.fates)
        self.blocking += idle
        self._compare(mapping)
        decisions = tuple(self._decision(key, fates) for key, fates in self.fates.items())
        self.blocking += self._found(split_siblings(self.source, decisions, self.target))[0]
        self._compare_names(mapping)
        return self._finished(decisions, mapping, idle)

    def _found(self, problems: Iterable[Problem]) -> tuple[list[Problem], list[Problem]]:
        """Sort problems into those that stay and those that are accepted."""
        stay: list[Problem] = []
        accepted: list[Problem] = []
        for problem in problems:
            (accepted if self._is_allowed(problem) else stay).append(problem)
        self.allowed += accepted
        return stay, accepted

    def _is_allowed(self, problem: Problem) -> bool:
        return any(
            code == problem.code and any(pattern.match(key) for key in (*problem.keys, *problem.targets))
            for code, pattern in self.allow
        )

    def _claims(self, found: tuple[list[Problem], list[Problem]]) -> Claims:
        """Give each name the source keys that would become it; an open key claims one only where that is accepted."""
        stay, accepted = found
        self.blocking += stay
        kept = {key for problem in accepted for key in problem.keys}
        claims: Claims = {}
        for key, fates in self.fates.items():
            for fate in fates:
                if fate.name is not None and (not fate.is_open or key in kept):
                    claims.setdefault(fate.name, {}).setdefault(key, fate)
        return claims

    def _without_rivals(self, claims: Claims) -> dict[str, str]:
        stay, accepted = self._found(collisions(claims))
        self.blocking = [*stay, *self.blocking]
        for problem in accepted:
            name = problem.targets[0]
            self.left_out.update((key, name) for key in problem.keys[1:])
        return {name: next(iter(keys)) for name, keys in claims.items()}

    def _compare(self, mapping: dict[str, str]) -> None:
        """Hold the tensors against those of the target."""
        if self.target is None:
            return
        stay, accepted = self._found(shape_mismatches(self.source, self.target, mapping))
        self.blocking += stay
        for problem in accepted:
            self._leave_out(mapping, problem.targets[0])
        if self.drop_unexpected:
            for name in [name for name in mapping if name not in self.target and not self.target.may_have(name)]:
                self._leave_out(mapping, name)

    def _leave_out(self, mapping: dict[str, str], name: str) -> None:
        self.left_out.add((mapping.pop(name), name))
        self.excused.add(name)

    def _decision(self, key: str, fates: tuple[Fate, ...]) -> Decision:
        names = [fate.name for fate in fates if fate.name is not None and (key, fate.name) not in self.left_out]
        return Decision(key, tuple(dict.fromkeys(names)), fates)

    def _compare_names(self, mapping: Mapping[str, str]) -> None:
        """Hold the names against those of the target; a side that is known in part proves nothing about the rest."""
        if self.target is None:
            return
        if not self.source.partial:
            unfilled, carried = unfilled_targets(self.target, mapping, self.excused)
            self._note(unfilled, carried)
        self._note(open_targets(self.target), ())
        self._note(*unexpected_keys(self.source, self.target, mapping))
        self.blocking += self._found(dtype_mismatches(self.source, self.target, mapping))[0]

    def _note(self, problems: Iterable[Problem], droppable: Collection[str]) -> None:
        self.droppable.update(droppable)
        self.blocking += self._found(problems)[0]

    def _finished(self, decisions: tuple[Decision, ...], mapping: dict[str, str], idle: list[Problem]) -> Plan:
        others = [problem for problem in self.blocking if problem.code not in _IDLE]
        is_blocked = any(problem.severity == "error" for problem in others)
        if is_blocked or self.left_out or any(fate.steps for fates in self.fates.values() for fate in fates):
            outcome, problems = "blocked" if is_blocked or idle else "ready", self.blocking
        else:
            # With a target the names are proved right; without one, a rule that matches nothing is worth a word.
            softened = [] if self.target is not None else [problem._replace(severity="warning") for problem in idle]
            outcome, problems = "nothing-to-do", [*softened, *others]
        return Plan(
            source=self.source,
            rules=self.rules,
            target=self.target,
            decisions=decisions,
            mapping=self._of_target(mapping),
            problems=tuple(problems),
            allowed=tuple(self.allowed),
            droppable=frozenset(self.droppable),
            outcome=outcome,
        )

    def _of_target(self, mapping: dict[str, str]) -> dict[str, str]:
        if self.target is None or self.target.partial:
            return mapping
        misfits = {problem.targets[0] for problem in self.blocking if problem.code == "shape-mismatch"}
        return {name: key for name, key in mapping.items() if name in self.target and name not in misfits}
