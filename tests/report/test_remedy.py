"""What ``diff`` tells to paste, pasted into a real shell: the file it makes loads into the model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.report.remedy import edit_flags
from ckptnames.rules import Rules
from tests.report.pasting import commands, pasted, screen

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
    return screen("diff", *args)


@pytest.mark.parametrize("source", SOURCES)
def test_from_a_target(source: str) -> None:
    torch.save(SOURCES[source], "source.pt")
    (command,) = commands(shown("source.pt", "target.pt"), "fix")
    net().load_state_dict(torch.load(pasted(command), weights_only=True))


@pytest.mark.parametrize("source", SOURCES)
def test_from_the_message_of_torch(source: str) -> None:
    torch.save(SOURCES[source], "source.pt")
    with pytest.raises(RuntimeError) as caught:
        net().load_state_dict(SOURCES[source])
    Path("error.txt").write_text(str(caught.value))
    (command,) = commands(shown("source.pt", "--error", "error.txt"), "fix")
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
    (command,) = commands(shown("source.pt", "target.pt"), "fix")
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
    assert [line for line in commands(shown("source.pt", "target.pt"), "fix") if "--rules" not in line] == []


def copies(**names: str) -> dict[str, State]:
    return {word: renamed(lambda key, prefix=prefix: f"{prefix}{key}") for word, prefix in names.items()}  # type: ignore[misc]


def test_each_of_two_copies(tmp_path: Path) -> None:
    both = copies(first="net/a 'x'.", second="net/b.")
    torch.save({**both["first"], **both["second"]}, "source.pt")
    text = shown("source.pt", "target.pt")
    assert text.endswith(
        "Take the one you want:\n"
        "\n"
        "  ckptnames fix source.pt --rule 'net/b.** -> **' --like target.pt --drop-unexpected -o source.net_b.pt\n"
        """  ckptnames fix source.pt --rule '"net/a '"'"'x'"'"'".** -> **' --like target.pt --drop-unexpected"""
        " -o source.net_a_x_.pt\n"
    )
    for command in commands(text):
        net().load_state_dict(torch.load(pasted(command), weights_only=True))
    assert {path.name for path in tmp_path.iterdir()} == {
        "source.pt",
        "target.pt",
        "source.net_a_x_.pt",
        "source.net_b.pt",
    }


def test_two_copies_in_the_target() -> None:
    plain = net().state_dict()
    both = {f"{copy}.{key}": torch.zeros_like(value) for copy in ("student", "ema") for key, value in plain.items()}
    torch.save(plain, "source.pt")
    torch.save(both, "both.pt")
    text = shown("source.pt", "both.pt")
    assert "2 copies in the target fit equally well; names do not tell which is wanted:\n" in text
    one, other, each = (torch.load(pasted(command), weights_only=True) for command in commands(text, "fix"))
    assert one.keys() == {f"ema.{key}" for key in plain}
    assert other.keys() == {f"student.{key}" for key in plain}
    assert each.keys() == both.keys()
    assert all(torch.equal(value, plain[name.partition(".")[2]]) for name, value in each.items())


def test_a_copy_that_stands_as_it_is_and_lacks_a_key() -> None:
    averaged = renamed(lambda key: f"ema.{key}")
    live = {key: value for key, value in renamed(str).items() if key != "fc.bias"}
    torch.save({**live, **averaged}, "source.pt")
    text = shown("source.pt", "target.pt")
    n = len(averaged)
    assert text == (
        f"source  source.pt  {2 * n - 1} keys\n"
        f"target  target.pt  {n} keys\n"
        "\n"
        "2 copies in the source fit equally well; names do not tell which is wanted:\n"
        f"  ema.            {n} keys  (an averaged copy)\n"
        f"  (as it stands)  {n - 1} keys\n"
        "\n"
        "Take the one you want:\n"
        "\n"
        "  ckptnames fix source.pt --rule 'ema.** -> **' --rule '** -> !drop' --like target.pt -o source.ema.pt\n"
        "  ckptnames fix source.pt --rule '** -> **' --like target.pt --drop-unexpected"
        " --allow unfilled-target=fc.bias -o source.plain.pt\n"
    )
    averages, plain = (torch.load(pasted(command), weights_only=True) for command in commands(text))
    net().load_state_dict(averages)
    assert net().load_state_dict(plain, strict=False).missing_keys == ["fc.bias"]


def test_what_a_choice_leaves_is_named_by_its_modules() -> None:
    """What both copies lack is more than a few patterns can say key by key."""
    heads = {f"{name}.{i}.w{i}.{leaf}": torch.zeros(2) for name in ("neck", "head") for i in range(3) for leaf in "ab"}
    both = copies(first="student.", second="teacher.")
    torch.save({**both["first"], **both["second"]}, "source.pt")
    torch.save({**net().state_dict(), **heads}, "target.pt")
    found = commands(shown("source.pt", "target.pt"))
    assert ["--allow unfilled-target='{neck,head}.**'" in command for command in found] == [True] * 2
    for command in found:
        net().load_state_dict(torch.load(pasted(command), weights_only=True))


def test_a_prefix_on_some_keys_only() -> None:
    states = {f"optimizer.{i}.exp_avg": torch.zeros(9) for i in range(3)}
    torch.save(renamed(lambda key: f"model.{key}", **states), "source.pt")
    (command,) = commands(shown("source.pt", "target.pt"))
    assert command == "ckptnames fix source.pt --like target.pt --drop-unexpected -o source.fixed.pt"
    net().load_state_dict(torch.load(pasted(command), weights_only=True))


def test_one_of_several_containers_on_either_side() -> None:
    """Where no container is named, the others would be taken."""
    others = {f"l{i}.weight": torch.zeros(3, i + 1) for i in range(5)}
    wrapped = renamed(in_wrappers)
    other_head = {**wrapped, "_fsdp_wrapped_module.fc.weight": torch.zeros(3, 4)}
    torch.save({"model": other_head, "ema": wrapped}, "source.pt")
    torch.save({"net": others, "second": net().state_dict()}, "target.pt")
    text = shown("source.pt#model", "target.pt#second")
    (command,) = commands(text)
    assert "fix 'source.pt#model' " in command and " --like 'target.pt#second' " in command
    assert "--allow shape-mismatch=fc.weight" in command
    fixed = torch.load(pasted(command), weights_only=True)
    assert net().load_state_dict(fixed["model"], strict=False).missing_keys == ["fc.weight"]
    assert fixed["ema"].keys() == wrapped.keys()
    line = next(line for line in shown("source.pt#ema", "target.pt#second").splitlines() if "ckptnames.remap(" in line)
    assert line.strip() == "model.load_state_dict(ckptnames.remap(state_dict, like='target.pt#second'))"
    model = net()
    exec(line.strip(), {"model": model, "state_dict": wrapped, "ckptnames": ckptnames})


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
