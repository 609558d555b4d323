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
    from ckptnames.loading.remap import remap
    from ckptnames.manifest import Manifest, TensorInfo
    from ckptnames.prediction import predict
    from ckptnames.prediction.canonical import canonical
    from ckptnames.rules import Plan, Rules

__version__ = "0.1.0"

__all__ = [
    "CkptnamesError",
    "Diff",
    "Manifest",
    "Plan",
    "Rules",
    "TensorInfo",
    "canonical",
    "diff",
    "fix",
    "plan",
    "predict",
    "read",
    "remap",
]

_HOMES = {
    "CkptnamesError": "ckptnames.errors",
    "Diff": "ckptnames.diffs",
    "Manifest": "ckptnames.manifest",
    "Plan": "ckptnames.rules",
    "Rules": "ckptnames.rules",
    "TensorInfo": "ckptnames.manifest",
    "canonical": "ckptnames.prediction.canonical",
    "diff": "ckptnames.diffs",
    "fix": "ckptnames.fixing.fix",
    "plan": "ckptnames.fixing.planning",
    "predict": "ckptnames.prediction",
    "read": "ckptnames.formats.reading",
    "remap": "ckptnames.loading.remap",
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
