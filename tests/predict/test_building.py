"""A model that is named in text is the model that its own code builds, without memory and without a trace."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ckptnames
from ckptnames.errors import CkptnamesError
from ckptnames.prediction.arguments import arguments
from ckptnames.prediction.building import build, constructed
from ckptnames.prediction.locating import model_operand
from ckptnames.prediction.offline import offline
from ckptnames.prediction.recording import Record
from tests.predict.agreement import as_said, as_saved
from tests.predict.layers import CASES, public_classes
from tests.predict.sources import write


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def devices(model: nn.Module) -> set[str]:
    return {tensor.device.type for tensor in (*model.parameters(), *model.buffers())}


NET = """
class Net(nn.Module):
    def __init__(self, classes=10, widths=(4,), dtype=None):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(w, w, dtype=dtype) for w in widths))
        self.norm = nn.BatchNorm1d(classes)

    @classmethod
    def small(cls):
        return cls(2)


def make(*, classes):
    return Net(classes)


net = Net(7)
"""


@pytest.mark.parametrize(
    ("operand", "args"),
    [
        ("model.py:Net", ()),
        ("model.py:Net()", ()),
        ("model.py:Net(3)", (3,)),
        ("model.py:Net(classes=3, widths=[2, 3])", (3, [2, 3])),
        ("model.py:Net(3, (), torch.bfloat16)", (3, (), torch.bfloat16)),
        ("model.py:Net(\n  3,\n)", (3,)),
        ("model.py:Net.small", (2,)),
        ("model.py:make(classes=5)", (5,)),
        ("model.py:net", (7,)),
        ("./model.py:net", (7,)),
        ("model:Net(3)", (3,)),
    ],
)
def test_the_model_is_the_one_that_is_named(operand: str, args: tuple[object, ...]) -> None:
    path = write(Path("model.py"), NET)
    names: dict[str, Callable[..., nn.Module]] = {}
    exec(path.read_text(), names)
    saved = names["Net"](*args).state_dict()
    said = ckptnames.predict(operand)
    assert as_said(said) == list(as_saved(saved).items())


@pytest.mark.parametrize("name", CASES)
def test_nothing_about_a_layer_changes_but_its_memory(name: str) -> None:
    for way in CASES[name]:
        make = way(public_classes()[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some classes are deprecated, and zero elements cannot be initialised
            module, model = make(), constructed(make, Record())
        plain = [(key, type(value), as_saved({key: value})) for key, value in module.state_dict(keep_vars=True).items()]
        built = [(key, type(value), as_saved({key: value})) for key, value in model.state_dict(keep_vars=True).items()]
        assert built == plain
        assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in module.parameters()]


def test_no_memory_is_taken_and_nothing_is_initialised() -> None:
    write(
        Path("model.py"),
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Embedding(1 << 40, 1 << 20)
                self.layers = nn.ModuleList(nn.Linear(1 << 20, 1 << 20) for _ in range(4))
                self.token = nn.Parameter(torch.randn(1 << 40))
                self.register_buffer("mask", torch.ones(1 << 20, 1 << 20))
                nn.init.trunc_normal_(self.token)
        """,
    )
    model = build("model.py:Net")
    assert devices(model) == {"meta"}
    assert ckptnames.predict("model.py:Net")["embed.weight"].nbytes == 1 << 62


NUMBERS = """
class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        {line}
        self.blocks = nn.ModuleList(nn.Linear(n, n) for n in widths)
        self.shared = nn.Linear(2, 2)
        self.tied = nn.Linear(2, 2)
        self.tied.weight = self.shared.weight
        one = nn.Parameter(torch.ones(3))
        self.one, self.other = one, one
"""


