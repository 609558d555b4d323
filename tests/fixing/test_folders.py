"""Sharded checkpoints under other names: shards, index, and the files around them."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ckptnames
from ckptnames.errors import CannotWrite, OutputExists, OutputHoldsMore, OutputIsSource, OutputOfOtherKind
from ckptnames.fixing.fix import prepare
from ckptnames.formats import outputs
from ckptnames.formats.recognise import open_checkpoint
from ckptnames.rules import Rules

STRIP = Rules.parse("model.** -> **")
SHARDS = (
    {"model.embed.weight": torch.arange(12.0).reshape(3, 4), "model.layers.0.mlp.weight": torch.ones(2, 2)},
    {"model.layers.1.mlp.weight": torch.full((2, 2), 7.0), "model.norm.weight": torch.zeros(4, dtype=torch.float16)},
)
CONFIG = {
    "architectures": ["X"],
    "quantization_config": {
        "quant_method": "x",
        "modules_to_not_convert": ["model.layers.0.mlp", "lm_head"],
        "groups": {"model.layers.1*": {"bits": 8}},
    },
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names_of(extension: str) -> list[str]:
    stem = "model" if extension == ".safetensors" else "pytorch_model"
    return [f"{stem}-{n:05}-of-00002{extension}" for n in (1, 2)]


def index_of(extension: str) -> str:
    return "model.safetensors.index.json" if extension == ".safetensors" else "pytorch_model.bin.index.json"


def make(folder: Path, extension: str = ".safetensors", below: str = "") -> Path:
    """A folder as transformers leaves it."""
    (folder / below).mkdir(parents=True)
    names = [below + name for name in names_of(extension)]
    for name, state in zip(names, SHARDS, strict=True):
        if extension == ".safetensors":
            save_file(state, folder / name, metadata={"format": "pt"})
        else:
            torch.save(state, folder / name)
    tensors = [tensor for state in SHARDS for tensor in state.values()]
    totals = {"total_parameters": sum(t.numel() for t in tensors), "total_size": sum(t.nbytes for t in tensors)}
    weight_map = {key: name for name, state in zip(names, SHARDS, strict=True) for key in state}
    index = {"metadata": {**totals, "who": "me"}, "weight_map": weight_map}
    (folder / index_of(extension)).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_bytes(b"\xff not even JSON")
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "notes.txt").write_text("mine")
    return folder


def load_shard(path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    return found


def loaded(folder: Path) -> dict[str, Tensor]:
    """Load what the index names, as transformers does."""
    (index,) = folder.glob("*.index.json")
    weight_map = json.loads(index.read_text())["weight_map"]
    shards = {name: load_shard(folder / name) for name in set(weight_map.values())}
    assert {key: name for name, state in shards.items() for key in state} == weight_map
    return {key: shards[name][key] for key, name in weight_map.items()}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in left
    )


ALL = {key: tensor for state in SHARDS for key, tensor in state.items()}


@pytest.mark.parametrize("extension", [".safetensors", ".bin"])
@pytest.mark.parametrize("below", ["", "weights/"])
@pytest.mark.parametrize("by_index", [False, True])
def test_shards_and_index_are_renamed_and_the_rest_is_copied(extension: str, below: str, by_index: bool) -> None:
    source, out, back = make(Path("source"), extension, below), Path("out"), Path("back")
    index = index_of(extension)
    ckptnames.fix(source / index if by_index else source, out, rules=STRIP, verify=True)
    assert same(loaded(out), {key.removeprefix("model."): tensor for key, tensor in ALL.items()})
    assert files(out) == files(source) - {"sub/notes.txt"}
    for name in ("config.json", "tokenizer.json"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    before, after = ((folder / index).read_text() for folder in (source, out))
    assert json.loads(before)["metadata"] == json.loads(after)["metadata"]
    ckptnames.fix(out, back, rules="** -> model.**")
    assert (back / index).read_text() == before
    assert all((back / file).read_bytes() == (source / file).read_bytes() for file in files(out) if "safe" in file)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_totals_follow_what_is_left_out_and_tied() -> None:
    source = make(Path("source"))
    ckptnames.fix(source, "out", rules="model.norm.** -> !drop\nmodel.layers.{i:d}.** -> a.{i}.** & b.{i}.**")
    found = loaded(Path("out"))
    metadata = json.loads(Path("out", index_of(".safetensors")).read_text())["metadata"]
    assert metadata == {
        "total_parameters": sum(t.numel() for t in found.values()),
        "total_size": sum(t.nbytes for t in found.values()),
        "who": "me",
    }
    assert sorted(found) == sorted(["model.embed.weight", *(f"{m}.{i}.mlp.weight" for i in (0, 1) for m in "ab")])


@pytest.mark.parametrize("extension", [".safetensors", ".bin"])
def test_a_shard_that_loses_all_its_keys_is_left_out(extension: str) -> None:
    source = make(Path("source"), extension)
    ckptnames.fix(source, "out", rules="model.embed.** -> !drop\nmodel.layers.0.** -> !drop")
    assert set(loaded(Path("out"))) == {"model.layers.1.mlp.weight", "model.norm.weight"}
    assert names_of(extension)[0] not in files(Path("out"))


def test_numbered_shards_without_an_index_stay_as_many_as_their_names_say() -> None:
    source = make(Path("source"))
    (source / index_of(".safetensors")).unlink()
    ckptnames.fix(source, "out", rules="model.embed.** -> !drop\nmodel.layers.0.** -> !drop")
    assert [set(load_file(Path("out", name))) for name in names_of(".safetensors")] == [set(), set(SHARDS[1])]


def test_a_folder_around_one_file_is_copied_with_it() -> None:
    Path("source").mkdir()
    torch.save({"model": {"model.a": torch.zeros(2)}, "names": ["model.a"]}, "source/last.ckpt")
    Path("source/config.yaml").write_text("x: 1")
    assert prepare("source", [STRIP]).remarks().stale == (("names", 1),)
    ckptnames.fix("source", "out", rules=STRIP, also=["names"])
    assert torch.load("out/last.ckpt", weights_only=True)["names"] == ["a"]
    assert files(Path("out")) == {"last.ckpt", "config.yaml"}


def test_what_is_not_copied_and_what_still_speaks_of_the_old_names_is_told() -> None:
    source = make(Path("source"))
    make(Path("other"), ".bin")
    for name in (*names_of(".bin"), index_of(".bin")):
        Path("other", name).rename(source / name)
    remarks = prepare(source / index_of(".safetensors"), [STRIP]).remarks()
    assert remarks.not_copied == (*names_of(".bin"), index_of(".bin"), "sub/")
    assert remarks.configs == (("config.json", 2),)
    assert prepare(source / index_of(".safetensors"), [Rules.parse("model.norm.** -> x.**")]).remarks().configs == ()


# What is in the way


def untouched(source: Path) -> dict[str, bytes]:
    return {file: (source / file).read_bytes() for file in files(source)}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("place", ["source", "source/../source", "link", "source/.", "weights/.."])
def test_the_output_is_never_the_source(place: str, force: bool) -> None:
    source = make(Path("source"), below="weights/")
    Path("link").symlink_to("source")
    before = untouched(source)
    for operand in (source, source / index_of(".safetensors")):
        out = Path("source", place) if place.startswith("weights") else Path(place)
        with pytest.raises(OutputIsSource):
            ckptnames.fix(operand, out, rules=STRIP, force=force)
    assert untouched(source) == before
    assert sorted(path.name for path in Path().iterdir()) == ["link", "source"]


def test_a_folder_that_the_source_stands_in_is_never_replaced() -> None:
    """Shards are what an index may replace: these are another checkpoint's."""
    make(Path("models/source"))
    for file in ("config.json", "tokenizer.json", "sub/notes.txt"):
        Path("models/source", file).unlink()
    before = untouched(Path("models"))
    for out in ("models", "."):
        with pytest.raises(CannotWrite):
            ckptnames.fix("models/source", out, rules=STRIP, force=True)
    assert untouched(Path("models")) == before


