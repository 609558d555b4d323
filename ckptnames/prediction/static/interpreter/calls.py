"""Calling: functions of the program, classes, and what is known of Python and torch."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ckptnames.prediction.static.budget import DEEPEST
from ckptnames.prediction.static.interpreter import functions
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.items import SCALARS, is_concrete, iterator, unknown_in
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.scopes import scope_of
from ckptnames.prediction.static.interpreter.spoiling import given_away, spoil
from ckptnames.prediction.static.signals import Break, Continue, Exhausted, Raised, Return, Stuck, TooDeep, Unsure
from ckptnames.prediction.static.torch_nn.layers import names_device
from ckptnames.prediction.static.values import (
    Class,
    ClassMethod,
    Context,
    Function,
    Instance,
    KnownModule,
    Method,
    Module,
    Native,
    OfValue,
    Partial,
    Pure,
    StaticMethod,
    Super,
    Tensor,
    Token,
    Unknown,
    Value,
)


def call(machine: Machine, function: Value, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Call anything."""
    if names_device(kwargs.get("device")):
        machine.doubts += 1
    if isinstance(function, Method):
        return call(machine, function.function, [function.instance, *args], kwargs)
    if isinstance(function, Function):
        return call_function(machine, function, args, kwargs)
    if isinstance(function, Class):
        from ckptnames.prediction.static.interpreter.classes import instantiate

        return instantiate(machine, function, args, kwargs)
    if isinstance(function, Native):
        return _call_native(machine, function, args, kwargs)
    if isinstance(function, Pure):
        return call_pure(machine, function, args, kwargs)
    if isinstance(function, Partial):
        return call(machine, function.function, [*function.args, *args], {**function.kwargs, **kwargs})
    if isinstance(function, OfValue):
        from ckptnames.prediction.static.stdlib.methods import call_method

        plain = isinstance(function.value, SCALARS)
        return _sure(
            machine, args, kwargs, plain, lambda: call_method(machine, function.value, function.name, args, kwargs)
        )
    if isinstance(function, type):
        from ckptnames.prediction.static.stdlib.constructors import construct

        plain = function in SCALARS
        return _sure(machine, args, kwargs, plain, lambda: construct(machine, function, args, kwargs))
    if isinstance(function, Instance):
        return _call_instance(machine, function, args, kwargs)
    if isinstance(function, StaticMethod | ClassMethod):
        return call(machine, function.function, args, kwargs)
    if isinstance(function, Token):
        return function
    if isinstance(function, Context) and args:
        if function.generator is not None:
            return machine.unknown("a context manager of a generator that decorates a function is not followed")
        return args[0]  # `@torch.no_grad()`
    if isinstance(function, Unknown):
        return call_unknown(machine, function, args, kwargs, function)
    raise machine.raised(TypeError, f"'{_kind(function)}' object is not callable")


def _kind(value: Value) -> str:
    return f"module {value.name}" if isinstance(value, KnownModule) else type(value).__name__


def _sure(
    machine: Machine, args: list[Value], kwargs: dict[str, Value], plain: bool, code: Callable[[], Value]
) -> Value:
    try:
        return code()
    except Unsure as unsure:
        given_away(machine, [a for a in (*args, *kwargs.values()) if isinstance(a, Module)], unsure.why)
        return unsure.why.as_plain() if plain else unsure.why.within([*args, *kwargs.values()])


def _call_native(machine: Machine, function: Native, args: list[Value], kwargs: dict[str, Value]) -> Value:
    try:
        return function.code(machine, *args, **kwargs)
    except Unsure as unsure:
        given_away(machine, [*args, *kwargs.values()], unsure.why)
        return unsure.why.within()
    except (TypeError, AttributeError, ValueError, LookupError, AssertionError) as error:
        # It was called in a way that is not known of it.
        why = machine.unknown(f"'{function.name}' is not followed with these arguments ({error})")
        given_away(machine, [*args, *kwargs.values()], why)
        return why


