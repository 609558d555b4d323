"""Where the modules of a state dict go when its keys are renamed, and with them ``_metadata`` and other entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptnames.keys import join


class Conflict(NamedTuple):
    """A new module path that two modules would have: the one that has it, and the one that goes without."""

    path: str
    kept: str
    left_out: str


class _Place(NamedTuple):
    """Where a module goes, and how well that is known: by its own keys, by keys further below, by a module above."""

    paths: tuple[str, ...]
    certainty: int


_OWN_KEYS, _KEYS_BELOW, _MODULE_ABOVE, _NOTHING = 3, 2, 1, 0


def renamed_modules(
    modules: Iterable[str], names: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[str, ...]], list[Conflict]]:
    """Give the new paths of each module, from the keys that each key becomes, and the paths that two would have.

    A path follows the keys directly under the module, else those further below, else the nearest module above that
    moves. A module whose keys are all dropped has none. Of two modules with one new path, the one that is better known
    has it, else the first.

    >>> renamed_modules(["", "module", "module.fc"], {"module.fc.weight": ["fc.weight"]})[0]
    {'': (), 'module': ('',), 'module.fc': ('fc',)}
    """
    return _settled(_places(modules, names))


_EXTRA_STATE = "_extra_state"


def following(entries: Iterable[str], names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Give the new names of entries of a state dict that are not tensors: each goes where its module goes.

    Such are an ``_extra_state`` and the packed parameters of a quantised layer. What has no module of its own, as the
    ``epoch`` that someone put beside the weights, stays.

    >>> following(["module.fc._extra_state", "epoch"], {"module.fc.weight": ["fc.weight"]})
    {'module.fc._extra_state': ('fc._extra_state',), 'epoch': ('epoch',)}
    """
    listed = list(entries)
    if not listed:
        return {}
    places = _places({entry.rpartition(".")[0] for entry in listed}, names)
    found = {}
    for entry in listed:
        module, dot, leaf = entry.rpartition(".")
        moves = dot or leaf == _EXTRA_STATE
        found[entry] = tuple(join(path, leaf) for path in places[module].paths) if moves else (entry,)
    return found


def _places(modules: Iterable[str], names: Mapping[str, Sequence[str]]) -> dict[str, _Place]:
    listed = list(modules)
    own, below, dropped = _evidence(
        names, deepest=max((module.count(".") + 1 for module in listed if module), default=0)
    )
    places: dict[str, _Place] = {}
    for module in listed:
        if module in own:
            places[module] = _Place(tuple(own[module]), _OWN_KEYS)
        elif module in below:
            places[module] = _Place(tuple(below[module]), _KEYS_BELOW)
        elif module in dropped:
            places[module] = _Place((), _OWN_KEYS)
        else:
            places[module] = _from_above(module, own, below)
    return places


Found = dict[str, dict[str, None]]


def _evidence(names: Mapping[str, Sequence[str]], deepest: int) -> tuple[Found, Found, set[str]]:
    """Read off every key what it says of the modules above it, down to a depth of ``deepest`` segments.

    ``fc.weight`` that becomes ``a.fc.weight`` says that ``fc`` becomes ``a.fc``, and the root ``a``. A key with a new
    last segment says something of its own module only, and only if no other key does.
    """
    own: Found = {}
    weak: Found = {}
    below: Found = {}
    kept: set[str] = set()
    touched: set[str] = set()
    for key, targets in names.items():
        above = list(_modules_above(key, deepest))
        touched.update(above)
        if targets:
            kept.update(above)
        module = key.rpartition(".")[0]
        for target in targets:
            for path in above:
                moved = _moved(path, key, target)
                if moved is not None:
                    (own if path == module else below).setdefault(path, {})[moved] = None
                elif path == module:
                    weak.setdefault(module, {})[target.rpartition(".")[0]] = None
    for module, paths in weak.items():
        own.setdefault(module, paths)
    # Where the keys below disagree, the module is no longer one.
    below = {module: paths for module, paths in below.items() if len(paths) == 1}
    return own, below, touched - kept


def _modules_above(key: str, deepest: int) -> Iterator[str]:
    yield ""
    at = key.find(".")
    for _ in range(deepest):
        if at < 0:
            return
        yield key[:at]
        at = key.find(".", at + 1)


def _moved(module: str, key: str, target: str) -> str | None:
    """Give the new path of a module, where what stands behind it in the key stands at the end of the target too."""
    dotted = f".{target}"
    rest = key[len(module) :] if module else f".{key}"
    return dotted[1 : -len(rest)] if dotted.endswith(rest) else None


def _from_above(module: str, own: Found, below: Found) -> _Place:
    above = module
    while above:
        above = above.rpartition(".")[0]
        paths = own.get(above) or below.get(above)
        if paths:
            rest = module[len(above) + 1 :] if above else module
            return _Place(tuple(join(path, rest) for path in paths), _MODULE_ABOVE)
    return _Place((module,), _NOTHING)


def _settled(places: Mapping[str, _Place]) -> tuple[dict[str, tuple[str, ...]], list[Conflict]]:
    holders: dict[str, str] = {}
    conflicts: list[Conflict] = []
    for module in sorted(places, key=lambda module: -places[module].certainty):
        for path in places[module].paths:
            holder = holders.setdefault(path, module)
            if holder != module:
                conflicts.append(Conflict(path, holder, module))
    lost = {(conflict.left_out, conflict.path) for conflict in conflicts}
    return {
        module: tuple(path for path in place.paths if (module, path) not in lost) for module, place in places.items()
    }, conflicts
