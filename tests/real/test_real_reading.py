"""Every pinned checkpoint reads as torch reads it; its neighbours that are none are refused by name."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

import ckptnames
from fixtures.realckpts.fetch import packages
from tests.real.conftest import Real
from tests.torch_oracle import assert_agrees, inside, load

pytestmark = pytest.mark.real

TORCH_FILES = [f for p in packages().values() for f in p.checkpoints if not f.endswith(".safetensors")]

CONTAINERS = {"resemblyzer": "model_state", "chgnet": "model.state_dict", "sevenn": "model_state_dict"}
"""Where the weights are, by the first folder of the path; at the root of all the others."""

REFUSED = {
    "m6anet/model/norm_factors/rna002_arabidopsis_virc.joblib": "not-a-checkpoint",
    "m6anet/model/norm_factors/rna002_hct116.joblib": "not-a-checkpoint",
    "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k/training_args.bin": "not-a-checkpoint",
    "silero_vad/data/silero_vad.jit": "unsupported-format",
}


def container_of(file: str) -> str:
    return CONTAINERS.get(file.partition("/")[0], "")


def test_every_neighbour_that_is_no_checkpoint_has_an_expectation() -> None:
    assert {f for p in packages().values() for f in p.not_checkpoints} == set(REFUSED)


@pytest.mark.parametrize("file", TORCH_FILES)
def test_reads_as_torch_does(file: str, real: Real) -> None:
    manifest = ckptnames.read(real(file))
    assert manifest.container == container_of(file)
    assert_agrees(manifest, inside(load(real(file)), container_of(file)))


@pytest.mark.parametrize("file", TORCH_FILES)
def test_optimizer_state_is_listed_but_never_taken_for_weights(file: str, real: Real) -> None:
    roles = {c.name: c.role for c in ckptnames.read(real(file)).containers}
    assert roles[container_of(file)] == "weights"
    assert not {name for name, role in roles.items() if "optimizer" in name and role != "optimizer"}


def test_reads_safetensors_as_its_own_library_does(real: Real) -> None:
    path = real("silero_vad/data/silero_vad_16k.safetensors")
    said = {key: (info.dtype, info.shape) for key, info in ckptnames.read(path).items()}
    with safe_open(path, framework="pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        assert said == {key: (part.get_dtype(), tuple(part.get_shape())) for key, part in slices.items()}


@pytest.mark.parametrize("file", TORCH_FILES)
def test_names_the_classes_that_torch_stops_at(file: str, real: Real) -> None:
    try:
        torch.load(real(file), map_location="cpu", weights_only=True)
    except Exception as error:
        stopped_at = str(error).partition("Unsupported global: GLOBAL ")[2].split()[0]
        assert any(stopped_at in note for note in ckptnames.read(real(file)).notes)
    else:
        assert not any("weights_only" in note for note in ckptnames.read(real(file)).notes)


@pytest.mark.parametrize("file", REFUSED)
def test_refuses_what_holds_no_weights(file: str, real: Real) -> None:
    with pytest.raises(ckptnames.CkptnamesError) as caught:
        ckptnames.read(real(file))
    assert caught.value.code == REFUSED[file]
    assert str(real(file)) in caught.value.where
