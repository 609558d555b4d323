"""Names without weights: what ``ls --json`` prints and what a person may write by hand, read back as it was."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file, save_model

import ckptnames
from ckptnames.cli.main import main
from ckptnames.errors import CkptnamesError
from ckptnames.manifest import Manifest
from ckptnames.report.ls import ls_json


def written(path: Path, value: Any) -> Path:
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def refused(path: Path) -> Any:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(path)
    return caught.value


def said(manifest: Manifest) -> dict[str, Any]:
    return {key: (info.dtype, info.shape, info.nbytes) for key, info in manifest.items()}


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(4, 3)
        self.head = torch.nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight


def as_zip(folder: Path) -> Path:
    base = torch.arange(10.0)
    values = {"w": base, "tied": base, "view": base[2:5], "scalar": torch.tensor(1), "é\n": torch.ones(0).bfloat16()}
    torch.save({"epoch": 1, "model": values, "model_ema": values}, folder / "m.pt")
    return folder / "m.pt"


def as_legacy(folder: Path) -> Path:
    torch.save({"a.b": torch.ones(2).half()}, folder / "m.pth", _use_new_zipfile_serialization=False)
    return folder / "m.pth"


def as_nested_tensors(folder: Path) -> Path:
    rows = [torch.randn(2, 3), torch.randn(4, 3)]
    torch.save({"rows": torch.nested.nested_tensor(rows, layout=torch.jagged)}, folder / "m.pt")
    return folder / "m.pt"


def as_safetensors(folder: Path) -> Path:
    save_model(Tied(), str(folder / "m.safetensors"))
    return folder / "m.safetensors"


def as_folder(folder: Path) -> Path:
    for i in (1, 2):
        save_file({f"layer{i}": torch.ones(i)}, folder / f"model-0000{i}-of-00002.safetensors")
    return folder


SOURCES = [as_zip, as_legacy, as_nested_tensors, as_safetensors, as_folder]


@pytest.mark.parametrize("extension", [".json", ".json.gz"])
@pytest.mark.parametrize("make", SOURCES)
def test_what_ls_prints_reads_back_equal(
    make: Callable[[Path], Path], extension: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path)
    assert main(["ls", "--json", str(source)]) == 0
    printed = capsys.readouterr().out
    copy = written(tmp_path / f"names{extension}", printed)
    first, again = ckptnames.read(source), ckptnames.read(copy)
    assert list(said(again).items()) == list(said(first).items())
    assert again.ties == first.ties
    assert again.format == "manifest"
    assert main(["ls", "--json", str(copy)]) == 0
    twice = json.loads(capsys.readouterr().out)
    assert {**json.loads(printed), "tensors": twice["tensors"]} == json.loads(printed)
    assert main(["diff", str(source), str(copy)]) == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_any_encoding_that_a_shell_writes_is_read(encoding: str, tmp_path: Path) -> None:
    text = json.dumps({"tensors": {"é.w": {"dtype": "F32", "shape": [2]}}}, ensure_ascii=False)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "names.json").write_bytes((mark + text).encode(encoding))
    assert said(ckptnames.read(tmp_path / "names.json")) == {"é.w": ("F32", (2,), 8)}


def test_dtype_and_shape_may_be_unknown_and_the_rest_may_be_left_out(tmp_path: Path) -> None:
    tensors = {
        "a": {"dtype": None, "shape": None},
        "b": {"dtype": "F32", "shape": None},
        "c": {"dtype": None, "shape": [3]},
        "d": {"dtype": "BF16", "shape": [], "more": 1},
        "e": {"dtype": "QINT8", "shape": [3]},
        "": {"dtype": "F32", "shape": [0, 4], "nbytes": None},
    }
    manifest = ckptnames.read(written(tmp_path / "m.json", {"tensors": tensors, "made by": "hand"}))
    assert said(manifest) == {
        "a": (None, None, None),
        "b": ("F32", None, None),
        "c": (None, (3,), None),
        "d": ("BF16", (), 2),
        "e": ("QINT8", (3,), None),
        "": ("F32", (0, 4), 0),
    }
    assert main(["ls", str(tmp_path / "m.json")]) == 0


F32 = {"dtype": "F32", "shape": [2]}
INVALID: dict[str, tuple[Any, str]] = {
    "tensors a list": ([], "the manifest"),
    "tensors null": (None, "the manifest"),
    "an entry null": ({"k": None}, "'k'"),
    "an entry a list": ({"k": ["F32", [2]]}, "'k'"),
    "no dtype": ({"a": F32, "k": {"shape": [2]}}, "'k'"),
    "no shape": ({"k": {"dtype": "F32"}}, "'k'"),
    "a dtype as torch spells it": ({"k": {"dtype": "torch.float32", "shape": [2]}}, "'k'"),
    "a dtype that is a number": ({"k": {"dtype": 32, "shape": [2]}}, "'k'"),
    "a negative size": ({"k": {"dtype": "F32", "shape": [-1]}}, "'k'"),
    "a size of a fraction": ({"k": {"dtype": "F32", "shape": [1.5]}}, "'k'"),
    "a size of true": ({"k": {"dtype": "F32", "shape": [True]}}, "'k'"),
    "a size for a shape": ({"k": {"dtype": "F32", "shape": 2}}, "'k'"),
    "a size of 65 bits": ({"k": {"dtype": "F32", "shape": [1 << 64]}}, "'k'"),
    "more elements than there are": ({"k": {"dtype": "F32", "shape": [1 << 32] * 900}}, "'k'"),
    "more dimensions than there are": ({"k": {"dtype": "F32", "shape": [1] * 1001}}, "'k'"),
    "a negative number of bytes": ({"k": {**F32, "nbytes": -1}}, "'k'"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_entry_that_says_nothing_is_named(name: str, tmp_path: Path) -> None:
    tensors, subject = INVALID[name]
    error = refused(written(tmp_path / "m.json", {"tensors": tensors}))
    assert error.code == "invalid-manifest"
    assert subject in error.message


@pytest.mark.parametrize("member", [{"ties": "ab"}, {"ties": [["a", "x"]]}, {"ties": [[1]]}, {"notes": [1]}])
def test_members_that_say_nothing_are_refused(member: dict[str, Any], tmp_path: Path) -> None:
    error = refused(written(tmp_path / "m.json", {"tensors": {"a": F32, "b": F32}, **member}))
    assert error.code == "invalid-manifest"


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    text = f'{{"tensors": {{"a": {json.dumps(F32)}, "a": {json.dumps(F32)}}}}}'
    assert refused(written(tmp_path / "m.json", text)).code == "duplicate-key"


NO_JSON = ['{"tensors": {', '{"tensors": NaN}', '{"tensors": {}} x', '{"tensors": ' + "[" * 50_000, "{ }, 1"]


@pytest.mark.parametrize("text", NO_JSON)
@pytest.mark.parametrize("extension", [".json", ".json.gz"])
def test_what_is_no_json_is_said_to_be_none(text: str, extension: str, tmp_path: Path) -> None:
    assert refused(written(tmp_path / f"m{extension}", text)).code == "malformed-json"


def test_a_damaged_archive_of_a_manifest(tmp_path: Path) -> None:
    tensors = {f"layer{i}.weight": {"dtype": "F32", "shape": [i]} for i in range(3000)}
    path = written(tmp_path / "m.json.gz", {"tensors": tensors})
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 600):
        path.write_bytes(whole[:cut])
        assert refused(path).code == "malformed-json"
    path.write_bytes(whole[:700] + b"\0" * 40 + whole[740:])
    assert refused(path).code == "malformed-json"


JSON_OF_SOMETHING: dict[str, tuple[Any, str]] = {
    "a configuration": ({"architectures": ["BertModel"], "hidden": 3}, "BertModel"),
    "an answer": ({"error": "not found"}, "a JSON file"),
    "nothing": ({}, "a JSON file"),
    "a list": ([1, 2], "a JSON list"),
    "a list of keys": (["fc.weight"], "a JSON list"),
}


@pytest.mark.parametrize("name", JSON_OF_SOMETHING)
def test_json_of_something_else_is_told_from_a_manifest(name: str, tmp_path: Path) -> None:
    value, word = JSON_OF_SOMETHING[name]
    path = written(tmp_path / "config.json", value)
    error = refused(path)
    assert error.code == "not-a-checkpoint"
    assert word in error.message
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert str(tmp_path / "model.safetensors") in refused(path).help


def test_an_index_is_read_for_its_shards_and_never_from_an_archive(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    index = {"weight_map": {"a": "a.safetensors"}}
    assert list(ckptnames.read(written(tmp_path / "any name.json", index))) == ["a"]
    assert refused(written(tmp_path / "m.json.gz", index)).code == "not-a-checkpoint"


_names = st.text(max_size=6)
_tensors = st.dictionaries(
    _names,
    st.fixed_dictionaries(
        {
            "dtype": st.none() | st.sampled_from(["F32", "BF16", "I64", "F4", "F8_E4M3FNUZ", "QUINT4X2"]),
            "shape": st.none() | st.lists(st.integers(0, 9), max_size=4),
        }
    ),
    max_size=6,
)


@given(tensors=_tensors)
def test_reading_what_is_printed_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.json"
    first = ckptnames.read(written(path, {"tensors": tensors}))
    again = ckptnames.read(written(path, json.dumps(ls_json(first))))
    assert list(said(again).items()) == list(said(first).items())
