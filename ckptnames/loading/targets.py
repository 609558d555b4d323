"""The model's side: the keys it takes, what each is without wrappers and norms, and where it is registered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ckptnames.keys import join
from ckptnames.manifest import Manifest
from ckptnames.prediction.canonical import canonical
from ckptnames.prediction.live import answered, predict_live
from ckptnames.prediction.walk import Entry, modules
from ckptnames.prediction.wrapper_types import FSDP1, is_a, unwrapped_paths, wrapped_as

_PARTS = re.compile(r"((?:.*\.)?)parametrizations\.([^.]+)\.original([0-9]+)")
_OLD_PARTS = re.compile(r"((?:.*\.)?)([^.]+)_([gv])")
_ENDINGS = ("_g", "_v")


@dataclass(frozen=True)
class Target:
    """What a model takes."""

    model: nn.Module
    manifest: Manifest
    """The keys of its own ``state_dict()``, which are those that ``load_state_dict`` takes."""
    bare: Mapping[str, str]
    """For each of them the name without wrappers, and with a weight norm spelled as the old one spells it."""

    @property
    def bare_manifest(self) -> Manifest:
        """The same tensors under their bare names."""
        tensors = {name: self.manifest[key] for key, name in self.bare.items()}
        ties = tuple(tuple(self.bare[key] for key in group if key in self.bare) for group in self.manifest.ties)
        return replace(self.manifest, tensors=tensors, ties=tuple(group for group in ties if len(group) > 1))

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Where each key is registered."""
        found, _ = answered(self.model)
        return {entry.key: entry for entry in found}

    def registered(self, key: str) -> torch.Tensor | None:
        """Give the model's own tensor of a key; none where its state dict shows something that it computes."""
        entry = self.entries.get(key)
        if entry is None or entry.kind not in ("parameter", "buffer"):
            return None
        # What a script module has in their place knows no more of a dict than this.
        places: tuple[Any, ...] = (entry.owner._parameters, entry.owner._buffers)
        found = next((own[entry.leaf] for own in places if entry.leaf in own), None)
        # The part of a process, as FSDP registers it, is not what the state dict shows.
        return found if isinstance(found, torch.Tensor) and self._is_whole(key, found) else None

    def _is_whole(self, key: str, tensor: torch.Tensor) -> bool:
        shape = self.manifest[key].shape
        return shape is None or tuple(tensor.shape) == shape

    @property
    def own_code(self) -> str:
        """Name the code that is not torch's and has a say in what the model loads, if there is any."""
        return next((name for _, name in self._own_code()), "")

    def _own_code(self) -> Iterator[tuple[nn.Module, str]]:
        for _, module in modules(self.model):
            hooks = [getattr(hook, "hook", hook) for hook in module._load_state_dict_pre_hooks.values()]
            methods = [getattr(type(module), name) for name in ("load_state_dict", "_load_from_state_dict")]
            for code in (*hooks, *methods):
                home = getattr(code, "__module__", None) or type(code).__module__
                if not home.startswith(("torch.", "ckptnames.")):
                    yield module, str(getattr(code, "__qualname__", type(code).__qualname__))

    @cached_property
    def seen_by_own_code(self) -> frozenset[str]:
        """Name the keys that go through the hands of such code: those of its module, and of all inside."""
        seen = {id(inner) for module, _ in self._own_code() for inner in module.modules()}
        return frozenset(
            key
            for key in self.manifest
            if seen and ((entry := self.entries.get(key)) is None or id(entry.owner) in seen)
        )

    def is_weight_norm(self, key: str) -> bool:
        """Tell whether a key is a part of torch's weight norm, new or old."""
        entry = self.entries.get(key)
        if entry is None:
            return False
        if _PARTS.fullmatch(key):
            first = next(iter(entry.owner.children()), None)
            return type(first).__name__ == "_WeightNorm"
        found = _OLD_PARTS.fullmatch(entry.leaf)
        hooks = entry.owner._forward_pre_hooks.values()
        return found is not None and any(
            type(hook).__name__ == "WeightNorm" and getattr(hook, "name", "") == found[2] for hook in hooks
        )


