"""The two teaching programs: their keys are what torch saves, and what is written down of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import ckptnames
from ckptnames.prediction.building import built
from ckptnames.prediction.doctor import examine
from ckptnames.prediction.origins import explain
from tests.predict.agreement import as_said, as_saved, ties

TEACHING = Path(__file__).parents[2] / "fixtures/teaching"

FIVE = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
TWO = ["weight", "bias"]

LISTINGS = {
    "cnn.py:CNN": {
        "conv1": TWO,
        "bn1": FIVE,
        "stage1.0": TWO,
        "stage1.1": FIVE,
        "conv2": TWO,
        "bn2": FIVE,
        "fc1": TWO,
        "fc2": TWO,
    },
    "cnn_dataparallel.py:model": {
        "module.stage1.0": TWO,
        "module.stage1.1": FIVE,
        "module.stage2.module.0": TWO,
        "module.stage2.module.1": FIVE,
        "module.conv2": TWO,
        "module.bn2": FIVE,
        "module.fc1": TWO,
        "module.fc2": TWO,
    },
}


def operand(name: str) -> str:
    return f"{TEACHING}/{name}"


def made(name: str) -> Any:
    """Make the model without ckptnames."""
    file, _, attribute = name.partition(":")
    spec = importlib.util.spec_from_file_location("teaching", TEACHING / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, attribute)
    return found() if isinstance(found, type) else found


@pytest.mark.parametrize("name", LISTINGS)
def test_the_keys_are_those_of_the_listing(name: str) -> None:
    listed = [f"{module}.{leaf}" for module, leaves in LISTINGS[name].items() for leaf in leaves]
    assert list(ckptnames.predict(operand(name))) == listed
    assert list(made(name).state_dict()) == listed


@pytest.mark.parametrize("name", LISTINGS)
def test_shapes_order_and_ties_are_those_that_torch_saves(name: str) -> None:
    said, saved = ckptnames.predict(operand(name)), made(name).state_dict()
    assert as_said(said) == list(as_saved(saved).items())
    assert list(said.ties) == ties(saved)


def test_the_doctor_says_which_layers_have_two_names() -> None:
    model, record = built(operand("cnn.py:CNN"))
    assert [(finding.code, finding.names) for finding in examine(model, record)] == [
        ("registered-twice", ("conv1", "stage1.0")),
        ("registered-twice", ("bn1", "stage1.1")),
    ]
    assert [finding.message for finding in examine(model, record)] == [
        "'stage1.0' is 'conv1': one Conv2d, whose keys are saved under two names",
        "'stage1.1' is 'bn1': one BatchNorm2d, whose keys are saved under two names",
    ]
    assert [finding.place and finding.place.text for finding in examine(model, record)] == [
        "self.stage1 = nn.Sequential(*self.s1)"
    ] * 2


def test_the_doctor_says_that_a_whole_stage_has_two_names() -> None:
    (finding,) = examine(*built(operand("cnn_dataparallel.py:model")))
    assert finding.message == (
        "'module.stage2.module' is 'module.stage1': one Sequential, whose keys are saved under two names"
    )


@pytest.mark.parametrize("name", LISTINGS)
def test_nothing_is_named_after_the_plain_list(name: str) -> None:
    assert not any("s1" in key.split(".") for key in made(name).state_dict())


def test_every_segment_is_a_line_of_the_program() -> None:
    steps = explain(operand("cnn_dataparallel.py:model"), "module.stage2.module.0.weight")
    assert [
        (step.segment, step.rule, step.owner, step.place and step.place.text)
        for step in steps["module.stage2.module.0.weight"]
    ] == [
        ("module", "wrapper", "DataParallel", "model = DataParallel(CNN())"),
        ("stage2", "attribute", "CNN", "self.stage2 = DataParallel(self.stage1)"),
        ("module", "wrapper", "DataParallel", "self.stage2 = DataParallel(self.stage1)"),
        ("0", "Sequential index", "Sequential", "self.stage1 = nn.Sequential(*s1)"),
        ("weight", "parameter", "Conv2d", "conv1 = nn.Conv2d(3, 12, 3, padding=1)"),
    ]
