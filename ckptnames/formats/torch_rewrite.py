"""Torch files under other names: which strings of the pickle change, and which storages nothing speaks of any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ckptnames.errors import ModuleNames, NoSuchContainer, UneditablePickle
from ckptnames.formats import pickle_edit, symbols
from ckptnames.formats.checkpoint import Checkpoint, Remarks, Renames
from ckptnames.formats.containers import Found, quoted, survey
from ckptnames.formats.contents import describe
from ckptnames.formats.pickle_machine import read_pickle
from ckptnames.formats.symbols import Dict, Object, Text
from ckptnames.formats.torch_tensors import TensorReader, rebuild_of
from ckptnames.rules.module_paths import Conflict, renamed_modules

Place = tuple[str, ...]


class Rewritten(NamedTuple):
    """The pickle with other names, and the keys of the storages that it no longer speaks of."""

    pickle: bytes
    dropped: frozenset[str]


def rewritten_pickle(pickle: bytes, reader: TensorReader, renames: Mapping[str, Renames], path: Path) -> Rewritten:
    """Rename the keys of the named containers in the pickle of a torch file, and nothing else.

    Raises ``module-names`` for a module that was pickled whole, ``cannot-edit-pickle`` where names cannot change alone.
    """
    reading = read_pickle(pickle, traced=True, where=f"{path}")
    found = _found(reading.value, reader)
    edits: dict[int, Sequence[str]] = {}
    for name, planned in renames.items():
        if name in found:
            edits.update(_in_container(found[name], planned, path))
        else:
            edits.update(_in_strings(_value_at(reading.value, name, path), planned, path))
    new = pickle_edit.edit(pickle, edits, f"{path}")
    if all(len(names) for names in edits.values()):
        return Rewritten(new, frozenset())
    left = _storages(read_pickle(new, where=f"{path}").outside)
    return Rewritten(new, frozenset(_storages(reading.outside) - left))


def _found(value: Any, reader: TensorReader) -> dict[str, Found]:
    surveyed = survey(value, reader)
    return {each.name: each for each in (*surveyed.containers, *surveyed.minor)}


def _storages(outside: Sequence[symbols.PersistentId]) -> set[str]:
    keys = (
        reference.value[2] for reference in outside if isinstance(reference.value, tuple) and len(reference.value) > 2
    )
    return {key for key in keys if isinstance(key, str)}


def _in_container(found: Found, planned: Renames, path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    if found.role == "module" or not all(isinstance(key, Text) for key in planned_keys(found, planned)):
        raise ModuleNames(path, found.name)
    if found.value.repeated:
        raise UneditablePickle(f"{path}", f"it writes the key '{found.value.repeated[0]}' more than once")
    for key, _ in found.value.items:
        if isinstance(key, Text) and tuple(planned.get(key, (key,))) != (key,):
            yield key.start, tuple(planned[key])
    metadata = _metadata_of(found)
    if metadata is not None:
        modules = [key for key, _ in metadata.items if isinstance(key, Text)]
        names = {key: planned.get(key, (key,)) for key in found.tensors}
        paths, _ = renamed_modules(modules, names)
        for module in modules:
            if paths.get(module, (module,)) != (module,):
                yield module.start, paths[module]


def _metadata_of(found: Found) -> Dict | None:
    metadata = found.value.state.get("_metadata") if type(found.value.state) is Dict else None
    return metadata if type(metadata) is Dict else None


def planned_keys(found: Found, planned: Renames) -> list[Any]:
    """Give the keys of a container that change, as they stand in its mapping."""
    changed = {key for key, names in planned.items() if tuple(names) != (key,)}
    standing = [key for key, _ in found.value.items if isinstance(key, str) and key in changed]
    # A module's names are put together from attributes: no string of the pickle is one.
    return standing if len(standing) >= len(changed & {*found.tensors, *found.other}) else [None]


def _in_strings(value: Any, planned: Renames, path: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Rename every string below a value that is an old key, as in an optimizer that goes by name."""
    taken: set[tuple[Place, str]] = set()
    for place, text, is_key in _strings(value):
        names = tuple(planned.get(text, (text,)))
        for key in ((place, name) for name in names if is_key):
            if key in taken:
                raise UneditablePickle(f"{path}", f"two keys of one dict would become '{key[1]}'")
            taken.add(key)
        if names == (text,) or not isinstance(text, Text):
            continue
        if len(names) != 1 and not is_key:
            raise UneditablePickle(f"{path}", f"'{text}' is no key there, and cannot be left out or doubled")
        yield text.start, names


