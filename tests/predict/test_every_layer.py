"""Every class in ``torch.nn``, each in the ways that decide its keys, says what its ``state_dict()`` holds."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.predict.agreement import assert_predicts
from tests.predict.layers import BY_WRAPPING, CASES, NOT_PYTHON, public_classes


def test_no_class_is_forgotten() -> None:
    assert public_classes().keys() == CASES.keys() | BY_WRAPPING | NOT_PYTHON


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_layer_has_the_keys_it_saves(name: str, device: str) -> None:
    for way in CASES[name]:
        with warnings.catch_warnings(), torch.device(device):
            warnings.simplefilter("ignore")  # some classes are deprecated, and zero elements cannot be initialised
            module = way(public_classes()[name])()
        assert_predicts(module)
