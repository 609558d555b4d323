"""Why two sets of names differ, as far as wrappers and prefixes explain it: rules with counts, or rival copies."""

from __future__ import annotations

from typing import NamedTuple

from ckptnames.inference.wrappers.obstacles import Obstacle, obstacles
from ckptnames.inference.wrappers.pairing import Choice, pair
from ckptnames.inference.wrappers.stages import Step, rules_of, steps
from ckptnames.manifest import Manifest
from ckptnames.rules import Rules


class Cause(NamedTuple):
    """One thing that was done to the names: in words, and on how many of the keys."""

    words: str
    n_keys: int
    n_source: int


class Explanation(NamedTuple):
    """``rules`` lead from source to target where they are not ``None``; else ``choices`` or nothing says why."""

    rules: Rules | None
    causes: tuple[Cause, ...] = ()
    choices: tuple[Choice, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()


def explain(source: Manifest, target: Manifest) -> Explanation:
    """Find the wrappers and prefixes between two manifests, decided from the two whole key sets.

    >>> from ckptnames.manifest import TensorInfo
    >>> info = TensorInfo("F32", (2,), 8)
    >>> found = explain(Manifest({"module.fc.bias": info}), Manifest({"fc.bias": info}))
    >>> str(found.rules).strip(), found.causes[0].n_keys
    ('module.** -> **', 1)
    """
    in_the_way = obstacles(source, target)
    pairing = pair(source, target)
    if pairing.choices:
        return Explanation(None, choices=pairing.choices, obstacles=in_the_way)
    found = steps(pairing.pairs)
    if not found:
        return Explanation(None, obstacles=in_the_way)
    rules = rules_of(found)
    # A key left unpaired must not be moved onto another's place: then the rules would claim more than was proved.
    stages = _stage_by_stage(source, found)
    if len(set(stages[-1])) < len(source):
        return Explanation(None, obstacles=in_the_way)
    return Explanation(rules, _causes(stages, found), obstacles=in_the_way)


def _stage_by_stage(source: Manifest, found: list[Step]) -> list[list[str]]:
    """Give the names as they stand, and as each step leaves them."""
    stages = [list(source)]
    for step in found:
        rules = rules_of([step])
        stages.append([rules(name) or name for name in stages[-1]])
    return stages


def _causes(stages: list[list[str]], found: list[Step]) -> tuple[Cause, ...]:
    causes = []
    for step, names, renamed in zip(found, stages, stages[1:], strict=False):
        touched = sum(1 for before, after in zip(names, renamed, strict=True) if before != after)
        causes.append(Cause(step.words, touched, len(names)))
    return tuple(causes)
