"""The two teaching programs, with an import that can be installed nowhere: read, they give their listings."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptnames
from ckptnames.errors import MissingPackage
from tests.predict.agreement import as_said, as_saved, ties
from tests.predict.test_teaching import LISTINGS, TEACHING, made


@pytest.fixture(params=LISTINGS)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    file, _, model = str(request.param).partition(":")
    text = (TEACHING / file).read_text(encoding="utf-8")
    Path(file).write_text(f"import cuda_kernels_of_nobody\n{text}", encoding="utf-8")
    return f"{file}:{model}"


def test_they_give_their_listings(name: str) -> None:
    with pytest.raises(MissingPackage):
        ckptnames.predict(name)
    said, saved = ckptnames.predict(name, static=True), made(name).state_dict()
    assert list(said) == [f"{module}.{leaf}" for module, leaves in LISTINGS[name].items() for leaf in leaves]
    assert as_said(said) == list(as_saved(saved).items())
    assert list(said.ties) == ties(saved)
    assert said.open == ()
