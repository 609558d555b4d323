"""What ``infer`` tells to paste, pasted: each command runs, and the last one writes what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.zoo import ZOO
from tests.report.pasting import commands, run, screen

State = dict[str, torch.Tensor]

WORDS = {"a": "first", "b": "second", "c": "third"}


def ours(scale: float = 1.0) -> State:
    torch.manual_seed(0)
    return {f"enc.{word}.weight": scale * torch.rand(4 + n, 3 + n) for n, word in enumerate(WORDS)}


def theirs(state: State) -> State:
    return {f"backbone.{WORDS[key.split('.')[1]]}.weight": value for key, value in state.items()}


TWINS = {f"{side}.{leaf}": torch.rand(5, 5) for side in ("left", "right") for leaf in ("x.weight", "y.weight")}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def followed(text: str) -> State:
    """Paste all that a screen tells to, and give what the last command writes."""
    done = None
    for command in commands(text):
        done = run(command)
        assert done.exit_code == 0, done.output
    assert done is not None, text
    fixed: State = torch.load(done.stderr.splitlines()[-1].removeprefix("wrote "), weights_only=True)
    return fixed


def is_like(state: State, other: State) -> bool:
    return state.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in state.items())


def end(text: str) -> str:
    """Give what stands after the last empty line."""
    return text.rpartition("\n\n")[2]


def test_names_and_shapes_alone() -> None:
    torch.save(ours(), "a b.pt")
    torch.save(theirs(ours()), "theirs.pt")
    text = screen("infer", "a b.pt", "theirs.pt")
    assert end(text) == "Apply them:\n  ckptnames fix 'a b.pt' --like theirs.pt -o 'a b.fixed.pt'\n"
    assert is_like(followed(text), theirs(ours()))


def test_what_the_target_does_not_have_is_left_out() -> None:
    torch.save(ours() | {"head.weight": torch.rand(9, 2)}, "ours.pt")
    torch.save(theirs(ours()), "theirs.pt")
    text = screen("infer", "ours.pt", "theirs.pt")
    assert end(text) == "Apply them:\n  ckptnames fix ours.pt --like theirs.pt --drop-unexpected -o ours.fixed.pt\n"
    assert is_like(followed(text), theirs(ours()))


def test_containers_on_both_sides() -> None:
    torch.save({"model": ours(), "ema": ours(2)}, "ours.pt")
    torch.save({"net": {"w": torch.rand(2)}, "second": theirs(ours())}, "theirs.pt")
    text = screen("infer", "ours.pt#ema", "theirs.pt#second")
    line = "ckptnames fix 'ours.pt#ema' --like 'theirs.pt#second' -o ours.fixed.pt"
    assert end(text) == f"Apply them:\n  {line}\n"
    fixed = followed(text)
    assert is_like(fixed["ema"], theirs(ours(2)))  # type: ignore[arg-type]
    assert is_like(fixed["model"], ours())  # type: ignore[arg-type]


def test_a_container_that_is_chosen_is_named_too() -> None:
    torch.save({"other": {"w": torch.rand(2)}, "model": ours()}, "ours.pt")
    torch.save(theirs(ours()), "theirs.pt")
    text = screen("infer", "ours.pt#model", "theirs.pt", "-o", "names.rules")
    line = "ckptnames fix 'ours.pt#model' --rules names.rules --like theirs.pt -o ours.fixed.pt"
    assert end(text) == f"Apply them:\n  {line}\n"
    assert is_like(followed(text)["model"], theirs(ours()))  # type: ignore[arg-type]


def test_a_model_by_its_name() -> None:
    body = "s.first = nn.Linear(3, 4, bias=False); s.second = nn.Linear(4, 5, bias=False)"
    Path("model.py").write_text(
        f"from torch import nn\nclass Net(nn.Module):\n  def __init__(s, n=1):\n    super().__init__(); {body}\n"
    )
    state = {"enc.a.weight": torch.rand(4, 3), "enc.b.weight": torch.rand(5, 4)}
    torch.save(state, "ours.pt")
    for more in ((), ("--static",)):
        Path("ours.fixed.pt").unlink(missing_ok=True)
        text = screen("infer", "ours.pt", "model.py:Net(n=2)", *more)
        option = " --static" * bool(more)
        line = f"ckptnames fix ours.pt --like 'model.py:Net(n=2)'{option} -o ours.fixed.pt"
        assert end(text) == f"Apply them:\n  {line}\n"
        assert list(followed(text)) == ["first.weight", "second.weight"]


def test_a_pickled_module_is_not_rewritten() -> None:
    torch.save(nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 5, bias=False)), "module.pt")
    torch.save({"x.first.weight": torch.rand(4, 3), "x.second.weight": torch.rand(5, 4)}, "theirs.pt")
    text = screen("infer", "module.pt", "theirs.pt")
    assert end(text) == "Write them to a file:\n  ckptnames infer module.pt theirs.pt -o names.rules\n"
    (command,) = commands(text)
    assert run(command).stderr == "wrote names.rules\n"
    written = screen("infer", "module.pt", "theirs.pt", "-o", "names.rules", "--force")
    assert commands(written) == []


def test_a_head_of_another_size() -> None:
    torch.save(ours() | {"fc.weight": torch.rand(10, 6), "fc.bias": torch.rand(10)}, "ours.pt")
    torch.save(theirs(ours()) | {"fc.weight": torch.rand(2, 6), "fc.bias": torch.rand(2)}, "theirs.pt")
    text = screen("infer", "ours.pt", "theirs.pt")
    allowed = "--allow shape-mismatch='fc.{weight,bias}'"
    assert text == (
        "source  ours.pt  5 keys\n"
        "target  theirs.pt  5 keys\n"
        "\n"
        "1 rule, and 3 of 5 target keys are filled:\n"
        "  enc.{p:a|b|c}.** -> backbone.{p:first|second|third}.**\n"
        "      3 keys: the only one left of its shape\n"
        "\n"
        "another shape (source, target): 2 keys\n"
        "  fc.weight  10×6, 2×6\n"
        "  fc.bias    10, 2\n"
        "\n"
        "Apply them; the model keeps its own 2 keys:\n"
        f"  ckptnames fix ours.pt --like theirs.pt {allowed} -o ours.fixed.pt\n"
    )
    assert is_like(followed(text), theirs(ours()))
    Path("ours.fixed.pt").unlink()
    written = screen("infer", "ours.pt", "theirs.pt", "-o", "names.rules")
    assert "!open" not in Path("names.rules").read_text()
    assert end(written) == (
        "Apply them; the model keeps its own 2 keys:\n"
        f"  ckptnames fix ours.pt --rules names.rules --like theirs.pt {allowed} -o ours.fixed.pt\n"
    )
    assert is_like(followed(written), theirs(ours()))
    Path("ours.fixed.pt").unlink()
    Path("names.rules").write_text(Path("names.rules").read_text().replace("!open", "!drop"))
    decided = screen("infer", "ours.pt", "theirs.pt", "--given", "names.rules", "-o", "names.rules")
    assert is_like(followed(decided), theirs(ours()))


def test_lines_that_were_given() -> None:
    torch.save(ours() | TWINS, "ours.pt")
    torch.save(theirs(ours()) | {f"up.{key}": value for key, value in TWINS.items()}, "theirs.pt")
    Path("my decided.rules").write_text("left.** -> up.left.**\n")
    text = screen("infer", "ours.pt", "theirs.pt", "--given", "my decided.rules")
    assert end(text) == (
        "Write them to a file, and apply it:\n"
        "  ckptnames infer ours.pt theirs.pt --given 'my decided.rules' -o names.rules\n"
        "  ckptnames fix ours.pt --rules names.rules --like theirs.pt -o ours.fixed.pt\n"
    )
    assert is_like(followed(text), {**theirs(ours()), **{f"up.{key}": value for key, value in TWINS.items()}})


def test_by_value() -> None:
    twins = {f"up.{key}": TWINS[other] for key, other in zip(TWINS, reversed(TWINS), strict=True)}
    torch.save(ours() | TWINS, "ours.pt")
    torch.save(theirs(ours()) | twins, "theirs.pt")
    text = screen("infer", "ours.pt", "theirs.pt", "--by-value")
    assert end(text) == (
        "Write them to a file, and apply it:\n"
        "  ckptnames infer --by-value ours.pt theirs.pt -o names.rules\n"
        "  ckptnames fix ours.pt --rules names.rules --like theirs.pt -o ours.fixed.pt\n"
    )
    assert is_like(followed(text), {**theirs(ours()), **twins})


def test_what_is_open_is_decided_and_the_rest_is_found() -> None:
    torch.save(
        {"stem.weight": torch.rand(3, 4), "block.a.weight": torch.rand(5, 5), "block.b.weight": torch.rand(5, 5)},
        "ours.pt",
    )
    wanted = {
        "first.weight": torch.rand(3, 4),
        "body.left.weight": torch.rand(5, 5),
        "body.right.weight": torch.rand(5, 5),
    }
    torch.save(wanted, "theirs.pt")
    text = screen("infer", "ours.pt", "theirs.pt")
    assert end(text) == (
        "Write them to a file, decide what is open, and have the rest found:\n"
        "  ckptnames infer ours.pt theirs.pt -o names.rules\n"
        "  ckptnames infer ours.pt theirs.pt --given names.rules -o names.rules\n"
    )
    first, then = commands(text)
    written = run(first)
    assert (written.exit_code, written.stderr) == (1, "wrote names.rules\n")
    assert end(written.stdout) == f"Decide what is open in names.rules, and have the rest found:\n  {then}\n"
    Path("names.rules").write_text(
        Path("names.rules").read_text().replace("block.** -> !open", "block.a.** -> body.left.**")
    )
    decided = run(then)
    assert (decided.exit_code, decided.stderr) == (0, "wrote names.rules\n")
    assert end(decided.stdout) == (
        "Apply them:\n  ckptnames fix ours.pt --rules names.rules --like theirs.pt -o ours.fixed.pt\n"
    )
    assert followed(decided.stdout).keys() == wanted.keys()


def test_nothing_to_do_tells_nothing_to_paste() -> None:
    torch.save(ours(), "ours.pt")
    assert end(screen("infer", "ours.pt", "ours.pt")) == "No rule is needed: 3 of 3 target keys are filled.\n"


def test_a_choice_between_whole_copies_is_asked_first() -> None:
    shapes = {"conv1.weight": (8, 3), "conv2.weight": (9, 3), "bn.weight": (8,), "bn.bias": (8,)}
    net = {f"layer{n}.{name}": torch.rand(*shape) for n in range(3) for name, shape in shapes.items()}
    torch.save({f"{copy}.{key}": value for copy in ("student", "teacher") for key, value in net.items()}, "ours.pt")
    torch.save(net, "theirs.pt")
    text = screen("infer", "ours.pt", "theirs.pt")
    assert text == (
        "source  ours.pt  24 keys\n"
        "target  theirs.pt  12 keys\n"
        "\n"
        "Nothing is decided: 0 of 12 target keys are filled.\n"
        "\n"
        "Undecided: 24 keys.\n"
        "`student.` and `teacher.` hold the same names and shapes: complete copies of one\n"
        "network, of which one is wanted.\n"
        "  {student,teacher}.layer{0-2}.conv{1,2}.weight  ×12\n"
        "  {student,teacher}.layer{0-2}.bn.{weight,bias}  ×12\n"
        "one of these lines decides:\n"
        "  student.** -> !drop\n"
        "  teacher.** -> !drop\n"
        "\n"
        "not filled until that is decided: 12 keys\n"
        "  layer{0-2}.conv1.weight      8×3  ×3\n"
        "  layer{0-2}.conv2.weight      9×3  ×3\n"
        "  layer{0-2}.bn.{weight,bias}  8    ×6\n"
        "\n"
        "Write them to a file, decide what is open, and have the rest found:\n"
        "  ckptnames infer ours.pt theirs.pt -o names.rules\n"
        "  ckptnames infer ours.pt theirs.pt --given names.rules -o names.rules\n"
    )
    Path("names.rules").write_text("student.** -> !drop\n")
    text = screen("infer", "ours.pt", "theirs.pt", "--given", "names.rules", "-o", "names.rules")
    assert "\nleft out by the given rules: 12 keys\n" in text
    assert is_like(followed(text), net)


def test_two_models_that_have_nothing_in_common() -> None:
    torch.save({f"a{n}.w": torch.rand(2, n + 1) for n in range(3)}, "ours.pt")
    torch.save({"b.weight": torch.rand(9, 9), "b.bias": torch.rand(9)}, "theirs.pt")
    text = screen("infer", "ours.pt", "theirs.pt")
    assert "Nothing is decided: 0 of 2 target keys are filled. These may be two different models.\n" in text
    assert commands(text) == []


def test_a_screen_holds_a_dozen_rules_and_the_file_all() -> None:
    """A LoRA has long rules for each of its projections, and both of their halves."""
    name = f"{ZOO}/manifests/lang.flux1_lora__kohya__diffusers"
    text = screen("infer", f"{name}__src.json.gz", f"{name}__tgt.json.gz", "-o", "names.rules")
    assert "\n20 rules, and 456 of 988 target keys are filled:\n" in text
    assert sum(" -> " in line for line in text.splitlines()) == 12
    assert "  … and 8 more rules for 228 keys\n" in text
    assert sum(" -> " in line for line in Path("names.rules").read_text().splitlines()) == 20
