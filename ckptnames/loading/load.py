"""The verb ``load``: the weights of a checkpoint into a model, all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import nn

from ckptnames.droppable import is_droppable
from ckptnames.errors import (
    CannotAssign,
    CannotPlace,
    LossyCast,
    NeedsAssign,
    NothingMatched,
    OptionNotSupported,
    OtherNorm,
    UnknownChoice,
)
from ckptnames.loading.casting import Cast, loss
from ckptnames.loading.complaints import Suggestion, incomplete
from ckptnames.loading.content import check_ties, refuse_content, refuse_misfits, refuse_without_memory, unsaved_on_meta
from ckptnames.loading.deciding import decided
from ckptnames.loading.filling import Filling
from ckptnames.loading.loaded import LoadReport
from ckptnames.loading.pairing import Pairing
from ckptnames.loading.sources import Loadable, Source, open_source
from ckptnames.loading.spreading import is_for_ranks, is_of_ranks
from ckptnames.loading.targets import Target, normed, target_of
from ckptnames.manifest import Manifest
from ckptnames.prediction.walk import modules
from ckptnames.prediction.wrapper_types import FSDP1, is_a
from ckptnames.rules import Rules
from ckptnames.wording import counted


def load(
    model: nn.Module,
    source: Loadable,
    *,
    container: str | None = None,
    rules: Rules | str | None = None,
    infer: bool = False,
    accept: Collection[str] = (),
    assign: bool = False,
    dtype: Literal["model", "file"] = "model",
    missing: Literal["raise", "keep"] = "raise",
    unexpected: Literal["raise", "ignore"] = "raise",
    mismatched: Literal["raise", "keep"] = "raise",
    device: torch.device | str | None = None,
) -> LoadReport:
    """Load a checkpoint into a model, whatever either of them is wrapped in: all of it, or nothing.

    ``source`` is a path, a state dict, a dict that holds one, or a model; ``container`` names the one that is meant.
    Names are led to the model's by ``rules``, else by what wrappers on either side explain; with ``infer`` also by what
    names and shapes tell, if that is complete and every caution about it is in ``accept``. With ``assign`` the model
    gets new tensors in place of its own, which ``device`` may put elsewhere; ``dtype="file"`` takes over the dtypes of
    the checkpoint. ``missing``, ``unexpected`` and ``mismatched`` allow a load in part. All ranks that share a model
    call this with the same arguments, and load it together.

    >>> report = load(nn.Linear(4, 2), nn.DataParallel(nn.Linear(4, 2)).state_dict())
    >>> report.matched, set(report.renamed.values())
    ({'weight': 'module.weight', 'bias': 'module.bias'}, {'module.** -> **'})

    All that headers and names can tell is checked before the first value is written. Raises ``incomplete-load``,
    ``nothing-matched``, ``ambiguous-inference``, ``lossy-cast`` and other ``LoadError`` and ``PlanError``, and what
    reading a path raises; ``load-interrupted`` where the writing itself fails.
    """
    _check_choices(dtype=dtype, missing=missing, unexpected=unexpected, mismatched=mismatched)
    new = {"assign=True": assign, 'dtype="file"': dtype == "file", f"device={str(device)!r}": device is not None}
    options = [option for option, is_given in new.items() if is_given]
    if options and is_of_ranks(source):
        raise OptionNotSupported(
            f"{options[0]} for a folder of shards", "leave it out: the shards go into the tensors that the model has"
        )
    if is_for_ranks(model, source) and not options:
        from ckptnames.loading.distributed import load_distributed

        return load_distributed(
            model,
            source,
            container=container,
            rules=rules,
            infer=infer,
            accept=accept,
            missing=missing,
            unexpected=unexpected,
            mismatched=mismatched,
        )
    target = target_of(model)
    opened = open_source(source, container, target.bare_manifest)
    given = Rules.parse(rules) if isinstance(rules, str) else rules
    assign = _is_assigned(target, assign, dtype == "file", device)
    allowed = _Allowed(missing == "keep", unexpected == "ignore", mismatched == "keep")
    partly = allowed.missing and allowed.unexpected
    pairing, notes, suggestion = decided(opened, target, given, infer, accept, partly)
    _refuse_content(opened, target, pairing)
    allowed.check(opened, target, pairing, suggestion)
    casts = list(_casts(opened, target, pairing))
    _check_casts(opened, target, pairing, casts, dtype == "file")
    _check_memory(opened, target, pairing, assign)
    _check_ties(opened, target, pairing)
    opened.check()
    where = None if device is None else torch.device(device)
    filling = Filling(opened, target, pairing.pairs)
    pairing = pairing.without(filling.run(assign=assign, keep_dtype=dtype == "file", device=where))
    notes = (*notes, *_out_of_range(list(filling.out_of_range)), *unsaved_on_meta(model))
    return _report(opened, target, pairing, casts if dtype == "model" else [], notes)


_CHOICES = {
    "dtype": ("model", "file"),
    "missing": ("raise", "keep"),
    "unexpected": ("raise", "ignore"),
    "mismatched": ("raise", "keep"),
}


def _check_choices(**given: str) -> None:
    for option, choice in given.items():
        if choice not in _CHOICES[option]:
            raise UnknownChoice(option, choice, _CHOICES[option])


class _Allowed:
    """What may stay open in a load."""

    def __init__(self, missing: bool, unexpected: bool, mismatched: bool) -> None:
        self.missing, self.unexpected, self.mismatched = missing, unexpected, mismatched

    def check(self, opened: Source, target: Target, pairing: Pairing, suggestion: Suggestion | None) -> None:
        """Raise what stands in the way and is not allowed; a load of nothing never is."""
        in_the_way = (
            (pairing.missing and not self.missing)
            or (pairing.unexpected and not self.unexpected)
            or (pairing.mismatched and not self.mismatched)
        )
        name, n_target = opened.manifest.name, len(target.manifest)
        has_nothing = pairing.is_empty and len(pairing.no_weights) < n_target
        tells = bool(pairing.mismatched) or suggestion is not None
        if in_the_way and (tells or not has_nothing):
            raise incomplete(
                pairing,
                where=name,
                n_target=n_target,
                suggestion=suggestion,
                own_code=target.own_code,
                outcome="Nothing was loaded",
            )
        if has_nothing:
            raise NothingMatched(name, _weights(opened.manifest), _weights(target.manifest), n_target)


def _weights(manifest: Manifest) -> list[str]:
    return [key for key, info in manifest.items() if not is_droppable(key, info, manifest)]


def _is_assigned(target: Target, assign: bool, keep_dtype: bool, device: torch.device | str | None) -> bool:
    """Tell whether the model gets new tensors: what has no memory cannot be copied into."""
    own = [tensor for key in target.manifest if (tensor := target.registered(key)) is not None]
    on_meta = any(tensor.is_meta for tensor in own)
    if device is not None and not (assign or on_meta):
        raise NeedsAssign(f"device={str(device)!r}")
    sharded = [path for path, module in modules(target.model) if is_a(module, FSDP1)]
    if sharded and (assign or keep_dtype or on_meta):
        raise CannotAssign(sharded, "assign=True" if assign else 'dtype="file"' if keep_dtype else "")
    if device is not None:
        _check_device(torch.device(device), own)
    return assign or on_meta


def _check_device(device: torch.device, own: Iterable[torch.Tensor]) -> None:
    """Refuse a device on which there would be no values, or that is not where the ranks have their parts."""
    if device.type == "meta":
        raise CannotPlace(device, "has no values", "name the device that is to hold them, as in device='cpu'")
    meshes = {tensor.device_mesh.device_type for tensor in own if hasattr(tensor, "device_mesh")}
    if meshes - {str(device)}:
        raise CannotPlace(
            device,
            f"is not where the model is sharded: that is '{min(meshes)}'",
            "leave it out: each part goes to the device of its mesh",
        )


def _refuse_content(opened: Source, target: Target, pairing: Pairing) -> None:
    """Refuse what no rename turns into the model's weights."""
    source = opened.manifest
    if pairing.is_whole:
        return
    unused = {*pairing.unexpected, *pairing.left_out}
    fills_all = not (pairing.missing or pairing.mismatched)
    refuse_content(source, target.bare_manifest, source.keys() - unused, fills_all=fills_all)
    there, here = normed(source), normed(target.bare.values())
    if there != here and (pairing.missing or pairing.unexpected):
        _refuse_norms(opened, target, pairing)


