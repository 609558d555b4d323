"""The same tensors in every format that holds them: one manifest, whatever the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import ckptnames
from ckptnames.report.ls import ls_json
from tests.effort import examples

Tensors = dict[str, torch.Tensor]

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
]

_names = st.lists(st.sampled_from(["fc", "0", "11", "é", "a b", "q_proj", "#", '"']), min_size=1, max_size=3).map(
    ".".join
)
_shapes = st.lists(st.integers(0, 3), max_size=4)
tensors = st.dictionaries(
    _names, st.builds(lambda s, d: torch.zeros(s, dtype=d), _shapes, st.sampled_from(DTYPES)), min_size=1, max_size=5
)


def as_zip(values: Tensors, folder: Path) -> Path:
    torch.save(values, folder / "m.pt")
    return folder / "m.pt"


def as_zip_5(values: Tensors, folder: Path) -> Path:
    torch.save(values, folder / "m.bin", pickle_protocol=5)
    return folder / "m.bin"


def as_legacy(values: Tensors, folder: Path) -> Path:
    torch.save(values, folder / "m.pth", _use_new_zipfile_serialization=False)
    return folder / "m.pth"


def as_container(values: Tensors, folder: Path) -> Path:
    torch.save({"epoch": 1, "state": {"model": values}}, folder / "m.ckpt")
    return folder / "m.ckpt"


def as_safetensors(values: Tensors, folder: Path) -> Path:
    save_file(values, folder / "m.safetensors")
    return folder / "m.safetensors"


def in_shards(values: Tensors, folder: Path, extension: str, save: Callable[[Tensors, Path], object]) -> Path:
    keys = list(values)
    halves = {f"part {i}{extension}": keys[i::2] for i in range(2) if keys[i::2]}
    for name, half in halves.items():
        save({key: values[key] for key in half}, folder / name)
    weight_map = {key: name for name, half in halves.items() for key in half}
    index = folder / f"m{extension}.index.json"
    index.write_text(json.dumps({"weight_map": {key: weight_map[key] for key in keys}}))
    return index


def as_safetensors_shards(values: Tensors, folder: Path) -> Path:
    return in_shards(values, folder, ".safetensors", save_file)


def as_torch_shards(values: Tensors, folder: Path) -> Path:
    return in_shards(values, folder, ".bin", lambda part, path: torch.save(part, path))


def as_manifest(values: Tensors, folder: Path) -> Path:
    printed = json.dumps(ls_json(ckptnames.read(as_zip(values, folder))))
    (folder / "m.json").write_text(printed)
    return folder / "m.json"


FORMATS = [
    as_zip,
    as_zip_5,
    as_legacy,
    as_container,
    as_safetensors,
    as_safetensors_shards,
    as_torch_shards,
    as_manifest,
]


@examples(1)
@given(values=tensors)
def test_every_format_says_the_same(tmp_path_factory: pytest.TempPathFactory, values: Tensors) -> None:
    folder = tmp_path_factory.mktemp("formats")
    said = {key: (t.shape, t.numel() * t.itemsize) for key, t in values.items()}
    dtypes = set()
    for write in FORMATS:
        manifest = ckptnames.read(write(values, folder))
        assert {key: (info.shape, info.nbytes) for key, info in manifest.items()} == said, write.__name__
        dtypes.add(tuple(manifest[key].dtype for key in values))
        if write not in (as_safetensors,):  # which writes its keys in an order of its own
            assert list(manifest) == list(values), write.__name__
    assert len(dtypes) == 1
