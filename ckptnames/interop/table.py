"""A table of another library: entries that act one after another, and the rules that do what they do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ckptnames.errors import CannotTranslate
from ckptnames.folding import fold
from ckptnames.inference.rulemaking.choosing import Task, rules_for
from ckptnames.interop.entries import Entry, Renaming, Substitution, Template, Text
from ckptnames.rules import Rules
from ckptnames.rules.slots import quoted


class Fired(NamedTuple):
    """An entry that acted on a key: its number, and the key before and after."""

    number: int
    before: str
    after: str | None


@dataclass(frozen=True)
class Table:
    """Entries in the order in which the library applies them; each sees the key as the one before left it."""

    library: str
    entries: tuple[Entry, ...]
    name: str = "<table>"

    def __call__(self, key: str) -> str | None:
        """Give the key that the library makes of ``key``; ``None`` where it leaves it out."""
        steps = self.trace(key)
        return steps[-1].after if steps else key

    def trace(self, key: str) -> list[Fired]:
        """Give the entries that act on a key, in order."""
        found: list[Fired] = []
        now: str | None = key
        for number, entry in enumerate(self.entries):
            done = entry.apply(now) if now is not None else None
            if now is not None and done is not None:
                found.append(Fired(number, now, done.key))
                now = done.key
        return found

    def renames(self) -> Table:
        """Give the table without the entries that do more than to rename."""
        return replace(self, entries=tuple(entry for entry in self.entries if not entry.changes_values))

    def rules(self, keys: Iterable[str] | None = None) -> Rules:
        """Give rules that do to ``keys`` what the library does: few, and proved on each of them.

        Without keys only entries that say whole segments can be told: prefixes up to a dot, and whole keys.

        >>> from ckptnames.interop import mmengine_table
        >>> print(mmengine_table([(r"^module\\.", "")]).rules(), end="")
        module.** -> ** ?
        >>> print(mmengine_table([("bn", "norm")]).rules(["layer.0.bn1.weight", "layer.1.bn2.weight"]), end="")
        **.bn{i:d}.** -> **.norm{i}.**

        Raises ``cannot-translate`` where an entry changes values, or fuses keys, or says more than rules can.
        """
        return self._directly() if keys is None else self._on(list(dict.fromkeys(keys)))

    def _on(self, keys: list[str]) -> Rules:
        traces = {key: self.trace(key) for key in keys}
        for key, steps in traces.items():
            for step in steps:
                said = self.entries[step.number].changes_values
                if said:
                    raise CannotTranslate(self.name, str(self.entries[step.number]), said, [key])
        becomes = {key: steps[-1].after if steps else key for key, steps in traces.items()}
        renamed = {key: name for key, name in becomes.items() if name is not None}
        _refuse_collisions(self, renamed)
        for key, name in renamed.items():
            if not all(name.split(".")):
                raise CannotTranslate(
                    self.name, str(self.entries[traces[key][-1].number]), f"makes '{name}' of a key", [key]
                )
        left_out = fold((key, 0) for key, name in becomes.items() if name is None)
        drops = [f"{group.pattern} -> !drop" for group in left_out]
        text = "".join(f"{line}\n" for line in drops)
        if any(key != name for key, name in renamed.items()):
            text += str(rules_for(Task(renamed)).rules)
        return Rules.parse(text, self.name)

    def _directly(self) -> Rules:
        lines = [_line(self, entry) for entry in self.entries]
        # Entries for whole keys see the key as it came in; others what the one before made of it.
        separator = "\n" if all(isinstance(entry, Template) for entry in self.entries) else "\n---\n"
        return Rules.parse(separator.join(lines), self.name)


def _refuse_collisions(table: Table, renamed: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for key, name in renamed.items():
        other = owners.setdefault(name, key)
        if other != key:
            steps = table.trace(key) or table.trace(other)
            entry = str(table.entries[steps[-1].number]) if steps else ""
            raise CannotTranslate(table.name, entry, f"makes '{name}' of several keys", [other, key])


_PREFIX = re.compile(r"\^((?:[A-Za-z0-9_]|\\\.)*\\\.)")
"""A regular expression that is a prefix of whole segments and no more."""


def _line(table: Table, entry: Entry) -> str:
    """Write an entry as a rule that means the same for every key."""
    if entry.changes_values:
        raise CannotTranslate(table.name, str(entry), entry.changes_values)
    if isinstance(entry, Template):
        return _of_template(table, entry)
    found = _prefix_of(entry)
    if found is None:
        raise CannotTranslate(table.name, str(entry), "matches text anywhere in a key")
    source, target = found
    left = _quoted(source) + ".**"
    if target is None:
        return f"{left} -> !drop ?"
    return f"{left} -> {_quoted(target) + '.**' if target else '**'} ?"


def _prefix_of(entry: Entry) -> tuple[str, str | None] | None:
    """Give the segments that are replaced at the beginning of a key, if that is all that an entry does."""
    if isinstance(entry, Text) and entry.place == "prefix":
        source, target = entry.source, entry.target
    elif isinstance(entry, Substitution | Renaming):
        sources = entry.sources if isinstance(entry, Renaming) else (entry.source,)
        found = _PREFIX.fullmatch(sources[0])
        if len(sources) != 1 or found is None:
            return None
        source, target = found[1].replace(r"\.", "."), entry.target
    else:
        return None
    is_plain = target is None or (not re.search(r"[\\()^]", target) and (not target or target.endswith(".")))
    if not source.endswith(".") or not all(source[:-1].split(".")) or not is_plain:
        return None
    return source[:-1], target[:-1] if target else target


def _of_template(table: Table, entry: Template) -> str:
    left, right = entry.source.split("{}"), None if entry.target is None else entry.target.split("{}")
    if right is not None and len(right) > len(left):
        raise CannotTranslate(table.name, str(entry), "has more numbers on the right than on the left")
    if right is not None and len(right) != len(left):
        raise CannotTranslate(table.name, str(entry), "drops a number, so that two keys would have one name")
    if len(left) > len(_SLOTS) + 1:
        raise CannotTranslate(table.name, str(entry), f"has more than {len(_SLOTS)} numbers")
    slots = [f"{{{name}:d}}" for name in _SLOTS]
    source = _filled(left, slots)
    return f"{source} -> {'!drop' if right is None else _filled(right, [f'{{{name}}}' for name in _SLOTS])} ?"


_SLOTS = "ijklmn"


def _filled(parts: list[str], slots: list[str]) -> str:
    return "".join(part + (slots[n] if n < len(parts) - 1 else "") for n, part in enumerate(parts))


def _quoted(path: str) -> str:
    return ".".join(quoted(segment) for segment in path.split("."))
