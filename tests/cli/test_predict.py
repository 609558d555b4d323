"""``ckptnames predict`` as a person runs it, and the other commands where a model stands for a checkpoint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

import ckptnames
from ckptnames.cli.main import cli, main
from tests.predict.sources import write

Run = Callable[..., Result]

NET = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)


class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.spare = [Block()]
        self.head = nn.Linear(4, classes)
        self.again = self.head
"""

SCREEN = """\
model.py:Net  model, 656 bytes

KEY                                                        SHAPE  DTYPE  KEYS
blocks.{0-2}.fc.weight                                       4×4  F32       3
blocks.{0-2}.fc.bias                                           4  F32       3
blocks.{0-2}.norm.{weight,bias,running_mean,running_var}       4  F32      12
blocks.{0-2}.norm.num_batches_tracked                     scalar  I64       3
{head,again}.weight                                         10×4  F32       2
{head,again}.bias                                             10  F32       2

25 keys, 161 elements, 656 bytes = 632 bytes F32 + 24 bytes I64 (ties counted once)

doctor:
  'spare' is a plain list: in no state dict, with 1 Block (7 weights); use
    nn.ModuleList (model.py:16)
  'again' is 'head': one Linear, whose keys are saved under two names
    (model.py:18)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    write(Path("model.py"), NET)
    return lambda *args, **kw: CliRunner().invoke(cli, [str(arg) for arg in args], **kw)


def net() -> nn.Module:
    names: dict[str, Callable[[], nn.Module]] = {}
    exec(Path("model.py").read_text(), names)
    return names["Net"]()


def test_the_screen(run: Run) -> None:
    result = run("predict", "model.py:Net")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == SCREEN


def test_wrapped(run: Run) -> None:
    result = run("predict", "model.py:Net", "--wrap", "compile@head", "--wrap", "ddp")
    lines = result.stdout.splitlines()
    assert lines[:3] == ["model.py:Net  model, 656 bytes", "wrapped in compile@head, then ddp", ""]
    assert any(line.startswith("module.head._orig_mod.weight ") for line in lines)
    inner: Any = net()
    inner.head = torch.compile(inner.head, backend="eager")
    plain = nn.DataParallel(inner)
    flat = run("predict", "model.py:Net", "--wrap", "compile@head", "--wrap", "ddp", "--flat").stdout
    assert [line.split("\t")[0] for line in flat.splitlines()] == list(plain.state_dict())


def test_flat(run: Run) -> None:
    result = run("predict", "model.py:Net", "--flat")
    assert result.stdout.splitlines()[:2] == ["blocks.0.fc.weight\t4×4\tF32", "blocks.0.fc.bias\t4\tF32"]
    assert len(result.stdout.splitlines()) == 25


def test_json_can_be_read_again(run: Run) -> None:
    result = run("predict", "model.py:Net", "--wrap", "dp", "--json")
    found = json.loads(result.stdout)
    assert list(found) == ["format", "container", "containers", "tensors", "ties", "notes"]
    assert (found["format"], found["container"], len(found["tensors"])) == ("model", "", 25)
    assert found["tensors"]["module.blocks.0.norm.num_batches_tracked"] == {"dtype": "I64", "shape": [], "nbytes": 8}
    assert found["ties"] == [["module.head.weight", "module.again.weight"], ["module.head.bias", "module.again.bias"]]
    assert found["notes"] == [
        "'spare' is a plain list: in no state dict, with 1 Block (7 weights); use nn.ModuleList (model.py:16)",
        "'again' is 'head': one Linear, whose keys are saved under two names (model.py:18)",
    ]
    Path("names.json").write_text(result.stdout)
    torch.save(nn.DataParallel(net()).state_dict(), "trained.pt")
    assert ckptnames.diff("trained.pt", "names.json").same


def test_one_key_explained(run: Run) -> None:
    result = run("predict", "model.py:Net", "--explain", "blocks.1.fc.weight")
    assert (result.exit_code, result.stdout) == (
        0,
        "blocks.1.fc.weight\n"
        "  blocks  attribute of Net     model.py:15\n"
        "  1       ModuleList index     model.py:15\n"
        "      self.blocks = nn.ModuleList(Block() for _ in range(3))\n"
        "  fc      attribute of Block   model.py:8\n"
        "  weight  parameter of Linear  model.py:8\n"
        "      self.fc = nn.Linear(4, 4)\n",
    )


ALL = """\
module                      wrapper (--wrap)
  blocks                    attribute of Net          model.py:15
    {0-2}                   ModuleList index          model.py:15
      fc                    attribute of Block        model.py:8
        weight, bias        parameter of Linear       model.py:8
      norm                  attribute of Block        model.py:9
        weight, bias        parameter of BatchNorm1d  model.py:9
        running_mean, running_var, num_batches_tracked
                            buffer of BatchNorm1d     model.py:9
  head                      attribute of Net          model.py:17
    weight, bias            parameter of Linear       model.py:17
  again                     attribute of Net          model.py:18
    weight, bias            parameter of Linear       model.py:17
