"""Whether what is stored fills a state dict: all that is missing, unexpected or of another shape, found at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch.distributed.tensor import DTensor

from ckptnames.diffs import ShapeMismatch
from ckptnames.droppable import is_droppable
from ckptnames.errors import LossyCast, NothingMatched, UndecidedCopies
from ckptnames.inference.inference import inferred
from ckptnames.inference.wrappers.explanation import explain
from ckptnames.loading.casting import Cast, loss
from ckptnames.loading.complaints import Suggestion, incomplete, suggested
from ckptnames.loading.content import refuse_content, refuse_misfits, refuse_without_memory
from ckptnames.loading.deciding import UNDECIDED, idle_note, is_decided
from ckptnames.loading.loaded import LoadReport
from ckptnames.loading.pairing import TIED, differ_by_one_prefix
from ckptnames.manifest import Manifest
from ckptnames.operands.state_dicts import of_state_dict
from ckptnames.rules import Plan, Rules, plan

_UNTOUCHED = "Nothing was loaded"


class Policy(NamedTuple):
    """What decides names, and what stops a load; whoever allows a difference finds it in the report."""

    rules: Rules | None = None
    infer: bool = False
    accept: Collection[str] = ()
    missing: Literal["raise", "keep"] = "raise"
    unexpected: Literal["raise", "ignore"] = "raise"
    mismatched: Literal["raise", "keep"] = "raise"


def fit(
    source: Manifest,
    target: Manifest,
    policy: Policy,
    scopes: Collection[str] = (),
    on_meta: Collection[str] = (),
) -> LoadReport:
    """Hold what is stored against what is wanted, and say what a load will do to every name.

    Without rules, what wrappers and prefixes explain is applied; with ``infer`` also what names and shapes tell, if it
    is complete. Where ``scopes`` are given, only names below one of them can be unexpected; names ``on_meta`` have to
    be filled. Raises ``PlanError`` and ``LoadError``: ``incomplete-load``, ``nothing-matched``, ``lossy-cast``,
    ``meta-model``, what no rename turns into weights, and what is wrong with the rules.
    """
    rules = _explained(source, target) if policy.rules is None else policy.rules
    found = _report(source, target, rules, scopes)
    if policy.rules is not None:
        found = replace(found, notes=idle_note(source, policy.rules))
    suggestion = None
    if policy.rules is None and found.missing and found.unexpected:
        inference = inferred(source, target)
        if policy.infer and is_decided(inference, source.name, policy.accept):
            note = "the rules were inferred from names and shapes"
            found = replace(_report(source, target, inference.rules, scopes), notes=(note,))
        else:
            suggestion = suggested(inference, lambda: explain(source, target).rules)
            found = replace(found, notes=(UNDECIDED,) if policy.infer else ())
    if not found.is_complete:
        fills_all = not (found.missing or found.mismatched)
        used = set(found.matched.values())
        refuse_content(_within(source, found.rules, scopes), target, used, fills_all=fills_all)
    _check(found, source, target, policy, suggestion)
    if found.mismatched and target.ties:
        names = plan(source, found.rules, target).names
        misfits = {each.key: names[each.key] for each in found.mismatched}
        refuse_misfits(source, target, found.matched, misfits)
    refuse_without_memory(source, on_meta, found.matched)
    return found


def _within(source: Manifest, rules: Rules, scopes: Collection[str]) -> Manifest:
    """Take out of the source what is not asked for, such as an optimizer beside the weights."""
    if not scopes:
        return source
    kept = {key: info for key, info in source.items() if any(_is_below(name, scopes) for name in rules.targets(key))}
    return replace(source, tensors=kept)


def _explained(source: Manifest, target: Manifest) -> Rules:
    found = explain(source, target)
    if found.choices:
        raise UndecidedCopies(source.name, [(choice.rule, choice.n_keys) for choice in found.choices])
    rules = found.rules or Rules()
    pairs = ((key, name) for key in source for name in rules.targets(key) if name in target)
    return rules if differ_by_one_prefix(pairs) else Rules()


def _report(source: Manifest, target: Manifest, rules: Rules, scopes: Collection[str]) -> LoadReport:
    found = plan(source, rules, target)
    for error in found.errors:
        if error.code not in ("unfilled-target", "shape-mismatch"):
            error.outcome = _UNTOUCHED
            raise error
    mismatched = [_mismatch(found, name) for name in _targets(found, "shape-mismatch")]
    # A tensor is never filled with what is none, nor the reverse.
    odd = {name for name, key in found.mapping.items() if name in target and _differ_in_kind(source, key, target, name)}
    wrong = odd | {each.key for each in mismatched}
    matched = {name: key for name, key in found.mapping.items() if name in target and name not in wrong}
    tied = _through_ties(target, matched)
    unfilled = [name for name in target if name not in matched and name not in tied and name not in wrong - odd]
    missing = tuple(name for name in unfilled if name not in found.droppable)
    used = {*matched.values()}
    # What is tied to one that is used has its place there.
    used |= {key for group in source.ties if not used.isdisjoint(group) for key in group}
    unexpected = tuple(
        problem.targets[0]
        for problem in found.problems
        if problem.code == "unexpected-key"
        and problem.keys[0] not in used
        and (not scopes or _is_below(problem.targets[0], scopes))
    )
    return LoadReport(
        source=source.name,
        container=source.container,
        n_keys=len(target),
        matched={name: matched.get(name, tied.get(name, "")) for name in target if name in matched or name in tied},
        renamed={**_renamed(found, matched), **dict.fromkeys(tied, TIED)},
        missing=missing,
        unexpected=unexpected,
        mismatched=tuple(mismatched),
        kept=(*(name for name in unfilled), *(each.key for each in mismatched)),
        left_out=tuple(_left_out(source, target, rules, {*unexpected}, scopes)),
        cast=tuple(_casts(matched, source, target)),
        rules=rules,
    )


def _left_out(
    source: Manifest, target: Manifest, rules: Rules, unexpected: Collection[str], scopes: Collection[str]
) -> Iterable[str]:
    """Name what is dropped, and what has no place and needs none: no weights, or those of another key."""
    for key in source:
        names = rules.targets(key)
        asked_for = [name for name in names if not scopes or _is_below(name, scopes)]
        if not names or (asked_for and not any(name in target or name in unexpected for name in asked_for)):
            yield key


def _targets(found: Plan, code: str) -> list[str]:
    return [problem.targets[0] for problem in found.problems if problem.code == code]


def _mismatch(found: Plan, name: str) -> ShapeMismatch:
    assert found.target is not None
    has, wants = found.source[found.names[name]].shape, found.target[name].shape
    return ShapeMismatch(name, has or (), wants or ())


def _differ_in_kind(source: Manifest, key: str, target: Manifest, name: str) -> bool:
    return (source[key].dtype is None) != (target[name].dtype is None)


def _through_ties(target: Manifest, matched: Mapping[str, str]) -> dict[str, str]:
    """Fill what is one tensor in the model with a name that is filled."""
    found: dict[str, str] = {}
    for group in target.ties:
        first = next((matched[name] for name in group if name in matched), None)
        if first is not None:
            found.update((name, first) for name in group if name not in matched)
    return found


def _renamed(found: Plan, matched: Mapping[str, str]) -> dict[str, str]:
    said = {
        decision.source: "; ".join(str(step.rule) for step in decision.fates[0].steps) for decision in found.decisions
    }
    return {name: said[key] for name, key in matched.items() if name != key}


def _is_below(name: str, scopes: Collection[str]) -> bool:
    return any(name == scope or name.startswith(f"{scope}.") for scope in scopes)


def _casts(matched: Mapping[str, str], source: Manifest, target: Manifest) -> Iterable[Cast]:
    for name, key in matched.items():
        stored, wanted = source[key].dtype, target[name].dtype
        if stored is not None and wanted is not None and stored != wanted:
            yield Cast(name, stored, wanted)


def _check(
    found: LoadReport, source: Manifest, target: Manifest, policy: Policy, suggestion: Suggestion | None
) -> None:
    weights = [name for name, info in target.items() if not is_droppable(name, info, target)]
    is_empty = bool(weights) and not any(name in found.matched for name in weights)
    in_the_way = (
        (found.missing and policy.missing == "raise")
        or (found.unexpected and policy.unexpected == "raise")
        or (found.mismatched and policy.mismatched == "raise")
    )
    if in_the_way and (not is_empty or found.mismatched or suggestion is not None):
        raise incomplete(found, suggestion=suggestion, outcome=_UNTOUCHED)
    if is_empty:
        raise NothingMatched(source.name, list(source), weights, len(target))
    lost = [(each, loss(each.source, each.target, len(target[each.key].shape or ()))) for each in found.cast]
    if any(why for _, why in lost):
        raise LossyCast(source.name, [(*each, why) for each, why in lost if why])


def described(state_dict: Mapping[str, Any], name: str = "") -> Manifest:
    """Give the manifest of a flat state dict, sharded tensors by their global shape, and what is tied in it."""
    return replace(of_state_dict(state_dict, name), ties=_ties(state_dict))


def on_meta(state_dict: Mapping[str, Any]) -> list[str]:
    """Name the tensors of a flat state dict that have no memory.

    >>> on_meta({"a": torch.ones(1), "b": torch.ones(1, device="meta")})
    ['b']
    """
    return [key for key, value in state_dict.items() if isinstance(value, torch.Tensor) and value.is_meta]


def _ties(state_dict: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    groups: dict[object, list[str]] = {}
    for key, value in state_dict.items():
        if isinstance(value, torch.Tensor):
            part = local(value)
            # The storage itself, not where its memory begins: a rank's share may be empty.
            storage = part.untyped_storage()._cdata
            groups.setdefault((storage, part.storage_offset(), value.shape, part.stride()), []).append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Give what this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
