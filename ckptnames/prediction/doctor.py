"""What a reader of a model's code would trip over: weights that are in no state dict, and names that mislead."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from ckptnames.folding import fold
from ckptnames.keys import join
from ckptnames.prediction.live import answered
from ckptnames.prediction.places import Place
from ckptnames.prediction.recording import Record
from ckptnames.prediction.tensors import ties_of
from ckptnames.prediction.walk import Entry, entries, modules
from ckptnames.wording import counted

_PLAIN_CONTAINERS = (list, tuple, dict, set, deque)
_MOST_HELD = 10_000
"""Values looked at in one attribute: a plain list can hold a whole data set."""
_MOST_SPELLED_OUT = 3
_COMPUTED_FROM = ("_g", "_v", "_orig", "_mask")
"""What torch's older norms and pruning keep beside a tensor that they compute anew each time."""


class Finding(NamedTuple):
    """Something worth knowing about a model.

    ``code`` is ``unregistered``, ``plain-tensor``, ``registered-twice``, ``tied``, ``kept-numbers``, ``lazy`` or
    ``not-persistent``; ``names`` are the attributes, modules or keys that it is about.
    """

    code: str
    message: str
    names: tuple[str, ...]
    place: Place | None = None


def examine(model: nn.Module, record: Record | None = None) -> list[Finding]:
    """Find what a reader would trip over, the worst first. ``record`` adds the lines of code, where there is one.

    >>> net = nn.Module()
    >>> net.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    >>> [finding.message for finding in examine(net)]
    ["'layers' is a plain list: in no state dict, with 2 Linear (4 weights); use nn.ModuleList"]
    """
    seen = _Seen(model, record)
    return [
        *_unregistered(seen),
        *_plain_tensors(seen),
        *_registered_twice(seen),
        *_tied(seen),
        *_kept_numbers(seen),
        *_lazy(seen),
        *_not_persistent(seen),
    ]


class _Seen:
    """A model walked once: every module under its first name, and what is registered anywhere in it."""

    def __init__(self, model: nn.Module, record: Record | None) -> None:
        self.record = record
        self.paths = list(modules(model))
        self.at = dict(self.paths)
        self.first: dict[int, str] = {}
        for path, module in self.paths:
            self.first.setdefault(id(module), path)
        self.entries: list[Entry] = answered(model)[0]
        tensors = [t for _, m in self.unique for held in (m._parameters, m._buffers) for t in held.values()]
        self.registered = {*self.first, *(id(tensor) for tensor in tensors if tensor is not None)}
        self.with_keys = {id(self.at[path]) for entry in self.entries for path in _above(entry.path)}

    @property
    def unique(self) -> Iterator[tuple[str, nn.Module]]:
        """Each module once, under its first name."""
        return ((path, module) for path, module in self.paths if self.first[id(module)] == path)

    def place(self, path: str, name: str) -> Place | None:
        """Tell which line registered a name on the module at a path."""
        return self.record.place(self.at[path], name) if self.record is not None else None

    def place_of_module(self, path: str) -> Place | None:
        """Tell which line registered the module at a path."""
        above, _, name = path.rpartition(".")
        return self.place(above, name) if path else None


def _above(path: str) -> Iterator[str]:
    yield path
    while path:
        path = path.rpartition(".")[0]
        yield path


def _unregistered(seen: _Seen) -> Iterator[Finding]:
    for path, module in seen.unique:
        for name, value in vars(module).items():
            if name in _TORCHS_OWN or not isinstance(value, (*_PLAIN_CONTAINERS, nn.Module)):
                continue
            lost = [each for each in _held(value) if id(each) not in seen.registered and _weights(each)]
            if lost:
                what = join(path, name)
                kind = "not registered" if isinstance(value, nn.Module) else f"a plain {type(value).__name__}"
                message = (
                    f"'{what}' is {kind}: in no state dict, with {_counted(lost)}; use {_better(name, value, lost)}"
                )
                yield Finding("unregistered", message, (what,), seen.place(path, name))


_TORCHS_OWN = frozenset(vars(nn.Module()))


def _held(value: Any) -> Iterator[nn.Module | nn.Parameter]:
    """Give the modules and parameters in plain containers, at any depth."""
    stack, met, n = [value], set[int](), 0
    while stack and n < _MOST_HELD:
        n += 1
        at = stack.pop()
        if isinstance(at, nn.Module | nn.Parameter):
            if id(at) not in met:
                yield at
            met.add(id(at))
        elif isinstance(at, _PLAIN_CONTAINERS) and id(at) not in met:
            met.add(id(at))
            stack.extend(reversed(list(at.values() if isinstance(at, Mapping) else at)))


def _weights(held: nn.Module | nn.Parameter) -> int:
    return 1 if isinstance(held, nn.Parameter) else len(entries(modules(held)))


def _counted(lost: list[nn.Module | nn.Parameter]) -> str:
    kinds = Counter(type(each).__name__ for each in lost)
    listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    of_modules = any(isinstance(each, nn.Module) for each in lost)
    return f"{listed} ({counted(sum(map(_weights, lost)), 'weight')})" if of_modules else listed


def _better(name: str, value: object, lost: list[nn.Module | nn.Parameter]) -> str:
    kind = "Parameter" if isinstance(lost[0], nn.Parameter) else "Module"
    if isinstance(value, nn.Module):
        return f"self.{name} = …"
    return f"nn.{kind}Dict" if isinstance(value, Mapping) else f"nn.{kind}List"


