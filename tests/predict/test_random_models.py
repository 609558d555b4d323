"""Laws over random models."""

from __future__ import annotations

import warnings

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ckptnames
from ckptnames.prediction.walk import modules
from tests.predict.agreement import as_said, as_saved, assert_predicts, ties
from tests.predict.models import WRAPPERS, models
from tests.predict.wrapping import wrapped_at


@given(models())
def test_every_model_is_predicted_as_it_saves(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a view of a lazy parameter, an empty slice
        assert_predicts(model)


@given(models(hooks=False), st.lists(st.sampled_from(sorted(WRAPPERS)), min_size=1, max_size=3))
def test_every_wrapping_is_predicted(model: nn.Module, names: list[str]) -> None:
    said = ckptnames.predict(model, wrap=names)
    for name in names:
        model = WRAPPERS[name](model)
    saved = model.state_dict()
    assert as_said(said) == list(as_saved(saved).items())
    assert list(said.ties) == ties(saved)


@given(
    models(wrappers=False, hooks=False), st.lists(st.sampled_from(sorted(WRAPPERS)), min_size=1, max_size=2), st.data()
)
def test_every_wrapping_inside_is_predicted(model: nn.Module, names: list[str], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path, _ in modules(model)]))
    said = ckptnames.predict(model, wrap=[f"{name}@{path}" if path else name for name in names])
    for name in names:
        model = wrapped_at(model, WRAPPERS[name], path)
    saved = model.state_dict()
    assert as_said(said) == list(as_saved(saved).items())
    assert list(said.ties) == ties(saved)


@given(models(wrappers=False, hooks=False), st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3))
def test_unwrapped_names_are_those_of_the_model_before(model: nn.Module, names: list[str]) -> None:
    before = list(model.state_dict())
    for name in names:
        model = WRAPPERS[name](model)
    found = ckptnames.canonical(model)
    assert list(found.values()) == before
    assert [key for key in model.state_dict() if key in found] == list(found)
