"""The edits that a user names one by one, ``strip`` and ``add``, as stages of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ckptnames.droppable import is_droppable
from ckptnames.errors import PartialPrefix
from ckptnames.keys import has_prefix
from ckptnames.manifest import Manifest
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted
from ckptnames.rules.recipes import narrowed
from ckptnames.rules.ruleset import Stage


class Strip(NamedTuple):
    """Take a prefix of whole segments off every key."""

    prefix: str


class Add(NamedTuple):
    """Put a prefix of whole segments in front of every key."""

    prefix: str


Edit = Strip | Add | Rules


def rules_of_edits(edits: Sequence[Edit], source: Manifest, target: Manifest | None = None) -> Rules:
    """Put edits together in their order, each a stage of its own.

    Raises ``partial-prefix`` where a prefix to strip stands on some keys only, and the rest are no keys of the target,
    and ``rule-syntax`` for a prefix with an empty segment.

    >>> from ckptnames.manifest import TensorInfo
    >>> info = TensorInfo("F32", (2,), 8)
    >>> str(rules_of_edits([Strip("module.")], Manifest({"module.fc.bias": info}))).strip()
    'module.** -> **'
    """
    stages: list[Stage] = []
    names = {key: key for key in source}
    for edit in edits:
        rules = narrowed(_rules(edit), names)
        if isinstance(edit, Strip):
            _check_prefix(edit.prefix.rstrip("."), str(rules).strip(), names, source, target)
        names = {key: after for key, before in names.items() if (after := rules(before)) is not None}
        stages += rules.stages
    # Not parsed anew: each rule keeps the file and the line from where it comes.
    return Rules(stages)


def _rules(edit: Edit) -> Rules:
    if isinstance(edit, Rules):
        return edit
    # An empty segment is left to the parser, which says what is wrong with it.
    prefix = ".".join(segment and quoted(segment) for segment in edit.prefix.rstrip(".").split("."))
    if isinstance(edit, Strip):
        return Rules.parse(f"{prefix}.** -> **", name="--strip")
    return Rules.parse(f"** -> {prefix}.**", name="--add")


def _check_prefix(prefix: str, rule: str, names: dict[str, str], source: Manifest, target: Manifest | None) -> None:
    without = [
        name
        for key, name in names.items()
        if not has_prefix(name, prefix)
        and not (target is not None and name in target)
        and not is_droppable(key, source[key], source)
    ]
    carriers = [name for name in names.values() if has_prefix(name, prefix)]
    if carriers and without:
        raise PartialPrefix(source.name, prefix, carriers, without, rule)
