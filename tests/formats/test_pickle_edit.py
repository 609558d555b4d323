"""Laws of editing a pickle: what unpickling gives is the object one would have made by editing it in memory."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptnames.errors import MalformedPickle, UneditablePickle
from ckptnames.formats.pickle_edit import edit
from ckptnames.formats.pickle_machine import run
from tests.effort import examples

Plan = dict[str, Sequence[str]]


class Thing:
    """An instance that a pickle makes by a call and gives its state."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return Thing, self.parts, dict(self.__dict__)


def edited(data: bytes, plan: Plan, *path: str) -> bytes:
    value, _ = run(data, traced=True)
    for key in path:
        value = value.get(key)
    keys = [*(key for key, _ in value.items), *value.repeated]
    return edit(data, {key.start: plan[key] for key in keys if key in plan})


def applied(mapping: Any, plan: Plan) -> None:
    items = [(name, value) for key, value in mapping.items() for name in plan.get(key, (key,))]
    mapping.clear()
    mapping.update(items)


def isomorphic(left: Any, right: Any) -> bool:
    """Same values in the same order, and two places share an object in one exactly where they do in the other."""
    pairs: dict[int, int] = {}
    backward: dict[int, int] = {}
    todo = [(left, right)]
    while todo:
        one, other = todo.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, str | int | float | bytes | None) or one == ():
            if one != other:
                return False
            continue
        known = id(one) in pairs
        if pairs.setdefault(id(one), id(other)) != id(other) or backward.setdefault(id(other), id(one)) != id(one):
            return False
        if not known:
            parts = _parts(one), _parts(other)
            if len(parts[0]) != len(parts[1]):
                return False
            todo += zip(*parts, strict=True)
    return True


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        flat = [part for item in value.items() for part in item]
        return [*flat, *getattr(value, "__dict__", {}).values()]
    if isinstance(value, Thing):
        return [*value.parts, value.__dict__]
    return list(value)


# Objects that share their parts


NAMES = st.text(st.characters(codec=None, categories=None), max_size=6) | st.sampled_from(["a.weight", "x" * 300, ""])
MAKERS: list[Callable[[list[Any], list[str]], Any]] = [
    lambda parts, _: tuple(parts),
    lambda parts, _: list(parts),
    lambda parts, names: dict(zip(names, parts, strict=False)),
    lambda parts, names: OrderedDict(zip(names, parts, strict=False)),
    lambda parts, names: defaultdict(list, zip(names, parts, strict=False)),
    lambda parts, _: Thing(*parts),
    lambda _, names: {7: list(names), None: tuple(names)},
]


@st.composite
def nodes(draw: st.DrawFn, names: list[str]) -> list[Any]:
    pool: list[Any] = [1, 70_000, 2.5, "shared", b"raw", None, *names]
    for _ in range(draw(st.integers(1, 12))):
        parts = draw(st.lists(st.sampled_from(pool), max_size=4))
        made = draw(st.sampled_from(MAKERS))(parts, draw(st.permutations(names)))
        if draw(st.booleans()) and isinstance(made, OrderedDict):
            made._metadata = OrderedDict({"": parts})  # type: ignore[attr-defined]
        pool.append(made)
    return pool


