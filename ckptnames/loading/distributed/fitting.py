"""Whether what is stored fills a state dict: all that is missing, unexpected or of another shape, found at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch.distributed.tensor import DTensor

from ckptnames.diffs import diff
from ckptnames.errors import AmbiguousInference, LossyShards, ShardsDoNotFill
from ckptnames.folding import fold
from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.manifest import Manifest
from ckptnames.rules import Plan, Rules, plan
from ckptnames.rules.slots import quoted
from ckptnames.wording import shape_text

_DTYPES = {spelled: getattr(torch, word) for word, (spelled, *_) in DTYPES.items() if hasattr(torch, word)}


class Policy(NamedTuple):
    """What stops a load; whoever allows a difference finds it in the report."""

    missing: Literal["raise", "keep"] = "raise"
    unexpected: Literal["raise", "ignore"] = "raise"
    mismatched: Literal["raise", "keep"] = "raise"


@dataclass(frozen=True, slots=True)
class Fit:
    """What a load does to every name: the model's names are ``missing``, the checkpoint's are ``unexpected``."""

    mapping: Mapping[str, str]
    """For each name of the model that is filled, the stored key that fills it."""
    renamed: Mapping[str, str]
    """For each of them that has another name in the checkpoint, the line of the rule that says so."""
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Names of the model that keep the values they have: those missing, those mismatched, and buffers without weights
    (such as ``num_batches_tracked``) that are not in the checkpoint, which stop nothing."""
    cast: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """For each name whose dtype changes, that of the checkpoint and that of the model."""


def fit(source: Manifest, target: Manifest, rules: Rules | None, policy: Policy, scopes: Collection[str] = ()) -> Fit:
    """Hold what is stored against what is wanted.

    Without ``rules``, what wrappers and prefixes explain is applied. Where ``scopes`` are given, only names below one
    of them can be unexpected. Raises ``PlanError``: ``incomplete-load`` with every difference, ``lossy-cast``, and
    what is wrong with the rules.
    """
    found = plan(source, _explained(source, target) if rules is None else rules, target)
    for error in found.errors:
        if error.code not in ("unfilled-target", "shape-mismatch"):
            error.outcome = "Nothing was loaded"
            raise error
    result = _result(found, source, target, scopes)
    _check(result, found, policy)
    return result


def _explained(source: Manifest, target: Manifest) -> Rules:
    found = diff(source, target)
    if found.choices:
        raise AmbiguousInference(source.name, [(choice.rule, choice.n_keys) for choice in found.choices])
    return found.rules or Rules.parse("")


def _result(found: Plan, source: Manifest, target: Manifest, scopes: Collection[str]) -> Fit:
    mismatched = [problem.targets[0] for problem in found.problems if problem.code == "shape-mismatch"]
    mismatched += _of_other_kind(found, source, target)
    unexpected = [problem.targets[0] for problem in found.problems if problem.code == "unexpected-key"]
    lines = {name: decision.where for decision in found.decisions for name in decision.targets}
    mapping = {name: key for name, key in found.mapping.items() if name in target and name not in mismatched}
    unfilled = _without_a_twin(target, {*mapping, *mismatched}, target.ties)
    missing = [name for name in unfilled if name not in found.droppable]
    return Fit(
        mapping=mapping,
        renamed={name: lines[name] for name, key in mapping.items() if name != key},
        missing=tuple(missing),
        unexpected=tuple(name for name in unexpected if not scopes or _is_below(name, scopes)),
        mismatched=tuple(mismatched),
        kept=(*missing, *mismatched, *(name for name in unfilled if name in found.droppable)),
        cast=_casts(mapping, source, target),
    )


def _of_other_kind(found: Plan, source: Manifest, target: Manifest) -> list[str]:
    """Find tensors that would be filled with what is none, or the reverse."""
    return [
        name
        for name, key in found.mapping.items()
        if name in target and (source[key].shape is None) != (target[name].shape is None)
    ]


def _without_a_twin(names: Collection[str], filled: Collection[str], ties: Sequence[tuple[str, ...]]) -> list[str]:
    """Give the names that nothing fills; one of two names of a tensor fills both."""
    twins = {name: group for group in ties for name in group}
    return [name for name in names if name not in filled and not any(other in filled for other in twins.get(name, ()))]


def _is_below(name: str, scopes: Collection[str]) -> bool:
    return any(name == scope or name.startswith(f"{scope}.") for scope in scopes)


def _casts(mapping: Mapping[str, str], source: Manifest, target: Manifest) -> dict[str, tuple[str, str]]:
    found = {}
    for name, key in mapping.items():
        stored, wanted = source[key].dtype, target[name].dtype
        if stored is not None and wanted is not None and stored != wanted:
            found[name] = stored, wanted
    return found


def _check(result: Fit, found: Plan, policy: Policy) -> None:
    stopping = (
        result.missing if policy.missing == "raise" or not result.mapping else (),
        result.unexpected if policy.unexpected == "raise" or not result.mapping else (),
        result.mismatched if policy.mismatched == "raise" else (),
    )
    if any(stopping):
        assert found.target is not None
        raise ShardsDoNotFill(found.source.name, *stopping, _lines(found, *stopping), _example(*stopping[:2]))
    lossy = {name: dtypes for name, dtypes in result.cast.items() if not _can_cast(*dtypes)}
    if lossy:
        raise LossyShards([(name, *dtypes) for name, dtypes in lossy.items()])


def _can_cast(stored: str, wanted: str) -> bool:
    if stored not in _DTYPES or wanted not in _DTYPES:
        return False
    return torch.can_cast(_DTYPES[stored], _DTYPES[wanted])


def _lines(
    found: Plan, missing: Sequence[str], unexpected: Sequence[str], mismatched: Sequence[str]
) -> list[tuple[str, str, str]]:
    assert found.target is not None
    rows = [("missing", group.pattern, "") for group in fold((name, 0) for name in missing)]
    rows += [("unexpected", group.pattern, "") for group in fold((name, 0) for name in unexpected)]
    for name in mismatched:
        has, wants = found.source[found.mapping[name]].shape, found.target[name].shape
        rows.append(("mismatched", name, f"stored {_kind(has)}, model {_kind(wants)}"))
    return rows


def _kind(shape: tuple[int, ...] | None) -> str:
    return "no tensor" if shape is None else shape_text(shape)


def _example(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """Give a rule from a name that is left over to the missing one that is spelled most like it."""
    from difflib import get_close_matches

    for name in missing[:1]:
        near = get_close_matches(name, unexpected[:2000], n=1)
        if near:
            return f"{quoted(near[0])} -> {quoted(name)}"
    return ""


def described(state_dict: Mapping[str, Any], name: str = "") -> Manifest:
    """Give the manifest of a flat state dict, sharded tensors by their global shape, and what is tied in it."""
    from dataclasses import replace

    from ckptnames.operands.state_dicts import of_state_dict

    return replace(of_state_dict(state_dict, name), ties=_ties(state_dict))


def _ties(state_dict: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    groups: dict[object, list[str]] = {}
    for key, value in state_dict.items():
        local = value.to_local() if isinstance(value, DTensor) else value
        if isinstance(local, torch.Tensor):
            # The storage itself, not where its memory begins: a rank's share may be empty.
            storage = local.untyped_storage()._cdata
            groups.setdefault((storage, local.storage_offset(), value.shape, local.stride()), []).append(key)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