@pytest.mark.parametrize(
    "line",
    [
        "widths = [int(x.item()) for x in torch.linspace(1, 3, 3)]",
        "widths = torch.tensor([1, 2, 3]).tolist()",
        "widths = list(torch.ones(3).cumsum(0).long().numpy())",
        "widths = [2] if torch.zeros(1) == 0 else [3]",
        "widths = range(1, torch.tensor(3))",
        "widths = [len(torch.tensor([1, 1, 2]).unique())]",
        "widths = [int(torch.rand(4).argmax()) * 0 + 2]",
        "widths = [nn.functional.one_hot(torch.tensor([1, 2])).shape[1]]",
        "widths = [1 + torch.equal(torch.zeros(2), torch.zeros(2))]",
    ],
)
def test_a_constructor_may_compute_with_numbers(line: str) -> None:
    path = write(Path("model.py"), NUMBERS.format(name="Net", line=line))
    names: dict[str, Callable[[], nn.Module]] = {}
    exec(path.read_text(), names)
    said = ckptnames.predict("model.py:Net")
    assert list(said.ties) == [("one", "other"), ("shared.weight", "tied.weight")]
    assert as_said(said) == list(as_saved(names["Net"]().state_dict()).items())
    assert {parameter.device.type for parameter in build("model.py:Net").parameters()} == {"meta"}


@pytest.mark.parametrize(
    "line",
    [
        "self.w = nn.Parameter(torch.ones(2, device='cuda'))",
        "self.w = nn.Parameter(torch.ones(2, device=torch.device('cuda', 3)))",
        "self.w = nn.Parameter(torch.ones(2).cuda())",
        "self.w = nn.Parameter(torch.ones(2).to('cuda:1', torch.float32))",
        "self.w = nn.Parameter(torch.ones(2).to(device='mps'))",
        "self.w = nn.Parameter(torch.ones(2).to(0))",
        "self.w = nn.Parameter(torch.ones_like(torch.ones(2), device='cuda'))",
        "self.w = nn.Parameter(torch.ones(1).new_ones(2, device='xpu'))",
        "self.w = nn.Parameter(torch.ones(2)); self.cuda()",
        "self.w = nn.Parameter(torch.ones(2)); self.to('cuda')",
        "self.w = nn.Parameter(torch.ones(2) * int(torch.ones(1, device='cuda').cuda()))",
    ],
)
def test_an_accelerator_need_not_be_there(line: str) -> None:
    write(
        Path("model.py"),
        f"class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {line}\n",
    )
    model = build("model.py:Net")
    assert [(key, tuple(value.shape), value.dtype) for key, value in model.state_dict().items()] == [
        ("w", (2,), torch.float32)
    ]
    assert devices(model) == {"meta"}


def test_a_sparse_parameter_stays_as_it_is() -> None:
    write(
        Path("model.py"),
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.w = nn.Parameter(torch.eye(3, device="cpu").to_sparse())
        """,
    )
    assert ckptnames.predict("model.py:Net")["w"].shape == (3, 3)


def test_what_goes_to_the_cpu_has_numbers() -> None:
    write(
        Path("model.py"),
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.rates = torch.linspace(0, 1, 3, device="cpu").tolist()
        """,
    )
    assert build("model.py:Net").rates == [0.0, 0.5, 1.0]


def test_a_module_that_a_file_makes_is_made_without_memory() -> None:
    write(
        Path("model.py"),
        "net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))\nsizes = torch.tensor([2]).tolist()\n",
    )
    assert {parameter.device.type for parameter in build("model.py:net").parameters()} == {"meta"}


# What lies around the model's file


def test_a_file_imports_what_lies_beside_it_and_in_the_current_folder() -> None:
    write(Path("src/model.py"), "from layers import Layer\nfrom common.sizes import SIZE\n\n\nnet = Layer(SIZE)\n")
    write(
        Path("src/layers.py"), "class Layer(nn.Linear):\n    def __init__(self, n):\n        super().__init__(n, n)\n"
    )
    write(Path("common/sizes.py"), "SIZE = 3\n")
    assert ckptnames.predict("src/model.py:net")["weight"].shape == (3, 3)


def test_what_lies_beside_may_be_imported_late() -> None:
    write(Path("src/model.py"), "def make():\n    from layers import Layer\n\n    return Layer()\n")
    write(Path("src/layers.py"), "class Layer(nn.PReLU):\n    pass\n")
    assert list(ckptnames.predict("src/model.py:make")) == ["weight"]


