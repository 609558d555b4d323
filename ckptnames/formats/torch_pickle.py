"""What a torch file is, once its pickle is read: containers, what else it holds, what torch would stop at."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ckptnames.errors import FileError, NoTensorsByName, UnsafePickle, UnsupportedFormat, say_what_it_names
from ckptnames.formats.blocked import blocked, runs_code
from ckptnames.formats.checkpoint import BlockedGlobal, Container
from ckptnames.formats.containers import survey
from ckptnames.formats.contents import describe
from ckptnames.formats.pickle_machine import Reading
from ckptnames.formats.pickle_stack import Buffer
from ckptnames.formats.torch_tensors import TensorReader
from ckptnames.manifest import ContainerInfo
from ckptnames.wording import not_run

_PROTOCOL = 0x80
_NEWEST_READ_BY_TORCH = 3
_PARTS = ("DTensor", "ShardedTensor")


class Inside(NamedTuple):
    """The part of a `Checkpoint` that the pickle decides."""

    containers: tuple[Container, ...]
    minor: tuple[Container, ...]
    contents: tuple[tuple[str, str], ...]
    blocked: tuple[BlockedGlobal, ...]
    notes: tuple[str, ...]


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """Map a file into memory for as long as it is read."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            yield b""
            return
        with data:
            yield data


def inside(path: Path, reading: Reading, reader: TensorReader) -> Inside:
    """Find the containers in what the pickle of a file says, and describe the rest.

    Raises ``not-a-checkpoint`` where there is no tensor by name, ``unsafe-pickle`` where there is a call that runs
    something instead, ``corrupt-checkpoint`` where a tensor is not as it should be.
    """
    with naming(reading):
        found = survey(reading.value, reader)
    dangerous = runs_code(reading.globals)
    if not found.containers:
        if dangerous:
            raise UnsafePickle(path, dangerous)
        raise NoTensorsByName(path, describe(reading.value), [(at, what) for at, what in found.contents if at])
    notes = found.notes
    if any(each.name in _PARTS and each.module.startswith("torch.distributed.") for each in reading.globals):
        notes = (
            "it has tensors of which it holds the part of one process; their shapes are those of the whole",
            *notes,
        )
    if dangerous:
        notes = (not_run(dangerous), *notes)
    containers, minor = (
        tuple(Container(ContainerInfo(f.name, len(f.tensors), f.role), f.tensors, f.other) for f in each)
        for each in (found.containers, found.minor)
    )
    return Inside(containers, minor, found.contents, blocked(reading.globals, reading.filled), notes)


@contextmanager
def naming(*readings: Reading) -> Iterator[None]:
    """Add to an error in what pickles say the names in them that would run something."""
    try:
        yield
    except FileError as error:
        if not isinstance(error, UnsafePickle):
            say_what_it_names(error, runs_code(chain.from_iterable(reading.globals for reading in readings)))
        raise


def refuse_protocol_0(path: Path, reading: Reading) -> None:
    """Refuse a pickle that refers to its storages by text: torch writes so where it is told to, and cannot read it."""
    if any(isinstance(each.value, str) and each.value.startswith("('storage'") for each in reading.outside):
        raise UnsupportedFormat(
            path,
            "a file of torch.save in pickle protocol 0",
            "save it again from the training code without pickle_protocol=0: torch cannot load this one either",
        )


def protocol_note(data: bytes) -> tuple[str, ...]:
    """Note a pickle protocol that ``torch.load(weights_only=True)`` does not read."""
    if len(data) > 1 and data[0] == _PROTOCOL and data[1] > _NEWEST_READ_BY_TORCH:
        return (f"pickled with protocol {data[1]}, which torch.load(weights_only=True) does not read",)
    return ()
