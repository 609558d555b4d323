"""A module that was followed, as a module of torch's: it can be wrapped, explained and examined as one that was built.

It has the names, shapes and classes' names of the model, on the meta device, and none of its code. What is open stands
in it as a buffer named ``?``.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import nn

from ckptnames.prediction.places import Place
from ckptnames.prediction.recording import Found, Record
from ckptnames.prediction.static.listing import MARK, Open, children, opening
from ckptnames.prediction.static.torch_nn.with_torch import WithTorch
from ckptnames.prediction.static.values import Module, Tensor, Unknown, Value

_META = torch.device("meta")
_MOST_HELD = 10_000


class StaticRecord(Record):
    """The lines that registered what a shell has, as a record of a model that was built."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[int, dict[str, Place]] = {}
        self._alive: list[nn.Module] = []

    def keep(self, owner: nn.Module, sites: dict[str, Place]) -> None:
        """Note the lines of one module."""
        self._places[id(owner)] = sites
        self._alive.append(owner)

    def place(self, owner: nn.Module, name: str) -> Any:
        """Tell which line set a name on a module."""
        return self._places.get(id(owner), {}).get(name)

    def found(self, owner: nn.Module, name: str, module: nn.Module) -> Found:
        """Tell which line registered a submodule."""
        return Found(self.place(owner, name), name)


class Shells:
    """Makes the shells of a model, each module's once."""

    def __init__(self, room: WithTorch) -> None:
        self.room = room
        self.record = StaticRecord()
        self._modules: dict[int, nn.Module] = {}
        self._tensors: dict[int, Any] = {}
        self._storages: dict[object, torch.UntypedStorage] = {}
        self._opened: dict[int, Open] = {}
        self._types: dict[int, type[nn.Module]] = {}

    def of(self, value: Value) -> nn.Module:
        """Make the shell of a model; one that is open altogether holds nothing but the mark."""
        if not isinstance(value, Module):
            return self._open(value)
        if id(value) not in self._modules:
            self._made(value)
        return self._modules[id(value)]

    def opening_of(self, shell: nn.Module) -> Open:
        """Tell why a shell that holds the mark is open."""
        return self._opened[id(shell)]

    def _open(self, why: Value) -> nn.Module:
        found = nn.Module()
        self._mark(found, Open("", why if isinstance(why, Unknown) else Unknown("it is no module")))
        self.record.keep(found, {})
        return found

    def _mark(self, shell: nn.Module, opened: Open) -> None:
        shell._buffers[MARK] = torch.empty(0, device=_META)
        self._opened[id(shell)] = opened

    def _made(self, value: Module) -> None:
        kind = self._type(value)
        found = self._modules[id(value)] = kind.__new__(kind)
        nn.Module.__init__(found)
        self.record.keep(found, value.sites)
        opened = opening(value)
        if opened is not None and opened.all_of_it:
            self._mark(found, opened)
            return
        for name, tensor in value.params.items():
            found._parameters[name] = self._tensor(tensor)
        for name, tensor in value.buffers.items():
            if isinstance(tensor, Unknown) and name in value.fleeting:
                found._buffers[name] = None
            elif isinstance(tensor, Unknown):
                found._modules[name] = self._open(tensor)
            else:
                found._buffers[name] = self._tensor(tensor)
        found._non_persistent_buffers_set = set(value.fleeting)
        for name, child in children(value):
            found._modules[name] = None if child is None else self.of(child)
        if opened is not None:
            self._mark(found, opened)
        for name, other in value.attrs.items():
            self._plain(found, name, other)

    def _type(self, value: Module) -> type[nn.Module]:
        """Make a class of the same name that derives from the same class of torch."""
        if id(value.cls) not in self._types:
            base = self.room.real_class(value.cls)
            if base.__name__ == value.cls.name:
                self._types[id(value.cls)] = base
            else:
                self._types[id(value.cls)] = type(value.cls.name, (base,), {"__module__": value.cls.module})
        return self._types[id(value.cls)]

    def _tensor(self, value: Value) -> Any:
        if not isinstance(value, Tensor):
            return None
        if id(value) not in self._tensors:
            self._tensors[id(value)] = self._made_tensor(value)
        return self._tensors[id(value)]

    def _made_tensor(self, value: Tensor) -> torch.Tensor:
        dtype = value.dtype if isinstance(value.dtype, torch.dtype) else torch.get_default_dtype()
        if value.shape is None or value.handle is None:
            lazy: Any = nn.UninitializedParameter if value.is_parameter else nn.UninitializedBuffer
            return lazy(device=_META, dtype=dtype)  # type: ignore[no-any-return]
        meta = value.handle.meta
        storage = self._storages.get(value.storage)
        if storage is None:
            storage = self._storages[value.storage] = torch.UntypedStorage(  # type: ignore[no-untyped-call]
                meta.untyped_storage().nbytes(), device="meta"
            )
        made = torch.empty(0, dtype=dtype, device=_META)
        made.set_(storage, meta.storage_offset(), meta.shape, meta.stride())
        return nn.Parameter(made, requires_grad=False) if value.is_parameter else made

    def _plain(self, shell: nn.Module, name: str, value: Value) -> None:
        """Keep what a reader of the code could take for registered: modules in plain lists, and plain tensors."""
        if isinstance(value, Tensor) and value.shape is not None:
            shell.__dict__[name] = self._tensor(value)
        elif isinstance(value, list | tuple | dict | deque) and name not in ("training",):
            held = self._held(value, 0)
            if held is not None:
                shell.__dict__[name] = held

    def _held(self, value: Value, depth: int) -> Any:
        """Give a plain collection with the shells of what it holds; ``None`` where it holds no modules."""
        if depth > 5 or len(value) > _MOST_HELD:
            return None
        items = list(value.values()) if isinstance(value, dict) else list(value)
        made = [self._item(item, depth) for item in items]
        if all(item is None for item in made):
            return None
        return dict(zip(value, made, strict=True)) if isinstance(value, dict) else list(made)

    def _item(self, item: Value, depth: int) -> Any:
        if isinstance(item, Module):
            return self.of(item)
        if isinstance(item, Tensor) and item.is_parameter:
            return self._tensor(item)
        return self._held(item, depth + 1) if isinstance(item, list | tuple | dict | deque) else None
