"""What tells names apart where shapes alone do not: the truths are those of the libraries that the names are from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from ckptnames.inference.inference import inferred
from ckptnames.manifest import Manifest, TensorInfo

Shape = tuple[int, ...]
Row = tuple[str, str, Shape]
"""A module of the source, the module of the target that it becomes, and the shape of its weight; "" where none is."""


def rows(n: int, *found: Row) -> list[Row]:
    """Repeat rows for each of so many blocks."""
    return [(a.format(i), b.format(i), shape) for i in range(n) for a, b, shape in found]


def manifest(modules: Iterable[tuple[str, Shape]]) -> Manifest:
    """Make a manifest that lists its keys sorted, so that their order tells nothing."""
    tensors: dict[str, TensorInfo] = {}
    for module, shape in modules:
        if module:
            tensors[f"{module}.weight"] = TensorInfo("F32", shape)
            tensors[f"{module}.bias"] = TensorInfo("F32", shape[:1])
    return Manifest(dict(sorted(tensors.items())))


def found_of(problem: Iterable[Row]) -> Mapping[str, str]:
    problem = list(problem)
    return inferred(manifest((a, s) for a, _, s in problem), manifest((b, s) for _, b, s in problem)).mapping


def truth_of(problem: Iterable[Row]) -> dict[str, str]:
    return {f"{b}.{leaf}": f"{a}.{leaf}" for a, b, _ in problem if a and b for leaf in ("weight", "bias")}


EMBEDDERS = [
    ("time_in.in_layer", "embed.timestep_embedder.linear_1", (8, 8)),
    ("time_in.out_layer", "embed.timestep_embedder.linear_2", (8, 8)),
    ("guidance_in.in_layer", "embed.guidance_embedder.linear_1", (8, 8)),
    ("guidance_in.out_layer", "embed.guidance_embedder.linear_2", (8, 8)),
    ("vector_in.in_layer", "embed.text_embedder.linear_1", (8, 5)),
    ("vector_in.out_layer", "embed.text_embedder.linear_2", (8, 8)),
]
FUSED_BESIDE = rows(
    4,
    ("embedders.1.resblocks.{}.ln_1", "encoder.layers.{}.layer_norm1", (8,)),
    ("embedders.1.resblocks.{}.ln_2", "encoder.layers.{}.layer_norm2", (8,)),
    ("embedders.1.resblocks.{}.attn.in_proj", "", (24, 8)),
    ("", "encoder.layers.{}.self_attn.q_proj", (8, 8)),
    ("", "encoder.layers.{}.self_attn.k_proj", (8, 8)),
    ("", "encoder.layers.{}.self_attn.v_proj", (8, 8)),
    ("embedders.1.resblocks.{}.attn.out_proj", "encoder.layers.{}.self_attn.out_proj", (8, 8)),
    ("embedders.1.resblocks.{}.mlp.c_fc", "encoder.layers.{}.mlp.fc1", (32, 8)),
    ("embedders.1.resblocks.{}.mlp.c_proj", "encoder.layers.{}.mlp.fc2", (8, 32)),
)
BOTTLENECKS = rows(
    3,
    ("layer1.{}.conv1", "stages.0.{}.conv1_1x1.conv", (8, 32, 1, 1)),
    ("layer1.{}.bn1", "stages.0.{}.conv1_1x1.bn", (8,)),
    ("layer1.{}.conv2", "stages.0.{}.conv2_kxk.conv", (8, 8, 3, 3)),
    ("layer1.{}.bn2", "stages.0.{}.conv2_kxk.bn", (8,)),
    ("layer1.{}.conv3", "stages.0.{}.conv3_1x1.conv", (32, 8, 1, 1)),
    ("layer1.{}.bn3", "stages.0.{}.conv3_1x1.bn", (32,)),
)
DECODER = [
    *rows(
        3,
        ("decoder.{}.self_attn.out_proj", "blocks.{}.self_attn.proj", (8, 8)),
        ("decoder.{}.multihead_attn.out_proj", "blocks.{}.cross_attn.proj", (8, 8)),
        ("decoder.{}.linear1", "blocks.{}.mlp.0", (8, 8)),
        ("decoder.{}.linear2", "blocks.{}.mlp.3", (8, 8)),
        ("decoder.{}.norm1", "blocks.{}.norm_sa", (8,)),
        ("decoder.{}.norm2", "blocks.{}.norm_ca", (8,)),
        ("decoder.{}.norm3", "blocks.{}.norm_ff", (8,)),
    ),
    ("norm", "final_norm", (8,)),
]
SLICES = [
    (f"features.{at}", f"slice{part}.{at}" if part else "", shape)
    for at, part, shape in (
        (0, 1, (8, 3, 3, 3)),
        (2, 1, (8, 8, 3, 3)),
        (5, 2, (16, 8, 3, 3)),
        (7, 2, (16, 16, 3, 3)),
        (10, 3, (16, 16, 3, 3)),
        (12, 0, (16, 16, 3, 3)),
    )
]
BARE_PROJECTIONS = rows(
    3,
    ("h.{}.attn.c_attn", "layers.{}.attn.att_proj", (24, 8)),
    ("h.{}.attn.c_proj", "layers.{}.attn.out_proj", (8, 8)),
    ("h.{}.mlp.c_fc", "layers.{}.mlp.in_proj", (32, 8)),
    ("h.{}.mlp.c_proj", "layers.{}.mlp.out_proj", (8, 32)),
)


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(EMBEDDERS, id="modules that no list holds"),
        pytest.param(FUSED_BESIDE, id="norms beside what was fused"),
        pytest.param(BOTTLENECKS, id="norms that go with the layer of their number"),
        pytest.param(DECODER, id="a decoder that counts from its input"),
        pytest.param(SLICES, id="a list cut into slices"),
        pytest.param(BARE_PROJECTIONS, id="last words that are no objection"),
    ],
)
def test_names_that_belong_together_are_found(problem: list[Row]) -> None:
    assert found_of(problem) == truth_of(problem)


def test_a_convolution_of_one_by_one_does_not_leave_its_bias_open() -> None:
    layers = [
        (f"stages.{i}.pwconv{k}", f"blocks.{i}.mlp.fc{k}", shape)
        for i in range(3)
        for k, shape in ((1, (32, 8)), (2, (8, 32)))
    ]
    source = manifest((a, (*shape, 1, 1)) for a, _, shape in layers)
    found = inferred(source, manifest((b, shape) for _, b, shape in layers)).mapping
    assert found == {name: key for name, key in truth_of(layers).items() if name.endswith("bias")}


def test_scales_of_branches_have_the_places_of_their_branches() -> None:
    names = {
        "self_attn.out_proj.weight": ("self_attn.o_proj.weight", (8, 8)),
        "linear1.weight": ("mlp.fc1.weight", (32, 8)),
        "linear2.weight": ("mlp.fc2.weight", (8, 32)),
        "layer_scale_1.scale": ("self_attn_layer_scale.scale", (8,)),
        "layer_scale_2.scale": ("mlp_layer_scale.scale", (8,)),
    }
    truth = {f"layers.{i}.{b}": f"blocks.{i}.{a}" for i in range(3) for a, (b, _) in names.items()}
    shapes = {f"layers.{i}.{b}": shape for i in range(3) for b, shape in names.values()}
    source = Manifest({truth[name]: TensorInfo("F32", shapes[name]) for name in sorted(shapes, key=truth.__getitem__)})
    target = Manifest({name: TensorInfo("F32", shape) for name, shape in sorted(shapes.items())})
    assert inferred(source, target).mapping == truth


def test_names_that_say_nothing_stay_open_where_shapes_are_equal() -> None:
    branches = [(f"blocks.{i}.{a}", f"layers.{i}.{b}", (8, 8)) for i in range(3) for a, b in (("w1", "x"), ("w2", "y"))]
    assert found_of(branches) == {}


def test_a_shape_that_nothing_else_has_is_no_reason_for_a_head_of_another_task() -> None:
    body = rows(
        4, ("layers.{}.mlp.fc1", "blocks.{}.mlp.fc1", (32, 8)), ("layers.{}.mlp.fc2", "blocks.{}.mlp.fc2", (8, 32))
    )
    assert found_of([*body, ("classifier", "", (2, 8)), ("", "seq_relationship", (2, 8))]) == truth_of(body)
    assert found_of([*body, ("feat_map", "text_projection", (2, 5))]) == truth_of(
        [*body, ("feat_map", "text_projection", (2, 5))]
    )


def test_blocks_that_nothing_tells_apart_stay_with_their_like() -> None:
    """Three layers of one shape are left of an attention and of a feed-forward block: no `wo` changes sides."""
    block = rows(
        2,
        ("h.{}.DenseReluDense.wi_0", "", (8, 8)),
        ("h.{}.DenseReluDense.wi_1", "blocks.{}.mlp.up_proj", (8, 8)),
        ("h.{}.DenseReluDense.wo", "blocks.{}.mlp.down_proj", (8, 8)),
        ("h.{}.attention.q_proj", "", (8, 8)),
        ("h.{}.attention.k_proj", "blocks.{}.attn.wk", (8, 8)),
        ("h.{}.attention.v_proj", "blocks.{}.attn.wv", (8, 8)),
        ("h.{}.attention.o_proj", "blocks.{}.attn.wo", (8, 8)),
    )
    found, truth = found_of(block), truth_of(block)
    assert found and found.items() <= truth.items()


def test_a_list_of_blocks_is_no_block_of_the_list() -> None:
    """Where each block lacks half of its layers, two blocks hold what one block of the other side does."""
    half = [
        (f"stages.0.{i}.{a}", f"layer1.{i}.{b}", s)
        for i in range(2)
        for a, b, s in (("conv1", "conv1", (4, 4, 3, 3)), ("norm1", "bn1", (4,)))
    ]
    rest = [("", f"layer1.{i}.{b}", s) for i in range(2) for b, s in (("conv2", (4, 4, 3, 3)), ("bn2", (4,)))]
    found, truth = found_of([*half, *rest]), truth_of(half)
    assert found.items() <= truth.items()


def test_the_first_norm_of_all_blocks_is_not_the_second_of_all() -> None:
    blocks = rows(3, ("res.{}.conv1", "layer.{}.conv1", (4, 4, 3, 3)), ("res.{}.norm2", "", (4,)))
    other = rows(3, ("", "layer.{}.norm1", (4,)))
    assert found_of([*blocks, *other]) == truth_of(blocks)


def test_what_stands_around_both_is_no_likeness() -> None:
    """`w1` is the gate here; that `mixer` has fewer letters than `gate_proj` tells nothing."""
    block = rows(
        2,
        ("decoder.{}.feed_forward.w1", "decoder.layers.{}.mlp.gate_proj", (32, 8)),
        ("", "decoder.layers.{}.mlp.mixer", (32, 8)),
        ("decoder.{}.feed_forward.w2", "decoder.layers.{}.mlp.down_proj", (8, 32)),
    )
    found, truth = found_of(block), truth_of(block)
    assert found.items() <= truth.items()


def test_numbers_of_words_are_not_moved_along() -> None:
    block = rows(
        2,
        ("h.{}.mlp.w2", "b.{}.mlp.w2", (8, 8)),
        ("h.{}.mlp.w3", "", (8, 8)),
        ("", "b.{}.mlp.w1", (8, 8)),
    )
    found, truth = found_of(block), truth_of(block)
    assert found.items() <= truth.items()