"""


def test_all_explained(run: Run) -> None:
    for args in (["model.py:Net", "--wrap", "ddp", "--explain"], ["--wrap", "ddp", "--explain", "model.py:Net"]):
        result = run("predict", *args)
        assert result.exit_code == 0, result.stderr
        assert [line.split() for line in result.stdout.splitlines()] == [line.split() for line in ALL.splitlines()]
        assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_module_explained(run: Run) -> None:
    result = run("predict", "model.py:Net", "--explain", "head")
    assert result.stdout == (
        "head            attribute of Net     model.py:17\n  weight, bias  parameter of Linear  model.py:17\n"
    )


def test_explained_as_json(run: Run) -> None:
    found = json.loads(run("predict", "model.py:Net", "--explain", "head.bias", "--json").stdout)
    assert found["origins"] == {
        "head.bias": [
            {
                "segment": "head",
                "rule": "attribute",
                "owner": "Net",
                "was": None,
                "file": str(Path("model.py").resolve()),
                "line": 17,
            },
            {
                "segment": "bias",
                "rule": "parameter",
                "owner": "Linear",
                "was": None,
                "file": str(Path("model.py").resolve()),
                "line": 17,
            },
        ]
    }


@pytest.mark.parametrize(
    ("args", "code", "help"),
    [
        ([], "bad-usage", "name one, as in 'ckptnames predict model.py:Net'"),
        (["model.py:Net", "--flat", "--explain"], "bad-usage", "give one of the two"),
        (["model.py:Net", "--wrap", "dpp"], "unknown-wrapper", "did you mean 'dp'?"),
        (["model.py:Net", "--wrap", "ddp@hed"], "no-such-submodule", "did you mean 'head'?"),
        (["model.py:Net", "--explain", "hed.bias"], "no-such-key", "did you mean 'head.bias'?"),
        (["model.py:Nett"], "no-such-name", "did you mean 'model.py:Net'?"),
        (["model.py"], "model-not-named", "name it behind a colon, as in model.py:Block"),
        (["trained.pt"], "not-a-model", "what is in it is shown by: ckptnames ls trained.pt"),
        (
            ["nowhere.pt"],
            "not-a-model",
            "write it as file.py:NAME or package.module:NAME, as in 'model.py:Net(depth=18)'",
        ),
        (["torch.nn.Linear"], "not-a-model", "did you mean torch.nn:Linear?"),
        (["https://example.org/model.py:Net"], "operand-not-supported", "download it, and give the path of the file"),
    ],
)
def test_what_cannot_run_exits_2(run: Run, args: list[str], code: str, help: str) -> None:
    torch.save({"a": torch.zeros(2)}, "trained.pt")
    result = run("predict", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error[{code}]: ")
    assert result.stderr.endswith(f"  help: {help}\n")
    found = json.loads(run("predict", *args, "--json").stdout)
    assert found["error"]["code"] == code


# What a model's code prints


NOISY = """
import os
import subprocess

print("printed while importing")
os.write(1, b"written while importing\\n")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        print("printed while building")
        subprocess.run(["echo", "by another program"])
        self.fc = nn.Linear(1, 1)
