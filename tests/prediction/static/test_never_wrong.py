"""Programs that are hard to follow: whatever is said of them is there, and what is not said is open."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.prediction.static.against_built import assert_never_wrong, program

HARD: dict[str, str] = {}


def hard(name: str, text: str) -> None:
    """Add a class body and what stands before it; ``MAYBE`` is true, and nobody can know."""
    HARD[name] = dedent(text)


def in_init(name: str, text: str, before: str = "") -> None:
    """Add the lines of an ``__init__``."""
    lines = "\n".join(f"        {line}" for line in dedent(text).strip().splitlines())
    hard(
        name, f"{dedent(before)}\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n{lines}\n"
    )


for _what, _line in {
    "a number": "int(UNKNOWN)",
    "a key of a dict": "{'a': 1}[UNKNOWN]",
    "an item of what is unknown": "UNKNOWN['a']",
    "an attribute": "UNKNOWN.nothing",
    "unpacking": "a, b = UNKNOWN",
    "a loop": "[x for x in UNKNOWN]",
    "a sum": "UNKNOWN + 'a'",
    "a comparison": "UNKNOWN < 'a'",
    "a division": "1 / (UNKNOWN - UNKNOWN)",
    "a text": "f'{UNKNOWN:s}'",
    "an assertion": "assert UNKNOWN > 2",
    "a layer": "nn.Linear(UNKNOWN, 1)",
    "a next item": "next(iter(UNKNOWN))",
    "a deletion": "del UNKNOWN.nothing",
    "a device that lacks": "nn.Linear(1, 1).cuda()",
    "a device that is named": "nn.Linear(1, 1).to('cuda:0')",
    "a layer on a device": "nn.Linear(1, 1, device='cuda')",
}.items():
    in_init(
        f"a try around {_what}",
        f"""
        try:
            {_line}
            self.a = nn.Linear(1, 1)
        except Exception:
            self.b = nn.Linear(2, 2)
        """,
        before="""
        import random
        UNKNOWN = random.random()
        """,
    )

in_init(
    "suppressed where a branch raises",
    """
    with contextlib.suppress(ValueError):
        if random.random() < 2:
            raise ValueError
        self.a = nn.Linear(1, 1)
    self.b = nn.Linear(2, 2)
    """,
    before="import contextlib, random",
)
in_init(
    "suppressed where a file is lacking",
    """
    with contextlib.suppress(Exception):
        json.load(open("/nowhere/at/all"))
        self.a = nn.Linear(1, 1)
    """,
    before="import contextlib, json",
)
hard(
    "suppressed by the caller",
    """
    import contextlib, random

    def maybe(net):
        if random.random() < 2:
            raise ImportError
        net.m = nn.Linear(1, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            with contextlib.suppress(ImportError):
                maybe(self)
    """,
)
in_init(
    "an import that is suppressed",
    """
    if HAS:
        self.b = nn.Linear(1, 1)
    self.a = nn.Linear(1, 1)
    """,
    before="""
    import contextlib
    HAS = False
    with contextlib.suppress(ImportError):
        import certainly_not_installed
        HAS = True
    """,
)
MANAGER = """
import random

class Manager:
    def __init__(self, net, name, keep):
        self.net, self.name, self.keep = net, name, keep
    def __enter__(self):
        return self
    def __exit__(self, kind, value, traceback):
        setattr(self.net, self.name + ("_fell" if kind is None else "_raised"), nn.Linear(1, 1))
        return self.keep
"""
in_init(
    "a manager that keeps what is raised",
    """
    with Manager(self, "a", True):
        if random.random() < 2:
            raise ValueError
        self.b = nn.Linear(1, 1)
    """,
    before=MANAGER,
)
in_init(
    "managers inside each other",
    """
    with Manager(self, "a", False), Manager(self, "b", True):
        raise ValueError
    with Manager(self, "c", True) as c, Manager(self, "d", False):
        c.net.e = nn.Linear(1, 1)
    """,
    before=MANAGER,
)
in_init(
    "a manager that is not known",
    """
    with MANAGER:
        if random.random() < 2:
            raise ValueError
        self.a = nn.Linear(1, 1)
    self.b = nn.Linear(1, 1)
    """,
    before="""
    import contextlib, random
    MANAGER = random.choice([contextlib.suppress(ValueError)])
    """,
)
hard(
    "private names",
    """
    class Base(nn.Module):
        def __init__(self):
            super().__init__()
            self.__n = 2
            self.__build()
        def __build(self): self.x = nn.Linear(self.__n, 1)
        class __In(nn.Module):
            def __init__(self, __w=3):
                super().__init__()
                self.__a = nn.Linear(__w, 1)
        def more(self):
            self.i = self.__In()
            setattr(self, type(self.i).__name__, nn.Linear(1, 1))
            setattr(self, self.__build.__name__, nn.Linear(1, 1))
    class Net(Base):
        def __init__(self):
            super().__init__()
            self.more()
            try: raise ValueError
            except ValueError as __e: self.q = nn.Linear(1, 1)
            self.__l = nn.ModuleList([nn.Linear(__k, 1) for __k in (1, 2)])
            self._Net__z = nn.Linear(4, 1)
            self.zz = self.__z
            import math as __m
            self.mm = nn.Linear(int(__m.floor(3.4)), 1)
            setattr(self, "__raw", nn.Linear(1, 1))
        def __build(self): self.y = nn.Linear(self.__n, 1)
    """,
)
hard(
    "what is there by nature",
    """
    class C:
        x: int = 3
    def fn(): pass
    def add(net, what, value, names):
        for name in names.split():
            if hasattr(value, name): setattr(net, what + name, nn.Linear(1, 1))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            lin = nn.Linear(1, 1)
            some = "_forward_hooks _state_dict_hooks _non_persistent_buffers_set __dict__ __annotations__ __doc__"
            kinds = "__subclasses__ mro __call__ __init__ __wrapped__ __code__ __globals__ __self__ __get__ __iter__"
            for what, value in {"lin": lin, "self": self, "cls": C, "own": C(), "kind": nn.Linear, "net": Net}.items():
                add(self, what, value, some)
                add(self, what, value, kinds)
            for what, value in {"fn": fn, "len": len, "n": 3, "nn": nn, "gen": iter(()), "p": property(fn)}.items():
                add(self, what, value, kinds + " __doc__ __annotations__")
    """,
)
hard(
    "an attribute that no table has",
    """
    class C: pass
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            try:
                C.__subclasses__()
                self.a = nn.Linear(1, 1)
            except AttributeError:
                self.b = nn.Linear(1, 1)
            if getattr(self, "_forward_hooks", None) is None: self.c = nn.Linear(1, 1)
    """,
)
hard(
    "words and annotations",
    '''
    class C:
        """Words."""
        x: int = 3
    def fn():
        """Words."""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            if C.__doc__: self.a = nn.Linear(1, 1)
            if fn.__doc__: self.b = nn.Linear(1, 1)
            for name in C.__annotations__: setattr(self, name, nn.Linear(1, 1))
    ''',
)
hard(
    "what modules keep for themselves",
    """
    def hook(module, sd, prefix, meta):
        for k in list(sd): sd[k.replace("weight", "w")] = sd.pop(k)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.register_buffer("b", torch.zeros(2))
            try:
                self.a._state_dict_hooks[0] = hook
                self._non_persistent_buffers_set.add("b")
                self.c = nn.Linear(1, 1)
            except AttributeError:
                self.d = nn.Linear(1, 1)
    """,
)
hard(
    "a wrapper of what is no function",
    """
    import functools
    def deco(f):
        @functools.wraps(f)
        def inner(*a): return f(*a)
        return inner
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for g in (len, nn.Linear, functools.partial(len)):
                if hasattr(deco(g), "__wrapped__"):
                    setattr(self, "a" + str(getattr(g, "__name__", "")), nn.Linear(1, 1))
    """,
)
hard(
    "a descriptor",
    """
    class Scaled:
        def __set_name__(self, owner, name): self.name = name
        def __get__(self, obj, owner=None):
            return 5 if obj is None else obj.__dict__[self.name] * 2
        def __set__(self, obj, value): obj.__dict__[self.name] = value
        def __delete__(self, obj): obj.gone = nn.Linear(1, 1)
    class Net(nn.Module):
        width = Scaled()
        def __init__(self):
            super().__init__()
            self.width = 3
            self.a = nn.Linear(self.width, Net.width)
            del self.width
    """,
)
hard(
    "a property that is deleted",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            try:
                del self.width
                self.a = nn.Linear(1, 1)
            except AttributeError:
                self.c = nn.Linear(1, 1)
        @property
        def width(self): return 3
        @width.deleter
        def width(self): self.b = nn.Linear(1, 1)
    """,
)
hard(
    "attributes that are computed",
    """
    class Cfg:
        def __init__(self): self.n = 3
        def __getattribute__(self, name):
            return object.__getattribute__(self, name) * 2 if name == "n" else object.__getattribute__(self, name)
    class Other:
        def __init__(self): self.n = 3
    Other.__getattribute__ = Cfg.__getattribute__
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(Cfg().n, 1)
            self.b = nn.Linear(Other().n, 1)
    """,
)
hard(
    "attributes of a module that are computed",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.b = self.a if isinstance(self.a, nn.Linear) else nn.Linear(2, 2)
        def __getattribute__(self, name):
            return 3 if name == "a" else super().__getattribute__(name)
    """,
)
hard(
    "names that __getattr__ answers",
    """
    class Wrap(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = nn.Linear(3, 4)
            self.n = nn.Linear(3, 4)
        def __getattr__(self, name):
            return 5 if name == "m" else super().__getattr__(name)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = Wrap()
            self.x = nn.Linear(1, 3 if isinstance(self.w.m, nn.Module) else 4)
            self.y = nn.Linear(1, 3 if isinstance(self.w.n, nn.Module) else 4)
    """,
)
hard(
    "a __setattr__ that is no plain function",
    """
    import functools
    def renamed(self, tag, name, value):
        nn.Module.__setattr__(self, name + tag if name == "a" else name, value)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
        __setattr__ = functools.partialmethod(renamed, "_t")
    """,
)
hard(
    "methods of a dict as those of attributes",
    """
    class Attributes(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__
        __delattr__ = dict.__delitem__
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            c = Attributes(w=3, v=4)
            c.q = 6
            del c.v
            self.a = nn.Linear(c.w, c.q)
            self.b = nn.Linear(1, len(c))
    """,
)
hard(
    "containers that are perhaps longer",
    """
    import random
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.ParameterList([torch.zeros(1)])
            if random.random() > 2: self.p.append(torch.zeros(2))
            self.p.append(torch.zeros(3))
            self.m = nn.ModuleList([nn.Linear(1, 1)])
            if random.random() > 2: self.m.append(nn.Linear(2, 2))
            self.m.append(nn.Linear(3, 3))
            self.s = nn.Sequential(nn.Linear(1, 1))
            if random.random() > 2: self.s.insert(0, nn.Linear(2, 2))
            self.t = nn.Sequential(*self.s, nn.Linear(4, 4))
            self.q = nn.Linear(len(self.m), 1)
    """,
)
hard(
    "keys that are perhaps there",
    """
    import random
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.d = nn.ModuleDict({"a": nn.Linear(1, 1)})
            if random.random() > 2: self.d["b"] = nn.Linear(2, 2)
            for name in self.d: setattr(self, name, nn.Linear(1, 1))
            self.n = nn.Linear(len(self.d), 1)
            self.e = nn.ModuleDict(self.d)
            if "b" in self.d: self.f = nn.Linear(1, 1)
    """,
)
hard(
    "attributes that are perhaps there",
    """
    import random
    class Other: pass
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            other = Other()
            other.a = 1
            if random.random() > 2: other.b = 2
            for name in vars(other): setattr(self, name, nn.Linear(1, 1))
            self.n = nn.Linear(len(other.__dict__), 1)
            if "b" in vars(other): self.c = nn.Linear(1, 1)
            for name, value in other.__dict__.items(): setattr(self, f"d_{name}", nn.Linear(1, 1))
    """,
)
hard(
    "places in containers",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.ModuleList([nn.Linear(1, 1)])
            self.l.insert(7, nn.Linear(2, 2))
            self.m = nn.ModuleList([nn.Linear(n, n) for n in (1, 2, 3)])
            delattr(self.m, "0")
            self.m.extend([nn.Linear(4, 4), nn.Linear(5, 5)])
            self.n = nn.ModuleList([nn.Linear(n, n) for n in (1, 2, 3)])
            self.n.insert(1, nn.Linear(9, 9))
            del self.n[0]
            self.s = nn.Sequential(*[nn.Linear(n, n) for n in (1, 2, 3)])
            self.s.insert(-1, nn.Linear(9, 9))
            self.s = self.s[1:]
            self.s.append(nn.Linear(4, 4))
            self.s[0] = nn.Linear(8, 8)
            s = t = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
            s *= 2
            self.t = t
            self.u = nn.Sequential(nn.Linear(1, 1)) * 3
    """,
)
hard(
    "containers that hold more than they count",
    """
    class List(nn.ModuleList):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3))
            self.norm = nn.LayerNorm(3)
    class Dict(nn.ModuleDict):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = List()
            self.l.append(nn.Linear(1, 1))
            self.d = Dict()
            if "w" in self.d: self.x = nn.Linear(1, 1)
            self.n = nn.Linear(1 + len(self.d), len(self.l))
            self.p = nn.ParameterDict({"b": torch.zeros(1), "a": torch.zeros(2)})
            self.p.update({"z": torch.zeros(1), "y": torch.zeros(2)})
            self.p.update([("m", torch.zeros(1)), ("l", torch.zeros(2))])
    """,
)
hard(
    "children that are perhaps there",
    """
    import random
    class In(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            if random.random() > 2: self.b = nn.Linear(2, 2)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.i = In()
            self.s = nn.Sequential(*self.i.children())
            for name, child in self.i.named_children(): setattr(self, name, nn.Linear(1, 1))
    """,
)
hard(
    "methods that torch calls and the program overrides",
    """
    class Stages(nn.ModuleList):
        def __len__(self): return 2 * len(self._modules)
    class Wrapping(nn.ModuleList):
        def extend(self, modules): return super().extend([nn.Sequential(m) for m in modules])
    class Row(nn.Sequential):
        def append(self, module): return super().append(nn.Sequential(module))
    class Named(nn.ModuleDict):
        def __setitem__(self, key, value): super().__setitem__(key.replace(".", "_"), value)
    class Weights(nn.ParameterList):
        def __setitem__(self, n, value): super().__setitem__(n, value * 2)
        def append(self, value): return super().append(torch.zeros(7))
    class Registering(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3))
            self.register_module("r", nn.Linear(1, 1))
        def register_parameter(self, name, p): super().register_parameter(name + "_raw", p)
        def add_module(self, name, m): super().add_module("m_" + name, m)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Stages()
            self.a.append(nn.Linear(1, 1))
            self.a.append(nn.Linear(2, 2))
            self.b = Wrapping([nn.Linear(1, 1)])
            self.b += [nn.Linear(2, 2)]
            self.c = Row(nn.Linear(2, 2))
            self.c.extend([nn.Linear(3, 3)])
            self.d = Named({"x": nn.Linear(1, 1)})
            self.d.update({"q.r": nn.Linear(1, 1)})
            self.e = Weights([torch.zeros(1)])
            self.f = Registering()
    """,
)
hard(
    "registries that are exchanged",
    """
    from collections import OrderedDict
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.l = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(2, 2))
            self.l._modules = OrderedDict((f"m{k}", v) for k, v in self.l._modules.items())
            self.b = nn.Linear(1, 1)
            self.b._parameters = {}
            self.c = nn.Linear(1, 1)
            self.c._buffers = {"w": torch.zeros(3)}
    """,
)
hard(
    "registries of the model that are exchanged",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self._modules = {"x": nn.Linear(2, 2)}
    """,
)
hard(
    "a class that is exchanged",
    """
    class Block(nn.Module):
        def grow(self): self.x = nn.Linear(1, 1)
    class Other(nn.Module):
        def grow(self): self.y = nn.Linear(1, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Block()
            self.a.__class__ = Other
            self.a.grow()
            self.b = Block()
            self.b.__dict__ = Other().__dict__
            self.b.grow()
    """,
)
hard(
    "an own state dict of a part",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.b = nn.Linear(1, 1)
            self.a.state_dict = lambda *a, **k: {"x": torch.zeros(1)}
            self.b._save_to_state_dict = lambda *a, **k: None
            self.c = nn.Linear(1, 1)
    """,
)
hard(
    "an own state dict of the model",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.state_dict = lambda *a, **k: {"x": torch.zeros(1)}
    """,
)
hard(
    "ways through modules",
    """
    class Extra(nn.Module):
        pass
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(2, 2)
            self.same = self.l
            self.w = nn.Parameter(torch.zeros(2))
            self.v = self.w
            self.register_buffer("z", torch.zeros(3))
            self.norm = nn.BatchNorm1d(2)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = Block()
            for m in self.modules():
                if isinstance(m, Block): m.extra = Extra()
                if isinstance(m, Extra): m.more = nn.Linear(1, 1)
            found = {}
            for i, (k, v) in enumerate(self.b.named_parameters(remove_duplicate=False)):
                found[f"p{i}{k}"] = v.detach()
            for i, (k, v) in enumerate(self.b.named_parameters(prefix="q")): found[f"q{i}{k}"] = v.detach()
            for i, (k, v) in enumerate(self.b.named_buffers(prefix="r", recurse=False)):
                found[f"r{i}{k}"] = v.clone()
            for i, v in enumerate(self.b.buffers(recurse=False)): found[f"s{i}"] = v.clone()
            for i, (k, v) in enumerate(self.b.state_dict().items()): found[f"t{i}{k}"] = v.clone()
            for i, (k, v) in enumerate(self.b.state_dict(prefix="u.").items()):
                found[f"t{i}{k}"] = v.clone()
            for k, v in found.items(): self.register_buffer(k.replace(".", "_"), v)
            for k, v in self.b.named_modules(remove_duplicate=False): setattr(self, f"m{len(k)}", nn.Linear(1, 1))
            for i, v in enumerate(self.b.children()): setattr(self, f"c{i}", nn.Linear(1, 1))
            for k, v in self.b.state_dict().items(): self.last = v
    """,
)
hard(
    "modules replaced on the way",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.ReLU()
            self.b = nn.ReLU()
            self.c = nn.ReLU()
            for name, child in self.named_children():
                if name == "a": self.b = nn.Linear(1, 1)
                if isinstance(child, nn.Linear): self.c = nn.Linear(2, 2)
    """,
)
hard(
    "modules added on the way",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.ReLU()
            try:
                for name, child in self.named_children(): setattr(self, name + "_", nn.Linear(1, 1))
                self.b = nn.Linear(1, 1)
            except RuntimeError:
                self.c = nn.Linear(1, 1)
    """,
)
hard(
    "the __init__ behind that of Module",
    """
    class Mixin:
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(2, 2)
    class Asking(nn.Module, Mixin):
        call_super_init = True
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
    class Silent(nn.Module, Mixin):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Asking()
            self.b = Silent()
    """,
)
hard(
    "the state dict of what has a state of its own",
    """
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
        def get_extra_state(self): return 3
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.o = Odd()
            self.n = nn.Linear(len(self.o.state_dict()), 1)
    """,
)
hard(
    "methods that are not known",
    """
    import random
    def changing(f):
        def inner(self):
            del self.a
            self.b = nn.Linear(1, 1)
        return inner
    DECORATOR = random.choice([changing])
    class Base(nn.Module):
        def strip(self): del self.a
    BASE = random.choice([Base])
    class Part(BASE):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.strip()
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            self.change()
            self.c = nn.Linear(1, 1)
            self.p = Part()
        @DECORATOR
        def change(self): pass
    """,
)
hard(
    "generators that guard what they yield",
    """
    def numbers(net, name):
        try:
            yield 1
            yield 2
        finally:
            setattr(net, name, nn.Linear(1, 1))
    class Part(nn.Module):
        def __init__(self, way):
            super().__init__()
            if way == "break":
                for i in numbers(self, "a"): break
            if way == "all":
                for i in numbers(self, "a"): setattr(self, f"n{i}", nn.Linear(1, 1))
            if way == "close":
                it = numbers(self, "a")
                next(it)
                it.close()
            if way == "never":
                it = numbers(self, "a")
            self.b = nn.Linear(1, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for way in ("break", "all", "close", "never"): setattr(self, way, Part(way))
    """,
)
hard(
    "generators that are sent something",
    """
    def growing():
        n = 1
        while True:
            got = yield nn.Linear(n, n)
            n = got or n + 1
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            it = growing()
            self.a = next(it)
            self.b = it.__next__()
            self.c = it.send(7)
            self.d = next(it)
            it = iter([nn.Linear(1, 1), nn.Linear(2, 2), nn.Linear(3, 3)])
            it.__next__()
            self.e = next(it.__iter__())
    """,
)
hard(
    "generators that raise",
    """
    def numbers(net, name):
        try:
            yield 1
            raise ValueError
        except ValueError:
            setattr(net, name + "_caught", nn.Linear(1, 1))
        finally:
            setattr(net, name, nn.Linear(1, 1))
    def leaving(net, name):
        try:
            yield 1
            return
        finally:
            setattr(net, name, nn.Linear(1, 1))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            try:
                list(numbers(self, "a"))
                self.b = nn.Linear(1, 1)
            except ValueError: self.c = nn.Linear(1, 1)
            list(leaving(self, "d"))
    """,
)
hard(
    "context managers made of generators",
    """
    import contextlib, random
    @contextlib.contextmanager
    def catching(net, name):
        setattr(net, name, nn.Linear(1, 1))
        try: yield net
        except ValueError: setattr(net, name + "_caught", nn.Linear(1, 1))
        else: setattr(net, name + "_fell", nn.Linear(1, 1))
        finally: setattr(net, name + "_left", nn.Linear(1, 1))
    @contextlib.contextmanager
    def passing(net, name):
        try: yield
        finally: setattr(net, name + "_left", nn.Linear(1, 1))
    @contextlib.contextmanager
    def bare(net, name):
        yield
        setattr(net, name + "_left", nn.Linear(1, 1))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            with catching(self, "a") as me: me.x = nn.Linear(1, 1)
            with catching(self, "b"): raise ValueError
            try:
                with passing(self, "c"), bare(self, "d"): raise KeyError
            except KeyError: self.e = nn.Linear(1, 1)
            with passing(self, "f"):
                self.g = nn.Linear(1 + (random.random() > 2), 1)
            with bare(self, "h"): self.i = nn.Linear(2, 2)
            try:
                with catching(self, "j"): raise TypeError
            except TypeError: self.k = nn.Linear(1, 1)
    """,
)
hard(
    "a generator that keeps what is perhaps raised",
    """
    import contextlib, random
    @contextlib.contextmanager
    def catching(net):
        try: yield
        except ValueError: net.a = nn.Linear(1, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            with catching(self):
                if random.random() < 2: raise ValueError
                self.b = nn.Linear(1, 1)
            self.c = nn.Linear(1, 1)
    """,
)
hard(
    "a manager of a generator that decorates",
    """
    import contextlib
    FLAG = [False]
    @contextlib.contextmanager
    def flag():
        FLAG[0] = True
        yield
        FLAG[0] = False
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.make()
        @flag()
        def make(self): self.a = nn.Linear(3 if FLAG[0] else 4, 1)
    """,
)
hard(
    "the order of sets",
    """
    NAMES = {"alpha", "beta", "gamma", "delta", "eps"}
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            for i, n in enumerate(NAMES): setattr(self, n, nn.Linear(i + 1, 1))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Part()
            self.b = nn.ModuleList(nn.Linear(i + 1, 1) for i, n in enumerate(frozenset(["q", "w", "e"]) | {"z"}))
            self.c = nn.Linear(len(list(NAMES)[0]), 1)
            self.d = nn.Linear([n for n in NAMES].index("beta") + 1, 1)
            for n in sorted(NAMES | {"x"}): setattr(self, n, nn.Linear(1, 1))
            for n in sorted(set(list("abc")) & {"a", "c"}): setattr(self, "s" + n, nn.Linear(1, 1))
            for n in {3, 1, 2}: setattr(self, f"n{n}", nn.Linear(1, 1))
            self.e = nn.Linear(len(max(NAMES)), 3 if all(n for n in NAMES) else 2)
    """,
)
hard(
    "what differs from run to run",
    """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(hash("abc") % 7 + 1, 1)
            self.b = nn.Linear(id(self) % 7 + 1, 1)
            self.c = nn.Linear(hash(3), 1)
            try:
                hash([])
                self.d = nn.Linear(1, 1)
            except TypeError: self.e = nn.Linear(1, 1)
    """,
)
hard(
    "abstract classes",
    """
    from collections import deque
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Sized
    from numbers import Integral, Number
    import numpy as np
    class Calling:
        def __call__(self): pass
    class Going:
        def __iter__(self): return iter(())
    class Own(list): pass
    def fn(): pass
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            values = {
                "generator": (i for i in (1, 2)), "none": None, "deque": deque([1]), "array": np.zeros(3),
                "number": np.int64(3),
                "tensor": torch.zeros(3), "keys": {}.keys(), "zip": zip([1], [2]), "list": nn.ModuleList(), "type": int,
                "parameter": nn.Parameter(torch.zeros(3)), "calling": Calling(), "going": Going(), "own": Own(),
                "bool": True, "text": "a", "module": self, "class": Own, "range": range(3), "len": len,
            }
            kinds = dict(c=Callable, h=Hashable, i=Iterable, j=Iterator, m=Mapping, q=Sequence, s=Sized, n=Integral)
            for a, value in values.items():
                for b, kind in kinds.items():
                    self.register_buffer(f"{a}_{b}", torch.zeros(3 if isinstance(value, kind) else 4))
    """,
)
hard(
    "an environment that is changed",
    """
    import os
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            os.environ["A_NAME_OF_OURS"] = "3"
            self.a = nn.Linear(int(os.getenv("A_NAME_OF_OURS", "4")), 1)
            self.b = nn.Linear(int(os.environ.pop("A_NAME_OF_OURS")), 1)
            self.c = nn.Linear(int(os.getenv("A_NAME_OF_OURS", "4")), 1)
    """,
)
hard(
    "fields that are only for the start",
    """
    from dataclasses import InitVar, asdict, dataclass, field, fields
    @dataclass
    class Config:
        width: int = 4
        times: InitVar[int] = 3
        more: InitVar[int] = field(default=2)
        total: int = field(init=False, default=9)
        def __post_init__(self, times, more): self.total = self.width * times + more
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            config = Config(5, 2)
            for each in fields(config): setattr(self, each.name, nn.Linear(getattr(config, each.name), 1))
            for name, value in asdict(config).items(): self.register_buffer(f"b_{name}", torch.zeros(value))
            self.same = nn.Linear(3 if config == Config(5, 2) else 4, config.times)
    """,
)
hard(
    "classes that unknown code is handed",
    """
    import random
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
    class Derived(Block): pass
    class Other(Block): pass
    def patch(classes):
        for cls in classes:
            def init(self, old=cls.__init__):
                old(self)
                self.b = nn.Linear(1, 1)
            cls.__init__ = init
    random.choice([patch])([Block, Other])
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Block()
            self.b = Derived()
            self.c = Other()
    """,
)
hard(
    "functions made methods",
    """
    import types
    def grow(self, *args): self.w = nn.Linear(1, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            types.MethodType(grow, self)()
            self.l = nn.Linear(1, 1)
            self.l.forward = types.MethodType(grow, self.l)
            self.l.forward()
            self.m = nn.Linear(1, 1)
            self.m.forward = types.MethodType(grow, self.m)
            self.m(torch.zeros(1))
    """,
)
hard(
    "metaclasses",
    """
    class Meta(type):
        def __call__(cls, *args):
            made = super().__call__(*args)
            made.post = nn.Linear(1, 1)
            return made
    class ABCMeta(Meta): pass
    WORDS = {"metaclass": Meta}
    class First(nn.Module, **WORDS): pass
    class Second(nn.Module, metaclass=ABCMeta): pass
    class Third(nn.Module, metaclass=type):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = First()
            self.b = Second()
            self.c = Third()
    """,
)
hard(
    "something added to a layer of torch",
    """
    def add(self, name): setattr(self, name, nn.Linear(1, 1))
    nn.Linear.of_ours = add
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2)
            self.a.of_ours("x")
            del nn.Linear.of_ours
    """,
)
hard(
    "a layer of torch that is patched",
    """
    old = nn.LayerNorm.__init__
    def init(self, *args, **kwargs):
        old(self, *args, **kwargs)
        self.gain = nn.Parameter(torch.zeros(1))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            nn.LayerNorm.__init__ = init
            self.a = nn.TransformerEncoderLayer(4, 2, 8)
            nn.LayerNorm.__init__ = old
    """,
)
hard(
    "a layer of torch that starts in another way",
    """
    old = nn.Linear.reset_parameters
    nn.Linear.reset_parameters = lambda self: None
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.TransformerEncoderLayer(4, 2, 8)
            self.b = nn.Linear(1, 1)
            nn.Linear.reset_parameters = old
    """,
)
hard(
    "any and all",
    """
    import random
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = nn.Linear(3 if any(x > 2 for x in (random.random(), 5)) else 4, 1)
            self.m = nn.Linear(3 if all(x > 2 for x in (5, random.random(), 1)) else 4, 1)
            self.o = nn.Linear(3 if any([0, 1]) and not all([1, 0]) and not any([]) and all([]) else 4, 1)
            any(setattr(self, f"x{i}", nn.Linear(1, 1)) for i in range(3))
            all(setattr(self, f"y{i}", nn.Linear(1, 1)) for i in range(3))
    """,
)
hard(
    "what any perhaps asks",
    """
    import random
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            any(self.add(i) for i in range(3))
            self.a = nn.Linear(1, 1)
        def add(self, i):
            setattr(self, f"x{i}", nn.Linear(1, 1))
            return random.random() < 2
    """,
)

EXACT = {
    "private names",
    "names that __getattr__ answers",
    "a __setattr__ that is no plain function",
    "places in containers",
    "methods that torch calls and the program overrides",
    "containers that hold more than they count",
    "ways through modules",
    "modules replaced on the way",
    "the __init__ behind that of Module",
    "context managers made of generators",
    "an environment that is changed",
    "fields that are only for the start",
    "functions made methods",
    "any and all",
}
"""Programs that are followed to the end: nothing of them is open, and nothing else would be an answer."""
OPEN = {
    "a try around a device that lacks",
    "a try around a device that is named",
    "a try around a layer on a device",
}
"""Programs that the model here is no judge of: what they do depends on where they run."""


@pytest.mark.parametrize("name", HARD)
def test_what_is_said_is_there_and_the_rest_is_open(name: str, tmp_path: Path) -> None:
    said = assert_never_wrong(program(tmp_path, HARD[name]))
    if name in EXACT:
        assert said.open == ()
    if name in OPEN:
        assert said.open


def test_modules_fill_a_registry_in_the_order_in_which_python_runs_them(tmp_path: Path) -> None:
    files = {
        "never_wrong_base": "REGISTRY = {}\ndef register(cls):\n    REGISTRY[cls.__name__] = cls\n    return cls\n",
        "never_wrong_first": "class A(nn.Linear):\n    def __init__(self): super().__init__(1, 1)\n",
        "never_wrong_second": "class B(nn.Linear):\n    def __init__(self): super().__init__(2, 2)\n",
    }
    for name, text in files.items():
        head = "import torch.nn as nn\nfrom never_wrong_base import register\n@register\n" if "class" in text else ""
        (tmp_path / f"{name}.py").write_text(head + text, encoding="utf-8")
    net = """
        import never_wrong_second, never_wrong_first
        from never_wrong_base import REGISTRY
        from never_wrong_first import A
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = A()
                for name, cls in REGISTRY.items(): setattr(self, name, cls())
        """
    said = assert_never_wrong(program(tmp_path, dedent(net)))
    assert said.open
