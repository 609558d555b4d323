"""A model where a checkpoint is asked for: its names, which can be compared with and not written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ckptnames.formats.checkpoint import Checkpoint, Container
from ckptnames.manifest import ContainerInfo, Manifest, OpenPart


@dataclass(frozen=True, slots=True)
class ModelCheckpoint(Checkpoint):
    """The names of a model, as a checkpoint with one container."""

    operand: str = ""
    """The model as it was named: a path would make one slash of two in an argument."""
    open: tuple[OpenPart, ...] = ()
    """The parts of which its source does not tell the keys."""

    def manifest(self, name: str | None = None) -> Manifest:
        """Give the manifest, under the name by which the model was given."""
        return replace(Checkpoint.manifest(self, name), name=self.operand, partial=bool(self.open), open=self.open)


def as_checkpoint(manifest: Manifest, operand: str) -> ModelCheckpoint:
    """Make a checkpoint of what was predicted.

    >>> as_checkpoint(Manifest({}, format="model"), "model.py:Net").manifest().name
    'model.py:Net'
    """
    container = Container(ContainerInfo("", len(manifest)), manifest.tensors, manifest.other, manifest.ties)
    again = {key for tie in manifest.ties for key in tie[1:]}
    n_bytes = sum(info.nbytes or 0 for key, info in manifest.items() if key not in again)
    return ModelCheckpoint(
        Path(operand),
        manifest.format,
        n_bytes,
        (container,),
        notes=manifest.notes,
        operand=operand,
        open=manifest.open,
    )
