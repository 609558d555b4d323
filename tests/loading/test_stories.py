"""What people report of loads that failed in silence: each ends in the right weights, or in an error."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames import errors


class Shapes(nn.Module):
    """A tree of parameters, from their names and shapes."""

    def __init__(self, tensors: Mapping[str, tuple[int, ...]], seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for key, shape in tensors.items():
                *path, leaf = key.split(".")
                holder: nn.Module = self
                for name in path:
                    if name not in holder._modules:
                        holder.add_module(name, nn.Module())
                    inner = holder._modules[name]
                    assert inner is not None
                    holder = inner
                holder.register_parameter(leaf, nn.Parameter(torch.randn(shape)))


State = dict[str, torch.Tensor]


def state(*keys: str, seed: int = 1) -> State:
    """Give a different tensor of the same shape under each name."""
    found: State = Shapes(dict.fromkeys(keys, (3, 3)), seed).state_dict()
    return {key: found[key] for key in keys}


def model(*keys: str) -> Shapes:
    return Shapes(dict.fromkeys(keys, (3, 3)), seed=2)


def copy_of(module: nn.Module) -> State:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def assert_has(module: nn.Module, wanted: Mapping[str, torch.Tensor]) -> None:
    found = module.state_dict()
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


@contextlib.contextmanager
def refused(module: nn.Module, error: type[errors.CkptnamesError]) -> Any:
    """Hold that a load is refused, and has changed nothing."""
    before = copy_of(module)
    with pytest.raises(error) as info:
        yield info
    assert_has(module, before)


def test_1_a_load_of_nothing_is_no_success() -> None:
    target = model("conv.weight", "fc.weight")
    with refused(target, errors.NothingMatched):
        ckptnames.load(target, state("vit.a", "vit.b", "vit.c"), missing="keep", unexpected="ignore")


def test_1_a_prefix_that_strict_false_would_have_skipped() -> None:
    target, trained = model("conv.weight", "fc.weight"), state("conv.weight", "fc.weight")
    ckptnames.load(target, {f"module.{key}": value for key, value in trained.items()})
    assert_has(target, trained)


def test_2_what_is_filtered_and_updated_first_still_counts_as_nothing() -> None:
    target = model("conv.weight", "fc.weight")
    loaded = {key: value for key, value in state("a.conv", "a.fc").items() if key in target.state_dict()}
    with refused(target, errors.NotAStateDict):
        ckptnames.load(target, loaded)


def test_3_a_map_that_forgets_a_few() -> None:
    names = [f"layers.{n}.w" for n in range(6)]
    target = model(*names, "embed", "norm")
    rules = "blocks.** -> layers.**"
    with refused(target, errors.IncompleteLoad) as info:
        ckptnames.load(target, state(*(f"blocks.{n}.w" for n in range(6)), "embed_tokens", "ln_f"), rules=rules)
    assert info.value.counts == ((2, "missing"), (2, "unexpected"))


@pytest.mark.parametrize(
    "name", ["mlp_module.w", "attention_module.in_proj_v", "conv1.module.weight_bar", "submodule.w"]
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_4_names_that_a_replacement_would_break(name: str, wrapped: bool) -> None:
    trained = state("a.w", "b.w", "c.w", name)
    target = model(*trained)
    ckptnames.load(target, {f"module.{key}" if wrapped else key: value for key, value in trained.items()})
    assert_has(target, trained)


def test_4_a_model_whose_own_attribute_is_called_module() -> None:
    trained = state("module.fc.w", "module.conv.w")
    target = model(*trained)
    for prefix in ("", "module.", "_orig_mod.", "module._orig_mod."):
        target.load_state_dict({key: torch.zeros(3, 3) for key in trained})
        ckptnames.load(target, {prefix + key: value for key, value in trained.items()})
        assert_has(target, trained)


def test_5_a_slice_of_seven_characters_would_cut_names() -> None:
    trained = state("encoder.w", "decoder.w")
    target = nn.DataParallel(model(*trained))
    ckptnames.load(target, trained)
    assert_has(target.module, trained)


def test_6_a_prefix_on_some_keys_only() -> None:
    trained = state("a.w", "b.w", "c.w", "d.w")
    target = model(*trained)
    mixed = {f"module.{key}" if key < "c" else key: value for key, value in trained.items()}
    ckptnames.load(target, mixed)
    assert_has(target, trained)


def test_7_a_prefix_ends_where_a_segment_does() -> None:
    trained = state("mod.w", "mod_scored.w")
    target = model("x.w", "mod_scored.w")
    ckptnames.load(target, trained, rules="mod.** -> x.**")
    assert_has(target, {"x.w": trained["mod.w"], "mod_scored.w": trained["mod_scored.w"]})


def test_8_two_keys_that_would_have_one_name() -> None:
    target = model("q.weight")
    with refused(target, errors.KeyCollision):
        ckptnames.load(target, state("q.base_layer.weight", "q.weight"), rules="**.base_layer.** -> **.**")


def test_8_a_chain_of_renames_happens_at_once() -> None:
    trained = state("conv1.w", "conv2.w", "conv3.w")
    target = model("conv0.w", "conv1.w", "conv2.w")
    ckptnames.load(target, trained, rules="conv{i:d}.** -> conv{i-1}.**")
    assert_has(target, {f"conv{n - 1}.w": trained[f"conv{n}.w"] for n in (1, 2, 3)})


def test_9_a_gamma_that_is_called_gamma() -> None:
    trained = state("norm.gamma", "norm.beta", "scale.gamma", "qkv_proj.weight_v")
    target = model(*trained)
    ckptnames.load(target, {f"module.{key}": value for key, value in trained.items()})
    assert_has(target, trained)


def test_9_a_weight_v_without_weight_g_is_no_norm() -> None:
    target = model("a.w", "qkv.parametrizations.weight.original1")
    with refused(target, errors.IncompleteLoad):
        ckptnames.load(target, state("a.w", "qkv.weight_v"))


def test_9_two_parts_that_are_no_weight_norm_in_the_model() -> None:
    target = model("a.w", "b.weight_g", "b.weight_v")
    parts = ("b.parametrizations.weight.original0", "b.parametrizations.weight.original1")
    with refused(target, errors.IncompleteLoad):
        ckptnames.load(target, state("a.w", *parts))


def test_10_the_order_of_tensors_is_no_name() -> None:
    target = model("gate", "up", "down")
    for infer in (False, True):
        with refused(target, errors.LoadError):
            ckptnames.load(target, state("w1", "w2", "w3"), infer=infer)


def test_11_a_square_weight_that_is_transposed() -> None:
    names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    sizes = {"attn.c_attn": (8, 24), "attn.c_proj": (8, 8), "mlp.c_fc": (8, 32), "mlp.c_proj": (32, 8)}
    conv1d = {f"h.{n}.{name}.weight": sizes[name] for n in range(2) for name in names}
    linear = {f"transformer.h.{n}.{name}.weight": sizes[name][::-1] for n in range(2) for name in names}
    target = Shapes(linear)
    for infer in (False, True):
        with refused(target, errors.IncompleteLoad):
            ckptnames.load(target, Shapes(conv1d, seed=1), infer=infer)


def test_12_one_element_is_not_spread_over_many() -> None:
    target = Shapes({"a": (4,), "b": (4,), "c": (4,)})
    with refused(target, errors.IncompleteLoad):
        ckptnames.load(target, {"a": torch.ones(1), "b": torch.zeros(4), "c": torch.zeros(4)})


def test_12_packed_weights_without_what_they_mean() -> None:
    target = Shapes({"fc.weight": (8, 1), "norm.weight": (4,), "norm.bias": (4,)})
    packed = {"fc.weight": torch.ones(8, 1, dtype=torch.uint8), "fc.weight.absmax": torch.ones(1)}
    with refused(target, errors.QuantisedWeights):
        ckptnames.load(
            target, {**packed, "norm.weight": torch.ones(4), "norm.bias": torch.ones(4)}, unexpected="ignore"
        )


def test_12_scaled_weights_without_their_scales() -> None:
    target = Shapes({"fc.weight": (4, 4), "norm.weight": (4,)})
    scaled = {"fc.weight": torch.ones(4, 4), "fc.weight_scale": torch.ones(1), "norm.weight": torch.ones(4)}
    with refused(target, errors.QuantisedWeights):
        ckptnames.load(target, scaled, unexpected="ignore")


def test_13_a_cast_is_said() -> None:
    target = nn.Linear(2, 2, dtype=torch.bfloat16)
    trained = nn.Linear(2, 2).state_dict()
    report = ckptnames.load(target, trained)
    assert [tuple(cast) for cast in report.cast] == [("weight", "F32", "BF16"), ("bias", "F32", "BF16")]
    assert "cast 2 keys from F32 to BF16" in str(report)
    assert_has(target, {key: value.bfloat16() for key, value in trained.items()})


class Versioned(nn.Linear):
    """Counts from another end since version 2, as torch's quantised layers and others did."""

    _version = 2

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        if local_metadata.get("version", 1) < 2:
            state_dict[f"{prefix}bias"] = -state_dict[f"{prefix}bias"]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


