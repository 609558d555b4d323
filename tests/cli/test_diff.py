"""``ckptnames diff`` as a person runs it, and whether the command it suggests does what it says."""

from __future__ import annotations

import json
import shlex
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from ckptnames.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *args, **kw: CliRunner().invoke(cli, [str(arg) for arg in args], **kw)


def net(classes: int = 10) -> nn.Module:
    layers = OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4), fc=nn.Linear(4, classes))
    return nn.Sequential(layers)


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


WRAPPINGS: dict[str, Callable[[], nn.Module]] = {
    "dp": lambda: nn.DataParallel(net()),
    "compile": lambda: compiled(net()),
    "dp of compile": lambda: nn.DataParallel(compiled(net())),
    "attribute of compile": lambda: nn.ModuleDict({"my net": compiled(net())}),
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(net()),
}


def suggested(output: str) -> list[str]:
    """The arguments of the command that the screen suggests, as a shell would split them."""
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("ckptnames fix ")]
    assert len(lines) == 1, output
    return shlex.split(lines[0])[1:]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_the_suggested_command_makes_a_file_that_loads(run: Run, wrapping: str) -> None:
    torch.save({"model": WRAPPINGS[wrapping]().state_dict(), "epoch": 1}, "trained.pt")
    torch.save(net().state_dict(), "plain.pt")
    shown = run("diff", "trained.pt", "plain.pt")
    assert shown.exit_code == 1, shown.output
    args = suggested(shown.stdout)
    assert run(*args).exit_code == 0
    state = torch.load(args[-1], weights_only=True)["model"]
    missing, unexpected = net().load_state_dict(state, strict=False)
    assert missing == [] and set(unexpected) <= {"n_averaged"}


@pytest.mark.parametrize("wrapping", [w for w in WRAPPINGS if w != "averaged"])
def test_plain_to_wrapped(run: Run, wrapping: str) -> None:
    torch.save(net().state_dict(), "plain.pt")
    torch.save(WRAPPINGS[wrapping]().state_dict(), "wrapped.pt")
    args = suggested(run("diff", "plain.pt", "wrapped.pt").stdout)
    assert run(*args).exit_code == 0
    WRAPPINGS[wrapping]().load_state_dict(torch.load(args[-1], weights_only=True))


def test_the_whole_screen(run: Run) -> None:
    torch.save({"model": nn.DataParallel(net()).state_dict(), "epoch": 1}, "trained.pt")
    torch.save(net().state_dict(), "plain.pt")
    assert run("diff", "trained.pt", "plain.pt").stdout == (
        "source  trained.pt#model  9 keys\n"
        "target  plain.pt  9 keys\n"
        "\n"
        "9 of 9 keys: strip `module.` (DataParallel or DistributedDataParallel)\n"
        "\n"
        "After that nothing differs: all 9 keys match in name, shape and dtype.\n"
        "\n"
        "  ckptnames fix trained.pt --strip module --like plain.pt -o trained.fixed.pt\n"
        "\n"
        "or in Python\n"
        "\n"
        "  model.load_state_dict(ckptnames.remap(state_dict, rules='module.** -> **'))\n"
    )


def test_the_same_names_exit_0(run: Run) -> None:
    torch.save(net().state_dict(), "a.pt")
    result = run("diff", "a.pt", "a.pt")
    assert result.exit_code == 0
    assert "Nothing differs" in result.stdout


def test_a_head_of_another_size(run: Run) -> None:
    torch.save(nn.DataParallel(net(10)).state_dict(), "a.pt")
    torch.save(net(3).state_dict(), "b.pt")
    result = run("diff", "a.pt", "b.pt")
    assert result.exit_code == 1
    assert "strip `module.`" in result.stdout
    assert "10×4, 3×4" in result.stdout
    assert "--allow shape-mismatch='fc." in result.stdout


