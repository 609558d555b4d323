"""Find out why a PyTorch checkpoint does not load, and mend its names.

A checkpoint is a ``Manifest``: keys with shapes and dtypes. ``Rules`` turn the keys of one manifest into those of
another. A ``Plan`` says what will happen to every key before any byte moves.

Importing this package imports neither torch nor click: what is named below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptnames.diffs import Diff, diff
    from ckptnames.errors import CkptnamesError
    from ckptnames.fixing.fix import fix
    from ckptnames.fixing.planning import plan
    from ckptnames.formats.reading import read
    from ckptnames.inference.infer import infer
    from ckptnames.inference.inference import Inference
    from ckptnames.loading.hook import load_hook
    from ckptnames.loading.load import load
    from ckptnames.loading.loaded import LoadReport
    from ckptnames.loading.migrations import Migrations, migrations
    from ckptnames.loading.optimizers import remap_optimizer
    from ckptnames.loading.remap import remap
    from ckptnames.loading.saving import canonical_state_dict, save
    from ckptnames.manifest import Manifest, TensorInfo
    from ckptnames.prediction import predict
    from ckptnames.prediction.canonical import canonical
    from ckptnames.rules import Plan, Rules

__version__ = "0.1.0"

__all__ = [
    "CkptnamesError",
    "Diff",
    "Inference",
    "LoadReport",
    "Manifest",
    "Migrations",
    "Plan",
    "Rules",
    "TensorInfo",
    "canonical",
    "canonical_state_dict",
    "diff",
    "fix",
    "infer",
    "load",
    "load_hook",
    "migrations",
    "plan",
    "predict",
    "read",
    "remap",
    "remap_optimizer",
    "save",
]

_HOMES = {
    "CkptnamesError": "ckptnames.errors",
    "Diff": "ckptnames.diffs",
    "Inference": "ckptnames.inference.inference",
    "LoadReport": "ckptnames.loading.loaded",
    "Manifest": "ckptnames.manifest",
    "Migrations": "ckptnames.loading.migrations",
    "Plan": "ckptnames.rules",
    "Rules": "ckptnames.rules",
    "TensorInfo": "ckptnames.manifest",
    "canonical": "ckptnames.prediction.canonical",
    "canonical_state_dict": "ckptnames.loading.saving",
    "diff": "ckptnames.diffs",
    "fix": "ckptnames.fixing.fix",
    "infer": "ckptnames.inference.infer",
    "load": "ckptnames.loading.load",
    "load_hook": "ckptnames.loading.hook",
    "migrations": "ckptnames.loading.migrations",
    "plan": "ckptnames.fixing.planning",
    "predict": "ckptnames.prediction",
    "read": "ckptnames.formats.reading",
    "remap": "ckptnames.loading.remap",
    "remap_optimizer": "ckptnames.loading.optimizers",
    "save": "ckptnames.loading.saving",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ckptnames' has no attribute '{name}'")
    from importlib import import_module

    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