def test_two_folders_each_have_their_own_layers() -> None:
    for folder, width in (("old", 2), ("new", 3)):
        write(Path(folder, "model.py"), "from layers import make\n\n\nnet = make()\n")
        write(Path(folder, "layers.py"), f"def make():\n    return nn.Linear({width}, {width})\n")
    found = ckptnames.diff("old/model.py:net", "new/model.py:net")
    assert [(m.key, m.source, m.target) for m in found.shape_mismatch] == [
        ("weight", (2, 2), (3, 3)),
        ("bias", (2,), (3,)),
    ]


def test_a_module_of_the_session_is_not_the_files_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("src/model.py"), "from layers_of_this_test import make\n\n\nnet = make()\n")
    write(Path("src/layers_of_this_test.py"), "def make():\n    return nn.PReLU(2)\n")
    write(Path("elsewhere/layers_of_this_test.py"), "def make():\n    return nn.PReLU(5)\n")
    monkeypatch.syspath_prepend(Path("elsewhere").absolute())
    mine = importlib.import_module("layers_of_this_test")
    monkeypatch.delitem(sys.modules, "layers_of_this_test")
    monkeypatch.setitem(sys.modules, "layers_of_this_test", mine)
    assert ckptnames.predict("src/model.py:net")["weight"].shape == (2,)
    assert sys.modules["layers_of_this_test"] is mine


def test_a_file_in_a_package_may_import_relatively() -> None:
    write(Path("src/nets/__init__.py"), "")
    write(Path("src/nets/layers.py"), "class Layer(nn.PReLU):\n    pass\n")
    write(Path("src/nets/zoo/net.py"), "from ..layers import Layer\n\n\nnet = nn.Sequential(Layer())\n")
    assert list(ckptnames.predict("src/nets/zoo/net.py:net")) == ["0.weight"]


def test_a_file_is_read_anew_each_time() -> None:
    for width in (2, 3):
        write(Path("model.py"), f"net = nn.PReLU({width})\n")
        assert ckptnames.predict("model.py:net")["weight"].shape == (width,)


def test_a_module_in_the_current_folder_is_the_one_that_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, width in (("old", 2), ("new", 3)):
        write(tmp_path / folder / "net_of_this_test.py", f"net = nn.PReLU({width})\n")
        monkeypatch.chdir(tmp_path / folder)
        assert ckptnames.predict("net_of_this_test:net")["weight"].shape == (width,)
    assert "net_of_this_test" not in sys.modules


def test_a_script_does_not_see_our_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ckptnames", "predict", "--json"])
    write(
        Path("train.py"),
        """
        import argparse

        parser = argparse.ArgumentParser()
        parser.add_argument("--width", type=int, default=4)
        net = nn.PReLU(parser.parse_args().width)
        assert __name__ != "__main__"
        """,
    )
    assert ckptnames.predict("train.py:net")["weight"].shape == (4,)


def test_classes_find_their_module_while_they_are_made() -> None:
    write(
        Path("model.py"),
        """
        import dataclasses
        import typing

        @dataclasses.dataclass
        class Config:
            width: 'typing.ClassVar[int]' = 3

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                assert typing.get_type_hints(Config)
                self.fc = nn.PReLU(Config().width)
        """,
    )
    assert list(ckptnames.predict("model.py:Net")) == ["fc.weight"]


def test_nothing_is_left_behind() -> None:
    write(Path("src/model.py"), "from layers import make\n\n\nnet = make()\n")
    write(Path("src/layers.py"), "def make():\n    return nn.Linear(1, 1)\n")
    setter, connect, look_up = nn.Module.__setattr__, socket.socket.connect, socket.getaddrinfo
    before = list(sys.path), list(sys.argv), set(sys.modules), dict(os.environ), sys.dont_write_bytecode
    model = build("src/model.py:net")
    assert (list(sys.path), list(sys.argv), set(sys.modules), dict(os.environ), sys.dont_write_bytecode) == before
    assert (nn.Module.__setattr__, socket.socket.connect, socket.getaddrinfo) == (setter, connect, look_up)
    assert sorted(path.name for path in Path("src").iterdir()) == ["layers.py", "model.py"]
    assert vars(model).keys() == vars(nn.Linear(1, 1)).keys()
    assert torch.empty(1).device.type == "cpu"


