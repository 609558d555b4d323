"""Why a key is called that: each segment with the rule that made it, and the line that registered it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized, type_before_parametrizations

from ckptnames.errors import NoSuchKey
from ckptnames.keys import has_prefix, modules_of
from ckptnames.prediction.building import built
from ckptnames.prediction.live import answered
from ckptnames.prediction.places import Place
from ckptnames.prediction.recording import Record
from ckptnames.prediction.shadow import origin
from ckptnames.prediction.walk import Entry, modules
from ckptnames.prediction.wrapper_types import wrapped_as
from ckptnames.prediction.wrappers import wrapped

_CONTAINERS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.ModuleList, "ModuleList index"),
    (nn.ModuleDict, "ModuleDict key"),
    (nn.ParameterList, "ParameterList index"),
    (nn.ParameterDict, "ParameterDict key"),
)

ASKED_FOR = "--wrap"


class Step(NamedTuple):
    """One segment of a key.

    ``rule`` is ``attribute``, ``Sequential index``, ``Sequential name``, ``ModuleList index``, ``ModuleDict key``,
    ``ParameterList index``, ``ParameterDict key``, ``parametrization``, ``wrapper``, ``parameter``, ``buffer``,
    ``extra state``, ``open`` for what a source does not tell, with the reason for its owner, or ``made`` by code of the
    model when it is asked for its state dict; where such code changes a
    name, a last step that is ``renamed`` has the whole key for its segment. ``owner`` is the class that
    it holds in, or ``--wrap`` for what that added. ``place`` is the line that registered it, where that was recorded;
    ``was`` is the segment under which it was registered, where a container has renumbered it since.
    """

    segment: str
    rule: str
    owner: str
    place: Place | None = None
    was: str = ""


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
    found, _ = answered(root)
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
        self._is_wrapped = root is not model
        self._originals = {id(module) for _, module in modules(model)}
        self._record = record
        self._at: dict[str, nn.Module] = {"": root}
        self._above: dict[str, tuple[Step, ...]] = {"": ()}

    def steps(self, entry: Entry) -> tuple[Step, ...]:
        steps = (*self._to(entry.path), self._step(self._at[entry.path], entry.leaf, _leaf_rule(entry)))
        if ".".join(step.segment for step in steps) == entry.key:
            return steps
        return (*steps, Step(entry.key, "renamed", type_before_parametrizations(self._at[""]).__name__))

    def _to(self, path: str) -> tuple[Step, ...]:
        if path not in self._above:
            parent, _, name = path.rpartition(".")
            above = self._to(parent)
            module = self._at[parent]
            child = module._modules[name]
            assert child is not None
            self._at[path] = child
            self._above[path] = (*above, self._step(module, name, _rule(module, name)))
        return self._above[path]

    def _step(self, module: nn.Module, name: str, rule: str) -> Step:
        registered = origin(module)
        held = registered._parameters, registered._buffers, registered._modules
        # Those of a script module are no dicts, and have no get().
        value = next((each[name] for each in held if name in each and each[name] is not None), None)
        if self._is_wrapped and self._is_new(module, value, rule):
            return Step(name, rule, ASKED_FOR)
        owner = type_before_parametrizations(module).__name__
        if self._record is None:
            return Step(name, rule, owner)
        if isinstance(value, nn.Module):
            found = self._record.found(registered, name, value)
            return Step(name, rule, owner, found.place, "" if found.name == name else found.name)
        return Step(name, rule, owner, self._record.place(registered, name))

    def _is_new(self, module: nn.Module, value: object, rule: str) -> bool:
        """Tell whether wrapping put this there: in a module that is new, or in one that did not have it."""
        is_new = id(origin(module)) not in self._originals
        return is_new or (value is None and rule not in ("extra state", "made"))


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
    names = ({entry.key for entry in found} | modules_of(entry.key for entry in found)) - {""}
    return NoSuchKey(model, key, get_close_matches(key, sorted(names), n=3))
