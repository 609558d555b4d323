"""Branches and loops of which nobody knows whether, or how often, they are taken."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.journal import After, joined_value
from ckptnames.prediction.static.signals import Break, Continue, Raised, Return, Stuck
from ckptnames.prediction.static.values import Unknown, Value

_MOST_BRANCHES = 3_000
_MOST_ROUNDS = 5
"""Rounds after which a loop must have changed all that it ever changes."""

_Ends = Literal["falls", "returns", "breaks", "continues", "raises"]


class Outcome(NamedTuple):
    """How one way of a branch ends, and what it leaves."""

    ends: _Ends
    value: Value
    after: After


def tried(machine: Machine, way: Callable[[], Any], *, for_certain: bool = False) -> Outcome:
    """Run one way of a branch, and take back all that it changes; ``for_certain`` says that it is taken."""
    if machine.journal.n_branches > _MOST_BRANCHES:
        raise machine.stuck("too much depends on values that are not known")
    depth = len(machine.frames)
    machine.journal.begin(for_certain=for_certain)
    ends: _Ends = "falls"
    value: Value = None
    after = After({})
    try:
        value = way()
    except Return as returned:
        ends, value = "returns", returned.value
    except Break:
        ends = "breaks"
    except Continue:
        ends = "continues"
    except Raised as raised:
        ends, value = "raises", raised
    finally:
        after = machine.journal.end()
        del machine.frames[depth:]
    return Outcome(ends, value, after)


def branch(machine: Machine, node: ast.If, rest: Sequence[ast.stmt], frame: Frame) -> bool:
    """Run an ``if``. Where it is not known which way, run both; tells whether that took the rest of the block, too."""
    taken = test(machine, node.test, frame)
    if not isinstance(taken, Unknown):
        machine.execute(node.body if taken else node.orelse, frame)
        return False
    ways = [lambda: machine.execute(node.body, frame), lambda: machine.execute(node.orelse, frame)]
    alive = _alive(machine, [tried(machine, way) for way in ways], taken)
    if len({outcome.ends for outcome in alive}) == 1:
        _go_on(machine, alive, taken)
        return False
    # One way leaves the function or the loop: the other goes on to where the two can be compared.
    alive = _alive(machine, [_to_the_end(machine, outcome, rest, frame) for outcome in alive], taken)
    if _is_whole_function(frame, rest):
        alive = [o._replace(ends="returns", value=None) if o.ends == "falls" else o for o in alive]
    if len({outcome.ends for outcome in alive}) > 1:
        raise Stuck(taken)
    _go_on(machine, alive, taken)
    return True


def _is_whole_function(frame: Frame, rest: Sequence[ast.stmt]) -> bool:
    body = getattr(frame.function.node, "body", None) if frame.function is not None else None
    return isinstance(body, list) and bool(rest) and body[-1] is rest[-1]


def _to_the_end(machine: Machine, outcome: Outcome, rest: Sequence[ast.stmt], frame: Frame) -> Outcome:
    if outcome.ends != "falls":
        return outcome

    def go_on() -> None:
        machine.journal.redo(outcome.after)
        machine.execute(rest, frame)

    return tried(machine, go_on)


def _alive(machine: Machine, outcomes: list[Outcome], why: Unknown) -> list[Outcome]:
    """Leave out ways that raise: a model that can be built does not take them, unless the program catches it."""
    alive = [outcome for outcome in outcomes if outcome.ends != "raises"]
    if not alive:
        raise outcomes[0].value
    if len(alive) < len(outcomes) and any(frame.guarded for frame in machine.frames):
        raise Stuck(why)
    return alive


def _go_on(machine: Machine, alive: list[Outcome], why: Unknown) -> None:
    """Go on after ways that all end alike."""
    value = alive[0].value
    if len(alive) == 1:
        machine.journal.redo(alive[0].after)
    else:
        machine.journal.join([outcome.after for outcome in alive], why, machine.unsure)
        value = joined_value([outcome.value for outcome in alive], why)
    leave(alive[0]._replace(value=value))


def leave(outcome: Outcome) -> None:
    """Leave the block as one way of a branch does."""
    if outcome.ends == "returns":
        raise Return(outcome.value)
    if outcome.ends == "breaks":
        raise Break
    if outcome.ends == "continues":
        raise Continue


def one_of(machine: Machine, ways: Sequence[Callable[[], Any]], why: Unknown) -> None:
    """Run blocks of which one is taken, and it is not known which."""
    alive = _alive(machine, [tried(machine, way) for way in ways], why)
    if len({outcome.ends for outcome in alive}) > 1:
        raise Stuck(why)
    _go_on(machine, alive, why)


def either(machine: Machine, ways: Sequence[Callable[[], Value]], why: Unknown) -> Value:
    """Give the value of expressions of which one is evaluated, and it is not known which."""
    alive = _alive(machine, [tried(machine, way) for way in ways], why)
    if len(alive) == 1:
        machine.journal.redo(alive[0].after)
        return alive[0].value
    machine.journal.join([outcome.after for outcome in alive], why, machine.unsure)
    return joined_value([outcome.value for outcome in alive], why)


def perhaps_often(machine: Machine, once: Callable[[], None], why: Unknown) -> None:
    """Run what a loop does in each round, of which it is not known how many there are."""
    for n_rounds in range(_MOST_ROUNDS):
        outcome = tried(machine, once)
        if outcome.ends == "returns":
            raise Stuck(why)
        if outcome.ends == "raises":
            if any(frame.guarded for frame in machine.frames):
                raise Stuck(why)
            return
        ways = [outcome.after, After({})]
        if not machine.journal.join(ways, why, machine.unsure, again=n_rounds > 0):
            return
    raise Stuck(why)


def test(machine: Machine, node: ast.expr, frame: Frame) -> bool | Unknown:
    """Tell whether a condition holds: ``unknown and False`` does not."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        found = test(machine, node.operand, frame)
        return found if isinstance(found, Unknown) else not found
    if not isinstance(node, ast.BoolOp):
        return machine.truth(machine.eval(node, frame))
    decides = isinstance(node.op, ast.Or)
    unknown: Unknown | None = None
    for operand in node.values:
        found = test(machine, operand, frame) if unknown is None else _perhaps(machine, operand, frame, unknown)
        if isinstance(found, Unknown):
            unknown = unknown or found
        elif found == decides:
            return decides
    return unknown if unknown is not None else not decides


def _perhaps(machine: Machine, operand: ast.expr, frame: Frame, why: Unknown) -> bool | Unknown:
    outcome = tried(machine, lambda: test(machine, operand, frame))
    if outcome.ends == "raises":  # What stands before it keeps it from being evaluated.
        return why
    machine.journal.join([outcome.after, After({})], why, machine.unsure)
    found: bool | Unknown = outcome.value
    return found