def test_random_numbers_come_as_they_would_have() -> None:
    write(
        Path("model.py"),
        """
        torch.manual_seed(7)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.rates = torch.rand(3).tolist()
        """,
    )
    torch.manual_seed(0)
    wanted = torch.rand(2).tolist()
    torch.manual_seed(0)
    build("model.py:Net")
    assert torch.rand(2).tolist() == wanted


# What a model is not asked for


def test_connections_are_refused_and_nothing_else_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, offline() as hosts:
        socket.create_connection(server.getsockname()).close()
        with pytest.raises(OSError, match="names"):
            socket.create_connection(("192.0.2.1", 80))
        with pytest.raises(OSError, match="names"):
            socket.getaddrinfo("example.org", 443)
    assert hosts == ["192.0.2.1", "example.org"]


def test_other_threads_stay_connected() -> None:
    ready, done = threading.Event(), threading.Event()
    answers: list[object] = []

    def ask() -> None:
        ready.wait()
        try:
            answers.append(socket.getaddrinfo("192.0.2.1", 80)[0][4][0])
        finally:
            done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    with offline() as hosts:
        ready.set()
        done.wait(10)
    thread.join()
    assert answers == ["192.0.2.1"]
    assert hosts == []


def test_a_model_that_does_without_the_network_is_built() -> None:
    write(
        Path("model.py"),
        """
        import urllib.request

        def make():
            try:
                urllib.request.urlopen("https://example.org/weights.pt")
            except OSError:
                return nn.PReLU()
        """,
    )
    assert list(ckptnames.predict("model.py:make")) == ["weight"]


# How a model is written


@pytest.mark.parametrize(
    ("text", "place", "name", "call"),
    [
        ("model.py:Net", "model.py", "Net", ""),
        ("my models (2)/a b.py:Net(1)", "my models (2)/a b.py", "Net", "(1)"),
        (r"C:\models\net.py:Net", r"C:\models\net.py", "Net", ""),
        ("a.py:f('b.py:g')", "a.py", "f", "('b.py:g')"),
        ("pkg.sub:Net.small(3)", "pkg.sub", "Net.small", "(3)"),
        ("größe.netz:Netz", "größe.netz", "Netz", ""),
        ("a.py:f(", "a.py", "f", "("),
    ],
)
def test_a_model_is_a_place_and_a_name(text: str, place: str, name: str, call: str) -> None:
    operand = model_operand(text)
    assert operand is not None
    assert (operand.place, operand.name, operand.call) == (place, name, call)


@pytest.mark.parametrize(
    "text",
    ["model.pt", "model.py", "model.py:", "model.py:3", "C:Net", "a/b:Net", "x.pt#a:b", "", ":", "pkg:a-b", "a:b:c"],
)
def test_what_is_written_otherwise_is_no_model(text: str) -> None:
    assert model_operand(text) is None


literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers(), min_size=1)
    ),
    max_leaves=5,
)


@given(st.lists(literals, max_size=3), st.dictionaries(st.sampled_from(["a", "größe", "_b"]), literals))
def test_arguments_are_what_python_makes_of_them(positional: list[Any], named: dict[str, Any]) -> None:
    written = ", ".join([*map(repr, positional), *(f"{name}={value!r}" for name, value in named.items())])
    operand = model_operand(f"model.py:Net({written})")
    assert operand is not None
    assert arguments(operand) == (tuple(positional), named)


@given(st.text())
def test_any_call_is_read_or_refused(text: str) -> None:
    operand = model_operand(f"model.py:Net({text}")
    assert operand is not None
    with contextlib.suppress(CkptnamesError):
        arguments(operand)
