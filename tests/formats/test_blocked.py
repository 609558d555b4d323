"""What ``torch.load(weights_only=True)`` stops at: named as torch names it, and cured by the line that is offered."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import functools
import itertools
import operator
import os
import pathlib
import random
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from ckptnames.cli.main import cli
from ckptnames.formats.blocked import blocked, runs_code
from ckptnames.formats.checkpoint import BlockedGlobal
from ckptnames.formats.recognise import open_checkpoint
from ckptnames.formats.symbols import Global


class Colour(enum.Enum):
    RED = 1


@dataclass
class Config:
    depth: int = 3


class Settings(dict[str, int]):
    """A dict of a user's own, as configurations often are."""


class Layers(list[int]):
    """A list of a user's own."""


Pair = collections.namedtuple("Pair", "left right")


CURED: dict[str, Any] = {
    "namespace": argparse.Namespace(lr=0.1, layers=[1, 2]),
    "numpy float": np.float64(1.5),
    "numpy integer": np.int64(3),
    "numpy boolean": np.bool_(True),
    "numpy array": np.ones((2, 3)),
    "numpy integers": np.arange(3, dtype=np.uint8),
    "numpy half": np.ones(2, dtype=np.float16),
    "numpy complex": np.ones(2, dtype=np.complex64),
    "numpy text": np.array(["a", "bc"]),
    "numpy objects": np.array([{"a": 1}, None], dtype=object),
    "numpy dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "numpy dtype": np.dtype("float32"),
    "path": pathlib.PurePosixPath("a/b"),
    "path here": Path("a"),
    "date": datetime.date(2020, 1, 2),
    "datetime": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    "timedelta": datetime.timedelta(3),
    "enum": Colour.RED,
    "dataclass": Config(),
    "named tuple": Pair(1, 2),
    "decimal": decimal.Decimal("1.5"),
    "simple namespace": types.SimpleNamespace(a=1),
    "range": range(3),
    "slice": slice(1, 2),
    "frozen set": frozenset({1}),
    "exception": ValueError("x"),
    "a class": Config,
    "a class of a package that hides its module": torch.optim.Adam,
    "random": random.Random(0),
    "empty defaultdict": collections.defaultdict(list),
    "module": nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3)),
}

INCURABLE: dict[str, Any] = {
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "deque": collections.deque([1, 2]),
    "a dict of one's own": Settings(a=1),
    "a list of one's own": Layers([1, 2]),
    "partial": functools.partial(int, base=2),
    "partial of a call": functools.partial(os.system, "true"),
    "function": torch.nn.functional.relu,
    "builtin function": len,
    "regular expression": re.compile("a"),
    "getter": operator.itemgetter(1),
    "iterator": itertools.count(1),
    "ellipsis": ...,
}

LOADED: dict[str, Any] = {
    "plain": {"a": [1, 2.5, "x", None, True, (1,)]},
    "bytes": b"ab",
    "set": {1, 2},
    "complex": 1j,
    "ordered dict": collections.OrderedDict(a=1),
    "counter": collections.Counter("aab"),
    "device": torch.device("cpu"),
    "dtype": torch.bfloat16,
    "size": torch.Size([1, 2]),
    "layout": torch.strided,
    "parameter": nn.Parameter(torch.ones(2)),
}


@pytest.fixture(autouse=True)
def nothing_allowed() -> Iterator[None]:
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()


def saved(folder: Path, value: Any) -> Path:
    torch.save({"state_dict": {"w": torch.ones(2)}, "beside": value}, folder / "m.pt")
    return folder / "m.pt"


def loads(path: Path) -> bool:
    try:
        torch.load(path, weights_only=True)
    except Exception:
        return False
    return True


def blocked_in(path: Path) -> tuple[BlockedGlobal, ...]:
    return open_checkpoint(path).blocked


def follow(cure: str) -> None:
    """Run the line, as one who has imported torch."""
    exec(cure, {"torch": torch})


@pytest.mark.parametrize("name", LOADED)
def test_what_torch_loads_is_not_listed(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, LOADED[name])
    assert loads(path)
    assert blocked_in(path) == ()


@pytest.mark.parametrize("name", [*CURED, *INCURABLE])
def test_the_names_are_those_that_torch_finds(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, {**CURED, **INCURABLE}[name])
    assert not loads(path)
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    assert {each.name for each in blocked_in(path)} == set(unsafe)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CURED)
def test_following_the_lines_makes_torch_load(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, CURED[name])
    lines = [each.cure for each in blocked_in(path)]
    for line in lines:
        assert not loads(path)
        assert "torch.serialization.add_safe_globals([" in line
        follow(line)
    assert loads(path)


@pytest.mark.parametrize("name", INCURABLE)
def test_no_line_is_offered_where_none_would_do_or_should_be_followed(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, INCURABLE[name])
    listed = blocked_in(path)
    assert any(not each.cure for each in listed)
    for each in listed:
        follow(each.cure)
    assert not loads(path)