@pytest.mark.parametrize("outer", [nn.DataParallel, nn.Sequential, torch.compile])
def test_14_versions_come_along_under_new_names(outer: Any, tmp_path: Path, quiet: None) -> None:
    trained = nn.Sequential(Versioned(2, 2))
    torch.save(outer(trained).state_dict(), tmp_path / "new.pt")
    target = nn.Sequential(Versioned(2, 2))
    ckptnames.load(torch.compile(target), tmp_path / "new.pt")  # type: ignore[arg-type]
    assert_has(target, trained.state_dict())


def test_14_what_has_no_version_is_read_as_torch_reads_it() -> None:
    target = nn.Sequential(Versioned(2, 2))
    old = {"module.0.weight": torch.ones(2, 2), "module.0.bias": torch.ones(2)}
    ckptnames.load(target, old)
    assert_has(target, {"0.weight": torch.ones(2, 2), "0.bias": -torch.ones(2)})


def test_15_a_key_below_a_parameter() -> None:
    target = model("fc1.weight", "fc2.weight")
    trained = {**state("fc1.weight", "fc2.weight"), "fc1.weight.bad_key": torch.ones(2)}
    with refused(target, errors.IncompleteLoad):
        ckptnames.load(target, trained)


def test_16_moments_of_another_parameter() -> None:
    before, after = model("a.w", "b.w"), model("b.w", "a.w")
    optimizer = torch.optim.SGD(before.parameters(), momentum=0.9)
    with pytest.raises(errors.MisalignedOptimizer):
        ckptnames.remap_optimizer(optimizer.state_dict(), model=after, weights=before)


