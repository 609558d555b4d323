"""Loads and saves by several ranks on the CPU: FSDP2, DDP and plain models, folders of shards and plain files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distributed.group import Group, group


@pytest.fixture(scope="module", params=[2, 4], ids=["2 ranks", "4 ranks"])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Group, str]]:
    """A group, and a folder in which it has saved one model in several ways."""
    folder = tmp_path_factory.mktemp("group")
    with group(request.param, folder) as found:
        found.run("saved_shards", str(folder))
        found.run("saved_flat", str(folder))
        yield found, str(folder)


ON_ALL = [
    "loads_into_shards",
    "loads_into_wrapped",
    "loads_by_the_verb",
    "refuses_a_sharded_state_dict",
    "infers_names_where_that_is_asked_for",
    "loads_into_fsdp1",
    "loads_onto_meta",
    "keeps_nothing_without_memory",
    "refuses_tied_values_that_differ",
    "misses_what_own_code_drops",
    "loads_by_the_planner",
    "reads_only_its_part",
    "reads_each_item_once",
    "from_rank0",
    "one_rank_cannot_read",
]


@pytest.mark.slow
@pytest.mark.parametrize("check", ON_ALL)
def test_on_all_ranks(ranks: tuple[Group, str], check: str) -> None:
    found, folder = ranks
    found.run(check, folder)


@pytest.mark.slow
def test_what_differs_is_told_alike_on_all_ranks(ranks: tuple[Group, str]) -> None:
    found, folder = ranks
    first, *others = found.run("tells_what_differs", folder)
    assert all(each == first for each in others)
    assert [text.partition("]")[0].removeprefix("error[") for text in first] == [
        "incomplete-load",
        "no-such-path",
        "no-such-container",
        "unmatched-rule",
        "lossy-cast",
        "incomplete-load",
    ]
    assert "9 keys missing, 9 keys unexpected" in first[0] and "checkpoint 5×3, model 4×3" in first[-1]


@pytest.mark.slow
def test_a_rank_with_another_model_stops_all(ranks: tuple[Group, str]) -> None:
    found, folder = ranks
    first, *others = found.run("one_rank_has_another_model", folder)
    assert all(each == first for each in others)
    assert all(
        text.startswith("error[incomplete-load]: the checkpoint does not fill the model: 2 keys m") for text in first
    )


@pytest.mark.slow
def test_a_file_that_rank_0_cannot_read_stops_all(ranks: tuple[Group, str]) -> None:
    found, folder = ranks
    first, *others = found.run("rank0_cannot_read", folder)
    assert all(each == first for each in others)
    assert [text.partition("]")[0] for text in first] == [
        "error[no-such-path",
        "error[not-a-checkpoint",
        "error[rank-failed",
    ]
    assert "rank 0: OSError: [Errno 5] Input/output error" in first[-1]


@pytest.mark.slow
def test_a_rank_that_ends_stops_all(tmp_path: Path) -> None:
    with group(2, tmp_path) as found:
        found.run("saved_flat", str(tmp_path))
        assert found.run("one_rank_ends", str(tmp_path), gone=(1,)) == [["rank-failed"]]


@pytest.mark.slow
def test_a_rank_that_stays_away_does_not_hold_up_the_others_for_ever(tmp_path: Path) -> None:
    with group(2, tmp_path, timeout=5) as found:
        found.run("saved_flat", str(tmp_path))
        assert found.run("one_rank_stays_away", str(tmp_path)) == [["rank-failed"], []]


def test_two_ranks_rename_while_they_load(tmp_path: Path) -> None:
    with group(2, tmp_path) as found:
        found.run("saved_shards", str(tmp_path))
        found.run("loads_into_shards", str(tmp_path))
