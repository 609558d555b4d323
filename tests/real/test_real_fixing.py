"""``fix`` on every pinned checkpoint: names change as asked, and torch reads back everything else as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import ckptnames
from tests.real.conftest import Real
from tests.real.test_real_reading import TORCH_FILES, container_of
from tests.torch_oracle import differences, inside, load, rename

pytestmark = pytest.mark.real

ADD = ckptnames.Rules.parse("** -> x.**")
STRIP = ckptnames.Rules.parse("x.** -> **")


def take_metadata(loaded: Any, container: str) -> Mapping[str, Any]:
    """Give the ``_metadata`` of the weights, and leave none."""
    weights = inside(loaded, container)
    return weights.__dict__.pop("_metadata", {}) if hasattr(weights, "__dict__") else {}


@pytest.mark.parametrize("file", TORCH_FILES)
def test_adding_a_prefix_changes_the_keys_and_nothing_else(file: str, real: Real, tmp_path: Path) -> None:
    out = tmp_path / "renamed.pt"
    ckptnames.fix(real(file), out, rules=ADD)
    expected, written = load(real(file)), load(out)
    before, after = (take_metadata(loaded, container_of(file)) for loaded in (expected, written))
    assert {f"x.{module}" for module in before if module} == {module for module in after if module not in ("", "x")}
    assert all(after[f"x.{module}"] == facts for module, facts in before.items() if module)
    rename(expected, container_of(file), "x.")
    assert differences(expected, written) == []


@pytest.mark.parametrize("file", TORCH_FILES)
def test_there_and_back_again_is_where_it_was(file: str, real: Real, tmp_path: Path) -> None:
    there, back = tmp_path / "there.pt", tmp_path / "back.pt"
    ckptnames.fix(real(file), there, rules=ADD)
    ckptnames.fix(there, back, rules=STRIP)
    assert differences(load(real(file)), load(back)) == []


def test_safetensors_go_there_and_back(real: Real, tmp_path: Path) -> None:
    path = real("silero_vad/data/silero_vad_16k.safetensors")
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    ckptnames.fix(path, there, rules=ADD)
    ckptnames.fix(there, back, rules=STRIP)
    original, renamed = load_file(path), load_file(there)
    assert {key.removeprefix("x.") for key in renamed} == set(original)
    assert differences({f"x.{key}": value for key, value in original.items()}, dict(renamed)) == []
    assert back.read_bytes() == path.read_bytes()
