"""A pickle that is no file of ``torch.save``: what it is instead, and what it would call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from ckptnames.errors import FileError, MalformedPickle, NotWrittenByTorch, PickleLimit, UnsafePickle, UnsupportedFormat
from ckptnames.formats.blocked import runs_code
from ckptnames.formats.containers import attributes
from ckptnames.formats.contents import describe
from ckptnames.formats.pickle_machine import Reading, read_pickle
from ckptnames.formats.pickle_stack import Buffer, Limits
from ckptnames.formats.symbols import Global, Mapping, Object
from ckptnames.formats.torch_pickle import mapped

_MOST_SHOWN = 50
_FIRST_LOOK = Limits(opcodes=100_000, pickle_bytes=16 << 20)


def first_pickle(path: Path, data: Buffer) -> Reading:
    """Read the pickle at the start of a file.

    Raises ``corrupt-checkpoint``, and what `refusal_of` gives for one that breaks off after it has named something.
    """
    try:
        return read_pickle(data, where=f"{path}")
    except MalformedPickle as fault:
        if not fault.named:
            raise
        # joblib and others mix bytes of their own into the pickle: up to there it says what it is of.
        raise _refusal(path, fault.named, "of something else", []) from None


def unsafe_pickle(path: Path, whole: bool) -> UnsafePickle | None:
    """Compose the error for a file that begins like no pickle, and is one that would run something.

    With ``whole``, one that breaks off is none: the first lines of a text may look like names.
    """
    with mapped(path) as data:
        try:
            named = [each.path for each in read_pickle(data, limits=_FIRST_LOOK).globals]
        except MalformedPickle as fault:
            named = [] if whole else list(fault.named)
        except PickleLimit:
            named = []
    dangerous = _dangerous(named)
    return UnsafePickle(path, dangerous) if dangerous else None


def refusal_of(path: Path, reading: Reading) -> FileError:
    """Compose the error for a pickle that is not the magic number of torch."""
    if not runs_code(reading.globals):
        if any(isinstance(each.value, tuple) and each.value[:1] == ("storage",) for each in reading.outside):
            return _out_of_an_archive(path)
        if any(each.module == "torch._utils" for each in reading.globals):
            advice = "let whoever made it write it with torch.save or safetensors"
            return UnsupportedFormat(path, "a pickle of tensors that torch.save did not write", advice)
    value = reading.value
    entries = list(value.items) if isinstance(value, Mapping) else []
    entries += attributes(value) if isinstance(value, Object) else ()
    contents = [(key, describe(entry)) for key, entry in entries[:_MOST_SHOWN] if isinstance(key, str)]
    return _refusal(path, [each.path for each in reading.globals], describe(value), contents)


def _out_of_an_archive(path: Path) -> UnsupportedFormat:
    advice = "name the file that it came out of"
    if (path.parent / "data").is_dir():
        advice = f"pack its folder again, and name that: python -m zipfile -c weights.pt {quote(str(path.parent))}"
    return UnsupportedFormat(path, "the pickle out of a file of torch.save, without the tensors", advice)


def _refusal(path: Path, named: Sequence[str], what: str, contents: Sequence[tuple[str, str]]) -> FileError:
    dangerous = _dangerous(named)
    if dangerous:
        return UnsafePickle(path, dangerous)
    return NotWrittenByTorch(path, what, contents or [("it names", f"'{name}'") for name in named])


def _dangerous(named: Sequence[str]) -> tuple[str, ...]:
    return runs_code([Global(*name.rpartition(".")[::2]) for name in named])
