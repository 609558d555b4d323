"""Functions that yield: run up to each yield, and on from there when the next value is wanted."""

from __future__ import annotations

import ast
from collections.abc import Generator, Iterator, Sequence

from ckptnames.prediction.static.budget import ROUNDS
from ckptnames.prediction.static.interpreter.assigning import assign
from ckptnames.prediction.static.interpreter.branches import test
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.scopes import inside
from ckptnames.prediction.static.interpreter.spoiling import spoil
from ckptnames.prediction.static.signals import Break, Continue, Endless, Raised, Return, Stuck, Unsure
from ckptnames.prediction.static.values import Unknown, Value


def generate(machine: Machine, body: Sequence[ast.stmt], frame: Frame) -> Generator[Value, None, None]:
    """Give what a function yields. A generator belongs to the frame of its function while it runs."""
    steps = _block(machine, body, frame)
    thrown: Raised | None = None
    while True:
        machine.frames.append(frame)
        try:
            value = next(steps) if thrown is None else steps.throw(thrown)
        except (StopIteration, Return):
            return
        except (Stuck, Unsure) as stuck:
            spoil(machine, list(frame.vars.values()), stuck.why)
            raise
        finally:
            if machine.frames and machine.frames[-1] is frame:
                machine.frames.pop()
        thrown = None
        try:
            yield value
        except Raised as raised:
            thrown = raised


def may_catch(body: Sequence[ast.stmt]) -> bool:
    """Tell whether a generator may keep to itself what is raised where it yields."""
    return any(
        isinstance(node, ast.With | ast.AsyncWith) or (isinstance(node, ast.Try) and (node.handlers or _returns(node)))
        for node in inside(body)
        if isinstance(node, ast.stmt) and _yields(node)
    )


def _returns(node: ast.Try) -> bool:
    return any(isinstance(each, ast.Return | ast.Break | ast.Continue) for each in inside(node.finalbody))


def _yields(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom) for each in inside([node]))


def _block(machine: Machine, body: Sequence[ast.stmt], frame: Frame) -> Generator[Value, None, None]:
    for statement in body:
        frame.line = statement.lineno
        if not _yields(statement):
            doubts = machine.doubts
            machine.execute([statement], frame)
            frame.doubts += machine.doubts - doubts
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
        if not frame.extra.get("managed"):
            raise Stuck(machine.unknown("a generator that guards its yields may end anywhere", node, frame))
        yield from _guarded(machine, node, frame)
    else:
        raise Stuck(machine.unknown("a yield in the middle of an expression is not followed", node, frame))


def _guarded(machine: Machine, node: ast.Try, frame: Frame) -> Iterator[Value]:
    """Run a ``try`` around a yield of a context manager, which is always left."""
    from ckptnames.prediction.static.interpreter.statements import handle

    doubts = frame.doubts
    try:
        try:
            frame.guarded += bool(node.handlers)
            try:
                yield from _block(machine, node.body, frame)
            finally:
                frame.guarded -= bool(node.handlers)
            if node.handlers and frame.doubts != doubts:
                raise Stuck(machine.unknown("whether an exception is raised here is not known", node, frame))
        except Raised as raised:
            handle(machine, node, raised, frame)
        else:
            machine.execute(node.orelse, frame)
    except (Return, Break, Continue, Raised):
        machine.execute(node.finalbody, frame)
        raise
    machine.execute(node.finalbody, frame)


def _yielded(machine: Machine, node: ast.Yield | ast.YieldFrom, frame: Frame) -> Iterator[Value]:
    doubts = machine.doubts
    value = machine.eval(node.value, frame) if node.value is not None else None
    frame.doubts += machine.doubts - doubts
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
