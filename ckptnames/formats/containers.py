"""Where the weights are in what a pickle says: mappings of names to tensors, told by their values, not by their names.

Optimizer state is never taken for weights. The walk is iterative and sees each object once, so that neither a cycle nor
a value that is shared a million times costs more than its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ckptnames.formats.contents import Visits, describe, is_optimizer, words
from ckptnames.formats.modules import Budget, is_module, module_of, state_dict_of
from ckptnames.formats.symbols import Dict, Mapping, Object
from ckptnames.formats.torch_tensors import TensorReader
from ckptnames.manifest import TensorInfo

Path = tuple[str, ...]

_MOST_LEVELS = 64
_MOST_CONTAINERS = 10_000
_LONGEST_NAME = 4096
_COMPOUND = (Mapping, list, tuple)
_AVERAGED = {"ema", "swa", "averaged"}
_AVERAGES = ("n_averaged", "module.n_averaged")
"""What torch's AveragedModel counts in, beside the weights; in the second case inside a DistributedDataParallel."""
_ROLES = {"weights": 0, "module": 0, "ema": 1}


class Found(NamedTuple):
    """A container: its name, role and tensors, its entries that are none, and the object that it is."""

    name: str
    role: str
    tensors: dict[str, TensorInfo]
    other: dict[str, str]
    value: Mapping


class Survey(NamedTuple):
    """What a checkpoint holds: containers, the best choice first, and what else there is, each with a description."""

    containers: tuple[Found, ...]
    minor: tuple[Found, ...]
    """Mappings that hold tensors among more that are none: no candidates, but there for who names them."""
    contents: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


class _Place(NamedTuple):
    path: Path
    value: Any
    tensors: dict[str, TensorInfo]
    n_entries: int
    role: str


def survey(root: Any, reader: TensorReader) -> Survey:
    """Find every container in what a pickle says, and describe the rest.

    A mapping is a container where at least half of its entries are tensors; where there is none such, each mapping that
    holds a tensor is. Raises what reading a tensor raises.
    """
    places = list(islice(_places(root, reader), _MOST_CONTAINERS))
    chosen = [p for p in places if 2 * len(p.tensors) >= p.n_entries] or places
    ranked = sorted(chosen, key=lambda p: (_ROLES[p.role], -len(p.tensors)))
    taken = {place.path for place in chosen}
    rest = [place for place in places if place.path not in taken]
    visits = Visits()
    others: dict[int, dict[str, str]] = {}
    for place in (*ranked, *rest):
        if id(place.value) not in others:
            others[id(place.value)] = _other(place, visits)
    found, minor = (
        tuple(Found(quoted(p.path), p.role, p.tensors, others[id(p.value)], p.value) for p in each)
        for each in (ranked, rest)
    )
    above = {place.path[:n] for place in chosen for n in range(len(place.path))}
    first = ranked[0].value if ranked else None
    beside = _Beside(taken, above, first, visits)
    return Survey(found, minor, tuple(_contents((), root, beside)), tuple(_shared(found)))


def quoted(path: Path) -> str:
    r"""Write the path of a container as it is typed after ``#``; a segment that holds a dot stands in quotes.

    A ``#`` is escaped, since the last one of an operand parts the file from the container.

    >>> quoted(("state_dict", "net.g")), quoted(("a#b",))
    ('state_dict."net.g"', '"a\\u0023b"')
    """
    return ".".join(map(_segment, path))


def _segment(text: str) -> str:
    if text and not any(c in '."#' for c in text) and text.isprintable():
        return text
    import json

    return json.dumps(text, ensure_ascii=False).replace("#", "\\u0023")


def role_of(path: Path) -> str:
    """Tell by its name whether a container is an averaged copy.

    >>> role_of(("state_dict_ema",)), role_of(("schema",)), role_of(("modelEMA", "module"))
    ('ema', 'weights', 'ema')
    """
    return "ema" if any(words(segment) & _AVERAGED for segment in path) else "weights"


