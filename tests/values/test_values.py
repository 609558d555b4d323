"""Values as torch and safetensors read them: blocks of bytes, numbers of every dtype, and what differs by how much."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import ckptnames
from ckptnames.cli.main import cli
from ckptnames.formats.reading import open_path
from ckptnames.values.numbers import numbers_of
from ckptnames.values.payload import Payload
from tests.schemas import validate

DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "C128": torch.complex128,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}


def bytes_of(tensor: torch.Tensor) -> bytes:
    """Give the elements of a tensor in their order, as bytes."""
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def views() -> dict[str, torch.Tensor]:
    """Give tensors that are no plain run of their storage, and some that are."""
    base = torch.rand(6, 5, 4)
    return {
        "plain": base,
        "transposed": base.permute(2, 0, 1),
        "part": base[1:4, ::2, 1],
        "row": base[3],
        "column": base[:, 2, 3],
        "expanded": torch.rand(3, 1).expand(3, 7),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "complex": torch.rand(4, 6, dtype=torch.complex128).T,
        "half": torch.rand(5, 4).to(torch.bfloat16).T,
        "bytes": torch.arange(24, dtype=torch.uint8).reshape(4, 6).T,
        "flat": torch.rand(7).as_strided((2, 3), (1, 2), 1),
    }


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("legacy", [False, True])
def test_blocks_are_the_elements_in_their_order(tmp_path: Path, block: int, legacy: bool) -> None:
    state = views()
    torch.save(state, tmp_path / "v.pt", _use_new_zipfile_serialization=not legacy)
    checkpoint, _ = open_path(tmp_path / "v.pt")
    with Payload(checkpoint) as payload:
        for key, info in checkpoint.manifest().items():
            blocks = list(payload.blocks(info, block))
            assert all(len(each) == block for each in blocks[:-1]), key
            assert b"".join(blocks) == bytes_of(state[key]), key


def test_blocks_of_shards(tmp_path: Path) -> None:
    state = {f"l.{n}.w": torch.rand(3, n + 1) for n in range(4)}
    for n, key in enumerate(state):
        save_file({key: state[key]}, tmp_path / f"model-{n}.safetensors")
    index = {"metadata": {}, "weight_map": {key: f"model-{n}.safetensors" for n, key in enumerate(state)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint, _ = open_path(tmp_path)
    with Payload(checkpoint) as payload:
        for key, info in checkpoint.manifest().items():
            assert b"".join(payload.blocks(info)) == bytes_of(state[key])


@pytest.mark.parametrize("name", DTYPES)
def test_numbers_are_those_of_torch(name: str) -> None:
    """Every pattern of a byte or two, and some of those that have more."""
    dtype = DTYPES[name]
    size = torch.empty(0, dtype=dtype).element_size()
    if name == "BOOL":
        patterns = torch.tensor([0, 1], dtype=torch.uint8)
    elif size <= 2:
        patterns = torch.arange(256**size).to(torch.int64).to({1: torch.uint8, 2: torch.int16}[size])
    else:
        patterns = torch.randint(0, 256, (size * 64,), dtype=torch.uint8)
    tensor = patterns.view(dtype)
    read = numbers_of(name)
    assert read is not None
    ours = read(bytes_of(tensor))
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    theirs = tensor.to(torch.float32).to(wide) if name.startswith("F8") else tensor.to(wide)
    with np.errstate(invalid="ignore"):  # Patterns that are no numbers are cast, too.
        ours = ours.astype(theirs.numpy().dtype)
    assert np.array_equal(ours, theirs.numpy(), equal_nan=True)


def test_packed_numbers_are_no_numbers() -> None:
    assert numbers_of("QUINT4X2") is None


floats = st.floats(width=32) | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=9), st.sampled_from(["F32", "F64", "BF16", "F16"]))
def test_differences_are_those_of_torch(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[float, float]], name: str
) -> None:
    folder = tmp_path_factory.mktemp("values")
    ours, theirs = (torch.tensor([pair[n] for pair in pairs]).to(DTYPES[name]) for n in (0, 1))
    torch.save({"w": ours}, folder / "a.pt")
    torch.save({"w": theirs}, folder / "b.pt")
    values = ckptnames.diff(folder / "a.pt", folder / "b.pt", values=True).values
    assert values is not None
    wide = (ours.double(), theirs.double())
    differ = ~((wide[0] == wide[1]) | (wide[0].isnan() & wide[1].isnan()))
    if not differ.any():
        assert (values.equal, values.changed) == (("w",), ())
        return
    (change,) = values.changed
    assert (change.n_different, change.n_numbers) == (int(differ.sum()), len(pairs))
    expected = float((wide[0] - wide[1]).abs()[differ].max())
    assert change.max_difference == expected or (math.isnan(expected) and math.isnan(change.max_difference or 0.0))


def test_whole_numbers_do_not_flow_over(tmp_path: Path) -> None:
    big = torch.tensor([2**63 - 1, 0, 5, 2**53])
    other = torch.tensor([-(2**63), 0, 5, 2**53 + 1])
    torch.save({"i": big, "u": torch.tensor([0, 255], dtype=torch.uint8)}, tmp_path / "a.pt")
    torch.save({"i": other, "u": torch.tensor([255, 255], dtype=torch.uint8)}, tmp_path / "b.pt")
    values = ckptnames.diff(tmp_path / "a.pt", tmp_path / "b.pt", values=True).values
    assert values is not None
    found = {change.key: (change.max_difference, change.n_different) for change in values.changed}
    assert found == {"i": (float(2**64 - 1), 2), "u": (255.0, 1)}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.chdir(tmp_path)
    yield None


def command(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def trained() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    before = {f"layers.{i}.fc.{leaf}": torch.rand(4, 4) for i in range(4) for leaf in ("weight", "bias")}
    before["head.weight"] = torch.rand(3, 4)
    after = {key: value.clone() for key, value in before.items()}
    after["layers.3.fc.weight"][0, 0] += 0.5
    after["layers.2.fc.weight"] += 0.125
    after["layers.2.fc.bias"][1, 2] = math.nan
    return before, after


@pytest.mark.usefixtures("run")
def test_the_screen() -> None:
    before, after = trained()
    torch.save(before, "before.pt")
    torch.save({f"module.{key}": value for key, value in after.items()}, "after.pt")
    result = command("diff", "after.pt", "before.pt", "--values")
    assert result.exit_code == 1
    assert result.stdout.endswith(
        "Values: 3 of 9 tensors differ:\n"
        "  layers.2.fc.{weight,bias}  ×2\n"
        "  layers.3.fc.weight\n"
        "\n"
        "differ by most (largest difference, numbers that differ):\n"
        "  layers.2.fc.bias    not a number on one side  in 1 of 16\n"
        "  layers.3.fc.weight  0.5                       in 1 of 16\n"
        "  layers.2.fc.weight  0.125                     in 16 of 16\n"
    )


@pytest.mark.usefixtures("run")
def test_json_and_exit_codes() -> None:
    before, after = trained()
    torch.save(before, "before.pt")
    save_file(before, "same.safetensors")
    torch.save({**after, "head.weight": torch.rand(5, 4), "extra": torch.rand(2)}, "after.pt")
    same = command("diff", "before.pt", "same.safetensors", "--values")
    assert (same.exit_code, same.stdout.splitlines()[-1]) == (0, "Values: 9 tensors compared, and all hold the same.")
    assert command("diff", "before.pt", "same.safetensors").exit_code == 0
    torch.save(after, "only_values.pt")
    assert command("diff", "before.pt", "only_values.pt").exit_code == 0
    assert command("diff", "before.pt", "only_values.pt", "--values").exit_code == 1
    result = command("diff", "before.pt", "after.pt", "--values", "--json")
    found = validate("diff", result.exit_code, result.stdout)["values"]
    assert found["not_compared"] == ["head.weight"]
    assert [(each["key"], each["max_difference"], each["n_different"]) for each in found["changed"]] == [
        ("layers.2.fc.weight", pytest.approx(0.125, abs=1e-6), 16),
        ("layers.2.fc.bias", "nan", 1),
        ("layers.3.fc.weight", pytest.approx(0.5, abs=1e-6), 1),
    ]
    assert len(found["equal"]) == 5


@pytest.mark.usefixtures("run")
def test_another_dtype_is_compared_as_numbers() -> None:
    exact, rounded = torch.tensor([1.0, -2.5]), torch.tensor([1.0, 1 / 3])
    torch.save({"exact": exact, "rounded": rounded}, "a.pt")
    torch.save({"exact": exact.bfloat16(), "rounded": rounded.bfloat16()}, "b.pt")
    values = ckptnames.diff("a.pt", "b.pt", values=True).values
    assert values is not None
    assert values.equal == ("exact",)
    (change,) = values.changed
    assert change.max_difference == abs(1 / 3 - float(torch.tensor(1 / 3).bfloat16())) or change.n_different == 1


@pytest.mark.filterwarnings("ignore")  # of torch, which means to drop them
@pytest.mark.usefixtures("run")
def test_quantised_numbers_are_compared_as_bytes() -> None:
    ours, theirs = (torch.quantize_per_tensor(torch.tensor([1.0, x]), 0.5, 0, torch.quint8) for x in (2.0, 3.0))
    torch.save({"q": ours, "same": ours}, "a.pt")
    torch.save({"q": theirs, "same": ours}, "b.pt")
    values = ckptnames.diff("a.pt", "b.pt", values=True).values
    assert values is not None
    assert values.equal == ("same",)
    assert [change[2:] for change in values.changed] == [(None, 1, 2)]


@pytest.mark.usefixtures("run")
def test_memory_is_bounded_whatever_a_tensor_holds() -> None:
    large = torch.zeros(4_000_000)
    other = large.clone()
    other[-1] = 1
    torch.save({"w": large, "t": large.reshape(2000, 2000).T}, "a.pt")
    torch.save({"w": other, "t": large.reshape(2000, 2000).T}, "b.pt")
    del large, other
    ckptnames.diff("a.pt", "b.pt", values=True)
    tracemalloc.start()
    values = ckptnames.diff("a.pt", "b.pt", values=True).values
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert values is not None and [change.key for change in values.changed] == ["w"]
    assert peak < 12_000_000, "a few blocks, and not the 16 MB of a tensor"


@pytest.mark.usefixtures("run")
def test_a_file_that_changes_meanwhile_is_noticed() -> None:
    torch.save({"w": torch.ones(3)}, "a.pt")
    checkpoint, _ = open_path("a.pt")
    payload = Payload(checkpoint)
    with pytest.raises(ckptnames.CkptnamesError, match="source-changed"), payload:
        list(payload.blocks(checkpoint.manifest()["w"]))
        torch.save({"w": torch.ones(4)}, "a.pt")
