"""The screens that users see: each folder in ``fixtures/golden`` has a command, and what it prints.

``args``    the arguments of ``ckptnames``, as in a shell; the folder it runs in is a copy of ``inputs``
``stdout``, ``stderr``   what it prints; a file that is not there is nothing
``exit``    the exit code

``pytest tests/golden --update-golden`` writes them anew.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ckptnames.cli.main import cli
from fixtures import make_golden
from tests.torch_oracle import differences

GOLDEN = Path(make_golden.__file__).with_name("golden")
INPUTS = GOLDEN / "inputs"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/args"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(INPUTS, tmp_path / "inputs")
    monkeypatch.chdir(tmp_path / "inputs")
    return tmp_path / "inputs"


def printed(args: str) -> dict[str, str]:
    result = CliRunner().invoke(cli, shlex.split(args))
    return {"stdout": result.stdout, "stderr": result.stderr, "exit": f"{result.exit_code}\n"}


@pytest.mark.parametrize("case", CASES)
def test_the_screen(case: str, folder: Path, request: pytest.FixtureRequest) -> None:
    home = GOLDEN / case
    found = printed((home / "args").read_text(encoding="utf-8"))
    if request.config.getoption("--update-golden", default=False):
        for name, text in found.items():
            (home / name).unlink(missing_ok=True)
            if text:
                (home / name).write_text(text, encoding="utf-8")
    kept = {name: (home / name).read_text("utf-8") if (home / name).exists() else "" for name in found}
    assert found == kept


@pytest.mark.parametrize("case", CASES)
def test_lines_fit_eighty_columns_where_they_can(case: str) -> None:
    """Only what cannot be broken is wider: a command, a path, a key, a rule, or one sentence of an error."""
    for path in (GOLDEN / case / "stdout", GOLDEN / case / "stderr"):
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            assert len(line) <= 80 or line.lstrip().startswith(ONE_PIECE) or re.match(r"\{|\d+ of \d+ keys: ", line)


ONE_PIECE = ("ckptnames fix", "model.load_state_dict", "error[", "help:", "from ", "note")


def test_the_inputs_are_what_their_script_makes(tmp_path: Path) -> None:
    make_golden.main(tmp_path)
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.glob("**/*") if path.is_file())
    assert names == sorted(path.relative_to(INPUTS) for path in INPUTS.glob("**/*") if path.is_file())
    for name in names:
        if name.suffix not in (".pt", ".ckpt"):
            assert (INPUTS / name).read_bytes() == (tmp_path / name).read_bytes(), name
            continue
        with torch.serialization.safe_globals([argparse.Namespace]):
            kept, made = (torch.load(root / name, weights_only=True) for root in (INPUTS, tmp_path))
        assert differences(kept, made) == []


def test_there_are_cases_of_every_command() -> None:
    commands = {shlex.split((GOLDEN / case / "args").read_text("utf-8"))[0] for case in CASES}
    assert commands >= {"ls", "diff", "fix"}
