"""What SOURCE and TARGET may be: a path, ``PATH#container``, a model named in text, or an object in memory."""

from __future__ import annotations

import sys

from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.reading import Opened, Readable, open_path
from ckptnames.formats.reading import manifest_of as _manifest_of
from ckptnames.manifest import Manifest
from ckptnames.prediction.locating import ModelOperand, model_named, require_torch


def open_operand(text: str) -> Opened:
    """Open what a text names: a checkpoint, and the container of it that was asked for, if one was.

    In this order: an existing path, and ``PATH#container`` of one; ``scheme://…``; ``git:REV:PATH.py:NAME``;
    ``file.py:NAME``; ``package.module:NAME``, which import the model's code and build it.

    >>> open_operand("fixtures/example/model.safetensors").checkpoint.format
    'safetensors'

    Raises ``no-such-path``, ``operand-not-supported``, ``torch-missing``, and what reading and building raise.
    """
    operand = model_named(text)
    return Opened(_open_model(operand), None) if operand is not None else open_path(text)


def manifest_of(source: Readable) -> Manifest:
    """Give the manifest of a path, a model in memory or named in text, a manifest, or a state dict.

    >>> list(manifest_of({"fc.bias": 1.0}))
    ['fc.bias']

    Raises what ``open_operand`` raises, and ``not-a-state-dict``.
    """
    if isinstance(source, str):
        checkpoint, container = open_operand(source)
        return checkpoint.manifest(container)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        from ckptnames.prediction.live import predict_live

        return predict_live(source)
    return _manifest_of(source)


def _open_model(operand: ModelOperand) -> Checkpoint:
    require_torch(operand.text)
    from ckptnames.prediction.as_checkpoint import as_checkpoint
    from ckptnames.prediction.building import build
    from ckptnames.prediction.live import predict_live

    return as_checkpoint(predict_live(build(operand.text)), operand.text)
