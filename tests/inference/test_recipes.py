"""The recipes do what the libraries themselves do on loading: their hooks, expressions and scripts are the oracle."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ckptnames
from ckptnames import Rules
from ckptnames.cli.main import cli
from ckptnames.rules.recipes import recipe_named, recipes
from tests.schemas import validate

NEW = nn.utils.parametrizations


def weight_normed(is_new: bool) -> nn.Module:
    """Norm a convolution along its dimension, one as a whole, and both weights of a recurrent layer."""
    model = nn.ModuleDict({"a": nn.Conv1d(4, 8, 3), "b": nn.Linear(8, 8), "c": nn.Conv1d(8, 4, 3)})
    model["r"] = nn.LSTM(4, 4, num_layers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        norm = NEW.weight_norm if is_new else nn.utils.weight_norm
        norm(model["a"])
        norm(model["c"], dim=None)  # type: ignore[arg-type]
        norm(model["r"], "weight_hh_l1")
        norm(model["b"], "bias", dim=0)
    return model


def spectral_normed(is_new: bool) -> nn.Module:
    norm: Callable[..., nn.Module] = NEW.spectral_norm if is_new else nn.utils.spectral_norm
    return nn.ModuleDict({"a": norm(nn.Conv2d(4, 8, 3)), "b": nn.Linear(8, 8), "c": norm(nn.Linear(8, 8))})


def renamed(keys: Iterable[str], recipe: str) -> list[str]:
    return list(ckptnames.plan(list(keys), Rules.load(f"recipe:{recipe}")).mapping)


def assert_leads(recipe: str, source: nn.Module, target: nn.Module, module: str, given: torch.Tensor) -> None:
    """Rename the names of one model, load them into the other, and compare what the two compute."""
    target.load_state_dict(ckptnames.remap(source.state_dict(), Rules.load(f"recipe:{recipe}")), strict=True)
    for each in (source, target):
        each.eval()
    outputs = [each.get_submodule(module)(given) for each in (source, target)]
    assert torch.equal(*outputs)


def test_weight_norm_is_renamed_as_torch_does() -> None:
    old, new = weight_normed(False), weight_normed(True)
    assert_leads("weight-norm", old, new, "a", torch.rand(1, 4, 5))
    by_hook = weight_normed(True)
    by_hook.load_state_dict(old.state_dict(), strict=True)
    ours = ckptnames.remap(old.state_dict(), Rules.load("recipe:weight-norm"))
    assert ours.keys() == by_hook.state_dict().keys()
    assert all(torch.equal(ours[key], value) for key, value in by_hook.state_dict().items())


def test_weight_norm_is_led_back() -> None:
    old, new = weight_normed(False), weight_normed(True)
    assert_leads("weight-norm-old", new, old, "c", torch.rand(1, 8, 5))
    assert set(renamed(old.state_dict(), "weight-norm")) == set(new.state_dict())


@pytest.mark.parametrize(("recipe", "is_new"), [("spectral-norm", False), ("spectral-norm-old", True)])
def test_spectral_norm_both_ways(recipe: str, is_new: bool) -> None:
    source, target = spectral_normed(is_new), spectral_normed(not is_new)
    assert_leads(recipe, source, target, "c", torch.rand(2, 8))


def test_norms_of_both_kinds_in_one_file_are_told_apart() -> None:
    """A `weight_v` is half of a weight norm, a third of a spectral norm, or a weight of its own."""
    normed = {f"w.{key}" for key in weight_normed(False).state_dict()}
    spectral = {f"s.{key}" for key in spectral_normed(False).state_dict()}
    others = {"qkv_proj.weight_v", "qkv_proj.weight_q", "lonely.weight_g", "gate_u", "weight_v"}
    first = renamed([*normed, *spectral, *others], "weight-norm")
    assert set(first) == {f"w.{key}" for key in weight_normed(True).state_dict()} | spectral | others
    second = renamed(first, "spectral-norm")
    assert {key for key in second if key.startswith("s.")} == {f"s.{key}" for key in spectral_normed(True).state_dict()}
    assert set(second) >= others
    assert set(renamed(renamed(second, "spectral-norm-old"), "weight-norm-old")) == normed | spectral | others


def test_only_the_gamma_of_a_layer_norm_is_renamed() -> None:
    norms = ["bert.embeddings.LayerNorm", "LayerNorm", "layer.0.attention.output.LayerNorm", "encoder.input_layer_norm"]
    theirs = [f"{norm}.{leaf}" for norm in norms for leaf in ("gamma", "beta")]
    # A layer scale of ConvNeXt, one that sits in a norm's place, a modulation, a word within a word.
    others = ["stages.0.blocks.0.gamma", "norm.gamma", "film.gamma.weight", "film.beta.weight", "gammas.beta", "beta"]
    expected = [key.replace(".gamma", ".weight").replace(".beta", ".bias") for key in theirs]
    assert renamed([*theirs, *others], "layer-norm") == [*expected, *others]


def old_densenet(key: str) -> str:
    """Rename as `_load_state_dict` of torchvision's DenseNet does."""
    pattern = r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
    found = re.match(pattern, key)
    return found[1] + found[2] if found else key


