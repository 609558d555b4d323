"""A file with any byte changed, cut anywhere, or with a piece of it elsewhere is read or refused, soon and in words."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

import ckptnames
from ckptnames.cli.main import main
from ckptnames.errors import CkptnamesError
from ckptnames.manifest import Manifest
from tests.effort import examples

TENSORS = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2), "n": torch.tensor(3), "half": torch.ones(4).half()}
SECONDS = 30.0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)


def training() -> dict[str, Any]:
    """What a training script saves, with a view, a tie and a few things that are no tensors."""
    base = torch.arange(12.0)
    weights = OrderedDict(w=base.view(3, 4), view=base[2:5], tied=base.view(3, 4), empty=torch.ones(0))
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2)}}
    return {"state_dict": weights, "optimizer": {"state": moments, "param_groups": [{"lr": 0.1}]}, "epoch": 3}


def as_safetensors(path: Path) -> None:
    save_file(TENSORS, path, metadata={"format": "pt", "tied": "fc.weight"})


def as_zip(path: Path) -> None:
    torch.save(training(), path)


def as_zip_4(path: Path) -> None:
    torch.save(training(), path, pickle_protocol=4)


def as_module(path: Path) -> None:
    torch.save(Net(), path)


def as_legacy(path: Path) -> None:
    torch.save(training(), path, _use_new_zipfile_serialization=False)


def as_manifest(path: Path) -> None:
    entries = {key: {"dtype": "F32", "shape": list(t.shape)} for key, t in TENSORS.items()}
    path.write_text(json.dumps({"tensors": entries, "ties": [["n", "half"]], "notes": ["x"]}))


def as_packed_manifest(path: Path) -> None:
    as_manifest(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def as_index(path: Path) -> None:
    for name, keys in (("one.safetensors", ["fc.weight", "fc.bias"]), ("two.safetensors", ["n", "half"])):
        save_file({key: TENSORS[key] for key in keys}, path.parent / name)
    files = {"fc.weight": "one", "fc.bias": "one", "n": "two", "half": "two"}
    weight_map = {key: f"{name}.safetensors" for key, name in files.items()}
    path.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": weight_map}, indent=1))


WRITERS = [as_safetensors, as_zip, as_zip_4, as_module, as_legacy, as_manifest, as_packed_manifest, as_index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Ways to damage a file of any length: places are fractions of it."""
    places = st.floats(0, 1, exclude_max=True)
    at, to, value = draw(places), draw(places), draw(st.integers(0, 255))
    noise = draw(st.binary(max_size=12))
    kind = draw(st.sampled_from(["flip", "flip", "flip", "cut", "lose", "insert", "repeat", "swap", "zeros"]))

    def damage(content: bytes) -> bytes:
        first, last = sorted((int(at * len(content)), int(to * len(content))))
        piece = content[first:last]
        return {
            "flip": content[:first] + bytes([value]) + content[first + 1 :],
            "cut": content[:first],
            "lose": content[:first] + content[last:],
            "insert": content[:first] + noise + content[first:],
            "repeat": content[:last] + piece[:64] + content[last:],
            "swap": content[:first] + content[last : last + 16] + content[first + 16 :],
            "zeros": content[:first] + bytes(min(len(piece), 40)) + content[first + min(len(piece), 40) :],
        }[kind]

    return damage


def looked_at(path: Path) -> Manifest | None:
    """Read a file as the library and the commands do; ``None`` where it is refused. Nothing else may happen."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(["ls", str(path)])
    assert "internal-error" not in printed.getvalue(), printed.getvalue()
    try:
        manifest = ckptnames.read(path)
    except CkptnamesError as error:
        assert code == 2
        assert error.where
        assert error.help
        return None
    assert code == 0
    return manifest


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_damaged_file_is_read_or_refused(write: Callable[[Path], None], folder: Path) -> None:
    path = folder / write.__name__
    write(path)
    content = path.read_bytes()
    assert looked_at(path) is not None
    outcomes = set()

    @examples(2)
    @given(damage=st.lists(damages(), min_size=1, max_size=2))
    def check(damage: list[Callable[[bytes], bytes]]) -> None:
        damaged = content
        for each in damage:
            damaged = each(damaged)
        path.write_bytes(damaged)
        began = time.process_time()
        manifest = looked_at(path)
        assert time.process_time() - began < SECONDS
        outcomes.add(manifest is not None)
        agrees(write, path, manifest)

    check()
    assert False in outcomes


def agrees(write: Callable[[Path], None], path: Path, manifest: Manifest | None) -> None:
    """Hold what is read of a damaged file to what the format's own library makes of it, where it makes anything."""
    if write is as_safetensors and manifest is not None and manifest.format == "safetensors":
        try:
            with safe_open(path, framework="np") as file:
                assert set(manifest) >= set(file.keys())
        except SafetensorError as error:
            raise AssertionError("read, though the library refuses it") from error
    if write in (as_zip, as_legacy) and manifest is not None and '"' not in manifest.container:
        try:
            loaded = torch.load(path, weights_only=True)
        except Exception:
            return
        for segment in manifest.container.split(".") if manifest.container else ():
            loaded = loaded[segment]
        tensors = {key: tuple(t.shape) for key, t in loaded.items() if isinstance(key, str) and torch.is_tensor(t)}
        assert {key: info.shape for key, info in manifest.items()} == tensors


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_length_of_a_file_cut_short_is_refused(write: Callable[[Path], None], folder: Path) -> None:
    path = folder / f"cut {write.__name__}"
    write(path)
    content = path.read_bytes()
    whole = json.dumps(sorted(ckptnames.read(path)))
    for length in range(0, len(content), max(1, len(content) // 150)):
        path.write_bytes(content[:length])
        with pytest.raises(CkptnamesError):
            ckptnames.read(path)
    path.write_bytes(content)
    assert json.dumps(sorted(ckptnames.read(path))) == whole


@examples(2)
@given(
    content=st.binary(max_size=80),
    start=st.sampled_from([b"", b"PK\3\4", b"\x80\x02", b"\x80\x04\x95", b'{"', b"\x1f\x8b"]),
)
def test_any_bytes_are_refused_in_words(content: bytes, start: bytes, folder: Path) -> None:
    (folder / "noise").write_bytes(start + content)
    looked_at(folder / "noise")
