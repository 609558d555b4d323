"""Torch's functions on tensors without numbers, and on numbers where those are few and known.

Nothing of the program is handed to torch but numbers, texts and the like. No tensor with more than a few thousand
numbers is ever made: those that have more have no numbers.
"""

from __future__ import annotations

import sys
import types
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.items import SCALARS
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised, Unsure
from ckptnames.prediction.static.stdlib.arrays import is_array
from ckptnames.prediction.static.values import (
    Function,
    Instance,
    Method,
    Native,
    Partial,
    Pure,
    Tensor,
    Unknown,
    Value,
)

_MOST_NUMBERS = 4_096
META = torch.device("meta")
TOKENS = (torch.dtype, torch.device, torch.memory_format, torch.layout, torch.Generator)


class Held(NamedTuple):
    """A tensor on the meta device, and the same with its numbers where they are few and known."""

    meta: torch.Tensor
    real: torch.Tensor | None = None


class Computing:
    """Runs functions of torch that make or compute tensors."""

    def _real(self, full: str) -> Any:
        """Give what torch itself has under a name, of what is loaded already: some of its modules take seconds."""
        found: Any = torch
        for part in full.split(".")[1:]:
            found = (
                vars(found).get(part, MISSING) if isinstance(found, types.ModuleType) else getattr(found, part, MISSING)
            )
            if found is MISSING:
                return sys.modules.get(full, MISSING)
        return found

    def _function(self, found: Any, full: str) -> Native:
        def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
            return self.compute(machine, found, full, list(args), kwargs)

        return Native(full, code)

    def _given(self, machine: Machine, value: Value) -> Any:
        """Turn a value into what torch can be given."""
        if isinstance(value, Unknown):
            raise Unsure(value)
        if isinstance(value, (SCALARS, TOKENS)) or is_array(value):
            return value
        if isinstance(value, Tensor):
            return self._meta(value)
        if isinstance(value, tuple | list):
            machine.check(value)
            items = [self._given(machine, each) for each in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, dict):
            machine.check(value)
            return {self._given(machine, k): self._given(machine, v) for k, v in value.items()}
        if isinstance(value, Native) and value.name.startswith("torch."):
            found = self._real(value.name)
            return found if found is not MISSING else _stand_in
        if isinstance(value, Function | Native | Pure | Method | Partial):
            return _stand_in
        if isinstance(value, Instance) and isinstance(value.payload, str | int | float | tuple):
            return value.payload
        if isinstance(value, slice | range):
            return value
        raise Unsure(machine.unknown("a value of the program's own is handed to torch"))

    def tensor(self, real: torch.Tensor, known: dict[int, Any] | None = None) -> Tensor:
        """Describe a tensor that torch made; it has no numbers."""
        known = {} if known is None else known
        found = known.get(id(real))
        if found is not None:
            return found  # type: ignore[no-any-return]
        is_parameter = isinstance(real, nn.Parameter | UninitializedParameter)
        if is_lazy(real) or isinstance(real, UninitializedBuffer):
            found = Tensor(None, real.dtype, is_parameter, True, handle=Held(torch.empty(0, device=META)), lazy=True)
        else:
            meta = (
                real.detach()
                if real.device == META
                else torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device=META)
            )
            found = Tensor(tuple(meta.shape), meta.dtype, is_parameter, real.requires_grad, handle=Held(meta))
        known[id(real)] = found
        return found

    def _meta(self, tensor: Tensor) -> torch.Tensor:
        if tensor.handle is None or tensor.shape is None:
            raise Unsure(
                tensor.dtype
                if isinstance(tensor.dtype, Unknown)
                else Unknown("the shape of a tensor is not known", plain=True)
            )
        return tensor.handle.meta  # type: ignore[no-any-return]

    def compute(self, machine: Machine, function: Any, full: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Run a function of torch's that computes tensors: on the meta device, and on numbers if they are few."""
        inputs: list[Tensor] = []
        try:
            given = [self._input(machine, value, inputs) for value in args]
            named = {
                k: self._input(machine, v, inputs)
                for k, v in kwargs.items()
                if k not in ("device", "pin_memory", "out")
            }
        except Unsure as unsure:
            return unsure.why.as_plain() if unsure.why.plain else Unknown(unsure.why.reason, unsure.why.place, True)
        in_place = full.endswith("_") and not full.endswith("__") and inputs
        result, error = self._on_meta(function, given, named)
        real: Any = MISSING
        few = error is not None or all(t.numel() <= _MOST_NUMBERS for t in _tensors_in(result))
        drawn = full.rpartition(".")[2].startswith(("rand", "normal", "empty", "bernoulli", "multinomial"))
        if few and not drawn and not in_place and all(t.handle.real is not None for t in inputs):
            real = self._on_numbers(function, given, named)
        if error is not None:
            if real is MISSING:
                if isinstance(error, NotImplementedError | RuntimeError) and not inputs:
                    raise Raised(error, machine.place)
                if isinstance(error, TypeError | ValueError | IndexError) and not _needs_numbers(error):
                    raise Raised(error, machine.place)
                line = str(error).partition("\n")[0][:100]
                return machine.plain(f"'{full}' cannot be computed without the numbers of a tensor ({line})")
            return self._wrapped_real(real, inputs)
        if in_place:
            self._replaced(machine, inputs[0], result)
            return inputs[0]
        return self._wrapped(result, inputs, real)

    def _input(self, machine: Machine, value: Value, inputs: list[Tensor]) -> Any:
        if isinstance(value, Tensor):
            self._meta(value)
            inputs.append(value)
            return value
        if isinstance(value, tuple | list):
            machine.check(value)
            items = [self._input(machine, each, inputs) for each in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, slice):
            return slice(*(self._input(machine, each, inputs) for each in (value.start, value.stop, value.step)))
        return self._given(machine, value)

    def _on_meta(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, Exception | None]:
        try:
            with META, torch.no_grad():
                return function(*_each(args, _meta_of), **_each(kwargs, _meta_of)), None
        except Exception as error:
            return None, error

    def _on_numbers(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        try:
            with torch.no_grad():
                return function(*_each(args, _real_of), **_each(kwargs, _real_of))
        except Exception:
            return MISSING

    def _wrapped(self, result: Any, inputs: list[Tensor], real: Any = MISSING) -> Value:
        if isinstance(result, torch.Tensor):
            numbers = real if isinstance(real, torch.Tensor) and real.shape == result.shape else None
            return self._of(result, inputs, numbers)
        if isinstance(result, torch.Size):
            return tuple(result)
        if isinstance(result, tuple | list):
            others = real if isinstance(real, tuple | list) and len(real) == len(result) else [MISSING] * len(result)
            items = [self._wrapped(each, inputs, other) for each, other in zip(result, others, strict=True)]
            return items if isinstance(result, list) else tuple(items)
        if isinstance(result, (SCALARS, TOKENS)):
            return result
        return Unknown("what torch computes is not looked into", plain=True)

    def _wrapped_real(self, real: Any, inputs: list[Tensor]) -> Value:
        if isinstance(real, torch.Tensor):
            meta = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device=META)
            return Tensor(
                tuple(meta.shape), meta.dtype, handle=Held(meta, real if real.numel() <= _MOST_NUMBERS else None)
            )
        if isinstance(real, tuple | list) and not isinstance(real, torch.Size):
            items = [self._wrapped_real(each, inputs) for each in real]
            return items if isinstance(real, list) else tuple(items)
        return self._wrapped(real, inputs)

    def _of(self, meta: torch.Tensor, inputs: list[Tensor], real: torch.Tensor | None) -> Tensor:
        for each in inputs:
            if meta is each.handle.meta:
                return each
        base = next(
            (e for e in inputs if e.handle.meta.untyped_storage()._cdata == meta.untyped_storage()._cdata), None
        )
        if meta.is_sparse or meta.layout != torch.strided:
            base = None
        found = Tensor(tuple(meta.shape), meta.dtype, handle=Held(meta, real))
        if base is not None:
            found.storage = base.storage
        return found

    def _replaced(self, machine: Machine, tensor: Tensor, result: Any) -> None:
        """An operation in place: the numbers are others now, the shape may be."""
        meta = tensor.handle.meta
        if isinstance(result, torch.Tensor) and (result.shape != tensor.shape or result is not meta):
            tensor.shape, tensor.dtype = tuple(result.shape), result.dtype
            meta = result
        tensor.handle = Held(meta)


def _stand_in(*args: Any, **kwargs: Any) -> None:
    """Stands where torch is handed a function of the program's: it is kept, and never called."""


def _meta_of(tensor: Tensor) -> torch.Tensor:
    return tensor.handle.meta  # type: ignore[no-any-return]


def _real_of(tensor: Tensor) -> torch.Tensor:
    return tensor.handle.real  # type: ignore[no-any-return]


def _each(value: Any, give: Any) -> Any:
    """Put torch's tensors where ours stand."""
    if isinstance(value, Tensor):
        return give(value)
    if isinstance(value, dict):
        return {key: _each(each, give) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_each(each, give) for each in value)
    if isinstance(value, slice):
        return slice(*(_each(each, give) for each in (value.start, value.stop, value.step)))
    return value


def _tensors_in(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for each in result for t in _tensors_in(each)] if isinstance(result, tuple | list) else []


def _needs_numbers(error: Exception) -> bool:
    return "meta" in str(error).lower()
