"""Functions that yield: run up to each yield, and on from there when the next value is wanted."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ckptnames.prediction.static.budget import ROUNDS
from ckptnames.prediction.static.interpreter.assigning import assign
from ckptnames.prediction.static.interpreter.branches import test
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.scopes import inside
from ckptnames.prediction.static.signals import Break, Continue, Endless, Return, Stuck
from ckptnames.prediction.static.values import Unknown, Value


def generate(machine: Machine, body: Sequence[ast.stmt], frame: Frame) -> Iterator[Value]:
    """Give what a function yields. A generator belongs to the frame of its function while it runs."""
    steps = _block(machine, body, frame)
    while True:
        machine.frames.append(frame)
        try:
            value = next(steps)
        except (StopIteration, Return):
            return
        finally:
            if machine.frames and machine.frames[-1] is frame:
                machine.frames.pop()
        yield value


def _yields(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom) for each in inside([node]))


def _block(machine: Machine, body: Sequence[ast.stmt], frame: Frame) -> Iterator[Value]:
    for statement in body:
        frame.line = statement.lineno
        if not _yields(statement):
            machine.execute([statement], frame)
        else:
            machine.budget.spend(machine.place)
            yield from _statement(machine, statement, frame)


def _statement(machine: Machine, node: ast.stmt, frame: Frame) -> Iterator[Value]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield | ast.YieldFrom):
        yield from _yielded(machine, node.value, frame)
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Yield):
        yield from _yielded(machine, node.value, frame)
        for target in node.targets:
            assign(machine, target, None, frame)
    elif isinstance(node, ast.If) and not _yields(node.test):
        taken = test(machine, node.test, frame)
        if isinstance(taken, Unknown):
            raise Stuck(taken)
        yield from _block(machine, node.body if taken else node.orelse, frame)
    elif (isinstance(node, ast.For) and not _yields(node.iter)) or (
        isinstance(node, ast.While) and not _yields(node.test)
    ):
        yield from _loop(machine, node, frame)
    elif isinstance(node, ast.Try) and not any(map(_yields, (*node.handlers, *node.orelse, *node.finalbody))):
        # What happens while nobody asks for the next value is not what this guards.
        yield from _block(machine, node.body, frame)
        machine.execute([*node.orelse, *node.finalbody], frame)
    else:
        raise Stuck(machine.unknown("a yield in the middle of an expression is not followed", node, frame))


def _yielded(machine: Machine, node: ast.Yield | ast.YieldFrom, frame: Frame) -> Iterator[Value]:
    value = machine.eval(node.value, frame) if node.value is not None else None
    if isinstance(node, ast.YieldFrom):
        yield from machine.iterate(value)
    else:
        yield value


def _loop(machine: Machine, node: ast.For | ast.While, frame: Frame) -> Iterator[Value]:
    values = machine.iterate(machine.eval(node.iter, frame)) if isinstance(node, ast.For) else None
    for n_rounds in range(ROUNDS):
        if isinstance(node, ast.For):
            assert values is not None
            try:
                item = next(values)
            except StopIteration:
                break
            assign(machine, node.target, item, frame)
        elif not _goes_on(machine, node, frame):
            break
        del n_rounds
        try:
            yield from _block(machine, node.body, frame)
        except Continue:
            continue
        except Break:
            return
    else:
        raise Endless(machine.unknown(f"the loop does not end within {ROUNDS:,} rounds", node, frame))
    yield from _block(machine, node.orelse, frame)


def _goes_on(machine: Machine, node: ast.While, frame: Frame) -> bool:
    found = test(machine, node.test, frame)
    if isinstance(found, Unknown):
        raise Stuck(found)
    return found
