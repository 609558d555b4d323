"""``git:REV:path/model.py:Net``: models as they were committed, compared without a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import ckptnames
from ckptnames.cli.main import cli
from tests.predict.sources import write
from tests.prediction.static.committing import git

BEFORE = """
import layers

class Net(nn.Module):
    def __init__(self, n=2):
        super().__init__()
        self.backbone = layers.Block(n)
        self.head = nn.Linear(n, 1)
"""
LAYERS = """
class Block(nn.Sequential):
    def __init__(self, n):
        super().__init__(nn.Linear(n, n), nn.BatchNorm1d(n))
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of which a commit renames the head, and the working tree the rest."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q", "-b", "main")
    write(tmp_path / "src" / "model.py", BEFORE)
    write(tmp_path / "src" / "layers.py", LAYERS)
    git("add", ".")
    git("commit", "-q", "-m", "one")
    write(tmp_path / "src" / "model.py", BEFORE.replace("self.head", "self.fc"))
    git("commit", "-q", "-a", "-m", "two")
    write(tmp_path / "src" / "layers.py", LAYERS.replace("nn.BatchNorm1d(n)", "nn.LayerNorm(n)"))
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def test_each_revision_is_read_with_the_files_of_its_own() -> None:
    norm = ["backbone.1.weight", "backbone.1.bias"]
    counts = ["backbone.1.running_mean", "backbone.1.running_var", "backbone.1.num_batches_tracked"]
    start = ["backbone.0.weight", "backbone.0.bias", *norm]
    assert list(ckptnames.predict("git:HEAD~1:src/model.py:Net")) == [*start, *counts, "head.weight", "head.bias"]
    assert list(ckptnames.predict("git:main:src/model.py:Net")) == [*start, *counts, "fc.weight", "fc.bias"]
    assert list(ckptnames.predict("src/model.py:Net", static=True)) == [*start, "fc.weight", "fc.bias"]


def test_a_reviewer_is_told_what_a_commit_renames() -> None:
    result = run("diff", "git:HEAD~1:src/model.py:Net", "git:HEAD:src/model.py:Net(n=2)")
    assert result.exit_code == 1
    assert "2 of 9 keys stand under other names: 1 rule\n  head.** -> fc.**  2 keys\n" in result.stdout
    assert "After that nothing differs: all 9 keys match in name, shape and dtype." in result.stdout
    with_tree = run("diff", "git:HEAD:src/model.py:Net", "src/model.py:Net", "--static")
    assert with_tree.exit_code == 1
    assert "backbone.1.running_{mean,var}" in with_tree.stdout
    assert run("diff", "git:HEAD:src/model.py:Net", "git:main:src/model.py:Net").exit_code == 0


def test_a_folder_inside_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("src")
    assert list(ckptnames.predict("git:HEAD:model.py:Net")) == list(ckptnames.predict("git:HEAD:src/model.py:Net"))


def test_lines_are_those_of_the_revision() -> None:
    result = run("predict", "git:HEAD~1:src/model.py:Net", "--explain", "head.weight")
    assert "git:HEAD~1:src/model.py:11" in result.stdout
    assert "self.head = nn.Linear(n, 1)" in result.stdout


def test_relative_imports_in_a_revision(repository: Path) -> None:
    (repository / "pkg" / "sub").mkdir(parents=True)
    write(repository / "pkg" / "__init__.py", "")
    write(repository / "pkg" / "sub" / "__init__.py", "")
    write(
        repository / "pkg" / "base.py",
        "class Base(nn.Linear):\n    def __init__(self):\n        super().__init__(3, 2)",
    )
    write(repository / "pkg" / "sub" / "net.py", "from ..base import Base\nclass Net(Base):\n    pass")
    git("add", ".")
    git("commit", "-q", "-m", "three")
    write(repository / "pkg" / "base.py", "raise SystemExit")
    assert ckptnames.predict("git:HEAD:pkg/sub/net.py:Net")["weight"].shape == (2, 3)
