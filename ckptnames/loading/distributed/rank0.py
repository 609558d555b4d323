"""A plain file for a model on many ranks: rank 0 reads it, the others get from it what they hold."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from ckptnames.diffs import chosen
from ckptnames.errors import RankFailed
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.reading import open_path
from ckptnames.loading.distributed.fitting import Fit, Policy, described, fit
from ckptnames.loading.distributed.together import as_ckptnames_errors, is_distributed, together
from ckptnames.manifest import Manifest
from ckptnames.prediction.canonical import canonical
from ckptnames.rules import Rules


class _Source(NamedTuple):
    """What rank 0 reads: the tensors, and what is said of them."""

    tensors: Mapping[str, Any]
    manifest: Manifest


def load_from_rank0(
    model: nn.Module,
    source: str | os.PathLike[str] | Mapping[str, Any] | None,
    *,
    container: str | None = None,
    rules: Rules | str | None = None,
    missing: Literal["raise", "keep"] = "raise",
    unexpected: Literal["raise", "ignore"] = "raise",
    mismatched: Literal["raise", "keep"] = "raise",
) -> Fit:
    """Load a model on all ranks from a file, or a state dict, that only rank 0 reads; others may give ``None``.

    The file is mapped into memory where its format allows, and goes to the others tensor by tensor.

    >>> model = nn.Linear(1, 1)
    >>> load_from_rank0(model, {"module.weight": torch.ones(1, 1), "module.bias": torch.zeros(1)}).mapping
    {'weight': 'module.weight', 'bias': 'module.bias'}

    Raises on every rank what is wrong on any, before the first value is written: ``incomplete-load``, ``lossy-cast``,
    ``rank-failed``, what reading raises, and what is wrong with the rules.
    """
    policy = Policy(missing, unexpected, mismatched)
    names = canonical(model)
    found: list[_Source] = []

    def read() -> Manifest | None:
        if not _is_first():
            return None
        found.append(_read(source, container, described(_state(model, names))))
        return found[0].manifest

    manifest = together(read, "reading")[0]
    assert manifest is not None
    fits = together(lambda: _fitted(manifest, model, names, rules, policy), "planning")
    _check_alike(fits)
    _write(model, names, fits[0], found[0].tensors if found else {})
    return fits[0]


def _is_first() -> bool:
    return not is_distributed() or dist.get_rank() == 0


def _state(model: nn.Module, names: Mapping[str, str]) -> dict[str, Any]:
    values = model.state_dict()
    return {name: values[key] for key, name in names.items()}


def _fitted(
    manifest: Manifest, model: nn.Module, names: Mapping[str, str], rules: Rules | str | None, policy: Policy
) -> Fit:
    given = Rules.parse(rules) if isinstance(rules, str) else rules
    return fit(manifest, described(_state(model, names)), given, policy)


def _check_alike(fits: list[Fit]) -> None:
    """Refuse models that differ: the tensors would go to the others in the order of rank 0."""
    odd = {rank: "its model has other names" for rank, each in enumerate(fits) if each.mapping != fits[0].mapping}
    if odd:
        raise RankFailed(odd, "comparing its model with that of rank 0")


def _write(model: nn.Module, names: Mapping[str, str], plan: Fit, tensors: Mapping[str, Any]) -> None:
    keys = {name: key for key, name in names.items()}
    values = model.state_dict()
    # An empty dict on the other ranks: torch takes names and shapes from rank 0.
    full = {keys[name]: _as_wanted(tensors[key], values[keys[name]]) for name, key in plan.mapping.items() if tensors}
    if not is_distributed():
        is_meta = any(isinstance(value, torch.Tensor) and value.is_meta for value in values.values())
        model.load_state_dict(full, strict=False, assign=is_meta)
        return
    # Not strict: what is missing was found already, and these are the keys as the wrapped model has them.
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    with as_ckptnames_errors(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.distributed")
        set_model_state_dict(model, full, options=options)


def _as_wanted(value: Any, wanted: Any) -> Any:
    if isinstance(value, torch.Tensor) and isinstance(wanted, torch.Tensor) and value.dtype != wanted.dtype:
        return value.to(wanted.dtype)
    return value


def _read(source: object, container: str | None, target: Manifest) -> _Source:
    if isinstance(source, Mapping):
        return _Source(source, described(source, "the state dict"))
    assert isinstance(source, str | os.PathLike)
    checkpoint, named = open_path(source)
    manifest = chosen(checkpoint, named if container is None else container, target)
    return _Source(_tensors(checkpoint, manifest.container), manifest)


def _tensors(checkpoint: Checkpoint, container: str) -> Mapping[str, Any]:
    if checkpoint.format == "safetensors":
        from safetensors.torch import load_file

        return load_file(checkpoint.path)
    is_mapped = checkpoint.format == "torch-zip"
    loaded = torch.load(checkpoint.path, map_location="cpu", mmap=is_mapped, weights_only=True)
    return _below(loaded, container)


def _below(found: Any, container: str) -> Mapping[str, Any]:
    """Descend to a container; a key on the way may hold dots."""
    if not container:
        assert isinstance(found, Mapping)
        return found
    head = next(key for key in sorted(found, key=len, reverse=True) if f"{container}.".startswith(f"{key}."))
    return _below(found[head], container.removeprefix(head).removeprefix("."))
