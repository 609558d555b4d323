"""Comprehensions and generator expressions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ckptnames.prediction.static.budget import check_length
from ckptnames.prediction.static.interpreter.assigning import assign
from ckptnames.prediction.static.interpreter.branches import perhaps_often, test
from ckptnames.prediction.static.interpreter.expressions import expression
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.items import hashable
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.scopes import bound_by
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.values import Iterating, Names, Unknown, Value

_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def _inner(frame: Frame, generators: Sequence[ast.comprehension]) -> Frame:
    own = {name for each in generators for node in ast.walk(each.target) for name in bound_by(node)}
    return Frame(frame.namespace, Names(), frame, kind="comprehension", line=frame.line, extra={"own": own})


def _rounds(
    machine: Machine, generators: Sequence[ast.comprehension], frame: Frame, values: Iterator[Value]
) -> Iterator[None]:
    """Go through the rounds of a comprehension, its variables bound in ``frame``."""
    first, *rest = generators
    for item in values:
        assign(machine, first.target, item, frame)
        if all(_holds(machine, condition, frame) for condition in first.ifs):
            if rest:
                yield from _rounds(machine, rest, frame, machine.iterate(machine.eval(rest[0].iter, frame)))
            else:
                yield None


def _holds(machine: Machine, condition: ast.expr, frame: Frame) -> bool:
    found = test(machine, condition, frame)
    if isinstance(found, Unknown):
        raise Unsure(found)
    return found


def _started(machine: Machine, node: _Comprehension, frame: Frame) -> tuple[Frame, Iterator[None]]:
    # The first of what is looped over is evaluated outside, at once.
    values = machine.iterate(machine.eval(node.generators[0].iter, frame))
    inner = _inner(frame, node.generators)
    return inner, _rounds(machine, node.generators, inner, values)


@expression(ast.ListComp, ast.SetComp, ast.DictComp)
def _collected(machine: Machine, node: ast.ListComp | ast.SetComp | ast.DictComp, frame: Frame) -> Value:
    items: list[Value] = []
    try:
        inner, rounds = _started(machine, node, frame)
        for _ in rounds:
            check_length(len(items), machine.place)
            if isinstance(node, ast.DictComp):
                key = machine.eval(node.key, inner)
                items.append((hashable(machine, key), machine.eval(node.value, inner)))
            else:
                items.append(machine.eval(node.elt, inner))
    except Unsure as unsure:
        _perhaps(machine, node, frame, unsure.why)
        found: Value = [] if isinstance(node, ast.ListComp) else {} if isinstance(node, ast.DictComp) else set()
        machine.unsure(found, unsure.why)
        return found
    made: Value = items
    if isinstance(node, ast.DictComp):
        made = dict(items)
    elif isinstance(node, ast.SetComp):
        made = {hashable(machine, item) for item in items}
    machine.journal.made(made)
    return made


def _perhaps(machine: Machine, node: ast.ListComp | ast.SetComp | ast.DictComp, frame: Frame, why: Unknown) -> None:
    """Do what each round does, of which it is not known how many there are."""
    inner = _inner(frame, node.generators)

    def once() -> None:
        for each in node.generators:
            assign(machine, each.target, why, inner)
        for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            machine.eval(part, inner)

    perhaps_often(machine, once, why)


@expression(ast.GeneratorExp)
def _generator(machine: Machine, node: ast.GeneratorExp, frame: Frame) -> Value:
    inner, rounds = _started(machine, node, frame)

    def values() -> Iterator[Value]:
        for _ in rounds:
            yield machine.eval(node.elt, inner)

    return Iterating(values(), frame=inner)
