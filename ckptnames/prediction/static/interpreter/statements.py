"""Every kind of statement that is followed, each a function in the table ``STATEMENTS``."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any

from ckptnames.prediction.static.budget import ROUNDS
from ckptnames.prediction.static.interpreter import classes, functions, imports
from ckptnames.prediction.static.interpreter.assigning import assign, delete, name_scope
from ckptnames.prediction.static.interpreter.branches import Outcome, leave, one_of, perhaps_often, test, tried
from ckptnames.prediction.static.interpreter.exceptions import entered, is_caught, left, may_keep, of_raise
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.items import item_of, set_item
from ckptnames.prediction.static.interpreter.machine import STATEMENTS, Execute, Machine
from ckptnames.prediction.static.interpreter.matching import matches
from ckptnames.prediction.static.interpreter.operators import binary
from ckptnames.prediction.static.signals import Break, Continue, Endless, Raised, Return, Stuck, Unsure
from ckptnames.prediction.static.values import Unknown, Value


def statement(*kinds: type[ast.stmt]) -> Callable[[Execute], Execute]:
    """Put a function into the table of statements."""

    def put(function: Execute) -> Execute:
        STATEMENTS.update(dict.fromkeys(kinds, function))
        return function

    return put


@statement(ast.Pass, ast.Global, ast.Nonlocal)
def _nothing(machine: Machine, node: ast.stmt, frame: Frame) -> None:
    """Do nothing: what ``global`` says is known before the function runs."""


@statement(ast.Expr)
def _expression(machine: Machine, node: ast.Expr, frame: Frame) -> None:
    if not isinstance(node.value, ast.Constant):
        machine.eval(node.value, frame)


@statement(ast.Assign)
def _assign(machine: Machine, node: ast.Assign, frame: Frame) -> None:
    value = machine.eval(node.value, frame)
    for target in node.targets:
        frame.line = target.lineno
        assign(machine, target, value, frame)


@statement(ast.AnnAssign)
def _annotated(machine: Machine, node: ast.AnnAssign, frame: Frame) -> None:
    if frame.kind == "class" and isinstance(node.target, ast.Name):
        frame.extra.setdefault("annotations", {})[node.target.id] = node.annotation
    if node.value is not None:
        assign(machine, node.target, machine.eval(node.value, frame), frame)


@statement(ast.AugAssign)
def _augmented(machine: Machine, node: ast.AugAssign, frame: Frame) -> None:
    target = node.target
    if isinstance(target, ast.Name):
        before = machine.eval(ast.copy_location(ast.Name(target.id, ast.Load()), target), frame)
        after = binary(machine, node.op, before, machine.eval(node.value, frame), in_place=True)
        assign(machine, target, after, frame)
        return
    # What the target stands in is evaluated once.
    holder = machine.eval(target.value, frame)
    if isinstance(target, ast.Attribute):
        before = machine.get(holder, target.attr)
        after = binary(machine, node.op, before, machine.eval(node.value, frame), in_place=True)
        machine.set(holder, target.attr, after)
        return
    key = machine.eval(target.slice, frame)
    before = item_of(machine, holder, key)
    set_item(machine, holder, key, binary(machine, node.op, before, machine.eval(node.value, frame), in_place=True))


@statement(ast.Delete)
def _delete(machine: Machine, node: ast.Delete, frame: Frame) -> None:
    for target in node.targets:
        delete(machine, target, frame)


@statement(ast.Return)
def _return(machine: Machine, node: ast.Return, frame: Frame) -> None:
    raise Return(machine.eval(node.value, frame) if node.value is not None else None)


@statement(ast.Break)
def _break(machine: Machine, node: ast.Break, frame: Frame) -> None:
    raise Break


@statement(ast.Continue)
def _continue(machine: Machine, node: ast.Continue, frame: Frame) -> None:
    raise Continue


@statement(ast.Assert)
def _assert(machine: Machine, node: ast.Assert, frame: Frame) -> None:
    # A model that can be built is one for which it holds, where that is not known.
    if test(machine, node.test, frame) is False:
        text = machine.eval(node.msg, frame) if node.msg is not None else ""
        raise machine.raised(AssertionError, text if isinstance(text, str) else "")


@statement(ast.Raise)
def _raise(machine: Machine, node: ast.Raise, frame: Frame) -> None:
    raise of_raise(machine, node, frame)


@statement(ast.For)
def _for(machine: Machine, node: ast.For, frame: Frame) -> None:
    iterable = machine.eval(node.iter, frame)

    def once(item: Value) -> None:
        frame.line = node.target.lineno
        assign(machine, node.target, item, frame)
        machine.execute(node.body, frame)

    try:
        for n_rounds, item in enumerate(machine.iterate(iterable)):
            _check_rounds(machine, n_rounds, frame, node)
            try:
                once(item)
            except Continue:
                continue
            except Break:
                return
    except Unsure as unsure:
        item = unsure.why
        perhaps_often(machine, lambda: once(item), unsure.why)
        _else_of_unknown(machine, node, frame, unsure.why)
        return
    machine.execute(node.orelse, frame)


@statement(ast.While)
def _while(machine: Machine, node: ast.While, frame: Frame) -> None:
    n_rounds = 0
    while True:
        taken = test(machine, node.test, frame)
        if isinstance(taken, Unknown):
            perhaps_often(machine, lambda: _while_once(machine, node, frame), taken)
            _else_of_unknown(machine, node, frame, taken)
            return
        if not taken:
            break
        _check_rounds(machine, n_rounds, frame, node)
        n_rounds += 1
        try:
            machine.execute(node.body, frame)
        except Continue:
            continue
        except Break:
            return
    machine.execute(node.orelse, frame)


def _while_once(machine: Machine, node: ast.While, frame: Frame) -> None:
    machine.execute(node.body, frame)
    test(machine, node.test, frame)


def _check_rounds(machine: Machine, n_rounds: int, frame: Frame, node: ast.stmt) -> None:
    if n_rounds >= ROUNDS:
        raise Endless(machine.unknown(f"the loop does not end within {ROUNDS:,} rounds", node, frame))


def _else_of_unknown(machine: Machine, node: ast.For | ast.While, frame: Frame, why: Unknown) -> None:
    if node.orelse:
        perhaps_often(machine, lambda: machine.execute(node.orelse, frame), why)


@statement(ast.Try)
def _try(machine: Machine, node: ast.Try, frame: Frame) -> None:
    try:
        _guarded(machine, node, frame)
    except (Return, Break, Continue, Raised):
        machine.execute(node.finalbody, frame)
        raise
    machine.execute(node.finalbody, frame)


def _guarded(machine: Machine, node: ast.Try, frame: Frame) -> None:
    if not node.handlers:
        machine.execute(node.body, frame)
        return
    doubts = machine.doubts
    frame.guarded += 1
    try:
        body = tried(machine, lambda: machine.execute(node.body, frame), for_certain=True)
    finally:
        frame.guarded -= 1
    if machine.doubts == doubts:
        _after_body(machine, node, body, frame)
        return
    # Something in it may as well have raised: what handlers do is perhaps done.
    why = machine.unknown("whether an exception is raised here is not known", node, frame)
    ways: list[Callable[[], None]] = [lambda: _after_body(machine, node, body, frame)]
    ways += [partial(_handle, machine, each, Raised(why, machine.place), frame) for each in node.handlers]
    one_of(machine, ways, why)


def _after_body(machine: Machine, node: ast.Try, body: Outcome, frame: Frame) -> None:
    """Go on from where the body of a ``try`` has ended."""
    machine.journal.redo(body.after)
    if body.ends != "raises":
        if body.ends == "falls":
            machine.execute(node.orelse, frame)
        else:
            leave(body)
        return
    handle(machine, node, body.value, frame)


def handle(machine: Machine, node: ast.Try, raised: Raised, frame: Frame) -> None:
    """Do what the handlers of a ``try`` do with what was raised in it."""
    for handler in node.handlers:
        if is_caught(machine, handler, raised, frame):
            _handle(machine, handler, raised, frame)
            return
    raise raised


def _handle(machine: Machine, handler: ast.ExceptHandler, raised: Raised, frame: Frame) -> None:
    outer = frame.extra.get("handled")
    frame.extra["handled"] = raised
    if handler.name:
        assign(machine, ast.Name(handler.name, ast.Store()), raised.value, frame)
    try:
        machine.execute(handler.body, frame)
    finally:
        frame.extra["handled"] = outer
        if handler.name:
            names = name_scope(frame, handler.name)
            machine.touch(names)
            names.pop(handler.name, None)


@statement(ast.With)
def _with(machine: Machine, node: ast.With, frame: Frame) -> None:
    _within(machine, node, node.items, frame)


def _within(machine: Machine, node: ast.With, items: list[ast.withitem], frame: Frame) -> None:
    """Run the body of a ``with`` inside its managers: several are as many statements inside each other."""
    if not items:
        machine.execute(node.body, frame)
        return
    context = machine.eval(items[0].context_expr, frame)
    value = entered(machine, context)
    if items[0].optional_vars is not None:
        assign(machine, items[0].optional_vars, value, frame)
    doubts = machine.doubts
    guards = may_keep(context)
    frame.guarded += guards
    try:
        body = tried(machine, lambda: _within(machine, node, items[1:], frame), for_certain=True)
    finally:
        frame.guarded -= guards
    if not guards or machine.doubts == doubts:
        _leave_with(machine, context, body)
        return
    # Something in it may as well have raised, and the manager may have kept that to itself.
    why = machine.unknown("whether an exception is raised here is not known", node, frame)
    ways = [lambda: _leave_with(machine, context, body), lambda: _left_early(machine, context, why)]
    one_of(machine, ways, why)


def _leave_with(machine: Machine, context: Value, body: Outcome) -> None:
    machine.journal.redo(body.after)
    raised = body.value if body.ends == "raises" else None
    kept = left(machine, context, raised)
    if raised is None:
        leave(body)
    elif not kept:
        raise raised


def _left_early(machine: Machine, context: Value, why: Unknown) -> None:
    if not left(machine, context, Raised(why, machine.place)):
        raise Raised(why, machine.place)


@statement(ast.FunctionDef, ast.AsyncFunctionDef)
def _function(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
    functions.define(machine, node, frame)


@statement(ast.ClassDef)
def _class(machine: Machine, node: ast.ClassDef, frame: Frame) -> None:
    classes.define(machine, node, frame)


@statement(ast.Import)
def _import(machine: Machine, node: ast.Import, frame: Frame) -> None:
    imports.run_import(machine, node, frame)


@statement(ast.ImportFrom)
def _import_from(machine: Machine, node: ast.ImportFrom, frame: Frame) -> None:
    imports.run_import_from(machine, node, frame)


@statement(ast.Match)
def _match(machine: Machine, node: ast.Match, frame: Frame) -> None:
    subject = machine.eval(node.subject, frame)
    for case in node.cases:
        bound: dict[str, Any] = {}
        if not matches(machine, case.pattern, subject, bound, frame):
            continue
        for name, value in bound.items():
            assign(machine, ast.Name(name, ast.Store()), value, frame)
        if case.guard is not None:
            holds = test(machine, case.guard, frame)
            if isinstance(holds, Unknown):
                raise Stuck(holds)
            if not holds:
                continue
        machine.execute(case.body, frame)
        return
