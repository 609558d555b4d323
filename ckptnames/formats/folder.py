"""Open a folder: the one checkpoint that it holds. Where it holds several, they are listed and none is taken."""

from __future__ import annotations

import shlex
from pathlib import Path

from ckptnames.errors import ForeignFile, NoCheckpointInFolder, SeveralCheckpoints, UnsupportedFormat
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.sharded import open_shards, open_single
from ckptnames.formats.strict_json import Document
from ckptnames.formats.survey import Candidate, Survey, candidate_of_index, folders_with_weights, survey


def open_folder(folder: Path) -> Checkpoint:
    """Open the checkpoint of a folder: its index, or its only file of weights.

    The state of a trainer and an adapter (``adapter_model.*``) step aside for the weights beside them. Raises
    ``several-checkpoints``, ``not-a-checkpoint``, ``unsupported-format``, and what reading the files raises.
    """
    found = survey(folder)
    _refuse_by_name(folder, found)
    candidates = found.candidates or found.adapters
    if not candidates:
        entries = [*found.files, *(f"{name}/" for name in found.folders)]
        raise NoCheckpointInFolder(folder, entries, folders_with_weights(folder))
    if len(candidates) > 1:
        raise SeveralCheckpoints(folder, [(str(folder / each.name), each.what) for each in candidates])
    chosen = candidates[0]
    notes = [f"read from {chosen.name}"]
    if found.candidates:
        notes += [f"beside it, and not read: {each.name}" for each in found.adapters]
    if len(chosen.files) == 1:
        return open_single(folder, chosen.name, tuple(notes))
    if chosen.document is None:
        return open_shards(folder, folder, chosen.files, None, tuple(notes))
    return _of_index(folder, folder, chosen, chosen.document, tuple(notes))


def open_index(path: Path, document: Document) -> Checkpoint:
    """Open the shards that an index names.

    Raises ``invalid-index``, ``unsafe-path``, ``missing-shard``, ``index-mismatch`` and what reading a shard raises.
    """
    return _of_index(path, path.parent, candidate_of_index(path, document), document)


def _of_index(
    path: Path, folder: Path, candidate: Candidate, document: Document, notes: tuple[str, ...] = ()
) -> Checkpoint:
    index, *shards = candidate.files
    return open_shards(path, folder, shards, (index, document), notes)


def _refuse_by_name(folder: Path, found: Survey) -> None:
    """Refuse the folders that are checkpoints of kinds which are not read yet."""
    files = set(found.files)
    consolidate = "save the full state dict from the training code with torch.save, and name that file"
    if ".metadata" in files and any(name.endswith(".distcp") for name in files):
        raise UnsupportedFormat(folder, "a distributed checkpoint (torch.distributed.checkpoint)", consolidate)
    if any(name.endswith(("_model_states.pt", "_optim_states.pt")) for name in files):
        raise UnsupportedFormat(
            folder,
            "a DeepSpeed checkpoint",
            "make one file of it with the zero_to_fp32.py that DeepSpeed leaves beside it, and name that file",
        )
    if "latest" in files and any(name.startswith("global_step") for name in found.folders):
        raise UnsupportedFormat(
            folder,
            "a DeepSpeed checkpoint",
            "make one file of it with its zero_to_fp32.py, and name that file",
        )
    if "latest_checkpointed_iteration.txt" in files or {"metadata.json", "common.pt"} <= files:
        raise UnsupportedFormat(folder, "a Megatron checkpoint", consolidate)
    if "data.pkl" in files and "data" in found.folders:
        raise UnsupportedFormat(
            folder,
            "a file of torch.save that was unpacked",
            f"pack it again, and name that: python -m zipfile -c weights.pt {shlex.quote(str(folder))}",
        )
    if "saved_model.pb" in files:
        raise ForeignFile(folder, "a TensorFlow SavedModel", "name the PyTorch checkpoint of the same model")
