"""Files of safetensors that are damaged: safetensors refuses each of them too."""

from __future__ import annotations

from pathlib import Path

import ckptnames
from ckptnames import errors
from tests.errors.made import entry, safetensors
from tests.errors.raising import raises


@raises(errors.CutShort)
def a_payload_cut_short() -> None:
    """
    error[corrupt-checkpoint]: the file is cut short: its header speaks of 8,075 bytes, the file has 3,075
      --> m.safetensors
      help: get the file again: the last 5,000 bytes are missing
    """
    safetensors("m.safetensors", {"w": entry(0, 8000, shape=[2000])}, bytes(3000))
    ckptnames.read("m.safetensors")


@raises(errors.CutShort)
def a_header_cut_short() -> None:
    """
    error[corrupt-checkpoint]: the file is cut short: its header speaks of 5,008 bytes, the file has 13
      --> m.safetensors
      help: get the file again: the last 4,995 bytes are missing
    """
    Path("m.safetensors").write_bytes((5000).to_bytes(8, "little") + b'{"w":')
    ckptnames.read("m.safetensors")


@raises(errors.HeaderTooLong)
def a_header_beyond_the_limit() -> None:
    """
    error[corrupt-checkpoint]: the header is said to be 200,000,000 bytes long; at most 100,000,000 are allowed
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    Path("m.safetensors").write_bytes((200_000_000).to_bytes(8, "little") + b'{"w":')
    ckptnames.read("m.safetensors")


@raises(errors.MalformedHeader)
def a_header_that_is_no_json() -> None:
    """
    error[corrupt-checkpoint]: the header of the file is malformed: Expecting value: line 1 column 8 (char 7)
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", b'{"w": [')
    ckptnames.read("m.safetensors")


@raises(errors.MalformedEntry)
def an_entry_without_a_range() -> None:
    """
    error[corrupt-checkpoint]: data_offsets of tensor 'w' is '0-8', not the two positions where its bytes begin and end
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"w": {"dtype": "F32", "shape": [2], "data_offsets": "0-8"}}, bytes(8))
    ckptnames.read("m.safetensors")


@raises(errors.UnknownDtype)
def an_unknown_dtype() -> None:
    """
    error[corrupt-checkpoint]: tensor 'w' has the unknown dtype 'FLOAT'
      --> m.safetensors
      help: write it again with a dtype that safetensors has, such as F32, F16, BF16, I64: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"w": entry(0, 8, dtype="FLOAT")}, bytes(8))
    ckptnames.read("m.safetensors")


@raises(errors.WrongByteCount)
def a_range_of_another_length() -> None:
    """
    error[corrupt-checkpoint]: tensor 'w' needs 8 bytes (F32 2), but its range 0..12 has 12
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"w": entry(0, 12)}, bytes(12))
    ckptnames.read("m.safetensors")


@raises(errors.TensorTooLarge)
def a_shape_that_ends_inside_a_byte() -> None:
    """
    error[corrupt-checkpoint]: tensor 'w' (F4 3) takes 12 bits, which are no whole bytes
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"w": entry(0, 2, dtype="F4", shape=[3])}, bytes(2))
    ckptnames.read("m.safetensors")


@raises(errors.TensorTooLarge)
def a_shape_beyond_all_measure() -> None:
    """
    error[corrupt-checkpoint]: tensor 'w' (F32 1099511627776×1099511627776) has more elements than any file can hold
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"w": entry(0, 8, shape=[1 << 40, 1 << 40])}, bytes(8))
    ckptnames.read("m.safetensors")


@raises(errors.Hole)
def bytes_that_nobody_claims() -> None:
    """
    error[corrupt-checkpoint]: bytes 8..16 before tensor 'b' are claimed by no tensor
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"a": entry(0, 8), "b": entry(16, 24)}, bytes(24))
    ckptnames.read("m.safetensors")


@raises(errors.Overlap)
def bytes_that_two_claim() -> None:
    """
    error[corrupt-checkpoint]: tensors 'a' and 'b' overlap: both claim bytes 4..8
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"a": entry(0, 8), "b": entry(4, 12)}, bytes(12))
    ckptnames.read("m.safetensors")


@raises(errors.Overlap)
def an_empty_tensor_inside_another() -> None:
    """
    error[corrupt-checkpoint]: tensor 'b' has no bytes, and its place is byte 4, inside tensor 'a'
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"a": entry(0, 8), "b": entry(4, 4, shape=[0])}, bytes(8))
    ckptnames.read("m.safetensors")


@raises(errors.TrailingBytes)
def bytes_after_the_last_tensor() -> None:
    """
    error[corrupt-checkpoint]: 1,000 bytes follow the last tensor: the header speaks of 77 bytes, the file has 1,077
      --> m.safetensors
      help: get the file again from where it came: safetensors itself refuses it too
    """
    safetensors("m.safetensors", {"w": entry(0, 8)}, bytes(1008))
    ckptnames.read("m.safetensors")


@raises(errors.DuplicateKey)
def a_name_that_stands_twice() -> None:
    """
    error[duplicate-key]: the key 'w' stands twice in this file
      --> m.safetensors
      help: write the checkpoint again: readers differ in which of the two they take
    """
    one = b'"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'
    safetensors("m.safetensors", b"{" + one + b", " + one + b"}", bytes(8))
    ckptnames.read("m.safetensors")
