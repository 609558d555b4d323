"""The planners and readers without a process group: what they keep, and what they refuse."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim.swa_utils import AveragedModel

import ckptnames
from ckptnames.errors import (
    CkptnamesError,
    CutShort,
    IncompleteLoad,
    InvalidIndex,
    KeyCollision,
    LoadInterrupted,
    MalformedPickle,
    MetaModel,
    MissingShard,
    NothingMatched,
    QuantisedWeights,
    RankFailed,
    RankInterrupted,
    TiedValuesDiffer,
    UnsafePath,
)
from ckptnames.loading.distributed import (
    RenamingLoadPlanner,
    RenamingSavePlanner,
    as_ckptnames_errors,
    load_distributed,
    load_sharded,
)


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """DCP warns that it is alone."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is")
        warnings.filterwarnings("ignore", message="Detected an existing checkpoint")
        yield


class Counting(nn.Module):
    """A module with a state beside its tensors."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.n = n

    def get_extra_state(self) -> dict[str, Any]:
        return {"n": self.n, "names": ["a", "b"]}

    def set_extra_state(self, state: Any) -> None:
        self.n = state["n"]


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch owned",)


def test_a_state_beside_the_tensors_goes_along() -> None:
    saved = nn.Sequential(Counting(7))
    save(saved.state_dict(), checkpoint_id="run", planner=RenamingSavePlanner("0.** -> net.0.**"))
    model = nn.Sequential(Counting(1))
    load_sharded(model, "run", rules="net.** -> **")
    assert isinstance(model[0], Counting) and model[0].n == 7
    assert torch.equal(model.state_dict()["0.fc.weight"], saved.state_dict()["0.fc.weight"])


def test_of_what_is_no_tensor_only_plain_data_is_unpickled() -> None:
    save({"w": torch.ones(2), "x": Runs()}, checkpoint_id="run")
    Path("owned").unlink(missing_ok=True)
    state = {"w": torch.zeros(2), "x": None}
    planner = RenamingLoadPlanner("")
    with pytest.raises(RankInterrupted, match="rank 0 failed midway"), as_ckptnames_errors(planner):
        load(state, checkpoint_id="run", planner=planner)
    assert not Path("owned").exists()


def test_what_is_saved_under_new_names_keeps_its_nesting() -> None:
    state = {"model": {"module.w": torch.ones(2)}, "optim": {"state": {"module.w": {"step": torch.ones(1)}}}, "n": 3}
    save(state, checkpoint_id="mapped", planner=RenamingSavePlanner({"module.w": "w"}))
    save(state, checkpoint_id="ruled", planner=RenamingSavePlanner("**.module.** -> **.**"))
    for folder in ("mapped", "ruled"):
        dcp_to_torch_save(folder, "out.pt")
        found = torch.load("out.pt", weights_only=True)
        assert list(found["model"]) == ["w"]
        assert found["n"] == 3
    assert torch.equal(found["optim"]["state"]["w.step"], torch.ones(1))


@pytest.mark.parametrize("names", ["{p}.w -> w", {"a.w": "w", "b.w": "w"}])
def test_names_that_collide_are_refused_before_anything_is_written(names: Any) -> None:
    with pytest.raises(KeyCollision), as_ckptnames_errors():
        save({"a.w": torch.ones(2), "b.w": torch.ones(2)}, checkpoint_id="run", planner=RenamingSavePlanner(names))
    assert not list(Path().glob("run/*.distcp"))


def test_what_is_not_asked_for_stays_in_the_folder() -> None:
    save({"model": {"a.w": torch.ones(2), "b": torch.ones(1)}, "optim": {"lr": torch.ones(1)}}, checkpoint_id="run")
    state = {"model": {"w": torch.zeros(2)}}
    planner = RenamingLoadPlanner("model.a.** -> model.**")
    with pytest.raises(IncompleteLoad) as info, as_ckptnames_errors(planner):
        load(state, checkpoint_id="run", planner=planner)
    assert info.value.rows == (("unexpected", "model.b", ""),)
    planner = RenamingLoadPlanner("model.a.** -> model.**", unexpected="ignore")
    load(state, checkpoint_id="run", planner=planner)
    assert torch.equal(state["model"]["w"], torch.ones(2))
    assert planner.report is not None and planner.report.unexpected == ("model.b",)


def test_the_index_says_which_files_count() -> None:
    Path("run").mkdir()
    save_file({"0.weight": torch.ones(2, 2)}, "run/model-00001-of-00001.safetensors")
    save_file({"0.weight": torch.zeros(2, 2)}, "run/consolidated.safetensors")
    weight_map = {"0.weight": "model-00001-of-00001.safetensors"}
    Path("run/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    load_distributed(model, "run")
    assert torch.equal(model.state_dict()["0.weight"], torch.ones(2, 2))


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ({"weight_map": {"0.weight": "model-00001-of-00001.safetensors"}}, MissingShard),
        ({"weight_map": {"0.weight": "../other.safetensors"}}, UnsafePath),
        ({"weights": {}}, InvalidIndex),
        ("none", InvalidIndex),
    ],
)
def test_a_broken_index_is_refused(index: Any, error: type[CkptnamesError]) -> None:
    Path("run").mkdir()
    save_file({"0.weight": torch.zeros(2, 2)}, "run/consolidated.safetensors")
    Path("run/model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(error):
        load_distributed(nn.Sequential(nn.Linear(2, 2, bias=False)), "run")


def test_a_broken_header_is_refused() -> None:
    Path("run").mkdir()
    save_file({"0.weight": torch.zeros(2, 2)}, "run/model.safetensors")
    Path("run/model.safetensors").write_bytes(Path("run/model.safetensors").read_bytes()[:-3])
    with pytest.raises(CutShort):
        load_distributed(nn.Sequential(nn.Linear(2, 2, bias=False)), "run")


def test_no_file_outside_the_folder_is_read() -> None:
    save({"weight": torch.ones(1, 1), "bias": torch.ones(1)}, checkpoint_id="run")
    path = Path("run/.metadata")
    metadata = pickle.loads(path.read_bytes())
    for stored in metadata.storage_data.values():
        stored.relative_path = "../elsewhere.distcp"
    path.write_bytes(pickle.dumps(metadata))
    with pytest.raises(UnsafePath):
        load_sharded(nn.Linear(1, 1), "run")


def test_a_load_of_nothing_is_none_even_where_all_may_be_kept() -> None:
    save({"a": torch.ones(2)}, checkpoint_id="run")
    with pytest.raises(NothingMatched):
        load_sharded(nn.Linear(1, 1), "run", missing="keep", unexpected="ignore")


def test_another_dtype_is_told() -> None:
    save({"weight": torch.ones(1, 1), "bias": torch.ones(1, dtype=torch.bfloat16)}, checkpoint_id="run")
    model = nn.Linear(1, 1)
    assert load_sharded(model, "run").cast == (("bias", "BF16", "F32"),)
    assert model.bias.dtype == torch.float32


def test_one_of_two_names_of_a_tensor_is_enough() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    save({"0.weight": torch.ones(2, 2)}, checkpoint_id="run")
    assert load_sharded(model, "run").missing == ()
    assert torch.equal(model.state_dict()["1.weight"], torch.ones(2, 2))


def test_damaged_metadata_is_an_error_of_ours() -> None:
    save({"weight": torch.ones(1, 1)}, checkpoint_id="run")
    path = Path("run/.metadata")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MalformedPickle):
        load_sharded(nn.Linear(1, 1), "run")


def test_what_fails_alone_is_told_as_it_is() -> None:
    with pytest.raises(RankFailed) as info, as_ckptnames_errors():
        save({"weight": torch.ones(1, 1)}, checkpoint_id="/dev/null/run", planner=RenamingSavePlanner({}))
    assert info.value.doing in ("planning", "writing")


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight


def saved(state: dict[str, torch.Tensor], kind: str) -> str:
    """Save a state dict as a folder of shards or as a plain file, and give its path."""
    if kind == "folder":
        save(state, checkpoint_id="run")
        return "run"
    torch.save(state, "run.pt")
    return "run.pt"


KINDS = pytest.mark.parametrize("kind", ["folder", "file"])


@KINDS
def test_no_part_of_a_model_stays_without_memory(kind: str) -> None:
    state = {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2)}
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(MetaModel) as info:
        load_distributed(model, saved(state, kind), missing="keep")
    assert info.value.keys == ("1.weight", "1.bias")
    assert all(value.is_meta for value in model.state_dict().values())


@KINDS
def test_a_buffer_that_is_not_saved_is_said_to_have_no_values(kind: str) -> None:
    with torch.device("meta"):
        model = nn.Linear(2, 2, bias=False)
        model.register_buffer("freqs", torch.ones(2), persistent=False)
    report = load_distributed(model, saved({"weight": torch.ones(2, 2)}, kind))
    assert report.notes == ("freqs is not saved, and still without values",)


@KINDS
def test_a_tied_weight_on_meta_is_filled_by_one_of_its_names_and_stays_one(kind: str) -> None:
    with torch.device("meta"):
        model = Tied()
    load_distributed(model, saved({"b.weight": torch.ones(2, 2)}, kind))
    assert model.a.weight is model.b.weight
    assert torch.equal(model.a.weight, torch.ones(2, 2))


@KINDS
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_tensor_has_one_value(kind: str, device: str) -> None:
    with torch.device(device):
        model = Tied()
    before = model.a.weight.detach().clone()
    nan = torch.full((2, 2), float("nan"))
    with pytest.raises(TiedValuesDiffer) as info:
        load_distributed(model, saved({"a.weight": nan, "b.weight": torch.ones(2, 2)}, kind))
    assert info.value.names == ("a.weight", "b.weight")
    assert model.a.weight.is_meta or torch.equal(model.a.weight, before)
    load_distributed(model, saved({"a.weight": nan, "b.weight": nan.clone()}, kind))
    assert model.a.weight is model.b.weight and bool(model.a.weight.isnan().all())


@KINDS
@pytest.mark.parametrize("load_it", [ckptnames.load, load_distributed])
def test_one_tensor_has_one_shape(kind: str, load_it: Any) -> None:
    path = saved({"a.weight": torch.ones(2, 2), "b.weight": torch.ones(3, 2)}, kind)
    with pytest.raises(TiedValuesDiffer):
        load_it(Tied(), path, mismatched="keep")


def test_nothing_is_loaded_where_tied_values_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    path = saved({"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2)}, "folder")
    monkeypatch.setattr(FileSystemReader, "_slice_file", failing)
    with pytest.raises(RankFailed, match="Nothing was loaded"):
        load_sharded(Tied(), path)


def test_a_planner_alone_tells_of_tied_values_that_differ_while_it_reads() -> None:
    save({"a.weight": torch.ones(2, 2), "b.weight": torch.zeros(2, 2)}, checkpoint_id="run")
    planner = RenamingLoadPlanner()
    with pytest.raises(TiedValuesDiffer, match="may be part old and part new"), as_ckptnames_errors(planner):
        load(Tied().state_dict(), checkpoint_id="run", planner=planner)


@KINDS
def test_quantised_weights_do_not_load_without_their_scales(kind: str) -> None:
    state = {"weight": torch.ones(2, 2).to(torch.float8_e4m3fn), "weight_scale": torch.ones(1), "bias": torch.ones(2)}
    with pytest.raises(QuantisedWeights, match="without the scales that give them meaning"):
        load_distributed(nn.Linear(2, 2), saved(state, kind), unexpected="ignore")


@KINDS
def test_one_number_more_is_no_placeholder_where_every_weight_is_filled(kind: str) -> None:
    state = {"weight": torch.ones(2, 2), "temperature": torch.ones(1)}
    report = load_distributed(nn.Linear(2, 2, bias=False), saved(state, kind), unexpected="ignore")
    assert report.unexpected == ("temperature",)


@KINDS
def test_what_was_asked_for_in_vain_is_told(kind: str) -> None:
    state = {"p.w": torch.ones(2), "q.w": torch.ones(2), "z.w": torch.ones(3)}
    model = nn.ModuleDict({name: nn.ParameterDict({"w": torch.ones(n)}) for name, n in (("x", 2), ("y", 2), ("z", 3))})
    report = load_distributed(model, saved(state, kind), infer=True, missing="keep", unexpected="ignore")
    assert report.notes == ("infer=True applied nothing: names and shapes leave keys undecided",)
    report = load_distributed(
        nn.ModuleDict({name[0]: nn.ParameterDict({"w": value}) for name, value in state.items()}),
        saved(state, kind),
        rules="r.w -> !drop",
    )
    assert "1 rule matches no key: r.w -> !drop" in str(report)


@KINDS
def test_what_an_average_has_counted_is_loaded(kind: str) -> None:
    averaged, model = AveragedModel(nn.Linear(2, 2)), AveragedModel(nn.Linear(2, 2))
    for _ in range(2):
        averaged.update_parameters(nn.Linear(2, 2))
    report = load_distributed(model, saved(averaged.state_dict(), kind))
    assert int(model.n_averaged) == 2 and "n_averaged" in report.matched


@KINDS
def test_what_is_not_needed_is_told(kind: str) -> None:
    state = {"weight": torch.ones(2, 2), "bn.num_batches_tracked": torch.tensor(3), "x": torch.ones(2)}
    report = load_distributed(nn.Linear(2, 2, bias=False), saved(state, kind), rules="x -> !drop")
    assert report.left_out == ("bn.num_batches_tracked", "x") and report.is_complete


def test_another_name_of_a_tensor_that_was_loaded_is_told() -> None:
    one = torch.ones(2, 2)
    report = load_distributed(nn.Linear(2, 2, bias=False), saved({"weight": one, "other": one}, "file"))
    assert report.left_out == ("other",) and report.is_complete


class Dropping(nn.Module):
    """Leaves its head, and what its norm has counted, out of what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(2), nn.Linear(2, 2)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        del state_dict["norm.num_batches_tracked"]
        if "head.weight" in state_dict and not torch.equal(state_dict["head.weight"], torch.ones(2, 2)):
            del state_dict["head.weight"]
        super()._load_from_state_dict(state_dict, prefix, *args)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_value_that_own_code_takes_nothing_of_is_missed(device: str) -> None:
    state = {**Dropping().state_dict(), "norm.num_batches_tracked": torch.tensor(7)}
    with torch.device(device):
        model = Dropping()
    with pytest.raises(LoadInterrupted, match=r"took no value for 'head\.weight'"):
        load_distributed(model, saved(state, "file"))
    report = load_distributed(Dropping(), saved({**state, "head.weight": torch.ones(2, 2)}, "file"))
    assert report.kept == ("norm.num_batches_tracked",)
    assert "norm.num_batches_tracked" not in report.matched and "head.weight" in report.matched
    if device == "meta":
        with torch.device(device):
            model = Dropping()
        with pytest.raises(LoadInterrupted, match="took no value for"):
            load_distributed(model, saved(state, "folder"))