def test_torch_fills_only_its_own_few_though_the_class_is_allowed(tmp_path: Path) -> None:
    path = saved(tmp_path, INCURABLE["defaultdict"])
    torch.serialization.add_safe_globals([collections.defaultdict, list])
    with pytest.raises(Exception, match="Can only SETITEM"):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", ["namespace", "numpy float", "module", "exception"])
def test_legacy_files_are_answered_alike(name: str, tmp_path: Path) -> None:
    value = {"state_dict": {"w": torch.ones(2)}, "beside": CURED[name]}
    torch.save(value, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    legacy = blocked_in(tmp_path / "m.pt")
    assert legacy == blocked_in(saved(tmp_path, CURED[name]))
    for each in legacy:
        follow(each.cure)
    assert loads(tmp_path / "m.pt")


def test_the_screen_shows_each_name_with_its_line(tmp_path: Path) -> None:
    path = saved(tmp_path, [CURED["namespace"], INCURABLE["partial of a call"]])
    shown = CliRunner().invoke(cli, ["ls", str(path)]).stdout.splitlines()
    at = shown.index("  argparse.Namespace")
    assert shown[at + 1].strip() == (
        "from argparse import Namespace; torch.serialization.add_safe_globals([Namespace])"
    )
    for dangerous in ("functools.partial", "posix.system"):
        at = shown.index(f"  {dangerous}")
        assert "add_safe_globals" not in shown[at + 1]
    assert "note: the pickle names functools.partial, posix.system: nothing of it was run" in shown


RUNS = """
os.system nt.system posix.popen os.execve subprocess.Popen subprocess.check_output commands.getoutput
builtins.eval __builtin__.eval builtins.exec builtins.compile builtins.__import__ builtins.open builtins.getattr
__builtin__.execfile __builtin__.apply builtins.breakpoint builtins.input
runpy.run_path runpy._run_code importlib.import_module imp.load_source pkgutil.resolve_name pydoc.pipepager pty.spawn
pickle.loads _pickle.loads cPickle.loads dill.loads cloudpickle.loads marshal.loads shelve.open joblib.load
numpy.load numpy.testing._private.utils.runstring numpy.fromfile pandas.read_pickle yaml.unsafe_load
torch.load torch.hub.load torch.hub.load_state_dict_from_url torch.jit.load torch.utils.model_zoo.load_url
torch.utils.collect_env.run torch.utils.bottleneck.__main__.run_cprofile torch._inductor.codecache.compile_file
socket.create_connection urllib.request.urlopen urllib2.urlopen requests.get http.client.HTTPSConnection
webbrowser.open shutil.rmtree tempfile.mktemp ctypes.CDLL _ctypes.dlopen functools.partial functools.reduce
_functools.reduce operator.methodcaller operator.attrgetter _operator.call types.FunctionType types.CodeType
code.InteractiveInterpreter codeop.compile_command timeit.timeit trace.Trace cProfile.runctx profile.run
bdb.Bdb pdb.run doctest.debug_script idlelib.pyshell.ModifiedInterpreter.runcode ensurepip._run_pip pip.main
lib2to3.pgen2.grammar.Grammar.loads asyncio.unix_events._UnixSubprocessTransport._start
multiprocessing.util.spawnv_passfds
_io.FileIO _posixsubprocess.fork_exec zipimport.zipimporter distutils.file_util.write_file sys.modules
copyreg.add_extension
"""

DATA = """
argparse.Namespace collections.OrderedDict collections.defaultdict numpy.core.multiarray._reconstruct numpy.ndarray
numpy.dtype torch._utils._rebuild_tensor_v2 torch.storage._load_from_bytes torch.FloatStorage copyreg._reconstructor
builtins.dict __builtin__.object builtins.set builtins.Ellipsis builtins.ValueError exceptions.KeyError
builtins.RuntimeWarning io.BytesIO _io.BytesIO types.SimpleNamespace pathlib.PosixPath datetime.datetime
omegaconf.listconfig.ListConfig transformers.training_args.TrainingArguments torch.nn.modules.linear.Linear
torch.nn.functional.relu re._compile sklearn.preprocessing._data.StandardScaler e3nn.nn._gate.Gate enum.Enum
models.yolo.DetectionModel torch.optim.adam.Adam running.Average logging.getLogger
"""


def named(path: str) -> Global:
    return Global(*path.rpartition(".")[::2])


@pytest.mark.parametrize("path", RUNS.split())
def test_names_that_run_something_are_told(path: str) -> None:
    assert len(runs_code([named(path)])) == 1
    assert [each.cure for each in blocked([named(path)])] == [""]


@pytest.mark.parametrize("path", DATA.split())
def test_names_of_data_are_not_accused(path: str) -> None:
    assert runs_code([named(path)]) == ()
