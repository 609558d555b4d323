"""The patterns of ``match``."""

from __future__ import annotations

import ast

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.classes import is_instance
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import equal, is_same
from ckptnames.prediction.static.signals import Stuck
from ckptnames.prediction.static.values import Unknown, Value

_BY_ITSELF = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
"""Types whose one positional pattern stands for the value itself."""


def matches(machine: Machine, pattern: ast.pattern, subject: Value, bound: dict[str, Value], frame: Frame) -> bool:
    """Tell whether a pattern matches, and collect what it binds. Raises ``Stuck`` where that is not known."""
    if isinstance(pattern, ast.MatchValue):
        return _known(machine.truth(equal(machine, subject, machine.eval(pattern.value, frame))))
    if isinstance(pattern, ast.MatchSingleton):
        return _known(is_same(machine, subject, pattern.value))
    if isinstance(pattern, ast.MatchOr):
        return any(matches(machine, each, subject, bound, frame) for each in pattern.patterns)
    if isinstance(pattern, ast.MatchAs):
        if pattern.pattern is not None and not matches(machine, pattern.pattern, subject, bound, frame):
            return False
        if pattern.name is not None:
            bound[pattern.name] = subject
        return True
    if isinstance(subject, Unknown):
        raise Stuck(subject)
    if isinstance(pattern, ast.MatchSequence):
        return _sequence(machine, pattern, subject, bound, frame)
    if isinstance(pattern, ast.MatchMapping) and pattern.rest is None and isinstance(subject, dict):
        keys = [machine.eval(key, frame) for key in pattern.keys]
        machine.check(subject)
        if not all(key in subject for key in keys):
            return False
        pairs = zip(pattern.patterns, keys, strict=True)
        return all(matches(machine, each, subject[key], bound, frame) for each, key in pairs)
    if isinstance(pattern, ast.MatchClass):
        return _of_class(machine, pattern, subject, bound, frame)
    raise Stuck(machine.unknown("a pattern of this kind is not followed", pattern, frame))


def _sequence(
    machine: Machine, pattern: ast.MatchSequence, subject: Value, bound: dict[str, Value], frame: Frame
) -> bool:
    if not isinstance(subject, list | tuple):
        return False
    machine.check(subject)
    patterns = pattern.patterns
    starred = next((n for n, each in enumerate(patterns) if isinstance(each, ast.MatchStar)), None)
    if starred is None:
        if len(subject) != len(patterns):
            return False
        return all(matches(machine, each, item, bound, frame) for each, item in zip(patterns, subject, strict=True))
    behind = len(patterns) - starred - 1
    if len(subject) < len(patterns) - 1:
        return False
    ends = [*subject[:starred], *subject[len(subject) - behind :]]
    others = [each for each in patterns if not isinstance(each, ast.MatchStar)]
    if not all(matches(machine, each, item, bound, frame) for each, item in zip(others, ends, strict=True)):
        return False
    star = patterns[starred]
    if isinstance(star, ast.MatchStar) and star.name is not None:
        bound[star.name] = list(subject[starred : len(subject) - behind])
    return True


def _of_class(machine: Machine, pattern: ast.MatchClass, subject: Value, bound: dict[str, Value], frame: Frame) -> bool:
    kind = machine.eval(pattern.cls, frame)
    if not _known(is_instance(machine, subject, kind)):
        return False
    if len(pattern.patterns) == 1 and kind in _BY_ITSELF:
        return matches(machine, pattern.patterns[0], subject, bound, frame)
    if pattern.patterns:
        raise Stuck(machine.unknown("a pattern of this kind is not followed", pattern, frame))
    for name, each in zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True):
        found = machine.find(subject, name, MISSING)
        if found is MISSING or not matches(machine, each, found, bound, frame):
            return False
    return True


def _known(found: bool | Unknown) -> bool:
    if isinstance(found, Unknown):
        raise Stuck(found)
    return found
