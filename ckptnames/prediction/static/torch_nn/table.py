"""The table of torch's layers: what is in it, and how a layer is made of an entry and its arguments.

``scripts/make_torch_layers.py`` makes the table from torch itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.values import Unknown, Value

TABLE = Path(__file__).with_name("layers.json")


class Leaf(NamedTuple):
    """A tensor of a layer, by its name from the layer on; ``state`` is ``none``, ``saved`` or ``fleeting``.

    ``kind`` is ``parameters`` or ``buffers``. ``shape`` is ``None`` for one that has none before the first forward; a
    size in it may be unknown.
    """

    name: str
    state: str
    kind: str
    shape: tuple[Value, ...] | None
    dtype: str | None


class Layer(NamedTuple):
    """A layer that was made of an entry."""

    modules: Sequence[tuple[str, str]]
    leaves: Sequence[Leaf]
    attributes: Mapping[str, Value]


@cache
def table() -> dict[str, Any]:
    """Read the table."""
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def layer(name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Layer:
    """Make a layer of its arguments. Raises ``TypeError`` as torch does, and ``Unsure``.

    >>> [(leaf.name, leaf.shape) for leaf in layer("torch.nn.Linear", [4, 10], {"bias": False}).leaves]
    [('weight', (10, 4)), ('bias', None)]
    """
    entry = table()["layers"][name]
    if entry["variants"] is None:
        raise Unsure(Unknown(f"'{name}' is not in the table of layers, and torch is not installed"))
    given = _bound(name, entry["args"], args, kwargs)
    variant = _variant(name, entry["variants"], given)
    leaves = [
        Leaf(full, state, kind, None if shape is None else tuple(_shape(shape, given)), *(dtype or [None]))
        for full, state, kind, shape, *dtype in variant["tensors"]
    ]
    attributes = {attr: _attribute(how, given) for attr, how in variant["attributes"].items()}
    return Layer([(path, kind) for path, kind in variant["modules"]], leaves, attributes)


def _bound(
    name: str, spec: Sequence[Sequence[Any]] | None, args: Sequence[Value], kwargs: Mapping[str, Value]
) -> dict[str, Value]:
    """Give each argument its name; a layer that takes any of them has no say in what they mean."""
    if spec is None:
        return dict(kwargs)
    names = [arg for arg, _, _ in spec]
    if len(args) > len(names):
        raise TypeError(f"{name} takes {len(names)} arguments but {len(args)} were given")
    given = {arg: default for arg, how, default in spec if how == "default"}
    given |= dict(zip(names, args, strict=False)) | dict(kwargs)
    odd = [arg for arg in kwargs if arg not in names or arg in names[: len(args)]]
    missing = [arg for arg in names if arg not in given]
    if odd or missing:
        raise TypeError(f"{name} {'does not take' if odd else 'needs'} '{(odd or missing)[0]}'")
    return given


def _variant(name: str, variants: Sequence[dict[str, Any]], given: Mapping[str, Value]) -> dict[str, Any]:
    deciding = variants[0]["when"]
    for arg in deciding:
        if isinstance(given[arg], Unknown):
            raise Unsure(given[arg])
    for variant in variants:
        if all(_is(given[arg], value, given) for arg, value in variant["when"].items()):
            return variant
    raise Unsure(Unknown(f"'{name}' with these arguments is not in the table of layers, and torch is not installed"))


def _is(value: Value, option: Any, given: Mapping[str, Value]) -> bool:
    if option == "size":
        return type(value) is int and value > 0 and value != given.get("embed_dim")
    if option is None:
        return value is None or value == given.get("embed_dim")
    return bool(value) == option if isinstance(option, bool) else bool(value == option)


def _shape(terms: Sequence[Any], given: Mapping[str, Value]) -> list[Value]:
    found: list[Value] = []
    for term in terms:
        if isinstance(term, int):
            found.append(term)
        elif term[0] == "*":
            value = given[term[1]]
            found += list(value) if isinstance(value, tuple | list) else [value]
        elif term[0] == "=":
            value, n = given[term[1]], term[2]
            found.append(value[n - len(terms)] if isinstance(value, tuple | list) else value)
        elif term[0] == "x":
            found.append(_times(term[1], given[term[2]]))
        else:
            found.append(_divided(given[term[1]], given[term[2]]))
    return found


def _times(factor: int, value: Value) -> Value:
    return value if isinstance(value, Unknown) else factor * value


def _divided(value: Value, by: Value) -> Value:
    unknown = next((each for each in (value, by) if isinstance(each, Unknown)), None)
    return unknown if unknown is not None else value // by


def _attribute(how: Mapping[str, Any], given: Mapping[str, Value]) -> Value:
    if "arg" in how:
        return given[how["arg"]]
    if "is" in how:
        return how["is"]
    sizes = tuple(_shape(how["shape"], given))
    unknown = next((each for each in sizes if isinstance(each, Unknown)), None)
    return sizes if unknown is None else unknown.as_plain()
