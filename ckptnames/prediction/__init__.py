"""The names that a model's ``state_dict()`` will have, before anything is trained or saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ckptnames.prediction.locating import is_read, require_torch

if TYPE_CHECKING:
    from torch import nn

    from ckptnames.manifest import Manifest


def predict(model: nn.Module | str, wrap: Sequence[str] = (), static: bool = False) -> Manifest:
    """Say which keys ``model.state_dict()`` will have, in order, with dtypes, shapes and ties; no tensor is copied.

    ``model`` is a module, or says where one is: ``"file.py:Net"``, ``"package.module:name(kwarg=1)"``. ``wrap`` names
    what wraps it, from the inside out, at the root or at a submodule: ``["compile@encoder", "ddp"]``. With ``static``
    the code of a model that is named is read, and no line of it runs; so it always is at a git revision,
    ``"git:HEAD~1:file.py:Net"``. What the code does not tell is in the manifest's ``open``.

    >>> from torch import nn
    >>> list(predict(nn.Linear(4, 10), wrap=["ddp"]))
    ['module.weight', 'module.bias']
    """
    if isinstance(model, str) and is_read(model, static):
        from ckptnames.prediction.static.answer import Answer

        return Answer(model).manifest(wrap)
    from ckptnames.prediction.live import predict_live

    module = _built(model) if isinstance(model, str) else model
    if not wrap:
        found = predict_live(module)
        return replace(found, name=model) if isinstance(model, str) else found
    from ckptnames.prediction.wrappers import says_of, wrapped

    wrap = [wrap] if isinstance(wrap, str) else list(wrap)
    found = predict_live(wrapped(module, wrap))
    # It has no name: that of the model would say less than what it is wrapped in.
    return replace(found, notes=(*found.notes, *says_of(wrap)))


def _built(text: str) -> nn.Module:
    require_torch(text)
    from ckptnames.prediction.building import build

    return build(text)
