"""A law: whatever a program does, what is read of it is what it builds, or is open, and never anything else."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.prediction.static.against_built import assert_never_wrong, program

CONFIG = {"yes": True, "no": False, "n": 2, "name": "b", "none": None}
HEAD = """
import json
from pathlib import Path

with open(Path(__file__).with_name("config.json")) as file:
    CFG = json.load(file)
OPTIONS = {"yes": True, "no": False, "n": 2, "name": "b", "none": None}


class Block(nn.Module):
    def __init__(self, n=2, *, bias=True):
        super().__init__()
        self.fc = nn.Linear(n, n, bias=bias)
        if n > 2:
            self.norm = nn.LayerNorm(n)

    def grow(self):
        self.more = nn.Linear(1, 1)


"""

names = st.sampled_from("abcd")
facts = st.sampled_from(["CFG", "OPTIONS"])
"""What is read from a file, and is not known; and the same in the source."""
numbers = st.one_of(st.integers(1, 3).map(str), facts.map(lambda f: f"{f}['n']"), st.just("n"))
conditions = st.one_of(
    st.tuples(facts, st.sampled_from(["yes", "no", "none"])).map(lambda c: f"{c[0]}[{c[1]!r}]"),
    names.map(lambda name: f"hasattr(self, {name!r})"),
    st.sampled_from(["n > 2", "not CFG['yes'] and n", "len(ls) > 1", "isinstance(x, nn.Linear)"]),
)
values: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        numbers.map(lambda n: f"nn.Linear({n}, 2)"),
        numbers.map(lambda n: f"Block({n})"),
        st.sampled_from(["nn.ReLU()", "nn.BatchNorm1d(2)", "None", "x", "ls[0]", "nn.Parameter(torch.zeros(n))", "3"]),
        st.just("getattr(self, 'a', None)"),
        st.lists(values, max_size=3).map(
            lambda each: f"nn.Sequential(*[v for v in [{', '.join(each)}] if is_module(v)])"
        ),
        st.tuples(values, conditions, values).map(lambda v: f"({v[0]} if {v[1]} else {v[2]})"),
        numbers.map(lambda n: f"nn.ModuleList(nn.Linear(i + 1, 1) for i in range({n}))"),
    )
)


def block(body: list[str]) -> str:
    return indent("\n".join(body) or "pass", "    ")


statements: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.tuples(names, values).map(lambda s: f"put(self, {s[0]!r}, {s[1]})"),
        st.tuples(names, values).map(lambda s: f"put(self, {s[0]!r}, {s[1]})"),
        values.map(lambda v: f"x = {v}"),
        values.map(lambda v: f"ls.append({v})"),
        names.map(lambda name: f"if {name!r} in self._modules:\n    del self.{name}"),
        st.tuples(facts, values).map(lambda s: f"put(self, {s[0]}['name'], {s[1]})"),
        st.just("if isinstance(x, Block):\n    x.grow()"),
        st.just("self.all = nn.ModuleList(v for v in ls if is_module(v))"),
        st.just("for m in self.children():\n    m.extra = nn.Linear(1, 1)"),
        st.just("n += 1"),
        st.tuples(conditions, bodies, bodies).map(lambda s: f"if {s[0]}:\n{block(s[1])}\nelse:\n{block(s[2])}"),
        st.tuples(numbers, bodies).map(lambda s: f"for i in range({s[0]}):\n{block(s[1])}"),
        st.tuples(conditions, bodies).map(
            lambda s: f"for i in range(3):\n{block([*s[1], f'if {s[0]}:', '    break'])}"
        ),
        st.tuples(bodies, bodies).map(
            lambda s: f"try:\n{block([*s[0], 'y = CFG[str(n)]'])}\nexcept KeyError:\n{block(s[1])}"
        ),
    )
)
bodies: st.SearchStrategy[list[str]] = st.lists(statements, max_size=3)

NET = """
def is_module(value):
    return isinstance(value, nn.Module)


def modules_in(values):
    return [value for value in values if is_module(value)]


def put(module, name, value):
    if name in module._parameters and not (value is None or isinstance(value, nn.Parameter)):
        delattr(module, name)
    if name in module._modules and not (value is None or is_module(value)):
        delattr(module, name)
    setattr(module, name, value)


class Net(nn.Module):
    def __init__(self, n=2):
        super().__init__()
        ls, x = [nn.Linear(2, 2)], nn.Linear(1, 2)
%s
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("sources")
    (found / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(statements, min_size=1, max_size=6))
def test_a_key_is_right_or_open(folder: Path, body: list[str]) -> None:
    assert_never_wrong(program(folder, HEAD + NET % indent("\n".join(body), " " * 8)))
