"""Code without an end, and code that is too deep, ends as an open part with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptnames.prediction.static.answer import Answer
from ckptnames.prediction.static.budget import STEPS, Budget
from ckptnames.prediction.static.interpreter import machine
from tests.prediction.static.against_built import program

ENDLESS = {
    "a loop": "while True:\n    x = 1",
    "a loop over an iterator": "import itertools\nfor i in itertools.count():\n    x = i",
    "a recursion": "def f(n):\n    return f(n + 1)\nself.y = f(0)",
    "a recursion of classes": "class A:\n    def __init__(self):\n        self.a = A()\nself.y = A()",
    "a module in a module": "self.y = type(self)()",
    "a number": "n = 10\nwhile n:\n    n = n ** n",
    "a list": "ls = [0]\nwhile True:\n    ls = ls + ls",
    "a text": "t = 'x' * 10 ** 12",
    "a generator": "def g():\n    while True:\n        yield 1\nself.y = list(g())",
    "deep nesting": "x = " + "(" * 150 + "1" + ")" * 150,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_it_ends_and_what_comes_before_and_after_is_told(name: str, tmp_path: Path) -> None:
    body = "".join(f"        {line}\n" for line in ENDLESS[name].splitlines())
    path = program(
        tmp_path,
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.before = nn.Linear(1, 1)\n        self.part = self.make()\n"
        f"        self.after = nn.Linear(2, 2)\n    def make(self):\n{body}        return nn.Linear(3, 3)\n",
    )
    answer = Answer(f"{path}:Net")
    said = answer.manifest()
    assert answer.followed.machine.budget.left > -STEPS
    known = {"before.weight", "before.bias", "part.weight", "part.bias", "after.weight", "after.bias"}
    assert set(said) <= known
    assert all(key in said or said.may_have(key) for key in known)
    assert all(part.where for part in said.open)


def test_code_that_takes_too_many_steps_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "Budget", lambda: Budget(20_000))
    path = program(
        tmp_path,
        """
        class Slow(nn.Module):
            def __init__(self):
                super().__init__()
                for a in range(1000):
                    for b in range(1000):
                        self.x = b

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.before = nn.Linear(1, 1)
                self.slow = Slow()
                self.after = nn.Linear(1, 1)
        """,
    )
    said = Answer(f"{path}:Net").manifest()
    assert list(said) == ["before.weight", "before.bias", "after.weight", "after.bias"]
    (part,) = said.open
    assert part.pattern == "slow.?"
    assert part.where.startswith(f"{path}:")


def test_a_model_of_many_layers_is_not_too_many(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        class Net(nn.Module):
            def __init__(self, n=600):
                super().__init__()
                self.layers = nn.ModuleList(nn.Sequential(nn.Linear(i + 1, 2), nn.ReLU()) for i in range(n))
        """,
    )
    said = Answer(f"{path}:Net").manifest()
    assert len(said) == 1200
    assert said["layers.599.0.weight"].shape == (2, 600)
    assert said.open == ()


def test_source_that_python_itself_cannot_read_is_an_error(tmp_path: Path) -> None:
    from ckptnames.errors import NotPython

    path = tmp_path / "net.py"
    path.write_text("x = " + "-" * 100_000 + "1\n", encoding="utf-8")
    with pytest.raises(NotPython):
        Answer(f"{path}:Net")
