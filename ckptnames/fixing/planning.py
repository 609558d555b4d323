"""The verb ``plan``, for whatever a caller holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from ckptnames.inference.wrappers.containers import source_for
from ckptnames.manifest import Manifest
from ckptnames.operands import Readable, manifest_of
from ckptnames.rules import Pattern, Plan, Rules
from ckptnames.rules import plan as plan_of_manifests

Source = Readable | Iterable[str]
"""What names can be had from: keys alone too, of which no shape is known."""


def plan(
    source: Source,
    rules: Rules | str,
    target: Source | None = None,
    *,
    allow: Sequence[tuple[str, Pattern | str]] = (),
    drop_unexpected: bool = False,
) -> Plan:
    """Say what ``rules`` make of every key, and find every problem, without touching a byte.

    ``source`` and ``target`` are paths, manifests, models, state dicts, or keys. ``allow`` accepts problems, by code,
    for the keys that match a pattern; ``drop_unexpected`` leaves out what the target does not have.

    >>> plan(["module.fc.weight"], "module.** -> **", ["fc.weight"]).mapping
    {'fc.weight': 'module.fc.weight'}
    >>> plan("fixtures/example/trained_ddp.pt", "module._orig_mod.** -> **").outcome
    'ready'

    Raises ``rule-syntax``, ``bad-arithmetic``, ``cannot-allow``, and what reading raises.
    """
    wanted = None if target is None else _known(target)
    return plan_of_manifests(
        _source(source, wanted),
        rules,
        wanted,
        allow=[(code, Pattern.parse(p) if isinstance(p, str) else p) for code, p in allow],
        drop_unexpected=drop_unexpected,
    )


def _source(source: Source, target: Manifest | Iterable[str] | None) -> Manifest | Iterable[str]:
    if isinstance(source, str | os.PathLike):
        return source_for(source, target if isinstance(target, Manifest) else None)
    return _known(source)


def _known(source: Source) -> Manifest | Iterable[str]:
    # A model may be iterable too: nn.Sequential gives its modules.
    is_readable = isinstance(source, str | os.PathLike | Mapping) or hasattr(source, "state_dict")
    return manifest_of(cast(Readable, source)) if is_readable else list(cast(Iterable[str], source))
