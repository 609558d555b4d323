"""Tensors without data, in place of a model's own: with shapes, dtypes and shared storages, and no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

_LIFTS = {torch.ops.aten.lift_fresh.default, torch.ops.aten.lift_fresh_copy.default}


class Dataless:
    """Makes the tensors that stand for those of a model, and runs code that sees no others."""

    def __init__(self, model: nn.Module) -> None:
        fakes = (t for t in (*model.parameters(), *model.buffers()) if isinstance(t, FakeTensor))
        self._mode = next((fake.fake_mode for fake in fakes), None) or FakeTensorMode()
        # A stand-in is found by the identity of what it stands for, which must not end before it.
        self._known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give the stand-in of a tensor; of a kind that has none (lazy, quantised), the tensor itself."""
        try:
            return self._fake(tensor)
        except Exception:
            return tensor

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run what is inside so that no tensor takes memory, and none that exists is read or changed."""
        with self._mode, _Only(self._fake), torch.no_grad():
            yield

    def _fake(self, tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, FakeTensor):
            return tensor
        known = self._known.get(id(tensor))
        if known is None:
            known = self._known[id(tensor)] = tensor, self._mode.from_tensor(tensor)
        return known[1]


class _Only(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Puts stand-ins in place of real tensors that code got hold of elsewhere; torch would change those in place."""

    def __init__(self, fake: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = fake

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _LIFTS:  # a number that becomes a tensor here
            args, kwargs = tree_map_only(torch.Tensor, self._fake, (args, kwargs or {}))
        return func(*args, **kwargs or {})
