"""Build the model that a text names, without memory for its weights and without initialising them."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from inspect import isclass
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from ckptnames.errors import CkptnamesError, NamesNoModel, NoSuchName, UnexpectedArgument
from ckptnames.prediction.arguments import arguments
from ckptnames.prediction.failures import building_failure, check_arguments, import_failure, is_for_want_of_numbers
from ckptnames.prediction.importing import Source, import_file, import_named, importable
from ckptnames.prediction.locating import ModelOperand, model_named, no_model
from ckptnames.prediction.offline import offline
from ckptnames.prediction.recording import Record, recorded
from ckptnames.prediction.weightless import Weightless, emptying, same_numbers_after

_META = torch.device("meta")
_CPU = torch.device("cpu")


class Built(NamedTuple):
    """A model, and where each of its names was registered."""

    model: nn.Module
    record: Record


def build(text: str) -> nn.Module:
    """Build ``"file.py:Net"`` or ``"package.module:name(kwarg=1)"`` on the meta device.

    The name is that of a class, of a function that returns a module, or of a module; arguments are literals.

    >>> build("torch.nn:Linear(4, out_features=10)").weight.device
    device(type='meta')

    Raises ``ModelError``: ``no-such-module``, ``no-such-name``, ``missing-argument``, ``import-failed``, …, and
    ``no-such-path``.
    """
    return built(text).model


def built(text: str) -> Built:
    """Build as ``build`` does, and say which line registered what.

    >>> built("torch.nn:Sequential()").model
    Sequential()
    """
    operand = model_named(text)
    if operand is None:
        raise no_model(text)
    given = arguments(operand)
    source = Source(operand.place) if operand.in_file else None
    record = Record()
    with offline() as hosts, same_numbers_after(), importable(source):
        module = _imported(operand, source, record, hosts)
        target = _named(operand, module)
        if isinstance(target, nn.Module):
            if operand.call:
                raise UnexpectedArgument(operand.text, "arguments: it is built already", "", "", operand.uncalled)
            record.gather(target.modules())
            return Built(target, record)
        if not callable(target) or (isclass(target) and not issubclass(target, nn.Module)):
            raise NamesNoModel(text, _described(target), _models_in(operand, module))
        check_arguments(operand, target, given)
        try:
            model = constructed(lambda: target(*given.positional, **given.named), record)
        except (Exception, SystemExit) as error:
            raise building_failure(operand, error, hosts, target) from None
    if not isinstance(model, nn.Module):
        raise NamesNoModel(text, f"a function that returns {_described(model)}")
    record.gather(model.modules())
    return Built(model, record)


def _imported(operand: ModelOperand, source: Source | None, record: Record, hosts: list[str]) -> ModuleType:
    try:
        if source is None:
            with recorded(record):
                return import_named(operand)
        if source.defines(operand.name.partition(".")[0]):
            return import_file(source)
        # A module that the file makes when it is imported is what was asked for.
        with recorded(record, emptying()), Weightless(_CPU):
            return import_file(source)
    except (Exception, SystemExit) as error:
        raise import_failure(operand, error, hosts) from None


def _named(operand: ModelOperand, module: ModuleType) -> Any:
    found: Any = module
    place, mark = operand.place, ":"
    for name in operand.name.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = [f"{place}{mark}{each}" for each in _near(name, found)]
            models = _models_in(operand, module) if found is module else []
            raise NoSuchName(place, name, near, models) from None
        place, mark = f"{place}{mark}{name}", "."
    return found


def _near(name: str, holder: Any) -> list[str]:
    names = [each for each in dir(holder) if not each.startswith("_")]
    near = get_close_matches(name.lower(), {each.lower() for each in names}, n=3)
    return sorted((each for each in names if each.lower() in near), key=lambda each: near.index(each.lower()))[:3]


def _models_in(operand: ModelOperand, module: ModuleType) -> list[str]:
    """Name the models that are defined in a module, as operands."""
    own = [
        name
        for name, value in vars(module).items()
        if isinstance(value, nn.Module)
        or (isclass(value) and issubclass(value, nn.Module) and value.__module__ == module.__name__)
    ]
    return [f"{operand.place}:{name}" for name in own]


def _described(value: Any) -> str:
    if isclass(value):
        return "a class that does not derive from torch.nn.Module"
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} ({', '.join(type(each).__name__ for each in value[:5])})"
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def constructed(call: Callable[[], Any], record: Record) -> Any:
    """Build on the meta device; where numbers are needed on the way, with numbers, and parameters without."""
    empty = emptying()
    try:
        with recorded(record, empty), Weightless(_META):
            return call()
    except Exception as error:
        if isinstance(error, CkptnamesError) or not is_for_want_of_numbers(error):
            raise
    record.clear()
    with recorded(record, empty), Weightless(_CPU):
        return call()
