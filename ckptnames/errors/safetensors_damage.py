"""Files of safetensors that are damaged."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.damage import CorruptCheckpoint
from ckptnames.wording import shape_text


class CutShort(CorruptCheckpoint):
    """A file that is shorter than its own header says."""

    def __init__(self, path: object, expected: int, actual: int) -> None:
        self.path, self.expected, self.actual = str(path), expected, actual
        super().__init__(
            f"the file is cut short: its header speaks of {expected:,} bytes, the file has {actual:,}",
            where=f"{path}",
            help=f"get the file again: the last {expected - actual:,} bytes are missing",
        )


class CorruptSafetensors(CorruptCheckpoint):
    """A safetensors header that does not hold."""

    def __init__(self, path: object, found: str, advice: str = "get the file again from where it came") -> None:
        self.path = str(path)
        super().__init__(found, where=f"{path}", help=f"{advice}: safetensors itself refuses it too")


class HeaderTooLong(CorruptSafetensors):
    """A header beyond the limit of the format."""

    def __init__(self, path: object, length: int, limit: int) -> None:
        self.length, self.limit = length, limit
        super().__init__(path, f"the header is said to be {length:,} bytes long; at most {limit:,} are allowed")


class MalformedHeader(CorruptSafetensors):
    """A header that is not the JSON that it should be."""

    def __init__(self, path: object, reason: str) -> None:
        self.reason = reason
        super().__init__(path, f"the header of the file is malformed: {reason}")


class MalformedEntry(CorruptSafetensors):
    """A tensor that the header does not describe as it should."""

    def __init__(self, path: object, key: str, member: str, value: object, wanted: str) -> None:
        self.key, self.member, self.value = key, member, value
        super().__init__(path, f"{member} of tensor '{key}' is {value!r:.60}, not {wanted}")


class UnknownDtype(CorruptSafetensors):
    """A dtype that safetensors does not have."""

    def __init__(self, path: object, key: str, dtype: str, known: Sequence[str]) -> None:
        self.key, self.dtype = key, dtype
        super().__init__(
            path,
            f"tensor '{key}' has the unknown dtype {dtype!r:.60}",
            f"write it again with a dtype that safetensors has, such as {', '.join(known)}",
        )


class WrongByteCount(CorruptSafetensors):
    """A tensor whose byte range does not fit its dtype and shape."""

    def __init__(
        self, path: object, key: str, dtype: str, shape: Sequence[int], needed: int, start: int, end: int
    ) -> None:
        self.key, self.needed, self.start, self.end = key, needed, start, end
        super().__init__(
            path,
            f"tensor '{key}' needs {needed:,} bytes ({dtype} {shape_text(shape)}), "
            f"but its range {start:,}..{end:,} has {end - start:,}",
        )


class TensorTooLarge(CorruptSafetensors):
    """A shape that no file can hold, or that ends inside a byte."""

    def __init__(self, path: object, key: str, dtype: str, shape: Sequence[int], reason: str) -> None:
        self.key = key
        super().__init__(path, f"tensor '{key}' ({dtype} {shape_text(shape)}) {reason}")


class Hole(CorruptSafetensors):
    """Bytes that no tensor claims."""

    def __init__(self, path: object, key: str, start: int, end: int) -> None:
        self.key, self.start, self.end = key, start, end
        super().__init__(path, f"bytes {start:,}..{end:,} before tensor '{key}' are claimed by no tensor")


class Overlap(CorruptSafetensors):
    """Bytes that two tensors claim, or an empty tensor that stands inside another."""

    def __init__(self, path: object, key: str, other: str, start: int, end: int) -> None:
        self.key, self.other, self.start, self.end = key, other, start, end
        found = f"tensors '{other}' and '{key}' overlap: both claim bytes {start:,}..{end:,}"
        if start == end:
            found = f"tensor '{key}' has no bytes, and its place is byte {start:,}, inside tensor '{other}'"
        super().__init__(path, found)


class TrailingBytes(CorruptSafetensors):
    """Bytes after the last tensor."""

    def __init__(self, path: object, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(
            path,
            f"{actual - expected:,} bytes follow the last tensor: "
            f"the header speaks of {expected:,} bytes, the file has {actual:,}",
        )
