"""The pickle machine against Python's own pickler, and against bytes made opcode by opcode."""

from __future__ import annotations

import io
import mmap
import pickle
import pickletools
import re
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptnames.errors import CkptnamesError, MalformedPickle, PickleLimit
from ckptnames.formats import pickle_machine
from ckptnames.formats.pickle_machine import Limits, read_pickle, run
from ckptnames.formats.pickle_opcodes import NAMES
from ckptnames.formats.pickle_stack import Machine
from ckptnames.formats.pickle_tensors import read_tensor
from ckptnames.formats.symbols import Dict, Global, Object, PersistentId, Text

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


def test_every_opcode_is_known_by_its_name() -> None:
    assert {ord(op.code): op.name for op in pickletools.opcodes} == NAMES


STRING = b"X\x01\x00\x00\x00a"
ONE_OF_EACH: dict[str, tuple[bytes, Any]] = {
    "INT": (b"I-12\n", -12),
    "BININT": (b"J\xff\xff\xff\xff", -1),
    "BININT1": (b"K\xff", 255),
    "BININT2": (b"M\x01\x02", 513),
    "LONG": (b"L12L\n", 12),
    "LONG1": (b"\x8a\x02\x00\xff", -256),
    "LONG4": (b"\x8b\x01\x00\x00\x00\x80", -128),
    "STRING": (b"S'a\\n'\n", "a\n"),
    "BINSTRING": (b"T\x01\x00\x00\x00a", "a"),
    "SHORT_BINSTRING": (b"U\x01a", "a"),
    "BINBYTES": (b"B\x01\x00\x00\x00a", b"a"),
    "SHORT_BINBYTES": (b"C\x01a", b"a"),
    "BINBYTES8": (b"\x8e\x01\x00\x00\x00\x00\x00\x00\x00a", b"a"),
    "BYTEARRAY8": (b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a", b"a"),
    "NONE": (b"N", None),
    "NEWTRUE": (b"\x88", True),
    "NEWFALSE": (b"\x89", False),
    "UNICODE": (b"V\\u00e9\n", "é"),
    "SHORT_BINUNICODE": (b"\x8c\x02\xc3\xa9", "é"),
    "BINUNICODE": (b"X\x02\x00\x00\x00\xc3\xa9", "é"),
    "BINUNICODE8": (b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00\xc3\xa9", "é"),
    "FLOAT": (b"F1.5\n", 1.5),
    "BINFLOAT": (b"G?\xf8\x00\x00\x00\x00\x00\x00", 1.5),
    "EMPTY_LIST": (b"]", []),
    "APPEND": (b"]K\x01a", [1]),
    "APPENDS": (b"](K\x01K\x02e", [1, 2]),
    "LIST": (b"(K\x01l", [1]),
    "EMPTY_TUPLE": (b")", ()),
    "TUPLE": (b"(K\x01K\x02t", (1, 2)),
    "TUPLE1": (b"K\x01\x85", (1,)),
    "TUPLE2": (b"K\x01K\x02\x86", (1, 2)),
    "TUPLE3": (b"K\x01K\x02K\x03\x87", (1, 2, 3)),
    "EMPTY_DICT": (b"}", {}),
    "DICT": (b"(" + STRING + b"K\x01d", {"a": 1}),
    "SETITEM": (b"}" + STRING + b"K\x01s", {"a": 1}),
    "SETITEMS": (b"}(" + STRING + b"K\x01K\x02K\x03u", {"a": 1, 2: 3}),
    "POP": (b"K\x01K\x020", 1),
    "DUP": (b"K\x012\x86", (1, 1)),
    "MARK": (b"K\x01(0", 1),
    "POP_MARK": (b"K\x01(NN1", 1),
    "GET": (b"](K\x01p7\ng7\ne", [1, 1]),
    "BINGET": (b"](K\x01q\x07h\x07e", [1, 1]),
    "LONG_BINGET": (b"](K\x01r\x00\x00\x01\x00j\x00\x00\x01\x00e", [1, 1]),
    "PUT": (b"](K\x01p300\ng300\ne", [1, 1]),
    "BINPUT": (b"](K\x01q\x07h\x07e", [1, 1]),
    "LONG_BINPUT": (b"](K\x01r\x00\x00\x01\x00j\x00\x00\x01\x00e", [1, 1]),
    "MEMOIZE": (b"](K\x01\x94h\x00e", [1, 1]),
    "PROTO": (b"\x80\x05N", None),
    "FRAME": (b"\x95\x02\x00\x00\x00\x00\x00\x00\x00N", None),
    "STOP": (b"N", None),
}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_values_of_single_opcodes(name: str) -> None:
    data, value = ONE_OF_EACH[name]
    assert name in {op.name for op, _, _ in pickletools.genops(data + b".")}
    read, end = run(data + b".")
    assert (plain(read), end) == (value, len(data) + 1)
    assert repr(plain(read)) == repr(value)


SET, FROZENSET = Global("builtins", "set"), Global("builtins", "frozenset")
CALLS: dict[str, tuple[bytes, Any, tuple[Any, ...]]] = {
    "GLOBAL": (b"cm\nf\n)R", Global("m", "f"), ()),
    "STACK_GLOBAL": (b"X\x01\x00\x00\x00mX\x01\x00\x00\x00f\x93)R", Global("m", "f"), ()),
    "REDUCE": (b"cm\nf\nK\x01\x85R", Global("m", "f"), (1,)),
    "NEWOBJ": (b"cm\nf\nK\x01\x85\x81", Global("m", "f"), (1,)),
    "NEWOBJ_EX": (b"cm\nf\nK\x01\x85}\x92", Global("m", "f"), (1,)),
    "INST": (b"(K\x01im\nf\n", Global("m", "f"), (1,)),
    "OBJ": (b"(cm\nf\nK\x01o", Global("m", "f"), (1,)),
    "BUILD": (b"cm\nf\n)R}b", Global("m", "f"), ()),
    "EXT1": (b"\x82\x07)R", Global("copyreg", "extension 7"), ()),
    "EXT2": (b"\x83\x07\x01)R", Global("copyreg", "extension 263"), ()),
    "EXT4": (b"\x84\x07\x01\x00\x00)R", Global("copyreg", "extension 263"), ()),
    "EMPTY_SET": (b"\x8f", SET, ()),
    "ADDITEMS": (b"\x8f(K\x01\x90", SET, ()),
    "FROZENSET": (b"(K\x01\x91", FROZENSET, ([1],)),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_recorded_and_not_made(name: str) -> None:
    data, function, args = CALLS[name]
    made, _ = run(data + b".")
    assert type(made) is Object
    assert (made.callable, made.args) == (function, args)
    assert made.elements == ([1] if name == "ADDITEMS" else None)
    assert (type(made.state) is Dict) == (name == "BUILD")


REFUSED = {"NEXT_BUFFER": b"\x97.", "READONLY_BUFFER": b"N\x98."}


@pytest.mark.parametrize("name", REFUSED)
def test_buffers_outside_the_file_are_refused(name: str) -> None:
    with pytest.raises(MalformedPickle, match="buffer outside the file"):
        run(REFUSED[name])


def test_every_opcode_has_a_case_of_its_own() -> None:
    assert {*ONE_OF_EACH, *CALLS, *REFUSED, "PERSID", "BINPERSID"} == set(NAMES.values())


def test_references_to_outside() -> None:
    reading = read_pickle(b"(Pkey\nK\x07\x85Qt.")
    text, binary = reading.value
    assert (type(text), text.value) == (PersistentId, "key")
    assert (type(binary), binary.value) == (PersistentId, (7,))
    assert reading.outside == (text, binary)


def test_ordered_dicts_of_python_2_come_as_pairs() -> None:
    read, _ = run(b"ccollections\nOrderedDict\n(((U\x01aK\x01l(U\x01bK\x02llt R.".replace(b" ", b""))
    assert type(read) is Dict
    assert (read.cls, read.items) == ("OrderedDict", [("a", 1), ("b", 2)])


def test_text_of_python_2_that_is_no_utf8_stays_bytes() -> None:
    assert run(b"U\x01\xe9.")[0] == b"\xe9"


def test_a_key_that_comes_again_takes_the_place_and_is_remembered() -> None:
    read, _ = run(b"}(" + STRING + b"K\x01U\x01bK\x02" + STRING + b"K\x03u.", traced=True)
    assert read.items == [("a", 3), ("b", 2)]
    assert [(key, key.start) for key in read.repeated] == [("a", 15)]


def test_instances_know_their_class() -> None:
    for data in (b"cm\nC\n)\x81.", b"ccopy_reg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\nNtR."):
        assert run(data)[0].cls == Global("m", "C")
    assert run(b"(X\x06\x00\x00\x00modulecm\nC\nNNtQ)\x81.")[0].cls == Global("m", "C")


def test_a_trace_gives_the_bytes_of_each_string() -> None:
    data = b"\x80\x02](" + STRING + b"q\x00h\x00U\x01bVc\ne."
    read, _ = run(data, traced=True)
    assert [(text, data[text.start : text.end]) for text in read] == [
        ("a", STRING),
        ("a", b"h\x00"),
        ("b", b"U\x01b"),
        ("c", b"Vc\n"),
    ]


def test_names_are_listed_once_in_order_even_where_they_are_dropped() -> None:
    reading = read_pickle(b"cos\nsystem\n0cm\nf\n0cos\nsystem\n.")
    assert reading.globals == (Global("os", "system"), Global("m", "f"))


MALFORMED = {
    b"": "it ends before its STOP",
    b"N": "it ends before its STOP",
    b".": "STOP needs more values than there are",
    b"\xff.": "0xff is no opcode",
    b"\x80\x06N.": "protocol 6 is not known",
    b"h\x00.": "BINGET asks for a value that was never kept",
    b"g7\n.": "GET asks for a value that was never kept",
    b"q\x00.": "BINPUT needs more values than there are",
    b"t.": "TUPLE needs more values than there are",
    b"Ka": "it ends before its STOP",
    b"K": "it ends before its STOP",
    b"Nq": "it ends before its STOP",
    b"J\x00.": "it ends inside BININT",
    b"X\xff\xff\xff\xffa.": "it needs 4,294,967,300 bytes, 7 are there",
    b"X\x01\x00\x00\x00\xff.": "BINUNICODE holds what it cannot mean",
    b"T\xff\xff\xff\xffa.": "it needs 4,294,967,300 bytes, 7 are there",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffa.": "it needs 18,446,744,073,709,551,624 bytes, 11 are there",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xffN.": "it needs 18,446,744,073,709,551,624 bytes, 11 are there",
    b"Ix\n.": "INT holds what it cannot mean",
    b"F1\xff\n.": "FLOAT holds what it cannot mean",
    b"I12": "it needs 4 bytes, 3 are there",
    b"Sa\n.": "a STRING is not quoted",
    b"cm\n": "it needs 4 bytes, 3 are there",
    b"K\x01K\x02\x93.": "a global has no name",
    b"K\x01K\x02R.": "a call has int for its arguments",
    b"]K\x01K\x02s.": "items are put into a list",
    b"}(K\x01u.": "a key has no value",
    b")K\x01a.": "members are added to a tuple",
    b"cm\nf\n}b.": "state is given to a global",
    b"N}b.": "state is given to a NoneType",
}


@pytest.mark.parametrize("data", MALFORMED)
def test_what_is_no_pickle_is_told_why(data: bytes) -> None:
    with pytest.raises(MalformedPickle) as caught:
        run(data)
    assert caught.value.reason.startswith(MALFORMED[data])
    assert 0 <= caught.value.position <= len(data)


@pytest.mark.parametrize(
    ("data", "limits", "what", "limit", "actual"),
    [
        (b"N0" * 50 + b"N.", Limits(opcodes=10), "opcodes", 10, 11),
        (b"X\x14\x00\x00\x00" + b"a" * 20 + b".", Limits(pickle_bytes=20), "bytes", 20, 25),
        (b"\x8b\x14\x00\x00\x00" + b"a" * 20 + b".", Limits(integer_bytes=19), "bytes in one number", 19, 20),
        (b"I" + b"1" * 20 + b"\n.", Limits(integer_bytes=19), "characters in one number", 19, 20),
        (STRING + b"q\x00" + b"h\x00" * 9 + b".", Limits(traced_characters=8), "repeated characters", 8, 9),
    ],
)
def test_limits_are_named_with_what_goes_beyond(
    data: bytes, limits: Limits, what: str, limit: int, actual: int
) -> None:
    with pytest.raises(PickleLimit) as caught:
        run(data, limits=limits, traced=True)
    assert (caught.value.what, caught.value.limit, caught.value.actual) == (what, limit, actual)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(CkptnamesError):
        assert 0 < run(data, traced=True)[1] <= len(data)


@given(_values, st.integers(0, 5), st.data())
def test_a_changed_byte_is_read_or_refused(value: Any, protocol: int, data: st.DataObject) -> None:
    pickled = bytearray(pickle.dumps(value, protocol))
    at = data.draw(st.integers(0, len(pickled) - 1))
    pickled[at] = data.draw(st.integers(0, 255))
    with suppress(CkptnamesError):
        assert 0 < run(bytes(pickled))[1] <= len(pickled)


def test_mapped_files_and_views_read_as_bytes_do(tmp_path: Path) -> None:
    value = {"a": [1, "b", 2.5, b"c"] * 100}
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        (tmp_path / "p").write_bytes(data)
        with (tmp_path / "p").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert plain(run(mapped)[0]) == plain(run(memoryview(data))[0]) == value


BOMBS = {
    "memo index": b"Nr\xff\xff\xff\xff.",
    "memo index in digits": b"Np" + b"9" * 300 + b"\n.",
    "doubling": b"K\x01" + b"2\x86" * 100_000 + b".",
    "deep tuples": b")" + b"\x85" * 100_000 + b".",
    "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep dicts": b"}" + b"N" * 0 + b"(N}" * 50_000 + b"u" * 50_000 + b".",
    "deep calls": b"cm\nf\n" + b")R" * 50_000 + b".",
    "deep state": b"cm\nf\n)R" * 50_000 + b"b" * 49_999 + b".",
    "cycle": b"]q\x00h\x00a.",
    "cyclic dict": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "keys that hash deep": b"}" + b")" + b"\x85" * 100_000 + b"Ns.",
    "same key": b"}(" + STRING + b"q\x00N" + b"h\x00N" * 50_000 + b"u.",
    "long string repeated": b"X\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"q\x00](" + b"h\x00" * 300_000 + b"e.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_no_more_than_their_bytes(name: str) -> None:
    tracemalloc.start()
    try:
        with suppress(CkptnamesError):
            run(BOMBS[name])
        assert tracemalloc.get_traced_memory()[1] < 200 * len(BOMBS[name]) + 1_000_000
    finally:
        tracemalloc.stop()


def test_a_traced_run_does_not_copy_without_end() -> None:
    with pytest.raises(PickleLimit):
        run(BOMBS["long string repeated"], traced=True, limits=Limits(traced_characters=10_000_000))


def _shape(value: Any, memo: dict[int, int]) -> Any:
    """Turn what the machine read into what can be compared, with what is one object told from what is equal."""
    if isinstance(value, str | bytes | int | float | None | Global):
        return (value, getattr(value, "start", None), getattr(value, "end", None))
    if isinstance(value, tuple):  # cannot change, so that it does not matter whether two are one object
        return ["tuple", *(_shape(v, memo) for v in value)]
    if id(value) in memo:
        return memo[id(value)]
    memo[id(value)] = len(memo)
    if isinstance(value, PersistentId):
        return ("outside", _shape(value.value, memo))
    if isinstance(value, list):
        return ["list", *(_shape(v, memo) for v in value)]
    items = [(_shape(k, memo), _shape(v, memo)) for k, v in value.items]
    if isinstance(value, Dict):
        return [value.cls, items, _shape(value.state, memo)]
    return [_shape(value.callable, memo), _shape(value.args, memo), items, _shape(value.state, memo)]


def _tensor(i: int, size: tuple[int, ...], key: str = "") -> tuple[Any, ...]:
    strides = tuple(range(1, 1 + len(size)))
    return ("storage", "cls", key or str(i * 1000), "cpu", 10**i), 2**i, size, strides, bool(i % 2)


class _Pickler(pickle._Pickler):
    """Writes as torch does what only looks like it: a call for each tensor, its storage outside."""

    def persistent_id(self, value: Any) -> Any:
        return value.pid if isinstance(value, _Storage) else None


class _Storage:
    def __init__(self, pid: tuple[Any, ...]) -> None:
        self.pid = pid


class _Rebuilt:
    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> Any:
        return _rebuild_tensor_v2, self.args


def _rebuild_tensor_v2(*args: Any) -> None:
    raise AssertionError


def _like_torch(filler: int, legacy: bool) -> bytes:
    tensors = {}
    for i in range(12):
        pid, *rest = _tensor(i, tuple(range(i % 6)), str(i) if i < 3 else "")
        pid = (pid[0], Global, *pid[2:], *((None,) if legacy else ()))
        tensors[str(i)] = _Rebuilt(_Storage(pid), *rest, OrderedDict())
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump([[[] for _ in range(filler)], tensors, dict(tensors)])
    return buffer.getvalue()


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("filler", [0, 250, 300])
def test_a_tensor_read_in_one_step_is_what_its_opcodes_make(
    monkeypatch: pytest.MonkeyPatch, filler: int, legacy: bool, traced: bool
) -> None:
    data = _like_torch(filler, legacy)
    steps: list[bool] = []

    def counted(machine: Machine, match: re.Match[bytes]) -> bool:
        steps.append(read_tensor(machine, match))
        return steps[-1]

    with monkeypatch.context() as patch:
        patch.setattr(pickle_machine, "read_tensor", counted)
        fast = read_pickle(data, traced=traced)
    with monkeypatch.context() as patch:
        patch.setattr(pickle_machine, "match_tensor", lambda *_: None)
        slow = read_pickle(data, traced=traced)
    assert steps.count(True) >= (8 if filler >= 250 else 0)
    assert fast.end == slow.end
    assert fast.globals == slow.globals
    untraced = [_shape(reading.value, {}) for reading in (fast, slow)]
    assert untraced[0] == untraced[1] or traced
    assert [o.value for o in fast.outside] == [o.value for o in slow.outside]