def _places(root: Any, reader: TensorReader) -> Iterator[_Place]:
    """Walk to every mapping that holds a tensor, in file order; one that is met again is given again."""
    seen: dict[int, _Place | None] = {}
    budget = Budget()
    stack: list[tuple[Path, Any]] = [] if is_optimizer("", root) else [((), root)]
    while stack:
        path, value = stack.pop()
        value = module_of(value)
        if id(value) in seen:
            known = seen[id(value)]
            if known is not None:
                yield known._replace(path=path, role=_role(path, value, known.tensors))
            continue
        place, inner = _look(path, value, reader, budget)
        seen[id(value)] = place
        if place is not None:
            yield place
        if len(path) < _MOST_LEVELS and sum(map(len, path)) < _LONGEST_NAME:
            stack.extend(each for each in reversed(inner) if len(each[0][-1]) < _LONGEST_NAME)


def _look(path: Path, value: Any, reader: TensorReader, budget: Budget) -> tuple[_Place | None, list[tuple[Path, Any]]]:
    """Take the tensors of one object, and the objects inside it at which to look further."""
    if is_module(value):
        tensors = state_dict_of(value, reader, budget)
        return (_Place(path, value, tensors, len(tensors), _role(path, value, tensors)) if tensors else None), []
    tensors = {}
    inner = []
    for key, entry in value.items if isinstance(value, Mapping) else ():
        if isinstance(entry, _COMPOUND):
            tensor = reader.read(entry, key) if isinstance(key, str) else None
            if tensor is not None:
                tensors[key] = tensor
            elif isinstance(key, str | int) and not is_optimizer(key, entry):
                inner.append(((*path, str(key)), entry))
    inner += [
        ((*path, key), entry)
        for key, entry in _members(value)
        if isinstance(entry, _COMPOUND) and not is_optimizer(key, entry)
    ]
    return (_Place(path, value, tensors, len(value.items), _role(path, value, tensors)) if tensors else None), inner


def attributes(value: Object) -> Iterator[tuple[str, Any]]:
    """Give the attributes of an instance."""
    # One with slots has a pair for its state: the attributes, and those in slots.
    states = value.state if isinstance(value.state, tuple) else (value.state,)
    for state in states[:2]:
        if type(state) is Dict:
            yield from ((k, v) for k, v in state.items if isinstance(k, str))


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Give what stands inside an object beside its items: attributes, and the members of a list by their index."""
    if isinstance(value, list | tuple):
        yield from ((str(i), member) for i, member in enumerate(value))
    elif isinstance(value, Object):
        yield from attributes(value)
        yield from ((str(i), member) for i, member in enumerate(value.elements or ()))


def _role(path: Path, value: Any, tensors: dict[str, TensorInfo]) -> str:
    if role_of(path) == "ema" or not tensors.keys().isdisjoint(_AVERAGES):
        return "ema"
    return "module" if is_module(value) else "weights"


def _other(place: _Place, visits: Visits) -> dict[str, str]:
    return {
        str(key): describe(entry, str(key), visits)
        for key, entry in place.value.items
        if isinstance(key, int) or (isinstance(key, str) and key not in place.tensors)
    }


class _Beside(NamedTuple):
    """What the description of the rest leaves out: the containers, what stands above them, the chosen one's entries."""

    chosen: set[Path]
    above: set[Path]
    first: Any
    visits: Visits


def _contents(path: Path, value: Any, beside: _Beside) -> Iterator[tuple[str, str]]:
    """Describe what stands beside the containers, at each level above one of them. The levels are few."""
    if isinstance(value, Mapping):
        for key, entry in [*value.items, *_members(value)]:
            if not isinstance(key, str | int):
                continue
            at = (*path, str(key))
            if at in beside.above:
                yield from _contents(at, entry, beside)
            elif at not in beside.chosen and value is not beside.first:
                name = quoted(at) if len(at[-1]) < _LONGEST_NAME else "…"
                yield name, describe(entry, at[-1], beside.visits)
    elif isinstance(value, list | tuple):
        for at, entry in ((at, entry) for i, entry in enumerate(value) if (at := (*path, str(i))) in beside.above):
            yield from _contents(at, entry, beside)
    if not path and not isinstance(value, Mapping) and not beside.above:
        yield "", describe(value)


def _shared(found: Sequence[Found]) -> Iterator[str]:
    """Tell which containers are one object under several names."""
    names: dict[int, list[str]] = {}
    for each in found:
        names.setdefault(id(each.value), []).append(f"'{each.name}'")
    for same in names.values():
        if len(same) > 1:
            more = f" and {len(same) - 5} more" if len(same) > 5 else ""
            yield f"{', '.join(same[:5])}{more} are one object"
