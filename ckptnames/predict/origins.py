"""Why a key is called that: each segment with the rule that made it, and the line that registered it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized, type_before_parametrizations

from ckptnames.errors_predict import NoSuchKey
from ckptnames.keys import has_prefix, join, segments
from ckptnames.predict.building import built
from ckptnames.predict.recording import Place, Record
from ckptnames.predict.walk import Entry, entries
from ckptnames.predict.wrapper_types import Holder, wrapped_as
from ckptnames.predict.wrappers import wrapped

_CONTAINERS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.ModuleList, "ModuleList index"),
    (nn.ModuleDict, "ModuleDict key"),
    (nn.ParameterList, "ParameterList index"),
    (nn.ParameterDict, "ParameterDict key"),
)


class Step(NamedTuple):
    """One segment of a key.

    ``rule`` is ``attribute``, ``Sequential index``, ``Sequential name``, ``ModuleList index``, ``ModuleDict key``,
    ``ParameterList index``, ``ParameterDict key``, ``parametrization``, ``wrapper``, ``parameter``, ``buffer`` or
    ``extra state``; ``owner`` is the class that it holds in. ``place`` is the line that registered it, where that was
    recorded. ``was`` is the segment under which it was registered, where a container has renumbered it since.
    """

    segment: str
    rule: str
    owner: str
    place: Place | None = None
    was: str = ""


class _Node(NamedTuple):
    """A module, and the one of the model as it was built that it stands for: wrapping makes copies."""

    module: nn.Module
    original: nn.Module | None


def explain(
    model: nn.Module | str, key: str | None = None, *, wrap: Sequence[str] = (), record: Record | None = None
) -> dict[str, tuple[Step, ...]]:
    """Give for each key of the model's state dict its segments, from the root to the leaf, with what made each.

    ``key`` asks for one, or for all below a module. A model that is named in text is built, and the lines are recorded
    meanwhile; of a model in memory they are known only from the ``record`` under which it was built.

    >>> steps = explain(nn.Sequential(nn.Linear(2, 3)), "0.bias")["0.bias"]
    >>> [(step.segment, step.rule, step.owner) for step in steps]
    [('0', 'Sequential index', 'Sequential'), ('bias', 'parameter', 'Linear')]

    Raises ``no-such-key``, and what building and wrapping raise.
    """
    if isinstance(model, str):
        model, record = built(model)
    root = wrapped(model, wrap) if wrap else model
    found = entries(root)
    if key is not None:
        chosen = [entry for entry in found if has_prefix(entry.key, key)]
        if not chosen:
            raise _no_such_key(type(model).__name__, key, found)
        found = chosen
    walk = _Walk(root, model, record)
    return {entry.key: walk.steps(entry) for entry in found}


class _Walk:
    """Goes down from the root once for each module, not once for each key."""

    def __init__(self, root: nn.Module, model: nn.Module, record: Record | None) -> None:
        self._record = record
        self._nodes: dict[str, _Node] = {"": _Node(root, model)}
        self._above: dict[str, tuple[Step, ...]] = {"": ()}

    def steps(self, entry: Entry) -> tuple[Step, ...]:
        above = self._to(entry.path)
        node = self._nodes[entry.path]
        return (*above, self._step(node, entry.leaf, _leaf_rule(entry), entry.value))

    def _to(self, path: str) -> tuple[Step, ...]:
        if path not in self._above:
            parent, _, name = path.rpartition(".")
            above = self._to(parent)
            node = self._nodes[parent]
            child = node.module._modules[name]
            assert child is not None
            inner = _original_of(node, name)
            self._nodes[path] = _Node(child, inner)
            self._above[path] = (*above, self._step(node, name, _rule(node.module, name), inner))
        return self._above[path]

    def _step(self, node: _Node, name: str, rule: str, value: object) -> Step:
        owner = _shown_class(node)
        if self._record is None or node.original is None or _is_virtual(node):
            return Step(name, rule, owner)
        first = None if value is None else self._record.first_name(node.original, value)
        if first is None or first == name:
            return Step(name, rule, owner, self._record.place(node.original, name))
        return Step(name, rule, owner, self._record.place_of(node.original, value), first)


def _is_virtual(node: _Node) -> bool:
    """Tell whether the module stands for a wrapper that the model itself does not have."""
    return isinstance(node.module, Holder) or (type(node.module) is nn.Module and type(node.original) is not nn.Module)


def _original_of(node: _Node, name: str) -> nn.Module | None:
    if node.original is None or _is_virtual(node):
        return node.original
    return node.original._modules.get(name)


def _shown_class(node: _Node) -> str:
    return "--wrap" if _is_virtual(node) else type_before_parametrizations(node.module).__name__


def _rule(owner: nn.Module, name: str) -> str:
    if wrapped_as(owner) == name:
        return "wrapper"
    if name == "parametrizations" and is_parametrized(owner):
        return "parametrization"
    if isinstance(owner, nn.Sequential):
        return "Sequential index" if name.isdigit() else "Sequential name"
    return next((rule for kind, rule in _CONTAINERS if isinstance(owner, kind)), "attribute")


def _leaf_rule(entry: Entry) -> str:
    if isinstance(entry.owner, ParametrizationList):
        return "parametrization"
    return next((rule for kind, rule in _CONTAINERS[2:] if isinstance(entry.owner, kind)), entry.kind)


def _no_such_key(model: str, key: str, found: Sequence[Entry]) -> NoSuchKey:
    names = {entry.key for entry in found} | {
        join(*segments(e.key)[:n]) for e in found for n in range(1, e.key.count("."))
    }
    return NoSuchKey(model, key, get_close_matches(key, sorted(names), n=3))
