"""Every kind of expression that is followed, each a function in the table ``EXPRESSIONS``."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ckptnames.prediction.static.interpreter import functions
from ckptnames.prediction.static.interpreter.assigning import assign
from ckptnames.prediction.static.interpreter.branches import either, test
from ckptnames.prediction.static.interpreter.calls import call_unknown, special
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.items import item_of
from ckptnames.prediction.static.interpreter.machine import EXPRESSIONS, Evaluate, Machine
from ckptnames.prediction.static.interpreter.names import value_of
from ckptnames.prediction.static.interpreter.operators import binary, compare, formatted, unary
from ckptnames.prediction.static.interpreter.registries import made_empty
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.values import Unknown, Value


def expression(*kinds: type[ast.expr]) -> Callable[[Evaluate], Evaluate]:
    """Put a function into the table of expressions."""

    def put(function: Evaluate) -> Evaluate:
        EXPRESSIONS.update(dict.fromkeys(kinds, function))
        return function

    return put


@expression(ast.Constant)
def _constant(machine: Machine, node: ast.Constant, frame: Frame) -> Value:
    return node.value


@expression(ast.Name)
def _name(machine: Machine, node: ast.Name, frame: Frame) -> Value:
    return value_of(machine, node.id, frame, node)


@expression(ast.Attribute)
def _attribute(machine: Machine, node: ast.Attribute, frame: Frame) -> Value:
    value = machine.eval(node.value, frame)
    frame.line = node.lineno
    return machine.get(value, node.attr)


@expression(ast.Subscript)
def _subscript(machine: Machine, node: ast.Subscript, frame: Frame) -> Value:
    value = machine.eval(node.value, frame)
    return item_of(machine, value, machine.eval(node.slice, frame))


@expression(ast.Slice)
def _slice(machine: Machine, node: ast.Slice, frame: Frame) -> Value:
    parts = [None if each is None else machine.eval(each, frame) for each in (node.lower, node.upper, node.step)]
    unknown = next((part for part in parts if isinstance(part, Unknown)), None)
    return slice(*parts) if unknown is None else unknown


@expression(ast.Call)
def _call(machine: Machine, node: ast.Call, frame: Frame) -> Value:
    function = machine.eval(node.func, frame)
    found = special(machine, function, node, frame)
    if found is not None:
        return found[0]
    args: list[Value] = []
    kwargs: dict[str, Value] = {}
    unknown: Unknown | None = None
    for arg in node.args:
        if isinstance(arg, ast.Starred):
            value = machine.eval(arg.value, frame)
            try:
                args += machine.iterate(value)
            except Unsure as unsure:
                unknown = unsure.why
                args.append(value)
        else:
            args.append(machine.eval(arg, frame))
    for keyword in node.keywords:
        value = machine.eval(keyword.value, frame)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
            continue
        try:
            kwargs |= functions.as_keywords(machine, value)
        except Unsure as unsure:
            unknown = unsure.why
            args.append(value)
    frame.line = node.lineno
    if unknown is not None:
        return call_unknown(machine, function, args, kwargs, unknown)
    return machine.call(function, args, kwargs)


@expression(ast.BinOp)
def _binary(machine: Machine, node: ast.BinOp, frame: Frame) -> Value:
    left, right = machine.eval(node.left, frame), machine.eval(node.right, frame)
    frame.line = node.lineno
    return binary(machine, node.op, left, right)


@expression(ast.UnaryOp)
def _unary(machine: Machine, node: ast.UnaryOp, frame: Frame) -> Value:
    if isinstance(node.op, ast.Not):
        found = test(machine, node.operand, frame)
        return found.as_plain() if isinstance(found, Unknown) else not found
    return unary(machine, node.op, machine.eval(node.operand, frame))


@expression(ast.BoolOp)
def _boolean(machine: Machine, node: ast.BoolOp, frame: Frame) -> Value:
    decides = isinstance(node.op, ast.Or)
    return _from(machine, node.values, decides, frame)


def _from(machine: Machine, operands: list[ast.expr], decides: bool, frame: Frame) -> Value:
    first = machine.eval(operands[0], frame)
    if len(operands) == 1:
        return first
    found = machine.truth(first)
    if isinstance(found, Unknown):
        return either(machine, [lambda: first, lambda: _from(machine, operands[1:], decides, frame)], found)
    return first if found == decides else _from(machine, operands[1:], decides, frame)


@expression(ast.Compare)
def _comparison(machine: Machine, node: ast.Compare, frame: Frame) -> Value:
    left = machine.eval(node.left, frame)
    result: Value = True
    for operator, operand in zip(node.ops, node.comparators, strict=True):
        right = machine.eval(operand, frame)
        frame.line = node.lineno
        result = compare(machine, operator, left, right)
        if len(node.ops) == 1:
            return result
        holds = machine.truth(result)
        if isinstance(holds, Unknown):
            return holds.as_plain()
        if not holds:
            return result
        left = right
    return result


@expression(ast.IfExp)
def _conditional(machine: Machine, node: ast.IfExp, frame: Frame) -> Value:
    taken = test(machine, node.test, frame)
    if isinstance(taken, Unknown):
        ways = [lambda: machine.eval(node.body, frame), lambda: machine.eval(node.orelse, frame)]
        return either(machine, ways, taken)
    return machine.eval(node.body if taken else node.orelse, frame)


@expression(ast.List, ast.Tuple, ast.Set)
def _display(machine: Machine, node: ast.List | ast.Tuple | ast.Set, frame: Frame) -> Value:
    items: list[Value] = []
    for each in node.elts:
        if isinstance(each, ast.Starred):
            try:
                items += machine.iterate(machine.eval(each.value, frame))
            except Unsure as unsure:
                return unsure.why
        else:
            items.append(machine.eval(each, frame))
    if isinstance(node, ast.Set):
        unknown = next((item for item in items if isinstance(item, Unknown)), None)
        return set(items) if unknown is None else unknown
    if isinstance(node, ast.List):
        machine.journal.made(items)
        return made_empty(machine, items)
    return tuple(items)


@expression(ast.Dict)
def _dict(machine: Machine, node: ast.Dict, frame: Frame) -> Value:
    found: dict[Value, Value] = {}
    machine.journal.made(found)
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            try:
                found |= functions.as_keywords(machine, machine.eval(value, frame))
            except Unsure as unsure:
                machine.unsure(found, unsure.why)
            continue
        name = machine.eval(key, frame)
        if isinstance(name, Unknown):
            machine.unsure(found, name)
            machine.eval(value, frame)
        else:
            found[name] = machine.eval(value, frame)
    return made_empty(machine, found)


@expression(ast.Lambda)
def _lambda(machine: Machine, node: ast.Lambda, frame: Frame) -> Value:
    return functions.made(machine, node, "<lambda>", frame)


@expression(ast.JoinedStr)
def _f_string(machine: Machine, node: ast.JoinedStr, frame: Frame) -> Value:
    parts: list[str] = []
    unknown: Unknown | None = None
    for each in node.values:
        value = machine.eval(each, frame)
        if isinstance(value, Unknown):
            unknown = value
        else:
            parts.append(value)
    return "".join(parts) if unknown is None else unknown.as_plain()


@expression(ast.FormattedValue)
def _formatted(machine: Machine, node: ast.FormattedValue, frame: Frame) -> Value:
    value = machine.eval(node.value, frame)
    spec = machine.eval(node.format_spec, frame) if node.format_spec is not None else ""
    return formatted(machine, value, chr(node.conversion) if node.conversion > 0 else "", spec)


@expression(ast.NamedExpr)
def _walrus(machine: Machine, node: ast.NamedExpr, frame: Frame) -> Value:
    value = machine.eval(node.value, frame)
    assign(machine, node.target, value, frame)
    return value


@expression(ast.Await)
def _await(machine: Machine, node: ast.Await, frame: Frame) -> Value:
    machine.eval(node.value, frame)
    return machine.unknown("what is awaited is not followed", node, frame)


@expression(ast.Starred)
def _starred(machine: Machine, node: ast.Starred, frame: Frame) -> Value:
    return machine.eval(node.value, frame)
