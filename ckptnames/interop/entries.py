"""One entry of another library's table: what it does to a key, just as that library does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol


class Done(NamedTuple):
    """What an entry made of a key that it matches: another key, or none where it is left out."""

    key: str | None


class Entry(Protocol):
    """A line of a table. ``str()`` of it is how the table writes it."""

    @property
    def changes_values(self) -> str:
        """What it does to values, where it does more than to rename; empty where it does not."""

    def apply(self, key: str) -> Done | None:
        """Give what becomes of a key; ``None`` where the entry does not match."""

    def n_places(self, key: str) -> int:
        """Count the places of a key in which the text stands that the entry rewrites, if it rewrites only the first."""


@dataclass(frozen=True)
class Substitution:
    """A regular expression that is replaced wherever it matches: an entry of mmengine, or of vLLM's ``regex``."""

    source: str
    target: str | None
    changes_values: str = ""

    def apply(self, key: str) -> Done | None:
        """Replace every match.

        >>> Substitution(r"^module.", "").apply("modules.fc.weight")
        Done(key='.fc.weight')
        """
        if not re.search(self.source, key):
            return None
        return Done(None if self.target is None else re.sub(self.source, self.target, key))

    def n_places(self, key: str) -> int:  # noqa: ARG002 - it is the same for every key
        """Every match is replaced."""
        return 1

    def __str__(self) -> str:
        return f"{self.source!r} -> {self.target!r}"


@dataclass(frozen=True)
class Text:
    """Plain text that is replaced once: anywhere, where the key begins with it, or where it ends with it."""

    source: str
    target: str | None
    place: str
    """``substr``, ``prefix`` or ``suffix``."""
    changes_values: str = ""

    def apply(self, key: str) -> Done | None:
        """Replace the text.

        >>> Text("a.", "b.", "substr").apply("a.a.w"), Text("a.", "b.", "prefix").apply("x.a.w")
        (Done(key='b.a.w'), None)
        """
        if not self._matches(key):
            return None
        if self.target is None:
            return Done(None)
        if self.place == "suffix":
            return Done(self.target.join(key.rsplit(self.source, 1)))
        return Done(key.replace(self.source, self.target, 1))

    def n_places(self, key: str) -> int:
        """Count how often the text stands in a key, where it may stand anywhere."""
        return key.count(self.source) if self.place == "substr" else 1

    def _matches(self, key: str) -> bool:
        if self.place == "prefix":
            return key.startswith(self.source)
        return key.endswith(self.source) if self.place == "suffix" else self.source in key

    def __str__(self) -> str:
        return f"{self.source!r} -> {self.target!r} ({self.place})"


@dataclass(frozen=True)
class Renaming:
    """A ``WeightRenaming`` of transformers 5: the text that the expression matches is replaced at its first place."""

    sources: tuple[str, ...]
    target: str
    changes_values: str = ""

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?P<g{n}>{_bounded(self.sources[n])})" for n in _longest_first(self.sources)))

    @cached_property
    def _replacement(self) -> str:
        """The target as the library reads it: without assertions, and with its one group as ``\\1``."""
        target = re.sub(r"\(\?.+?\)?\)", "", self.target.removeprefix("^"))
        group = re.search(r"\(.+?\)", target)
        target = target.replace(group[0], r"\1", 1) if group else target
        return target.replace(r"\.", ".")

    def apply(self, key: str) -> Done | None:
        r"""Replace the first match.

        >>> Renaming((r"^model\.layers\.(\d+)\.norm",), r"layers.\1.ln").apply("model.layers.3.norm.weight")
        Done(key='layers.3.ln.weight')
        >>> Renaming(("weight",), "scale").apply("weight_norm.weight")
        Done(key='scale_norm.weight')
        """
        found = self._compiled.search(key)
        if found is None:
            return None
        replacement = self._replacement
        if r"\1" in replacement:
            name = next(name for name, text in found.groupdict().items() if text is not None)
            replacement = replacement.replace(r"\1", found.group(self._compiled.groupindex[name] + 1))
        return Done(key.replace(found[0], replacement, 1))

    def n_places(self, key: str) -> int:
        """Count how often the text stands in a key that the expression matches in one place."""
        found = self._compiled.search(key)
        return key.count(found[0]) if found is not None and found[0] else 1

    def __str__(self) -> str:
        return f"{' | '.join(map(repr, self.sources))} -> {self.target!r}"


def _longest_first(sources: Sequence[str]) -> list[int]:
    return sorted(range(len(sources)), key=lambda n: -len(sources[n]))


def _bounded(source: str) -> str:
    """Spell a pattern as the library does: a word at its end is a whole one."""
    pattern = source.replace("*.", r".*\.")
    return pattern + r"(?!\w)" if re.search(r"[a-zA-Z0-9]$", pattern) else pattern


@dataclass(frozen=True)
class Template:
    """A whole key of torchtune, ``{}`` for the number of a layer."""

    source: str
    target: str | None
    changes_values: str = ""

    def apply(self, key: str) -> Done | None:
        """Give the target with the number in it.

        >>> Template("layers.{}.wq", "layers.{}.q").apply("layers.3.wq")
        Done(key='layers.3.q')
        """
        found = self._compiled.fullmatch(key)
        if found is None:
            return None
        return Done(None if self.target is None else self.target.format(*found.groups()))

    def n_places(self, key: str) -> int:  # noqa: ARG002 - it is the same for every key
        """A whole key stands in one place."""
        return 1

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile("([0-9]+)".join(map(re.escape, self.source.split("{}"))))

    def __str__(self) -> str:
        return f"{self.source!r} -> {self.target!r}"
