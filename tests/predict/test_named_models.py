"""Whole models of two packages by their names: built without memory, explained to the last line, and left in peace."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from typing import Any

import pytest

import ckptnames
from ckptnames.prediction.building import built
from ckptnames.prediction.doctor import examine
from ckptnames.prediction.origins import explain
from tests.predict.agreement import as_said, as_saved
from tests.predict.whole_models import torchvision

pytestmark = [
    pytest.mark.models,
    pytest.mark.filterwarnings("ignore"),  # of other packages
]


def vision_names() -> Iterator[str]:
    models = torchvision().models
    for name in models.list_models()[::3]:
        taken = signature(models.get_model_builder(name)).parameters
        options = [f"{option}=None" for option in ("weights", "weights_backbone") if option in taken]
        yield f"torchvision.models:get_model({name!r}, {', '.join(options)})"


def timm_names() -> Iterator[str]:
    torchvision()
    timm: Any = import_module("timm")
    yield from (f"timm:create_model({name!r})" for name in timm.list_models()[::40])


@pytest.mark.parametrize("names", [vision_names, timm_names])
def test_a_named_model_is_explained_and_nothing_is_found_wrong_with_it(names: Any) -> None:
    operands = list(names())
    assert len(operands) >= 30
    for operand in operands:
        model, record = built(operand)
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}, operand
        for key, steps in explain(model, record=record).items():
            assert key == ".".join(step.segment for step in steps), operand
            assert all(step.place is not None for step in steps), (operand, key, steps)
        found = {finding.code for finding in examine(model, record)}
        assert found <= {"not-persistent", "kept-numbers", "tied", "registered-twice"}, operand


def test_widths_that_are_computed_with_tensors_are_those_of_the_model_in_memory() -> None:
    saved = torchvision().models.regnet_y_400mf(weights=None).state_dict()
    said = ckptnames.predict("torchvision.models:regnet_y_400mf(weights=None)")
    assert as_said(said) == list(as_saved(saved).items())


@pytest.mark.parametrize(
    ("operand", "offline"),
    [
        ("timm:create_model('resnet18', pretrained=True)", "timm:create_model('resnet18', pretrained=False)"),
        ("torchvision.models:resnet18(weights='DEFAULT')", "torchvision.models:resnet18(weights=None)"),
    ],
)
def test_weights_are_not_fetched(operand: str, offline: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    torchvision()
    for name in ("TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(ckptnames.CkptnamesError) as caught:
        built(operand)
    assert caught.value.code == "needs-download"
    assert offline in vars(caught.value)["offline"]
    assert len(ckptnames.predict(offline)) == 122
