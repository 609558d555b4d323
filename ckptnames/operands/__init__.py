"""What SOURCE and TARGET may be: a path, ``PATH#container``, a model named in text, or an object in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from ckptnames.errors import NotAStateDict
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.reading import Opened, open_path, read
from ckptnames.manifest import Manifest
from ckptnames.prediction.locating import ModelOperand, is_read, model_named, require_torch


class HasStateDict(Protocol):
    """A model, or whatever else can say its state dict."""

    def state_dict(self) -> Mapping[str, Any]:
        """Give the tensors by name."""


Readable = Manifest | str | os.PathLike[str] | Mapping[str, Any] | HasStateDict
"""What a manifest can be had from; a text is a path, ``PATH#container``, or names a model."""


def open_operand(text: str, static: bool = False) -> Opened:
    """Open what a text names: a checkpoint, and the container of it that was asked for, if one was.

    In this order: an existing path, and ``PATH#container`` of one; ``scheme://…``; ``git:REV:PATH.py:NAME``, whose code
    is read; ``file.py:NAME``; ``package.module:NAME``, which import the model's code and build it, or with ``static``
    read it.

    >>> open_operand("fixtures/example/model.safetensors").checkpoint.format
    'safetensors'

    Raises ``no-such-path``, ``operand-not-supported``, ``torch-missing``, and what reading and building raise.
    """
    operand = model_named(text)
    return Opened(_open_model(operand, static), None) if operand is not None else open_path(text)


def manifest_of(source: Readable) -> Manifest:
    """Give the manifest of a path, a model in memory or named in text, a manifest, or a state dict.

    >>> list(manifest_of({"fc.bias": 1.0}))
    ['fc.bias']

    Raises what ``open_operand`` raises, and ``not-a-state-dict``.
    """
    if isinstance(source, Manifest):
        return source
    if isinstance(source, str):
        checkpoint, container = open_operand(source)
        return checkpoint.manifest(container)
    if isinstance(source, os.PathLike):
        return read(source)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        from ckptnames.prediction.live import predict_live

        return predict_live(source)
    from ckptnames.operands.state_dicts import of_state_dict

    if isinstance(source, Mapping):
        return of_state_dict(source)
    if hasattr(source, "state_dict"):
        return of_state_dict(source.state_dict(), name=type(source).__name__)
    raise NotAStateDict(f"of type '{type(source).__name__}'", [])


def _open_model(operand: ModelOperand, static: bool) -> Checkpoint:
    from ckptnames.prediction.as_checkpoint import as_checkpoint

    if is_read(operand.text, static):
        from ckptnames.prediction.static.answer import Answer

        return as_checkpoint(Answer(operand.text).manifest(), operand.text)
    require_torch(operand.text)
    from ckptnames.prediction.building import build
    from ckptnames.prediction.live import predict_live

    return as_checkpoint(predict_live(build(operand.text)), operand.text)
