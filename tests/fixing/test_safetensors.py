"""safetensors files under other names, as safetensors itself reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn

import ckptnames
from ckptnames.errors import ReservedName
from tests.fixing.checkpoints import DTYPES, SHAPES, keys, noise, renames
from tests.fixing.test_lossless import rules_of

many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def states(draw: st.DrawFn) -> dict[str, Tensor]:
    found = {}
    for name in draw(st.lists(keys, min_size=1, max_size=8, unique=True)):
        shape = draw(st.sampled_from(SHAPES))
        seed, dtype = draw(st.integers(0, 1 << 20)), draw(st.sampled_from((*DTYPES, torch.float8_e4m3fn)))
        found[name] = noise(seed, dtype, torch.Size(shape).numel()).reshape(shape)
    return found


def bytes_of(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def raw(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {key: bytes_of(tensor) for key, tensor in state.items()}


def header_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    found: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return found


METADATA = st.none() | st.dictionaries(st.sampled_from(["format", "note", "é", "q"]), st.text(max_size=5), max_size=3)


@many
@given(st.data(), states(), METADATA)
def test_keys_change_and_nothing_else(
    tmp_path: Path, draws: st.DataObject, state: dict[str, Tensor], metadata: dict[str, str] | None
) -> None:
    source, out, back = (tmp_path / f"{name}.safetensors" for name in ("source", "out", "back"))
    save_file(state, source, metadata=metadata)
    names = draws.draw(renames(list(state)))
    ckptnames.fix(source, out, rules=rules_of(names), force=True)
    assert raw(load_file(out)) == raw({names[key][0]: tensor for key, tensor in state.items()})
    with safe_open(source, "pt") as before, safe_open(out, "pt") as after:
        assert before.metadata() == after.metadata()
        # What has no bytes has no place among the others.
        filled = {names[key][0] for key, tensor in state.items() if tensor.numel()}
        expected = [names[key][0] for key in before.offset_keys() if state[key].numel()]
        assert expected == [key for key in after.offset_keys() if key in filled]
    one = {key: new[0] for key, new in names.items()}
    assert [one.get(key, key) for key in header_of(source)] == list(header_of(out))
    ckptnames.fix(out, back, rules=ckptnames.Rules.parse(rules_of(names)).inverse(list(state)), force=True)
    assert back.read_bytes() == source.read_bytes()


@many
@given(st.data(), states())
def test_keys_are_left_out_and_doubled_and_nothing_else(
    tmp_path: Path, draws: st.DataObject, state: dict[str, Tensor]
) -> None:
    source, out = tmp_path / "source.safetensors", tmp_path / "out.safetensors"
    save_file(state, source)
    counts = draws.draw(st.lists(st.integers(0, 3), min_size=len(state), max_size=len(state)))
    counts[0] = max(counts[0], 1)
    names = {key: [f"{n}.{key}" for n in range(count)] for key, count in zip(state, counts, strict=True)}
    ckptnames.fix(source, out, rules=rules_of(names), force=True)
    assert raw(load_file(out)) == raw({name: state[key] for key, new in names.items() for name in new})


# A file that safetensors did not write, and reads


def handmade(path: Path) -> dict[str, bytes]:
    """Entries in another order than their bytes, escapes, a member that nobody knows, and spaces."""
    payload = bytes(range(16))
    text = (
        b'  {"b\\u00e9.w": {"shape": [2, 2], "dtype": "U8", "data_offsets": [4, 8], "mine": {"x": [1, null]}},\n'
        b' "__metadata__": {"who": "me"}, "a.w": {"dtype": "I32", "shape": [1], "data_offsets": [0, 4]},'
        b' "empty": {"dtype": "F32", "shape": [0, 3], "data_offsets": [16, 16]},'
        b' "a.z": {"dtype": "F16", "shape": [4], "data_offsets": [8, 16]}}'
    )
    path.write_bytes(len(text).to_bytes(8, "little") + text + payload)
    return {"bé.w": payload[4:8], "a.w": payload[:4], "a.z": payload[8:], "empty": b""}


def test_what_is_unusual_in_a_header_stays(tmp_path: Path) -> None:
    source, out = tmp_path / "source.safetensors", tmp_path / "out.safetensors"
    content = handmade(source)
    ckptnames.fix(source, out, rules="** -> x.**")
    assert {key: value for key, (_, _, value) in raw(load_file(out)).items()} == {
        f"x.{key}": value for key, value in content.items()
    }
    before, after = header_of(source), header_of(out)
    assert list(after) == ["x.bé.w", "__metadata__", "x.a.w", "x.empty", "x.a.z"]
    assert after["__metadata__"] == before["__metadata__"]
    assert after["x.bé.w"] == before["bé.w"]


def test_bytes_that_were_in_the_middle_leave_no_hole(tmp_path: Path) -> None:
    source, out = tmp_path / "source.safetensors", tmp_path / "out.safetensors"
    content = handmade(source)
    ckptnames.fix(source, out, rules="a.w -> !drop\nempty -> !drop")
    assert {key: value for key, (_, _, value) in raw(load_file(out)).items()} == {
        key: content[key] for key in ("bé.w", "a.z")
    }


def test_a_tensor_cannot_take_the_place_of_the_metadata(tmp_path: Path) -> None:
    source = tmp_path / "source.safetensors"
    save_file({"w": torch.zeros(2)}, source, metadata={"format": "pt"})
    with pytest.raises(ReservedName):
        ckptnames.fix(source, tmp_path / "out.safetensors", rules="w -> __metadata__")
    assert [path.name for path in tmp_path.iterdir()] == ["source.safetensors"]


# The names that save_model leaves out


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.LayerNorm(3)


@pytest.fixture
def tied(tmp_path: Path) -> tuple[Path, Tied]:
    torch.manual_seed(0)
    model = Tied()
    save_model(nn.DataParallel(model), str(tmp_path / "tied.safetensors"), metadata={"format": "pt"})
    return tmp_path / "tied.safetensors", model


def test_a_name_that_was_left_out_is_renamed_with_the_rest(tied: tuple[Path, Tied], tmp_path: Path) -> None:
    source, model = tied
    out, back = tmp_path / "plain.safetensors", tmp_path / "back.safetensors"
    ckptnames.fix(source, out, rules="module.** -> **")
    loaded = Tied()
    missing, unexpected = load_model(loaded, out)
    assert not missing and not unexpected
    assert raw(loaded.state_dict()) == raw(model.state_dict())
    assert header_of(out)["__metadata__"] == {"format": "pt", "head.weight": "embed.weight"}
    ckptnames.fix(out, back, rules="** -> module.**")
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("rules", "stored", "aliases"),
    [
        (["module.embed.weight -> !drop"], {"module.head.weight"}, {}),
        (["module.head.weight -> !drop"], {"module.embed.weight"}, {}),
        (["module.head.weight -> a & b"], {"module.embed.weight"}, {"a": 1, "b": 1}),
        (["module.embed.weight -> a & b"], {"a", "b"}, {"module.head.weight": 1}),
        (["module.embed.weight -> !drop", "module.head.weight -> a & b"], {"a"}, {"b": 1}),
    ],
)
def test_whatever_becomes_of_the_name_that_was_kept_the_others_have_its_bytes(
    tied: tuple[Path, Tied], tmp_path: Path, rules: Sequence[str], stored: set[str], aliases: Mapping[str, int]
) -> None:
    source, model = tied
    out = tmp_path / "out.safetensors"
    ckptnames.fix(source, out, rules="\n".join(rules))
    weight = bytes_of(model.embed.weight.detach())
    norm = {"module.norm.weight", "module.norm.bias"}
    found = raw(load_file(out))
    assert found.keys() == stored | norm
    assert all(found[name] == weight for name in stored)
    named = {name: kept for name, kept in header_of(out)["__metadata__"].items() if name != "format"}
    assert named.keys() == aliases.keys()
    assert set(named.values()) <= stored
    assert set(ckptnames.read(out)) == stored | norm | aliases.keys()
