"""What ranks do in the tests of distributed loads: each function runs on every rank, and asserts there."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import ckptnames
from ckptnames.errors import CkptnamesError, IncompleteLoad, RankFailed, RankInterrupted
from ckptnames.folding import expand
from ckptnames.loading.distributed import (
    RenamingLoadPlanner,
    RenamingSavePlanner,
    as_ckptnames_errors,
    load_distributed,
    load_from_rank0,
    load_sharded,
)
from ckptnames.loading.distributed.readers import DistcpReader


class Block(nn.Module):
    """A layer, a norm with buffers, and a parameter whose five rows no two ranks share evenly."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 24)
        self.norm = nn.BatchNorm1d(24)
        self.odd = nn.Parameter(torch.zeros(5, 3))


class Net(nn.Module):
    """Two blocks and a tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.embed = nn.Embedding(7, 8)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.embed.weight


def net(seed: int, device: str = "cpu") -> Net:
    torch.manual_seed(seed)
    with torch.device(device):
        model = Net()
    if device == "cpu":
        with torch.no_grad():
            for value in model.state_dict().values():
                value.copy_(torch.randn(value.shape) * 9)
    return model


def sharded(model: Net) -> Net:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def full(model: nn.Module) -> dict[str, torch.Tensor]:
    """Give the whole tensors by their unwrapped names; every rank takes part."""
    names = ckptnames.canonical(model)
    found = {}
    for key, value in model.state_dict().items():
        if key in names:
            found[names[key]] = value.full_tensor() if isinstance(value, DTensor) else value.clone()
    return found


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


def raised(act: Any) -> CkptnamesError:
    try:
        act()
    except CkptnamesError as error:
        return error
    raise AssertionError("nothing was raised")


OLD = "blocks.{i:d}.fc.** -> layers.{i}.linear.**\nblocks.** -> layers.**"
NEW = "layers.{i:d}.linear.** -> blocks.{i}.fc.**\nlayers.** -> blocks.**"
"""From the names that are saved to those of ``Net``."""


def saved_shards(rank: int, folder: str) -> None:
    """Save one model in every way that is loaded below: renamed, nested, wrapped, and as safetensors."""
    model = sharded(net(1))
    save(model.state_dict(), checkpoint_id=f"{folder}/old", planner=RenamingSavePlanner(OLD))
    save({"model": model.state_dict(), "step": 3}, checkpoint_id=f"{folder}/nested")
    wrapped = DistributedDataParallel(net(1))
    save(wrapped.state_dict(), checkpoint_id=f"{folder}/wrapped")
    names = ckptnames.canonical(wrapped)
    save({"model": wrapped.state_dict()}, checkpoint_id=f"{folder}/canonical", planner=RenamingSavePlanner(names))
    writer = HuggingFaceStorageWriter(f"{folder}/safetensors", save_distributed=True)
    untied = {key: value for key, value in model.state_dict().items() if key != "head.weight"}
    save(untied, storage_writer=writer, planner=RenamingSavePlanner(OLD))


def loads_into_shards(rank: int, folder: str) -> None:
    wanted = full(net(1))
    for name, rules in (
        ("old", NEW),
        ("nested", None),
        ("wrapped", None),
        ("canonical", None),
        ("safetensors", NEW),
    ):
        model = sharded(net(2))
        report = load_sharded(model, f"{folder}/{name}", rules=rules)
        assert_same(full(model), wanted)
        assert report.is_complete and report.cast == ()
        assert set(report.matched) == wanted.keys()


def loads_into_wrapped(rank: int, folder: str) -> None:
    wanted = full(net(1))
    inner = net(2)
    inner.blocks[0] = torch.compile(inner.blocks[0])  # type: ignore[assignment]
    for model in (DistributedDataParallel(inner), DistributedDataParallel(net(3)), net(4)):
        load_distributed(model, f"{folder}/old", rules=NEW)
        assert_same(full(model), wanted)


def loads_by_the_verb(rank: int, folder: str) -> None:
    """``ckptnames.load`` itself, on every rank alike: a folder of shards, one of safetensors, a plain file."""
    wanted = full(net(1))
    if rank == 0:
        torch.save({"state_dict": {f"module.{key}": value for key, value in wanted.items()}}, f"{folder}/verb.pt")
    dist.barrier()
    for name, rules in (("nested", None), ("safetensors", NEW), ("verb.pt", None)):
        model = sharded(net(2))
        assert ckptnames.load(model, f"{folder}/{name}", rules=rules).is_complete
        assert_same(full(model), wanted)
    plain = net(2)
    assert ckptnames.load(plain, f"{folder}/nested").is_complete
    assert_same(full(plain), wanted)


def refuses_a_sharded_state_dict(rank: int, folder: str) -> None:
    model = sharded(net(2))
    state = sharded(net(1)).state_dict()
    assert raised(lambda: load_from_rank0(model, state)).code == "option-not-supported"
    assert_same(full(model), full(net(2)))


def infers_names_where_that_is_asked_for(rank: int, folder: str) -> None:
    model = sharded(net(2))
    assert raised(lambda: load_sharded(model, f"{folder}/old")).rules  # type: ignore[attr-defined]
    report = load_sharded(model, f"{folder}/old", infer=True)
    assert report.is_complete and report.notes
    assert_same(full(model), full(net(1)))


def loads_into_fsdp1(rank: int, folder: str) -> None:
    model = FullyShardedDataParallel(net(2), use_orig_params=True, device_id=torch.device("cpu"))
    load_sharded(model, f"{folder}/old", rules=NEW)
    with FullyShardedDataParallel.summon_full_params(model):
        found = {key.removeprefix("_fsdp_wrapped_module."): value for key, value in model.named_parameters()}
        assert_same({key: value.detach() for key, value in found.items()}, dict(net(1).named_parameters()))


def loads_onto_meta(rank: int, folder: str) -> None:
    model = sharded(net(2, device="meta"))
    load_sharded(model, f"{folder}/nested")
    assert not any(value.is_meta for value in model.state_dict().values())
    assert_same(full(model), full(net(1)))


def keeps_nothing_without_memory(rank: int, folder: str) -> None:
    state = {key: value for key, value in full(net(1)).items() if "1" not in key}
    if rank == 0:
        torch.save(state, f"{folder}/part.pt")
    save(state, checkpoint_id=f"{folder}/part")
    for name in ("part", "part.pt"):
        model = sharded(net(2, device="meta"))
        error = raised(partial(ckptnames.load, model, f"{folder}/{name}", missing="keep"))
        assert error.code == "meta-model" and error.keys[0] == "blocks.1.odd"  # type: ignore[attr-defined]
        assert all(value.is_meta for value in model.state_dict().values())


def refuses_tied_values_that_differ(rank: int, folder: str) -> None:
    """The last row differs, which one rank alone holds: all raise, and nothing is written."""
    state = full(net(1))
    state["head.weight"] = state["head.weight"].clone()
    for is_same in (False, True):
        state["head.weight"][-1] = state["embed.weight"][-1] if is_same else 0
        if rank == 0:
            torch.save(state, f"{folder}/tied.pt")
        save(state, checkpoint_id=f"{folder}/tied")
        for name in ("tied", "tied.pt"):
            for model in (sharded(net(2)), sharded(net(2, device="meta"))):
                if is_same:
                    ckptnames.load(model, f"{folder}/{name}")
                    assert_same(full(model), full(net(1)))
                    assert model.head.weight is model.embed.weight
                else:
                    error = raised(partial(ckptnames.load, model, f"{folder}/{name}"))
                    assert error.code == "tied-values-differ"
                    assert model.embed.weight.is_meta or torch.equal(full(model)["embed.weight"], net(2).embed.weight)


class Dropping(Block):
    """Leaves one of its parameters out of what it loads."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        del state_dict[prefix + "odd"]
        super()._load_from_state_dict(state_dict, prefix, *args)


