"""What cannot be written, and what was written wrong. Whatever happens, the source stays and no file is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import ckptnames
from ckptnames import errors
from ckptnames.cli import main
from ckptnames.fixing.readback import read_back
from ckptnames.formats import writing
from ckptnames.formats.pieces import Slice
from ckptnames.formats.recognise import open_checkpoint
from tests.errors.made import Malicious, edited, index, manifest, save, weights
from tests.errors.raising import command, raises

STRIP = ("--strip", "module", "-o")


def sharded(folder: str, *keys: str) -> None:
    """Write a folder with one shard and its index."""
    shard = "model-00001-of-00001.safetensors"
    Path(folder).mkdir(parents=True)
    save_file(weights(*keys), f"{folder}/{shard}")
    index(f"{folder}/model.safetensors.index.json", dict.fromkeys(keys, shard))


@raises(errors.CannotRewrite)
def names_without_tensors() -> None:
    """
    error[cannot-rewrite]: this is a manifest: it names tensors and holds none
      --> names.json
      help: name the checkpoint that it was made from. Nothing was written
    """
    manifest("names.json", **{"module.w": [2]})
    command("fix", "names.json", *STRIP, "out.json")


@raises(errors.ModelNotRewritten)
def a_model_to_be_renamed() -> None:
    """
    error[cannot-rewrite]: this is a model: it has names, and no file in which they could change
      --> model.py:Net
      help: name a checkpoint there, and the model as what its names must become: --like model.py:Net. Nothing was written
    """
    command("fix", "model.py:Net", "--add", "module", "-o", "out.pt")


@raises(errors.ModuleNames)
def a_module_that_was_pickled_whole() -> None:
    """
    error[cannot-rewrite]: this is a whole nn.Module, pickled: its names are the names of its attributes
      --> it's whole.pt
      help: save its state dict from code that knows its class, and rename that: torch.save(model.state_dict(), 'weights.pt'). Nothing was written
    """
    torch.save(nn.Sequential(OrderedDict(fc=nn.Linear(2, 2))), "it's whole.pt")
    command("fix", "it's whole.pt", "--add", "net", "-o", "out.pt")


@raises(errors.ModuleNames)
def a_module_that_would_run_something() -> None:
    """
    error[cannot-rewrite]: this is a whole nn.Module, pickled: its names are the names of its attributes
      --> whole.pt
      it names 'posix.system'; nothing of it was run
      help: do not load this file, which would run what it names: get the weights from a source you trust. Nothing was written
    """
    torch.save({"model": nn.Linear(2, 2), "hook": Malicious()}, "whole.pt")
    command("fix", "whole.pt", "--add", "net", "-o", "out.pt")


@raises(errors.UneditablePickle)
def a_key_that_the_pickle_writes_twice() -> None:
    """
    error[cannot-edit-pickle]: the names in this pickle cannot be changed alone: it writes the key 'w' more than once
      --> model.pt
      help: load it with torch, save its state dict alone, and rename that. Nothing was written
    """
    key = b"X\x01\x00\x00\x00w"
    edited("model.pt", old=b"}q\x00" + key, new=b"}q\x00" + key + b"Ns" + key)
    command("fix", "model.pt", "--add", "net", "-o", "out.pt")


@raises(errors.OutputExists)
def an_output_that_exists() -> None:
    """
    error[output-exists]: 'my model.pt' exists
      --> my model.pt
      help: choose another name, as in: -o 'my model-3.pt'. Nothing was written
    """
    save("ddp.pt", "module.w")
    for taken in ("my model.pt", "my model-2.pt"):
        Path(taken).write_text("mine")
    try:
        command("fix", "ddp.pt", *STRIP, "my model.pt")
    finally:
        assert Path("my model.pt").read_text() == "mine"


@raises(errors.OutputHoldsMore)
def a_folder_that_holds_more() -> None:
    """
    error[output-holds-more]: replacing 'out' would lose 1 file that the new checkpoint does not have
      --> out
      thesis.tex
      help: choose another name, as in: -o out-2. Nothing was written
    """
    shards("llama")
    Path("out").mkdir()
    Path("out/thesis.tex").touch()
    command("fix", "llama", *STRIP, "out", "--force")


def shards(folder: str) -> None:
    Path(folder).mkdir()
    names = {f"module.{key}": f"model-0000{n}-of-00002.safetensors" for n, key in enumerate("ab", 1)}
    for key, name in names.items():
        save_file(weights(key), f"{folder}/{name}")
    index(f"{folder}/model.safetensors.index.json", names)


@raises(errors.OutputIsSource)
def the_source_itself() -> None:
    """
    error[output-is-source]: 'ddp.pt' is the source
      --> ddp.pt
      help: choose another name, as in: -o ddp-2.pt. Nothing was written
    """
    save("ddp.pt", "module.w")
    command("fix", "ddp.pt", *STRIP, "ddp.pt", "--force")


@raises(errors.OutputIsSource)
def the_source_under_another_name() -> None:
    """
    error[output-is-source]: 'same.pt' is the source 'ddp.pt' under another name
      --> same.pt
      help: choose another name, as in: -o same-2.pt. Nothing was written
    """
    save("ddp.pt", "module.w")
    os.link("ddp.pt", "same.pt")
    ckptnames.fix("ddp.pt", "same.pt", "module.** -> **", force=True)


@raises(errors.OutputOfOtherKind)
def a_folder_for_a_file() -> None:
    """
    error[output-exists]: 'out' is a folder, and the output is a file
      --> out
      help: choose another name, as in: -o out/ddp.pt. Nothing was written
    """
    save("ddp.pt", "module.w")
    Path("out").mkdir()
    command("fix", "ddp.pt", *STRIP, "out")


@raises(errors.OutputOfOtherKind)
def a_file_for_a_folder() -> None:
    """
    error[output-exists]: 'out' is a file, and the output is a folder
      --> out
      help: choose another name, as in: -o out-2. Nothing was written
    """
    shards("llama")
    Path("out").touch()
    command("fix", "llama", *STRIP, "out", "--force")


@raises(errors.FormatMismatch)
def a_name_of_another_format() -> None:
    """
    error[format-mismatch]: the name 'plain.safetensors' promises safetensors, and what is written is torch, like the source
      --> plain.safetensors
      help: names change and formats stay, so write: -o plain.pt. Nothing was written
    """
    save("ddp.pt", "module.w")
    command("fix", "ddp.pt", *STRIP, "plain.safetensors")


@raises(errors.FormatMismatch)
def a_name_of_a_file_for_a_folder() -> None:
    """
    error[format-mismatch]: the name 'llama.safetensors' promises safetensors, and what is written is a folder, like the source
      --> llama.safetensors
      help: names change and formats stay, so write: -o llama-2. Nothing was written
    """
    shards("llama")
    command("fix", "llama", *STRIP, "llama.safetensors")


@raises(errors.CannotWrite)
def a_file_where_the_folder_should_be() -> None:
    """
    error[cannot-write]: 'ddp.pt/out.pt' cannot be written: Not a directory
      --> ddp.pt/out.pt
      help: choose an output in a folder that you may write to. Nothing was left behind
    """
    save("ddp.pt", "module.w")
    command("fix", "ddp.pt", *STRIP, "ddp.pt/out.pt")


@raises(errors.CannotWrite)
def a_folder_that_holds_the_source() -> None:
    """
    error[cannot-write]: 'models' cannot be written: the source 'models/llama' stands in it
      --> models
      help: choose another name, as in: -o models-2. Nothing was left behind
    """
    sharded("models/llama", "module.w")
    command("fix", "models/llama", *STRIP, "models", "--force")


@raises(errors.CannotWrite)
def the_folder_above() -> None:
    """
    error[cannot-write]: '..' cannot be written: the output is a new folder, not one that you are in
      --> ..
      help: choose another name, as in: -o ../renamed-2. Nothing was left behind
    """
    sharded("llama", "module.w")
    Path("elsewhere/deep").mkdir(parents=True)
    with contextlib.chdir("elsewhere/deep"):
        command("fix", "../../llama", *STRIP, "..")


@raises(errors.CannotWrite)
def a_link_where_a_folder_should_be() -> None:
    """
    error[cannot-write]: 'latest' cannot be written: it is a link, and the output is a folder
      --> latest
      help: choose another name, as in: -o latest-2. Nothing was left behind
    """
    sharded("llama", "module.w")
    Path("run-7").mkdir()
    Path("latest").symlink_to("run-7")
    command("fix", "llama", *STRIP, "latest", "--force")


@raises(errors.NoFolder)
def a_folder_that_there_is_not() -> None:
    """
    error[cannot-write]: 'new runs/out.pt' cannot be written: there is no folder 'new runs'
      --> new runs/out.pt
      help: make it first: mkdir -p 'new runs'. Nothing was written
    """
    save("ddp.pt", "module.w")
    command("fix", "ddp.pt", *STRIP, "new runs/out.pt")


@raises(errors.NoSpace)
def a_full_disk() -> None:
    """
    error[cannot-write]: 'out.safetensors' needs 72 bytes, and the disk has 12 free
      --> out.safetensors
      help: free some space, or choose an output on another disk. Nothing was left behind
    """
    save_file(weights("module.w"), "ddp.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 12, 12))
        command("fix", "ddp.safetensors", *STRIP, "out.safetensors")


@contextlib.contextmanager
def reading(change: Callable[[memoryview], object]) -> Iterator[None]:
    """Let something happen once when bytes of the source are read for copying."""
    real, changes = writing._parts, iter([change])

    def parts(piece: Slice, source: FileIO, buffer: memoryview) -> Iterator[memoryview]:
        for part in real(piece, source, buffer):
            for once in changes:
                once(part)
            yield part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_parts", parts)
        yield


@raises(errors.SourceChanged)
def a_source_that_is_written_to() -> None:
    """
    error[source-changed]: 'ddp.pt' changed while it was read
      --> ddp.pt
      help: wait until whatever writes to it is done, and run this again. Nothing was left behind
    """
    save("ddp.pt", "module.w")
    with reading(lambda _: os.utime("ddp.pt", (1, 1))):
        command("fix", "ddp.pt", *STRIP, "out.pt")


def flip(buffer: memoryview) -> None:
    buffer[0] ^= 255


@raises(errors.PayloadDiffers)
def a_disk_that_forgets() -> None:
    """
    error[payload-differs]: byte 64 of what was written differs from byte 72 of 'ddp.safetensors'
      --> out.safetensors
      help: check the disk, and write to another one. What was written is removed, and the source is untouched
    """
    save_file(weights("module.w"), "ddp.safetensors")
    with reading(flip):
        command("fix", "ddp.safetensors", *STRIP, "out.safetensors", "--verify")


@contextlib.contextmanager
def read_back_from(other: Callable[[Path], Path]) -> Iterator[None]:
    """Let another file than the one that was written be read back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ckptnames.fixing.readback.open_checkpoint", lambda written: open_checkpoint(other(written)))
        yield