@st.composite
def objects(draw: st.DrawFn, cycles: bool = False) -> Any:
    """An object with a mapping under ``m`` whose keys and values stand elsewhere too."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    pool = draw(nodes(names))
    values = draw(st.lists(st.sampled_from(pool), min_size=len(names), max_size=len(names)))
    chosen = draw(st.sampled_from([dict, OrderedDict]))(zip(names, values, strict=True))
    before, after = draw(st.sampled_from(pool)), draw(st.lists(st.sampled_from(pool), max_size=4))
    if cycles:
        for _ in range(draw(st.integers(1, 3))):
            _join(draw(st.sampled_from(pool)), draw(st.sampled_from([*pool[6:], chosen])))
    return {"before": before, "m": chosen, "twin": dict.fromkeys(names, 3), "after": [after, list(names)]}


def _join(holder: Any, part: Any) -> None:
    if isinstance(holder, list):
        holder.append(part)
    elif isinstance(holder, dict):
        holder["joined"] = part
    elif isinstance(holder, Thing):
        holder.__dict__["joined"] = part


def python_pickler(value: Any, protocol: int) -> bytes:
    out = io.BytesIO()
    pickle._Pickler(out, protocol).dump(value)
    return out.getvalue()


PICKLERS = st.sampled_from([pickle.dumps, python_pickler, lambda v, p: pickletools.optimize(pickle.dumps(v, p))])
PROTOCOLS = st.integers(0, 5)


@st.composite
def plans(draw: st.DrawFn, keys: list[str], sizes: st.SearchStrategy[int]) -> Plan:
    fresh = draw(st.lists(NAMES, min_size=3 * len(keys), max_size=3 * len(keys), unique=True))
    chosen = [key for key in keys if draw(st.booleans())]
    plan: Plan = {key: [fresh.pop() for _ in range(draw(sizes))] for key in chosen}
    taken = set(keys) - set(chosen)
    return {key: [name for name in names if name not in taken] for key, names in plan.items()}


@given(st.data(), objects(), PROTOCOLS, PICKLERS)
@examples(4)
def test_unpickling_an_edited_pickle_gives_the_edited_object(
    draws: st.DataObject, value: Any, protocol: int, dumps: Callable[[Any, int], bytes]
) -> None:
    data = dumps(value, protocol)
    plan = draws.draw(plans(list(value["m"]), st.integers(0, 3)))
    expected = pickle.loads(data)
    applied(expected["m"], plan)
    assert isomorphic(pickle.loads(edited(data, plan, "m")), expected)


@given(st.data(), objects(cycles=True), PROTOCOLS, PICKLERS)
@examples(4)
def test_an_object_that_contains_itself_is_edited_right_or_refused(
    draws: st.DataObject, value: Any, protocol: int, dumps: Callable[[Any, int], bytes]
) -> None:
    data = dumps(value, protocol)
    plan = draws.draw(plans(list(value["m"]), st.integers(0, 3)))
    expected = pickle.loads(data)
    applied(expected["m"], plan)
    try:
        result = edited(data, plan, "m")
    except UneditablePickle as refusal:
        assert refusal.reason == "a value that is dropped contains itself"
        assert [] in plan.values()
    else:
        assert isomorphic(pickle.loads(result), expected)


@given(st.data(), objects(cycles=True), PROTOCOLS)
def test_renaming_there_and_back_gives_an_equal_object(draws: st.DataObject, value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    keys = list(value["m"])
    fresh = draws.draw(st.lists(NAMES, min_size=len(keys), max_size=len(keys), unique=True))
    there = edited(data, {key: [name] for key, name in zip(keys, fresh, strict=True)}, "m")
    back = edited(there, {name: [key] for key, name in zip(keys, fresh, strict=True)}, "m")
    assert isomorphic(pickle.loads(back), pickle.loads(data))


# What no pickler of today writes


def test_nothing_to_change_gives_the_same_bytes() -> None:
    data = pickle.dumps({"a": 1}, 4)
    assert edit(data, {}) == data


def test_frames_and_memoize_are_spelled_out() -> None:
    data = pickle.dumps({"m": {"a": ["v"], "b": "v"}}, 4)
    codes = {opcode.name for opcode, _, _ in pickletools.genops(edited(data, {"a": ["x"]}, "m"))}
    assert not codes & {"FRAME", "MEMOIZE"}


@pytest.mark.parametrize(
    ("protocol", "name", "opcode"),
    [
        (0, "x\n\\y", "UNICODE"),
        (1, "x", "BINUNICODE"),
        (2, "é" * 200, "BINUNICODE"),
        (3, "\ud800", "BINUNICODE"),
        (4, "x" * 255, "SHORT_BINUNICODE"),
        (4, "x" * 256, "BINUNICODE"),
        (5, "", "SHORT_BINUNICODE"),
    ],
)
def test_a_name_is_written_as_its_protocol_writes_strings(protocol: int, name: str, opcode: str) -> None:
    result = edited(pickle.dumps({"k": 1}, protocol), {"k": [name]})
    assert (opcode, name) in [(code.name, argument) for code, argument, _ in pickletools.genops(result)]
    assert pickle.loads(result) == {name: 1}


@pytest.mark.parametrize(("name", "loaded"), [("b", b"b"), ("é", "é"), ("b" * 300, "b" * 300)])
def test_a_string_of_python_2_stays_one_where_it_can(name: str, loaded: bytes | str) -> None:
    data = b"\x80\x02}q\x00U\x01aq\x01K\x07s."
    assert pickle.loads(edited(data, {"a": [name]}), encoding="bytes") == {loaded: 7}


def python_2_ordered_dict() -> bytes:
    pairs = b"]q\x02(]q\x03(U\x01aq\x04K\x01e]q\x05(U\x01bq\x06h\x04ee"
    return b"\x80\x02ccollections\nOrderedDict\nq\x01" + pairs + b"\x85Rq\x07."


def test_an_ordered_dict_of_python_2_is_a_list_of_pairs() -> None:
    data = python_2_ordered_dict()
    assert pickle.loads(data) == OrderedDict(a=1, b="a")
    assert pickle.loads(edited(data, {"a": ["x"]})) == OrderedDict(x=1, b="a")
    assert pickle.loads(edited(data, {"a": []})) == OrderedDict(b="a")
    assert list(pickle.loads(edited(data, {"b": ["c", "d"], "a": ["y", "z"]})).items()) == [
        ("y", 1),
        ("z", 1),
        ("c", "a"),
        ("d", "a"),
    ]


def test_a_pickle_that_repeats_with_dup_is_refused() -> None:
    with pytest.raises(UneditablePickle, match="DUP"):
        edit(b"\x80\x02}q\x00X\x01\x00\x00\x00a2s.", {5: ["b"]})


@pytest.mark.parametrize("pickler", [pickle.dumps, python_pickler])
def test_a_recursive_tuple_that_stands_elsewhere_too_cannot_be_dropped(pickler: Callable[[Any, int], bytes]) -> None:
    loop: tuple[list[Any]] = ([],)
    loop[0].append(loop)
    data = pickler({"m": {"a": loop}, "rest": loop}, 2)
    with pytest.raises(UneditablePickle, match="a value that is dropped contains itself"):
        edited(data, {"a": []}, "m")
    alone = pickle.loads(edited(pickler({"m": {"a": loop, "b": 1}}, 2), {"a": []}, "m"))
    assert alone == {"m": {"b": 1}}


def test_a_memo_number_used_twice_is_refused_where_it_matters() -> None:
    data = b"\x80\x02}(X\x01\x00\x00\x00aq\x01X\x01\x00\x00\x00bq\x01u."
    with pytest.raises(UneditablePickle, match="under one number"):
        edit(data, {4: ["c"]})


def test_only_keys_can_be_dropped_or_doubled() -> None:
    data = pickle.dumps(["a"], 2)
    with pytest.raises(UneditablePickle, match="at byte 5 is no key"):
        edit(data, {data.index(b"X"): []})


@pytest.mark.parametrize("data", [b"\x80\x02}X\x01\x00\x00\x00aK\x01", b"\x80\x02h\x07.", b"\x80\x02\xff."])
@pytest.mark.parametrize("names", [["b"], []])
def test_what_is_no_pickle_is_refused(data: bytes, names: list[str]) -> None:
    with pytest.raises(MalformedPickle):
        edit(data, {3: names})


def test_a_thousand_items_come_in_batches() -> None:
    value = {"m": {f"k{i}": [i] for i in range(2500)}}
    data = pickle.dumps(value, 2)
    plan: Plan = {f"k{i}": [] if i < 1000 or i % 7 == 0 else [f"x.{i}"] for i in range(2500)}
    assert list(pickle.loads(edited(data, plan, "m"))["m"].items()) == [
        (f"x.{i}", [i]) for i in range(1000, 2500) if i % 7
    ]
