"""Torch itself, where it is installed: what its names stand for."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.items import SCALARS
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.stdlib.arrays import array_attribute, is_array
from ckptnames.prediction.static.stdlib.table import KNOWN
from ckptnames.prediction.static.torch_nn.computing import TOKENS
from ckptnames.prediction.static.torch_nn.names import canonical, is_computing
from ckptnames.prediction.static.torch_nn.real_layers import RealLayers
from ckptnames.prediction.static.values import (
    KnownModule,
    Value,
)


class WithTorch(RealLayers):
    """Answers what the interpreter asks of torch by asking torch."""

    def canonical(self, name: str) -> str | None:
        """Give the name under which a module of torch is known; ``None`` where it is none."""
        return canonical(name)

    def names_in(self, module: str) -> list[str]:
        """List what a star import brings from a module."""
        if module.partition(".")[0] != "torch":
            return [name.rpartition(".")[2] for name in KNOWN if name.rpartition(".")[0] == module]
        found = self._real(module)
        return list(getattr(found, "__all__", [name for name in dir(found) if not name.startswith("_")]))

    def is_absent(self, full: str) -> bool:
        """Tell whether a name is certainly not there, and not merely unknown."""
        if not full.startswith("torch.") or full.endswith("__"):
            return False
        if self._real(full) is not MISSING:
            return False
        above = self._real(full.rpartition(".")[0])
        return isinstance(above, types.ModuleType) and not _is_module(full)

    def named(self, machine: Machine, full: str) -> Value | None:
        """Give what a full name stands for, such as ``torch.nn.Conv2d``; ``None`` where it is not torch's."""
        if not full.startswith("torch."):
            return None
        found = self._real(full)
        if found is MISSING:
            if self.is_absent(full):
                return machine.unknown(f"torch {torch.__version__} has no '{full}'")
            return (
                KnownModule(full)
                if _is_module(full)
                else machine.unknown(f"'{full}' is not among what is known of torch")
            )
        return self._known(machine, found, full)

    def _known(self, machine: Machine, found: Any, full: str) -> Value:
        if isinstance(found, types.ModuleType):
            return KnownModule(full)
        if type(found).__name__ == "tensortype":  # torch.LongTensor and its like, which are no classes
            return self._tensor_type(found)
        if isinstance(found, type):
            if issubclass(found, nn.Module):
                return self.class_for(found)
            if found is nn.Parameter or issubclass(found, torch.Tensor):
                return self._tensor_type(found)
            if found is torch.Size:
                return tuple
        if isinstance(found, (TOKENS, SCALARS)):
            return found
        if is_computing(found, full):
            return self._function(found, full)
        return machine.unknown(f"'{full}' is not among what is known of torch")

    def is_array(self, value: Value) -> bool:
        """Tell whether a value is a number or an array of numpy's."""
        return is_array(value)

    def is_token(self, value: Value) -> bool:
        """Tell whether a value is a dtype, a device or the like."""
        return isinstance(value, TOKENS)

    def native_attribute(self, machine: Machine, value: Value, name: str) -> Value:
        """Give an attribute of such a value."""
        if is_array(value):
            return array_attribute(machine, value, name)
        if name.startswith("_") or not hasattr(value, name):
            return MISSING
        found = getattr(value, name)
        return found if isinstance(found, (SCALARS, TOKENS)) else machine.plain(f"'{name}' is not known")


def _is_module(full: str) -> bool:
    """Tell whether torch has a module of that name, which need not be loaded."""
    path = Path(torch.__file__).parent.joinpath(*full.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()