def _refuse_norms(opened: Source, target: Target, pairing: Pairing) -> None:
    """Say of weights under a norm on one side only that they are."""
    loose = [(key, target.bare[key]) for key in pairing.missing]
    for in_source, ours, theirs in (
        (True, normed(pairing.unexpected), {name for _, name in loose}),
        (False, normed(name for _, name in loose), set(pairing.unexpected)),
    ):
        ends = {name.rpartition(".")[2] for name in ours} & {name.rpartition(".")[2] for name in theirs}
        found = [name for name in sorted(ours) if name.rpartition(".")[2] in ends]
        if found:
            raise OtherNorm(opened.manifest.name, [name.rpartition(".")[0] for name in found], in_source)


def _casts(opened: Source, target: Target, pairing: Pairing) -> Iterator[Cast]:
    for key, pair in pairing.pairs.items():
        has = opened.manifest.tensors.get(pair.source)
        wants = target.manifest[key].dtype
        if has is not None and has.dtype is not None and wants is not None and has.dtype != wants:
            yield Cast(key, has.dtype, wants)


def _check_casts(opened: Source, target: Target, pairing: Pairing, casts: Sequence[Cast], keep_dtype: bool) -> None:
    """Refuse casts that lose values, and a weight that would become one of another kind of numbers."""
    lost = []
    for cast in casts:
        why = loss(cast.source, cast.target, len(target.manifest[cast.key].shape or ()))
        entry = target.entries.get(cast.key)
        is_buffer = entry is not None and entry.kind == "buffer"
        if why and not (keep_dtype and is_buffer) and not _is_count(opened, pairing, cast.key):
            lost.append((cast.key, cast.source, cast.target, why))
    if lost:
        raise LossyCast(opened.manifest.name, lost)


