"""Which line of code registered each module, parameter and buffer: noted while a model is built."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules import module as torch_module

_TORCH = os.path.dirname(torch.__file__) + os.sep  # noqa: PTH120, code objects hold text, and this runs for every name
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120
_MACHINERY = frozenset(
    os.path.join(_TORCH, "nn", "modules", name)  # noqa: PTH118
    for name in ("module.py", "container.py")
)
_IN_BETWEEN = tuple(os.sep + name for name in ("typing_extensions.py", "contextlib.py", "functools.py"))
"""Where the decorators of torch's functions live that are not in torch."""
_PLAIN = frozenset({list, tuple, dict, torch.Tensor})
"""What is held without being registered, when it is set as an attribute of a module."""


class Place(NamedTuple):
    """A line of source: ``file`` as it was imported, ``line`` from 1."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line itself, or ``""`` where its file cannot be read."""
        linecache.checkcache(self.file)
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        """Name the file as people do: a package's from the package on, another from the current folder on."""
        file = self.file
        for folder in ("site-packages", "dist-packages"):
            file = file.rpartition(f"{os.sep}{folder}{os.sep}")[2]
        if file == self.file:
            with suppress(ValueError, OSError):
                file = str(Path(file).relative_to(Path.cwd()))
        return f"{file}:{self.line}"


_Site = tuple[CodeType, int]
"""A piece of code, and the instruction in it; the line is worked out when it is asked for: most never are."""
_Sites = dict[str, _Site]

_SITES = "_ckptnames_sites"
"""Noted in the module itself while it is built, so that a deep copy of it, as layers are often made, knows as much."""


@dataclass(slots=True)
class Record:
    """Where names were registered while a model was built."""

    _owners: list[nn.Module] = field(default_factory=list)
    _sites: dict[int, _Sites] = field(default_factory=dict)
    _names: dict[tuple[int, int], str] = field(default_factory=dict)

    def note(self, owner: nn.Module, name: str, value: object) -> None:
        """Note that the code which is running now sets ``name`` on ``owner``."""
        own = owner.__dict__
        sites = own.get(_SITES)
        if sites is None:
            sites = own[_SITES] = {}
            self._owners.append(owner)
        frame = _author(sys._getframe(1))
        sites[name] = frame.f_code, frame.f_lasti
        self._names[id(owner), id(value)] = name

    def gather(self, modules: Iterable[nn.Module]) -> None:
        """Take what was noted out of the modules again, into this record."""
        for module in modules:
            sites = module.__dict__.pop(_SITES, None)
            if sites is not None:
                self._sites[id(module)] = sites
                self._owners.append(module)  # An identity is one as long as its object lives.

    def place(self, owner: nn.Module, name: str) -> Place | None:
        """Tell where ``name`` was set on ``owner``, as a submodule, a parameter, a buffer or a plain attribute."""
        site = self._sites.get(id(owner), {}).get(name)
        return _place(*site) if site is not None else None

    def first_name(self, owner: nn.Module, value: object) -> str | None:
        """Tell under which name ``value`` was registered on ``owner``; a list that is cut short renumbers the rest."""
        return self._names.get((id(owner), id(value)))

    def clear(self) -> None:
        """Forget everything."""
        self.gather(list(self._owners))
        self._owners.clear()
        self._sites.clear()
        self._names.clear()


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
    if file.startswith(_TORCH):
        return "machinery" if file in _MACHINERY else "torch"
    if file.startswith(_OURS):
        return "ours"
    return "machinery" if file.endswith(_IN_BETWEEN) else "elsewhere"


def _place(code: CodeType, instruction: int) -> Place | None:
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
        note(owner, name, value if other is None else other)
        return other

    set_attribute = nn.Module.__setattr__

    def note_attribute(self: nn.Module, name: str, value: Any) -> None:
        if type(value) in _PLAIN:
            note(self, name, value)
        set_attribute(self, name, value)

    hooks = [
        torch_module.register_module_module_registration_hook(record.note),
        torch_module.register_module_parameter_registration_hook(note_parameter),
        torch_module.register_module_buffer_registration_hook(record.note),
    ]
    nn.Module.__setattr__ = note_attribute  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__setattr__ = set_attribute  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()
        record.gather(list(record._owners))
