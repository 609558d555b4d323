"""The patterns of ``match``."""

from __future__ import annotations

import ast

from ckptnames.prediction.static.interpreter.classes import is_instance
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import equal, is_same
from ckptnames.prediction.static.signals import Stuck
from ckptnames.prediction.static.values import Unknown, Value


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
    if isinstance(pattern, ast.MatchSequence) and not any(isinstance(p, ast.MatchStar) for p in pattern.patterns):
        if isinstance(subject, Unknown):
            raise Stuck(subject)
        if not isinstance(subject, list | tuple) or len(subject) != len(pattern.patterns):
            return False
        pairs = zip(pattern.patterns, subject, strict=True)
        return all(matches(machine, each, item, bound, frame) for each, item in pairs)
    if isinstance(pattern, ast.MatchClass) and not pattern.patterns and not pattern.kwd_patterns:
        return _known(is_instance(machine, subject, machine.eval(pattern.cls, frame)))
    raise Stuck(machine.unknown("a pattern of this kind is not followed", pattern, frame))


def _known(found: bool | Unknown) -> bool:
    if isinstance(found, Unknown):
        raise Stuck(found)
    return found
