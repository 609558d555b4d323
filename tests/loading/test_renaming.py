"""Which value goes where: by given rules, by wrappers, by what names tell; in part, where that is allowed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ckptnames
from ckptnames import errors
from tests.loading.test_stories import assert_has, model, refused, state


def test_given_rules_are_all_that_is_applied() -> None:
    trained = state("a.w", "b.w")
    target = model("x.w", "b.w")
    report = ckptnames.load(target, trained, rules="a.** -> x.**")
    assert report.renamed == {"x.w": "a.** -> x.**"}
    assert_has(target, {"x.w": trained["a.w"], "b.w": trained["b.w"]})
    with refused(target, errors.UnmatchedRule):
        ckptnames.load(target, {f"module.{key}": value for key, value in trained.items()}, rules="a.** -> x.**")


def test_given_rules_may_have_nothing_to_do() -> None:
    trained = state("a.w", "b.w")
    for target in (model(*trained), nn.DataParallel(model(*trained))):
        ckptnames.load(target, trained, rules="module.** -> **")
    wrapped = nn.DataParallel(model(*trained))
    ckptnames.load(wrapped, {f"module.{key}": value for key, value in trained.items()}, rules="old.** -> **")
    assert_has(wrapped.module, trained)


@pytest.mark.parametrize("action", ["!drop", "!open", "bias"])
def test_a_rule_that_matches_nothing_is_told_where_the_names_are_right_without_it(action: str) -> None:
    report = ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2), rules=f"biass -> {action}")
    said = f"the names are those of the model already, and 1 rule matches no key: biass -> {action}"
    assert report.notes == (said,) and f"note: {said}" in str(report)
    assert ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2), rules=f"biass -> {action} ?").notes == ()
    with pytest.raises(errors.UnmatchedRule):
        ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), rules=f"biass -> {action}", missing="keep")


def test_given_rules_lead_to_the_names_without_wrappers_or_with() -> None:
    trained = state("a.w", "b.w")
    for rules in ("a.** -> x.**", "a.** -> module.x.**\nb.** -> module.b.**"):
        target = nn.DataParallel(model("x.w", "b.w"))
        ckptnames.load(target, trained, rules=rules)
        assert_has(target.module, {"x.w": trained["a.w"], "b.w": trained["b.w"]})


def test_given_rules_may_leave_keys_out() -> None:
    trained = state("a.w", "b.w", "extra.w")
    target = model("a.w", "b.w")
    report = ckptnames.load(target, trained, rules="extra.** -> !drop")
    assert report.is_complete
    assert report.left_out == ("extra.w",)


def test_one_value_under_two_names() -> None:
    trained = state("embed.w", "b.w")
    target = model("embed.w", "head.w", "b.w")
    ckptnames.load(target, trained, rules="embed.w -> embed.w & head.w")
    assert_has(target, {"embed.w": trained["embed.w"], "head.w": trained["embed.w"], "b.w": trained["b.w"]})


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ("a.w -> x\nb.w -> x", errors.KeyCollision),
        ("a.w -> !open", errors.OpenKey),
        ("none.w -> x", errors.UnmatchedRule),
        ("a.** -> x.**\na.w -> y", errors.ShadowedRule),
        ("a ->", errors.RuleSyntax),
    ],
)
def test_rules_that_are_wrong(rules: str, error: type[errors.CkptnamesError]) -> None:
    target = model("x.w", "y.w")
    with refused(target, error):
        ckptnames.load(target, state("a.w", "b.w"), rules=rules)


def test_renames_beyond_wrappers_are_shown_and_not_applied() -> None:
    trained = state(*(f"blocks.{n}.norm{m}.w" for n in range(3) for m in (1, 2)))
    target = model(*(f"layers.{n}.ln_{m}.w" for n in range(3) for m in (1, 2)))
    with refused(target, errors.IncompleteLoad) as info:
        ckptnames.load(target, trained)
    report = ckptnames.load(target, trained, rules=info.value.rules)
    assert report.is_complete
    assert_has(target, {f"layers.{n}.ln_{m}.w": trained[f"blocks.{n}.norm{m}.w"] for n in range(3) for m in (1, 2)})


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod."])
def test_a_prefix_more_or_less_is_like_a_wrapper(wrapper: str) -> None:
    trained = state("encoder.a.w", "encoder.b.w", "norm.w")
    target = model(*trained)
    for prefix in ("net.", "base_model.model.", "0.auto_model."):
        report = ckptnames.load(target, {f"{prefix}{wrapper}{key}": value for key, value in trained.items()})
        assert_has(target, trained)
        assert report.is_complete
    inside = nn.ModuleDict({"net": target})
    ckptnames.load(inside, {f"{wrapper}{key}": value + 1 for key, value in trained.items()})
    assert_has(target, {key: value + 1 for key, value in trained.items()})


def test_one_prefix_in_place_of_another_is_a_rename() -> None:
    trained = state("encoder.a.w", "encoder.b.w", "encoder.norm.w")
    target = model("decoder.a.w", "decoder.b.w", "decoder.norm.w")
    with refused(target, errors.IncompleteLoad) as info:
        ckptnames.load(target, trained)
    assert info.value.rules == "encoder.** -> decoder.**\n"
    ckptnames.load(target, trained, rules=info.value.rules)
    assert torch.equal(target.get_parameter("decoder.a.w"), trained["encoder.a.w"])


def test_several_prefixes_at_once_are_a_rename() -> None:
    target = model("a.w", "b.w", "c.w", "d.w")
    with refused(target, errors.LoadError):
        ckptnames.load(target, state("x.a.w", "x.b.w", "y.c.w", "y.d.w"))


def test_inferred_rules_are_applied_where_that_is_asked_for() -> None:
    trained = state(*(f"blocks.{n}.norm{m}.w" for n in range(3) for m in (1, 2)))
    target = nn.DataParallel(model(*(f"layers.{n}.ln_{m}.w" for n in range(3) for m in (1, 2))))
    report = ckptnames.load(target, trained, infer=True)
    assert "the rules were inferred from names and shapes" in str(report)
    assert_has(
        target.module, {f"layers.{n}.ln_{m}.w": trained[f"blocks.{n}.norm{m}.w"] for n in range(3) for m in (1, 2)}
    )


def test_a_caution_is_accepted_by_its_name() -> None:
    trained = state("layers.0.attention.wq.weight", "layers.0.attention.wk.weight")
    target = model("layers.0.self_attn.q_proj.weight", "layers.0.self_attn.k_proj.weight")
    for accept in ([], ["gate-order"]):
        with refused(target, errors.UnacceptedCaution):
            ckptnames.load(target, trained, infer=True, accept=accept)
    ckptnames.load(target, trained, infer=True, accept=["rotary-layout"])
    assert torch.equal(
        target.get_parameter("layers.0.self_attn.q_proj.weight"), trained["layers.0.attention.wq.weight"]
    )


def test_what_is_not_decided_is_not_inferred() -> None:
    target = model("alpha", "beta_")
    with refused(target, errors.LoadError):
        ckptnames.load(target, state("x1", "zz"), infer=True)


def test_inference_that_stays_undecided_is_told_where_the_load_goes_on() -> None:
    source = nn.ModuleDict({"p": nn.Linear(2, 2), "q": nn.Linear(2, 2), "z": nn.Linear(2, 3)})
    target = nn.ModuleDict({"x": nn.Linear(2, 2), "y": nn.Linear(2, 2), "z": nn.Linear(2, 3)})
    report = ckptnames.load(target, source, infer=True, missing="keep", unexpected="ignore")
    assert report.notes == ("infer=True applied nothing: names and shapes leave keys undecided",)
    assert ckptnames.load(target, source, missing="keep", unexpected="ignore").notes == ()


def test_a_load_in_part_says_what_kept_its_values() -> None:
    trained = {**state("a.w", "b.w", "c.w"), "head.w": torch.zeros(10, 3), "old.w": torch.zeros(2)}
    target = model("a.w", "b.w", "c.w", "head.w", "new.w")
    before = {key: value.clone() for key, value in target.state_dict().items()}
    for lacking in ("missing", "unexpected", "mismatched"):
        others = {"missing": "keep", "unexpected": "ignore", "mismatched": "keep"}
        del others[lacking]
        with refused(target, errors.IncompleteLoad):
            ckptnames.load(target, trained, **others)  # type: ignore[arg-type]
    report = ckptnames.load(target, trained, missing="keep", unexpected="ignore", mismatched="keep")
    assert (report.missing, report.unexpected) == (("new.w",), ("old.w",))
    assert report.mismatched == (("head.w", (10, 3), (3, 3)),)
    assert report.kept == ("head.w", "new.w")
    assert not report.is_complete
    kept = {key: before[key] for key in report.kept}
    assert_has(target, {**{key: trained[key] for key in ("a.w", "b.w", "c.w")}, **kept})
    with pytest.raises(errors.IncompleteLoad, match="1 key missing, 1 key unexpected, 1 key of another shape"):
        report.raise_if_incomplete()


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.bn = nn.BatchNorm1d(2)


def test_buffers_without_weights_stand_in_no_ones_way() -> None:
    trained = Normed().state_dict()
    older = {key: value for key, value in trained.items() if not key.endswith("num_batches_tracked")}
    report = ckptnames.load(Normed(), older)
    assert report.is_complete
    assert report.kept == ("bn.num_batches_tracked",)
    newer = {**trained, "embeddings.position_ids": torch.arange(4)[None]}
    report = ckptnames.load(Normed(), newer)
    assert report.is_complete
    assert report.left_out == ("embeddings.position_ids",)


def test_another_name_of_a_tensor_that_was_loaded_is_told() -> None:
    one = torch.ones(2, 2)
    report = ckptnames.load(nn.Linear(2, 2, bias=False), {"weight": one, "other": one})
    assert report.left_out == ("other",) and report.is_complete


def test_a_count_that_is_missing_is_kept_whatever_the_version_says() -> None:
    trained = Normed().state_dict()
    assert trained._metadata["bn"] == {"version": 2}  # type: ignore[attr-defined]
    del trained["bn.num_batches_tracked"]
    target = Normed()
    target.bn.num_batches_tracked.fill_(5)  # type: ignore[union-attr]
    assert ckptnames.load(target, trained).kept == ("bn.num_batches_tracked",)
    assert target.bn.num_batches_tracked == 5


def test_the_whole_report() -> None:
    trained = {**state(*(f"a.{n}.w" for n in range(4)), "b.w"), "head.w": torch.zeros(10, 3)}
    trained = {f"module.{key}": value.bfloat16() for key, value in trained.items()}
    target = model(*(f"a.{n}.w" for n in range(4)), "b.w", "head.w", "new.w")
    report = ckptnames.load(target, {"state_dict": trained}, missing="keep", mismatched="keep")
    assert str(report) == (
        "loaded 5 of 7 keys from #state_dict\n"
        "  5 keys  module.** -> **\n"
        "cast 5 keys from BF16 to F32\n"
        "missing: kept the model's own values: 1 key\n"
        "  new.w\n"
        "of another shape (checkpoint, model): kept the model's own values: 1 key\n"
        "  head.w  10×3, 3×3"
    )
    assert repr(report) == "<LoadReport: 5 of 7 keys loaded>"


def test_a_report_of_many_keys_is_one_screen() -> None:
    names = [f"{part}.{n}.{word}" for part in "abcdefghij" for n in range(50) for word in ("x", "yy", "zzz")]
    target = model(*names)
    report = ckptnames.load(
        target, state(*names[::2], *(f"other.{n}.{n % 7}" for n in range(70))), missing="keep", unexpected="ignore"
    )
    assert len(str(report).splitlines()) <= 24


# Any wrappers, anywhere, on either side

SEGMENTS = ("module", "_orig_mod", "encoder", "decoder", "fc", "0", "1")


@st.composite
def trees(draw: st.DrawFn) -> list[str]:
    paths = draw(st.lists(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3), min_size=3, max_size=8))
    return sorted({".".join([*path, "w"]) for path in paths})


def _wrap(module: nn.Module, kinds: list[str]) -> nn.Module:
    wraps: dict[str, Any] = {"dp": nn.DataParallel, "compile": torch.compile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in kinds:
            if not (kind == "compile" and type(module).__name__ == "OptimizedModule"):
                module = wraps[kind](module)
    return module


@settings(max_examples=40)
@given(
    trees(),
    st.lists(st.sampled_from(["dp", "compile"]), max_size=3),
    st.lists(st.sampled_from(["dp", "compile"]), max_size=3),
)
def test_wrappers_on_either_side_and_submodules_called_as_they_are(
    names: list[str], source_kinds: list[str], target_kinds: list[str]
) -> None:
    trained = model(*names)
    inner = model(*names)
    with torch.no_grad():
        for n, parameter in enumerate(trained.parameters()):
            parameter.fill_(n)
    before = {key: value.clone() for key, value in inner.state_dict().items()}
    source = _wrap(trained, source_kinds).state_dict()
    try:
        ckptnames.load(_wrap(inner, target_kinds), source)
    except errors.CkptnamesError:
        # Names alone may not tell; then nothing was touched.
        assert_has(inner, before)
        assert source_kinds != target_kinds
    else:
        assert_has(inner, trained.state_dict())


@settings(max_examples=40)
@given(trees(), st.lists(st.sampled_from(["dp", "compile"]), max_size=2), st.data())
def test_what_lacks_a_key_is_never_loaded(names: list[str], kinds: list[str], data: st.DataObject) -> None:
    target = model(*names)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    state = dict(_wrap(model(*names), kinds).state_dict())
    for key in data.draw(st.lists(st.sampled_from(sorted(state)), min_size=1, max_size=len(state), unique=True)):
        del state[key]
    with pytest.raises(errors.CkptnamesError):
        ckptnames.load(target, state)
    assert_has(target, before)
