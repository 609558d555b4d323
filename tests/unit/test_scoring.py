"""The scorer of the zoo counts what its words say, on problems small enough to count by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks import inferring
from benchmarks.scoring import Score, score
from benchmarks.zoo import ORDERS, Copies, Pair, Truth, pairs, sides
from ckptnames.manifest import Manifest, TensorInfo

SOURCE = Manifest({key: TensorInfo("F32", (4, 4)) for key in ("a.w", "b.w", "c.w", "d.w", "head.w")})
TARGET = Manifest(
    {name: TensorInfo("F32", (4, 4)) for name in ("x.w", "y.w", "turned.w", "cut.w", "new.w", "n.num_batches_tracked")}
)


def truth(key: str, op: str = "rename") -> Truth:
    return Truth(frozenset([key]), op)


PAIR = Pair(
    id="made",
    difficulty="rename",
    source="source",
    target="target",
    truth={
        "x.w": truth("a.w"),
        "y.w": truth("b.w"),
        "turned.w": truth("c.w", "transpose"),
        "cut.w": truth("d.w", "split"),
    },
    unfilled=("new.w", "n.num_batches_tracked"),
)
ALL_RIGHT = {"x.w": "a.w", "y.w": "b.w"}


def scored(answer: Mapping[str, str], cautioned: tuple[str, ...] = (), pair: Pair = PAIR, **how: bool) -> Score:
    return score(pair, answer, cautioned, SOURCE, TARGET, **how)


def test_every_rename_right_and_nothing_else_is_exact() -> None:
    assert scored(ALL_RIGHT) == Score(renames=2, right=2)
    assert scored(ALL_RIGHT).is_exact
    assert scored(ALL_RIGHT).recall == 1.0


def test_an_open_rename_is_neither_right_nor_wrong_but_not_exact() -> None:
    found = scored({"x.w": "a.w"})
    assert found == Score(renames=2, right=1, open=1)
    assert (found.is_exact, found.recall) == (False, 0.5)


def test_another_source_is_wrong_for_every_operation() -> None:
    assert scored({"x.w": "b.w", "y.w": "a.w"}) == Score(renames=2, wrong=2)
    assert scored({**ALL_RIGHT, "cut.w": "a.w"}) == Score(renames=2, right=2, wrong=1)
    assert not scored({**ALL_RIGHT, "cut.w": "a.w"}).is_exact


def test_a_source_of_another_operation_does_not_count() -> None:
    assert scored({**ALL_RIGHT, "cut.w": "d.w"}) == Score(renames=2, right=2)


def test_what_nothing_fills_is_false_but_for_counters() -> None:
    assert scored({**ALL_RIGHT, "new.w": "head.w"}) == Score(renames=2, right=2, false=1)
    assert not scored({**ALL_RIGHT, "new.w": "head.w"}).is_exact
    assert scored({**ALL_RIGHT, "n.num_batches_tracked": "head.w"}).is_exact


def test_values_that_need_another_layout_are_unsafe_without_a_caution_alone() -> None:
    answer = {**ALL_RIGHT, "turned.w": "c.w"}
    assert scored(answer) == Score(renames=2, right=2, unsafe=1)
    assert not scored(answer).is_exact
    assert scored(answer, ("turned.w",)) == Score(renames=2, right=2)
    # A shape that changes is seen by whoever loads it.
    shapes = Manifest({**SOURCE, "c.w": TensorInfo("F32", (8, 2))})
    assert score(PAIR, answer, (), shapes, TARGET).unsafe == 0


def test_a_caution_on_a_rename_is_vain_and_still_exact() -> None:
    found = scored(ALL_RIGHT, ("x.w", "new.w"))
    assert found == Score(renames=2, right=2, vain=1)
    assert found.is_exact


def test_a_source_that_holds_the_same_weight_is_right() -> None:
    answer = {"x.w": "head.w", "y.w": "b.w"}
    assert scored(answer).wrong == 1
    assert scored(answer, pair=replace(PAIR, aliases=(("a.w", "head.w"),))).is_exact
    assert scored(answer, pair=replace(PAIR, alternatives={"x.w": frozenset(["head.w"])})).is_exact


def test_what_is_ignored_or_told_by_order_alone_is_left_out() -> None:
    wrong = {"x.w": "a.w", "y.w": "d.w"}
    assert scored(wrong, pair=replace(PAIR, ignored=frozenset(["y.w"]))) == Score(renames=1, right=1)
    by_order = replace(PAIR, order_only=frozenset(["y.w"]))
    assert scored(wrong, pair=by_order).wrong == 1
    assert scored(wrong, pair=by_order, is_reordered=True) == Score(renames=1, right=1)


def test_either_whole_copy_is_right_a_mixture_is_wrong_and_silence_is_exact() -> None:
    source = Manifest({f"{copy}.{key}": SOURCE[key] for copy in ("live", "slow") for key in ("a.w", "b.w")})
    made = {"x.w": truth("slow.a.w"), "y.w": truth("slow.b.w")}
    pair = replace(PAIR, truth=made, unfilled=(), copies=Copies("slow", "live"))
    for copy in ("live", "slow"):
        whole = {"x.w": f"{copy}.a.w", "y.w": f"{copy}.b.w"}
        assert score(pair, whole, (), source, TARGET) == Score(renames=2, right=2)
    mixed = score(pair, {"x.w": "slow.a.w", "y.w": "live.b.w"}, (), source, TARGET)
    assert mixed == Score(renames=2, right=1, wrong=1)
    swapped = score(pair, {"x.w": "live.b.w", "y.w": "live.a.w"}, (), source, TARGET)
    assert swapped.wrong == 2
    silent = score(pair, {}, (), source, TARGET)
    assert (silent, silent.is_exact, silent.recall) == (Score(), True, 1.0)


def test_every_problem_speaks_of_keys_that_its_manifests_have() -> None:
    for pair in pairs(most_keys=120):
        source, target = sides(pair, "saved")
        assert {key for made in pair.truth.values() for key in made.sources} <= source.keys(), pair.id
        assert {*pair.truth, *pair.unfilled} == target.keys(), pair.id


def test_the_orders_change_the_order_alone() -> None:
    (pair,) = pairs("^head_resnet50_1000_to_10")
    kept = {order: sides(pair, order) for order in ORDERS}
    for side in (0, 1):
        assert all(dict(found[side]) == dict(kept["saved"][side]) for found in kept.values())
    assert list(kept["sorted"][0]) == sorted(kept["saved"][0])
    assert list(kept["sorted"][1]) == list(kept["saved"][1])
    assert all(
        list(kept["shuffled"][side]) not in (list(found[side]) for o, found in kept.items() if o != "shuffled")
        for side in (0, 1)
    )


def test_the_gates_ask_for_what_is_written() -> None:
    def row(found: Score, n_lines: int = 1, is_replayed: bool = True, pair: Pair = PAIR) -> inferring.Row:
        return inferring.Row(pair, found, n_lines, is_replayed, 0.1)

    def missed(*rows: inferring.Row) -> list[str]:
        return [gate.what.partition(":")[0] for gate in inferring.gates("saved", rows) if not gate.is_met]

    fine = row(Score(renames=100, right=100))
    assert missed(fine) == []
    assert missed(*[fine] * 19, row(Score(renames=100, right=99, open=1))) == []
    assert missed(fine, row(Score(renames=100, right=97, wrong=3))) == ["wrong", "exact"]
    assert missed(*[fine] * 19, row(Score(renames=100, right=100, false=1))) == ["false"]
    assert missed(*[fine] * 19, row(Score(renames=100, right=100, unsafe=1))) == ["unsafe"]
    assert missed(*[fine] * 19, row(Score(renames=100, right=50, open=50))) == ["recall"]
    assert missed(fine, row(Score(renames=100, right=100, vain=9)))[0].startswith("vain cautions")
    assert missed(row(Score(), n_lines=31)) == ["lines in the middle"]
    long = replace(PAIR, truth={f"{n}.w": truth("a.w") for n in range(100)}, unfilled=())
    assert missed(row(Score(), 20, pair=long)) == []
    assert missed(row(Score(), 21, pair=long)) == ["more than a line for 5 keys"]
    assert missed(row(Score(), is_replayed=False)) == ["not replayed"]
    assert missed(fine, row(Score(renames=9, wrong=9), pair=replace(PAIR, is_undetermined=True))) == []
