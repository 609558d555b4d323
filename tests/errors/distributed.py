"""Loads from folders of shards, and what ranks tell each other."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_saver import save

from ckptnames import errors
from ckptnames.loading.distributed import as_ckptnames_errors, load_sharded
from tests.errors.raising import raises


def distcp(folder: str, *keys: str, n: int = 2, dtype: torch.dtype = torch.float32) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save({key: torch.ones(n, n, dtype=dtype) for key in keys}, checkpoint_id=folder)


class Runs:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch owned",)


def model(*names: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    found = nn.Module()
    for name in names:
        setattr(found, name, nn.Parameter(torch.zeros(2, 2, dtype=dtype), requires_grad=dtype.is_floating_point))
    return found


@raises(errors.IncompleteTensor)
def files_of_two_saves() -> None:
    """
    error[incomplete-tensor]: the parts of 1 tensor do not make it up
      --> run
      head   8 of 4 elements in 2 parts
      help: leave one checkpoint in the folder: files of two saves, or a shard too few, stand in it. Nothing was loaded
    """
    Path("run").mkdir()
    for name in ("model-00001.safetensors", "model-old.safetensors"):
        save_file({"head": torch.ones(2, 2)}, f"run/{name}")
    load_sharded(model("head"), "run")


@raises(errors.UnsafeMetadata)
def metadata_that_runs_something() -> None:
    """
    error[unsafe-pickle]: its pickle names 'posix.system', which no distributed checkpoint needs: nothing of it was run
      --> run/.metadata
      help: delete the folder, and get the weights from a source you trust. Nothing was loaded
    """
    Path("run").mkdir()
    Path("run/.metadata").write_bytes(pickle.dumps(Runs()))
    try:
        load_sharded(model("head"), "run")
    finally:
        assert not Path("owned").exists()


@raises(errors.UnsupportedFormat)
def a_folder_without_shards() -> None:
    """
    error[unsupported-format]: this is no folder of shards, which is not read yet
      --> run
      help: name a folder of .distcp files or of safetensors
    """
    Path("run").mkdir()
    load_sharded(model("head"), "run")


@raises(errors.RankInterrupted)
def a_disk_that_fails() -> None:
    """
    error[load-interrupted]: rank 0 failed midway: 1 tensor of this rank is overwritten
      rank 0: OSError: [Errno 5] Input/output error
      overwritten: a
      help: mend what is said of the first, and load again: the model is part old and part new
    """
    distcp("run", "a", "b")
    slice_file = FileSystemReader._slice_file
    calls: list[int] = []

    def failing(self: FileSystemReader, *args: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        return slice_file(self, *args)

    with patch.object(FileSystemReader, "_slice_file", failing):
        load_sharded(model("a", "b"), "run")


@raises(errors.RankFailed)
def ranks_that_fail_differently() -> None:
    """
    error[rank-failed]: ranks 1, 3 failed while planning
      rank 1: FileNotFoundError: [Errno 2] No such file or directory: '/data/run'
      rank 3: MemoryError
      help: mend what is said of the first, and start all ranks again. Nothing was loaded
    """
    lost: Any = FileNotFoundError(2, "No such file or directory", "/data/run"), None
    full: Any = MemoryError(), None
    with as_ckptnames_errors():
        raise CheckpointException("plan", {3: full, 1: lost})


@raises(errors.RanksParted)
def a_rank_that_ended() -> None:
    """
    error[rank-failed]: the ranks lost each other: Read error [127.0.0.1]:2397: Connection reset by peer
      help: look for the first error in the output of the other ranks, and start all ranks again. Nothing was loaded
    """
    with as_ckptnames_errors():
        raise RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:2397: "
            "Connection reset by peer. This is typically caused by a remote worker hanging"
        )
