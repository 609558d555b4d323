"""The pickle machine against Python's own pickler, and against bytes made opcode by opcode."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ckptnames.formats.pickle_machine import run
from ckptnames.formats.symbols import Dict, Global, Object, Text

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=5)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=20,
)


def plain(value: Any) -> Any:
    """Turn what the machine read back into what was pickled."""
    if isinstance(value, Dict):
        items = [(k, plain(v)) for k, v in value.items]
        return OrderedDict(items) if value.cls == "OrderedDict" else dict(items)
    if isinstance(value, Object):
        assert value.callable in (Global("_codecs", "encode"), Global("__builtin__", "bytes")), value.callable
        return value.args[0].encode("latin1") if value.args else b""
    if isinstance(value, list | tuple):
        return type(value)(plain(v) for v in value)
    return value


@given(_values, st.integers(0, 5))
def test_reads_what_pickle_writes(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    read, end = run(data)
    assert end == len(data)
    assert plain(read) == value
    assert repr(plain(read)) == repr(value)


@given(_values, st.integers(0, 5))
def test_tracing_reads_the_same_and_its_spans_hold_one_opcode_that_makes_the_string(value: Any, protocol: int) -> None:
    data = b"start" + pickle.dumps(value, protocol)
    read, _ = run(data, start=5, traced=True)
    assert plain(read) == value
    for text in _texts(read):
        name, arg = _opcode(data, text.start, text.end)
        assert name in ("BINGET", "LONG_BINGET", "GET") or arg == text


def _texts(value: Any) -> list[Text]:
    if isinstance(value, str):
        assert isinstance(value, Text)
        return [value]
    if isinstance(value, Dict):
        return [t for k, v in value.items for t in [*_texts(k), *_texts(v)]]
    if isinstance(value, list | tuple):
        return [t for v in value for t in _texts(v)]
    return []


def _opcode(data: bytes, start: int, end: int) -> tuple[str, Any]:
    """Take one opcode apart with the standard library, and hold that it ends where it should."""
    found = list(pickletools.genops(data[start:end] + b"N."))
    assert [op.name for op, _, _ in found[1:]] == ["NONE", "STOP"]
    return found[0][0].name, found[0][1]