def test_only_what_the_new_checkpoint_brings_back_is_replaced() -> None:
    source = make(Path("source"))
    ckptnames.fix(source, "out", rules="** -> old.**")
    with pytest.raises(OutputExists):
        ckptnames.fix(source, "out", rules=STRIP)
    assert all(key.startswith("old.") for key in loaded(Path("out")))
    Path("out", "model-00001-of-00003.safetensors").write_bytes(b"of a larger set")
    ckptnames.fix(source, "out", rules=STRIP, force=True)
    assert "embed.weight" in loaded(Path("out"))
    assert files(Path("out")) == files(source) - {"sub/notes.txt"}
    for mine in ("thesis.tex", "sub/model-00001-of-00002.safetensors", "link"):
        path = Path("out", mine)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to("/") if mine == "link" else path.write_text("mine")
        with pytest.raises(OutputHoldsMore):
            ckptnames.fix(source, "out", rules="** -> x.**", force=True)
        path.unlink()
    assert "embed.weight" in loaded(Path("out"))


def test_a_folder_that_cannot_be_put_in_place_leaves_the_one_that_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(Path("source"))
    ckptnames.fix(source, "out", rules="** -> old.**")
    before = untouched(Path("out"))
    real = Path.rename

    def once_in_place(self: Path, target: Path) -> Path:
        if target == Path("out") and not self.name.endswith("-old"):
            raise OSError(errno.ENOTEMPTY if target.exists() else errno.EIO, "not now")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", once_in_place)
    with pytest.raises(CannotWrite):
        ckptnames.fix(source, "out", rules=STRIP, force=True)
    assert untouched(Path("out")) == before
    assert sorted(path.name for path in Path().iterdir()) == ["out", "source"]


