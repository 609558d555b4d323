"""Names whose dots were flattened get them back: what flattens them is what latent diffusion and mmcv themselves do."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ckptnames
from ckptnames.cli.main import cli
from ckptnames.inference.wrappers.flattened import unflattened
from ckptnames.manifest import Manifest, TensorInfo
from tests.inference.making import infer_shapes


class Block(nn.Module):
    """A block with names in which underscores and numbers stand beside dots."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(norm(width), nn.SiLU(), nn.Conv2d(width, width, 3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.norm1 = norm(width)


class UNet(nn.Module):
    """More than ten blocks of several members, so that `110` may be 11 and 0 or 1 and 10."""

    def __init__(self, norm: Callable[[int], nn.Module] = lambda n: nn.GroupNorm(2, n)) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 8))
        self.input_blocks = nn.ModuleList(
            [nn.Sequential(*[Block(4, norm) for _ in range(11 if n == 3 else 1)]) for n in range(12)]
        )
        self.out = nn.Sequential(norm(4), nn.SiLU(), nn.Conv2d(4, 2, 3))


class LitEma(nn.Module):
    """The buffers of latent diffusion's averaged copy: no dots are allowed in them, so all are left out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.register_buffer("decay", torch.tensor(0.9999))
        self.register_buffer("num_updates", torch.tensor(0, dtype=torch.int))
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                self.register_buffer(name.replace(".", ""), parameter.clone().detach().data + 1)


class LatentDiffusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"diffusion_model": UNet()})
        self.first_stage_model = nn.Linear(3, 3)
        self.model_ema = LitEma(self.model)


def with_ema_hook(model: nn.Module, *, buffers: bool = False) -> nn.Module:
    """Register buffers as mmcv's hook does: on the model itself, underscores for dots."""
    state = model.state_dict() if buffers else dict(model.named_parameters())
    for name, value in state.items():
        model.register_buffer(f"ema_{name.replace('.', '_')}", value.data.clone() + 1)
    return model


def flat_pairs(state: dict[str, torch.Tensor], prefix: str, names: list[str], join: str) -> dict[str, str]:
    return {name: key for name in names if (key := prefix + name.replace(".", join)) in state}


@pytest.mark.parametrize("lead", ["", "diffusion_model.", "model.diffusion_model."])
def test_lit_ema_is_found_whatever_the_target_is_called_by(lead: str) -> None:
    state = LatentDiffusion().state_dict()
    target = {lead + name: value for name, value in UNet().state_dict().items()}
    only = {key: value for key, value in state.items() if key.startswith("model_ema.")}
    found = ckptnames.infer(only, target)
    truth = {name: f"model_ema.diffusion_model{name.removeprefix(lead).replace('.', '')}" for name in target}
    assert dict(found.mapping) == truth
    assert (found.complete, found.unused_source) == (True, ("model_ema.decay", "model_ema.num_updates"))
    assert ckptnames.plan(only, found.rules, target).mapping == truth
    assert len(found.rules) <= len(target) / 8
    explained = ckptnames.diff(only, target)
    assert explained.after_rules is not None and not explained.after_rules.missing
    assert all(
        torch.equal(value, only[truth[name]])
        for name, value in ckptnames.remap(only, found.rules).items()
        if name in truth
    )