def misses_what_own_code_drops(rank: int, folder: str) -> None:
    """What has memory is filled before such code runs; what has none would stay so."""
    wanted = full(net(1))
    if rank == 0:
        torch.save(wanted, f"{folder}/own.pt")
    dist.barrier()
    for device in ("cpu", "meta"):
        model = net(2, device)
        with torch.device(device):
            model.blocks[1] = Dropping()
        sharded(model)
        if device == "cpu":
            ckptnames.load(model, f"{folder}/own.pt")
            assert_same(full(model), wanted)
        else:
            error = raised(partial(ckptnames.load, model, f"{folder}/own.pt"))
            assert error.code == "load-interrupted" and "took no value for 'blocks.1.odd'" in str(error)


def loads_by_the_planner(rank: int, folder: str) -> None:
    """The planner inside a plain ``dcp.load``, on a nested state dict beside which the folder holds more."""
    model = sharded(net(2))
    state = get_model_state_dict(model)
    planner = RenamingLoadPlanner("model.** -> net.**")
    load({"net": state}, checkpoint_id=f"{folder}/nested", planner=planner)
    assert_same(full(model), full(net(1)))
    assert planner.report is not None and planner.report.unexpected == ()
    assert planner.report.renamed["net.embed.weight"] == "model.** -> net.**"
    # The same, where DCP itself would have raised at the first name: all are told.
    rules = "layers.0.** -> blocks.0.**"
    error = raised(lambda: load_planned(state, f"{folder}/old", RenamingLoadPlanner(rules)))
    assert isinstance(error, IncompleteLoad)
    others = ("fc.bias", "fc.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.weight", "odd")
    missing = {"blocks.0.fc.bias", "blocks.0.fc.weight", *(f"blocks.1.{name}" for name in others)}
    told = {
        kind: {key for row in error.rows if row[0] == kind for key in expand(row[1])}
        for kind in ("missing", "unexpected")
    }
    assert told["missing"] == missing
    assert len(told["unexpected"]) == len(missing) and "layers.1.linear.bias" in told["unexpected"]


