"""The fetcher of real checkpoints, against a wheel made here."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from fixtures.realckpts.fetch import FetchError, Package, fetch, main, packages

WEIGHTS = b"weights"
METADATA = "Metadata-Version: 2.1\nName: pinned\nVersion: 1.0\n"


def package(content: bytes = WEIGHTS) -> Package:
    digest = hashlib.sha256(content).hexdigest()
    return Package("pinned", "1.0", ("--python-version", "3.11"), "MIT", {"pinned/a.pt": digest}, {}, {})


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "registry"
    folder.mkdir()
    with zipfile.ZipFile(folder / "pinned-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pinned/a.pt", WEIGHTS)
        wheel.writestr("pinned/__init__.py", "raise AssertionError('nothing is run')")
        wheel.writestr("pinned-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("pinned-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("pinned-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("CKPTNAMES_CACHE", str(tmp_path / "cache"))
    return folder


def test_keeps_the_pinned_files_only_and_fetches_once(registry: Path) -> None:
    folder = fetch(package())
    assert [(p.name, p.read_bytes()) for p in folder.rglob("*") if p.is_file()] == [("a.pt", WEIGHTS)]
    (registry / "pinned-1.0-py3-none-any.whl").unlink()
    assert fetch(package()) == folder


def test_fetches_a_damaged_file_anew() -> None:
    damaged = fetch(package()) / "pinned/a.pt"
    damaged.write_bytes(b"weight")
    fetch(package())
    assert damaged.read_bytes() == WEIGHTS


def test_refuses_a_file_that_is_not_the_pinned_one() -> None:
    with pytest.raises(FetchError, match=r"^pinned/a\.pt in pinned-1\.0-py3-none-any\.whl is not the pinned file"):
        fetch(package(b"other weights"))


def test_says_what_cannot_be_had(registry: Path) -> None:
    (registry / "pinned-1.0-py3-none-any.whl").unlink()
    with pytest.raises(FetchError, match=r"(?s)^cannot fetch pinned==1\.0: pip ended with 1\n.*\nhelp: give pip"):
        fetch(package())


def test_an_unknown_name_is_told_the_pinned_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lpisp"]) == 2
    assert capsys.readouterr().err == f"no pin for lpisp; pinned are {', '.join(packages())}\n"
