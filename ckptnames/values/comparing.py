"""Two checkpoints compared value by value: which tensors differ, by how much, and in how many of their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ckptnames.manifest import TensorInfo
from ckptnames.values.numbers import numbers_of
from ckptnames.values.payload import BLOCK_BYTES, Payload

if TYPE_CHECKING:
    from ckptnames.values.numbers import Numbers

Progress = Callable[[int, int], None]


class Change(NamedTuple):
    """A key whose values differ: the largest difference, and how many of its numbers are not the same.

    ``max_difference`` is ``None`` for dtypes whose bytes are no plain numbers, and ``nan`` where one side has a number
    and the other has none.
    """

    key: str
    source: str
    """The key of the source, where it has another name."""
    max_difference: float | None
    n_different: int
    n_numbers: int


@dataclass(frozen=True, slots=True)
class ValueDiff:
    """What differs in value between the keys that two checkpoints share."""

    equal: tuple[str, ...]
    changed: tuple[Change, ...]
    not_compared: tuple[str, ...]
    """Keys of other shapes, and tensors that are made of others."""

    @property
    def same(self) -> bool:
        """True where everything was compared, and nothing differs."""
        return not (self.changed or self.not_compared)


def compared(
    pairs: Iterable[tuple[str, str]],
    source: tuple[Payload, Mapping[str, TensorInfo]],
    target: tuple[Payload, Mapping[str, TensorInfo]],
    progress: Progress | None = None,
) -> ValueDiff:
    """Compare the values of pairs of keys, of the source and of the target, a block at a time.

    What is not a number is the same as the same bits; numbers of different dtypes are compared as numbers. Raises
    ``cannot-read``, ``source-changed``, and ``numpy-missing`` where values differ and numpy is not there.
    """
    (payload, ours), (other, theirs) = source, target
    pairs = list(pairs)
    total, done = sum(theirs[name].nbytes or 0 for _, name in pairs), 0
    equal: list[str] = []
    changed: list[Change] = []
    not_compared: list[str] = []
    for key, name in pairs:
        info, wanted = ours[key], theirs[name]
        if info.shape != wanted.shape or not (payload.holds(info) and other.holds(wanted)):
            not_compared.append(name)
        else:
            found = _change(name, key, payload, info, other, wanted)
            if isinstance(found, Change):
                changed.append(found)
            else:
                (equal if found else not_compared).append(name)
        done += wanted.nbytes or 0
        if progress is not None:
            progress(done, total)
    return ValueDiff(tuple(equal), tuple(changed), tuple(not_compared))


def _change(
    name: str, key: str, payload: Payload, info: TensorInfo, other: Payload, wanted: TensorInfo
) -> Change | bool:
    """Compare one tensor: True where it is the same, False where its numbers cannot be compared."""
    count = prod(wanted.shape or ())
    if not count:
        return True
    is_alike = info.dtype == wanted.dtype
    if not is_alike and not all(numbers_of(dtype or "") for dtype in (info.dtype, wanted.dtype)):
        return False
    largest, n_different, is_known = 0.0, 0, True
    for ours, theirs in _blocks(payload, info, other, wanted, count):
        if is_alike and ours == theirs:
            continue
        read, read_other = numbers_of(info.dtype or ""), numbers_of(wanted.dtype or "")
        if read is None or read_other is None:
            is_known = False
            n_different += sum(a != b for a, b in zip(ours, theirs, strict=True))
            continue
        difference, n = _difference(read(ours), read_other(theirs))
        # What is not a number is larger than all others.
        largest = difference if difference > largest or difference != difference else largest
        n_different += n
    if not n_different:
        return True
    return Change(name, key, largest if is_known else None, n_different, count)


def _blocks(
    payload: Payload, info: TensorInfo, other: Payload, wanted: TensorInfo, count: int
) -> Iterator[tuple[bytes, bytes]]:
    """Give the same elements of both sides; packed ones, of which a byte holds several, by the byte."""
    sizes = [max((each.nbytes or 0) // count, 1) for each in (info, wanted)]
    n_elements = BLOCK_BYTES // max(sizes)
    yield from zip(
        payload.blocks(info, n_elements * sizes[0]), other.blocks(wanted, n_elements * sizes[1]), strict=True
    )


def _difference(ours: Numbers, theirs: Numbers) -> tuple[float, int]:
    """Give the largest difference, and how many numbers are not the same."""
    import numpy as np

    differ = ours != theirs
    # The same that is not a number on both sides is no difference.
    if ours.dtype.kind in "fc" or theirs.dtype.kind in "fc":
        differ &= ~(np.isnan(ours) & np.isnan(theirs))
    n = int(np.count_nonzero(differ))
    if not n:
        return 0.0, 0
    return float(_distance(ours[differ], theirs[differ]).max()), n


def _distance(ours: Numbers, theirs: Numbers) -> Any:
    import numpy as np

    if ours.dtype.kind in "iu" and ours.dtype == theirs.dtype:
        # Nothing is lost, and nothing flows over.
        larger, smaller = np.maximum(ours, theirs), np.minimum(ours, theirs)
        unsigned = ours.dtype.str.replace("i", "u")
        return larger.view(unsigned) - smaller.view(unsigned)
    wide = "c16" if "c" in (ours.dtype.kind, theirs.dtype.kind) else "f8"
    with np.errstate(all="ignore"):
        return np.abs(ours.astype(wide) - theirs.astype(wide))
