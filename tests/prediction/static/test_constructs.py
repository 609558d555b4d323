"""Every construct that registers names: what is read is what torch saves."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.prediction.static.against_built import assert_exact, program

CONSTRUCTS = {
    "attributes": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = self.b = nn.Linear(2, 3)
                self.size = 7
                self.c: nn.Module = nn.Conv2d(3, self.size, (1, 5), bias=False)
    """,
    "deleted, set to None and set again": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Linear(1, 1), nn.Linear(2, 2), nn.Linear(3, 3)
                del self.a
                self.b = None
                self.c.bias = None
                self.b = nn.LayerNorm(4)
    """,
    "sequential of a list and of an ordered dict": """
        from collections import OrderedDict

        class Net(nn.Sequential):
            def __init__(self, n=2):
                layers = []
                for i in range(n):
                    layers += [nn.Linear(i + 1, i + 2), nn.ReLU(inplace=True)]
                named = OrderedDict([("head", nn.Linear(2, 2)), ("tail", nn.Sequential(*layers[1:]))])
                named.move_to_end("head")
                super().__init__(named)
                self.append(nn.Sequential(*layers)[2:])
    """,
    "lists and dicts of modules": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.l = nn.ModuleList(nn.Linear(i, i) for i in (1, 2, 3))
                self.l.insert(1, nn.ReLU())
                self.l.extend([nn.Linear(9, 9)])
                self.l += [nn.BatchNorm1d(2)]
                self.l[0] = nn.Linear(5, 5)
                del self.l[2]
                self.d = nn.ModuleDict({k: nn.Linear(v, 1) for k, v in dict(x=2, y=3).items()})
                self.d["z"] = self.l[-1]
                self.d.update([["w", nn.Linear(1, 2)]])
                self.d.pop("x")
    """,
    "lists and dicts of parameters": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.p = nn.ParameterList([nn.Parameter(torch.zeros(i)) for i in range(3)])
                self.p.append(torch.ones(2, 2))
                self.q = nn.ParameterDict({"a": torch.rand(3), "b": nn.Parameter(torch.empty(1, 4))})
                self.q["c"] = torch.zeros(2)
    """,
    "registered by name": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                for n, size in enumerate([3, 4]):
                    self.add_module(f"fc{n}", nn.Linear(size, 1))
                    setattr(self, "%s_%d" % ("norm", n), nn.LayerNorm(size))
                    self.register_parameter("p{}".format(n), nn.Parameter(torch.zeros(size, n + 1)))
                    self.register_buffer("b" + str(n), torch.arange(size), persistent=n == 0)
                self.register_parameter("none", None)
                self.register_buffer("nothing", None)
                self.register_module("last", getattr(self, "fc0"))
    """,
    "helper methods": """
        class Block(nn.Module):
            expansion = 4
            def __init__(self, inplanes, planes, stride=1, downsample=None):
                super().__init__()
                self.conv = nn.Conv2d(inplanes, planes * self.expansion, 3, stride, 1, bias=False)
                self.downsample = downsample

        class Net(nn.Module):
            def __init__(self, layers=(2, 1), width=8):
                super().__init__()
                self.inplanes = width
                self.layer1 = self._make_layer(Block, width, layers[0])
                self.layer2 = self._make_layer(Block, width * 2, layers[1], stride=2)
                self.apply(self._init)

            def _make_layer(self, block, planes, blocks, stride=1):
                downsample = None
                if stride != 1 or self.inplanes != planes * block.expansion:
                    downsample = nn.Sequential(nn.Conv2d(self.inplanes, planes * block.expansion, 1, bias=False))
                layers = [block(self.inplanes, planes, stride, downsample)]
                self.inplanes = planes * block.expansion
                layers.extend(block(self.inplanes, planes) for _ in range(1, blocks))
                return nn.Sequential(*layers)

            @staticmethod
            def _init(m):
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight)
    """,
    "inheritance": """
        class Base(nn.Module):
            norm = nn.LayerNorm
            def __init__(self, width):
                super().__init__()
                self.first = nn.Linear(width, width)
                self.build(width)
            def build(self, width):
                self.middle = nn.Linear(width, 1)

        class Mixin:
            def build(self, width):
                super().build(width + 1)
                self.mixed = self.norm(width)

        class Net(Mixin, Base):
            norm = nn.RMSNorm
            def __init__(self):
                super(Net, self).__init__(width=3)
                self.last = nn.Linear(1, 1)
    """,
    "plain classes that derive from nothing": """
        from torch.nn.modules.utils import _pair

        class Scheme(object):
            def __init__(self, n):
                super(Scheme, self).__init__()
                super().__setattr__("n", n)

        class Both(Scheme):
            def __new__(cls, *args):
                return super().__new__(cls)
            def __init__(self, n):
                super().__init__(n + 1)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(Scheme(2).n, Both(3).n)
                self.b = nn.Conv2d(1, 1, _pair(3))
    """,
    "partial and functions as layers": """
        from functools import partial

        def conv(cin, cout, k=1, **kwargs):
            return nn.Sequential(nn.Conv2d(cin, cout, k, **kwargs), nn.BatchNorm2d(cout))

        class Net(nn.Module):
            def __init__(self, norm=partial(nn.LayerNorm, eps=1e-6), act=nn.GELU):
                super().__init__()
                make = partial(conv, k=3, bias=False)
                self.a = make(3, 4, groups=1)
                self.n = norm(6)
                self.act = act() if act is not None else nn.Identity()
                self.f = (lambda n: nn.Linear(n, n))(2)
    """,
    "configs of dataclasses, named tuples and plain objects": """
        from collections import namedtuple
        from dataclasses import dataclass, field, replace
        from enum import Enum
        from types import SimpleNamespace

        class Kind(Enum):
            CONV = "conv"
            LINEAR = "linear"

        @dataclass
        class Config:
            width: int = 4
            kinds: list = field(default_factory=lambda: [Kind.CONV, Kind.LINEAR])
            depth: int = field(init=False, default=0)
            def __post_init__(self):
                self.depth = len(self.kinds)

        Stage = namedtuple("Stage", "n out", defaults=[5])

        class Net(nn.Module):
            def __init__(self, config=replace(Config(), width=6)):
                super().__init__()
                for i, kind in enumerate(config.kinds):
                    layer = nn.Conv1d(config.width, 2, 1) if kind is Kind.CONV else nn.Linear(config.width, 2)
                    self.add_module(f"{kind.value}{config.depth - i}", layer)
                n, out = Stage(2)
                self.stages = nn.ModuleList([nn.Linear(n, out)] + [nn.Linear(out, out) for _ in range(n)])
                more = SimpleNamespace(**{"hidden": 3})
                self.more = nn.Linear(more.hidden, vars(more)["hidden"])
    """,
    "arguments of every kind": """
        class Layer(nn.Module):
            def __init__(self, a, /, b=2, *rest, c, d=4, **others):
                super().__init__()
                self.l = nn.Linear(a + b + sum(rest), c + d + others.get("e", 0) + others.pop("f", 1))

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                args, kwargs = [3, 4], {"e": 5}
                self.x = Layer(1, *args, c=3, **kwargs)
                self.y = Layer(1, c=1, **{**kwargs, "f": 10})
    """,
    "constants of the module": """
        CFGS = {"A": [8, "M", 16], "B": [4]}
        WIDTHS = [w * 2 for w in CFGS["A"] if w != "M"]
        if len(WIDTHS) > 1:
            NORM = nn.BatchNorm2d
        else:
            NORM = nn.InstanceNorm2d

        class Net(nn.Module):
            def __init__(self, cfg="A"):
                super().__init__()
                layers, cin = [], 3
                for v in CFGS[cfg]:
                    if v == "M":
                        layers.append(nn.MaxPool2d(2))
                        continue
                    layers += [nn.Conv2d(cin, v, 3), NORM(v)]
                    cin = v
                self.features = nn.Sequential(*layers)
                self.heads = nn.ModuleDict(zip("ab", (nn.Linear(w, 1) for w in WIDTHS)))
    """,
    "loops of every kind": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                n = 5
                while True:
                    n -= 1
                    if n == 3:
                        continue
                    if n < 1:
                        break
                    self.add_module(f"w{n}", nn.Linear(n, n))
                else:
                    self.never = nn.Linear(1, 1)
                for (i, (a, b)) in enumerate(zip([1, 2], reversed([3, 4]))):
                    setattr(self, f"z{i}", nn.Linear(a, b))
                for i in []:
                    pass
                else:
                    self.always = nn.Linear(1, 1)
                self.g = nn.Sequential(*self.made(3))
            def made(self, n):
                for i in range(n):
                    yield nn.Linear(i + 1, 1)
                yield from (nn.ReLU() for _ in range(2))
    """,
    "exceptions": """
        import contextlib

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                try:
                    self.a = nn.Linear("x", 2)
                except TypeError:
                    self.a = nn.Linear(4, 4)
                else:
                    self.b = nn.Linear(1, 1)
                finally:
                    self.c = nn.Linear(2, 2)
                with contextlib.suppress(KeyError):
                    self.d = nn.Linear({}["none"], 1)
                with torch.no_grad():
                    self.e = nn.Linear(1, 2)
    """,
    "match, walrus and conditional expressions": """
        class Net(nn.Module):
            def __init__(self, kind="conv", n=3):
                super().__init__()
                match kind, n:
                    case "linear", _:
                        self.m = nn.Linear(1, 1)
                    case "conv", int(size) if size > 2:
                        self.m = nn.Conv1d(size, 1, 1)
                match [1, 2, 3], {"a": torch.Size([2]), "b": 0}:
                    case [first, *others], {"a": (n2,)}:
                        self.s = nn.Linear(first + len(others), n2)
                if (double := n * 2) > 5:
                    self.d = nn.Linear(double, 1)
                self.c = nn.Identity() if kind == "linear" else nn.Linear(n, n or 1)
    """,
    "properties, class methods and special methods": """
        class Net(nn.Module):
            def __init__(self, width=3):
                super().__init__()
                self._width = width
                self.a = nn.Linear(self.width, len(self))
            @property
            def width(self):
                return self._width + 1
            @classmethod
            def small(cls, **kwargs):
                return cls(width=1, **kwargs)
            def __len__(self):
                return 5
    """,
    "tensors, shapes and what is computed from them": """
        import math

        class Net(nn.Module):
            def __init__(self, size=(4, 6), heads=2):
                super().__init__()
                self.pos = nn.Parameter(torch.zeros(1, size[0] * size[1] + 1, 8))
                coords = torch.stack(torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij"))
                relative = coords.flatten(1)[:, :, None] - coords.flatten(1)[:, None, :]
                self.register_buffer("index", relative.sum(0))
                rates = [x.item() for x in torch.linspace(0, 0.1, 3)]
                self.drop = nn.ModuleList(nn.Sequential(nn.Dropout(r), nn.Linear(2, 2)) for r in rates)
                self.scale = nn.Parameter(torch.ones(heads, 1, 1).log().half(), requires_grad=False)
                self.k = nn.Conv1d(1, 1, 2 * int(abs((math.log2(8) + 1) / 2)) + 1)
                self.out = nn.Linear(self.pos.shape[-1], self.index.numel())
    """,
    "shared and tied": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.e = nn.Embedding(5, 3)
                self.head = nn.Linear(3, 5, bias=False)
                self.head.weight = self.e.weight
                self.again = self.head
                self.view = nn.Parameter(self.e.weight[:2])
                self.copies = nn.ModuleList([nn.Linear(1, 1)] * 2)
    """,
    "deep copies": """
        import copy

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
                self.clones = nn.ModuleList([copy.deepcopy(layer) for _ in range(2)])
                self.shallow = copy.copy(layer)
    """,
    "layers that are made of layers": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
                self.mha = nn.MultiheadAttention(8, 2, kdim=4)
                layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
                self.enc = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
                self.both = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
                self.lazy = nn.LazyLinear(3)
    """,
    "norms on weights": """
        from torch.nn.utils.parametrizations import weight_norm
        from torch.nn.utils import spectral_norm

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = weight_norm(nn.Linear(2, 3))
                self.b = spectral_norm(nn.Conv2d(1, 2, 3))
    """,
    "wrapped anywhere": """
        class Inner(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.DataParallel(nn.Conv2d(1, 1, 1))

        def Net():
            net = nn.Sequential(Inner(), nn.DataParallel(nn.Linear(1, 2)))
            return nn.DataParallel(net)
    """,
    "what is in no state dict": """
        class Net(nn.Module):
            shared = nn.Linear(9, 9)
            def __init__(self):
                super().__init__()
                self.plain = [nn.Linear(1, 1)]
                self.tensor = torch.zeros(3)
                self.__dict__["hidden"] = nn.Linear(2, 2)
                object.__setattr__(self, "passed_over", nn.Linear(3, 3))
                self.tuple = (nn.Linear(1, 1), {"a": nn.Parameter(torch.zeros(1))})
                self.real = nn.Linear(1, 1)
    """,
    "dtypes": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(2, 2, dtype=torch.float64)
                self.b = nn.Linear(2, 2).half()
                self.c = nn.BatchNorm1d(2).to(torch.bfloat16)
                self.register_buffer("mask", torch.ones(2, 2, dtype=torch.bool).triu())
    """,
    "registries and decorators": """
        import functools

        LAYERS = {}

        def register(name=None):
            def inner(cls):
                LAYERS[name or cls.__name__.lower()] = cls
                return cls
            return inner

        @register()
        class Small(nn.Linear):
            def __init__(self, n):
                super().__init__(n, 1)

        @register("big")
        class Other(nn.Linear):
            def __init__(self, n):
                super().__init__(n, 100)

        def twice(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                return nn.Sequential(function(*args), function(**kwargs))
            return call

        @twice
        def make(n=3):
            return LAYERS["small"](n)

        class Net(nn.Module):
            def __init__(self, kind="big"):
                super().__init__()
                self.a = LAYERS[kind](2)
                self.b = make(4, n=5)
                self.c = eval("nn.Linear")(2, 3)
                self.d = globals()["Small"](7)
    """,
    "methods that change what others registered": """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
                for i, m in enumerate(self.body):
                    if isinstance(m, nn.Linear):
                        self.body[i] = nn.Sequential(m, nn.BatchNorm1d(m.out_features))
                for name, child in list(self.named_children()):
                    self.add_module(name + "_norm", nn.LayerNorm(len(child)))
                self.moved = self._modules.pop("body_norm")
                self.n_all = nn.Linear(sum(p.numel() for p in self.parameters()), 1)
    """,
}


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_what_is_read_is_what_torch_saves(name: str, tmp_path: Path) -> None:
    assert_exact(program(tmp_path, CONSTRUCTS[name]))


FILES = {
    "sibling files": {
        "net.py": """
            import torch.nn as nn
            from layers import Block
            import sizes as s

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.block = Block(s.WIDTH)
        """,
        "layers.py": """
            from torch.nn import Module, Linear
            from sizes import *

            class Block(Module):
                def __init__(self, width):
                    super().__init__()
                    self.l = Linear(width, DEPTH)
        """,
        "sizes.py": "WIDTH, DEPTH = 3, 2\n",
    },
    "packages and relative imports": {
        "net.py": """
            from pkg import models

            class Net(models.Base):
                pass
        """,
        "pkg/__init__.py": "",
        "pkg/models/__init__.py": "from .base import Base\nfrom . import heads\n",
        "pkg/models/base.py": """
            from torch import nn
            from ..layers.linear import make
            from . import heads

            class Base(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.a = make(2)
                    self.h = heads.Head()
        """,
        "pkg/models/heads.py": """
            from torch import nn

            class Head(nn.Linear):
                def __init__(self):
                    super().__init__(1, 1)
        """,
        "pkg/layers/linear.py": "import torch\n\n\ndef make(n):\n    return torch.nn.Linear(n, n)\n",
    },
    "a registry that other files fill": {
        "net.py": """
            from torch import nn
            import registry
            import blocks

            class Net(nn.Module):
                def __init__(self, kind="wide"):
                    super().__init__()
                    self.a = registry.REGISTRY.get(kind, nn.Identity)()
                    self.n = nn.Linear(len(registry.REGISTRY), 1)
        """,
        "registry.py": """
            REGISTRY = {}

            def register(cls):
                REGISTRY[cls.__name__.lower()] = cls
                return cls
        """,
        "blocks.py": """
            from torch import nn
            from registry import register

            @register
            class Wide(nn.Linear):
                def __init__(self):
                    super().__init__(9, 9)

            @register
            class Narrow(nn.Linear):
                def __init__(self):
                    super().__init__(1, 1)
        """,
    },
    "an import that fails is expected": {
        "net.py": """
            from torch import nn
            try:
                from nowhere_fast import FusedNorm as Norm
            except ImportError:
                Norm = nn.LayerNorm

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.n = Norm(3)
        """,
    },
}


@pytest.mark.parametrize("name", FILES)
def test_files_beside_it_are_read_too(name: str, tmp_path: Path) -> None:
    for file, text in FILES[name].items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    assert_exact(tmp_path / "net.py")


def test_a_call_in_the_operand(tmp_path: Path) -> None:
    path = program(tmp_path, CONSTRUCTS["helper methods"])
    assert_exact(path, "Net(layers=[1, 3], width=2)")
    assert_exact(path, "Block(2, 3)")


def test_a_class_method(tmp_path: Path) -> None:
    path = program(tmp_path, CONSTRUCTS["properties, class methods and special methods"])
    assert_exact(path, "Net.small()")
