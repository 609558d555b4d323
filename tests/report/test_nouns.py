"""A result printed in Python is the screen of the command of the same name; its ``repr`` is one short line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import ckptnames
from ckptnames.cli.main import cli
from fixtures import make_golden

INPUTS = Path(make_golden.__file__).with_name("golden") / "inputs"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(INPUTS)


def printed(*args: str) -> str:
    return CliRunner().invoke(cli, list(args)).stdout


@pytest.mark.parametrize(
    "source", ["ddp.pt", "dino.safetensors", "renamed.safetensors", "fsdp.pt", "plain.safetensors"]
)
def test_a_diff(source: str) -> None:
    found = ckptnames.diff(source, "model.json")
    assert f"{found}\n" == printed("diff", source, "model.json")
    assert repr(found).startswith("<Diff: ") and len(repr(found)) < 80


def test_a_manifest_shows_what_ls_shows_of_its_keys() -> None:
    for name in ("lm.pt", "three.pt", "sharded", "model.json"):
        table = printed("ls", name).partition("KEY ")[2].partition("\n\n")[0]
        assert table and table in str(ckptnames.read(name))
    assert str(ckptnames.read("three.pt")).startswith(
        "three.pt#model  torch-zip\nbeside it: #disc, 1 key\nbeside it: #model_ema, 14 keys, EMA, an averaged copy\n\n"
    )
    assert repr(ckptnames.read("lm.pt")) == "<Manifest of 98 keys, torch-zip: lm.pt>"


def test_a_plan_shows_every_problem() -> None:
    found = ckptnames.plan(["a.w", "b.w", "c"], "{p}.w -> w\nd -> e")
    assert [error.code for error in found.errors] == ["key-collision", "unmatched-rule"]
    assert str(found) == (
        "1 of 3 keys would be renamed:\n"
        "  {p}.w -> w\n"
        "  d -> e\n"
        "error[key-collision]: 2 source keys would both become 'w'\n"
        "  a.w   <rules>:1\n"
        "  b.w   <rules>:1\n"
        "  help: put what tells these keys apart into the target of <rules>:1, as a slot\n"
        "error[unmatched-rule]: 1 rule matches no key\n"
        "  <rules>:2   d -> e\n"
        "  help: correct <rules>:2, or end it with ` ?` if it may match nothing"
    )
    with pytest.raises(ckptnames.CkptnamesError) as first:
        found.check()
    assert str(first.value) == str(found.errors[0])
    assert repr(found) == "<Plan for 3 keys: blocked>"


def test_many_warnings_are_few_lines() -> None:
    source = {f"layers.{n}.{leaf}": None for n in range(500) for leaf in ("w", "b")}
    found = ckptnames.plan(source, "layers.{i:d}.w -> blocks.{i}.w", [f"blocks.{n}.w" for n in range(500)])
    assert str(found) == (
        "500 of 1,000 keys would be renamed:\n"
        "  layers.{i:d}.w -> blocks.{i}.w\n"
        "note[unexpected-key]: 500 keys not in the target, and kept in the file (--drop-unexpected leaves them out):\n"
        "  layers.{0-499}.b"
    )