"""


@pytest.mark.parametrize("args", [["predict", "--flat"], ["predict", "--json"], ["ls", "--flat"], ["diff", "a.pt"]])
def test_what_code_prints_is_not_among_the_answer(run: Run, capfd: pytest.CaptureFixture[str], args: list[str]) -> None:
    write(Path("noisy.py"), NOISY)
    torch.save({"fc.weight": torch.zeros(1, 1), "fc.bias": torch.zeros(1)}, "a.pt")
    assert main([*args, "noisy.py:Net"]) == 0
    printed = capfd.readouterr()
    for line in ("printed while importing", "written while importing", "printed while building", "by another program"):
        assert line in printed.err
        assert line not in printed.out
    assert "fc.weight" in printed.out or "Nothing differs" in printed.out


def test_hostile_names_cannot_steer_the_terminal(run: Run) -> None:
    write(
        Path("hostile.py"),
        'net = nn.ModuleDict({"\\x1b[31mred": nn.Linear(1, 1)})\nnet.held = {"\\x1b[31m": [nn.PReLU()]}\n',
    )
    for args in (["--flat"], [], ["--explain"], ["--explain", "\x1b[31mred.bias"], ["--explain", "\x1b"]):
        result = run("predict", "hostile.py:net", *args)
        assert "\x1b" not in result.output


# The other commands


def test_ls(run: Run) -> None:
    result = run("ls", "model.py:Net")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:4] == SCREEN.splitlines()[:4]
    assert "tied: head.weight = again.weight" in result.stdout
    assert "doctor" not in result.stdout


def test_the_command_that_diff_suggests_makes_a_file_that_loads(run: Run) -> None:
    torch.save({"state_dict": nn.DataParallel(net()).state_dict(), "epoch": 1}, "trained.pt")
    shown = run("diff", "trained.pt", "model.py:Net(classes=10)")
    assert shown.exit_code == 1
    commands = [line.strip() for line in shown.stdout.splitlines() if line.startswith("  ckptnames")]
    assert commands == ["ckptnames fix trained.pt --strip module --like 'model.py:Net(classes=10)' -o trained.fixed.pt"]
    fixed = run(*shlex.split(commands[0])[1:])
    assert fixed.exit_code == 0, fixed.stderr
    net().load_state_dict(torch.load("trained.fixed.pt", weights_only=True)["state_dict"])
    assert run("diff", "trained.fixed.pt", "model.py:Net").exit_code == 0


def test_fix_like_a_model(run: Run) -> None:
    torch.save(nn.DataParallel(net()).state_dict(), "trained.pt")
    assert run("fix", "trained.pt", "--like", "model.py:Net", "-o", "out.pt").exit_code == 0
    net().load_state_dict(torch.load("out.pt", weights_only=True))
    assert run("fix", "trained.pt", "--like", "model.py:Net(classes=3)", "-o", "other.pt").exit_code == 1
    assert not Path("other.pt").exists()


def test_the_other_way_round_diff_says_to_turn_it(run: Run) -> None:
    torch.save(nn.DataParallel(net()).state_dict(), "trained.pt")
    shown = run("diff", "model.py:Net", "trained.pt")
    assert shown.exit_code == 1
    commands = [line.strip() for line in shown.stdout.splitlines() if line.startswith("  ckptnames")]
    assert commands == ["ckptnames diff trained.pt model.py:Net"]
    assert run(*shlex.split(commands[0])[1:]).exit_code == 1


def test_two_models(run: Run) -> None:
    write(Path("other.py"), NET.replace("self.head", "self.classifier"))
    shown = run("diff", "model.py:Net", "other.py:Net")
    assert shown.exit_code == 1
    assert "ckptnames fix" not in shown.stdout
    assert run("diff", "model.py:Net", "model.py:Net()").exit_code == 0


def test_a_model_is_not_fixed(run: Run) -> None:
    result = run("fix", "model.py:Net", "--add", "module", "-o", "out.pt")
    assert result.exit_code == 2
    assert result.stderr.startswith("error[cannot-rewrite]: ")
    assert not Path("out.pt").exists()


def test_help_lists_it(run: Run) -> None:
    assert "predict  The names that a model's state_dict will have, and why." in run("--help").stdout
    assert "ckptnames predict model.py:Net --explain layers.0.weight" in run("predict", "--help").stdout
