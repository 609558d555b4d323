"""What ``diff`` tells to paste, pasted into a real shell: the file it makes loads into the model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ckptnames
from ckptnames.cli.main import cli
from ckptnames.report.remedy import edit_flags
from ckptnames.rules import Rules

ROOT = Path(ckptnames.__file__).parents[1]
State = dict[str, torch.Tensor]


def net(classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4), blocks=blocks, fc=nn.Linear(4, classes))
    )


def renamed(rename: Callable[[str], str], **more: torch.Tensor) -> State:
    return {**more, **{rename(key): value for key, value in net().state_dict().items()}}


def in_wrappers(key: str) -> str:
    inside = key.replace("blocks.0.", "blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module.")
    return f"_fsdp_wrapped_module.{inside}"


SOURCES: dict[str, State] = {
    "data parallel": renamed(lambda key: f"module.{key}"),
    "averaged": renamed(lambda key: f"module.{key}", n_averaged=torch.tensor(3)),
    "wrappers everywhere": renamed(in_wrappers),
    "wrappers everywhere, averaged": renamed(in_wrappers, n_averaged=torch.tensor(3)),
    "an attribute": renamed(lambda key: f"my net.{key}"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(net().state_dict(), "target.pt")


def shown(*args: str) -> str:
    result = CliRunner().invoke(cli, ["diff", *args])
    assert result.exit_code == 1
    return result.stdout


def commands(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("  ckptnames fix ")]


def pasted(command: str) -> str:
    """Run a command in bash, and give its output file."""
    script = f'ckptnames() {{ "{sys.executable}" -m ckptnames "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.decode().splitlines()[-1].removeprefix("wrote ")


@pytest.mark.parametrize("source", SOURCES)
def test_from_a_target(source: str) -> None:
    torch.save(SOURCES[source], "source.pt")
    (command,) = commands(shown("source.pt", "target.pt"))
    net().load_state_dict(torch.load(pasted(command), weights_only=True))


@pytest.mark.parametrize("source", SOURCES)
def test_from_the_message_of_torch(source: str) -> None:
    torch.save(SOURCES[source], "source.pt")
    with pytest.raises(RuntimeError) as caught:
        net().load_state_dict(SOURCES[source])
    Path("error.txt").write_text(str(caught.value))
    (command,) = commands(shown("source.pt", "--error", "error.txt"))
    net().load_state_dict(torch.load(pasted(command), weights_only=True))


@pytest.mark.parametrize("source", SOURCES)
def test_the_line_for_python(source: str) -> None:
    state_dict = SOURCES[source]
    torch.save(state_dict, "source.pt")
    lines = [line for line in shown("source.pt", "target.pt").splitlines() if "model.load_state_dict" in line]
    if source == "wrappers everywhere, averaged":
        assert lines == []  # It would be a line of many rules.
        return
    (line,) = lines
    model = net(10)
    exec(line.strip(), {"model": model, "state_dict": state_dict, "ckptnames": ckptnames})
    assert all(torch.equal(value, net().state_dict()[key]) for key, value in model.state_dict().items())


def test_a_head_of_another_size_keeps_the_rest() -> None:
    torch.save(SOURCES["data parallel"], "source.pt")
    other = net(3)
    torch.save(other.state_dict(), "target.pt")
    (command,) = commands(shown("source.pt", "target.pt"))
    missing, unexpected = other.load_state_dict(torch.load(pasted(command), weights_only=True), strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(lambda: torch.save(net(), "source.pt"), id="a whole module"),
        pytest.param(lambda: torch.save({"w": torch.zeros(3)}, "source.pt"), id="another model"),
    ],
)
def test_no_command_where_none_would_do(what: Callable[[], None]) -> None:
    what()
    result = CliRunner().invoke(cli, ["diff", "source.pt", "target.pt"])
    assert [line for line in commands(result.stdout) if "--rules" not in line] == []


@pytest.mark.parametrize(
    ("rules", "flags"),
    [
        ("module.** -> **", ["--strip", "module"]),
        ("** -> a.b.**", ["--add", "a.b"]),
        ("a -> b\nb -> a", ["--rule", "a -> b", "--rule", "b -> a"]),
        ("a.** -> **\n---\nb -> c", ["--strip", "a", "--rule", "b -> c"]),
        ("b -> c\n---\n** -> a.**\n---\nd -> e", ["--rule", "b -> c", "--add", "a", "--rule", "d -> e"]),
        ("a -> b\n---\nb -> c", None),
        ('"my net".** -> **', ["--rule", '"my net".** -> **']),
        ("a.{i:d}.** -> **", ["--rule", "a.{i:d}.** -> **"]),
    ],
)
def test_rules_as_flags(rules: str, flags: list[str] | None) -> None:
    assert edit_flags(Rules.parse(rules)) == flags
