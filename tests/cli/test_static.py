"""``--static``: models are read wherever they are named, and what is open is told on every way out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from ckptnames.cli.main import cli
from tests.schemas import validate

MODEL = """
import kernels_of_nobody
import torch.nn as nn

print("this is run")


class Net(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.encoder = kernels_of_nobody.Encoder(n)
        self.head = nn.Linear(4, n)
        self.lost = [nn.Linear(2, 2)]


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 2)
"""
OPEN = "'encoder.?' is open: 'kernels_of_nobody' is not installed (model.py:2)"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL, encoding="utf-8")


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def trained(prefix: str = "") -> None:
    body = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).state_dict(prefix=f"{prefix}body.")
    torch.save({**body, **nn.Linear(4, 2).state_dict(prefix=f"{prefix}head.")}, "trained.pt")


def test_no_line_of_it_runs() -> None:
    events: list[str] = []
    watching = True

    def hook(event: str, args: tuple[object, ...]) -> None:
        if watching and event in ("exec", "import"):
            events.append(str(args[0]))

    sys.addaudithook(hook)
    result = run("predict", "model.py:Net", "--static")
    watching = False
    assert "this is run" not in result.output
    assert not any("model.py" in event or "kernels_of_nobody" in event for event in events)
    assert "kernels_of_nobody" not in sys.modules


def test_the_screen() -> None:
    result = run("predict", "model.py:Net", "--static")
    assert result.exit_code == 1
    assert result.stdout == (
        "model.py:Net  model-source, 60 bytes\n"
        "\n"
        "KEY          SHAPE  DTYPE\n"
        "head.weight    3×4  F32\n"
        "head.bias        3  F32\n"
        "\n"
        "2 keys, 15 elements, 60 bytes F32\n"
        "\n"
        "open, with the line that does not tell what is there:\n"
        "  encoder.?  'kernels_of_nobody' is not installed  model.py:2\n"
        "\n"
        "doctor:\n"
        "  'lost' is a plain list: in no state dict, with 1 Linear (2 weights); use\n"
        "    nn.ModuleList (model.py:13)\n"
    )


def test_json_says_what_is_open_and_can_be_read_again() -> None:
    result = run("predict", "model.py:Net", "--static", "--json")
    found = validate("predict", 0, result.stdout)
    assert result.exit_code == 1
    assert list(found["tensors"]) == ["head.weight", "head.bias"]
    reason = "'kernels_of_nobody' is not installed"
    assert found["open"] == [{"pattern": "encoder.?", "reason": reason, "where": "model.py:2", "all_of_it": True}]
    Path("names.json").write_text(result.stdout, encoding="utf-8")
    again = run("ls", "names.json", "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["open"] == found["open"]
    assert run("diff", "model.py:Net", "names.json", "--static").exit_code == 1


def test_a_list_of_keys_says_on_stderr_what_it_lacks() -> None:
    for command in ("predict", "ls"):
        result = run(command, "model.py:Net", "--static", "--flat")
        assert (result.exit_code, result.stdout) == (1, "head.weight\t3×4\tF32\nhead.bias\t3\tF32\n")
        assert result.stderr == f"note: {OPEN}\n"


def test_what_is_whole_exits_with_0() -> None:
    assert run("predict", "model.py:Whole", "--static").exit_code == 0
    assert run("ls", "model.py:Whole", "--static").exit_code == 0


def test_each_segment_is_explained_by_its_line() -> None:
    result = run("predict", "model.py:Whole", "--static", "--explain", "body.0.weight")
    assert result.stdout == (
        "body.0.weight\n"
        "  body    attribute of Whole   model.py:19\n"
        "  0       Sequential index     model.py:19\n"
        "  weight  parameter of Linear  model.py:19\n"
        "      self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())\n"
    )


def test_a_key_of_what_is_open_is_explained_by_the_line_that_stops() -> None:
    result = run("predict", "model.py:Net", "--static", "--explain", "encoder.layers.0.weight")
    assert "encoder  attribute of Net" in result.stdout
    assert "?        open: 'kernels_of_nobody' is not installed  model.py:2" in result.stdout
    found = validate("predict", 0, run("predict", "model.py:Net", "--static", "--explain", "--json").stdout)
    assert found["origins"]["encoder.?"][-1]["rule"] == "open"


def test_wrapping() -> None:
    result = run("predict", "model.py:Net", "--static", "--wrap", "compile@encoder", "--wrap", "ddp", "--json")
    found = validate("predict", 0, result.stdout)
    assert list(found["tensors"]) == ["module.head.weight", "module.head.bias"]
    assert [part["pattern"] for part in found["open"]] == ["module.encoder._orig_mod.?"]


def test_what_is_only_unknown_is_not_missing() -> None:
    names = {"encoder.a.weight": torch.zeros(2), "head.weight": torch.zeros(3, 4), "head.bias": torch.zeros(3)}
    torch.save({**names, "other": torch.zeros(1)}, "trained.pt")
    result = run("diff", "trained.pt", "model.py:Net", "--static", "--json")
    found = validate("diff", result.exit_code, result.stdout)
    assert (found["missing"], found["unexpected"], found["matched"]) == ([], ["other"], 2)
    assert [(c["code"], c["targets"], c["message"]) for c in found["cautions"]] == [
        ("open-target", ["encoder.?"], OPEN)
    ]
    back = json.loads(run("diff", "model.py:Net", "trained.pt", "--static", "--json").stdout)
    assert (back["missing"], back["unexpected"]) == (["other"], [])


def test_what_is_open_keeps_a_diff_from_saying_that_nothing_differs() -> None:
    torch.save({"head.weight": torch.zeros(3, 4), "head.bias": torch.zeros(3)}, "trained.pt")
    result = run("diff", "trained.pt", "model.py:Net", "--static")
    assert result.exit_code == 1
    assert "Nothing differs in what is known: 2 keys" in result.stdout
    assert "target  encoder.?  'kernels_of_nobody' is not installed  model.py:2" in result.stdout


def test_a_prefix_is_found_and_its_command_reads_the_model_again() -> None:
    trained("module.")
    result = run("diff", "trained.pt", "model.py:Whole", "--static")
    assert "strip `module.`" in result.stdout
    (command,) = [line.strip() for line in result.stdout.splitlines() if line.startswith("  ckptnames fix")]
    args = command.split()[1:]
    assert "--static" in args or "--like" not in args
    assert run(*args).exit_code == 0
    assert run("diff", "trained.fixed.pt", "model.py:Whole", "--static").exit_code == 0


def test_fix_reads_its_target() -> None:
    trained("module.")
    assert run("fix", "trained.pt", "--like", "model.py:Whole", "--static", "-o", "out.pt").exit_code == 0
    assert list(torch.load("out.pt")) == ["body.0.weight", "body.0.bias", "head.weight", "head.bias"]


def test_fix_does_not_guess_what_is_open() -> None:
    trained("module.")
    args = ("fix", "trained.pt", "--like", "model.py:Net(n=2)", "--static", "-o", "out.pt")
    result = run(*args)
    assert result.exit_code == 1
    assert result.stderr.startswith("error[open-target]: ")
    assert not Path("out.pt").exists()
    accepted = run(*args, "--allow", "open-target=encoder.**")
    assert accepted.exit_code == 0, accepted.stderr
    assert list(torch.load("out.pt"))[-1] == "head.bias"
