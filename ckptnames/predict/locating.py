"""A model that is named in text: ``file.py:Net`` or ``package.module:name(kwarg=1)``, read without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ckptnames.errors_predict import NoModelOperand, NotALiteral, OperandSyntax, TorchMissing

_NAME = r"(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\(.*)?"
_IN_FILE = re.compile(r"(?P<place>.+?\.py):" + _NAME, re.DOTALL)
_AT_REVISION = re.compile(r"git:(?P<revision>.+?):(?P<model>.+\.py:.+)", re.DOTALL)
# A single letter before the colon is a drive.
_IN_MODULE = re.compile(r"(?P<place>[^\W\d]\w+(?:\.[^\W\d]\w*)*):" + _NAME, re.DOTALL)


class ModelOperand(NamedTuple):
    """A model as it was named: ``place`` is a file or a module's import path, ``call`` what stands in parentheses.

    ``revision`` is the git revision in which the file is to be read; ``""`` for the one that lies there.
    """

    text: str
    place: str
    in_file: bool
    name: str
    call: str
    revision: str = ""

    @property
    def uncalled(self) -> str:
        """The text without its call."""
        return f"{f'git:{self.revision}:' if self.revision else ''}{self.place}:{self.name}"


class Arguments(NamedTuple):
    """What a model is called with."""

    positional: tuple[Any, ...]
    named: dict[str, Any]


def model_operand(text: str) -> ModelOperand | None:
    """Read a text that names a model; ``None`` where it has another form.

    >>> model_operand("src/model.py:Net(depth=18)")
    ModelOperand(text='src/model.py:Net(depth=18)', place='src/model.py', in_file=True, name='Net', call='(depth=18)', revision='')
    >>> model_operand("torchvision.models:resnet18").place, model_operand("weights.pt"), model_operand(r"C:net")
    ('torchvision.models', None, None)
    """
    at_revision = _AT_REVISION.fullmatch(text)
    if at_revision:
        inner = model_operand(at_revision["model"])
        return inner._replace(text=text, revision=at_revision["revision"]) if inner is not None else None
    for form in (_IN_FILE, _IN_MODULE):
        found = form.fullmatch(text)
        if found:
            return ModelOperand(text, found["place"], form is _IN_FILE, found["name"], found["call"] or "")
    return None


def no_model(text: str) -> NoModelOperand:
    """Say of a text that it names no model, and what it could mean."""
    above, _, last = text.rpartition(".")
    could_be_imported = all(map(str.isidentifier, text.split("."))) and find_spec(text.partition(".")[0]) is not None
    return NoModelOperand(text, Path(text).exists(), f"{above}:{last}" if above and could_be_imported else "")


def require_torch(operand: str) -> None:
    """Raise ``torch-missing`` where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise TorchMissing(operand) from None


def arguments(operand: ModelOperand) -> Arguments:
    """Read the arguments of the call; they are literals, and torch's dtypes by name (``torch.bfloat16``).

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

    >>> called_with(model_operand("model.py:Net"), ["3"], {"depth": "18"})
    'model.py:Net(3, depth=18)'
    """
    written = [*positional, *(f"{name}={value}" for name, value in named.items())]
    return f"{operand.uncalled}({', '.join(written)})" if written else operand.uncalled


def as_written(operand: ModelOperand) -> tuple[list[str], dict[str, str]]:
    """Give the arguments of a call that can be read, as they are written.

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
