"""Statements one after the other, and what becomes of one that cannot be followed."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.interpreter.branches import branch
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import STATEMENTS, Machine
from ckptnames.prediction.static.interpreter.scopes import leaves
from ckptnames.prediction.static.interpreter.spoiling import spoil_statement
from ckptnames.prediction.static.signals import Endless, Exhausted, Stuck, TooDeep, Unsure
from ckptnames.prediction.static.values import Unknown

_NEAR_THE_ROOT = 4
"""Calls inside each other."""


def run(machine: Machine, block: Sequence[ast.stmt], frame: Frame) -> None:
    """Run a block. What a statement that cannot be followed could have changed is unknown afterwards."""
    for index, statement in enumerate(block):
        frame.line = statement.lineno
        try:
            if isinstance(statement, ast.If):
                if branch(machine, statement, block[index + 1 :], frame):
                    return
                continue
            _one(machine, statement, frame)
        except Unsure as unsure:
            _give_up(machine, statement, frame, Stuck(unsure.why))
        except Stuck as stuck:
            _give_up(machine, statement, frame, stuck)


def _one(machine: Machine, statement: ast.stmt, frame: Frame) -> None:
    budget = machine.budget
    budget.left -= 1
    if budget.left < 0:
        budget.exhausted(machine.place)
    handler = STATEMENTS.get(type(statement))
    if handler is None:
        where = Place(frame.namespace.file, statement.lineno)
        raise Stuck(Unknown(f"'{type(statement).__name__}' statements are not followed", where))
    handler(machine, statement, frame)


def _is_running(machine: Machine, node: ast.AST) -> bool:
    return any(frame.function is not None and frame.function.node is node for frame in machine.frames)


def _give_up(machine: Machine, statement: ast.stmt, frame: Frame, stuck: Stuck) -> None:
    if isinstance(stuck, Exhausted):
        # Given up is a line of the model that was asked for, or of one right below it, so that the rest is told; where
        # the same line takes too long once more, it is the one around it.
        if len(machine.frames) > _NEAR_THE_ROOT or statement in machine.given_up or not machine.budget.another_try():
            raise stuck
        machine.given_up.add(statement)
    elif isinstance(stuck, TooDeep) and _is_running(machine, stuck.node):
        raise stuck
    if isinstance(stuck, Endless) or leaves(statement):
        raise stuck
    spoil_statement(machine, statement, frame, stuck.why)