def test_dtypes_are_differences(run: Run) -> None:
    torch.save(net().state_dict(), "a.pt")
    torch.save(net().half().state_dict(), "b.pt")
    result = run("diff", "a.pt", "b.pt", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["matched"] == 9
    assert {(m["source"], m["target"]) for m in found["dtype_mismatch"]} == {("F32", "F16")}


def test_json(run: Run) -> None:
    torch.save({"module.a": torch.zeros(2), "module.b": torch.zeros(3)}, "a.pt")
    torch.save({"c": torch.zeros(5), "d": torch.zeros(4)}, "b.pt")
    result = run("diff", "a.pt", "b.pt", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "missing": ["c", "d"],
        "unexpected": ["module.a", "module.b"],
        "shape_mismatch": [],
        "dtype_mismatch": [],
        "matched": 0,
        "rules": None,
        "after_rules": None,
        "cautions": [],
    }


def test_buffers_without_weights_are_told_apart(run: Run) -> None:
    state = nn.DataParallel(net()).state_dict()
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, "a.pt")
    torch.save(net().state_dict(), "b.pt")
    result = run("diff", "a.pt", "b.pt")
    assert "buffers that carry no weights: 1 key\n" in result.stdout
    assert "missing: in the target only" not in result.stdout
    args = suggested(result.stdout)
    assert run(*args).exit_code == 0


def test_the_container_that_fits_the_target_is_taken(run: Run) -> None:
    big = nn.ModuleDict(
        {"a": nn.Linear(7, 7), "b": nn.Linear(7, 7), "c": nn.Linear(7, 7), "d": nn.Linear(7, 7), "e": nn.Linear(2, 2)}
    )
    torch.save({"discriminator": big.state_dict(), "generator": nn.DataParallel(net()).state_dict()}, "gan.pt")
    torch.save(net().state_dict(), "b.pt")
    result = run("diff", "gan.pt", "b.pt")
    assert "gan.pt#generator" in result.stdout
    args = suggested(result.stdout)
    assert run(*args).exit_code == 0
    net().load_state_dict(torch.load(args[-1], weights_only=True)["generator"])


def test_copies_beside_the_one_that_is_taken_are_named(run: Run) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"params": [0]}]}
    copies = {f"net_{n}": net().state_dict() for n in range(5)}
    torch.save({"model": net().state_dict(), "model_ema": net().state_dict(), "optim": optimizer, **copies}, "a.pt")
    torch.save(net().state_dict(), "b.pt")
    source, *beside, target = run("diff", "a.pt", "b.pt").stdout.partition("\n\n")[0].splitlines()
    assert (source, target) == ("source  a.pt#model  9 keys", "target  b.pt  9 keys")
    assert beside == [*(f"  beside it: #net_{n}, 9 keys" for n in range(4)), "  … and 2 more containers"]


@pytest.mark.parametrize("mangle", [str, lambda text: text.replace("\t", "    ").replace('", "', '",\n"')])
def test_torchs_own_message_explains(run: Run, mangle: Callable[[str], str]) -> None:
    state = nn.DataParallel(net(10)).state_dict()
    torch.save(state, "a.pt")
    with pytest.raises(RuntimeError) as caught:
        net(10).load_state_dict(state)
    Path("error.txt").write_text(mangle(str(caught.value)))
    result = run("diff", "a.pt", "--error", "error.txt")
    assert result.exit_code == 1
    assert "9 of 9 keys: strip `module.`" in result.stdout
    args = suggested(result.stdout)
    assert run(*args).exit_code == 0
    net(10).load_state_dict(torch.load(args[-1], weights_only=True))
    piped = run("diff", "a.pt", "--error", "-", input=mangle(str(caught.value)))
    assert "strip `module.`" in piped.stdout


def complaint(model: nn.Module, state: dict[str, object]) -> str:
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    return str(caught.value)


