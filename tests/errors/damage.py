"""Files of torch that are damaged, or ask for too much."""

from __future__ import annotations

from pathlib import Path

import torch

import ckptnames
from ckptnames import errors
from tests.errors.made import LEGACY_MAGIC, edited, save
from tests.errors.raising import raises


@raises(errors.ZipCutShort)
def a_zip_cut_short() -> None:
    """
    error[corrupt-checkpoint]: the file is cut short: it begins as a zip archive, and its 1,000 bytes end before the directory
      --> model.pt
      help: get the file again: the download, copy or save that made it did not finish
    """
    save("whole.pt", "w")
    Path("model.pt").write_bytes(Path("whole.pt").read_bytes()[:1000])
    ckptnames.read("model.pt")


@raises(errors.CorruptZip)
def a_zip_with_a_wrong_directory() -> None:
    """
    error[corrupt-checkpoint]: the zip archive is damaged: record 0 of its directory is none
      --> model.pt
      help: get the file again from where it came
    """
    save("model.pt", "w")
    data = Path("model.pt").read_bytes()
    Path("model.pt").write_bytes(data.replace(b"PK\1\2", b"PK\0\0", 1))
    ckptnames.read("model.pt")


@raises(errors.PickleCutShort)
def a_pickle_that_breaks_off() -> None:
    """
    error[corrupt-checkpoint]: the file is cut short inside its pickle: it ends before its STOP
      --> model.pt, archive/data.pkl
      help: get the file again: the download, copy or save that made it did not finish
    """
    edited("model.pt", {"data.pkl": b"\x80\x02}q\x00X\x01\x00\x00\x00w"})
    ckptnames.read("model.pt")


@raises(errors.MalformedPickle)
def a_broken_pickle_that_names_something() -> None:
    """
    error[corrupt-checkpoint]: the pickle breaks at byte 13: BINGET asks for a value that was never kept
      --> model.pt, archive/data.pkl
      it names 'os.system'; nothing of it was run
      help: get the file again from where it came: it is damaged, or was not written by torch.save
    """
    edited("model.pt", {"data.pkl": b"\x80\x02cos\nsystem\nh\x09."})
    ckptnames.read("model.pt")


@raises(errors.PickleLimit)
def a_pickle_beyond_all_measure() -> None:
    """
    error[pickle-limit]: the pickle has 2,000 bytes in one number: at most 1,024 are read
      --> model.pt
      help: save the state dict alone, and read that: torch.save(model.state_dict(), 'weights.pt')
    """
    Path("model.pt").write_bytes(b"\x80\x02\x8b" + (2000).to_bytes(4, "little") + bytes(2000) + b".")
    ckptnames.read("model.pt")


@raises(errors.MalformedTensor)
def a_tensor_of_negative_size() -> None:
    """
    error[corrupt-checkpoint]: 'w' is no tensor: 'torch._utils._rebuild_tensor_v2' is called with what torch never writes
      --> model.pt
      help: get the file again from where it came: it is damaged, or was not written by torch.save
    """
    edited("model.pt", old=b"K\x02\x85", new=b"J\xff\xff\xff\xff\x85")
    ckptnames.read("model.pt")


@raises(errors.TensorBeyondStorage)
def a_tensor_beyond_its_storage() -> None:
    """
    error[corrupt-checkpoint]: 'w' reaches to byte 36 of storage '0', which has 8
      --> model.pt
      help: get the file again from where it came: it is damaged
    """
    edited("model.pt", old=b"K\x02\x85", new=b"K\x09\x85")
    ckptnames.read("model.pt")


@raises(errors.StorageNotThere)
def a_storage_that_is_not_there() -> None:
    """
    error[corrupt-checkpoint]: storage '0' of 8 bytes is not in the file
      --> model.pt
      help: get the file again: the download, copy or save that made it did not finish
    """
    edited("model.pt", {"data/0": None})
    ckptnames.read("model.pt")


@raises(errors.StorageNotThere)
def a_storage_that_is_too_short() -> None:
    """
    error[corrupt-checkpoint]: storage '0' of 8 bytes has 5 bytes in the file
      --> model.pt
      help: get the file again: the download, copy or save that made it did not finish
    """
    edited("model.pt", {"data/0": bytes(5)})
    ckptnames.read("model.pt")


@raises(errors.LegacyCutShort)
def a_legacy_file_cut_short() -> None:
    """
    error[corrupt-checkpoint]: the file is cut short: storage 1 of 1 goes to byte 8,351, the file has 7,351
      --> model.pt
      help: get the file again: the download, copy or save that made it did not finish
    """
    torch.save({"w": torch.zeros(2000)}, "whole.pt", _use_new_zipfile_serialization=False)
    Path("model.pt").write_bytes(Path("whole.pt").read_bytes()[:-1000])
    ckptnames.read("model.pt")


@raises(errors.PickleCutShort)
def a_legacy_file_cut_short_before_its_storages() -> None:
    """
    error[corrupt-checkpoint]: the file is cut short inside its pickle: it ends before its STOP
      --> model.pt, its object
      it names 'torch._utils._rebuild_tensor_v2'; nothing of it was run
      help: get the file again: the download, copy or save that made it did not finish
    """
    torch.save({"w": torch.zeros(2)}, "whole.pt", _use_new_zipfile_serialization=False)
    Path("model.pt").write_bytes(Path("whole.pt").read_bytes()[:200])
    ckptnames.read("model.pt")


@raises(errors.MalformedLegacy)
def a_legacy_file_of_another_protocol() -> None:
    """
    error[corrupt-checkpoint]: the legacy torch file is damaged: its protocol is int 7, not 1001
      --> model.pt
      help: get the file again from where it came
    """
    Path("model.pt").write_bytes(LEGACY_MAGIC + b"\x80\x02K\x07.")
    ckptnames.read("model.pt")
