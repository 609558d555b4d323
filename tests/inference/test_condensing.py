"""Long lists of equal members: what a few of them tell holds for all, or all are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest

from ckptnames.inference import condensing, inference
from ckptnames.inference.inference import Inference, inferred
from ckptnames.manifest import Manifest, TensorInfo

OURS = {"gate_proj": (8, 4), "up_proj": (8, 4), "down_proj": (4, 8)}
THEIRS = {"w1": (8, 4), "w3": (8, 4), "w2": (4, 8)}


def experts(pattern: str, names: Mapping[str, tuple[int, ...]], n: int = 36) -> dict[str, TensorInfo]:
    """The weights of two layers with so many experts in each."""
    return {
        pattern.format(layer, expert, name): TensorInfo("F32", shape)
        for layer, expert, (name, shape) in product(range(2), range(n), names.items())
    }


def source(n: int = 36) -> Manifest:
    attention = {f"model.layers.{i}.self_attn.o_proj.weight": TensorInfo("F32", (4, 4)) for i in range(2)}
    return Manifest(attention | experts("model.layers.{}.mlp.experts.{}.{}.weight", OURS, n))


def target(n: int = 36) -> Manifest:
    attention = {f"layers.{i}.attn.wo.weight": TensorInfo("F32", (4, 4)) for i in range(2)}
    return Manifest(attention | experts("layers.{}.ffn.experts.{}.{}.weight", THEIRS, n))


def facts(found: Inference) -> tuple[object, ...]:
    return (str(found.rules), found.mapping, found.evidence, found.unused_source, found.unfilled_target, found.complete)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few hundred keys count as many."""
    monkeypatch.setattr(condensing, "LARGE", 150)
    monkeypatch.setattr(inference, "LARGE", 150)


def test_the_answer_is_that_of_all_members(monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    of_few = inferred(source(), target())
    monkeypatch.setattr(inference, "LARGE", 10_000)
    assert facts(of_few) == facts(inferred(source(), target()))
    assert of_few.complete and len(of_few.mapping) == len(target())
    assert of_few.mapping["layers.1.ffn.experts.35.w3.weight"] == "model.layers.1.mlp.experts.35.up_proj.weight"


def test_few_members_are_looked_at(small: None) -> None:
    found = condensing.condensed(source())
    assert found is not None
    assert len(found.few) == 2 + 2 * 5 * 3
    assert "model.layers.1.mlp.experts.20.up_proj.weight" not in found.few


def test_a_member_that_is_missing_in_the_middle_is_not_filled(small: None) -> None:
    gap = "model.layers.1.mlp.experts.20.up_proj.weight"
    ours = {key: info for key, info in source().items() if key != gap}
    found = inferred(Manifest(ours), target())
    assert set(found.unfilled_target) == {"layers.1.ffn.experts.20.w3.weight"} or not found.complete
    assert all(key.split(".")[2:5:2] == name.split(".")[1:4:2] or "attn" in name for name, key in found.mapping.items())


def test_a_member_of_another_shape_is_not_filled(small: None) -> None:
    odd = "model.layers.1.mlp.experts.20.up_proj.weight"
    found = inferred(Manifest({**source(), odd: TensorInfo("F32", (9, 4))}), target())
    assert odd not in found.mapping.values()
    assert all(source()[key].shape == target()[name].shape for name, key in found.mapping.items())


def test_a_target_with_fewer_members_is_no_reason_to_pair_others(small: None) -> None:
    found = inferred(source(36), target(34))
    assert all(
        "attn" in name or int(key.split(".")[5]) == int(name.split(".")[4]) for name, key in found.mapping.items()
    )


def test_a_list_that_is_used_in_part_is_looked_at_whole(monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    ours = Manifest({**source(), **{f"shadow.{i}.w": TensorInfo("F32", (3, 3)) for i in range(100)}})
    theirs = Manifest({**target(), **{f"shadow.{i}.w": TensorInfo("F32", (3, 3)) for i in range(40)}})
    of_few = inferred(ours, theirs)
    monkeypatch.setattr(inference, "LARGE", 10_000)
    assert facts(of_few) == facts(inferred(ours, theirs))
    assert {name for name in of_few.mapping if name.startswith("shadow")} == {f"shadow.{i}.w" for i in range(40)}
