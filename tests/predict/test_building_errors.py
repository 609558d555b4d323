"""What is said of a model that cannot be built: what decides about it, and the action in it, which works.

The whole texts are in ``tests/errors/building.py``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from torch import nn

from ckptnames.errors import CkptnamesError, ModelError, NeedsDevice
from ckptnames.prediction.building import build
from tests.errors.building import MODEL
from tests.errors.raising import all_cases
from tests.predict.sources import write

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "message",
    [
        "Torch not compiled with XPU enabled",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "No HIP GPUs are available",
        "module 'torch._C' has no attribute '_cuda_setDevice'",
        "torch.cuda.Stream requires CUDA support",
        "Cannot get CUDA generator without ATen_cuda library. PyTorch splits its backend into two shared libraries",
        "CUDA error: invalid device ordinal",
        "Could not run 'aten::empty.memory_format' with arguments from the 'MPS' backend.",
    ],
)
def test_a_missing_device_is_known_by_what_torch_says(message: str) -> None:
    write(Path("model.py"), f"def make():\n    raise RuntimeError({message!r})\n")
    with pytest.raises(NeedsDevice):
        build("model.py:make")


def test_code_that_did_without_a_connection_and_failed_later_is_told_with_both() -> None:
    write(
        Path("model.py"),
        """
        import urllib.request

        def make():
            try:
                urllib.request.urlopen("https://example.org/version")
            except OSError:
                pass
            raise ValueError("no")
        """,
    )
    with pytest.raises(ModelError) as caught:
        build("model.py:make")
    assert str(caught.value) == (
        "error[construction-failed]: 'model.py:make' cannot be built: ValueError: no\n"
        "  --> model.py:12\n"
        '  raise ValueError("no")\n'
        "  no connection was made to 'example.org', which was asked for before\n"
        "  help: see it fail without ckptnames: python -c 'from model import make; make()'"
    )


def test_what_code_has_to_make_is_made_beside_the_rest() -> None:
    write(
        Path("model.py"),
        """
        from collections.abc import Callable

        class Config:
            pass

        class Net(nn.Module):
            def __init__(self, size: int, config: "Config", act: Callable, sizes: list[int], depth=1):
                super().__init__()
                self.fc = nn.Linear(size, size)
        """,
    )
    with pytest.raises(ModelError) as caught:
        build("model.py:Net(depth=3)")
    assert caught.value.help == (
        "let a file of its own make it: echo 'from model import Net, Config; "
        "model = Net(depth=3, size=10, config=Config(), act=10, sizes=[2, 2])' > built.py "
        "&& ckptnames predict built.py:model"
    )


def test_a_package_that_stands_in_a_folder_above_is_not_to_be_installed(tmp_path: Path) -> None:
    write(tmp_path / "utils_of_this_test/misc.py", "x = 1\n")
    write(tmp_path / "a/b/net.py", "from utils_of_this_test.misc import x\n")
    os.chdir("a")
    with pytest.raises(ModelError) as caught:
        build("b/net.py:net")
    assert str(caught.value) == (
        "error[missing-package]: 'b/net.py' needs 'utils_of_this_test', which cannot be imported here\n"
        "  --> b/net.py:5\n"
        "  from utils_of_this_test.misc import x\n"
        f"  help: it stands in '{tmp_path}': export PYTHONPATH={shlex.quote(str(tmp_path))}"
    )


def test_another_package_of_the_name_is_not_taken_for_the_files(tmp_path: Path) -> None:
    write(Path("click/__init__.py"), "")
    write(Path("click/net.py"), "from . import layers\n\n\nnet = nn.PReLU()\n")
    with pytest.raises(ModelError, match=r"^\[|loaded already|click") as caught:
        build("click/net.py:net")
    assert caught.value.code in ("import-failed", "missing-package")


def test_a_file_named_in_no_way_a_module_can_be_is_shown_failing_all_the_same() -> None:
    write(
        Path("my nets/net-1.py"), "class Net(nn.Module):\n    def __init__(self):\n        raise OSError(2, 'gone')\n"
    )
    with pytest.raises(ModelError) as caught:
        build("my nets/net-1.py:Net")
    assert caught.value.help == (
        "see it fail without ckptnames: cd 'my nets' && python -c "
        + shlex.quote("from importlib import import_module; Net = import_module('net-1').Net; Net()")
    )


# The actions


CASES = {name: case for name, case in all_cases().items() if name.startswith("building:")}
OFFERED = r"(?:as in|did you mean|without:|out:) ('.*'|\S+?)\??$"


def caught(name: str) -> CkptnamesError:
    with pytest.raises(CkptnamesError) as info:
        CASES[name].act()
    return info.value


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if "model.py:" in "".join(re.findall(OFFERED, case.text))]
)
def test_an_operand_that_is_offered_is_built(name: str) -> None:
    offered = re.search(OFFERED, caught(name).help)
    assert offered
    try:
        assert isinstance(build(shlex.split(offered[1])[0].partition("' or")[0]), nn.Module)
    except ModelError as error:
        assert error.code == "missing-argument"  # a name alone was offered, and says now what it needs


FAILS: dict[str, AbstractContextManager[object]] = {
    "building:a_constructor_that_raises": pytest.raises(ValueError, match="3 is no width"),
    "building:an_argument_that_torch_refuses": pytest.raises(RuntimeError, match="negative dimension"),
    "building:a_constructor_that_ends_the_program": pytest.raises(SystemExit),
    "building:a_constructor_that_reads_its_weights": nullcontext(),
}

COMMANDS = {
    name for name, case in CASES.items() if re.search(r"^  help: [^']*: (echo|python) ", case.text, re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(COMMANDS - {"building:a_fetch_that_nothing_turns_off"}))
def test_a_command_that_is_offered_does_what_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in this process: the commands are ``echo … > built.py && ckptnames predict …`` and ``python -c …``."""
    words = shlex.split(caught(name).help.partition(": ")[2])
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "model", raising=False)
    if words[0] == "echo":
        assert words[2:] == [">", "built.py", "&&", "ckptnames", "predict", "built.py:model"]
        Path("built.py").write_text(words[1])
        assert isinstance(build("built.py:model"), nn.Module)
    else:
        assert words[:2] == ["python", "-c"]
        with FAILS[name]:
            exec(words[2], {})
    monkeypatch.delitem(sys.modules, "model", raising=False)


def test_without_torch_the_extra_is_named() -> None:
    """In a process where torch cannot be imported, as where it is not installed."""
    write(Path("model.py"), MODEL)
    script = (
        "import sys; sys.modules['torch'] = None; from ckptnames.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *arguments]
        path = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
        assert ran.returncode == 2, ran.stderr
        return ran

    # Before that, what torch would not mend.
    assert run("predict", "modle.py:Net").stderr.startswith("error[no-such-path]: 'modle.py' does not exist\n")
    for verb in (["predict"], ["ls"], ["diff", "model.py:Net"], ["predict", "--json"]):
        ran = run(*verb, "model.py:Net(3)")
        if "--json" in verb:
            assert '"code": "torch-missing"' in ran.stdout
        else:
            assert ran.stderr == (
                f"error[torch-missing]: '{'model.py:Net' if verb[0] == 'diff' else 'model.py:Net(3)'}' is a model, "
                "and torch, which builds models, is not installed\n"
                "  help: install it: pip install 'ckptnames[torch]'; or have the code read and not run: --static\n"
            )
