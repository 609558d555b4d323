"""Tensors that a model's own code is handed: which of them it took, and what of ours it kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_ASKED = {
    torch.Tensor.size,
    torch.Tensor.stride,
    torch.Tensor.dim,
    torch.Tensor.numel,
    torch.Tensor.is_floating_point,
    torch.Tensor.is_complex,
    *(
        getattr(torch.Tensor, name).__get__
        for name in ("shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_meta", "is_quantized")
    ),
}
"""What only looks at a tensor, and takes nothing of it."""


class Handing(TorchFunctionMode):
    """Notes for which tensors something is done with them while code of the model's own has them."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], note: Callable[[str], None]) -> None:
        super().__init__()
        self._keys = {id(tensor): key for key, tensor in tensors.items()}
        self._kept = {key: weakref.ref(tensor) for key, tensor in tensors.items()}
        self._memory = {key: _memory(tensor) for key, tensor in tensors.items()}
        self._note = note

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _ASKED:
            for value in tree_leaves((args, kwargs)):
                if id(value) in self._keys:
                    self._note(self._keys[id(value)])
        return func(*args, **(kwargs or {}))

    def note_kept(self, model: nn.Module) -> None:
        """Note what is in the model itself, or in another place that keeps it, once nobody else has it."""
        tensors = (*model.parameters(), *model.buffers()) if self._kept else ()
        own = {_memory(tensor) for tensor in tensors} - {0}
        for key, kept in self._kept.items():
            if kept() is not None or self._memory[key] in own:
                self._note(key)


def _memory(tensor: torch.Tensor) -> int:
    """Give where the memory of a tensor is, or nothing for one that has none of its own."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    if local.is_meta or local.layout is not torch.strided or nn.parameter.is_lazy(local):
        return 0
    try:
        return local.untyped_storage().data_ptr()
    except RuntimeError:  # a subclass that is made of other tensors
        return 0


def places_of(kind: type, model: nn.Module) -> Iterator[str]:
    """Name the attributes in which modules hold an object of a kind, however deep in lists and dicts.

    >>> list(places_of(float, nn.Sequential(nn.Dropout(0.5))))
    ['0.p']
    """
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            # What is registered is told by its own name, not by that of the dict of torch's that holds it.
            held = value.items() if name in ("_parameters", "_buffers") else [(name, value)]
            for leaf, each in held:
                if name != "_modules" and any(isinstance(found, kind) for found in tree_leaves(each)):
                    yield f"{path}.{leaf}" if path else leaf
