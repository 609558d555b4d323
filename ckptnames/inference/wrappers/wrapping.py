"""The segments that wrapper classes add to keys, and keys without them.

Sources: torch's own wrappers as measured on torch 2.13 (``DataParallel``, ``DistributedDataParallel``,
``torch.compile``, FSDP, ``checkpoint_wrapper``, ``AveragedModel``); fairscale (``_fpw_module``), Lightning and
DeepSpeed (``_forward_module``) and Opacus (``_module``) as public issues quote them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

WRAPPERS = {
    "module": "DataParallel or DistributedDataParallel",
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_fpw_module": "fairscale's FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_forward_module": "Lightning Fabric or DeepSpeed",
    "_module": "Opacus",
}

PREFIXES = {
    "model": "the model is an attribute `model` of what was saved, as in Lightning",
    "base_model.model": "PEFT",
    "0.auto_model": "sentence-transformers",
    "0.model": "sentence-transformers",
    "ema_model": "an averaged (EMA) copy",
    "model_ema": "an averaged (EMA) copy",
    "online_model": "the live copy beside an averaged (EMA) one",
}

_WRAPPED = re.compile("|".join(rf"{word}\." for word in WRAPPERS)).search


def may_be_wrapped(key: str) -> bool:
    """Tell quickly whether a key can have a wrapper segment above its last one at all."""
    return _WRAPPED(key) is not None


def unwrapped(key: str) -> str:
    """Leave out every wrapper segment above the last one.

    >>> unwrapped("module.net._orig_mod.fc.weight"), unwrapped("mlp_module.weight")
    ('net.fc.weight', 'mlp_module.weight')
    """
    if not _WRAPPED(key):
        return key
    *path, leaf = key.split(".")
    return ".".join([segment for segment in path if segment not in WRAPPERS] + [leaf])


def maker(prefix: Sequence[str]) -> str:
    """Say which classes make a run of segments, or nothing where the field has no name for it.

    >>> maker(["module", "_orig_mod"])
    'DataParallel or DistributedDataParallel, torch.compile'
    """
    whole = PREFIXES.get(".".join(prefix))
    if whole:
        return whole
    return ", ".join(dict.fromkeys(WRAPPERS[segment] for segment in prefix if segment in WRAPPERS))
