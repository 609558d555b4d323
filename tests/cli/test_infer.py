"""``ckptnames infer`` as a person runs it: the screen, the file of rules, and going on from what was decided."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import ckptnames
from ckptnames.cli.main import cli

Run = Callable[..., Result]
Shapes = Mapping[str, tuple[int, ...]]

BLOCK = {"attention.wq": (8, 8), "attention.wk": (4, 8), "attention.wv": (4, 8), "attention.wo": (8, 8)}
RENAMED = {
    "self_attn.q_proj": (8, 8),
    "self_attn.k_proj": (4, 8),
    "self_attn.v_proj": (4, 8),
    "self_attn.o_proj": (8, 8),
}
META = {f"layers.{i}.{name}.weight": shape for i in range(3) for name, shape in BLOCK.items()}
HF = {f"model.layers.{i}.{name}.weight": shape for i in range(3) for name, shape in RENAMED.items()}
TWINS = {
    f"{side}.{i}.fc.{leaf}": shape
    for side in ("left", "right")
    for i, leaf, shape in [(0, "weight", (6, 5)), (0, "bias", (6,)), (1, "weight", (7, 6)), (1, "bias", (7,))]
}
ONE = {key.removeprefix("left."): shape for key, shape in TWINS.items() if key.startswith("left.")}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(cli, [str(arg) for arg in args])


def save(path: str, shapes: Shapes) -> dict[str, torch.Tensor]:
    state = {key: torch.rand(shape) for key, shape in shapes.items()}
    torch.save(state, path)
    return state


def test_the_whole_screen(run: Run) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    result = run("infer", "meta.pth", "hf.pt")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "source  meta.pth  12 keys\n"
        "target  hf.pt  12 keys\n"
        "\n"
        "1 rule, and 12 of 12 target keys are filled:\n"
        "  layers.{i:d}.attention.w{p:q|k|v|o}.** -> model.layers.{i}.self_attn.{p:q|k|v|o}_proj.**\n"
        "      12 keys: the likeness of all names together\n"
        "\n"
        "caution[rotary-layout]: 6 keys: queries and keys of rotary attention: one side's\n"
        "  names are those of Meta's or torchtune's code, which pairs neighbouring\n"
        "  numbers of a head, the other's are not; where it pairs the two halves, the\n"
        "  rows of each head have to be permuted.\n"
        "  model.layers.{0-2}.self_attn.{q,k}_proj.weight  ×6\n"
        "\n"
        "Once that is checked:\n"
        "  ckptnames fix meta.pth --like hf.pt --accept rotary-layout -o meta.fixed.pth\n"
    )


def test_fix_refuses_until_the_caution_is_accepted_by_name(run: Run) -> None:
    state = save("meta.pth", META)
    save("hf.pt", HF)
    for accept in ((), ("--accept", "fused-layout")):
        refused = run("fix", "meta.pth", "--like", "hf.pt", "-o", "out.pt", *accept)
        assert (refused.exit_code, refused.stderr.partition(":")[0]) == (1, "error[unchecked-caution]")
        assert not Path("out.pt").exists()
    assert run("fix", "meta.pth", "--like", "hf.pt", "-o", "out.pt", "--accept", "rotary-layout").exit_code == 0
    fixed = torch.load("out.pt", weights_only=True)
    mapping = ckptnames.infer("meta.pth", "hf.pt").mapping
    assert fixed.keys() == HF.keys() == mapping.keys()
    assert all(torch.equal(fixed[name], state[key]) for name, key in mapping.items())


def test_the_commands_of_diff_lead_on(run: Run) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    shown = run("diff", "meta.pth", "hf.pt").stdout
    assert "12 of 12 keys stand under other names: 1 rule\n" in shown
    assert "caution[rotary-layout]" in shown
    assert "Once the caution is checked:" in shown
    command = next(line.split() for line in shown.splitlines() if line.strip().startswith("ckptnames fix"))
    assert run(*command[1:]).exit_code == 0
    assert torch.load(command[-1], weights_only=True).keys() == HF.keys()


def test_the_file_says_the_rules_and_what_is_open(run: Run) -> None:
    save("twins.pt", TWINS)
    save("one.pt", ONE)
    result = run("infer", "twins.pt", "one.pt", "-o", "names.rules")
    assert (result.exit_code, result.stderr) == (1, "wrote names.rules\n")
    text = Path("names.rules").read_text()
    lines = text.splitlines()
    start = lines.index("# one of these in the place of `!open` lines would decide it:") + 1
    assert sorted(lines[start : start + 2]) == ["#   left.** -> **", "#   right.** -> **"]
    assert sorted(lines[start + 2 : start + 4]) == ["left.** -> !open", "right.** -> !open"]
    refused = run("fix", "twins.pt", "--rules", "names.rules", "--like", "one.pt", "-o", "out.pt")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (1, "error[open-key]")


def test_what_was_decided_is_given_and_the_rest_is_found(run: Run) -> None:
    state = save("twins.pt", {**TWINS, "head.classifier.weight": (9, 7)})
    save("one.pt", {**ONE, "classifier.weight": (9, 7)})
    run("infer", "twins.pt", "one.pt", "-o", "names.rules")
    text = Path("names.rules").read_text()
    assert "left.** -> !open\n" in text
    Path("names.rules").write_text(text.replace("left.** -> !open\n", "left.** -> **\n"))
    result = run("infer", "twins.pt", "one.pt", "--given", "names.rules", "-o", "names.rules")
    assert result.exit_code == 0, result.output
    assert "!open" not in Path("names.rules").read_text()
    done = run("fix", "twins.pt", "--rules", "names.rules", "--like", "one.pt", "--drop-unexpected", "-o", "out.pt")
    assert done.exit_code == 0, done.output
    fixed = torch.load("out.pt", weights_only=True)
    assert torch.equal(fixed["1.fc.weight"], state["left.1.fc.weight"])
    assert torch.equal(fixed["classifier.weight"], state["head.classifier.weight"])


def test_a_file_is_overwritten_only_where_it_was_given_or_with_force(run: Run) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    Path("names.rules").write_text("# mine\n")
    refused = run("infer", "meta.pth", "hf.pt", "-o", "names.rules")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (2, "error[output-exists]")
    assert Path("names.rules").read_text() == "# mine\n"
    assert run("infer", "meta.pth", "hf.pt", "-o", "names.rules", "--force").exit_code == 0
    assert run("infer", "meta.pth", "hf.pt", "--given", "names.rules", "-o", "names.rules").exit_code == 0
    assert [path.name for path in Path().glob("names*")] == ["names.rules"]


def test_files_beside_the_output_stay(run: Run) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    Path("names.rules").write_text("# mine\n")
    Path("names.rules.part").write_text("mine, too")
    assert run("infer", "meta.pth", "hf.pt", "-o", "names.rules", "--force").exit_code == 0
    assert Path("names.rules").read_text().startswith("# ckptnames rules 1\n")
    assert Path("names.rules.part").read_text() == "mine, too"
    refused = run("infer", "meta.pth", "hf.pt", "-o", "nowhere/names.rules")
    assert refused.exit_code == 2
    assert sorted(path.name for path in Path().iterdir()) == ["hf.pt", "meta.pth", "names.rules", "names.rules.part"]


@pytest.mark.parametrize(("kind", "code"), [("folder", "output-exists"), ("pipe", "cannot-write")])
def test_only_a_file_is_replaced(run: Run, kind: str, code: str) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    out = Path("names.rules")
    out.mkdir() if kind == "folder" else os.mkfifo(out)
    refused = run("infer", "meta.pth", "hf.pt", "-o", "names.rules", "--force")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (2, f"error[{code}]")
    assert out.is_dir() or out.is_fifo()


def test_the_file_that_was_given_may_be_spelled_otherwise(run: Run) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    Path("names.rules").write_text("# mine\n")
    assert run("infer", "meta.pth", "hf.pt", "--given", "names.rules", "-o", "./names.rules").exit_code == 0


def test_a_place_that_cannot_be_written(run: Run) -> None:
    save("meta.pth", META)
    save("hf.pt", HF)
    refused = run("infer", "meta.pth", "hf.pt", "-o", "nowhere/names.rules")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (2, "error[cannot-write]")


def test_a_new_head_is_left_to_the_model_or_decided(run: Run) -> None:
    body = {"encoder.0.weight": (6, 5), "encoder.1.weight": (7, 6)}
    save("old.pt", {f"module.{key}": shape for key, shape in body.items()} | {"module.cls.weight": (3, 7)})
    save("new.pt", body | {"qa_outputs.weight": (2, 7)})
    shown = run("diff", "old.pt", "new.pt").stdout
    command = next(line.split() for line in shown.splitlines() if line.strip().startswith("ckptnames fix"))
    assert "--allow" in command
    assert run(*[word.strip("'") for word in command[1:]]).exit_code == 0
    assert torch.load(command[-1], weights_only=True).keys() == body.keys()


def test_quantised_weights_that_the_target_keeps_too(run: Run) -> None:
    names = {"mlp.up_proj": "ffn.w3", "mlp.gate_proj": "ffn.w1", "mlp.down_proj": "ffn.w2"}
    shapes = {"mlp.up_proj": (8, 4), "mlp.gate_proj": (8, 4), "mlp.down_proj": (4, 8)}
    ours: dict[str, tuple[int, ...]] = {}
    theirs: dict[str, tuple[int, ...]] = {}
    for i in range(2):
        for name, other in names.items():
            ours |= {f"l.{i}.{name}.weight": shapes[name], f"l.{i}.{name}.weight_scale_inv": (1, 1)}
            theirs |= {f"h.{i}.{other}.weight": shapes[name], f"h.{i}.{other}.scale": (1, 1)}
    save("ours.pt", ours)
    save("theirs.pt", theirs)
    assert run("fix", "ours.pt", "--like", "theirs.pt", "-o", "out.pt").exit_code == 0
    save("plain.pt", {key: shape for key, shape in theirs.items() if key.endswith("weight")})
    refused = run("fix", "ours.pt", "--like", "plain.pt", "-o", "no.pt")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (1, "error[quantised-weights]")


def test_a_manifest_is_no_source_of_fix(run: Run) -> None:
    for path, shapes in (("meta.json", META), ("hf.json", HF)):
        tensors = {key: {"dtype": "F32", "shape": shape} for key, shape in shapes.items()}
        Path(path).write_text(json.dumps({"tensors": tensors}))
    shown = run("infer", "meta.json", "hf.json").stdout
    assert "ckptnames fix" not in shown
    assert shown.endswith("Write them to a file:\n  ckptnames infer meta.json hf.json -o names.rules\n")
