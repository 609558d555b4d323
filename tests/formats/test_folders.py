"""Folders and indexes: one checkpoint in many files, many checkpoints in one folder, and what is neither."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import ckptnames
from ckptnames.errors import (
    CkptnamesError,
    DuplicateKey,
    IndexMismatch,
    MissingShard,
    NoCheckpointInFolder,
    SeveralCheckpoints,
    UnsafePath,
)

Save = Callable[[dict[str, torch.Tensor], Path], None]

TENSORS = {"a": torch.ones(2, 3), "b": torch.ones(4), "c.d": torch.zeros(1, dtype=torch.int64)}
SHAPES = {key: tuple(tensor.shape) for key, tensor in TENSORS.items()}


def saved_by_torch(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path)


def saved_before_1_6(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


KINDS: dict[str, tuple[str, str, Save]] = {
    "safetensors": ("model", ".safetensors", save_file),
    "bin": ("pytorch_model", ".bin", saved_by_torch),
    "legacy bin": ("pytorch_model", ".bin", saved_before_1_6),
}


def write_index(folder: Path, weight_map: Any, name: str = "model.safetensors.index.json") -> Path:
    (folder / name).write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": weight_map}))
    return folder / name


def write_shards(folder: Path, kind: str = "safetensors", stem: str = "") -> dict[str, str]:
    """Write two shards; give the map of their keys."""
    usual, extension, save = KINDS[kind]
    names = [f"{stem or usual}-0000{i}-of-00002{extension}" for i in (1, 2)]
    save({"a": TENSORS["a"]}, folder / names[0])
    save({"b": TENSORS["b"], "c.d": TENSORS["c.d"]}, folder / names[1])
    return {"a": names[0], "b": names[1], "c.d": names[1]}


def shapes(path: Path) -> Mapping[str, Any]:
    return {key: info.shape for key, info in ckptnames.read(path).items()}


def refused(path: Path) -> Any:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(path)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_sharded_folder_is_one_checkpoint_by_folder_by_index_and_without_one(kind: str, tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path, kind)
    assert shapes(tmp_path) == SHAPES
    index = write_index(tmp_path, weight_map, f"{KINDS[kind][0]}{KINDS[kind][1]}.index.json")
    assert shapes(tmp_path) == shapes(index) == SHAPES
    manifest = ckptnames.read(tmp_path)
    assert manifest.format == "sharded-" + ("safetensors" if kind == "safetensors" else "torch")
    assert f"read from {index.name}" in manifest.notes
    assert manifest.name == str(tmp_path)


def test_keys_stand_in_the_order_of_the_index(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    write_index(tmp_path, dict(reversed(weight_map.items())))
    assert list(ckptnames.read(tmp_path)) == ["c.d", "b", "a"]


def test_one_shard_can_be_read_alone(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    assert list(ckptnames.read(tmp_path / weight_map["a"])) == ["a"]


def test_shards_of_both_formats_in_one_index(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    torch.save({key: TENSORS[key] for key in ("b", "c.d")}, tmp_path / "rest.bin")
    (tmp_path / weight_map["b"]).unlink()
    write_index(tmp_path, {"a": weight_map["a"], "b": "rest.bin", "c.d": "rest.bin"})
    manifest = ckptnames.read(tmp_path)
    assert (manifest.format, {k: i.shape for k, i in manifest.items()}) == ("sharded-safetensors-and-torch", SHAPES)


def test_storages_of_two_shards_with_one_name_are_no_tie(tmp_path: Path) -> None:
    same = torch.ones(2, 3)
    torch.save({"a": same, "tied": same}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": same.clone()}, tmp_path / "pytorch_model-00002-of-00002.bin")
    assert ckptnames.read(tmp_path).ties == (("a", "tied"),)


def test_shards_below_the_folder_and_links_out_of_it(tmp_path: Path) -> None:
    # A cache of a model hub is a folder of links to files elsewhere.
    (tmp_path / "blobs").mkdir()
    (tmp_path / "model" / "parts").mkdir(parents=True)
    save_file({"a": TENSORS["a"]}, tmp_path / "blobs" / "0a1b")
    (tmp_path / "model" / "a.safetensors").symlink_to(tmp_path / "blobs" / "0a1b")
    save_file({"b": TENSORS["b"]}, tmp_path / "model" / "parts" / "b.safetensors")
    write_index(tmp_path / "model", {"a": "a.safetensors", "b": "./parts/b.safetensors"})
    assert list(ckptnames.read(tmp_path / "model")) == ["a", "b"]


def test_an_index_may_name_one_file_in_two_ways(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    write_index(tmp_path, {**weight_map, "b": f"./{weight_map['b']}"})
    assert shapes(tmp_path) == SHAPES


def test_keys_that_the_index_does_not_name_are_read_and_said(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    write_index(tmp_path, {"a": weight_map["a"], "b": weight_map["b"]})
    manifest = ckptnames.read(tmp_path)
    assert list(manifest) == ["a", "b", "c.d"]
    assert any("c.d" in note and "not in the index" in note for note in manifest.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_shard_is_named_with_what_it_holds(kind: str, tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path, kind)
    (tmp_path / weight_map["b"]).unlink()
    without_index = refused(tmp_path)
    assert (type(without_index), without_index.shards) == (MissingShard, (weight_map["b"],))
    index = write_index(tmp_path, weight_map, "x.index.json")
    for path in (tmp_path, index):
        error = refused(path)
        assert (type(error), error.shards, error.n_keys) == (MissingShard, (weight_map["b"],), 2)
        assert weight_map["b"] in error.help


def test_a_shard_that_is_a_folder_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert isinstance(refused(write_index(tmp_path, {"a": "sub"})), MissingShard)


def test_a_key_that_is_not_where_the_index_says(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    write_index(tmp_path, {**weight_map, "zz": weight_map["a"], "b": weight_map["a"]})
    error = refused(tmp_path)
    assert type(error) is IndexMismatch
    assert set(error.absent) == {("zz", weight_map["a"]), ("b", weight_map["a"])}


def test_a_key_in_two_shards(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    save_file({"a": TENSORS["a"], "b": TENSORS["b"]}, tmp_path / weight_map["a"])
    for path in (tmp_path, write_index(tmp_path, weight_map)):
        error = refused(path)
        assert (type(error), error.key) == (DuplicateKey, "b")
        assert set(error.places) == {weight_map["a"], weight_map["b"]}


def test_a_key_twice_in_the_index(tmp_path: Path) -> None:
    (tmp_path / "m.index.json").write_text('{"weight_map": {"a": "x", "a": "y"}}')
    assert refused(tmp_path / "m.index.json").code == "duplicate-key"


OUTSIDE = [
    "../m.safetensors",
    "/etc/passwd",
    "a/../../m",
    "..",
    "C:\\m",
    "a\\..\\..\\m",
    "a\0b",
    "https://host/m",
    "file:m",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_never_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "m.safetensors")
    (tmp_path / "model").mkdir()
    index = write_index(tmp_path / "model", {"a": name})
    for path in (index, index.parent):
        error = refused(path)
        assert (type(error), error.name) == (UnsafePath, name)


@pytest.mark.parametrize("weight_map", [{}, [], None, "x", {"a": 1}, {"a": ""}, {"a": None}, {"a": ["m"]}])
def test_an_index_without_sense(weight_map: Any, tmp_path: Path) -> None:
    assert refused(write_index(tmp_path, weight_map)).code == "invalid-index"


@pytest.mark.parametrize("text", ["", "{", '{"weight_map": NaN}', '{"weight_map": {"a": "\udcff"}}', "[" * 100_000])
def test_an_index_that_is_no_json(text: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(text.encode("utf-8", "surrogateescape"))
    for path in (tmp_path, index) if text else (tmp_path,):
        error = refused(path)
        assert (error.code, error.where) == ("malformed-json", str(index))


@pytest.mark.parametrize("text", ['{"tokens": {"a": 1}}', '{"a": 1}\n{"a": 2}', '{"a": 1, "a": 2}', "", "[1]"])
def test_an_index_of_something_else_is_passed_over(text: str, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    (tmp_path / "vocabulary.index.json").write_text(text)
    assert set(ckptnames.read(tmp_path)) == set(TENSORS)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    index = write_index(tmp_path, weight_map)
    shard = tmp_path / weight_map["b"]
    content = shard.read_bytes()
    for damaged, code in [
        (content[:-1], "corrupt-checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "not-a-checkpoint"),
        (b"", "not-a-checkpoint"),
    ]:
        shard.write_bytes(damaged)
        error = refused(index)
        assert (error.code, error.where) == (code, str(shard))


ST_INDEX, BIN_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
FP16_INDEX = "model.safetensors.index.fp16.json"
SHARDED = {ST_INDEX: ("safetensors", ""), BIN_INDEX: ("bin", ""), FP16_INDEX: ("safetensors", "model.fp16")}

SEVERAL = [
    ("model.safetensors", "pytorch_model.bin"),
    ("model.safetensors", "model.fp16.safetensors"),
    ("epoch1.pt", "epoch2.ckpt"),
    ("adapter_model.safetensors", "adapter_model.bin"),
    (ST_INDEX, BIN_INDEX),
    (ST_INDEX, FP16_INDEX),
    (ST_INDEX, "consolidated.safetensors"),
]


@pytest.mark.parametrize("names", SEVERAL)
def test_several_checkpoints_are_listed_and_never_merged(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        if name in SHARDED:
            write_index(tmp_path, write_shards(tmp_path, *SHARDED[name]), name)
        else:
            (save_file if name.endswith(".safetensors") else saved_by_torch)(TENSORS, tmp_path / name)
    error = refused(tmp_path)
    assert type(error) is SeveralCheckpoints
    assert {path for path, _ in error.candidates} == {str(tmp_path / name) for name in names}
    for path, _ in error.candidates:
        assert set(ckptnames.read(path)) == set(TENSORS)


def test_a_shard_that_the_index_does_not_name_is_listed_beside_it(tmp_path: Path) -> None:
    weight_map = write_shards(tmp_path)
    index = write_index(tmp_path, {"b": weight_map["b"]})
    error = refused(tmp_path)
    assert type(error) is SeveralCheckpoints
    assert {path for path, _ in error.candidates} == {str(index), str(tmp_path / weight_map["a"])}


def test_an_adapter_is_read_alone_and_steps_aside_for_weights(tmp_path: Path) -> None:
    save_file({"lora_A.weight": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert list(ckptnames.read(tmp_path)) == ["lora_A.weight"]
    save_file(TENSORS, tmp_path / "model.safetensors")
    manifest = ckptnames.read(tmp_path)
    assert set(manifest) == set(TENSORS)
    assert any("not read: adapter_model.safetensors" in note for note in manifest.notes)


ACCELERATE = (
    "optimizer.bin",
    "optimizer_1.bin",
    "scheduler.bin",
    "sampler.bin",
    "sampler_1.bin",
    "random_states_0.pkl",
)


def test_files_that_only_look_like_weights_are_no_checkpoint(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    for name in ("._model.safetensors", ".model.safetensors.swp", "._pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (tmp_path / "config.json").write_text("{}")
    assert set(ckptnames.read(tmp_path)) == set(TENSORS)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"m\xff.safetensors")
    save_file(TENSORS, tmp_path / "m")
    (tmp_path / "m").rename(odd)
    assert set(ckptnames.read(odd)) == set(ckptnames.read(tmp_path)) == set(TENSORS)
    save_file(TENSORS, tmp_path / "n.safetensors")
    # As a shell can be told of it: the byte that is no text, spelled.
    assert f"ckptnames ls $'{tmp_path}/m\\xff.safetensors'" in str(refused(tmp_path))


def test_what_a_trainer_leaves_beside_the_weights_is_no_checkpoint(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    for name in (
        "optimizer.pt",
        "scheduler.pt",
        "training_args.bin",
        "rng_state.pth",
        "rng_state_0.pth",
        "scaler.pt",
        *ACCELERATE,
    ):
        torch.save({"x": torch.ones(1), **optimizer}, tmp_path / name)
    for name in ("config.json", "trainer_state.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    error = refused(tmp_path)
    assert type(error) is NoCheckpointInFolder
    assert "optimizer.pt" in error.names
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert set(ckptnames.read(tmp_path)) == set(TENSORS)


def test_manifests_in_a_folder_are_not_taken_for_its_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"tensors": {"x": {"dtype": "F32", "shape": [1]}}}')
    assert type(refused(tmp_path)) is NoCheckpointInFolder
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert set(ckptnames.read(tmp_path)) == set(TENSORS)


def test_a_folder_without_checkpoints_points_to_those_below(tmp_path: Path) -> None:
    assert refused(tmp_path).names == ()
    (tmp_path / "README.md").write_text("#")
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        save_file(TENSORS, tmp_path / part / "diffusion_pytorch_model.safetensors")
    error = refused(tmp_path)
    assert error.code == "not-a-checkpoint"
    assert set(error.names) == {"README.md", "unet/", "vae/"}
    assert set(error.below) == {str(tmp_path / "unet"), str(tmp_path / "vae")}
    assert set(ckptnames.read(tmp_path / "unet")) == set(TENSORS)


def test_the_only_file_named_as_weights_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    error = refused(tmp_path)
    assert (type(error).__name__, error.where) == ("GitLfsPointer", str(tmp_path / "pytorch_model.bin"))


def test_an_unpacked_archive_can_be_packed_again_as_the_help_says(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        archive.extractall(tmp_path)
    for path in (tmp_path / "m", tmp_path / "m" / "data.pkl"):
        error = refused(path)
        assert (error.code, error.path) == ("unsupported-format", str(path))
        command = shlex.split(error.help[error.help.index("python -m zipfile") :])
        subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True)
        assert shapes(tmp_path / "weights.pt") == SHAPES
        assert torch.load(tmp_path / "weights.pt", weights_only=True).keys() == TENSORS.keys()


OTHER_FOLDERS = {
    "distributed": ({".metadata": b"x", "__0_0.distcp": b"x"}, "torch.distributed.checkpoint"),
    "deepspeed": ({"mp_rank_00_model_states.pt": b"x"}, "DeepSpeed"),
    "deepspeed above": ({"latest": b"global_step1", "global_step1/x": b"x"}, "DeepSpeed"),
    "megatron": ({"latest_checkpointed_iteration.txt": b"1"}, "Megatron"),
    "megatron core": ({"metadata.json": b"{}", "common.pt": b"x"}, "Megatron"),
    "tensorflow": ({"saved_model.pb": b"x"}, "TensorFlow"),
}


@pytest.mark.parametrize("name", OTHER_FOLDERS)
def test_folders_of_other_kinds_are_refused_by_name(name: str, tmp_path: Path) -> None:
    files, word = OTHER_FOLDERS[name]
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    error = refused(tmp_path)
    assert word in error.message
    assert error.code in ("unsupported-format", "not-a-checkpoint")
