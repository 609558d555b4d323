"""A plain file for a model on many ranks: rank 0 reads it, the others get from it what they hold."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.tensor import DTensor

from ckptnames.droppable import is_droppable
from ckptnames.errors import OptionNotSupported, RankFailed
from ckptnames.loading.complaints import interrupted, took_nothing
from ckptnames.loading.content import check_ties
from ckptnames.loading.distributed.fitting import Policy, described, fit, local, on_meta
from ckptnames.loading.distributed.models import tie_again, ties_on_meta
from ckptnames.loading.distributed.together import as_ckptnames_errors, is_distributed, together
from ckptnames.loading.loaded import LoadReport
from ckptnames.loading.sources import Loadable, Source, open_source, same_bits
from ckptnames.loading.targets import names_of, target_of
from ckptnames.manifest import Manifest
from ckptnames.rules import Rules


def load_from_rank0(
    model: nn.Module,
    source: Loadable | None,
    *,
    container: str | None = None,
    rules: Rules | str | None = None,
    infer: bool = False,
    accept: Collection[str] = (),
    missing: Literal["raise", "keep"] = "raise",
    unexpected: Literal["raise", "ignore"] = "raise",
    mismatched: Literal["raise", "keep"] = "raise",
) -> LoadReport:
    """Load a model on all ranks from a file, or a state dict, that only rank 0 reads; others may give ``None``.

    Rank 0 holds the tensors that are loaded; to the others they go one at a time, and each keeps its part. The other
    arguments mean what they mean in ``ckptnames.load``.

    >>> model = nn.Linear(1, 1)
    >>> load_from_rank0(model, {"module.weight": torch.ones(1, 1), "module.bias": torch.zeros(1)}).matched
    {'weight': 'module.weight', 'bias': 'module.bias'}

    Raises on every rank what is wrong on any, before the first value is written: ``incomplete-load``,
    ``nothing-matched``, ``lossy-cast``, ``tied-values-differ``, ``meta-model``, ``rank-failed``, what reading raises,
    and what is wrong with the rules. ``load-interrupted`` after that, where code of the model's own takes no value for
    a weight.
    """
    given = Rules.parse(rules) if isinstance(rules, str) else rules
    policy = Policy(given, infer, accept, missing, unexpected, mismatched)
    names = names_of(model, model.state_dict())
    opened: list[Source] = []

    def open_it() -> Manifest | None:
        if not _is_first():
            return None
        assert source is not None
        if isinstance(source, Mapping) and any(isinstance(value, DTensor) for value in source.values()):
            # Made whole, they would be waited for by rank 0 alone.
            raise OptionNotSupported(
                "a sharded state dict", "save it with torch.distributed.checkpoint, and load the folder"
            )
        opened.append(open_source(source, container, described(_state(model, names))))
        return opened[0].manifest

    manifest = together(open_it, "reading")[0]
    assert manifest is not None
    found: list[LoadReport] = []

    def plan_it() -> str:
        state = _state(model, names)
        target = described(state)
        found.append(fit(manifest, target, policy, on_meta=on_meta(state)))
        if opened:
            check_ties(opened[0], target, found[0].matched)
        return _digest(found[0])

    _check_alike(together(plan_it, "planning"))
    read: list[dict[str, Any]] = []
    together(lambda: read.append(_read(opened[0], found[0]) if opened else {}), "reading")
    passing = _Passing(model, names, found[0])
    _write(model, names, read[0])
    return passing.checked(read[0])


def _is_first() -> bool:
    return not is_distributed() or dist.get_rank() == 0


def _state(model: nn.Module, names: Mapping[str, str]) -> dict[str, Any]:
    values = model.state_dict()
    return {name: values[key] for key, name in names.items()}


def _digest(report: LoadReport) -> str:
    """Say in few bytes what a load does, so that many ranks can compare it."""
    return sha256(repr(list(report.matched.items())).encode()).hexdigest()


def _check_alike(digests: list[str]) -> None:
    """Refuse models that differ: the tensors would go to the others in the order of rank 0."""
    odd = {rank: "its model has other names" for rank, each in enumerate(digests) if each != digests[0]}
    if odd:
        raise RankFailed(odd, "comparing its model with that of rank 0")


def _read(source: Source, report: LoadReport) -> dict[str, Any]:
    """Read what is loaded, each under its name in the model."""
    source.check()
    tensors = source.manifest.tensors
    return {
        name: source.tensor(key) if key in tensors and tensors[key].dtype is not None else source.entry(key)
        for name, key in report.matched.items()
    }


def _write(model: nn.Module, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Put values into the model; an empty dict on the other ranks, which take names and shapes from rank 0."""
    keys = {name: key for key, name in names.items()}
    own = model.state_dict()
    ties = ties_on_meta(model, own)
    full = {keys[name]: _as_wanted(value, own[keys[name]]) for name, value in values.items()}
    if not is_distributed():
        is_meta = any(isinstance(value, torch.Tensor) and value.is_meta for value in own.values())
        model.load_state_dict(full, strict=False, assign=is_meta)
        tie_again(model, ties)
        return
    # Not strict: what is missing was found already, and these are the keys as the wrapped model has them.
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    with as_ckptnames_errors(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.distributed")
        set_model_state_dict(model, full, options=options)
    tie_again(model, ties)


_LOOKING = "looking at what was loaded"


class _Passing:
    """Watches what passes through code of the model's own: of what such code takes nothing, nothing changes."""

    def __init__(self, model: nn.Module, names: Mapping[str, str], report: LoadReport) -> None:
        self._model, self._report = model, report
        seen = target_of(model).seen_by_own_code
        self._keys = {name: key for key, name in names.items() if key in seen and name in report.matched}
        state = model.state_dict() if self._keys else {}
        tensors = {name: state[key] for name, key in self._keys.items() if isinstance(state[key], torch.Tensor)}
        self._before = {name: None if tensor.is_meta else local(tensor).clone() for name, tensor in tensors.items()}

    def checked(self, values: Mapping[str, Any]) -> LoadReport:
        """Give the report without what was not taken; raises ``load-interrupted`` where that are weights."""
        if not self._before:
            return self._report
        state = self._model.state_dict()
        now = {name: state[self._keys[name]].detach() for name in self._before}
        unchanged = {name for name, before in self._before.items() if _is_as_before(now[name], before)}
        on_all = together(lambda: unchanged, _LOOKING)
        same = [name for name in now if all(name in each for each in on_all)]
        # Only rank 0 knows whether it should have changed.
        whole = {name: now[name].full_tensor() if isinstance(now[name], DTensor) else now[name] for name in same}
        lacking = [name for name in same if name in values and _lacks(whole[name], values[name])]
        lost = together(lambda: lacking, _LOOKING)[0]
        target = described({name: state[self._keys[name]] for name in now})
        weights = [name for name in lost if not is_droppable(name, target[name], target)]
        report = self._report
        if weights:
            written = [name for name in report.matched if name not in lost]
            raise interrupted(report.source, took_nothing(weights[0]), written, len(report.matched))
        kept = (*report.kept, *lost)
        return replace(report, matched={k: v for k, v in report.matched.items() if k not in lost}, kept=kept)


def _is_as_before(tensor: torch.Tensor, before: torch.Tensor | None) -> bool:
    return tensor.is_meta if before is None else same_bits(local(tensor), before)


def _lacks(tensor: torch.Tensor, value: torch.Tensor) -> bool:
    return tensor.is_meta or not same_bits(tensor, value.to(tensor.device, tensor.dtype))


def _as_wanted(value: Any, wanted: Any) -> Any:
    if isinstance(value, torch.Tensor) and isinstance(wanted, torch.Tensor) and value.dtype != wanted.dtype:
        return value.to(wanted.dtype)
    return value