def load_planned(state: dict[str, Any], folder: str, planner: RenamingLoadPlanner) -> None:
    with as_ckptnames_errors(planner):
        load(state, checkpoint_id=folder, planner=planner)


def reads_only_its_part(rank: int, folder: str) -> None:
    """From safetensors a rank asks for the elements that it holds; each stored item is asked for once."""
    model = sharded(net(2))
    mine = sum(value.to_local().numel() for value in model.state_dict().values() if isinstance(value, DTensor))
    buffers = sum(value.numel() for value in model.state_dict().values() if not isinstance(value, DTensor))
    seen: list[Any] = []
    finish = RenamingLoadPlanner.finish_plan

    def noted(self: RenamingLoadPlanner, plan: Any) -> Any:
        seen.extend(plan.items)
        return finish(self, plan)

    with patch.object(RenamingLoadPlanner, "finish_plan", noted):
        load_sharded(model, f"{folder}/safetensors", rules=NEW)
    tied = model.state_dict()["head.weight"].to_local().numel()
    assert sum(item.lengths.numel() for item in seen) == mine - tied + buffers
    stored = [(item.storage_index.fqn, item.storage_index.offset) for item in seen]
    assert len(stored) == len(set(stored))


def reads_each_item_once(rank: int, folder: str) -> None:
    """Two tensors of the model from one stored one: each stored part is unpickled once, and both are right."""
    model = sharded(net(2))
    model.head = nn.Linear(8, 7, bias=False)
    target = {**model.state_dict(), "head.weight": torch.zeros(7, 8, dtype=torch.float64)}
    seen: list[str] = []
    slice_file = DistcpReader._slice_file

    def noted(self: DistcpReader, file: Any, info: Any) -> Any:
        seen.append(f"{info.relative_path}:{info.offset}")
        return slice_file(self, file, info)

    planner = RenamingLoadPlanner("embed.weight -> embed.weight & head.weight\nhead.weight -> !drop")
    with patch.object(FileSystemReader, "_slice_file", noted), as_ckptnames_errors(planner):
        load(target, checkpoint_id=f"{folder}/flat", planner=planner)
    wanted = full(net(1))["embed.weight"]
    assert torch.equal(target["head.weight"], wanted.double())
    assert torch.equal(target["embed.weight"].full_tensor(), wanted)
    assert len(seen) == len(set(seen))


def saved_flat(rank: int, folder: str) -> None:
    save(sharded(net(1)).state_dict(), checkpoint_id=f"{folder}/flat")


def tells_what_differs(rank: int, folder: str) -> list[str]:
    """Nothing is written where names, shapes or dtypes differ; every rank gets the same error."""
    model = sharded(net(2))
    before = full(model)
    errors = [raised(lambda: load_sharded(model, f"{folder}/old", rules="layers.0.** -> blocks.0.**"))]
    errors.append(raised(lambda: load_sharded(model, f"{folder}/nowhere")))
    errors.append(raised(lambda: load_sharded(model, f"{folder}/nested", container="modle")))
    errors.append(raised(lambda: load_sharded(model, f"{folder}/nested", rules="embed.** -> e.**\nnot.** -> x.**")))
    short = net(3)
    short.blocks[1].odd = nn.Parameter(torch.zeros(5, 3, dtype=torch.int8), requires_grad=False)
    errors.append(raised(lambda: load_sharded(short, f"{folder}/nested")))
    short.blocks[1].odd = nn.Parameter(torch.zeros(4, 3))
    errors.append(raised(lambda: load_sharded(short, f"{folder}/nested")))
    assert_same(full(model), before)
    report = load_sharded(short, f"{folder}/nested", mismatched="keep")
    assert report.kept == ("blocks.1.odd",)
    return [str(error) for error in errors]