def test_a_live_copy_beside_it_leaves_a_choice_that_names_the_averaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state, target = LatentDiffusion().state_dict(), UNet().state_dict()
    torch.save({"state_dict": state}, "ldm.ckpt")
    torch.save(target, "unet.pt")
    found = ckptnames.infer("ldm.ckpt", "unet.pt")
    assert (dict(found.mapping), found.complete) == ({}, False)
    (question,) = found.ambiguous
    assert "`model_ema.diffusion_model…`, an averaged copy (EMA)" in question.message
    assert question.lines == ("model.diffusion_model.** -> !drop", "model_ema.** -> !drop")
    kept = ("model_ema.diffusion_model", "model.diffusion_model.")
    for line, prefix in zip(question.lines, kept, strict=True):
        decided = ckptnames.infer("ldm.ckpt", "unet.pt", given=line)
        assert decided.complete
        assert all(key.startswith(prefix) for key in decided.mapping.values())
    screen = str(ckptnames.diff("ldm.ckpt", "unet.pt"))
    assert "model_ema.diffusion_model." in screen and "(an averaged copy, its dots are flattened)" in screen
    rules = Path("names.rules")
    args = ["infer", "ldm.ckpt", "unet.pt", "--given", "live.rules", "-o", str(rules)]
    Path("live.rules").write_text(question.lines[0])
    assert CliRunner().invoke(cli, args).exit_code == 0
    assert "# 184 keys: give back the dots that were flattened in `model_ema.diffusion_model…`\n" in rules.read_text(
        "utf-8"
    )
    commands = [line.strip() for line in screen.splitlines() if line.startswith("  ckptnames ")]
    live, *averaged = commands
    assert CliRunner().invoke(cli, shlex.split(live)[1:]).exit_code == 0
    infer, fix = averaged
    run_in_bash(infer)
    assert CliRunner().invoke(cli, shlex.split(fix)[1:]).exit_code == 0
    assert torch.equal(
        torch.load("ldm.model.diffusion_model.ckpt")["state_dict"]["out.2.bias"],
        state["model.diffusion_model.out.2.bias"],
    )
    fixed = torch.load("ldm.model_ema.diffusion_model.ckpt")["state_dict"]
    assert fixed.keys() == target.keys()
    for name, value in fixed.items():
        assert torch.equal(value, state[f"model_ema.diffusion_model{name.replace('.', '')}"]), name


