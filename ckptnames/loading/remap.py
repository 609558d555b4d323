"""A state dict in memory under other names: the same tensors, in the same order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from ckptnames.like import rules_like
from ckptnames.operands import Readable, manifest_of
from ckptnames.rules import Rules, plan
from ckptnames.rules.module_paths import renamed_modules
from ckptnames.rules.recipes import narrowed


def remap(
    state_dict: Mapping[str, Any],
    rules: Rules | str | None = None,
    like: Readable | None = None,
    accept: Collection[str] = (),
) -> dict[str, Any]:
    """Give a new dict with the keys renamed by ``rules``, or by the rules that lead to ``like``.

    Values are the same objects; order, ties and the versions in ``_metadata`` are kept (module paths renamed by the
    same rules). ``accept`` names the cautions that were checked. Raises ``PlanError`` where the rules do not fit, leave
    a weight of ``like`` unfilled, or would be a guess (``ambiguous-inference``, ``unchecked-caution``).

    >>> remap({"module.fc.bias": 1.0}, rules="module.** -> **")
    {'fc.bias': 1.0}
    """
    source = manifest_of(state_dict)
    target = None if like is None else manifest_of(like)
    if isinstance(rules, str):
        rules = Rules.parse(rules)
    if rules is None:
        rules = Rules() if target is None else rules_like(source, target, accept=accept)
    rules = narrowed(rules, source)
    plan(source, rules, target).check()
    names = {key: rules.targets(key) for key in state_dict}
    renamed = OrderedDict((name, value) for key, value in state_dict.items() for name in names[key])
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        paths, _ = renamed_modules(metadata, names)
        moved = OrderedDict((path, metadata[module]) for module in metadata for path in paths.get(module, ()))
        # torch reads BatchNorm's and others' versions from here; a plain dict has no place for it.
        renamed._metadata = moved  # type: ignore[attr-defined]
    return renamed if isinstance(state_dict, OrderedDict) or metadata is not None else dict(renamed)
