"""Whole models of three packages, on the meta device, are predicted as they save."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

import ckptnames
from tests.predict.agreement import assert_predicts
from tests.predict.whole_models import Built, timm_models, torchvision_models, transformers_models

pytestmark = [
    pytest.mark.models,
    pytest.mark.filterwarnings("ignore"),  # of other packages
]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the packages from asking for files, and from talking."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("build", "n_families"), [(torchvision_models, 25), (timm_models, 85), (transformers_models, 130)]
)
def test_whole_models(build: Callable[[], Iterator[Built]], n_families: int) -> None:
    families, names = set(), []
    for name, family, model in build():
        try:
            keys = list(assert_predicts(model))
        except AssertionError as error:
            raise AssertionError(name) from error
        assert list(ckptnames.predict(model, wrap=["ddp"])) == [f"module.{key}" for key in keys], name
        names.append(name)
        families.add(family)
    assert len(names) >= 100
    assert len(families) >= n_families