def test_a_folder_that_appears_meanwhile_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(Path("source"))

    def then_someone_else(files: Any, out: Path, force: bool) -> None:
        outputs.check_replaceable(files, out, force)
        out.mkdir()
        (out / "config.json").write_text("mine")

    monkeypatch.setattr("ckptnames.formats.writing.check_replaceable", then_someone_else)
    with pytest.raises(OutputExists):
        ckptnames.fix(source, "out", rules=STRIP)
    assert untouched(Path("out")) == {"config.json": b"mine"}
    assert sorted(path.name for path in Path().iterdir()) == ["out", "source"]


def test_a_folder_does_not_replace_a_file_or_a_link() -> None:
    source = make(Path("source"))
    Path("file").write_text("mine")
    Path("elsewhere").mkdir()
    Path("link").symlink_to("elsewhere")
    with pytest.raises(OutputOfOtherKind):
        ckptnames.fix(source, "file", rules=STRIP, force=True)
    with pytest.raises(CannotWrite, match="it is a link"):
        ckptnames.fix(source, "link", rules=STRIP, force=True)
    torch.save({"model.a": torch.zeros(1)}, "x.pt")
    with pytest.raises(OutputOfOtherKind):
        ckptnames.fix("x.pt", "elsewhere", rules=STRIP, force=True)
    assert Path("file").read_text() == "mine"
    assert Path("link").is_symlink()


def test_an_empty_folder_is_filled_and_the_one_you_are_in_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(Path("source")).absolute()
    Path("empty").mkdir()
    monkeypatch.chdir("empty")
    for out in (".", ".."):
        with pytest.raises(CannotWrite):
            ckptnames.fix(source, out, rules=STRIP, force=True)
    monkeypatch.chdir("..")
    ckptnames.fix(source, "empty", rules=STRIP)
    assert "embed.weight" in loaded(Path("empty"))


def test_a_folder_reads_back_as_it_was(tmp_path: Path) -> None:
    source = make(Path("source"))
    ckptnames.fix(source, "out", rules=STRIP)
    before, after = open_checkpoint(source).manifest(), open_checkpoint(Path("out")).manifest()
    facts: Any = [[(i.dtype, i.shape, i.strides) for i in each.values()] for each in (before, after)]
    assert facts[0] == facts[1]