def target_of(model: nn.Module) -> Target:
    """Describe a model; nothing of it is copied.

    >>> list(target_of(nn.DataParallel(nn.Linear(2, 2))).bare.values())
    ['weight', 'bias']

    Raises ``not-a-module``, ``endless-model``, ``no-state-dict``.
    """
    manifest = predict_live(model)
    names = names_of(model, manifest)
    olden = old_spelling(names.values())
    return Target(model, _with_flat_ties(model, manifest), {key: olden.get(name, name) for key, name in names.items()})


def _with_flat_ties(model: nn.Module, manifest: Manifest) -> Manifest:
    """Add the ties that FSDP of the first kind knows of: it saves tied weights apart, and keeps them as one."""
    shared = [
        info
        for _, module in modules(model)
        if is_a(module, FSDP1) and module._handle is not None
        for info in module._handle.flat_param._shared_param_infos  # type: ignore[union-attr]
    ]
    if not shared:
        return manifest
    found, _ = answered(model)
    keys = {(id(entry.owner), entry.leaf): entry.key for entry in found}
    groups: dict[str, list[str]] = {}
    for info in shared:
        first = keys.get((id(info.prim_module), info.prim_param_name))
        other = keys.get((id(info.module), info.param_name))
        if first is not None and other is not None:
            groups.setdefault(first, [first]).append(other)
    return replace(manifest, ties=(*manifest.ties, *map(tuple, groups.values())))


def names_of(model: nn.Module, keys: Iterable[str]) -> dict[str, str]:
    """Take the wrappers out of the names of a model's keys; what a wrapper itself keeps goes where the wrapper stands.

    >>> from torch.optim.swa_utils import AveragedModel
    >>> averaged = AveragedModel(nn.Linear(2, 2, bias=False))
    >>> names_of(averaged, averaged.state_dict())
    {'n_averaged': 'n_averaged', 'module.weight': 'weight'}
    """
    keys = list(keys)
    if all(wrapped_as(module) is None for _, module in modules(model)):
        return {key: key for key in keys}
    names = canonical(model)
    taken = set(names.values())
    paths = unwrapped_paths(model)
    for key in keys:
        if key not in names:
            path, _, leaf = key.rpartition(".")
            name = join(paths.get(path, path), leaf)
            names[key] = key if name in taken else name
    return {key: names[key] for key in keys}


def is_part(name: str) -> bool:
    """Tell whether a name is that of a part of a parametrized tensor.

    >>> is_part("fc.parametrizations.weight.original0"), is_part("fc.original0")
    (True, False)
    """
    return _PARTS.fullmatch(name) is not None


def old_spelling(names: Iterable[str]) -> dict[str, str]:
    """Give for the two parts of each new weight norm the names that the old one has for them.

    >>> old_spelling(["fc.parametrizations.weight.original0", "fc.parametrizations.weight.original1"]).values()
    dict_values(['fc.weight_g', 'fc.weight_v'])
    """
    parts: dict[str, dict[str, str]] = {}
    for name in names:
        found = _PARTS.fullmatch(name)
        if found:
            parts.setdefault(found[1] + found[2], {})[found[3]] = name
    return {
        numbered[digit]: place + ending
        for place, numbered in parts.items()
        if numbered.keys() == {"0", "1"}
        for digit, ending in zip("01", _ENDINGS, strict=True)
    }


def normed(names: Iterable[str]) -> set[str]:
    """Name the tensors that stand as two parts of a weight norm.

    >>> normed(["fc.weight_g", "fc.weight_v", "fc.bias"])
    {'fc.weight'}
    """
    spelled = list(names)
    olden = old_spelling(spelled)
    ends: dict[str, set[str]] = {}
    for name in spelled:
        found = _OLD_PARTS.fullmatch(olden.get(name, name))
        if found:
            ends.setdefault(found[1] + found[2], set()).add(found[3])
    return {name for name, parts in ends.items() if parts == {"g", "v"}}
