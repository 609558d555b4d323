"""SevenNet-0's checkpoint of 22 May 2024 under the names of 11 July 2024: a real rename of 103 keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import ckptnames
from tests.real.conftest import Real
from tests.torch_oracle import differences, inside, load

pytestmark = pytest.mark.real

RULES = Path("fixtures/rules/sevennet_22may_to_11jul.rules")
FOLDER = "sevenn/pretrained_potentials/SevenNet_0__"
MAY, JULY = f"{FOLDER}22May2024/checkpoint_sevennet_0.pth", f"{FOLDER}11Jul2024/checkpoint_sevennet_0.pth"


@pytest.fixture(scope="module")
def renamed(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sevennet") / "renamed.pth"
    fix = [sys.executable, "-m", "ckptnames", "fix", str(real(MAY)), "-o", str(out), "--rules", str(RULES)]
    ran = subprocess.run(fix, capture_output=True, text=True, check=False)
    assert (ran.returncode, "103" in ran.stdout + ran.stderr) == (0, True), ran.stderr
    return out


@pytest.mark.parametrize(("file", "date"), [(MAY, "22may"), (JULY, "11jul")])
def test_the_manifests_in_the_fixtures_are_of_these_files(real: Real, file: str, date: str) -> None:
    known = ckptnames.read(f"fixtures/manifests/sevennet_{date}.json")
    found = ckptnames.read(real(file))
    assert [(key, info[:2]) for key, info in known.items()] == [(key, info[:2]) for key, info in found.items()]


def weights(path: Path) -> Any:
    return inside(load(path), "model_state_dict")


def test_the_rules_rename_103_of_121_keys(real: Real) -> None:
    rules = ckptnames.Rules.load(RULES)
    keys = list(ckptnames.read(real(MAY)))
    assert (len(keys), sum(rules(key) != key for key in keys)) == (121, 103)
    assert ckptnames.plan(ckptnames.read(real(MAY)), rules, target=ckptnames.read(real(JULY))).problems == ()


def test_names_order_and_shapes_are_those_of_july(renamed: Path, real: Real) -> None:
    written, july = weights(renamed), weights(real(JULY))
    assert [(k, v.shape, v.dtype) for k, v in written.items()] == [(k, v.shape, v.dtype) for k, v in july.items()]
    # A module that has no key anywhere below it says nothing of its new name, and keeps the old one.
    modules = list(zip(july._metadata, written._metadata, strict=True))
    kept = [was for was, name in modules if was != name]
    assert "edge_preprocess" in kept
    assert not [key for module in kept for key in july if key.startswith(f"{module}.")]


def test_values_are_those_of_may_by_position(renamed: Path, real: Real) -> None:
    assert differences(list(weights(real(MAY)).values()), list(weights(renamed).values())) == []


def test_constants_of_the_model_are_those_of_july(renamed: Path, real: Real) -> None:
    """What is not learned agrees: masks exactly, Wigner 3j up to the sign that the later library flipped in some."""
    written, july = weights(renamed), weights(real(JULY))
    masks = [key for key in july if key.endswith("output_mask")]
    wigner = [key for key in july if "._w3j_" in key]
    assert (len(masks), len(wigner)) == (28, 24)
    assert all(torch.equal(written[key], july[key]) for key in masks)
    assert all(torch.allclose(written[key].abs(), july[key].abs(), atol=1e-6) for key in wigner)


def test_the_rest_of_the_file_is_as_it_was(renamed: Path, real: Real) -> None:
    rest = [{k: v for k, v in load(path).items() if k != "model_state_dict"} for path in (real(MAY), renamed)]
    assert differences(*rest) == []