def test_the_container_that_torchs_message_speaks_of_is_taken(run: Run) -> None:
    larger = nn.Sequential(*(nn.Linear(7, 7) for _ in range(9))).state_dict()
    wrapped = nn.DataParallel(net()).state_dict()
    torch.save({"discriminator": larger, "generator": wrapped}, "gan.pt")
    for message in (complaint(net(), wrapped), complaint(net(), wrapped)[:400]):
        Path("error.txt").write_text(message)
        result = run("diff", "gan.pt", "--error", "error.txt")
        assert result.stdout.startswith("source  gan.pt#generator  9 keys\n")
        assert "9 of 9 keys: strip `module.`" in result.stdout
    named = run("diff", "gan.pt#discriminator", "--error", "error.txt")
    assert named.stdout.startswith("source  gan.pt#discriminator  18 keys\n")


def test_a_whole_file_that_was_loaded_for_its_weights_is_told(run: Run) -> None:
    larger = nn.Sequential(*(nn.Linear(7, 7) for _ in range(9))).state_dict()
    checkpoint = {"epoch": 3, "discriminator": larger, "generator": net().state_dict()}
    torch.save(checkpoint, "gan.pt")
    Path("error.txt").write_text(complaint(net(), checkpoint))
    result = run("diff", "gan.pt", "--error", "error.txt")
    assert result.stdout.startswith("source  gan.pt#generator  9 keys\n")
    assert "Nothing differs: 9 keys" in result.stdout
    assert "They stand inside 'generator': load checkpoint['generator'].\n" in result.stdout
    net().load_state_dict(torch.load("gan.pt")["generator"])


def test_the_message_itself_may_stand_for_its_file(run: Run) -> None:
    state = nn.DataParallel(net()).state_dict()
    torch.save(state, "a.pt")
    result = run("diff", "a.pt", "--error", complaint(net(), state))
    assert "9 of 9 keys: strip `module.`" in result.stdout


STRICT_FIRST = "load the file with strict=True first, and torch says what strict=False would hide.\n"


def test_a_message_that_breaks_off_names_not_all_keys(run: Run) -> None:
    torch.save({f"module.{word}.weight": torch.zeros(3, 3) for word in "abc"}, "a.pt")
    Path("error.txt").write_text('Missing key(s) in state_dict: "a.weight", "b.weight", "d.weight", ...\n')
    assert run("diff", "a.pt", "--error", "error.txt").stdout == (
        "source  a.pt  3 keys\n"
        "target  error.txt  3 keys, as far as the message tells\n"
        "note: the message does not name all keys of the model: it breaks off\n"
        "\n"
        "3 of 3 keys: strip `module.` (DataParallel or DistributedDataParallel)\n"
        "\n"
        "After that 2 keys match in name and shape. What differs:\n"
        "\n"
        "missing: in the target only: 1 key\n"
        "  d.weight\n"
        "\n"
        "The model keeps its own 1 missing key, and may have more keys than the message names:\n"
        f"{STRICT_FIRST}"
        "\n"
        "  ckptnames fix a.pt --strip module -o a.fixed.pt\n"
    )
    Path("error.txt").write_text('Missing key(s) in state_dict: "a.weight", "b.weight", ...\n')
    shown = run("diff", "a.pt", "--error", "error.txt").stdout
    assert "After that all 2 keys that the message names match.\n" in shown
    assert f"\nThe model may have more keys than the message names:\n{STRICT_FIRST}" in shown
    assert "load with strict=False" not in shown


def test_a_message_about_another_source_names_not_all_keys(run: Run) -> None:
    torch.save({f"module.{word}.weight": torch.zeros(3, 3) for word in "abc"}, "a.pt")
    Path("error.txt").write_text('Missing key(s) in state_dict: "a.weight".\nUnexpected key(s) in state_dict: "x".\n')
    shown = run("diff", "a.pt", "--error", "error.txt").stdout
    assert "note: the message does not name all keys of the model: it is not about this source\n" in shown
    assert f"\nThe model may have more keys than the message names:\n{STRICT_FIRST}" in shown