def _is_count(opened: Source, pairing: Pairing, key: str) -> bool:
    """Tell whether one number without weights is whole, as a counter is that was cast along with the weights."""
    if key not in pairing.no_weights:
        return False
    value = opened.tensor(pairing.pairs[key].source)
    return value.numel() == 1 and not value.is_complex() and float(value).is_integer()


def _check_memory(opened: Source, target: Target, pairing: Pairing, assign: bool) -> None:
    """Hold that every tensor of the state dict has memory after the load."""
    on_meta = [key for key in target.manifest if (own := target.registered(key)) is not None and own.is_meta]
    if assign:
        refuse_without_memory(opened.manifest, on_meta, pairing.pairs)


def _check_ties(opened: Source, target: Target, pairing: Pairing) -> None:
    """Hold that what is one tensor in the model has one value in the source."""
    matched = {key: pair.source for key, pair in pairing.pairs.items()}
    refuse_misfits(opened.manifest, target.manifest, matched, pairing.misfits)
    check_ties(opened, target.manifest, matched)


def _out_of_range(keys: Sequence[str]) -> Iterator[str]:
    """Say of tensors that not all of their values fit into the dtype of the model."""
    if keys:
        has = "has" if len(keys) == 1 else "have"
        which = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
        yield f"{counted(len(keys), 'tensor')} {has} values beyond the range of the model's dtype: {which}"


def _report(
    opened: Source, target: Target, pairing: Pairing, casts: Sequence[Cast], notes: Sequence[str]
) -> LoadReport:
    return LoadReport(
        source=opened.manifest.name,
        container=opened.manifest.container,
        n_keys=len(target.manifest),
        matched={key: pair.source for key, pair in pairing.pairs.items()},
        renamed={key: pair.by for key, pair in pairing.pairs.items() if pair.by},
        missing=pairing.missing,
        unexpected=pairing.unexpected,
        mismatched=pairing.mismatched,
        kept=tuple(key for key in target.manifest if key not in pairing.pairs),
        left_out=pairing.left_out,
        cast=tuple(casts),
        rules=pairing.rules,
        notes=tuple(notes),
    )
