"""Files and folders that are something else than a checkpoint."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import torch

import ckptnames
from ckptnames import errors
from tests.errors.made import Malicious, save
from tests.errors.raising import command, raises


@raises(errors.GitLfsPointer)
def a_git_lfs_pointer() -> None:
    """
    error[not-a-checkpoint]: this is a Git LFS pointer of 102 bytes, not the file of 438,007,537 bytes that it stands for
      --> my repo/model.safetensors
      help: get the file that is meant: git -C 'my repo' lfs pull
    """
    Path("my repo").mkdir()
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 438007537\n"
    Path("my repo/model.safetensors").write_text(text)
    ckptnames.read("my repo/model.safetensors")


@raises(errors.GitAnnexPointer)
def a_git_annex_pointer() -> None:
    """
    error[not-a-checkpoint]: this is a git-annex pointer of 52 bytes, not the file of 438,007,537 bytes that it stands for
      --> my repo/model.pt
      help: get the file that is meant: git -C 'my repo' annex get model.pt
    """
    Path("my repo").mkdir()
    Path("my repo/model.pt").write_text("/annex/objects/MD5E-s438007537--d41d8cd98f00b204.pt\n")
    ckptnames.read("my repo/model.pt")


@raises(errors.HtmlPage)
def a_web_page() -> None:
    """
    error[not-a-checkpoint]: this is an HTML page titled 'Sign in · Hub', not a checkpoint
      --> model.pt
      help: download the file itself: on a model hub the address has '/resolve/' in it, not '/blob/', and a private file needs a login
    """
    Path("model.pt").write_text("<!DOCTYPE html>\n<html><head><title>Sign in &middot; Hub</title></head></html>")
    ckptnames.read("model.pt")


@raises(errors.EmptyFile)
def an_empty_file() -> None:
    """
    error[not-a-checkpoint]: the file is empty (0 bytes)
      --> model.pt
      help: get the file again: the download, copy or save that made it did not finish
    """
    Path("model.pt").touch()
    ckptnames.read("model.pt")


@raises(errors.EmptyFile)
def a_file_of_zeros() -> None:
    """
    error[not-a-checkpoint]: the file begins with zeros (5,000 bytes in all)
      --> model.pt
      help: get the file again: the download, copy or save that made it did not finish
    """
    Path("model.pt").write_bytes(bytes(5000))
    ckptnames.read("model.pt")


@raises(errors.ForeignFile)
def another_format() -> None:
    """
    error[not-a-checkpoint]: this is a GGUF file (llama.cpp), not a PyTorch checkpoint
      --> model.bin
      help: name the PyTorch or safetensors checkpoint of the same model
    """
    Path("model.bin").write_bytes(b"GGUF\x03\0\0\0" + bytes(100))
    ckptnames.read("model.bin")


@raises(errors.JsonWithoutTensors)
def a_configuration_beside_weights() -> None:
    """
    error[not-a-checkpoint]: this is the configuration of BertModel: it lists no tensors
      --> config.json
      its members: architectures, hidden_size
      help: the weights may be beside it: ckptnames ls pytorch_model.bin
    """
    save("pytorch_model.bin", "w")
    Path("config.json").write_text(json.dumps({"architectures": ["BertModel"], "hidden_size": 8}))
    ckptnames.read("config.json")


@raises(errors.JsonWithoutTensors)
def any_other_json() -> None:
    """
    error[not-a-checkpoint]: this is a JSON list: it lists no tensors
      --> results.json
      help: name the file that holds the weights, or what 'ckptnames ls --json' printed
    """
    Path("results.json").write_text("[1, 2]")
    ckptnames.read("results.json")


@raises(errors.PlainText)
def a_text() -> None:
    """
    error[not-a-checkpoint]: this is plain text, not a checkpoint
      --> notes.txt
      it begins: Trained on Tuesday.
      help: name the file that holds the weights
    """
    Path("notes.txt").write_text("\nTrained on Tuesday.\n")
    ckptnames.read("notes.txt")


@raises(errors.PlainText)
def a_message_of_torch_as_target() -> None:
    """
    error[not-a-checkpoint]: this is the message of load_state_dict, not a checkpoint
      --> error.txt
      it begins: RuntimeError: …
      help: to hear what it means: ckptnames diff CHECKPOINT --error error.txt
    """
    save("model.pt", "w")
    Path("error.txt").write_text('RuntimeError: …\n\tMissing key(s) in state_dict: "fc.weight". ')
    command("diff", "model.pt", "error.txt")


@raises(errors.UnknownBytes)
def unknown_bytes() -> None:
    """
    error[not-a-checkpoint]: no checkpoint format begins like this file of 155 bytes
      --> model.pt
      its first bytes: ff fe fd fc fb fa f9 f8 f7 f6 f5 f4 f3 f2 f1 f0
      help: name a file that torch.save or safetensors wrote; if it is one, get it again: this copy is damaged
    """
    Path("model.pt").write_bytes(bytes(range(255, 100, -1)))
    ckptnames.read("model.pt")


@raises(errors.SpecialFile)
def a_pipe() -> None:
    """
    error[not-a-checkpoint]: this is a pipe, not a file
      --> pipe
      help: write its content to a file, and name that
    """
    os.mkfifo("pipe")
    ckptnames.read("pipe")


@raises(errors.NoCheckpointInFolder)
def an_empty_folder() -> None:
    """
    error[not-a-checkpoint]: this folder is empty
      --> run
      help: name the file or folder of the weights
    """
    Path("run").mkdir()
    ckptnames.read("run")


@raises(errors.NoCheckpointInFolder)
def a_folder_of_other_things() -> None:
    """
    error[not-a-checkpoint]: this folder holds no checkpoint, only 1 other thing
      --> run
      log.txt
      help: name the file or folder of the weights
    """
    Path("run").mkdir()
    Path("run/log.txt").write_text("epoch 1")
    ckptnames.read("run")


@raises(errors.NoCheckpointInFolder)
def a_folder_above_the_weights() -> None:
    """
    error[not-a-checkpoint]: this folder holds no checkpoint, only 1 other thing
      --> run
      best of all/
      help: below it there are weights: ckptnames ls 'run/best of all'
    """
    Path("run/best of all").mkdir(parents=True)
    save("run/best of all/model.pt", "w")
    ckptnames.read("run")


@raises(errors.NoTensorsByName)
def no_tensor_by_name() -> None:
    """
    error[not-a-checkpoint]: this file holds no weights by name (dict, 3 entries)
      --> state.pt
      epoch    int 3
      args     dict, 1 entry
      losses   list, 2 entries
      help: name the file that holds the weights; it is often beside this one
    """
    torch.save({"epoch": 3, "args": {"lr": 0.1}, "losses": [1.5, 0.5]}, "state.pt")
    ckptnames.read("state.pt")


@raises(errors.NotWrittenByTorch)
def another_pickle() -> None:
    """
    error[not-a-checkpoint]: torch.save did not write this pickle (dict, 2 entries): it holds no weights
      --> model.pkl
      vocabulary   list, 2 entries
      size         int 2
      help: name the file that holds the weights, as torch.save or safetensors wrote it
    """
    Path("model.pkl").write_bytes(pickle.dumps({"vocabulary": ["a", "b"], "size": 2}))
    ckptnames.read("model.pkl")


@raises(errors.UnsafePickle)
def a_malicious_pickle() -> None:
    """
    error[unsafe-pickle]: this pickle holds no weights, and calls 'posix.system': nothing of it was run
      --> model.pt
      help: delete the file, and get the weights from a source you trust
    """
    Path("model.pt").write_bytes(pickle.dumps(Malicious()))
    try:
        ckptnames.read("model.pt")
    finally:
        assert os.listdir() == ["model.pt"]


@raises(errors.UnsupportedFormat)
def torchscript() -> None:
    """
    error[unsupported-format]: this is a TorchScript archive, which is not read yet
      --> model.pt
      help: save its state dict, and read that: torch.save(torch.jit.load('model.pt').state_dict(), 'weights.pt')
    """
    with zipfile.ZipFile("model.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"model/{name}", b"")
    ckptnames.read("model.pt")


@raises(errors.UnsupportedFormat)
def a_distributed_checkpoint() -> None:
    """
    error[unsupported-format]: this is a distributed checkpoint (torch.distributed.checkpoint), which is not read yet
      --> step-100
      help: save the full state dict from the training code with torch.save, and name that file
    """
    Path("step-100").mkdir()
    for name in (".metadata", "__0_0.distcp"):
        Path("step-100", name).touch()
    ckptnames.read("step-100")
