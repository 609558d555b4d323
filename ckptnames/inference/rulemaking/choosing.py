"""The few rules that say a mapping: from all that are proposed those that say most, each above those it corrects."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from ckptnames.errors import RuleError
from ckptnames.inference.matching.units import template_of
from ckptnames.inference.rulemaking.merging import merged
from ckptnames.inference.rulemaking.proposals import MOST_ALIKE, OPEN, outline_of, proposals, sampled
from ckptnames.rules import Rules
from ckptnames.rules.pattern import Pattern
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Stage

_LEAST_GAIN = 1e-9
_FEW = 2
_KEYS_PER_RULE = 20


class Task:
    """What rules have to do: what each source key becomes, and the names that no other key may get."""

    def __init__(self, changes: Mapping[str, str], untold: Collection[str] = (), target: Collection[str] = ()) -> None:
        self.changes = changes
        """Source keys with the names that they become; ``!open`` for those that are not to keep theirs."""
        self.untold = untold
        """Source keys that may become anything that is not the name of another."""
        self.taken = {*changes.values(), *target, *untold}

    def is_right(self, key: str, becomes: str) -> bool:
        """Tell whether a key may become that."""
        if not becomes:  # An index that no key can have: the rule would stop a plan.
            return False
        wanted = self.changes.get(key)
        if wanted is None:
            return becomes == key or (becomes != OPEN and becomes not in self.taken)
        return becomes == wanted


class Written(NamedTuple):
    """Rules, and the keys that each of them decides."""

    rules: Rules
    keys: Mapping[Rule, Sequence[str]]


def rules_for(task: Task, *, is_merged: bool = True) -> Written:
    """Find few rules that do exactly what is asked, with or without lists of words that put several into one.

    >>> task = Task({"m.0.a.w": "n.0.b.w", "m.1.a.w": "n.1.b.w"}, ["m.2.c.w"], ["n.0.b.w", "n.1.b.w"])
    >>> print(rules_for(task).rules, end="")
    m.{i:d}.a.w -> n.{i}.b.w
    """
    if all(task.is_right(key, key) for key in chain(task.changes, task.untold)):
        return Written(Rules(), {})
    effort, most_alike = 0, MOST_ALIKE
    while True:
        changes, untold = sampled(task.changes, most_alike), sampled(dict.fromkeys(task.untold, ""), most_alike)
        check = _Check(task, [*changes, *untold])
        chosen = _in_source_order(_Choice(task, changes, untold, effort).rules(), check)
        if is_merged:
            chosen = merged(chosen, check)
        decided, failures = _proved(chosen, task)
        if not failures and (effort or len(chosen) <= _FEW or len(chosen) * _KEYS_PER_RULE <= len(task.changes)):
            rules = Rules.parse("".join(f"{rule}\n" for rule in chosen))
            return Written(rules, {rule: decided[number] for number, rule in enumerate(rules)})
        # What a rule for others would rename onto a name that is taken is for the user to decide.
        undecided = dict.fromkeys((key for key in failures if key not in task.changes), OPEN)
        if not undecided:
            if effort > 1:
                raise AssertionError(f"no rule says what {failures[0]!r} becomes")
            effort += 1
            most_alike = MOST_ALIKE if effort < 2 else len(task.changes) + len(task.untold)
        task = Task({**task.changes, **undecided}, [key for key in task.untold if key not in undecided], task.taken)


def _proved(rules: Sequence[Rule], task: Task) -> tuple[list[list[str]], list[str]]:
    """Apply rules to every key: give those that each rule decides, and those of which they make the wrong thing."""
    stage = Stage(rules)
    numbers = {id(rule): number for number, rule in enumerate(rules)}
    decided: list[list[str]] = [[] for _ in rules]
    failures = []
    for key in chain(task.changes, task.untold):
        rule, becomes = _decision(stage, key)
        if not task.is_right(key, becomes):
            failures.append(key)
        if rule is not None:
            decided[numbers[id(rule)]].append(key)
    return decided, failures


class _Check:
    """Tells whether rules are still right for every key that some of them touch."""

    def __init__(self, task: Task, keys: Sequence[str]) -> None:
        self.task, self.keys = task, keys

    def __call__(self, rules: Sequence[Rule], changed: Sequence[Rule]) -> bool:
        stage, touching = Stage(rules), Stage(changed)
        return all(
            self.task.is_right(key, _outcome(stage, key))
            for key in self.keys
            if any(_applied(rule, key) is not None for rule in touching.candidates(key))
        )


def _outcome(stage: Stage, key: str) -> str:
    return _decision(stage, key)[1]


def _in_source_order(rules: Sequence[Rule], check: _Check) -> Sequence[Rule]:
    """Order rules as the source has the first keys that they decide, unless that makes a difference."""
    numbers = {id(rule): number for number, rule in enumerate(rules)}
    stage = Stage(rules)
    firsts = [len(check.keys)] * len(rules)
    for place, key in enumerate(check.keys):
        rule, _ = _decision(stage, key)
        if rule is not None:
            firsts[numbers[id(rule)]] = min(firsts[numbers[id(rule)]], place)
    ordered = sorted(rules, key=lambda rule: firsts[numbers[id(rule)]])
    return ordered if check(ordered, ordered) else rules


def _decision(stage: Stage, key: str) -> tuple[Rule | None, str]:
    """Give the rule that decides a key, and what it makes of it."""
    for rule in stage.candidates(key):
        found = _applied(rule, key)
        if found is not None:
            return rule, found
    return None, key


def _applied(rule: Rule, key: str) -> str | None:
    """Give what a rule makes of a key; ``None`` where it does not match."""
    try:
        names = rule.apply(key)
    except RuleError:
        return ""
    if names is None:
        return None
    return names[0] if names else rule.action


class _Choice:
    """The rules chosen so far, the last on top, and of which keys they make the right thing."""

    def __init__(self, task: Task, changes: Mapping[str, str], untold: Mapping[str, str], effort: int) -> None:
        self.keys = [*changes, *untold]
        self.weights = _weights(changes, untold)
        self.right = [task.is_right(key, key) for key in self.keys]
        self.candidates: list[Rule] = []
        by_outline: dict[Pattern, list[int]] = {}
        for proposal in proposals(changes, effort):
            try:
                rule, outline = Rule.parse(str(proposal)), Pattern.parse(proposal.outline)
            except RuleError:
                continue
            by_outline.setdefault(outline, []).append(len(self.candidates))
            self.candidates.append(rule)
        self.effects: list[list[tuple[int, bool]]] = [[] for _ in self.candidates]
        self.by_key: list[list[int]] = [[] for _ in self.keys]
        fitting: dict[str, list[int]] = {}
        for row, key in enumerate(self.keys):
            form = outline_of(key)
            if form not in fitting:
                fitting[form] = [n for pattern, found in by_outline.items() if pattern.match(form) for n in found]
            for number in fitting[form]:
                becomes = _applied(self.candidates[number], key)
                if becomes is not None:
                    self.effects[number].append((row, task.is_right(key, becomes)))
                    self.by_key[row].append(number)

    def rules(self) -> list[Rule]:
        """Put on top what makes most keys right, until all of them are."""
        gains = [self._gain(number) for number in range(len(self.candidates))]
        heap = [self._entry(number, gain) for number, gain in enumerate(gains)]
        heapq.heapify(heap)
        chosen: list[int] = []
        while heap:
            loss, *_, number = heapq.heappop(heap)
            if -loss < _LEAST_GAIN:
                break
            gain = self._gain(number)
            if gain != gains[number] or -loss != gain:
                gains[number] = gain
                heapq.heappush(heap, self._entry(number, gain))
                continue
            chosen.append(number)
            self._put(number)
            for other in {other for row, _ in self.effects[number] for other in self.by_key[row]}:
                gain = self._gain(other)
                if gain != gains[other]:
                    gains[other] = gain
                    heapq.heappush(heap, self._entry(other, gain))
        return self._deciding([self.candidates[number] for number in reversed(chosen)])

    def _entry(self, number: int, gain: float) -> tuple[float, int, int, int]:
        wrong = sum(not is_right for _, is_right in self.effects[number])
        return -gain, wrong, len(str(self.candidates[number])), number

    def _gain(self, number: int) -> float:
        return sum(self.weights[row] * (is_right - self.right[row]) for row, is_right in self.effects[number])

    def _put(self, number: int) -> None:
        for row, is_right in self.effects[number]:
            self.right[row] = is_right

    def _deciding(self, rules: Sequence[Rule]) -> list[Rule]:
        """Leave out the rules that decide nothing, which those above them have made idle."""
        stage = Stage(rules)
        deciding = {id(rule) for key in self.keys if (rule := _decision(stage, key)[0]) is not None}
        return [rule for rule in rules if id(rule) in deciding]


def _weights(changes: Mapping[str, str], untold: Collection[str]) -> list[float]:
    """Let names count once that differ in their numbers only."""
    sorts = [(template_of(key), template_of(name)) for key, name in changes.items()]
    counted = Counter(sorts)
    return [1 / counted[sort] for sort in sorts] + [1.0] * len(untold)
