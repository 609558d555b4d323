"""What a source does not tell is open, with its line and the reason; what it does tell is certain, and never wrong."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent

import pytest

import ckptnames
from tests.prediction.static.against_built import assert_never_wrong, program, read

CONFIG = {"x": 1, "i": 1, "n": 2, "yes": True, "k": "q", "build": "build_it", "sizes": [2, 3], "name": "Linear"}

PARTLY_KNOWN = {
    "a number of layers": (
        """
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(CFG["n"])])
        self.head = nn.Linear(4, 1)
        """,
        ["layers.?"],
    ),
    "layers added in a loop": (
        """
        self.head = nn.Linear(4, 1)
        self.blocks = nn.Sequential()
        for i in range(CFG["n"]):
            self.blocks.append(nn.Linear(4, 4))
        """,
        ["blocks.?"],
    ),
    "a size": ("self.a = nn.Linear(CFG['x'], 4)", []),
    "a branch": (
        """
        if CFG["yes"]:
            self.a = nn.Linear(1, 1)
        else:
            self.a = nn.Conv1d(1, 1, 1)
        self.b = nn.Linear(2, 2)
        """,
        ["a.?"],
    ),
    "a branch that leaves": (
        """
        self.b = nn.Linear(2, 2)
        if CFG["yes"]:
            self.c = nn.Linear(3, 3)
            return
        self.d = nn.Linear(4, 4)
        """,
        ["c.?", "d.?"],
    ),
    "one of two is changed": (
        """
        self.a, self.b, self.c = nn.Linear(2, 2), nn.Linear(3, 3), nn.Linear(4, 4)
        chosen = self.a if CFG["x"] else self.b
        chosen.bias = None
        """,
        ["a.?", "b.?"],
    ),
    "an item of a list is changed": (
        """
        self.ls = nn.ModuleList([nn.Linear(2, 2), nn.Linear(3, 3)])
        self.other = nn.Linear(1, 1)
        self.ls[CFG["i"]].extra = nn.Linear(1, 1)
        """,
        ["ls.?"],
    ),
    "a list that grew is gone through": (
        """
        ls = [nn.Linear(2, 2)]
        self.first = ls[0]
        for _ in range(CFG["n"]):
            ls.append(nn.Linear(3, 3))
        for m in ls:
            m.more = nn.Linear(1, 1)
        self.sure = nn.Linear(1, 1)
        """,
        ["first.?"],
    ),
    "a method of a name that is not known": (
        """
        self.a = nn.Linear(1, 1)
        getattr(self, CFG["build"])()
        """,
        ["?"],
    ),
    "a name that is not known": ("setattr(self, CFG['k'], nn.Linear(1, 1))", ["?"]),
    "a class that is not known": (
        """
        self.a = getattr(nn, CFG["name"])(2, 2)
        self.b = nn.Linear(1, 1)
        """,
        ["a.?"],
    ),
    "perhaps an exception": (
        """
        try:
            size = CFG["not there"]
            self.a = nn.Linear(2, 2)
        except KeyError:
            self.b = nn.Linear(2, 2)
        """,
        ["a.?", "b.?"],
    ),
    "a dict with a key that is not known": (
        """
        layers = {"a": nn.Linear(2, 2)}
        layers[CFG["k"]] = nn.Linear(3, 3)
        self.d = nn.ModuleDict(layers)
        self.e = nn.Linear(1, 1)
        """,
        ["d.?"],
    ),
    "perhaps deleted": (
        """
        self.a = nn.Linear(1, 1)
        for key in CFG:
            if key == "x":
                del self.a
        """,
        ["a.?"],
    ),
    "perhaps persistent, perhaps converted": (
        """
        self.register_buffer("z", torch.zeros(3), persistent=CFG["yes"])
        self.a = nn.Linear(1, 1)
        if CFG["yes"]:
            self.a.half()
        """,
        ["z.?"],
    ),
    "code that is made of text": (
        """
        self.a = nn.Linear(1, 1)
        exec("self.b = nn.Linear(2, 2)")
        """,
        ["?"],
    ),
    "numbers are no modules": (
        """
        self.depth, self.rate = CFG["n"], CFG["x"] * 0.1
        self.sizes = [int(s) + 1 for s in CFG["sizes"]]
        self.a = nn.Linear(2, 2)
        """,
        [],
    ),
    "a state dict of its own": (
        """
        self.a = nn.Linear(2, 2)
        self.inner = Saying()
        """,
        ["inner.?"],
    ),
}

HEAD = """
import json
from pathlib import Path

with open(Path(__file__).with_name("config.json")) as file:
    CFG = json.load(file)

class Saying(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(1, 1)
    def state_dict(self, *args, **kwargs):
        return super().state_dict(*args, **kwargs)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
%s
    def build_it(self):
        self.built = nn.Linear(1, 1)
"""


def with_config(folder: Path, body: str) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return program(folder, HEAD % indent(dedent(body).strip("\n"), " " * 8))


@pytest.mark.parametrize("name", PARTLY_KNOWN)
def test_what_is_open_is_open_and_the_rest_is_right(name: str, tmp_path: Path) -> None:
    body, patterns = PARTLY_KNOWN[name]
    said = assert_never_wrong(with_config(tmp_path, body))
    assert [part.pattern for part in said.open] == patterns
    assert said.partial == bool(patterns)
    assert all(part.where.startswith(f"{tmp_path}/net.py:") and part.reason for part in said.open)


def test_a_part_says_its_line_and_why(tmp_path: Path) -> None:
    said = read(
        program(
            tmp_path,
            """
            import kernels_of_nobody

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.encoder = kernels_of_nobody.Encoder(4)
                    self.head = nn.Linear(4, 2)
            """,
        )
    )
    assert list(said) == ["head.weight", "head.bias"]
    (part,) = said.open
    assert str(part) == f"'encoder.?' is open: 'kernels_of_nobody' is not installed ({tmp_path}/net.py:5)"
    assert part.covers("encoder.layers.0.weight")
    assert not part.covers("head.weight")
    assert not part.covers("encoders.weight")


def test_what_comes_from_a_file_may_be_a_module(tmp_path: Path) -> None:
    said = read(
        program(
            tmp_path,
            """
            import pickle, random

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.a = torch.load("a.pt")
                    self.b = pickle.load(open("b", "rb"))
                    self.c = random.choice([nn.Linear(1, 1), nn.Identity()])
                    self.d = torch.hub.load("org/repo", "net")
                    self.e = random.random()
            """,
        )
    )
    assert [part.pattern for part in said.open] == ["a.?", "b.?", "c.?", "d.?"]
    assert list(said) == []


def test_code_that_nothing_is_known_of_may_change_what_it_is_given(tmp_path: Path) -> None:
    said = read(
        program(
            tmp_path,
            """
            from kernels_of_nobody import patch, Holder

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.sure = nn.Linear(1, 1)
                    self.given = nn.Linear(1, 1)
                    patch(self.given)
                    holder = Holder()
                    holder.module = nn.Linear(2, 2)
                    self.held = holder.module
            """,
        )
    )
    assert list(said) == ["sure.weight", "sure.bias"]
    assert [part.pattern for part in said.open] == ["given.?", "held.?"]


def test_a_module_that_is_in_memory_is_predicted_as_ever() -> None:
    from torch import nn

    assert list(ckptnames.predict(nn.Linear(2, 2), static=True)) == ["weight", "bias"]
