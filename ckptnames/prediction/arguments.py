"""The call behind a model's name, ``Net(3, depths=[2, 2])``: literals, which are read without running anything."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptnames.errors import NotALiteral, OperandSyntax
from ckptnames.prediction.locating import ModelOperand


class Arguments(NamedTuple):
    """What a model is called with."""

    positional: tuple[Any, ...]
    named: dict[str, Any]


def arguments(operand: ModelOperand) -> Arguments:
    """Read the arguments of the call; they are literals, and torch's dtypes by name (``torch.bfloat16``).

    >>> from ckptnames.prediction.locating import model_operand
    >>> arguments(model_operand("model.py:Net(3, depths=[2, 2], norm=None)"))
    Arguments(positional=(3,), named={'depths': [2, 2], 'norm': None})

    Raises ``operand-syntax``, ``not-a-literal``.
    """
    if not operand.call:
        return Arguments((), {})
    try:
        call = ast.parse(f"_{operand.call}", mode="eval").body
    except SyntaxError as error:
        position = max((error.offset or 1) - 2, 0)
        raise OperandSyntax(operand.text, operand.call, error.msg, position) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise OperandSyntax(operand.text, operand.call, str(error) or "it is nested too deep", 0) from None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise OperandSyntax(operand.text, operand.call, "more stands behind it", len(operand.call))
    positional = tuple(_value(operand, node) for node in call.args)
    for keyword in call.keywords:
        if keyword.arg is None:
            raise _no_literal(operand, keyword.value, "**")
    return Arguments(positional, {str(keyword.arg): _value(operand, keyword.value) for keyword in call.keywords})


def called_with(operand: ModelOperand, positional: Sequence[str], named: Mapping[str, str]) -> str:
    """Write the operand with other arguments, given as they are written.

    >>> from ckptnames.prediction.locating import model_operand
    >>> called_with(model_operand("model.py:Net"), ["3"], {"depth": "18"})
    'model.py:Net(3, depth=18)'
    """
    written = [*positional, *(f"{name}={value}" for name, value in named.items())]
    return f"{operand.uncalled}({', '.join(written)})" if written else operand.uncalled


def as_written(operand: ModelOperand) -> tuple[list[str], dict[str, str]]:
    """Give the arguments of a call that can be read, as they are written.

    >>> from ckptnames.prediction.locating import model_operand
    >>> as_written(model_operand("model.py:Net(3, depths=[2, 2])"))
    (['3'], {'depths': '[2, 2]'})
    """
    call = ast.parse(f"_{operand.call or '()'}", mode="eval").body
    assert isinstance(call, ast.Call)
    return list(map(ast.unparse, call.args)), {str(k.arg): ast.unparse(k.value) for k in call.keywords}


def _value(operand: ModelOperand, node: ast.expr) -> Any:
    if isinstance(node, ast.List | ast.Tuple):
        return (list if isinstance(node, ast.List) else tuple)(_value(operand, each) for each in node.elts)
    if isinstance(node, ast.Dict) and all(node.keys):
        return {
            _value(operand, key): _value(operand, value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
        import torch

        dtype = getattr(torch, node.attr, None)
        if isinstance(dtype, torch.dtype):
            return dtype
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise _no_literal(operand, node) from None


def _no_literal(operand: ModelOperand, node: ast.expr, stars: str = "") -> NotALiteral:
    return NotALiteral(operand.text, stars + ast.unparse(node), f"{operand.name}{operand.call}")
