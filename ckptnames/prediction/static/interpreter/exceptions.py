"""Exceptions and context managers of the program."""

from __future__ import annotations

import ast
from collections.abc import Generator

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.interpreter.classes import is_instance
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised, Stuck
from ckptnames.prediction.static.values import Class, Context, Instance, Unknown, Value


def of_raise(machine: Machine, node: ast.Raise, frame: Frame) -> Raised:
    """Make the signal of a ``raise`` statement."""
    place = Place(frame.namespace.file, node.lineno)
    if node.exc is None:
        at: Frame | None = frame
        while at is not None:
            handled = at.extra.get("handled")
            if isinstance(handled, Raised):
                return handled
            at = at.parent
        return Raised(RuntimeError("no exception to raise again"), place)
    value = machine.eval(node.exc, frame)
    if isinstance(value, Class | type):
        value = machine.call(value)
    if isinstance(value, Unknown):
        # Something is raised, whatever it is.
        value = Exception(ast.unparse(node.exc))
    return Raised(value, place)


def is_caught(machine: Machine, handler: ast.ExceptHandler, raised: Raised, frame: Frame) -> bool:
    """Tell whether a handler is for what was raised."""
    if handler.type is None:
        return True
    kinds = machine.eval(handler.type, frame)
    found = is_instance(machine, raised.value, kinds)
    if isinstance(found, Unknown):
        raise Stuck(found)
    return found


def said(value: Value) -> str:
    """Say what an exception says.

    >>> said(ValueError("too small"))
    'ValueError: too small'
    """
    if isinstance(value, Instance):
        text = str(value.payload) if isinstance(value.payload, BaseException) else ""
        return f"{value.cls.name}: {text}" if text else value.cls.name
    text = str(value).strip().partition("\n")[0]
    return f"{type(value).__name__}: {text}" if text else type(value).__name__


def entered(machine: Machine, context: Value) -> Value:
    """Enter a context manager."""
    if isinstance(context, Context):
        if context.generator is not None:
            return next(context.generator, None)
        return context.value
    if isinstance(context, Unknown):
        return context
    return machine.call(machine.get(context, "__enter__"))


def may_keep(context: Value) -> bool:
    """Tell whether a context manager may keep to itself what is raised inside it."""
    if isinstance(context, Context):
        return bool(context.suppresses) or _may_catch(context)
    return True


def _may_catch(context: Context) -> bool:
    from ckptnames.prediction.static.interpreter.generators import may_catch

    node = getattr(getattr(context.frame, "function", None), "node", None)
    return isinstance(node, ast.FunctionDef) and may_catch(node.body)


def left(machine: Machine, context: Value, raised: Raised | None) -> bool:
    """Leave a context manager; tells whether it keeps what was raised to itself."""
    if isinstance(context, Unknown):
        if raised is not None and not isinstance(raised.value, Unknown):
            raise Stuck(context)
        return raised is not None
    if isinstance(context, Context):
        if raised is not None and context.suppresses:
            return isinstance(raised.value, Unknown) or _is_kept(machine, context, raised)
        if context.generator is not None:
            return _left_generator(context.generator, raised)
        return False
    value = raised.value if raised is not None else None
    kind = value if isinstance(value, Unknown) else type(value) if value is not None else None
    kept = machine.truth(machine.call(machine.get(context, "__exit__"), [kind, value, None]))
    if isinstance(kept, Unknown) and raised is not None and not isinstance(value, Unknown):
        raise Stuck(kept)
    return kept is not False


def _left_generator(generator: Generator[Value, None, None], raised: Raised | None) -> bool:
    if raised is None:
        next(generator, None)
        return False
    if isinstance(raised.value, Unknown):
        raise Stuck(raised.value)
    try:
        generator.throw(raised)
    except StopIteration:
        return True
    except Raised as again:
        if again is raised:
            return False
        raise
    return False


def _is_kept(machine: Machine, context: Context, raised: Raised) -> bool:
    """Tell whether ``suppress`` is for what was raised."""
    found = is_instance(machine, raised.value, context.suppresses)
    if isinstance(found, Unknown):
        raise Stuck(found)
    return found
