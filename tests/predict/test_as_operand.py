"""A model stands wherever a checkpoint can: named in text, or in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.errors import CannotRewrite, ModelError, NoSuchPath, NotAStateDict
from ckptnames.operands import manifest_of, open_operand
from ckptnames.prediction.building import build
from tests.predict.sources import write

NET = """
class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, width)
        self.bn = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 3)
        self.tied = nn.Linear(2, 3)
        self.tied.weight = self.fc.weight
"""


@pytest.fixture(autouse=True)
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """Write the model, and a checkpoint of it that DataParallel made; give the class."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, type[nn.Module]] = {}
    exec(write(Path("model.py"), NET).read_text(), names)
    torch.save({"model": nn.DataParallel(names["Net"]()).state_dict(), "epoch": 3}, "trained.pt")
    return names["Net"]


def test_a_checkpoint_against_a_model(net: type[nn.Module]) -> None:
    for target in ("model.py:Net", "model.py:Net(width=3)", net(), build("model.py:Net"), ckptnames.predict(net())):
        found = ckptnames.diff("trained.pt", target)
        assert str(found.rules).strip() == "module.** -> **"
        assert found.after_rules is not None and found.after_rules.same
    found = ckptnames.diff("trained.pt", "model.py:Net(width=5)")
    assert found.after_rules is not None
    assert [(m.key, m.source, m.target) for m in found.after_rules.shape_mismatch] == [
        ("conv.weight", (2, 1, 3, 3), (2, 1, 5, 5))
    ]


def test_a_model_against_a_model(net: type[nn.Module]) -> None:
    assert ckptnames.diff("model.py:Net", net()).same
    assert ckptnames.diff(nn.DataParallel(net()), "model.py:Net").after_rules is not None


def test_fix_like_a_model_makes_a_file_that_the_model_loads(net: type[nn.Module]) -> None:
    likes: list[str | nn.Module] = ["model.py:Net", net()]
    for n, like in enumerate(likes):
        out = Path(f"{n}.pt")
        ckptnames.fix("trained.pt", out, like=like)
        net().load_state_dict(torch.load(out, weights_only=True)["model"])


def test_remap_like_a_model_gives_what_the_model_loads(net: type[nn.Module]) -> None:
    state = torch.load("trained.pt", weights_only=True)["model"]
    for like in ("model.py:Net", net(), build("model.py:Net")):
        net().load_state_dict(ckptnames.remap(state, like=like))


def test_a_plan_for_a_model(net: type[nn.Module]) -> None:
    for target in ("model.py:Net", net()):
        plan = ckptnames.plan("trained.pt", "module.** -> **", target)
        assert (plan.outcome, list(plan.mapping)) == ("ready", list(net().state_dict()))
    assert ckptnames.plan("model.py:Net", "conv.** -> stem.**").outcome == "ready"


def test_ties_of_a_model_without_memory_are_known() -> None:
    assert manifest_of(build("model.py:Net")).ties == (("fc.weight", "tied.weight"),)
    assert open_operand("model.py:Net").checkpoint.manifest().ties == (("fc.weight", "tied.weight"),)


def test_a_model_as_a_checkpoint() -> None:
    checkpoint, container = open_operand("model.py:Net(width=3)")
    manifest = checkpoint.manifest(container)
    assert (checkpoint.format, manifest.name, manifest.container) == ("model", "model.py:Net(width=3)", "")
    # fc.weight and tied.weight are one.
    assert checkpoint.n_bytes == 4 * (18 + 2 + 2 * 4 + 6 + 3 + 3) + 8
    with pytest.raises(CannotRewrite):
        checkpoint.rewritten({})


def test_a_text_in_an_argument_stays_as_it_is() -> None:
    write(Path("model.py"), "def make(url):\n    return nn.PReLU(len(url))\n")
    manifest = manifest_of("model.py:make('http://a')")
    assert manifest.name == "model.py:make('http://a')"
    assert manifest["weight"].shape == (8,)


def test_a_call_longer_than_any_path() -> None:
    write(Path("model.py"), "def make(widths):\n    return nn.PReLU(len(widths))\n")
    assert manifest_of(f"model.py:make({list(range(2000))})")["weight"].shape == (2000,)


def test_a_model_is_not_written() -> None:
    with pytest.raises(CannotRewrite):
        ckptnames.fix("model.py:Net", "out.pt", rules="a -> b ?")
    assert not Path("out.pt").exists()


# What an operand is


def test_an_existing_path_comes_first(net: type[nn.Module]) -> None:
    torch.save(nn.Linear(1, 1).state_dict(), "model.py:Net")
    assert list(manifest_of("model.py:Net")) == ["weight", "bias"]
    torch.save({"a": nn.Linear(1, 1).state_dict()}, "model.py:Net")
    assert open_operand("model.py:Net#a").container == "a"


@pytest.mark.parametrize(
    ("operand", "code"),
    [
        ("https://example.org/model.py:Net", "operand-not-supported"),
        ("git:main:src/model.py:Net", "no-repository"),
        ("git:v1:model.py:Net(3)", "no-repository"),
        ("model.py", "model-not-named"),
        ("nowhere.py:Net", "no-such-path"),
        ("sub/nowhere.pt", "no-such-path"),
        ("trained.py:Net", "no-such-path"),
        ("a/b:Net", "no-such-path"),
        ("C:Net", "no-such-path"),
        (r"C:\models\net.pt", "no-such-path"),
        ("model.py:Net#conv", "no-such-path"),
        ("nowhere.at.all:Net", "no-such-module"),
        ("model:Nett", "no-such-name"),
        ("", "empty-path"),
    ],
)
def test_what_is_no_operand_says_why(operand: str, code: str) -> None:
    with pytest.raises((ModelError, NoSuchPath, ckptnames.CkptnamesError)) as caught:
        manifest_of(operand)
    assert caught.value.code == code


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(NotAStateDict):
        manifest_of(5)  # type: ignore[arg-type]


def test_what_is_predicted_has_the_name_that_can_be_pasted() -> None:
    assert ckptnames.predict("model.py:Net").name == "model.py:Net"
    assert ckptnames.predict(build("model.py:Net")).name == ""
    assert ckptnames.predict("model.py:Net", wrap=["ddp"]).name == ""
    assert list(ckptnames.predict("model.py:Net")) == list(ckptnames.predict(build("model.py:Net")))
