"""The rules that make one checkpoint like another, where they may be applied without asking."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ckptnames.diffs import Diff, diff
from ckptnames.errors import AmbiguousInference, CannotAccept, CannotRename, UncheckedCaution, UndecidedKeys
from ckptnames.folding import fold
from ckptnames.manifest import Manifest
from ckptnames.rules import Pattern, Rules

if TYPE_CHECKING:
    from ckptnames.inference.undecided import Ambiguity


def rules_like(
    source: Manifest,
    target: Manifest,
    *,
    accept: Collection[str] = (),
    allow: Sequence[tuple[str, Pattern]] = (),
) -> Rules:
    """Find the rules that lead to the names of ``target``, and refuse where they would be a guess.

    ``accept`` names the cautions that the caller has checked. Keys for which ``unfilled-target`` is allowed may stay
    undecided. What the rules leave unfilled is for a plan to say.

    >>> from ckptnames.manifest import TensorInfo
    >>> info = TensorInfo("F32", (2,), 8)
    >>> print(rules_like(Manifest({"module.fc.bias": info}), Manifest({"fc.bias": info})), end="")
    module.** -> **

    Raises ``ambiguous-inference``, ``unchecked-caution``, ``cannot-accept``, and ``flat-parameters`` and its like.
    """
    check_accepted(accept)
    found = diff(source, target)
    if found.choices:
        raise AmbiguousInference(source.name, [(choice.rule, choice.n_keys) for choice in found.choices])
    if found.obstacles:
        first = found.obstacles[0]
        raise CannotRename.by_code(first.code)(source.name, first.message, first.keys, first.help)
    _check_decided(found, allow)
    for caution in found.cautions:
        if caution.code not in accept:
            patterns = [group.pattern for group in fold((key, "") for key in caution.targets)]
            raise UncheckedCaution(source.name, caution.code, caution.message, patterns, len(caution.targets))
    return found.rules or Rules()


def check_accepted(accept: Collection[str]) -> None:
    """Raise ``cannot-accept`` for what is no caution."""
    if accept:
        from ckptnames.inference.cautions import CODES

        for code in accept:
            if code not in CODES:
                raise CannotAccept(code, CODES)


def _check_decided(found: Diff, allow: Sequence[tuple[str, Pattern]]) -> None:
    asked = [each for each in found.ambiguous if not _may_stay(each, allow)]
    if asked:
        lines = [line for each in asked for line in each.lines]
        n_keys = len({key for each in asked for key in each.targets or each.sources})
        raise UndecidedKeys(found.source.name, n_keys, lines, asked[0].message)


def _may_stay(ambiguity: Ambiguity, allow: Sequence[tuple[str, Pattern]]) -> bool:
    patterns = [pattern for code, pattern in allow if code == "unfilled-target"]
    return bool(ambiguity.targets) and all(any(p.match(key) for p in patterns) for key in ambiguity.targets)
