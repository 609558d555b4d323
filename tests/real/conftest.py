"""The real checkpoints, fetched by pin and checksum. A test that cannot have its file fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fixtures.realckpts.fetch import fetch, packages

Real = Callable[[str], Path]


@pytest.fixture(scope="session")
def real() -> Real:
    """Give the path of a pinned file by its path inside the wheels."""
    owner = {file: package for package in packages().values() for file in package.files}
    folder = cache(lambda name: fetch(packages()[name]))
    return lambda file: folder(owner[file].name) / file
