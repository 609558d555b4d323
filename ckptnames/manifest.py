"""The contents of a checkpoint without its bytes: ordered keys, each with dtype, shape and place."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptnames.wording import counted


class Storage(NamedTuple):
    """The run of bytes that one or more tensors view: its name in the file, absolute position, and length in bytes."""

    name: str
    position: int
    nbytes: int


class TensorInfo(NamedTuple):
    """What a header says of one tensor.

    ``dtype`` is spelled as safetensors spells it (``F32``, ``BF16``, ``I64``, ``F8_E4M3``); it and ``shape`` are
    ``None`` where a partial manifest does not know them. ``strides`` and ``offset`` count elements; ``offset`` is from
    the start of ``storage``. ``nbytes`` is the size of the elements, not of the storage.

    >>> TensorInfo("F32", (2, 3), 24).shape
    (2, 3)
    """

    dtype: str | None
    shape: tuple[int, ...] | None
    nbytes: int | None = None
    strides: tuple[int, ...] | None = None
    offset: int = 0
    storage: Storage | None = None


class OpenPart(NamedTuple):
    """A part of a model of which the keys are not known, and the line that stopped whoever read its source.

    ``pattern`` ends in ``?``: ``encoder.?`` is ``encoder`` and all below it. ``all_of_it`` is false where the keys that
    are listed below it are certain, and others may be there.

    >>> str(OpenPart("encoder.?", "a file is read", "model.py:12"))
    "'encoder.?' is open: a file is read (model.py:12)"
    """

    pattern: str
    reason: str
    where: str = ""
    all_of_it: bool = True

    def covers(self, key: str) -> bool:
        """Tell whether a key could belong to this part."""
        path = self.pattern[:-2]
        return not path or key == path or key.startswith(f"{path}.")

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"'{self.pattern}' is open: {self.reason}{where}"

    def as_json(self) -> dict[str, str | bool]:
        """Give the members that ``--json`` prints."""
        return self._asdict()


class ContainerInfo(NamedTuple):
    """A mapping inside a file that could be the weights: its name as typed after ``#``, its keys, its role.

    ``role`` is ``weights``, ``ema`` (an averaged copy), ``module`` (a pickled ``nn.Module``) or ``optimizer``.
    """

    name: str
    n_keys: int
    role: str = "weights"


BUILT, READ = MODELS = ("model", "model-source")
"""The formats of the names of a model: of one that is in memory, and of one whose source was read."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Manifest(Mapping[str, TensorInfo]):
    """The ordered keys of one container, with what their header says of them.

    >>> m = Manifest({"fc.weight": TensorInfo("F32", (10, 4), 160)})
    >>> list(m), m["fc.weight"].shape
    (['fc.weight'], (10, 4))
    """

    tensors: Mapping[str, TensorInfo]
    name: str = ""
    """Where the manifest comes from, for messages: a path, or what the caller calls it."""
    format: str = "manifest"
    container: str = ""
    containers: tuple[ContainerInfo, ...] = ()
    ties: tuple[tuple[str, ...], ...] = ()
    """Groups of keys with the same storage, offset, shape and strides, in file order."""
    notes: tuple[str, ...] = ()
    partial: bool = False
    """True where keys are known to be left out (torch's own error message names only what differs)."""
    open: tuple[OpenPart, ...] = ()
    """The parts of a model that its source does not tell; any key there may be missing here."""
    other: Mapping[str, str] = field(default_factory=dict)
    """Entries of the container that are not tensors, each with a short description."""
    unsafe: tuple[str, ...] = ()
    """What the file names that a pickle can have no use for but to run something. None of it was run."""

    def __getitem__(self, key: str) -> TensorInfo:
        return self.tensors[key]

    def may_have(self, key: str) -> bool:
        """Tell whether a key that is not listed could be there all the same."""
        return self.partial and (not self.open or any(part.covers(key) for part in self.open))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    # What ``Mapping`` makes of the three above takes several times as long.

    def __contains__(self, key: object) -> bool:
        return key in self.tensors

    def items(self) -> ItemsView[str, TensorInfo]:
        """Give each key with what is said of it."""
        return self.tensors.items()

    def __str__(self) -> str:
        from ckptnames.report.ls import manifest_text

        return manifest_text(self).removesuffix("\n")

    def __repr__(self) -> str:
        return f"<Manifest of {counted(len(self), 'key')}, {self.format}{f': {self.name}' if self.name else ''}>"