def call_pure(machine: Machine, function: Pure, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Call a function that only computes, where all it is given is known."""
    values = [*args, *kwargs.values()]
    if not all(is_concrete(machine, value) for value in values):
        return unknown_in(machine, values).as_plain()
    bare = [_bare(value) for value in args]
    try:
        return function.code(*bare, **{name: _bare(value) for name, value in kwargs.items()})
    except Exception as error:
        raise Raised(error, machine.place) from None


def _bare(value: Value) -> Value:
    return value.payload if isinstance(value, Instance) else value


def _call_instance(machine: Machine, value: Instance, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if value.cls.look_up("__call__") is not None:
        return machine.call(machine.get(value, "__call__"), args, kwargs)
    why = value.opened or value.cls.unknown
    if why is not None:
        return call_unknown(machine, why, [value, *args], kwargs, why)
    raise machine.raised(TypeError, f"'{value.cls.name}' object is not callable")


def call_unknown(machine: Machine, function: Value, args: list[Value], kwargs: dict[str, Value], why: Unknown) -> Value:
    """Call something that is not known, or with arguments of which not even the number is known."""
    machine.doubts += 1
    values = [*args, *kwargs.values()]
    given_away(machine, [*values, function, function.instance] if isinstance(function, Unknown) else values, why)
    if isinstance(function, Class):
        from ckptnames.prediction.static.interpreter.classes import made_open

        return made_open(machine, function, why)
    if isinstance(function, Function | Method | Partial):
        spoil(machine, [function], why)
    return Unknown(why.reason, why.place, why.plain and isinstance(function, Unknown))


def call_function(machine: Machine, function: Function, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Run a function of the program. What it could have changed is unknown where it cannot be followed."""
    node = function.node
    if len(machine.frames) >= DEEPEST:
        # A function that goes down into what is not known never gets to the end of it.
        unknown = next((value for value in (*args, *kwargs.values()) if isinstance(value, Unknown)), None)
        why = unknown or machine.unknown(f"the calls go deeper than the {DEEPEST} that are followed")
        raise TooDeep(why, node)
    names = functions.bind(machine, function, args, kwargs)
    first = args[0] if args else None
    scope = scope_of(node)
    frame = Frame(function.frame.namespace, names, function.frame, scope, "function", function, first, node.lineno)
    if isinstance(node, ast.AsyncFunctionDef):
        return machine.unknown(f"'{function.name}' is asynchronous, and is not followed")
    if scope.yields:
        from ckptnames.prediction.static.interpreter.generators import generate

        assert not isinstance(node, ast.Lambda)
        found = iterator(machine, generate(machine, node.body, frame))
        found.frame = frame
        return found
    depth = len(machine.frames)
    machine.frames.append(frame)
    try:
        if isinstance(node, ast.Lambda):
            return machine.eval(node.body, frame)
        machine.execute(node.body, frame)
    except Return as returned:
        return returned.value
    except (Break, Continue):
        return None
    except Exhausted:
        raise
    except TooDeep as stuck:
        if any(f.function is not None and f.function.node is stuck.node for f in machine.frames[:depth]):
            raise
        return _given_up(machine, function, args, kwargs, stuck.why)
    except Stuck as stuck:
        return _given_up(machine, function, args, kwargs, stuck.why)
    except Unsure as unsure:
        return _given_up(machine, function, args, kwargs, unsure.why)
    finally:
        del machine.frames[depth:]
    return None


def _given_up(
    machine: Machine, function: Function, args: list[Value], kwargs: dict[str, Value], why: Unknown
) -> Unknown:
    spoil(machine, [function, *args, *kwargs.values()], why)
    return Unknown(why.reason, why.place)


def special(machine: Machine, function: Value, node: ast.Call, frame: Frame) -> tuple[Value] | None:
    """Answer calls that look at the scope they stand in: ``super()``, ``locals()``, ``globals()``, ``vars()``."""
    if not isinstance(function, Native) or function.name not in _SCOPED:
        return None
    args = [machine.eval(arg, frame) for arg in node.args]
    if function.name in ("exec", "eval"):
        return (_of_text(machine, function.name, args, node, frame),)
    if function.name == "super":
        return (_super(machine, args, frame),)
    if args:
        return None
    if function.name == "globals":
        return (frame.namespace.vars,)
    at = frame
    while at.kind == "comprehension" and at.parent is not None:
        at = at.parent
    return (at.vars if at.kind != "function" else dict(at.vars),)


_SCOPED = frozenset({"super", "locals", "globals", "vars", "exec", "eval"})


def _of_text(machine: Machine, name: str, args: list[Value], node: ast.Call, frame: Frame) -> Value:
    """Follow an expression that is a text; what other code made of text changes may be anything in sight."""
    if name == "eval" and len(args) == 1 and isinstance(args[0], str):
        try:
            code = ast.parse(args[0].strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise Raised(SyntaxError(str(error)), machine.place) from None
        for each in ast.walk(code):
            if hasattr(each, "lineno"):
                each.lineno = node.lineno
        return machine.eval(code, frame)
    why = machine.unknown("code that is made of text is not followed")
    at: Frame | None = frame
    while at is not None and at.kind != "module":
        spoil(machine, list(at.vars.values()), why)
        at = at.parent
    raise Stuck(why)


def _super(machine: Machine, args: list[Value], frame: Frame) -> Value:
    at: Frame | None = frame
    while at is not None and at.kind != "function":
        at = at.parent
    # A function inside a method has the method's class, and its own first argument.
    owner = args[0] if args else frame.owner
    instance = args[1] if len(args) > 1 else at.first if at is not None else None
    if at is not None and not args and isinstance(at.function, Function):
        first = at.function.node.args
        names = [*first.posonlyargs, *first.args]
        if names:
            instance = at.vars.get(names[0].arg, instance)
    if isinstance(owner, Unknown) or isinstance(instance, Unknown):
        return owner if isinstance(owner, Unknown) else instance
    if not isinstance(owner, Class):
        raise machine.raised(RuntimeError, "super(): no class")
    if isinstance(instance, Instance | Class):
        return Super(owner, instance, instance.cls if isinstance(instance, Instance) else instance)
    if isinstance(instance, Tensor):
        return instance
    raise machine.raised(TypeError, "super(): no instance")
