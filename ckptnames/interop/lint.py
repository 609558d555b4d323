"""What is wrong with a table of another library, as the keys of a checkpoint show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ckptnames.interop.table import Fired, Table


class Finding(NamedTuple):
    """Something about one entry. ``code`` is ``unused``, ``shadowed``, ``cascading`` or ``ambiguous``."""

    code: str
    number: int
    """Of the entry, counted from 0 in the order in which the library applies them."""
    entry: str
    message: str
    keys: tuple[str, ...] = ()
    """Those that show it."""


def lint(table: Table, keys: Iterable[str]) -> tuple[Finding, ...]:
    """Name the entries that do nothing, or not what they seem to.

    ``unused``: matches no key. ``shadowed``: matches keys as they are in the checkpoint, but earlier entries have
    rewritten all of them. ``cascading``: acts on text that an earlier entry wrote. ``ambiguous``: what it does hangs on
    what stands first, in the key or in the table, or two keys become one.

    >>> from ckptnames.interop import mmengine_table
    >>> table = mmengine_table([("q_proj", "qkv_proj"), ("v_proj", "qkv_proj"), ("o_prj", "out")])
    >>> [(each.code, each.entry) for each in lint(table, ["attn.q_proj.weight"])]
    [('cascading', "'v_proj' -> 'qkv_proj'"), ('unused', "'o_prj' -> 'out'")]
    """
    known = list(dict.fromkeys(keys))
    traces = {key: table.trace(key) for key in known}
    found = [*_idle(table, traces), *_cascading(table, traces), *_misplaced(table, traces), *_collisions(table, traces)]
    return tuple(sorted(found, key=lambda each: (each.number, each.code)))


_Traces = dict[str, list[Fired]]


def _idle(table: Table, traces: _Traces) -> Iterable[Finding]:
    fired = {step.number for steps in traces.values() for step in steps}
    for number, entry in enumerate(table.entries):
        if number in fired:
            continue
        wanted = [key for key in traces if entry.apply(key) is not None]
        if not wanted:
            yield Finding("unused", number, str(entry), "matches no key")
            continue
        takers = dict.fromkeys(step.number for key in wanted for step in traces[key] if step.number < number)
        said = f"{_entries(table, takers)} {'has' if len(takers) == 1 else 'have'} rewritten all that it matches"
        yield Finding("shadowed", number, str(entry), said, tuple(wanted))


def _cascading(table: Table, traces: _Traces) -> Iterable[Finding]:
    found: dict[int, dict[str, set[int]]] = {}
    for key, steps in traces.items():
        for n, step in enumerate(steps):
            if n and table.entries[step.number].apply(key) is None:
                found.setdefault(step.number, {})[key] = {earlier.number for earlier in steps[:n]}
    for number, shown in found.items():
        writers = sorted(set().union(*shown.values()))
        said = f"matches only what {_entries(table, writers)} wrote"
        yield Finding("cascading", number, str(table.entries[number]), said, tuple(shown))


def _misplaced(table: Table, traces: _Traces) -> Iterable[Finding]:
    """Find entries whose text stands in several places of a key, of which only the first is rewritten."""
    found: dict[int, list[str]] = {}
    for key, steps in traces.items():
        for step in steps:
            if table.entries[step.number].n_places(step.before) > 1:
                found.setdefault(step.number, []).append(key)
    for number, shown in found.items():
        said = "what it matches stands in several places of a key, and the first is rewritten"
        yield Finding("ambiguous", number, str(table.entries[number]), said, tuple(shown))


def _collisions(table: Table, traces: _Traces) -> Iterable[Finding]:
    owners: dict[str, list[str]] = {}
    for key, steps in traces.items():
        name = steps[-1].after if steps else key
        if name is not None:
            owners.setdefault(name, []).append(key)
    found: dict[int, tuple[str, list[str]]] = {}
    for name, several in owners.items():
        if len(several) > 1:
            for key in several:
                if traces[key]:
                    found.setdefault(traces[key][-1].number, (name, []))[1].extend(several)
    for number, (name, shown) in found.items():
        said = f"several keys become one, such as '{name}'"
        yield Finding("ambiguous", number, str(table.entries[number]), said, tuple(dict.fromkeys(shown)))


def _entries(table: Table, numbers: Iterable[int]) -> str:
    return " and ".join(f"entry {number} ({table.entries[number]})" for number in list(numbers)[:2])
