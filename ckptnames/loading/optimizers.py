"""The state of an optimizer under other names: names follow the rules, positions are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ckptnames.errors import MisalignedOptimizer
from ckptnames.manifest import Manifest
from ckptnames.operands import Readable, manifest_of
from ckptnames.prediction.canonical import canonical
from ckptnames.rules import Rules, plan

_STATE, _GROUPS, _NAMES = "state", "param_groups", "param_names"


def remap_optimizer(
    state: Mapping[str, Any],
    rules: Rules | str = "",
    *,
    model: nn.Module | None = None,
    weights: Readable | None = None,
) -> dict[str, Any]:
    """Give the state of an optimizer for a model whose parameters the rules have renamed.

    State by name, nested or flattened as torch.distributed.checkpoint writes it, gets the new names. State by position
    is put into the order of ``model`` where its groups have ``param_names``; else it is given back as it is if
    ``weights``, the checkpoint that it belongs to, has its parameters in the model's order, shape for shape.

    >>> group = {"lr": 0.1, "params": [0], "param_names": ["w"]}
    >>> remap_optimizer({"state": {}, "param_groups": [group]}, "w -> weight")["param_groups"][0]["param_names"]
    ['weight']

    Raises ``misaligned-optimizer`` where a position would get the state of another parameter, or nothing tells, and the
    problems of the rules.
    """
    given = Rules.parse(rules) if isinstance(rules, str) else rules
    if _is_flat(state):
        return _flattened(state, given)
    groups = state[_GROUPS]
    if any(isinstance(param, str) for group in groups for param in group["params"]):
        return _by_name(state, given)
    order = [] if model is None else parameters_of(model)
    if all(_NAMES in group for group in groups):
        return _in_order(state, _renamed_groups(groups, given), [name for name, _ in order])
    _check_positions(state, given, order, None if weights is None else manifest_of(weights))
    return dict(state)


def parameters_of(model: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """List the parameters as an optimizer gets them: each once, under its name without wrappers, with its shape."""
    names = canonical(model)
    return [(names.get(key, key), tuple(value.shape)) for key, value in model.named_parameters()]


def _is_flat(state: Mapping[str, Any]) -> bool:
    return _GROUPS not in state and all(key.startswith((f"{_STATE}.", f"{_GROUPS}.")) for key in state)


def _names(keys: Sequence[str], rules: Rules) -> dict[str, str]:
    planned = plan(dict.fromkeys(keys), rules)
    planned.check()
    # One parameter has one state, whatever else it is called.
    return {key: after[0] for key, after in planned.renames.items() if after}


def _flattened(state: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    parts = {key: (key.partition(".")[0], *key.partition(".")[2].rpartition(".")[::2]) for key in state}
    names = _names([name for _, name, _ in parts.values()], rules)
    return {f"{kind}.{names[name]}.{what}": state[key] for key, (kind, name, what) in parts.items() if name in names}


def _by_name(state: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    listed = [name for group in state[_GROUPS] for name in group["params"]]
    names = _names([*listed, *(name for name in state[_STATE] if name not in listed)], rules)
    return {
        **state,
        _STATE: {names[name]: each for name, each in state[_STATE].items() if name in names},
        _GROUPS: [
            {**group, "params": [names[name] for name in group["params"] if name in names]} for group in state[_GROUPS]
        ],
    }


def _renamed_groups(groups: Sequence[Mapping[str, Any]], rules: Rules) -> list[dict[str, Any]]:
    names = _names([name for group in groups for name in group[_NAMES]], rules)
    lost = [name for group in groups for name in group[_NAMES] if name not in names]
    if lost:
        raise MisalignedOptimizer("the rules leave out parameters that the optimizer has", lost)
    return [{**group, _NAMES: [names[name] for name in group[_NAMES]]} for group in groups]


def _in_order(state: Mapping[str, Any], groups: Sequence[dict[str, Any]], order: Sequence[str]) -> dict[str, Any]:
    """Put positions into the order that the parameters have in the model."""
    if not order:
        return {**state, _GROUPS: list(groups)}
    places = {name: place for place, name in enumerate(order)}
    strangers = [name for group in groups for name in group[_NAMES] if name not in places]
    if strangers:
        raise MisalignedOptimizer("the model has no such parameters", strangers)
    numbers: dict[int, int] = {}
    sorted_groups = []
    for group in groups:
        pairs = sorted(zip(group[_NAMES], group["params"], strict=True), key=lambda pair: places[pair[0]])
        first = len(numbers)
        numbers |= {old: first + n for n, (_, old) in enumerate(pairs)}
        new = [numbers[old] for _, old in pairs]
        sorted_groups.append({**group, "params": new, _NAMES: [name for name, _ in pairs]})
    return {**state, _STATE: {numbers[n]: each for n, each in state[_STATE].items()}, _GROUPS: sorted_groups}


def _check_positions(
    state: Mapping[str, Any], rules: Rules, order: Sequence[tuple[str, tuple[int, ...]]], weights: Manifest | None
) -> None:
    """Hold that the n-th parameter of the checkpoint is the n-th of the model, as far as names and shapes tell."""
    if not order or weights is None:
        raise MisalignedOptimizer("its state goes by position, and nothing says which parameter is meant", [])
    names = _names(list(weights), rules)
    theirs = {name for name, _ in order}
    tied = {key for group in weights.ties for key in group[1:]}
    before = [names[key] for key in weights if names.get(key) in theirs and key not in tied]
    positions = [n for group in state[_GROUPS] for n in group["params"]]
    if len(state[_GROUPS]) > 1:
        raise MisalignedOptimizer("its parameters are in several groups, without their names", [])
    if len(positions) != len(order) or len(before) != len(order):
        raise MisalignedOptimizer(
            f"it has {len(positions):,} parameters, the checkpoint {len(before):,}, and the model {len(order):,}", []
        )
    moved = [
        f"position {n}: '{was}' before, '{name}' in the model"
        for n, (was, (name, _)) in enumerate(zip(before, order, strict=True))
        if was != name
    ]
    if moved:
        raise MisalignedOptimizer("positions would get the state of another parameter", moved)
    reshaped = list(_of_other_shapes(state, positions, order))
    if reshaped:
        raise MisalignedOptimizer("positions hold the state of tensors of another shape", reshaped)


def _of_other_shapes(
    state: Mapping[str, Any], positions: Sequence[int], order: Sequence[tuple[str, tuple[int, ...]]]
) -> Iterator[str]:
    for position, (name, shape) in zip(positions, order, strict=True):
        for what, value in state[_STATE].get(position, {}).items():
            found = tuple(getattr(value, "shape", ()))
            # Counters are scalars; what was factored, as Adafactor does, has fewer dimensions.
            if len(found) == len(shape) and found != shape:
                yield f"position {position}: {what} is {list(found)}, '{name}' is {list(shape)}"
