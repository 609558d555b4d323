"""A model that ships the history of its names: files of every version load, and say which they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import ckptnames
from ckptnames import errors
from ckptnames.cli.main import cli
from ckptnames.loading.migrations import next_stage
from tests.loading.test_stories import assert_has, state

HISTORY = """\
--- version 2
conv.** -> stem.**
--- version 3
fc.** -> head.**
---
stem.** -> body.**
"""


def names_of(*names: str) -> type[nn.Module]:
    """Make the class of a model with these linear layers."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in names:
                self.add_module(name, nn.Linear(3, 3, bias=False))

    return Model


class Net(names_of("body", "norm", "head")):  # type: ignore[misc]
    history = ckptnames.Migrations(ckptnames.Rules.parse(HISTORY, name="names.rules"), version=3)


VERSIONS = {1: ("conv", "norm", "fc"), 2: ("stem", "norm", "fc"), 3: ("body", "norm", "head")}


def of_version(version: int) -> dict[str, torch.Tensor]:
    return state(*(f"{name}.weight" for name in VERSIONS[version]))


def as_newest(version: int) -> dict[str, torch.Tensor]:
    values = of_version(version)
    return {f"{new}.weight": values[f"{old}.weight"] for new, old in zip(VERSIONS[3], VERSIONS[version], strict=True)}


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel])
@pytest.mark.parametrize("kind", ["stamped", "safetensors", "unstamped", "wrapped"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_any_version(version: int, kind: str, wrap: Any, tmp_path: Path) -> None:
    values, path = of_version(version), tmp_path / "m.pt"
    if kind == "safetensors":
        save_file(values, path, metadata={"names_version": str(version)})
    elif kind == "stamped":
        torch.save({"state_dict": values, "names_version": version}, path)
    else:
        torch.save({f"module.{key}" if kind == "wrapped" else key: value for key, value in values.items()}, path)
    net = Net()
    report = ckptnames.load(wrap(net), path)
    assert_has(net, as_newest(version))
    assert report.notes == ((f"the names are of version {version}, and were led to version 3",) if version < 3 else ())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stamped_container_in_memory(version: int) -> None:
    net = Net()
    ckptnames.load(net, {"model": of_version(version), "names_version": version})
    assert_has(net, as_newest(version))


@pytest.mark.parametrize("name", ["m.pt", "m.safetensors"])
def test_saving_stamps_the_version(name: str, tmp_path: Path) -> None:
    ckptnames.save(nn.DataParallel(Net()), tmp_path / name)

    class Newer(names_of("trunk", "norm", "head")):  # type: ignore[misc]
        history = ckptnames.Migrations(ckptnames.Rules.parse(HISTORY + "--- version 4\nbody.** -> trunk.**"), 4)

    assert "led to version 4" in str(ckptnames.load(Newer(), tmp_path / name))


def test_a_version_is_no_name_of_a_tensor(tmp_path: Path) -> None:
    class Many(nn.ParameterList):
        history = ckptnames.Migrations(ckptnames.Rules.parse(""), version=2)

    ckptnames.save(Many([torch.ones(2), torch.ones(3), torch.ones(4)]), tmp_path / "m.safetensors")
    assert sorted(ckptnames.read(tmp_path / "m.safetensors")) == ["0", "1", "2"]


def exchanging(version: int) -> nn.Module:
    class Model(names_of("q", "k")):  # type: ignore[misc]
        history = ckptnames.Migrations(ckptnames.Rules.parse("--- version 2\nq.** -> k.**\nk.** -> q.**"), version)

    return Model()


def test_names_that_only_changed_places_are_told_by_the_stamp_alone() -> None:
    values = state("q.weight", "k.weight")
    net = exchanging(2)
    with pytest.raises(errors.ExchangedNames):
        ckptnames.load(net, values)
    ckptnames.load(net, {"model": values, "names_version": 2})
    assert_has(net, values)
    ckptnames.load(net, {"model": values, "names_version": 1})
    assert_has(net, {"q.weight": values["k.weight"], "k.weight": values["q.weight"]})


def with_a_head(source: dict[str, torch.Tensor], lacks: str) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Give a model whose two layers have changed places, and a file that is not whole for it."""

    class Model(names_of("q", "k", "head")):  # type: ignore[misc]
        history = ckptnames.Migrations(ckptnames.Rules.parse("--- version 2\nq.** -> k.**\nk.** -> q.**"), 2)

    head = {"missing": {}, "unexpected": {"head.weight": torch.ones(3, 3), "x.w": torch.ones(2)}}
    return Model(), {**source, **head.get(lacks, {"head.weight": torch.ones(5, 3)})}


@pytest.mark.parametrize(("lacks", "leave"), [("missing", "keep"), ("unexpected", "ignore"), ("mismatched", "keep")])
def test_a_load_in_part_does_not_guess_whether_names_changed_places(lacks: str, leave: str) -> None:
    values = state("q.weight", "k.weight")
    net, source = with_a_head(values, lacks)
    with pytest.raises(errors.ExchangedNames):
        ckptnames.load(net, source, **{lacks: leave})  # type: ignore[arg-type]
    ckptnames.load(net, {"model": source, "names_version": 1}, **{lacks: leave})  # type: ignore[arg-type]
    assert torch.equal(net.get_parameter("q.weight"), values["k.weight"])


def test_a_hook_does_not_guess_either() -> None:
    net = names_of("q", "k", "head")()
    net.register_load_state_dict_pre_hook(ckptnames.load_hook("q.** -> k.**\nk.** -> q.**"))  # type: ignore[no-untyped-call]
    with pytest.raises(errors.ExchangedNames):
        ckptnames.load(net, state("q.weight", "k.weight"), missing="keep")


def test_the_history_is_applied_where_the_head_alone_is_another() -> None:
    values = {**of_version(1), "fc.weight": torch.ones(5, 3)}
    with pytest.raises(errors.IncompleteLoad) as info:
        ckptnames.load(Net(), values)
    assert info.value.counts == ((1, "of another shape"),)
    report = ckptnames.load(Net(), values, mismatched="keep")
    assert set(report.matched) == {"body.weight", "norm.weight"} and "led to version 3" in str(report)
    del values["fc.weight"]
    assert ckptnames.load(Net(), values, missing="keep").kept == ("head.weight",)


def test_given_rules_come_before_the_history() -> None:
    values = state("a.weight", "norm.weight", "head.weight")
    net = Net()
    ckptnames.load(net, values, rules="a.** -> body.**")
    assert torch.equal(net.body.weight, values["a.weight"])


def test_a_file_that_fits_no_version() -> None:
    with pytest.raises(errors.IncompleteLoad):
        ckptnames.load(Net(), {**of_version(1), "more.weight": torch.ones(2)})


def test_a_history_beside_the_module_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "names.rules").write_text("--- version 2\na.** -> body.**\n")
    code = "import ckptnames\nhistory = ckptnames.migrations('names.rules', version=5)\n"
    (tmp_path / "code.py").write_text(code)
    namespace: dict[str, Any] = {"__file__": str(tmp_path / "code.py")}
    exec(compile(code, "code.py", "exec"), namespace)
    assert (namespace["history"].version, str(namespace["history"].since(1))) == (5, "--- version 2\na.** -> body.**\n")
    monkeypatch.chdir(tmp_path)
    assert ckptnames.migrations("names.rules", version=2).version == 2
    with pytest.raises(errors.UnreadableRules):
        ckptnames.migrations("none.rules", version=2)


@pytest.mark.parametrize(
    ("text", "version", "what"),
    [
        ("a -> b", 1, "its first rules belong to no version"),
        ("--- version 2\na -> b\n--- later\nb -> c", 3, "a stage is called 'later'"),
        ("--- version 3\na -> b\n--- version 2\nb -> c", 3, "version 2 comes after version 3"),
        ("--- version 2\na -> b\n--- version 2\nb -> c", 3, "version 2 comes after version 2"),
        ("--- version 4\na -> b", 3, "it leads to version 4"),
    ],
)
def test_rules_that_are_no_history(text: str, version: int, what: str) -> None:
    with pytest.raises(errors.MigrationStages, match=what):
        ckptnames.Migrations(ckptnames.Rules.parse(text), version)


def test_the_next_stage() -> None:
    first = next_stage("", ckptnames.Rules.parse("a -> b"))
    assert first == "--- version 2\na -> b\n"
    second = next_stage(first, ckptnames.Rules.parse("b -> c\n---\nc -> d"))
    assert second == "--- version 2\na -> b\n--- version 3\nb -> c\n---\nc -> d\n"
    assert str(ckptnames.Migrations(ckptnames.Rules.parse(second), 3).since(1)) == second


@pytest.mark.parametrize("newer", [("module.a", "module.b"), ("x.a", "x.b"), ("alpha.a", "beta.b")])
def test_a_diff_writes_the_next_stage(newer: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"a.weight": torch.ones(2, 3), "b.weight": torch.ones(4, 5)}
    torch.save(values, "one.pt")
    torch.save({f"{n}.weight": v for n, v in zip(newer, values.values(), strict=True)}, "two.pt")
    first = CliRunner().invoke(cli, ["diff", "one.pt", "two.pt", "-o", "names.rules"])
    assert first.exit_code == 1
    assert first.stderr.startswith("wrote names.rules: ")
    back = CliRunner().invoke(cli, ["diff", "two.pt", "one.pt", "-o", "names.rules"])
    assert back.stderr.endswith("to version 3\n")
    history = ckptnames.migrations(tmp_path / "names.rules", version=3)
    assert [history.since(1)(key) for key in values] == list(values)
    assert [history.since(2)(f"{name}.weight") for name in newer] == list(values)


def test_a_diff_without_rules_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2)}, "one.pt")
    torch.save({"zz": torch.ones(5, 5)}, "two.pt")
    for other in ("one.pt", "two.pt"):
        result = CliRunner().invoke(cli, ["diff", "one.pt", other, "-o", "names.rules"])
        assert result.stderr == "Nothing was written to names.rules: no rules lead from the one to the other.\n"
    assert not Path("names.rules").exists()


def diffed(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> str:
    """What ``diff -o`` says of the file that it was to write."""
    torch.save(ours, "one.pt")
    torch.save(theirs, "two.pt")
    return CliRunner().invoke(cli, ["diff", "one.pt", "two.pt", "-o", "names.rules"]).stderr


def test_a_diff_writes_cautions_above_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = {f"layers.{i}.attention.w{c}.weight": torch.rand(8 + 4 * (c in "kv"), 8) for i in range(3) for c in "qkv"}
    renamed = {
        key.replace("attention.w", "self_attn.").replace(".weight", "_proj.weight"): value
        for key, value in blocks.items()
    }
    assert diffed(blocks, renamed) == "wrote names.rules: 1 rule to version 2\n"
    assert Path("names.rules").read_text().splitlines() == [
        "--- version 2",
        "# caution[rotary-layout]: 6 keys: queries and keys of rotary attention: one side's names are those of Meta's "
        "or",
        "# torchtune's code, which pairs neighbouring numbers of a head, the other's are not; where it pairs the two "
        "halves,",
        "# the rows of each head have to be permuted",
        "# layers.{0-2}.self_attn.{q,k}_proj.weight  ×6",
        "**.attention.w{p:q|k|v}.** -> **.self_attn.{p:q|k|v}_proj.**",
    ]
    assert ckptnames.migrations(tmp_path / "names.rules", version=2).version == 2


def test_a_diff_writes_no_history_of_what_is_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    square = torch.rand(5, 5)
    said = diffed(
        {"stem.weight": torch.rand(3, 4), "block.a.weight": square, "block.b.weight": square},
        {"first.weight": torch.rand(3, 4), "body.left.weight": square, "body.right.weight": square},
    )
    infer = "ckptnames infer one.pt two.pt -o decided.rules"
    assert said == (
        "Nothing was written to names.rules: 2 keys are undecided."
        f" Decide there what is open, and add the lines as the next version:\n  {infer}\n"
    )
    assert not Path("names.rules").exists()
    assert CliRunner().invoke(cli, infer.split()[1:]).exit_code == 1
    assert "block.** -> !open\n" in Path("decided.rules").read_text()


def test_a_diff_writes_no_history_of_two_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = {f"l{i}.weight": torch.rand(2, i + 2) for i in range(4)}
    both = {f"{copy}.{key}": value for copy in ("student", "teacher") for key, value in net.items()}
    why = "2 copies fit equally well, and which is wanted has to be decided first."
    assert diffed(both, net) == f"Nothing was written to names.rules: {why}\n"
    assert not Path("names.rules").exists()


def test_a_diff_does_not_touch_a_file_that_is_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2)}, "one.pt")
    torch.save({"module.a": torch.ones(2)}, "two.pt")
    Path("names.rules").write_text("a -> b\n")
    result = CliRunner().invoke(cli, ["diff", "one.pt", "two.pt", "-o", "names.rules"])
    assert result.exit_code == 2
    assert "migration-stages" in result.stderr
    assert Path("names.rules").read_text() == "a -> b\n"