@raises(errors.ReadbackDiffers)
def names_that_are_not_as_planned() -> None:
    """
    error[readback-differs]: the written file reads back wrong: 'module.w' stands where the plan does not put it, or is missing
      --> out.pt
      help: report this as a bug of ckptnames, with what 'ckptnames ls' says of the source. What was written is removed, and the source is untouched
    """
    save("ddp.pt", "module.w")
    with read_back_from(lambda _: Path("ddp.pt")):
        command("fix", "ddp.pt", *STRIP, "out.pt")


@raises(errors.ReadbackFails)
def a_written_file_that_cannot_be_read() -> None:
    """
    error[readback-differs]: the written file cannot be read back: the file is cut short: its header speaks of 72 bytes, the file has 68
      --> out.safetensors
      help: check the disk, and write to another one. What was written is removed, and the source is untouched
    """

    def cut(written: Path) -> Path:
        Path("cut.safetensors").write_bytes(written.read_bytes()[:-4])
        return Path("cut.safetensors")

    save_file(weights("module.w"), "ddp.safetensors")
    with read_back_from(cut):
        command("fix", "ddp.safetensors", *STRIP, "out.safetensors")


@raises(errors.HeaderDiffers)
def a_header_that_is_not_as_written() -> None:
    """
    error[readback-differs]: byte 9 of the written file does not read back as it was written
      --> out.safetensors
      help: check the disk, and write to another one. What was written is removed, and the source is untouched
    """

    def spoiled(source: Any, renames: Any, files: Any, written: Path, out: Path) -> None:
        data = bytearray(written.read_bytes())
        data[9] ^= 1
        written.write_bytes(data)
        read_back(source, renames, files, written, out)

    save_file(weights("module.w"), "ddp.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ckptnames.fixing.fix.read_back", spoiled)
        command("fix", "ddp.safetensors", *STRIP, "out.safetensors")


@raises(errors.UnwritableStdout)
def a_full_disk_behind_stdout() -> None:
    """
    error[unwritable-stdout]: the output cannot be written to stdout: No space left on device
      help: make room, or send the output elsewhere
    """
    save("model.pt", "w")
    seen: list[errors.CkptnamesError] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "talk_error", seen.append)
        # What could not be written is tried again when the file is closed.
        with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("w") as full:
            patch.setattr(sys, "stdout", full)
            assert main.main(["ls", "model.pt"]) == 2
    raise seen[0]
