"""What the source of a model says, held against the model that it builds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ckptnames
from ckptnames.manifest import Manifest
from ckptnames.prediction.building import built
from tests.predict.agreement import Said, as_said, as_saved, ties
from tests.predict.sources import write


def read(path: Path, name: str = "Net") -> Manifest:
    """Say what the source of a model says."""
    return ckptnames.predict(f"{path}:{name}", static=True)


def assert_exact(path: Path, name: str = "Net") -> Manifest:
    """Hold that the source says all that the model saves: keys, order, dtypes, shapes, strides, sizes, ties."""
    said = read(path, name)
    saved = _saved(path, name)
    assert said.open == ()
    assert as_said(said) == list(as_saved(saved).items())
    assert list(said.ties) == ties(saved)
    return said


def assert_never_wrong(path: Path, name: str = "Net") -> Manifest:
    """Hold that each key that is certain is there, with its shape, and that each other one is in what is open."""
    said = read(path, name)
    saved = as_saved(_saved(path, name))
    for key, found in as_said(said):
        assert key in saved, key
        _assert_agrees(key, found, saved)
    assert [key for key in saved if key not in said and not said.may_have(key)] == []
    assert [key for key in saved if key in said] == list(said)
    return said


def _assert_agrees(key: str, found: Said, saved: Mapping[str, Said]) -> None:
    for mine, theirs in zip(found, saved[key], strict=True):
        assert mine is None or mine == theirs, (key, found, saved[key])


def _saved(path: Path, name: str) -> Mapping[str, Any]:
    saved: Mapping[str, Any] = built(f"{path}:{name}").model.state_dict()
    return saved


def program(folder: Path, text: str) -> Path:
    """Write a program below its imports of torch."""
    return write(folder / "net.py", text)
