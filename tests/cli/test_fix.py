"""``ckptnames fix`` as a person runs it; torch and safetensors read what it wrote."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice, permutations
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


# Stages


def test_stages_come_in_the_order_of_the_command_line(run: Run) -> None:
    torch.save({"a.w": torch.zeros(2)}, "x.pt")
    Path("r.rules").write_text("r.** -> s.**\n---\ns.** -> t.**")
    args = ("--add", "r", "--rules", "r.rules", "--rule", "t.** -> u.**", "--rule", "v.** -> w.** ?", "--add=v")
    result = run("fix", "x.pt", *args, "--strip=v.u", "-o", "y.pt", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["renamed"] == {}
    assert json.loads(result.stdout)["rules"] == (
        "** -> r.**\n---\nr.** -> s.**\n---\ns.** -> t.**\n---\nt.** -> u.**\nv.** -> w.** ?\n"
        "---\n** -> v.**\n---\nv.u.** -> **\n"
    )
    assert list(torch.load("y.pt", weights_only=True)) == ["a.w"]


def test_rules_are_checked_against_like(run: Run) -> None:
    torch.save({"old.w": torch.zeros(2), "old.b": torch.zeros(3)}, "x.pt")
    torch.save({"new.w": torch.zeros(2), "new.b": torch.zeros(3)}, "like.pt")
    half = run("fix", "x.pt", "--like", "like.pt", "--rule", "old.w -> new.w", "-o", "y.pt")
    assert half.exit_code == 1
    assert "error[unfilled-target]" in half.stderr and "new.b" in half.stderr
    assert not Path("y.pt").exists()
    assert run("fix", "x.pt", "--like", "like.pt", "--rule", "old.** -> new.**", "-o", "y.pt").exit_code == 0
    assert list(torch.load("y.pt", weights_only=True)) == ["new.w", "new.b"]


def test_like_names_a_container_and_takes_the_source_container_that_fits(run: Run) -> None:
    torch.save({"gen": {"g.w": torch.zeros(2)}, "dis": {f"d.{i}": torch.zeros(3) for i in range(5)}}, "x.pt")
    torch.save({"a": {"w": torch.zeros(2)}, "b": {"other": torch.zeros(7), "more": torch.zeros(7)}}, "like.pt")
    result = run("fix", "x.pt", "--like", "like.pt#a", "-o", "y.pt")
    assert result.exit_code == 0, result.output
    assert list(torch.load("y.pt", weights_only=True)["gen"]) == ["w"]


def test_what_the_target_lacks_stays_unless_it_is_to_be_dropped(run: Run) -> None:
    torch.save({"m.w": torch.zeros(2), "m.extra": torch.zeros(9)}, "x.pt")
    torch.save({"w": torch.zeros(2)}, "like.pt")
    kept = run("fix", "x.pt", "--like", "like.pt", "-o", "y.pt", "--json")
    assert kept.exit_code == 0
    assert [p["code"] for p in json.loads(kept.stdout)["problems"]] == ["unexpected-key"]
    assert list(torch.load("y.pt", weights_only=True)) == ["w", "extra"]
    dropped = run("fix", "x.pt", "--like", "like.pt", "--drop-unexpected", "-o", "z.pt", "--json")
    assert json.loads(dropped.stdout)["dropped"] == ["m.extra"]
    assert list(torch.load("z.pt", weights_only=True)) == ["w"]
    assert Path("z.pt").stat().st_size < Path("y.pt").stat().st_size


# What can be allowed


def state(**shapes: int | torch.Tensor) -> dict[str, torch.Tensor]:
    return {key: value if isinstance(value, torch.Tensor) else torch.zeros(value) for key, value in shapes.items()}


QUANTISED = {"a.weight": torch.zeros(4), "a.weight.absmax": torch.zeros(1)}

ALLOWED = {
    "key-collision": (state(p=2, q=2), {}, ["--rule", "{s:p|q} -> r"], ["r"]),
    "open-key": (state(p=2, q=2), {}, ["--rule", "p -> !open", "--rule", "q -> r"], ["p", "r"]),
    "shape-mismatch": (state(p=2, q=2), state(r=2, s=3), ["--rule", "p -> r", "--rule", "q -> s"], ["r"]),
    "unfilled-target": (state(p=2), state(r=2, s=3), ["--rule", "p -> r"], ["r"]),
    "split-siblings": (QUANTISED, {}, ["--rule", "a.weight -> b.weight"], ["b.weight", "a.weight.absmax"]),
    "unexpected-key": (state(p=2, q=2), state(r=2), ["--rule", "p -> r"], ["r", "q"]),
    "dtype-mismatch": (state(p=2), state(r=torch.zeros(2, dtype=torch.float16)), ["--rule", "p -> r"], ["r"]),
}
BLOCKING = {"key-collision", "open-key", "shape-mismatch", "unfilled-target", "split-siblings"}


@pytest.mark.parametrize("code", ALLOWED)
def test_each_problem_of_keys_can_be_allowed_by_name(run: Run, code: str) -> None:
    source, target, rules, expected = ALLOWED[code]
    torch.save(source, "x.pt")
    torch.save(target or source, "like.pt")
    args = ["fix", "x.pt", *rules, *(["--like", "like.pt"] if target else []), "-o", "y.pt"]
    refused = run(*args)
    assert (refused.exit_code, f"[{code}]" in refused.stderr) == (int(code in BLOCKING), True)
    assert Path("y.pt").exists() == (code not in BLOCKING)
    elsewhere = run(*args, "--allow", f"{code}=nothing.like.it", "--force")
    assert (elsewhere.exit_code, f"[{code}]" in elsewhere.stderr) == (int(code in BLOCKING), True)
    allowed = run(*args, "--allow", f"{code}=**", "--force")
    assert allowed.exit_code == 0, allowed.output
    assert f"allowed[{code}]" in allowed.stderr
    assert list(torch.load("y.pt", weights_only=True)) == expected


@pytest.mark.parametrize("text", ["unmatched-rule=**", "shadowed-rule=**", "nonsense=**"])
def test_what_cannot_be_allowed_is_said(run: Run, text: str) -> None:
    torch.save(state(p=2), "x.pt")
    result = run("fix", "x.pt", "--rule", "p -> q", "--allow", text, "-o", "y.pt")
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "error[cannot-allow]")
    assert run("fix", "x.pt", "--rule", "p -> q", "--allow", "shape-mismatch", "-o", "y.pt").exit_code == 2


def test_a_head_of_another_size_with_the_model_in_a_training_file(run: Run) -> None:
    """The day of whoever fine-tunes: the file of a wrapped model with ten classes, for a model with three."""
    training_file("x.pt", nn.DataParallel(net()))
    other = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4), fc=nn.Linear(4, 3)))
    save_file(other.state_dict(), "like.safetensors")
    args = ("fix", "x.pt", "--like", "like.safetensors", "--allow", "shape-mismatch=fc.**", "-o", "y.pt")
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["dropped"] == ["module.fc.weight", "module.fc.bias"]
    written = torch.load("y.pt", weights_only=True)
    missing, unexpected = other.load_state_dict(written["state_dict"], strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    assert written["epoch"] == 3


# Other containers


def test_also_takes_averaged_copies_and_optimizers_that_go_by_name(run: Run) -> None:
    model = nn.DataParallel(net())
    names = [name for name, _ in model.named_parameters()]
    by_name = {"state": {name: {"step": 1} for name in names}, "param_groups": [{"params": names}]}
    torch.save({"model": model.state_dict(), "model_ema": model.state_dict(), "optimizer": by_name}, "x.pt")
    told = run("fix", "x.pt", "--strip", "module", "-o", "y.pt")
    assert "'model_ema' still holds 9 old names; --also model_ema renames it too" in told.stderr
    assert "'optimizer' still holds 12 old names" in told.stderr
    as_data = json.loads(run("fix", "x.pt", "--strip", "module", "-o", "y.pt", "--dry-run", "--force", "--json").stdout)
    assert [problem["code"] for problem in as_data["problems"]] == ["stale-names", "stale-names"]
    result = run("fix", "x.pt", "--strip", "module", "--also", "model_ema", "--also", "optimizer", "-o", "z.pt")
    assert result.exit_code == 0, result.output
    assert "still holds" not in result.stderr
    written = torch.load("z.pt", weights_only=True)
    plain = [name.removeprefix("module.") for name in names]
    assert list(written["model_ema"]) == list(net().state_dict())
    assert (list(written["optimizer"]["state"]), written["optimizer"]["param_groups"][0]["params"]) == (plain, plain)


def test_also_of_what_is_not_there_exits_2_and_writes_nothing(run: Run) -> None:
    training_file("x.pt", nn.DataParallel(net()))
    for args in ((), ("--dry-run",)):
        result = run("fix", "x.pt", "--strip", "module", "--also", "optimiser", "-o", "y.pt", *args)
        assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "error[no-such-container]")
    assert os.listdir() == ["x.pt"]


# What is refused by name


def test_cautions_are_accepted_by_their_names(run: Run) -> None:
    torch.save(state(p=2), "x.pt")
    result = run("fix", "x.pt", "--rule", "p -> q", "--accept", "transposed", "-o", "y.pt")
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "error[cannot-accept]")
    assert "transposed" in result.stderr
    assert not Path("y.pt").exists()


@pytest.mark.parametrize("args", [(), ("-o", "y.pt"), ("-o", "x.pt", "--force")])
def test_in_place_is_refused_by_name(run: Run, args: tuple[str, ...]) -> None:
    torch.save(state(p=2), "x.pt")
    before = Path("x.pt").read_bytes()
    result = run("fix", "x.pt", "--in-place", "--rule", "p -> q", *args)
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "error[option-not-supported]")
    assert Path("x.pt").read_bytes() == before


def test_a_key_that_the_format_reserves_is_a_problem_of_the_plan(run: Run) -> None:
    save_file(state(p=2, q=2), "x.safetensors")
    result = run("fix", "x.safetensors", "--rule", "p -> __metadata__", "-o", "y.safetensors", "--json")
    assert result.exit_code == 1
    assert [problem["code"] for problem in json.loads(result.stdout)["problems"]] == ["reserved-name"]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["-o", "there.pt"], "output-exists"),
        (["-o", "y.safetensors"], "format-mismatch"),
        (["-o", "x.pt"], "output-is-source"),
        (["-o", "nowhere/y.pt"], "cannot-write"),
    ],
)
def test_a_dry_run_finds_what_would_stop_a_real_one(run: Run, args: list[str], code: str) -> None:
    torch.save(state(p=2), "x.pt")
    Path("there.pt").write_bytes(b"mine")
    result = run("fix", "x.pt", "--rule", "p -> q", "--dry-run", *args)
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, f"error[{code}]")


def test_many_notes_stay_on_one_screen(run: Run) -> None:
    words = ["".join(letters) for letters in islice(permutations("abcdef"), 300)]
    torch.save({f"m.{word}.w": torch.zeros(1) for word in words}, "x.pt")
    torch.save({f"{words[0]}.w": torch.zeros(1)}, "like.pt")
    result = run("fix", "x.pt", "--like", "like.pt", "--strip", "m", "-o", "y.pt")
    assert result.exit_code == 0
    assert re.search(r"  … and \d+ more keys\n", result.stderr)
    assert result.stderr.count("\n") < 15


def test_the_rules_that_diff_finds_are_the_ones_that_like_applies(run: Run) -> None:
    torch.save(nn.DataParallel(torch.compile(net(), backend="eager")).state_dict(), "x.pt")  # type: ignore[type-var]
    torch.save(net().state_dict(), "like.pt")
    found = json.loads(run("diff", "x.pt", "like.pt", "--json").stdout)["rules"]
    assert json.loads(run("fix", "x.pt", "--like", "like.pt", "-o", "y.pt", "--json").stdout)["rules"] == found
    Path("found.rules").write_text(found)
    assert run("fix", "x.pt", "--rules", "found.rules", "-o", "z.pt").exit_code == 0
    net().load_state_dict(torch.load("z.pt", weights_only=True))
