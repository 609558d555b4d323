"""A table of another library: entries that act one after another, and the rules that do what they do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ckptnames.errors import CannotTranslate
from ckptnames.folding import fold
from ckptnames.inference.rulemaking.choosing import Task, rules_for
from ckptnames.interop.entries import Entry, Template
from ckptnames.interop.translation import exactly, likely
from ckptnames.rules import Rules


class Fired(NamedTuple):
    """An entry that acted on a key: its number, and the key before and after."""

    number: int
    before: str
    after: str | None


@dataclass(frozen=True)
class Table:
    """Entries in the order in which the library applies them; each sees the key as the one before left it.

    Entries for whole keys are no steps: the first that matches is the only one.
    """

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
                if isinstance(entry, Template):
                    break  # a whole key is looked up once
        return found

    def renames(self) -> Table:
        """Give the table without the entries that do more than to rename."""
        return replace(self, entries=tuple(entry for entry in self.entries if not entry.changes_values))

    def rules(self, keys: Iterable[str] | None = None) -> Rules:
        """Give rules that do to ``keys`` what the library does, proved on each of them.

        One for each entry where that can be, else the few that lead these keys to their names. Without keys only
        entries that say whole segments can be told: prefixes up to a dot, and whole keys.

        >>> from ckptnames.interop import mmengine_table
        >>> print(mmengine_table([(r"^module\\.", "")]).rules(), end="")
        module.** -> ** ?
        >>> print(mmengine_table([("bn.", "norm.")]).rules(["layer.0.bn.weight", "layer.1.bn.weight"]), end="")
        **.bn.** -> **.norm.** ?
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
        rules = self._line_by_line(becomes)
        if rules is not None:
            return rules
        left_out = fold((key, 0) for key, name in becomes.items() if name is None)
        drops = [f"{group.pattern} -> !drop" for group in left_out]
        text = "".join(f"{line}\n" for line in drops)
        if any(key != name for key, name in renamed.items()):
            text += str(rules_for(Task(renamed)).rules)
        return Rules.parse(text, self.name)

    def _directly(self) -> Rules:
        lines = []
        for entry in self.entries:
            line = None if entry.changes_values else exactly(entry)
            if line is None:
                raise CannotTranslate(self.name, str(entry), entry.changes_values or _more(entry))
            lines.append(line)
        return self._in_stages(lines)

    def _in_stages(self, lines: list[str]) -> Rules:
        # Entries for whole keys see the key as it came in; others what the one before made of it.
        separator = "\n" if all(isinstance(entry, Template) for entry in self.entries) else "\n---\n"
        return Rules.parse(separator.join(lines), self.name)

    def _line_by_line(self, becomes: dict[str, str | None]) -> Rules | None:
        """Give one rule for each entry, where these do to all keys what the table does."""
        lines = [likely(entry) for entry in self.entries if not entry.changes_values]
        if any(line is None for line in lines):
            return None
        rules = self._in_stages([line for line in lines if line is not None])
        return rules if all(rules.targets(key) == ((name,) if name else ()) for key, name in becomes.items()) else None


def _more(entry: Entry) -> str:
    if isinstance(entry, Template):
        return "has not the same numbers on both sides, so that two keys would have one name"
    return "matches text anywhere in a key"


def _refuse_collisions(table: Table, renamed: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for key, name in renamed.items():
        other = owners.setdefault(name, key)
        if other != key:
            steps = table.trace(key) or table.trace(other)
            entry = str(table.entries[steps[-1].number]) if steps else ""
            raise CannotTranslate(table.name, entry, f"makes '{name}' of several keys", [other, key])