def run_in_bash(command: str) -> None:
    """Paste a command into a shell."""
    program = f"{shlex.quote(sys.executable)} -m ckptnames"
    root = Path(ckptnames.__file__).parent.parent
    done = subprocess.run(
        ["bash", "-c", f"PYTHONPATH={shlex.quote(str(root))} {command.replace('ckptnames', program, 1)}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_fix_like_refuses_to_choose(tmp_path: Path) -> None:
    torch.save(LatentDiffusion().state_dict(), tmp_path / "ldm.ckpt")
    with pytest.raises(ckptnames.CkptnamesError) as caught:
        ckptnames.fix(tmp_path / "ldm.ckpt", tmp_path / "out.ckpt", like=UNet().state_dict())
    assert caught.value.code == "ambiguous-inference"
    assert not (tmp_path / "out.ckpt").exists()


def test_mmcv_hook_alone() -> None:
    target = UNet(nn.BatchNorm2d).state_dict()
    state = with_ema_hook(UNet(nn.BatchNorm2d), buffers=True).state_dict()
    only = {f"module.{key}": value for key, value in state.items() if key.startswith("ema_")}
    truth = {name: f"module.ema_{name.replace('.', '_')}" for name in target}
    found = ckptnames.infer(only, target)
    counters = {name for name in truth if name.endswith("num_batches_tracked")}
    assert {name: key for name, key in found.mapping.items() if name not in counters} == {
        name: key for name, key in truth.items() if name not in counters
    }
    assert all(truth[name] == key for name, key in found.mapping.items())
    assert ckptnames.plan(only, found.rules, target).mapping == dict(found.mapping)
    assert len(found.rules) <= 20


@pytest.mark.parametrize("wrapped", ["", "net."])
def test_a_live_copy_that_is_whole_wins_over_averages_without_buffers(wrapped: str) -> None:
    """mmcv averages parameters only: its copy cannot fill a model with batch norms, and is no rival."""
    target = UNet(nn.BatchNorm2d).state_dict()
    source = {wrapped + key: value for key, value in with_ema_hook(UNet(nn.BatchNorm2d)).state_dict().items()}
    found = ckptnames.infer(source, target)
    assert dict(found.mapping) == {name: wrapped + name for name in target}
    assert not found.ambiguous
    assert found.flattened is None


def test_a_live_copy_under_the_same_module_is_a_choice() -> None:
    target = UNet().state_dict()
    source = {f"net.{key}": value for key, value in with_ema_hook(UNet()).state_dict().items()}
    found = ckptnames.infer(source, target)
    (question,) = found.ambiguous
    assert dict(found.mapping) == {}
    first, second = (ckptnames.infer(source, target, given=line) for line in question.lines)
    assert set(first.mapping.values()) == {key for key in source if key.startswith("net.ema_")}
    assert set(second.mapping.values()) == {f"net.{name}" for name in target}


def test_what_stands_beside_both_copies_makes_neither_of_them_more_likely() -> None:
    names = ["blocks.0.0.weight", "blocks.1.0.weight", "blocks.1.1.weight", "out.0.weight", "out.0.bias"]
    live = {f"model.diffusion.{name}": (n + 2, n + 3) for n, name in enumerate(names)}
    averaged = {f"model_ema.diffusion{name.replace('.', '')}": (n + 2, n + 3) for n, name in enumerate(names)}
    beside = {f"first_stage.{n}.weight": (n + 20, 3) for n in range(9)}
    source = {**live, **averaged, **beside}
    target = {f"unet.{name}": (n + 2, n + 3) for n, name in enumerate(names)}
    target |= {f"vae.{n}.weight": (n + 20, 3) for n in range(9)}
    found = infer_shapes(source, target)
    (question,) = found.ambiguous
    assert set(question.targets) == {f"unet.{name}" for name in names}
    assert set(found.mapping) == {f"vae.{n}.weight" for n in range(9)}


def manifest(*keys: str, shape: tuple[int, ...] = (2,)) -> Manifest:
    return Manifest({key: TensorInfo("F32", shape, 8) for key in keys})


WANTED = [f"net.{block}.{n}.{leaf}" for block in ("in_proj", "out_proj") for n in range(5) for leaf in ("w", "b")]


def test_names_that_two_of_the_target_could_be_are_left_alone() -> None:
    flat = [f"ema.{name.replace('.', '')}" for name in WANTED]
    assert unflattened(manifest(*flat), manifest(*WANTED)) is not None
    twins = [name.replace("_proj", ".proj") for name in WANTED]
    assert unflattened(manifest(*flat), manifest(*WANTED, *twins)) is None


def test_other_shapes_prove_nothing() -> None:
    flat = [f"ema.{name.replace('.', '')}" for name in WANTED]
    assert unflattened(manifest(*flat, shape=(3,)), manifest(*WANTED)) is None


@pytest.mark.parametrize("n_others", [1, 6])
def test_nearly_all_names_under_a_prefix_have_to_be_found(n_others: int) -> None:
    flat = [f"ema.{name.replace('.', '')}" for name in WANTED]
    others = [f"ema.other{n}" for n in range(n_others)]
    found = unflattened(manifest(*flat, *others), manifest(*WANTED))
    assert (found is not None) == (n_others == 1)
    if found is not None:
        assert set(found.names) == set(flat)
        assert [found.rules(key) for key in others] == others


def test_two_numbers_that_no_sign_parts_are_parted_rightly() -> None:
    wanted = [f"blocks.{i}.{j}.w" for i in range(12) for j in range(12)]
    flat = {f"m.{name.replace('.', '')}" for name in wanted}
    # `blocks110w` and `blocks111w` are two names each.
    assert len(flat) == len(wanted) - 2
    found = unflattened(manifest(*flat), manifest(*wanted))
    assert found is not None
    assert flat - found.names.keys() == {"m.blocks110w", "m.blocks111w"}
    assert {key for key in flat if found.rules(key) != key} == found.names.keys()
    assert all(found.rules(f"m.{name.replace('.', '')}") == f"m.{name}" for name in found.targets.values())
    few = [f"blocks.{i}.{j}.w" for i in range(12) for j in range(2)]
    found = unflattened(manifest(*(f"m.{name.replace('.', '')}" for name in few)), manifest(*few))
    assert found is not None
    assert {found.rules(key) for key in found.names} == {f"m.{name}" for name in few}
    assert len(found.rules) == 1


def test_names_that_lost_nothing_are_no_flattened_ones() -> None:
    """Parameters of one module under a module of another name have no dots to lose."""
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert unflattened(manifest(*(f"rnn.{n}" for n in names)), manifest(*(f"encoder.{n}" for n in names))) is None
    assert unflattened(manifest(*(f"rnn.{n}" for n in names)), manifest(*names)) is None
