"""The names that a model's ``state_dict()`` will have, before anything is trained or saved."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ckptnames.errors import OptionNotSupported

if TYPE_CHECKING:
    from torch import nn

    from ckptnames.manifest import Manifest


def predict(model: nn.Module | str, wrap: Sequence[str] = (), static: bool = False) -> Manifest:
    """Say which keys ``model.state_dict()`` will have, in order, with dtypes, shapes and ties; no tensor is copied.

    ``model`` is a module, or says where one is: ``"file.py:Net"``, ``"package.module:name(kwarg=1)"``. ``wrap`` names
    what wraps it, from the inside out, at the root or at a submodule: ``["compile@encoder", "ddp"]``.

    >>> from torch import nn
    >>> list(predict(nn.Linear(4, 10), wrap=["ddp"]))
    ['module.weight', 'module.bias']
    """
    if static:
        raise OptionNotSupported("static=True", "leave it out: the model is built without memory for its tensors")
    from ckptnames.predict.live import predict_live

    module = _built(model) if isinstance(model, str) else model
    if not wrap:
        return predict_live(module)
    from ckptnames.predict.wrappers import says_of, wrapped

    wrap = [wrap] if isinstance(wrap, str) else list(wrap)
    found = predict_live(wrapped(module, wrap))
    return replace(found, name=type(module).__name__, notes=(*found.notes, *says_of(wrap)))


def _built(text: str) -> nn.Module:
    try:
        from ckptnames.predict.building import build  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise OptionNotSupported(f"a model by its name ('{text}')", "build it, and pass the module") from None
    module: nn.Module = build(text)
    return module


class _Room(ModuleType):
    """A package that is the verb, too: importing one of its modules binds ``ckptnames.predict`` to it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Manifest:
        return predict(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
