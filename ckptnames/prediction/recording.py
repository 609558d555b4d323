"""Which line of code registered each module, parameter and buffer: noted while a model is built."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from ckptnames.prediction.places import Place

# Code objects hold text, and what goes by it runs for every name.
TORCH = os.path.dirname(torch.__file__) + os.sep  # noqa: PTH120
OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120
_MACHINERY = frozenset(
    os.path.join(TORCH, "nn", "modules", name)  # noqa: PTH118
    for name in ("module.py", "container.py")
)
_IN_BETWEEN = tuple(os.sep + name for name in ("typing_extensions.py", "contextlib.py", "functools.py"))
"""Where the decorators of torch's functions live that are not in torch."""
_PLAIN = frozenset({list, tuple, dict, torch.Tensor})
"""What is held without being registered, when it is set as an attribute of a module."""


_Site = tuple[CodeType, int]
"""A piece of code, and the instruction in it. The line is worked out when it is asked for: most never are."""

_SITES = "_ckptnames_sites"
"""Noted in the module itself while it is built, so that a deep copy of it, as layers are often made, knows as much."""


class Found(NamedTuple):
    """Where something was registered, and under which name, which a container may have changed since."""

    place: Place | None
    name: str


@dataclass(slots=True)
class Record:
    """Where names were registered while a model was built."""

    _sites: dict[int, dict[str, _Site]] = field(default_factory=dict)
    _modules: dict[tuple[int, int], dict[str, _Site]] = field(default_factory=dict)
    """Of a module and one that was registered on it: under which names, and where."""
    _noted: dict[int, nn.Module] = field(default_factory=dict)
    _kept: list[nn.Module] = field(default_factory=list)
    """An identity is one as long as its object lives."""

    def note(self, owner: nn.Module, name: str, value: object = None) -> None:  # noqa: ARG002
        """Note that the code which is running now sets ``name`` on ``owner``."""
        own = owner.__dict__
        sites = own.get(_SITES)
        if sites is None:
            sites = own[_SITES] = {}
            self._noted[id(owner)] = owner
        frame = _author(sys._getframe(1))
        sites[name] = frame.f_code, frame.f_lasti

    def note_module(self, owner: nn.Module, name: str, module: nn.Module | None) -> None:
        """Note the same of a submodule, which may be moved to another name later."""
        self.note(owner, name)
        if module is not None:
            self._modules.setdefault((id(owner), id(module)), {})[name] = owner.__dict__[_SITES][name]
            self._kept.append(module)

    def gather(self, modules: Iterable[nn.Module]) -> None:
        """Take what was noted out of the modules again, into this record."""
        for module in modules:
            sites = module.__dict__.pop(_SITES, None)
            if sites is not None:
                self._sites[id(module)] = sites
                self._kept.append(module)

    def place(self, owner: nn.Module, name: str) -> Place | None:
        """Tell where ``name`` was set on ``owner``, as a submodule, a parameter, a buffer or a plain attribute."""
        site = self._sites.get(id(owner), {}).get(name)
        return _place(site) if site is not None else None

    def found(self, owner: nn.Module, name: str, module: nn.Module) -> Found:
        """Tell where a submodule was registered; a list that is cut short or inserted into renumbers what it holds."""
        if id(owner) not in self._noted:
            # A deep copy: it holds copies, and knows its names, but not what was made from what.
            return Found(self.place(owner, name), name)
        sites = self._modules.get((id(owner), id(module)), {})
        if name in sites or not sites:
            return Found(_place(sites[name]) if sites else None, name)
        *_, was = sites
        return Found(_place(sites[was]), was)

    def clear(self) -> None:
        """Forget everything."""
        self.gather(list(self._noted.values()))
        self._sites.clear()
        self._modules.clear()
        self._noted.clear()
        self._kept.clear()


def _author(frame: FrameType) -> FrameType:
    """Go up to the first frame outside torch; for a model that is torch's own, to the line that is no machinery."""
    inside: FrameType | None = None
    at: FrameType | None = frame
    while at is not None:
        file = at.f_code.co_filename
        home = _HOMES.get(file)
        if home is None:
            home = _HOMES[file] = _home(file)
        if home == "elsewhere":
            return at
        if home == "torch":
            inside = inside or at
        elif home == "ours" and inside is not None:
            return inside
        at = at.f_back
    return inside or frame


_HOMES: dict[str, str] = {}
"""Of each file of code that was met: whose it is."""


def _home(file: str) -> str:
    if file.startswith(TORCH):
        return "machinery" if file in _MACHINERY else "torch"
    if file.startswith(OURS):
        return "ours"
    return "machinery" if file.endswith(_IN_BETWEEN) else "elsewhere"


def _place(site: _Site) -> Place | None:
    code, instruction = site
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return Place(code.co_filename, line)
    return None


@contextmanager
def recorded(record: Record, replace: Callable[[Any], Any] | None = None) -> Iterator[None]:
    """Note every registration while the block runs; ``replace`` may give another parameter for one that is registered.

    >>> record = Record()
    >>> with recorded(record):
    ...     net = nn.Sequential(nn.ReLU())
    >>> record.place(net, "0") is not None
    True

    Deep copies are known once they are gathered: ``record.gather(model.modules())``.
    """
    note = record.note

    def note_parameter(owner: nn.Module, name: str, value: Any) -> Any:
        other = replace(value) if replace is not None else None
        note(owner, name)
        return other

    set_attribute = nn.Module.__setattr__

    def note_attribute(self: nn.Module, name: str, value: Any) -> None:
        if type(value) in _PLAIN:
            note(self, name)
        set_attribute(self, name, value)

    hooks = [
        torch_module.register_module_module_registration_hook(record.note_module),
        torch_module.register_module_parameter_registration_hook(note_parameter),
        torch_module.register_module_buffer_registration_hook(note),
    ]
    with ExitStack() as after:
        after.callback(lambda: record.gather(list(record._noted.values())))
        for hook in hooks:
            after.callback(hook.remove)
        after.enter_context(_replaced(nn.Module, "__setattr__", note_attribute))
        for container in (nn.ModuleList, nn.Sequential):
            after.enter_context(_replaced(container, "insert", _noting_insert(container, record.note_module)))
        yield


def _noting_insert(container: type[Any], note: Callable[[nn.Module, str, nn.Module], None]) -> Callable[..., Any]:
    """Make an ``insert`` that notes: torch's own passes its hooks by."""
    insert = container.insert

    def insert_and_note(self: Any, index: int, module: nn.Module) -> Any:
        found = insert(self, index, module)
        for name, child in self._modules.items():
            if child is module:
                note(self, name, module)
        return found

    return insert_and_note


@contextmanager
def _replaced(cls: type, name: str, method: Callable[..., Any]) -> Iterator[None]:
    before = getattr(cls, name)
    setattr(cls, name, method)
    try:
        yield
    finally:
        setattr(cls, name, before)