def one_rank_has_another_model(rank: int, folder: str) -> list[str]:
    """A name that only one rank lacks is an error on all, before anything is written."""
    model = net(2)
    if rank == 1:
        model.blocks[0].extra = nn.Linear(2, 2)
    before = full(model)
    errors = [raised(lambda: load_sharded(model, f"{folder}/nested"))]
    errors.append(raised(lambda: load_from_rank0(model, full(net(1)))))
    assert_same(full(model), before)
    return [str(error) for error in errors]


def one_rank_cannot_read(rank: int, folder: str) -> list[str]:
    """A disk that fails on one rank midway: all raise, and say what is overwritten; two reads compare the tied head."""
    model = sharded(net(2))
    slice_file = FileSystemReader._slice_file
    n_read = 0

    def failing(self: FileSystemReader, file: Any, info: Any) -> Any:
        nonlocal n_read
        n_read += 1
        if rank == 1 and n_read > 5:
            raise OSError(5, "Input/output error")
        return slice_file(self, file, info)

    with patch.object(FileSystemReader, "_slice_file", failing):
        error = raised(lambda: load_sharded(model, f"{folder}/nested"))
    assert isinstance(error, RankInterrupted)
    assert error.failures == {1: "OSError: [Errno 5] Input/output error"}
    assert (len(error.overwritten) == 3) == (rank == 1)
    now, new, old = (each for each in (full(model), full(net(1)), full(net(2))))
    assert any(torch.equal(now[key], new[key]) for key in now) and any(torch.equal(now[key], old[key]) for key in now)
    return [error.code]


def one_rank_ends(rank: int, folder: str) -> list[str]:
    """A rank that is gone before the others begin: they get an error, and do not wait for ever."""
    if rank == 1:
        os._exit(1)
    return [raised(lambda: load_sharded(net(2), f"{folder}/flat")).code]


def one_rank_stays_away(rank: int, folder: str) -> list[str]:
    """A rank that does not load at all: the others wait as long as their process group says, and no longer."""
    return [] if rank == 1 else [raised(lambda: load_sharded(net(2), f"{folder}/flat")).code]


def from_rank0(rank: int, folder: str) -> None:
    """A plain file that only rank 0 can see, into models of every kind."""
    path = Path(folder, "plain.pt")
    if rank == 0:
        old = ckptnames.Rules.parse(OLD)
        state = {f"module.{key}": value for key, value in ckptnames.remap(full(net(1)), old).items()}
        torch.save({"epoch": 3, "state_dict": state}, path)
    rules = f"module.** -> **\n---\n{NEW}"
    wanted = full(net(1))
    for model in (sharded(net(2)), DistributedDataParallel(net(3)), sharded(net(4, device="meta"))):
        report = load_distributed(model, path if rank == 0 else None, rules=rules)
        assert_same(full(model), wanted)
        assert report.kept == ()
    # Without rules: the prefix of the wrapper is explained, renamed layers are told, and nothing is written.
    model = sharded(net(2))
    error = raised(lambda: load_from_rank0(model, path if rank == 0 else None))
    assert isinstance(error, IncompleteLoad)
    assert_same(full(model), full(net(2)))
    load_from_rank0(model, {f"module.{key}": value for key, value in full(net(1)).items()} if rank == 0 else None)
    assert_same(full(model), wanted)
    # Of another dtype, and partly: what is not there keeps its values.
    part = {key: value.double() if value.is_floating_point() else value for key, value in wanted.items() if "0" in key}
    model = sharded(net(2))
    report = load_from_rank0(model, part if rank == 0 else None, missing="keep")
    assert {each.key for each in report.cast} == {key for key, value in part.items() if value.dtype == torch.float64}
    assert_same(full(model), {**full(net(2)), **{key: wanted[key] for key in part}})


def rank0_cannot_read(rank: int, folder: str) -> list[str]:
    model = sharded(net(2))
    errors = [raised(lambda: load_from_rank0(model, f"{folder}/nowhere.pt"))]
    Path(folder, "broken.pt").write_bytes(b"no checkpoint")
    whole = full(net(1))
    if rank == 0:
        torch.save(whole, Path(folder, "whole.pt"))
    errors.append(raised(lambda: load_from_rank0(model, f"{folder}/broken.pt")))
    with patch("ckptnames.loading.distributed.rank0._read", side_effect=OSError(5, "Input/output error")):
        errors.append(raised(lambda: load_from_rank0(model, f"{folder}/whole.pt")))
    assert isinstance(errors[-1], RankFailed)
    assert_same(full(model), full(net(2)))
    return [str(error) for error in errors]
