"""``ckptnames fix`` as a person runs it; torch and safetensors read what it wrote."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from torch import nn

from ckptnames.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(cli, [str(arg) for arg in args])


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4), fc=nn.Linear(4, 10)))


def training_file(path: str, model: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.AdamW(model.named_parameters())
    content = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(content, path)
    return content


def test_strip_writes_a_file_that_torch_loads(run: Run) -> None:
    wrapped = nn.DataParallel(net())
    content = training_file("ddp.pt", wrapped)
    result = run("fix", "ddp.pt", "--strip", "module.", "-o", "plain.pt")
    assert result.exit_code == 0, result.output
    written = torch.load("plain.pt", weights_only=True)
    plain = net()
    plain.load_state_dict(written["state_dict"])
    for key, value in plain.state_dict().items():
        assert torch.equal(value, content["state_dict"][f"module.{key}"])
    assert written["state_dict"]._metadata == plain.state_dict()._metadata  # type: ignore[attr-defined]
    assert written["epoch"] == 3
    assert written["optimizer"]["param_groups"][0]["param_names"] == [
        f"module.{name}" for name, _ in plain.named_parameters()
    ]


def test_what_a_rename_leaves_stale_is_said_and_also_mends_it(run: Run) -> None:
    training_file("ddp.pt", nn.DataParallel(net()))
    result = run("fix", "ddp.pt", "--strip", "module", "-o", "plain.pt")
    assert "'optimizer' still holds" in result.stderr
    result = run("fix", "ddp.pt", "--strip", "module", "--also", "optimizer", "-o", "both.pt")
    assert result.exit_code == 0, result.output
    assert "still holds" not in result.stderr
    names = torch.load("both.pt", weights_only=True)["optimizer"]["param_groups"][0]["param_names"]
    assert names == [name for name, _ in net().named_parameters()]


def test_like_finds_the_rules(run: Run) -> None:
    training_file("ddp.pt", nn.DataParallel(torch.compile(net(), backend="eager")))  # type: ignore[type-var]
    save_file(net().state_dict(), "plain.safetensors")
    result = run("fix", "ddp.pt", "--like", "plain.safetensors", "-o", "out.pt")
    assert result.exit_code == 0, result.output
    net().load_state_dict(torch.load("out.pt", weights_only=True)["state_dict"])


def test_safetensors_keep_their_metadata(run: Run) -> None:
    save_file({f"module.{k}": v for k, v in net().state_dict().items()}, "a.safetensors", metadata={"format": "pt"})
    assert run("fix", "a.safetensors", "--strip", "module", "-o", "b.safetensors").exit_code == 0
    net().load_state_dict(load_file("b.safetensors"))
    assert b'"__metadata__":{"format":"pt"}' in Path("b.safetensors").read_bytes()


def test_flags_are_stages_in_their_order(run: Run) -> None:
    torch.save({"a.b.w": torch.zeros(2)}, "x.pt")
    assert run("fix", "x.pt", "--strip", "a", "--add", "c", "--rule", "c.b.** -> d.**", "-o", "y.pt").exit_code == 0
    assert list(torch.load("y.pt", weights_only=True)) == ["d.w"]
    assert run("fix", "x.pt", "--add", "c", "--strip", "c.a", "-o", "z.pt").exit_code == 0
    assert list(torch.load("z.pt", weights_only=True)) == ["b.w"]


def test_rules_of_one_stage_swap(run: Run) -> None:
    torch.save({"q": torch.zeros(2), "k": torch.ones(2)}, "x.pt")
    assert run("fix", "x.pt", "--rule", "q -> k", "--rule", "k -> q", "-o", "y.pt").exit_code == 0
    assert torch.load("y.pt", weights_only=True)["q"].tolist() == [1, 1]


def test_a_prefix_on_half_the_keys_lists_both_halves(run: Run) -> None:
    torch.save({"module.a": torch.zeros(2), "b": torch.zeros(2)}, "x.pt")
    result = run("fix", "x.pt", "--strip", "module", "-o", "y.pt")
    assert result.exit_code == 1
    assert result.stderr == (
        "error[partial-prefix]: 'module.' stands on 1 of 2 keys, not on all\n"
        "  --> x.pt\n"
        "  with:    module.a\n"
        "  without: b\n"
        "  help: to strip it where it stands: --rule 'module.** -> **'. Nothing was written\n"
    )
    assert not Path("y.pt").exists()


def test_a_prefix_on_half_the_keys_is_fine_where_the_rest_are_right(run: Run) -> None:
    torch.save({"module.a": torch.zeros(2), "b": torch.zeros(2)}, "x.pt")
    torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, "like.pt")
    assert run("fix", "x.pt", "--strip", "module", "--like", "like.pt", "-o", "y.pt").exit_code == 0
    assert sorted(torch.load("y.pt", weights_only=True)) == ["a", "b"]


def test_a_head_of_another_size_is_said_and_allowed_by_name(run: Run) -> None:
    torch.save(nn.DataParallel(net()).state_dict(), "x.pt")
    other = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4), fc=nn.Linear(4, 3)))
    torch.save(other.state_dict(), "like.pt")
    refused = run("fix", "x.pt", "--like", "like.pt", "-o", "y.pt")
    assert refused.exit_code == 1
    assert "shape-mismatch" in refused.stderr and "fc.weight" in refused.stderr
    assert not Path("y.pt").exists()
    allowed = run("fix", "x.pt", "--like", "like.pt", "--allow", "shape-mismatch=fc.**", "-o", "y.pt")
    assert allowed.exit_code == 0, allowed.output
    missing, unexpected = other.load_state_dict(torch.load("y.pt", weights_only=True), strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])


def test_names_that_are_right_are_nothing_to_do(run: Run) -> None:
    torch.save(net().state_dict(), "x.pt")
    result = run("fix", "x.pt", "--like", "x.pt", "--strip", "module", "-o", "y.pt")
    assert result.exit_code == 0
    assert "Nothing to do" in result.stderr
    assert not Path("y.pt").exists()


def test_dry_run_writes_nothing(run: Run) -> None:
    torch.save(nn.DataParallel(net()).state_dict(), "x.pt")
    result = run("fix", "x.pt", "--strip", "module", "-o", "y.pt", "--dry-run")
    assert result.exit_code == 0
    assert os.listdir() == ["x.pt"]


def test_json(run: Run) -> None:
    torch.save({"module.a": torch.zeros(2)}, "x.pt")
    result = run("fix", "x.pt", "--strip", "module", "-o", "y.pt", "--json")
    assert json.loads(result.stdout) == {
        "written": "y.pt",
        "rules": "module.** -> **\n",
        "renamed": {"module.a": "a"},
        "dropped": [],
        "problems": [],
    }


def test_json_of_a_plan_with_problems(run: Run) -> None:
    torch.save({"a.x": torch.zeros(2), "b.x": torch.zeros(2)}, "x.pt")
    result = run("fix", "x.pt", "--rule", "{p}.x -> x", "-o", "y.pt", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["written"] is None
    assert [problem["code"] for problem in found["problems"]] == ["key-collision"]
    assert not Path("y.pt").exists()


@pytest.mark.parametrize("verify", [(), ("--verify",)])
def test_two_copies_are_not_guessed(run: Run, verify: tuple[str, ...]) -> None:
    state = {f"{copy}.{k}": v.clone() for copy in ("student", "teacher") for k, v in net().state_dict().items()}
    save_file(state, "x.safetensors")
    torch.save(net().state_dict(), "like.pt")
    refused = run("fix", "x.safetensors", "--like", "like.pt", "-o", "y.safetensors", *verify)
    assert refused.exit_code == 1
    assert "ambiguous-inference" in refused.stderr
    chosen = run(
        *("fix", "x.safetensors", "--like", "like.pt", "--rule", "teacher.** -> **", "--drop-unexpected"),
        *("-o", "y.safetensors", *verify),
    )
    assert chosen.exit_code == 0, chosen.output
    net().load_state_dict(load_file("y.safetensors"))


def test_another_container_by_name(run: Run) -> None:
    torch.save({"model": {"module.a": torch.zeros(2)}, "model_ema": {"module.a": torch.ones(2)}}, "x.pt")
    assert run("fix", "x.pt#model_ema", "--strip", "module", "-o", "y.pt").exit_code == 0
    written = torch.load("y.pt", weights_only=True)
    assert (list(written["model"]), list(written["model_ema"])) == (["module.a"], ["a"])


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["nowhere.pt", "--strip", "module", "-o", "y.pt"], "no-such-path"),
        (["x.pt", "--strip", "module", "-o", "x.pt", "--force"], "output-is-source"),
        (["x.pt", "--strip", "module", "-o", "y.safetensors"], "format-mismatch"),
        (["x.pt", "--rule", "a ->", "-o", "y.pt"], "rule-syntax"),
        (["x.pt", "--rules", "nowhere.rules", "-o", "y.pt"], "unreadable-rules"),
        (["x.pt", "--strip", "module", "-o", "nowhere/y.pt"], "cannot-write"),
    ],
)
def test_what_cannot_run_exits_2_and_writes_nothing(run: Run, args: list[str], code: str) -> None:
    torch.save({"module.a": torch.zeros(2)}, "x.pt")
    before = Path("x.pt").read_bytes()
    result = run("fix", *args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error[{code}]: ")
    assert os.listdir() == ["x.pt"]
    assert Path("x.pt").read_bytes() == before


def test_an_existing_output_needs_force(run: Run) -> None:
    torch.save({"module.a": torch.zeros(2)}, "x.pt")
    Path("y.pt").write_bytes(b"mine")
    refused = run("fix", "x.pt", "--strip", "module", "-o", "y.pt")
    assert (refused.exit_code, Path("y.pt").read_bytes()) == (2, b"mine")
    assert "error[output-exists]" in refused.stderr
    assert run("fix", "x.pt", "--strip", "module", "-o", "y.pt", "--force").exit_code == 0
    assert list(torch.load("y.pt", weights_only=True)) == ["a"]