def _plain_tensors(seen: _Seen) -> Iterator[Finding]:
    found: defaultdict[tuple[type[nn.Module], str], list[str]] = defaultdict(list)
    for path, module in seen.unique:
        for name, value in vars(module).items():
            if _looks_like_a_buffer(value) and not _is_known(seen, module, name, value):
                found[type(module), name].append(path)
    for (kind, name), paths in found.items():
        where = f"'{join(paths[0], name)}'" if len(paths) == 1 else f"'{name}' of {len(paths)} {kind.__name__}"
        message = f"{where} is a plain tensor: in no state dict, and left behind by .to(); use register_buffer"
        yield Finding("plain-tensor", message, tuple(join(path, name) for path in paths), seen.place(paths[0], name))


def _looks_like_a_buffer(value: object) -> bool:
    """Tell whether a value is a tensor of its own, and more than a number: a size that was computed is none."""
    if type(value) is not torch.Tensor or not value.is_leaf:
        return False
    return value.dim() > 0 or value.is_floating_point()


def _is_known(seen: _Seen, module: nn.Module, name: str, value: torch.Tensor) -> bool:
    sources = {name + end for end in _COMPUTED_FROM}
    return id(value) in seen.registered or not sources.isdisjoint({*module._parameters.keys(), *module._buffers.keys()})


def _registered_twice(seen: _Seen) -> Iterator[Finding]:
    names: defaultdict[int, list[str]] = defaultdict(list)
    for path, module in seen.paths:
        names[id(module)].append(path)
    for same in names.values():
        first, *others = same
        # What lies below a module that has two names has two names as well.
        own = [other for other in others if not _same_parent(seen, first, other)]
        if own and id(seen.at[first]) in seen.with_keys:
            kind = type(seen.at[first]).__name__
            message = f"'{own[0]}' is '{first}': one {kind}, whose keys are saved under {_n_names(len(own) + 1)}"
            yield Finding("registered-twice", message, (first, *own), seen.place_of_module(own[0]))


def _same_parent(seen: _Seen, first: str, other: str) -> bool:
    parents = [path.rpartition(".") for path in (first, other)]
    return parents[0][2] == parents[1][2] and seen.at[parents[0][0]] is seen.at[parents[1][0]]


def _tied(seen: _Seen) -> Iterator[Finding]:
    by_key = {entry.key: entry for entry in seen.entries}
    for tie in ties_of([(entry.key, entry.value) for entry in seen.entries]):
        distinct: dict[tuple[int, str], str] = {}
        for key in tie:
            # A module with two names is told as one, and not again for each of its tensors.
            distinct.setdefault((id(by_key[key].owner), by_key[key].leaf), key)
        names = tuple(distinct.values())
        if len(names) > 1:
            second = by_key[names[1]]
            message = f"one tensor, saved under {_n_names(len(names))}: {' = '.join(names)}"
            if len(names) > _MOST_SPELLED_OUT:
                message = f"one tensor, saved under {_n_names(len(names))}: {_patterns(names)}"
            yield Finding("tied", message, names, seen.place(second.path, second.leaf))


def _kept_numbers(seen: _Seen) -> Iterator[Finding]:
    for path, module in seen.unique:
        names = [name for name, _ in module._modules.items()]
        if not isinstance(module, nn.Sequential) or id(module) not in seen.with_keys:
            continue
        if all(name.isdigit() for name in names) and names != [str(n) for n in range(len(names))]:
            span = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
            what = f"'{path}'" if path else "the model"
            message = f"{what} is a Sequential numbered {span}, as a slice is, which keeps the old numbers"
            yield Finding("kept-numbers", message, (path,), seen.place_of_module(path))


_WITHOUT_SHAPES = {
    True: "no shapes before the first forward, which changes the class, not the names",
    False: "no shapes that are known yet",
}
"""What is said of lazy modules of torch's, and of all else."""


def _lazy(seen: _Seen) -> Iterator[Finding]:
    unshaped = {entry.path: entry.owner for entry in seen.entries if entry.value is not None and is_lazy(entry.value)}
    for changes, what in _WITHOUT_SHAPES.items():
        # A shape that is merely not known from the source looks alike, and nothing changes the class there.
        lazy = {path: owner for path, owner in unshaped.items() if isinstance(owner, LazyModuleMixin) == changes}
        if not lazy:
            continue
        kinds = ", ".join(sorted({type(owner).__name__ for owner in lazy.values()}))
        where = _patterns(path for path in lazy if path) or "the model"
        message = f"{what}: {where} ({kinds})"
        yield Finding("lazy", message, tuple(lazy))


def _not_persistent(seen: _Seen) -> Iterator[Finding]:
    fleeting = [
        join(path, name)
        for path, module in seen.paths
        for name, value in module._buffers.items()
        if value is not None and name in module._non_persistent_buffers_set
    ]
    if fleeting:
        message = f"not persistent, so in no state dict: {_patterns(fleeting)}"
        yield Finding("not-persistent", message, tuple(fleeting))


def _n_names(n: int) -> str:
    return "two names" if n == 2 else f"{n} names"


def _patterns(names: Iterable[str]) -> str:
    groups = fold((name, "") for name in names)
    shown = ", ".join(group.pattern for group in groups[:3])
    return f"{shown} and {len(groups) - 3} more" if len(groups) > 3 else shown
