"""A hook under which a plain ``model.load_state_dict(state_dict)`` accepts old names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from torch import nn

from ckptnames.droppable import is_droppable
from ckptnames.errors import ExchangedNames
from ckptnames.manifest import Manifest
from ckptnames.operands.state_dicts import of_state_dict
from ckptnames.prediction.live import predict_live
from ckptnames.prediction.wrapper_types import unwrapped
from ckptnames.rules import Rules, plan
from ckptnames.rules.module_paths import renamed_modules

RENAMED = "ckptnames.renamed"
"""Stands in what ``_metadata`` says of a module where the names are the model's already."""


def load_hook(rules: Rules | str) -> LoadHook:
    """Make a hook for ``model.register_load_state_dict_pre_hook``: the rules lead old names to the model's.

    >>> model = nn.Linear(2, 2)
    >>> handle = model.register_load_state_dict_pre_hook(load_hook("w -> weight"))
    >>> state = model.state_dict()
    >>> model.load_state_dict({"w": state["weight"], "bias": state["bias"]})
    <All keys matched successfully>

    Raises ``rule-syntax``; the hook raises the problems of its rules, and ``exchanged-names`` where the names of a
    state dict are right before and after, so that they do not tell which it is.
    """
    return LoadHook(Rules.parse(rules) if isinstance(rules, str) else rules)


class LoadHook:
    """What ``load_hook`` makes. ``ckptnames.load`` finds the rules in it."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._added: list[tuple[MutableMapping[str, Any], str]] = []

    def __call__(
        self,
        module: nn.Module,
        state_dict: MutableMapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        *_: Any,
    ) -> None:
        """Rename the keys of a state dict that torch is about to load into the module."""
        if local_metadata.get(RENAMED):
            return
        values = {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
        names = _names(of_state_dict(values), predict_live(module), self.rules)
        if names is None:
            return
        for key in values:
            del state_dict[prefix + key]
        state_dict.update((prefix + name, values[key]) for key, after in names.items() for name in after)
        self._move_versions(module, getattr(state_dict, "_metadata", None), names)

    def _move_versions(
        self, module: nn.Module, metadata: MutableMapping[str, Any] | None, names: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Let torch find the versions under the new paths, in a dict that is the caller's: only until it is done."""
        if metadata is None:
            return
        hooks = module._load_state_dict_post_hooks.values()
        if not any(isinstance(hook, _Restore) for hook in hooks):
            module.register_load_state_dict_post_hook(_Restore(self))  # type: ignore[no-untyped-call]
        paths, _ = renamed_modules(metadata, names)
        for old, said in list(metadata.items()):
            for path in paths.get(old, ()):
                if path not in metadata:
                    metadata[path] = said
                    self._added.append((metadata, path))

    def restore(self) -> None:
        """Take out of the caller's metadata what was added."""
        for metadata, path in self._added:
            metadata.pop(path, None)
        self._added.clear()


class _Restore:
    """Runs when the module is loaded."""

    def __init__(self, hook: LoadHook) -> None:
        self._hook = hook

    def __call__(self, *_: Any) -> None:
        self._hook.restore()


def _names(source: Manifest, target: Manifest, rules: Rules) -> Mapping[str, tuple[str, ...]] | None:
    """Give the new names of each key, or ``None`` where they are new already."""
    planned = plan(source, rules)
    if all(after == (key,) for key, after in planned.renames.items()):
        return None
    weights = {key for key, info in target.items() if not is_droppable(key, info, target)}
    if weights <= source.keys():
        if weights <= planned.mapping.keys():
            moved = [(key, after) for key, after in planned.renames.items() if after != (key,)]
            raise ExchangedNames("", [(key, ", ".join(after)) for key, after in moved])
        return None
    planned.check()
    return planned.renames


def hooks_of(model: nn.Module) -> Iterator[tuple[nn.Module, LoadHook]]:
    """Find the hooks of a model, with the modules that they are registered on."""
    for module in model.modules():
        for hook in module._load_state_dict_pre_hooks.values():
            found = getattr(hook, "hook", hook)
            if isinstance(found, LoadHook):
                yield module, found


def rules_of_hooks(model: nn.Module) -> Rules | None:
    """Give the rules of the hook on the model itself, inside its wrappers."""
    inner = unwrapped(model)
    return next((hook.rules for module, hook in hooks_of(model) if module is inner), None)