def tied() -> nn.ModuleDict:
    found = nn.ModuleDict({"embed": nn.Linear(3, 3, bias=False), "lm_head": nn.Linear(3, 3, bias=False)})
    found["lm_head"].weight = found["embed"].weight
    return found


@pytest.mark.parametrize("key", ["embed.weight", "lm_head.weight"])
@pytest.mark.parametrize("assign", [False, True])
def test_17_one_name_of_a_tied_weight_fills_both(key: str, assign: bool) -> None:
    target, value = tied(), torch.rand(3, 3)
    report = ckptnames.load(target, {f"module.{key}": value}, assign=assign)
    assert report.is_complete
    assert target["embed"].weight is target["lm_head"].weight
    assert torch.equal(target.get_parameter("embed.weight"), value)


def test_17_a_tied_weight_of_a_model_without_memory() -> None:
    with torch.device("meta"):
        target = tied()
    ckptnames.load(target, {"embed.weight": torch.ones(3, 3)})
    assert target["embed"].weight is target["lm_head"].weight
    assert torch.equal(target.get_parameter("lm_head.weight"), torch.ones(3, 3))


def test_17_two_names_of_one_tensor_are_no_surplus() -> None:
    value = torch.rand(3, 3)
    target = nn.ModuleDict({"embed": nn.Linear(3, 3, bias=False)})
    report = ckptnames.load(target, {"embed.weight": value, "lm_head.weight": value})
    assert report.is_complete
    assert torch.equal(target.get_parameter("embed.weight"), value)


def test_17_tied_values_that_differ() -> None:
    target = tied()
    with refused(target, errors.TiedValuesDiffer):
        ckptnames.load(target, state("embed.weight", "lm_head.weight"))
    same = torch.rand(3, 3)
    ckptnames.load(target, {"embed.weight": same, "lm_head.weight": same.clone()})
    assert torch.equal(target.get_parameter("embed.weight"), same)


def test_18_two_copies_of_which_one_is_averaged() -> None:
    live, averaged = state("a.w", "b.w", seed=1), state("a.w", "b.w", seed=3)
    both = {
        f"{copy}.{key}": value
        for copy, s in (("online_model", live), ("ema_model", averaged))
        for key, value in s.items()
    }
    target = model(*live)
    with refused(target, errors.AmbiguousInference):
        ckptnames.load(target, both)
    report = ckptnames.load(target, both, rules="ema_model.** -> **", unexpected="ignore")
    assert_has(target, averaged)
    assert report.unexpected == ("online_model.a.w", "online_model.b.w")


def test_18_the_container_that_is_taken_is_said() -> None:
    live, averaged = state("a.w", "b.w", seed=1), state("a.w", "b.w", seed=3)
    target = model(*live)
    report = ckptnames.load(target, OrderedDict(model_ema=averaged, model=live))
    assert report.container == "model"
    assert_has(target, live)
    report = ckptnames.load(target, OrderedDict(model_ema=averaged, model=live), container="model_ema")
    assert_has(target, averaged)
