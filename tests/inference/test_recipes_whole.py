"""The recipes for torchvision, on its whole models: what they rename loads, and as torchvision itself would load it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch

import ckptnames
from ckptnames import Rules
from tests.predict.whole_models import torchvision

pytestmark = [
    pytest.mark.models,
    pytest.mark.filterwarnings("ignore"),  # of other packages
]


def built(name: str) -> torch.nn.Module:
    backbone = {"weights_backbone": None} if "rcnn" in name or "retina" in name else {}
    with torch.device("meta"):
        model: torch.nn.Module = torchvision().models.get_model(name, weights=None, **backbone)
    return model


OLDER: Mapping[str, Mapping[str, str | Callable[[re.Match[str]], str]]] = {
    "torchvision-densenet": {r"(denselayer\d+\.(?:norm|conv))([12])\.": r"\1.\2."},
    "torchvision-detection": {
        r"(fpn\.(?:inner|layer)_blocks\.\d)\.0\.": r"\1.",
        r"rpn\.head\.conv\.0\.0\.": "rpn.head.conv.",
        r"mask_head\.(\d)\.0\.": lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.",
        r"(_head\.conv)\.(\d)\.0\.": lambda found: f"{found[1]}.{2 * int(found[2])}.",
    },
    "torchvision-vit": {r"mlp\.([03])\.": lambda found: f"mlp.linear_{int(found[1]) // 3 + 1}."},
}
"""How the names were before: the way back, which the recipes do not know."""


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("torchvision-densenet", "densenet121"),
        ("torchvision-detection", "fasterrcnn_resnet50_fpn"),
        ("torchvision-detection", "maskrcnn_resnet50_fpn"),
        ("torchvision-detection", "keypointrcnn_resnet50_fpn"),
        ("torchvision-detection", "retinanet_resnet50_fpn"),
        ("torchvision-vit", "vit_b_16"),
    ],
)
def test_older_names_of_torchvision(recipe: str, name: str) -> None:
    model = built(name)
    new = dict(model.state_dict())
    old = {}
    for key, value in new.items():
        before = key
        for pattern, text in OLDER[recipe].items():
            before = re.sub(pattern, text, before)
        old[before] = value
    assert old.keys() != new.keys()
    if recipe != "torchvision-densenet":  # whose function downloads what it renames
        model.load_state_dict(old, strict=True)
    ours = ckptnames.remap(old, Rules.load(f"recipe:{recipe}"))
    assert ours.keys() == new.keys()
    assert all(ours[key] is value for key, value in new.items())
    assert ckptnames.diff(old, new).recipe == f"recipe:{recipe}"
    assert ckptnames.plan(new, Rules.load(f"recipe:{recipe}")).outcome == "nothing-to-do"
