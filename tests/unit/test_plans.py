"""A plan says what becomes of every key, which line decides it, and each problem that there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch

import ckptnames
from ckptnames.errors import CannotAllow, CkptnamesError, PlanError
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Pattern, Plan, Rules, plan


def manifest(shapes: Mapping[str, tuple[int, ...] | None] | Iterable[str], *, partial: bool = False) -> Manifest:
    found = shapes if isinstance(shapes, Mapping) else dict.fromkeys(shapes, (2,))
    return Manifest({key: TensorInfo("F32", shape) for key, shape in found.items()}, partial=partial)


def codes(made: Plan) -> list[str]:
    return [problem.code for problem in made.problems]


def stops(made: Plan) -> str:
    """Give the code of the error that ``check`` raises, and of no other problem."""
    with pytest.raises(PlanError) as caught:
        made.check()
    assert made.outcome == "blocked"
    return caught.value.code


def allow(*pairs: str) -> list[tuple[str, Pattern]]:
    return [(code, Pattern.parse(pattern)) for code, pattern in (pair.split("=") for pair in pairs)]


class TestDecisions:
    def test_every_key_and_who_decided_it(self) -> None:
        rules = Rules.parse("a -> x\nb -> !drop\nc -> c1 & c2\n---\nx -> y", name="a.rules")
        made = plan(["a", "b", "c", "d"], rules)
        assert [(d.source, d.targets, d.action, d.where) for d in made.decisions] == [
            ("a", ("y",), "rename", "a.rules:5"),
            ("b", (), "drop", "a.rules:2"),
            ("c", ("c1", "c2"), "rename", "a.rules:3"),
            ("d", ("d",), "keep", "identity"),
        ]
        assert made.mapping == {"y": "a", "c1": "c", "c2": "c", "d": "d"}
        assert (made.dropped, made.outcome) == (("b",), "ready")
        assert made.renames == {"a": ("y",), "b": (), "c": ("c1", "c2"), "d": ("d",)}

    def test_a_pass_through_onto_a_target_key_is_an_assignment(self) -> None:
        made = plan(["module.a", "b"], "module.** -> **", ["a", "b"])
        assert made.mapping == {"a": "module.a", "b": "b"}
        assert [d.where for d in made.decisions] == ["<rules>:1", "identity"]

    def test_it_is_checked_like_any_other(self) -> None:
        made = plan(manifest({"b": (3,)}), "", manifest({"b": (4,)}))
        assert stops(made) == "shape-mismatch"

    def test_nothing_is_touched(self) -> None:
        source = {"a": TensorInfo("F32", (2,))}
        plan(Manifest(source), "a -> b", ["b"])
        assert source == {"a": TensorInfo("F32", (2,))}


class TestCollisions:
    def test_two_rules(self) -> None:
        made = plan(["a", "b"], "a -> x\nb -> x")
        (problem,) = made.problems
        assert (problem.code, problem.keys, problem.targets) == ("key-collision", ("a", "b"), ("x",))
        assert problem.where == ("<rules>:1", "<rules>:2")
        assert stops(made) == "key-collision"

    def test_one_rule(self) -> None:
        assert plan(["a.1.w", "a.2.w"], "a.{i:d}.w -> a.w").problems[0].where == ("<rules>:1", "<rules>:1")

    def test_a_rule_and_a_key_that_stays(self) -> None:
        # Known with and without a target: the result would have one name for two tensors.
        assert plan(["a", "b"], "a -> b").problems[0].where == ("<rules>:1", "identity")
        assert stops(plan(["a", "b"], "a -> b", ["b"])) == "key-collision"

    def test_a_swap_is_none(self) -> None:
        assert plan(["a", "b"], "a -> b\nb -> a").problems == ()

    def test_two_names_of_one_key_are_none(self) -> None:
        assert plan(["a"], "a -> b & c\n---\n{p} -> d").problems == ()

    def test_in_stages_the_lines_are_named_where_the_names_met(self) -> None:
        rules = "a -> x\n---\nb -> x\n---\n** -> model.**"
        assert plan(["a", "b"], rules).problems[0].where == ("<rules>:1", "<rules>:3")
        assert plan(["x", "b"], "b -> x\n---\n** -> model.**").problems[0].where == ("identity", "<rules>:1")

    def test_a_later_stage_does_not_part_them(self) -> None:
        assert [p.targets for p in plan(["a", "b"], "a -> b\n---\nb -> c").problems] == [("c",)]
        assert plan(["a", "b"], "b -> c\n---\na -> b").problems == ()


class TestIdleRules:
    """A rule that decides nothing is worth an error: nearly always it is a slip."""

    def test_it_matches_nothing(self) -> None:
        made = plan(["decoder.w"], "decoder.** -> d.**\ndecodr.b -> d.b")
        (problem,) = made.problems
        assert (problem.code, problem.where, problem.rule) == ("unmatched-rule", ("<rules>:2",), "decodr.b -> d.b")
        assert stops(made) == "unmatched-rule"

    def test_earlier_lines_take_all_that_it_matches(self) -> None:
        made = plan(["a.w", "a.b", "c.w"], "a.w -> x\na.** -> y.**\n**.w -> z.**\n{p}.b -> b.{p}")
        (problem,) = made.problems
        assert (problem.code, problem.rule) == ("shadowed-rule", "{p}.b -> b.{p}")
        assert problem.where == ("<rules>:4", "<rules>:2")
        assert stops(made) == "shadowed-rule"

    def test_it_is_shadowed_by_several(self) -> None:
        made = plan(["a.w", "b.w"], "a.** -> x.**\nb.** -> y.**\n**.w -> **.z")
        assert made.problems[0].where == ("<rules>:3", "<rules>:1", "<rules>:2")

    def test_one_key_of_its_own_is_enough(self) -> None:
        assert plan(["a.w", "a.b"], "a.w -> x\na.** -> y.**").problems == ()

    @pytest.mark.parametrize("line", ["typo -> x ?", "a -> y ?", "typo -> !drop ?", "typo -> !open ?"])
    def test_a_question_mark_silences_both(self, line: str) -> None:
        assert plan(["a"], f"a -> x\n{line}").problems == ()

    def test_a_stage_is_judged_by_the_keys_that_come_into_it(self) -> None:
        rules = "a -> b\n---\nb -> c\na -> d"
        assert codes(plan(["a"], rules)) == ["unmatched-rule"]
        assert codes(plan(["a"], "a -> b\n---\nb -> c")) == []

    def test_what_an_earlier_stage_dropped_is_not_there_to_be_matched(self) -> None:
        assert codes(plan(["a", "b"], "a -> !drop\n---\na -> x\nb -> y")) == ["unmatched-rule"]

    def test_a_later_stage_can_shadow_too(self) -> None:
        made = plan(["a.w"], "a.** -> b.**\n---\nb.** -> c.**\nb.w -> d")
        assert made.problems[0].where == ("<rules>:4", "<rules>:3")

    def test_a_rule_that_would_leave_an_empty_key_does_not_match(self) -> None:
        assert codes(plan(["module", "b"], "b -> c\nmodule.** -> **")) == ["unmatched-rule"]

    def test_a_key_too_long_for_a_rule_that_is_never_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ckptnames.rules.matching._MOST_STATES", 1000)
        made = plan(["a" * 1000 + "bc"], "{p} -> x\n{p}{q}{p}b -> y")
        assert codes(made) == ["shadowed-rule"]

    def test_a_source_known_in_part_proves_nothing(self) -> None:
        assert plan(manifest(["a"], partial=True), "a -> b\ntypo -> c").problems == ()


class TestAgainstATarget:
    def test_unfilled(self) -> None:
        made = plan(["a"], "a -> x", ["x", "y"])
        assert [(p.code, p.targets) for p in made.problems] == [("unfilled-target", ("y",))]
        assert stops(made) == "unfilled-target"

    def test_unexpected_is_a_warning_and_the_key_stays(self) -> None:
        made = plan(["a", "extra"], "a -> x", ["x"])
        assert [(p.code, p.severity, p.keys) for p in made.problems] == [("unexpected-key", "warning", ("extra",))]
        assert (made.outcome, made.mapping, made.names["extra"]) == ("ready", {"x": "a"}, "extra")
        made.check()

    def test_drop_unexpected_leaves_it_out(self) -> None:
        made = plan(["a", "extra"], "a -> x", ["x"], drop_unexpected=True)
        assert (made.problems, made.dropped, made.outcome) == ((), ("extra",), "ready")

    def test_drop_unexpected_is_something_to_do(self) -> None:
        assert plan(["a", "extra"], "", ["a"], drop_unexpected=True).outcome == "ready"
        assert plan(["a", "extra"], "", ["a"]).outcome == "nothing-to-do"

    def test_one_of_two_names_is_unexpected(self) -> None:
        made = plan(["emb"], "emb -> emb & head", ["emb"], drop_unexpected=True)
        assert (made.mapping, made.dropped, made.decisions[0].targets) == ({"emb": "emb"}, (), ("emb",))

    def test_shapes(self) -> None:
        made = plan(manifest({"a": (10, 4), "b": (2,)}), "a -> x\nb -> y", manifest({"x": (3, 4), "y": (2,)}))
        (problem,) = made.problems
        assert (problem.code, problem.keys, problem.targets) == ("shape-mismatch", ("a",), ("x",))
        assert problem.shapes == ((10, 4), (3, 4))

    @pytest.mark.parametrize(("source", "target"), [(None, (3,)), ((3,), None), ((), ())])
    def test_shapes_that_are_not_known_to_differ(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        assert plan(manifest({"a": source}), "a -> x", manifest({"x": target})).problems == ()

    def test_a_scalar_is_not_a_vector_of_one(self) -> None:
        assert codes(plan(manifest({"a": ()}), "a -> x", manifest({"x": (1,)}))) == ["shape-mismatch"]

    def test_dtypes_are_a_warning(self) -> None:
        source, target = (Manifest({key: TensorInfo(dtype, (2,))}) for key, dtype in (("a", "F32"), ("x", "BF16")))
        made = plan(source, "a -> x", target)
        assert [(p.code, p.severity, p.dtypes) for p in made.problems] == [
            ("dtype-mismatch", "warning", ("F32", "BF16"))
        ]
        assert made.outcome == "ready"

    def test_what_carries_no_weights_is_no_problem(self) -> None:
        counter = TensorInfo("I64", ())
        source = Manifest({"bn.num_batches_tracked": counter, "bn.weight": TensorInfo("F32", (2,))})
        made = plan(source, "bn.weight -> norm.weight", ["norm.weight"])
        assert (made.problems, set(made.droppable)) == ((), {"bn.num_batches_tracked"})
        made = plan(manifest(["norm.weight"]), "", Manifest({**source, "norm.weight": source["bn.weight"]}))
        assert "bn.num_batches_tracked" in made.droppable
        assert [p.targets for p in made.problems] == [("bn.weight",)]

    def test_a_weight_of_such_a_name_is_one(self) -> None:
        made = plan(manifest({"a": (2,)}), "", manifest({"a": (2,), "num_batches_tracked": (64, 64)}))
        assert codes(made) == ["unfilled-target"]

    def test_a_target_known_in_part_says_nothing_of_the_rest(self) -> None:
        made = plan(["a", "b"], "a -> x", manifest(["x"], partial=True))
        assert made.problems == ()

    def test_a_source_known_in_part_says_nothing_of_the_rest(self) -> None:
        assert plan(manifest(["a"], partial=True), "a -> x", ["x", "y"]).problems == ()


class TestOpenKeys:
    def test_the_plan_is_incomplete_until_someone_decides(self) -> None:
        made = plan(["blocks.0.w1", "b"], "blocks.{i:d}.w1 -> !open\nb -> c")
        assert [(p.code, p.keys, p.where) for p in made.problems] == [("open-key", ("blocks.0.w1",), ("<rules>:1",))]
        assert stops(made) == "open-key"
        assert made.decisions[0].action == "open"

    def test_an_open_key_claims_no_name(self) -> None:
        assert codes(plan(["a", "b"], "a -> !open\nb -> a")) == ["open-key"]

    def test_it_fills_nothing(self) -> None:
        assert codes(plan(["a"], "a -> !open", ["a"])) == ["open-key", "unfilled-target"]


class TestSplitSiblings:
    """A tensor moves without the companions that give it meaning, or they without it."""

    KEYS = ("fc.weight", "fc.weight.absmax", "fc.weight.quant_map", "fc.bias")

    def test_alike_is_right(self) -> None:
        assert plan(self.KEYS, "fc.** -> head.**").problems == ()
        assert plan(self.KEYS, "**.absmax -> !drop\nfc.weight.** -> !drop").problems == ()

    def test_the_weight_alone(self) -> None:
        made = plan(self.KEYS, "fc.weight -> head.weight")
        assert [(p.code, p.keys, p.targets) for p in made.problems] == [
            ("split-siblings", ("fc.weight", "fc.weight.absmax"), ("head.weight.absmax",)),
            ("split-siblings", ("fc.weight", "fc.weight.quant_map"), ("head.weight.quant_map",)),
        ]
        assert stops(made) == "split-siblings"

    def test_the_companion_alone(self) -> None:
        assert codes(plan(self.KEYS, "fc.weight.absmax -> head.absmax")) == ["split-siblings"]
        assert codes(plan(self.KEYS, "fc.weight.absmax -> !drop")) == ["split-siblings"]
        assert codes(plan(self.KEYS, "fc.weight -> !drop")) == ["split-siblings", "split-siblings"]

    @pytest.mark.parametrize(
        ("weight", "companion"),
        [
            ("fc.weight", "fc.weight_scale_inv"),
            ("fc.weight", "fc.weight_scale"),
            ("fc.weight", "fc.weight.quant_state.bitsandbytes__nf4"),
            ("fc.weight", "fc.SCB"),
            ("fc.qweight", "fc.scales"),
            ("fc.qweight", "fc.qzeros"),
            ("fc.qweight", "fc.g_idx"),
        ],
    )
    def test_every_kind(self, weight: str, companion: str) -> None:
        assert codes(plan([weight, companion], f"{weight} -> x.{weight}")) == ["split-siblings"]
        assert codes(plan([weight, companion], "** -> x.**")) == []

    def test_words_that_only_look_like_it(self) -> None:
        assert plan(["norm.weight", "logit_scale"], "norm.weight -> n.weight").problems == ()
        assert plan(["a.scales", "a.weight"], "a.weight -> b.weight").problems == ()

    def test_an_index_beside_it_moves_alike(self) -> None:
        keys = ["l.0.fc.weight", "l.0.fc.weight.absmax", "l.1.fc.weight", "l.1.fc.weight.absmax"]
        assert plan(keys, "l.{i:d}.** -> l.{i+1}.**").problems == ()
        assert codes(plan(keys, "l.{i:d}.fc.weight -> l.{i+1}.fc.weight\n**.absmax -> **.absmax")) != []


class TestAllow:
    """A named problem is accepted for the keys that match, and what is accepted does not block."""

    def test_a_shape_is_left_out(self) -> None:
        source, target = manifest({"head.w": (10,), "fc.w": (2,)}), manifest({"head.w": (3,), "fc.w": (2,)})
        made = plan(source, "", target, allow=allow("shape-mismatch=head.**"))
        assert (made.problems, made.dropped, made.mapping) == ((), ("head.w",), {"fc.w": "fc.w"})
        assert ([p.code for p in made.allowed], made.outcome) == (["shape-mismatch"], "ready")
        assert stops(plan(source, "", target, allow=allow("shape-mismatch=other.**"))) == "shape-mismatch"
        assert stops(plan(source, "", target, allow=allow("dtype-mismatch=head.**"))) == "shape-mismatch"

    def test_the_pattern_may_mean_either_name(self) -> None:
        source, target = manifest({"a.w": (10,), "b": (1,)}), manifest({"x.w": (3,), "b": (1,)})
        for pattern in ("a.**", "x.**"):
            assert plan(source, "a.** -> x.**", target, allow=allow(f"shape-mismatch={pattern}")).problems == ()

    def test_of_colliding_keys_the_first_stays(self) -> None:
        made = plan(["a", "b", "c"], "{p} -> x", allow=allow("key-collision=x"))
        assert (made.problems, made.mapping, made.dropped) == ((), {"x": "a"}, ("b", "c"))

    def test_an_open_key_keeps_its_name(self) -> None:
        made = plan(["a", "b"], "a -> !open\nb -> c", allow=allow("open-key=a"))
        assert (made.problems, made.mapping) == ((), {"a": "a", "c": "b"})

    def test_an_open_key_that_keeps_its_name_claims_it(self) -> None:
        made = plan(["a", "b"], "a -> !open\nb -> a", allow=allow("open-key=a"))
        assert codes(made) == ["key-collision"]

    def test_an_unfilled_key_stays_unfilled(self) -> None:
        made = plan(["a"], "a -> x", ["x", "head.w"], allow=allow("unfilled-target=head.**"))
        assert (made.problems, made.outcome) == ((), "ready")

    def test_only_what_is_named(self) -> None:
        made = plan(["a"], "a -> x", ["x", "head.w", "neck.w"], allow=allow("unfilled-target=head.**"))
        assert [p.targets for p in made.problems] == [("neck.w",)]

    def test_siblings_may_part(self) -> None:
        keys = ["fc.weight", "fc.weight.absmax"]
        assert plan(keys, "fc.weight -> x", allow=allow("split-siblings=fc.weight")).problems == ()

    def test_what_is_left_out_parts_from_its_siblings(self) -> None:
        source = manifest({"fc.weight": (10,), "fc.weight.absmax": (1,)})
        target = manifest({"fc.weight": (3,), "fc.weight.absmax": (1,)})
        assert codes(plan(source, "", target, allow=allow("shape-mismatch=fc.weight"))) == ["split-siblings"]

    @pytest.mark.parametrize("code", ["unmatched-rule", "shadowed-rule", "rule-syntax", "nothing", ""])
    def test_what_cannot_be_allowed(self, code: str) -> None:
        with pytest.raises(CannotAllow):
            plan(["a"], "", allow=[(code, Pattern.parse("**"))])


class TestNothingToDo:
    """No rule matches anything, and the target, if there is one, is satisfied already."""

    def test_the_names_are_right_already(self) -> None:
        made = plan(["fc.w"], "module.** -> **", ["fc.w"])
        assert (made.outcome, made.problems) == ("nothing-to-do", ())
        made.check()

    def test_without_a_target_a_word_is_said_of_the_rule(self) -> None:
        made = plan(["fc.w"], "module.** -> **")
        assert (made.outcome, [(p.code, p.severity) for p in made.problems]) == (
            "nothing-to-do",
            [("unmatched-rule", "warning")],
        )
        made.check()

    def test_a_target_that_is_not_satisfied(self) -> None:
        assert stops(plan(["fc.w"], "modul.** -> **", ["head.w"])) == "unmatched-rule"
        assert stops(plan(["fc.w"], "modul.** -> ** ?", ["head.w"])) == "unfilled-target"
        assert stops(plan(manifest({"a": (1,)}), "b -> c", manifest({"a": (2,)}))) == "unmatched-rule"

    def test_one_rule_that_matches_makes_the_others_errors(self) -> None:
        assert stops(plan(["a", "b"], "a -> x\ntypo -> y", ["x", "b"])) == "unmatched-rule"

    def test_no_rules(self) -> None:
        assert plan(["a"], "").outcome == "nothing-to-do"
        assert plan([], "").outcome == "nothing-to-do"
        assert stops(plan([], "", ["a"])) == "unfilled-target"


class TestWhateverACallerHolds:
    """``ckptnames.plan`` takes paths, manifests, models, state dicts, or keys alone."""

    def test_shapes_of_a_state_dict_are_known(self) -> None:
        made = ckptnames.plan({"a": torch.zeros(2)}, "a -> b", {"b": torch.zeros(3)})
        assert codes(made) == ["shape-mismatch"]

    def test_a_model(self) -> None:
        model = torch.nn.Sequential(torch.nn.Linear(2, 3))
        made = ckptnames.plan(torch.nn.DataParallel(model), "module.** -> **", model)
        assert (made.outcome, made.problems) == ("ready", ())

    def test_a_path_is_a_file_and_not_its_letters(self, tmp_path: Path) -> None:
        torch.save({"module.w": torch.zeros(2)}, tmp_path / "a.pt")
        assert ckptnames.plan(str(tmp_path / "a.pt"), "module.** -> **").mapping == {"w": "module.w"}
        with pytest.raises(CkptnamesError, match="no-such-path"):
            ckptnames.plan(str(tmp_path / "b.pt"), "module.** -> **")

    def test_the_container_that_fits_the_target(self, tmp_path: Path) -> None:
        torch.save(
            {"big": {f"b.{n}": torch.zeros(1) for n in range(5)}, "small": {"w": torch.zeros(2)}}, tmp_path / "a.pt"
        )
        path = tmp_path / "a.pt"
        assert ckptnames.plan(path, "w -> x ?").source.container == "big"
        assert ckptnames.plan(path, "w -> x ?", {"w": torch.zeros(2)}).source.container == "small"
        assert list(ckptnames.plan(f"{path}#small", "w -> x").mapping) == ["x"]

    def test_keys(self) -> None:
        assert ckptnames.plan((key for key in ("a", "b")), "a -> c", ["c", "b"]).problems == ()

    def test_patterns_as_text(self) -> None:
        source, target = {"head.w": torch.zeros(2)}, {"head.w": torch.zeros(3)}
        assert ckptnames.plan(source, "", target, allow=[("shape-mismatch", "head.**")]).dropped == ("head.w",)
