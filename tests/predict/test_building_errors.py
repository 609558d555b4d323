"""What is said of a model that cannot be built: the whole text of each error, and the action in it, which works."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import ckptnames
from ckptnames import errors_predict
from ckptnames.errors import CkptnamesError, ModelError
from ckptnames.predict.building import build
from tests.predict.sources import write

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


MODEL = """
class Config:
    pass


class Net(nn.Module):
    def __init__(self, classes, depth: int = 2, *, drop: float = 0.1):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(depth))
        self.fc = nn.Linear(2, classes)


class Configured(nn.Module):
    def __init__(self, config: Config):
        super().__init__()


class Fussy(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        if width == 3:
            raise ValueError("3 is no width\\nbut 4 is")


class Summing(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.n = int(self.w.sum())


class Capable(nn.Module):
    def __init__(self):
        super().__init__()
        raise AssertionError("Torch not compiled with CUDA enabled")


class Ending(nn.Module):
    def __init__(self):
        super().__init__()
        raise SystemExit(4)


def fetch(pretrained=True):
    import urllib.request

    if pretrained:
        urllib.request.urlopen("https://example.org/weights.pt")
    return nn.Linear(2, 2)


def fetch_again():
    return fetch()


def pair():
    return nn.Linear(2, 2), 5


net = Net(3)
width = 3
"""

CASES = {
    "model.py:Net": """\
error[missing-argument]: 'model.py:Net' is not built without 'classes'
  --> model.py:10
  Net(classes, depth=2, *, drop=0.1)
  help: give it in the operand, as in 'model.py:Net(classes=10)'""",
    "model.py:Net(depth=3)": """\
error[missing-argument]: 'model.py:Net(depth=3)' is not built without 'classes'
  --> model.py:10
  Net(classes, depth=2, *, drop=0.1)
  help: give it in the operand, as in 'model.py:Net(depth=3, classes=10)'""",
    "torch.nn:Linear": """\
error[missing-argument]: 'torch.nn:Linear' is not built without 'in_features' and 'out_features'
  Linear(in_features, out_features, bias=True, device=None, dtype=None)
  help: give it in the operand, as in 'torch.nn:Linear(in_features=10, out_features=10)'""",
    "model.py:Configured": """\
error[missing-argument]: 'model.py:Configured' is not built without 'config', which is to be of 'Config'
  --> model.py:17
  Configured(config)
  help: let a file of its own make it: echo 'from model import Configured, Config; \
model = Configured(config=Config())' > built.py && ckptnames predict built.py:model""",
    "model.py:Net(3, depht=4)": """\
error[unexpected-argument]: 'model.py:Net' does not take 'depht'
  --> model.py:10
  Net(classes, depth=2, *, drop=0.1)
  help: did you mean 'model.py:Net(3, depth=4)'?""",
    "model.py:Net(3, seed=4)": """\
error[unexpected-argument]: 'model.py:Net' does not take 'seed'
  --> model.py:10
  Net(classes, depth=2, *, drop=0.1)
  help: did you mean 'model.py:Net(3)'?""",
    "model.py:Net(3, 2, 0.5)": """\
error[unexpected-argument]: 'model.py:Net' does not take 3 arguments by position, at most 2
  --> model.py:10
  Net(classes, depth=2, *, drop=0.1)
  help: did you mean 'model.py:Net(3, 2)'?""",
    "model.py:Net(3, classes=4)": """\
error[unexpected-argument]: 'model.py:Net' does not take 'classes' twice, by position and by name
  --> model.py:10
  Net(classes, depth=2, *, drop=0.1)
  help: did you mean 'model.py:Net(3)'?""",
    "model.py:net()": """\
error[unexpected-argument]: 'model.py:net' does not take arguments: it is built already
  help: did you mean model.py:net?""",
    "model.py:Net(width)": """\
error[not-a-literal]: 'width' in 'model.py:Net(width)' is no literal; \
numbers, texts, None, True, lists, tuples and dicts are
  help: let a file of its own compute it: echo 'from model import Net, width; model = Net(width)' > built.py \
&& ckptnames predict built.py:model""",
    "model.py:Net(3, *[2])": """\
error[not-a-literal]: '*[2]' in 'model.py:Net(3, *[2])' is no literal; \
numbers, texts, None, True, lists, tuples and dicts are
  help: let a file of its own compute it: echo 'from model import Net; model = Net(3, *[2])' > built.py \
&& ckptnames predict built.py:model""",
    "model.py:Net(3": """\
error[operand-syntax]: '(3' in 'model.py:Net(3' is no call: '(' was never closed
  (3
  ^
  help: write the arguments as in Python, or leave them out: model.py:Net""",
    "model.py:Net(3)(4)": """\
error[operand-syntax]: '(3)(4)' in 'model.py:Net(3)(4)' is no call: more stands behind it
  (3)(4)
        ^
  help: write the arguments as in Python, or leave them out: model.py:Net""",
    "model.py:net_": """\
error[no-such-name]: 'model.py' has no 'net_'
  help: did you mean 'model.py:Net' or 'model.py:net'?""",
    "model.py:Transformer": """\
error[no-such-name]: 'model.py' has no 'Transformer'
  model.py:Net
  model.py:Configured
  model.py:Fussy
  model.py:Summing
  model.py:Capable
  … and 2 more
  help: name one of these, as in model.py:Net""",
    "model.py:Net.smal": """\
error[no-such-name]: 'model.py:Net' has no 'smal'
  help: give the name of a class, of a function that returns a module, or of a module""",
    "torch.nn:Liner": """\
error[no-such-name]: 'torch.nn' has no 'Liner'
  help: did you mean 'torch.nn:Linear', 'torch.nn:Bilinear' or 'torch.nn:LazyLinear'?""",
    "model.py:Config": """\
error[not-a-model]: 'model.py:Config' is a class that does not derive from torch.nn.Module, not a model
  model.py:Net
  model.py:Configured
  model.py:Fussy
  model.py:Summing
  model.py:Capable
  … and 2 more
  help: name one of these, as in model.py:Net""",
    "model.py:width": """\
error[not-a-model]: 'model.py:width' is an int, not a model
  model.py:Net
  model.py:Configured
  model.py:Fussy
  model.py:Summing
  model.py:Capable
  … and 2 more
  help: name one of these, as in model.py:Net""",
    "model.py:pair": """\
error[not-a-model]: 'model.py:pair' is a function that returns a tuple (Linear, int), not a model
  help: name a class of torch.nn.Module, a function that returns a module, or a module""",
    "torch.nn.Linear": """\
error[not-a-model]: 'torch.nn.Linear' is not written as a model is
  help: did you mean torch.nn:Linear?""",
    "model": """\
error[not-a-model]: 'model' is not written as a model is
  help: write it as file.py:NAME or package.module:NAME, as in 'model.py:Net(depth=18)'""",
    "model.py:Fussy": """\
error[construction-failed]: 'model.py:Fussy' cannot be built: ValueError: 3 is no width
  --> model.py:25
  raise ValueError("3 is no width\\nbut 4 is")
  help: see it fail without ckptnames: python -c 'from model import Fussy; Fussy()'""",
    "model.py:Net(classes=-1)": """\
error[construction-failed]: 'model.py:Net(classes=-1)' cannot be built: RuntimeError: \
Trying to create tensor with negative dimension -1: [-1, 2]
  --> model.py:13
  self.fc = nn.Linear(2, classes)
  help: see it fail without ckptnames: python -c 'from model import Net; Net(classes=-1)'""",
    "model.py:Ending": """\
error[construction-failed]: 'model.py:Ending' cannot be built: it ends the program, with exit code 4
  --> model.py:44
  raise SystemExit(4)
  help: see it fail without ckptnames: python -c 'from model import Ending; Ending()'""",
    "model.py:Summing": """\
error[needs-real-numbers]: building 'model.py:Summing' reads numbers from weights, which have none yet: \
RuntimeError: Tensor.item() cannot be called on meta tensors
  --> model.py:32
  self.n = int(self.w.sum())
  help: build it in memory, and predict that: python -c 'import ckptnames; from model import Summing; \
print(*ckptnames.predict(Summing()), sep='"'"'\\n'"'"')'""",
    "model.py:Capable": """\
error[needs-device]: building 'model.py:Capable' needs a device that is not here: \
AssertionError: Torch not compiled with CUDA enabled
  --> model.py:38
  raise AssertionError("Torch not compiled with CUDA enabled")
  help: save its names where the device is, and give that file instead of the model: \
ckptnames predict model.py:Capable --json > names.json""",
    "model.py:fetch": """\
error[needs-download]: building 'model.py:fetch' wants to fetch something from 'example.org', \
and names need no download
  --> model.py:51
  urllib.request.urlopen("https://example.org/weights.pt")
  help: build it without: 'model.py:fetch(pretrained=False)'""",
    "model.py:fetch(True)": """\
error[needs-download]: building 'model.py:fetch(True)' wants to fetch something from 'example.org', \
and names need no download
  --> model.py:51
  urllib.request.urlopen("https://example.org/weights.pt")
  help: build it without: 'model.py:fetch(False)'""",
    "model.py:fetch_again": """\
error[needs-download]: building 'model.py:fetch_again' wants to fetch something from 'example.org', \
and names need no download
  --> model.py:51
  urllib.request.urlopen("https://example.org/weights.pt")
  help: if it keeps what it fetches, build it once without ckptnames, then again: \
python -c 'from model import fetch_again; fetch_again()'""",
    "modle.py:Net": """\
error[no-such-path]: 'modle.py' does not exist
  --> modle.py
  help: did you mean 'model.py'?""",
    "src/model.py:Net": """\
error[no-such-path]: 'src/model.py' does not exist: there is no 'src'
  --> src/model.py
  help: 'ls .' shows what is there""",
    "torhc.nn:Linear": """\
error[no-such-module]: there is no module 'torhc' to import 'torhc.nn:Linear' from
  help: did you mean 'torch'?""",
    "torch.nn.functionl:relu": """\
error[no-such-module]: there is no module 'torch.nn.functionl' to import 'torch.nn.functionl:relu' from
  help: did you mean 'torch.nn.functional'?""",
    "nowhere_to_be_found:Net": """\
error[no-such-module]: there is no module 'nowhere_to_be_found' to import 'nowhere_to_be_found:Net' from
  help: 'python -m pip list' shows what is installed""",
}


@pytest.mark.parametrize("operand", CASES)
def test_the_whole_text(operand: str) -> None:
    write(Path("model.py"), MODEL)
    with pytest.raises(CkptnamesError) as caught:
        build(operand)
    assert str(caught.value) == CASES[operand]
    assert str(pickle.loads(pickle.dumps(caught.value))) == CASES[operand]


IMPORTS = {
    "import einops_of_tomorrow": """\
error[missing-package]: 'src/net.py' needs 'einops_of_tomorrow', which cannot be imported here
  --> src/net.py:5
  import einops_of_tomorrow
  help: install it: pip install einops_of_tomorrow""",
    "from skimage.io import imread": """\
error[missing-package]: 'src/net.py' needs 'skimage', which cannot be imported here
  --> src/net.py:5
  from skimage.io import imread
  help: install it: pip install scikit-image""",
    "net = nn.Linear(2, wdith)": """\
error[import-failed]: importing 'src/net.py' fails: NameError: name 'wdith' is not defined
  --> src/net.py:5
  net = nn.Linear(2, wdith)
  help: see it fail without ckptnames: cd src && python -c 'import net'""",
    "net = nn.Linear(2, 3": """\
error[import-failed]: importing 'src/net.py' fails: SyntaxError: '(' was never closed
  --> src/net.py:5
  net = nn.Linear(2, 3
  help: see it fail without ckptnames: cd src && python -c 'import net'""",
    "raise SystemExit('no')": """\
error[import-failed]: importing 'src/net.py' fails: it ends the program, with exit code no
  --> src/net.py:5
  raise SystemExit('no')
  help: see it fail without ckptnames: cd src && python -c 'import net'""",
    "raise RuntimeError('No CUDA GPUs are available')": """\
error[needs-device]: building 'src/net.py:net' needs a device that is not here: \
RuntimeError: No CUDA GPUs are available
  --> src/net.py:5
  raise RuntimeError('No CUDA GPUs are available')
  help: save its names where the device is, and give that file instead of the model: \
ckptnames predict src/net.py:net --json > names.json""",
}


@pytest.mark.parametrize("line", IMPORTS)
def test_the_whole_text_where_importing_fails(line: str) -> None:
    write(Path("src/net.py"), f"{line}\n")
    with pytest.raises(ModelError) as caught:
        build("src/net.py:net")
    assert str(caught.value) == IMPORTS[line]


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
    with pytest.raises(errors_predict.NeedsDevice):
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


SUGGESTED = [operand for operand, text in CASES.items() if "model.py:" in text.rpartition("help: ")[2]]


@pytest.mark.parametrize("operand", [each for each in SUGGESTED if each not in ("model.py:Capable", "model")])
def test_an_operand_that_is_offered_is_built(operand: str) -> None:
    write(Path("model.py"), MODEL)
    with pytest.raises(CkptnamesError) as caught:
        build(operand)
    offered = re.search(r"(?:as in|did you mean|without:|out:) ('.*'|\S+?)\??$", caught.value.help)
    if offered is None:
        assert "built.py" in caught.value.help
        return
    try:
        assert isinstance(build(shlex.split(offered[1])[0].partition("' or")[0]), nn.Module)
    except ModelError as error:
        assert error.code == "missing-argument"  # a name alone was offered, and says now what it needs


@pytest.mark.parametrize(
    "operand", ["model.py:Configured", "model.py:Net(width)", "model.py:Summing", "model.py:Fussy", "model.py:Ending"]
)
def test_a_command_that_is_offered_does_what_it_says(operand: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in this process: the commands are ``echo … > built.py && ckptnames predict …`` and ``python -c …``."""
    write(Path("model.py"), MODEL)
    with pytest.raises(CkptnamesError) as caught:
        build(operand)
    command = caught.value.help.partition(": ")[2]
    words = shlex.split(command)
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "model", raising=False)
    if words[0] == "echo":
        assert words[2:] == [">", "built.py", "&&", "ckptnames", "predict", "built.py:model"]
        Path("built.py").write_text(words[1])
        assert isinstance(build("built.py:model"), nn.Module)
    else:
        assert words[:2] == ["python", "-c"]
        failure = {"model.py:Fussy": ValueError, "model.py:Ending": SystemExit}.get(operand)
        if failure is None:
            exec(words[2], {})
        else:
            with pytest.raises(failure):
                exec(words[2], {})
    monkeypatch.delitem(sys.modules, "model", raising=False)


def test_without_torch_the_extra_is_named() -> None:
    """In a process where torch cannot be imported, as where it is not installed."""
    write(Path("model.py"), MODEL)
    script = (
        "import sys; sys.modules['torch'] = None; from ckptnames.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    for verb in (["predict"], ["ls"], ["diff", "model.py:Net"], ["predict", "--json"]):
        ran = subprocess.run(
            [sys.executable, "-c", script, *verb, "model.py:Net(3)"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 2, ran.stderr
        if "--json" in verb:
            assert '"code": "torch-missing"' in ran.stdout
        else:
            assert ran.stderr == (
                f"error[torch-missing]: '{'model.py:Net' if verb[0] == 'diff' else 'model.py:Net(3)'}' is a model, "
                "and torch, which builds models, is not installed\n"
                "  help: install it: pip install 'ckptnames[torch]'\n"
            )


def test_every_code_has_a_page() -> None:
    codes = {
        value.code
        for value in vars(errors_predict).values()
        if isinstance(value, type) and issubclass(value, ModelError)
    } - {ModelError.code}
    headings = re.findall(r"^## (\S+)$", (ROOT / "docs/errors-predict.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(codes)


def test_the_facade_raises_the_same() -> None:
    write(Path("model.py"), MODEL)
    with pytest.raises(ModelError) as caught:
        ckptnames.predict("model.py:Fussy")
    assert str(caught.value) == CASES["model.py:Fussy"]