def test_densenet() -> None:
    keys = [
        f"features.denseblock{b}.denselayer{n}.{kind}.{place}.{leaf}"
        for b in (1, 2)
        for n in (1, 16)
        for kind, leaf in [("norm", "weight"), ("norm", "running_var"), ("conv", "weight")]
        for place in (1, 2)
    ]
    keys += ["features.conv0.weight", "features.transition1.norm.weight", "features.norm5.bias", "norm.1.weight"]
    assert renamed(keys, "torchvision-densenet") == [old_densenet(key) for key in keys]


def old_detection(key: str) -> str:
    """Rename as the modules of version 2 do on loading, one after the other."""
    for module, old, new in [
        *[("fpn", f"{b}.{i}", f"{b}.{i}.0") for b in ("inner_blocks", "layer_blocks") for i in range(4)],
        ("rpn.head", "conv", "conv.0.0"),
        *[("mask_head", f"mask_fcn{i + 1}", f"{i}.0") for i in range(4)],
        *[
            (f"head.{h}_head", f"conv.{2 * i}", f"conv.{i}.0")
            for h in ("classification", "regression")
            for i in range(4)
        ],
    ]:
        for leaf in ("weight", "bias"):
            if key.endswith(f"{module}.{old}.{leaf}"):
                return key.removesuffix(f"{old}.{leaf}") + f"{new}.{leaf}"
    return key