def _value_at(root: Any, name: str, path: Path) -> Any:
    value, left = root, name
    while left:
        members = {quoted((str(key),)): member for key, member in _members(value)}
        at = next((key for key in members if left == key or left.startswith(f"{key}.")), None)
        if at is None:
            raise NoSuchContainer(path, name, _compound(root), option="--also")
        value, left = members[at], left[len(at) + 1 :]
    return value


def _compound(root: Any) -> list[tuple[str, str]]:
    """Give what could hold old names: the dicts and lists of the root, each with a description."""
    return [
        (quoted((str(key),)), describe(value, str(key)))
        for key, value in _members(root)
        if key != "_metadata" and _members(value) and rebuild_of(value) is None
    ]


def _members(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, symbols.Mapping):
        state = value.state.items if type(value.state) is Dict else ()
        elements = value.elements or () if isinstance(value, Object) else ()
        return [*value.items, *state, *enumerate(elements)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    return []


def _strings(root: Any, renamed: Sequence[Any] = (), skip: Sequence[Any] = ()) -> Iterator[tuple[Place, str, bool]]:
    """Walk to every string, each object once; tell where it stands and whether it is a key.

    Of the mappings that are ``renamed`` the keys are passed over, of those to ``skip`` all.
    """
    seen = {id(each) for each in skip}
    known = {id(each) for each in renamed}
    stack: list[tuple[Place, Any]] = [((), root)]
    while stack:
        place, current = stack.pop()
        if isinstance(current, str):
            yield place, current, False
            continue
        if id(current) in seen or rebuild_of(current) is not None:
            continue
        seen.add(id(current))
        is_renamed = id(current) in known
        members = current.items if is_renamed else _members(current)
        if not is_renamed:
            yield from ((place, key, True) for key, _ in members if isinstance(key, str))
        stack += [((*place, str(key)), member) for key, member in reversed(members)]
        if isinstance(current, Object):
            stack.append((place, current.args))


class TorchFile(Checkpoint):
    """A file of ``torch.save``: one pickle, and the storages that it speaks of."""

    __slots__ = ()

    def read_again(self) -> tuple[Any, TensorReader]:
        """Give what the pickle says, and the reader of its tensors."""
        raise NotImplementedError

    def check_place(self, name: str) -> None:
        """Raise ``no-such-container`` where the pickle has nothing at the name."""
        value, _ = self.read_again()
        _value_at(value, name, self.path)

    def remarks(self, renames: Mapping[str, Renames]) -> Remarks:
        """Say where else in the file strings are keys that the renames change, and which versions part from theirs."""
        value, reader = self.read_again()
        found = _found(value, reader)
        conflicts = {
            conflict: None
            for name, planned in renames.items()
            if name in found
            for conflict in _conflicts(found[name], planned)
        }
        return Remarks(tuple(_stale(value, found, renames, self.path)), conflicts=tuple(conflicts))


def _conflicts(found: Found, planned: Renames) -> Iterator[Conflict]:
    """Find the modules whose path another one has, where it matters: ``_metadata`` says other things of the two."""
    metadata = _metadata_of(found)
    if metadata is not None:
        facts = {module: _shown(said) for module, said in metadata.items if isinstance(module, str)}
        _, conflicts = renamed_modules(facts, {key: planned.get(key, (key,)) for key in found.tensors})
        yield from (each for each in conflicts if facts[each.kept] != facts[each.left_out])


def _shown(said: Any) -> list[tuple[str, str]]:
    return [(describe(name), describe(value)) for name, value in said.items] if type(said) is Dict else []


def _stale(value: Any, found: Mapping[str, Found], renames: Mapping[str, Renames], path: Path) -> list[tuple[str, int]]:
    """Count old names by place."""
    names = [name for name in renames if name in found]
    chosen = [found[name].value for name in names]
    also = [_value_at(value, name, path) for name in renames if name not in found]
    old = {key for planned in renames.values() for key, names in planned.items() if tuple(names) != (key,)}
    counts: dict[str, int] = {}
    for place, text, _ in _strings(value, chosen, also):
        if text in old and place:
            where = _beside(place, names)
            counts[where] = counts.get(where, 0) + 1
    return list(counts.items())


def _beside(place: Place, containers: Sequence[str]) -> str:
    """Name the largest part of the pickle that holds the place and none of the containers."""
    for n in range(1, len(place)):
        at = quoted(place[:n])
        if not any(name == at or name.startswith(f"{at}.") for name in containers):
            return at
    return quoted(place)