def test_a_size_mismatch_in_torchs_message(run: Run) -> None:
    state = net(10).state_dict()
    torch.save(state, "a.pt")
    with pytest.raises(RuntimeError) as caught:
        net(3).load_state_dict(state)
    Path("error.txt").write_text(str(caught.value))
    result = run("diff", "a.pt", "--error", "error.txt")
    assert result.exit_code == 1
    assert "10×4, 3×4" in result.stdout


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["a.pt", "nowhere.pt"], "no-such-path"),
        (["a.pt", "--error", "a.pt"], "not-a-torch-error"),
        (["a.pt", "--error", "nowhere.txt"], "no-such-path"),
        (["a.pt#nothing", "a.pt"], "no-such-container"),
    ],
)
def test_what_cannot_run_exits_2(run: Run, args: list[str], code: str) -> None:
    torch.save({"a": torch.zeros(2)}, "a.pt")
    result = run("diff", *args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error[{code}]: ")


def test_neither_target_nor_error_is_a_usage_error(run: Run) -> None:
    torch.save({"a": torch.zeros(2)}, "a.pt")
    assert run("diff", "a.pt").exit_code == 2


def test_hostile_names_cannot_steer_the_terminal(run: Run) -> None:
    torch.save({"module.\x1b[31mred": torch.zeros(2), "module.b": torch.zeros(1)}, "a.pt")
    torch.save({"\x1b[31mred": torch.zeros(2), "b": torch.zeros(1)}, "b.pt")
    assert "\x1b" not in run("diff", "a.pt", "b.pt").stdout


def test_a_head_of_another_size_behind_a_renamed_body(run: Run) -> None:
    body = {"mlp.gate.weight": torch.zeros(5, 7), "stem.weight": torch.zeros(3, 4)}
    torch.save({**body, "fc.weight": torch.zeros(10, 8), "fc.bias": torch.zeros(10)}, "a.pt")
    renamed = {"ff.gate_proj.weight": torch.zeros(5, 7), "stem.weight": torch.zeros(3, 4)}
    torch.save({**renamed, "fc.weight": torch.zeros(2, 8), "fc.bias": torch.zeros(2)}, "b.pt")
    assert run("diff", "a.pt", "b.pt").stdout == (
        "source  a.pt  4 keys\n"
        "target  b.pt  4 keys\n"
        "\n"
        "1 of 4 keys stand under other names: 1 rule\n"
        "  mlp.gate.** -> ff.gate_proj.**  1 key\n"
        "\n"
        "After that 2 keys match in name and shape. What differs:\n"
        "\n"
        "another shape (source, target): 2 keys\n"
        "  fc.weight  10×8, 2×8\n"
        "  fc.bias    10, 2\n"
        "\n"
        "The model keeps its own 2 keys of another shape:\n"
        "load the file that this writes with strict=False.\n"
        "\n"
        "  ckptnames fix a.pt --like b.pt --allow shape-mismatch='fc.{weight,bias}' -o a.fixed.pt\n"
    )
    assert run(*suggested(run("diff", "a.pt", "b.pt").stdout)).exit_code == 0
    assert torch.load("a.fixed.pt", weights_only=True).keys() == renamed.keys()


def test_a_key_that_is_open_under_a_name_of_the_target_fills_nothing(run: Run) -> None:
    torch.save(
        {"mlp.gate.weight": torch.zeros(5, 7), "proj": torch.zeros(4, 4), "stem.weight": torch.zeros(3, 4)}, "a.pt"
    )
    torch.save(
        {"ff.gate_proj.weight": torch.zeros(5, 7), "proj": torch.zeros(9, 4), "first.weight": torch.zeros(3, 4)}, "b.pt"
    )
    found = json.loads(run("diff", "a.pt", "b.pt", "--json").stdout)["after_rules"]
    assert found["matched"] == 1
    assert (found["missing"], found["unexpected"]) == (["first.weight"], ["stem.weight"])
    assert found["shape_mismatch"] == [{"key": "proj", "source": [4, 4], "target": [9, 4]}]
    assert "proj  4×4, 9×4\n" in run("diff", "a.pt", "b.pt").stdout