def test_detection() -> None:
    modules = [
        *[f"backbone.fpn.{b}.{i}" for b in ("inner_blocks", "layer_blocks") for i in range(4)],
        *["rpn.head.conv", "rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.box_head.fc6"],
        *[f"roi_heads.mask_head.mask_fcn{i}" for i in range(1, 5)],
        *[f"head.{h}_head.conv.{2 * i}" for h in ("classification", "regression") for i in range(4)],
        *["head.classification_head.cls_logits", "backbone.body.layer1.0.conv1", "backbone.fpn.extra_blocks.p6"],
    ]
    keys = [f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")]
    now = [old_detection(key) for key in keys]
    assert renamed(keys, "torchvision-detection") == now
    assert renamed(now, "torchvision-detection") == now, "names that are right already are left alone"


def test_vision_transformer() -> None:
    places = [f"encoder.layers.encoder_layer_{n}" for n in (0, 11)]
    old = [f"{place}.mlp.linear_{i + 1}.{leaf}" for place in places for i in range(2) for leaf in ("weight", "bias")]
    new = [f"{place}.mlp.{3 * i}.{leaf}" for place in places for i in range(2) for leaf in ("weight", "bias")]
    assert renamed([*old, "heads.head.weight"], "torchvision-vit") == [*new, "heads.head.weight"]


def esrgan_names(n_blocks: int) -> dict[str, list[str]]:
    """Give the module names of one network in its three namings, in the same order."""
    dense = [(i, j, k) for i in range(n_blocks) for j in (1, 2, 3) for k in range(1, 6)]
    last = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    middle = ("trunk_conv", "upconv1", "upconv2", "HRconv", "conv_last")
    first = (f"model.1.sub.{n_blocks}", "model.3", "model.6", "model.8", "model.10")
    return {
        "first": ["model.0", *[f"model.1.sub.{i}.RDB{j}.conv{k}.0" for i, j, k in dense], *first],
        "middle": ["conv_first", *[f"RRDB_trunk.{i}.RDB{j}.conv{k}" for i, j, k in dense], *middle],
        "last": ["conv_first", *[f"body.{i}.rdb{j}.conv{k}" for i, j, k in dense], *last],
    }


@pytest.mark.parametrize("naming", ["first", "middle", "last"])
def test_esrgan(naming: str) -> None:
    names = {
        which: [f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")]
        for which, modules in esrgan_names(12).items()
    }
    assert renamed(names[naming], "esrgan") == names["last"]


LLAVA = {
    "^language_model.model": "model.language_model",
    "^vision_tower": "model.vision_tower",
    "^multi_modal_projector": "model.multi_modal_projector",
    "^image_newline": "model.image_newline",
    "^language_model.lm_head": "lm_head",
}
QWEN2_VL = {"^visual": "model.visual", r"^model(?!\.(language_model|visual))": "model.language_model"}


@pytest.mark.parametrize(("recipe", "table"), [("transformers-llava", LLAVA), ("transformers-qwen2-vl", QWEN2_VL)])
def test_vision_language_models(recipe: str, table: Mapping[str, str]) -> None:
    keys = {
        "transformers-llava": [
            "language_model.model.layers.0.self_attn.q_proj.weight",
            "language_model.lm_head.weight",
            "vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias",
            "multi_modal_projector.linear_1.weight",
            "image_newline",
        ],
        "transformers-qwen2-vl": [
            "visual.blocks.0.attn.qkv.weight",
            "model.layers.0.mlp.up_proj.weight",
            "model.norm.weight",
            "lm_head.weight",
        ],
    }[recipe]
    now = []
    for key in keys:
        found = next(((re.sub(p, t, key)) for p, t in table.items() if re.match(p, key)), key)
        now.append(found)
    assert renamed(keys, recipe) == now
    if recipe == "transformers-qwen2-vl":
        assert renamed(now, recipe) == now


def test_nothing_is_done_where_nothing_fits() -> None:
    for recipe in recipes():
        plan = ckptnames.plan(["qkv.weight_v", "fc.bias", "block.gamma"], recipe.rules)
        assert plan.outcome == "nothing-to-do"
        assert list(plan.mapping) == ["qkv.weight_v", "fc.bias", "block.gamma"]


def test_every_recipe_says_what_it_does_and_where_it_is_from() -> None:
    folder = Path(ckptnames.__file__).parent / "recipes"
    assert sorted(path.stem for path in folder.iterdir()) == [recipe.name for recipe in recipes()]
    for recipe in recipes():
        header, title, *rest = (folder / f"{recipe.name}.rules").read_text(encoding="utf-8").splitlines()
        assert header == "# ckptnames rules 1"
        assert title == f"# {recipe.title}"
        assert len(recipe.title) <= 50
        assert any(re.search(r"\w+\.py", line) for line in rest if line.startswith("#")), recipe.name
        assert Rules.parse(str(recipe.rules)) == recipe.rules
        assert recipe_named(recipe.name) == recipe


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fix_takes_a_recipe_beside_other_stages(in_tmp: Path) -> None:
    state = weight_normed(False).state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, "old.pt")
    args = ["fix", "old.pt", "--strip", "module", "--rules", "recipe:weight-norm", "-o", "new.pt"]
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.stderr
    weight_normed(True).load_state_dict(torch.load("new.pt")["state_dict"], strict=True)
    result = CliRunner().invoke(cli, ["fix", "new.pt", "--rules", "recipe:weight-norm", "-o", "again.pt"])
    assert (result.exit_code, Path("again.pt").exists()) == (0, False)


def test_diff_offers_the_recipe_that_explains_all(in_tmp: Path) -> None:
    torch.save({f"module.{key}": value for key, value in spectral_normed(False).state_dict().items()}, "old.pt")
    torch.save(spectral_normed(True).state_dict(), "new.pt")
    result = CliRunner().invoke(cli, ["diff", "old.pt", "new.pt"])
    assert result.exit_code == 1
    cause = "6 of 10 keys: spectral_norm to parametrizations.spectral_norm\n  (`recipe:spectral-norm`)\n"
    assert cause in result.stdout
    command = "ckptnames fix old.pt --strip module --rules recipe:spectral-norm --like new.pt -o old.fixed.pt"
    assert f"  {command}\n" in result.stdout
    assert CliRunner().invoke(cli, command.split()[1:]).exit_code == 0
    spectral_normed(True).load_state_dict(torch.load("old.fixed.pt"), strict=True)
    found = ckptnames.diff("old.pt", "new.pt")
    assert found.after_rules is not None
    assert (found.recipe, found.after_rules.same, found.evidence) == ("recipe:spectral-norm", True, ())


def test_diff_offers_none_that_explains_only_a_part() -> None:
    # The layer scales are in the way: the answer has to speak of all keys.
    source = {"a.LayerNorm.gamma": torch.ones(3), "a.LayerNorm.beta": torch.ones(3), "old.weight": torch.ones(5)}
    target = {"a.LayerNorm.weight": torch.ones(3), "a.LayerNorm.bias": torch.ones(3), "new.weight": torch.ones(6)}
    assert not ckptnames.diff(source, target).recipe


def test_infer_goes_on_from_a_recipe(in_tmp: Path) -> None:
    torch.save({f"old.{key}": value for key, value in weight_normed(False).state_dict().items()}, "old.pt")
    torch.save({f"net.{key}": value for key, value in weight_normed(True).state_dict().items()}, "new.pt")
    result = CliRunner().invoke(cli, ["infer", "old.pt", "new.pt", "--given", "recipe:weight-norm", "-o", "all.rules"])
    assert result.exit_code == 0, result.stdout
    fixed = ckptnames.fix("old.pt", "fixed.pt", rules=Rules.load("all.rules"), like="new.pt")
    assert list(fixed.mapping) == list(torch.load("new.pt"))


def test_the_list() -> None:
    result = CliRunner().invoke(cli, ["infer", "--recipes"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"recipe:{recipe.name}" for recipe in recipes()]
    assert max(map(len, lines)) <= 80
    printed = CliRunner().invoke(cli, ["infer", "--recipes", "--json"]).stdout
    assert [each["name"] for each in validate("recipes", 0, printed)["recipes"]] == [each.name for each in recipes()]
    assert "recipe:weight-norm            weight_norm to parametrizations.weight_norm" in lines
