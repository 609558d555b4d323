"""Each caution on a pair of libraries that lays values out in two ways, and none where both do it alike."""

from __future__ import annotations

import pytest

from ckptnames.inference.cautions import CODES, cautions
from tests.inference.making import Shapes, manifest

D = 8


def codes(source: Shapes, target: Shapes) -> dict[str, tuple[str, ...]]:
    """Pair the keys in order, and give the targets of each caution."""
    mapping = dict(zip(target, source, strict=True))
    return {found.code: found.targets for found in cautions(mapping, manifest(source), manifest(target))}


META = {f"layers.0.attention.w{p}.weight": (D, D) for p in "qkv"}
HF = {f"model.layers.0.self_attn.{p}_proj.weight": (D, D) for p in "qkv"}
GPT = {f"h.0.attn.{p}.weight": (D, D) for p in ("query", "key", "value")}


def test_queries_and_keys_of_rotary_attention() -> None:
    turned = {name for name in HF if not name.endswith("v_proj.weight")}
    assert {code: set(names) for code, names in codes(META, HF).items()} == {"rotary-layout": turned}
    assert {code: len(names) for code, names in codes(HF, META).items()} == {"rotary-layout": 2}


def test_no_rotary_caution_between_names_of_one_family_or_where_positions_are_added() -> None:
    assert codes(GPT, HF) == {}
    assert codes(META, dict(META)) == {}
    positions = {"model.position_embeddings.weight": (20, D)}
    assert codes({**META, "pos_embeddings.weight": (20, D)}, {**HF, **positions}) == {}


def test_fused_queries_keys_and_values() -> None:
    by_head = {"layers.0.attention.query_key_value.weight": (3 * D, D)}
    by_matrix = {"h.0.attn.c_attn.weight": (3 * D, D)}
    assert codes(by_head, by_matrix) == {"fused-layout": tuple(by_matrix)}
    assert codes(by_matrix, by_head) == {"fused-layout": tuple(by_head)}
    assert codes(by_matrix, {"blocks.0.attn.qkv.weight": (3 * D, D)}) == {}
    assert codes(by_head, {"gpt.layers.0.attention.query_key_value.weight": (3 * D, D)}) == {}


def test_gate_and_up_in_one_matrix() -> None:
    diffusers = {"ff.net.0.proj.weight": (6 * D, D), "ff.net.2.weight": (D, 3 * D)}
    other = {"mlp.w12.weight": (6 * D, D), "mlp.w3.weight": (D, 3 * D)}
    assert codes(other, diffusers) == {"gate-order": ("ff.net.0.proj.weight",)}
    plain = {"ff.net.0.proj.weight": (4 * D, D), "ff.net.2.weight": (D, 4 * D)}
    assert codes({"mlp.fc1.weight": (4 * D, D), "mlp.fc2.weight": (D, 4 * D)}, plain) == {}
    assert codes({f"up.{key}": shape for key, shape in diffusers.items()}, diffusers) == {}


def test_scale_and_shift_of_a_modulated_norm() -> None:
    ours = {"final_layer.adaLN_modulation.1.weight": (2 * D, D), "final_layer.adaLN_modulation.1.bias": (2 * D,)}
    theirs = {"norm_out.linear.weight": (2 * D, D), "norm_out.linear.bias": (2 * D,)}
    assert codes(ours, theirs) == {"scale-shift-order": tuple(theirs)}
    assert codes({f"net.{key}": shape for key, shape in theirs.items()}, theirs) == {}
    six = {"blocks.0.adaLN_modulation.1.weight": (6 * D, D)}
    assert codes(six, {"blocks.0.norm1.linear.weight": (6 * D, D)}) == {}


def test_patches_merged_in_another_order() -> None:
    merging = {"downsample.reduction.weight": (2 * D, 4 * D), "downsample.norm.weight": (4 * D,)}
    openmmlab = {f"stages.0.{key}": s for key, s in merging.items()} | {
        "stages.0.blocks.0.attn.w_msa.qkv.weight": (3, 3)
    }
    timm = {f"layers.0.{key}": s for key, s in merging.items()} | {"layers.0.blocks.0.attn.qkv.weight": (3, 3)}
    assert codes(openmmlab, timm) == {"patch-order": tuple(list(timm)[:2])}
    assert codes({f"swin.{key}": s for key, s in timm.items()}, timm) == {}


def test_a_square_weight_that_moved_into_a_layer() -> None:
    bare = {"conv1.weight": (D, D), "conv1.bias": (D,)}
    layer = {"conv1.lin.weight": (D, D), "conv1.bias": (D,)}
    assert codes(bare, layer) == {"bare-weight": ("conv1.lin.weight",)}
    assert codes(layer, bare) == {"bare-weight": ("conv1.weight",)}
    wide = {"conv1.weight": (D, 3), "conv1.bias": (D,)}
    assert codes(wide, {"conv1.lin.weight": (D, 3), "conv1.bias": (D,)}) == {}
    assert codes(bare, {"conv1.lin.weight": (D, D), "conv1.lin.bias": (D,)}) == {}


@pytest.mark.parametrize("code", CODES)
def test_an_identity_needs_no_caution(code: str) -> None:
    everything = {**META, **HF, "x.query_key_value.weight": (3 * D, D), "ff.net.0.proj.weight": (6 * D, D)}
    assert code not in codes(everything, dict(everything))
