"""An entry of a table as a rule: one that means the same for every key, or one that most likely does."""

from __future__ import annotations

import re

from ckptnames.errors import RuleSyntax
from ckptnames.interop.entries import Entry, Renaming, Substitution, Template, Text
from ckptnames.rules.rule import Rule
from ckptnames.rules.slots import quoted

SLOTS = "ijklmn"
"""The names of the numbers in a rule."""

_PREFIX = re.compile(r"\^((?:[A-Za-z0-9_]|\\\.)*\\\.)")
"""A regular expression that is a prefix of whole segments and no more."""
_TOKEN = re.compile(r"(?P<number>\(\\d\+\)|\(\[0-9\]\+\))|\\\.|(?P<plain>[A-Za-z0-9_.-])")


def exactly(entry: Entry) -> str | None:
    """Write an entry as the rule that does the same to every key there can be; ``None`` where it says more.

    >>> exactly(Text("model.", "", "prefix")), exactly(Text("norm", "ln", "substr"))
    ('model.** -> ** ?', None)
    """
    if isinstance(entry, Template):
        return _of_template(entry)
    if isinstance(entry, Text) and entry.place == "prefix":
        source, target = entry.source, entry.target
    elif isinstance(entry, Substitution | Renaming):
        found = _PREFIX.fullmatch(_pattern(entry))
        if found is None:
            return None
        source, target = found[1].replace(r"\.", "."), entry.target
    else:
        return None
    is_plain = target is None or (not re.search(r"[\\()^]", target) and (not target or target.endswith(".")))
    if not source.endswith(".") or not all(source[:-1].split(".")) or not is_plain:
        return None
    if target == "":
        return _line(f"{_quoted(source[:-1])}.**", "**")
    # `**` alone would also match the key that is the prefix itself, without the dot.
    return _line(f"{_quoted(source[:-1])}.{{p}}.**", None if target is None else f"{_quoted(target[:-1])}.{{p}}.**")


def likely(entry: Entry) -> str | None:
    """Write an entry as a rule that takes its text for whole segments; whether it is right, keys have to tell.

    >>> likely(Renaming((r"encoder.block.(\\d+).",), r"stages.\\1.blocks."))
    '**.encoder.block.{i:d}.** -> **.stages.{i}.blocks.** ?'
    """
    if isinstance(entry, Template):
        return _of_template(entry)
    if isinstance(entry, Text):
        source, is_first, is_last = _quoted_in_part(entry.source), entry.place == "prefix", entry.place == "suffix"
    elif isinstance(entry, Substitution | Renaming):
        text = _pattern(entry)
        is_first, is_last = text.startswith("^"), text.endswith("$")
        found = _segments(text.removeprefix("^").removesuffix("$"))
        if found is None:
            return None
        source = found
    else:
        return None
    target = None if entry.target is None else _target(entry.target)
    begins, ends = source.startswith("."), source.endswith(".")
    if target and (target.startswith("."), target.endswith(".")) != (begins, ends):
        return None
    before, after = "" if is_first else "**.", "" if is_last else ".**"
    left = f"{before}{source.strip('.')}{after}"
    if target is None:
        return _line(left, None)
    middle = target.strip(".")
    right = f"{before}{middle}{after}" if middle else f"{before.rstrip('.')}{after}".strip(".")
    return _line(left, right)


def _line(left: str, right: str | None) -> str | None:
    line = f"{left} -> {'!drop' if right is None else right} ?"
    try:
        Rule.parse(line)
    except RuleSyntax:
        return None
    return line


def _pattern(entry: Substitution | Renaming) -> str:
    """Give the one pattern of an entry; of several, one that nothing here reads."""
    if isinstance(entry, Substitution):
        return entry.source
    return entry.sources[0] if len(entry.sources) == 1 else "(?:)"


def _segments(text: str) -> str | None:
    """Read a regular expression that is plain text and numbers, a dot taken for a dot."""
    found, at = "", 0
    slots = iter(SLOTS)
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        found += f"{{{next(slots, 'z')}:d}}" if token["number"] else token["plain"] or "."
        at = token.end()
    return found


def _target(text: str) -> str:
    """Write a replacement with the slots that its groups are."""
    plain = text.removeprefix("^").replace(r"\.", ".")
    return re.sub(r"\\([1-6])", lambda group: f"{{{SLOTS[int(group[1]) - 1]}}}", plain)


def _of_template(entry: Template) -> str | None:
    left, right = entry.source.split("{}"), None if entry.target is None else entry.target.split("{}")
    if len(left) > len(SLOTS) + 1 or (right is not None and len(right) != len(left)):
        return None
    source = _filled(left, [f"{{{name}:d}}" for name in SLOTS])
    return _line(source, None if right is None else _filled(right, [f"{{{name}}}" for name in SLOTS]))


def _filled(parts: list[str], slots: list[str]) -> str:
    return "".join(part + (slots[n] if n < len(parts) - 1 else "") for n, part in enumerate(parts))


def _quoted(path: str) -> str:
    return ".".join(quoted(segment) for segment in path.split(".")) if path else ""


def _quoted_in_part(text: str) -> str:
    """Quote the segments of a text that may begin or end with a dot."""
    return ".".join(quoted(segment) if segment else "" for segment in text.split("."))
