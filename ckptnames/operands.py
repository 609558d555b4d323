"""What SOURCE and TARGET may be: a path, ``PATH#container``, a model named in text, or an object in memory."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from ckptnames.errors import OperandNotSupported
from ckptnames.errors_predict import ModelAtRevision, ModelNotNamed
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.reading import Opened, Readable, open_path
from ckptnames.formats.reading import manifest_of as _manifest_of
from ckptnames.manifest import Manifest
from ckptnames.predict.importing import Source
from ckptnames.predict.locating import ModelOperand, model_operand, require_torch

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_AT_REVISION = re.compile(r"git:(?P<revision>.+?):(?P<model>.+\.py:.+)", re.DOTALL)


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


def model_named(text: str) -> ModelOperand | None:
    """Tell which model a text names; ``None`` where it is to be a path.

    Raises ``operand-not-supported``, ``model-not-named``.
    """
    if not text or Path(text).exists() or Path(text.rpartition("#")[0] or text).exists():
        if text.endswith(".py") and Path(text).is_file():
            raise ModelNotNamed(text, [f"{text}:{name}" for name in Source(text).models])
        return None
    if _URL.match(text):
        raise OperandNotSupported(text, "a URL", "download it, and give the path of the file")
    at_revision = _AT_REVISION.fullmatch(text)
    if at_revision:
        raise ModelAtRevision(text, at_revision["revision"], at_revision["model"])
    return model_operand(text)


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
        from ckptnames.predict.live import predict_live

        # A model in memory has no name that could be pasted into a command.
        return replace(predict_live(source), name="")
    return _manifest_of(source)


def _open_model(operand: ModelOperand) -> Checkpoint:
    require_torch(operand.text)
    from ckptnames.predict.as_checkpoint import as_checkpoint
    from ckptnames.predict.building import build
    from ckptnames.predict.live import predict_live

    return as_checkpoint(predict_live(build(operand.text)), operand.text)
