"""The table of torch's containers, and those that count what they hold: ``Sequential`` and ``ModuleList``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ckptnames.prediction.static.interpreter.classes import instantiate
from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Stuck, Unsure
from ckptnames.prediction.static.torch_nn.module import METHODS as OF_MODULE
from ckptnames.prediction.static.torch_nn.module import _put
from ckptnames.prediction.static.values import Module, Names, Native, Unknown, Value

CONTAINERS: dict[str, dict[str, Value]] = {}
"""The methods of each container, by its full name."""


def method(container: str, *names: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Make a method of containers known; several are given with a space between."""

    def put(code: Callable[..., Value]) -> Callable[..., Value]:
        for each in container.split():
            methods = CONTAINERS.setdefault(f"torch.nn.{each}", Names())
            for name in names:
                methods[name] = Native(f"{each}.{name}", code, binds=True)
        return code

    return put


def start(machine: Machine, module: Module) -> None:
    """Start a container, as ``Module.__init__`` does."""
    OF_MODULE["__init__"].code(machine, module)


def register(machine: Machine, module: Module, name: Value, value: Value) -> None:
    """Register a module under a name as ``add_module`` does, by the method of its class."""
    by_method(machine, module, "add_module", OF_MODULE["add_module"].code, name, value)


def by_method(machine: Machine, self: Module, name: str, code: Callable[..., Value], *args: Value) -> Value:
    """Do what torch does by a method of a container: that of its class, where the program has one of its own."""
    found = self.cls.look_up(name)
    if found is not None and not found[0].layer:
        return machine.call(machine.get(self, name), args)
    return code(machine, self, *args)


def settled(machine: Machine, self: Module) -> bool:
    """Tell whether it is known how many modules a container has; one for which it is not is open."""
    for name, value in self.modules.items():
        if isinstance(value, Unknown) and (value.perhaps or not name.isdigit()):
            machine.open(self, value)
    return self.extra is None


def count(machine: Machine, self: Module) -> int:
    """Give the length of a container. Raises ``Stuck`` where it is not known."""
    found = by_method(machine, self, "__len__", _length)
    if not isinstance(found, int):
        raise Stuck(found if isinstance(found, Unknown) else machine.unknown("a length is not followed"))
    return found


def _not_a_module(machine: Machine, value: Value) -> bool:
    return value is not None and not isinstance(value, Module | Unknown)


@method("Sequential", "__init__")
def _sequential(machine: Machine, self: Module, *args: Value) -> Value:
    start(machine, self)
    if len(args) == 1 and isinstance(args[0], dict):
        machine.check(args[0])
        for name, module in list(args[0].items()):
            register(machine, self, name, module)
        return None
    for n, module in enumerate(args):
        register(machine, self, str(n), module)
    return None


@method("ModuleList", "__init__")
def _module_list(machine: Machine, self: Module, modules: Value = None) -> Value:
    start(machine, self)
    if modules is not None:
        return by_method(machine, self, "__iadd__", _add_to_list, modules)
    return None


@method("ModuleList", "__iadd__")
def _add_to_list(machine: Machine, self: Module, modules: Value) -> Value:
    return by_method(machine, self, "extend", _extend, modules)


@method("ModuleList", "extend")
@method("Sequential", "__iadd__")
def _extend(machine: Machine, self: Module, modules: Value) -> Value:
    values = _values(machine, self, modules)
    if values:
        offset = count(machine, self)
        for n, value in enumerate(values):
            _register_numbered(machine, self, offset + n, value)
    return self


def _values(machine: Machine, self: Module, modules: Value) -> list[Value]:
    """Give what is added to a container; one of which the length is not known, then or before, is open."""
    if not settled(machine, self):
        return []
    try:
        return list(machine.iterate(modules))
    except Unsure as unsure:
        machine.open(self, unsure.why)
        return []


def _register_numbered(machine: Machine, self: Module, n: int, module: Value) -> None:
    if _not_a_module(machine, module):
        raise machine.raised(TypeError, f"{type(module).__name__} is not a Module subclass")
    register(machine, self, str(n), module)


@method("Sequential", "extend")
def _extend_sequential(machine: Machine, self: Module, modules: Value) -> Value:
    for value in _values(machine, self, modules):
        by_method(machine, self, "append", _append, value)
    return self


@method("ModuleList Sequential", "append")
def _append(machine: Machine, self: Module, module: Value) -> Value:
    if settled(machine, self):  # else its number is not known
        _register_numbered(machine, self, count(machine, self), module)
    return self


@method("ModuleList", "insert")
def _insert(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    """Move what stands behind by one, name by name, as torch does; one past the end gets the number that is asked."""
    require_index(machine, self, index)
    machine.touch(self.modules)
    for n in range(len(self.modules), index, -1):
        if str(n - 1) not in self.modules:
            raise machine.raised(KeyError, str(n - 1))
        self.modules[str(n)] = self.modules[str(n - 1)]
        if str(n - 1) in self.sites:
            self.sites[str(n)] = self.sites[str(n - 1)]
    _put(machine, self, self.modules, str(index), module)
    return None


@method("Sequential", "insert")
def _insert_in_sequential(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    require_index(machine, self, index)
    n = len(self.modules)
    if not -n <= index <= n:
        raise machine.raised(IndexError, f"index {index} is out of range")
    _insert(machine, self, index + n if index < 0 else index, module)
    return self


def require_index(machine: Machine, self: Module, index: Value) -> None:
    """Raise ``Stuck`` where it is not known which item is meant."""
    if not settled(machine, self):
        assert self.extra is not None
        raise Stuck(self.extra)
    if isinstance(index, Unknown):
        machine.open(self, index, all_of_it=True)
        raise Stuck(index)


def _number(machine: Machine, self: Module, index: Value) -> int:
    index = machine.torch.as_number(index)
    n = count(machine, self)
    if not isinstance(index, int):
        raise machine.raised(TypeError, "an index must be a whole number")
    if not -n <= index < n:
        raise machine.raised(IndexError, f"index {index} is out of range")
    return index % n


@method("Sequential ModuleList", "__getitem__")
def _get_item(machine: Machine, self: Module, index: Value) -> Value:
    if not settled(machine, self):
        return self.extra
    if isinstance(index, Unknown):
        return index.within(self)
    if isinstance(index, slice):
        return _sliced(machine, self, index)
    return self.modules[_name(machine, self, index)]


def _name(machine: Machine, self: Module, index: Value) -> str:
    """Give the name of the item that a number means: a list goes by the names, a Sequential by their order."""
    n = _number(machine, self, index)
    names = list(self.modules)
    if _is_sequential(self) and n < len(names):
        return names[n]
    if str(n) not in self.modules:
        raise machine.raised(KeyError, str(n))
    return str(n)


def _sliced(machine: Machine, self: Module, index: slice) -> Value:
    """Cut a piece out: a Sequential keeps the names that it had, a list counts anew."""
    items = list(self.modules.items())[index]
    if self.cls.layer == "":
        return machine.call(self.cls, [OrderedDict(items) if _is_sequential(self) else [value for _, value in items]])
    found = Module(self.cls, ready=True)
    for n, (name, value) in enumerate(items):
        _put(machine, found, found.modules, name if _is_sequential(self) else str(n), value)
        if name in self.sites:
            found.sites[name if _is_sequential(self) else str(n)] = self.sites[name]
    found.attrs["training"] = True
    return found


def _is_sequential(self: Module) -> bool:
    return any(cls.layer == "torch.nn.Sequential" for cls in self.cls.mro)


@method("Sequential", "__setitem__")
def _set_item_of_sequential(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    require_index(machine, self, index)
    machine.set(self, _name(machine, self, index), module)
    return None


@method("ModuleList", "__setitem__")
def _set_item_of_list(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    require_index(machine, self, index)
    machine.set(self, str(_number(machine, self, index)), module)
    return None


@method("Sequential ModuleList", "__delitem__")
def _del_item(machine: Machine, self: Module, index: Value) -> Value:
    require_index(machine, self, index)
    if isinstance(index, slice):
        names = list(self.modules) if _is_sequential(self) else [str(n) for n in range(len(self.modules))]
        gone = names[index]
    else:
        gone = [_name(machine, self, index)]
    if any(name not in self.modules for name in gone):
        raise machine.raised(AttributeError, "it has no such item")
    kept = [(name, value) for name, value in self.modules.items() if name not in gone]
    sites = dict(self.sites)
    machine.touch(self.modules)
    self.modules.clear()
    for n, (name, value) in enumerate(kept):
        self.modules[str(n)] = value
        if name in sites:
            self.sites[str(n)] = sites[name]
    return None


@method("Sequential ModuleList", "pop")
def _pop(machine: Machine, self: Module, key: Value = -1) -> Value:
    found = by_method(machine, self, "__getitem__", _get_item, key)
    by_method(machine, self, "__delitem__", _del_item, key)
    return found


@method("Sequential ModuleList ParameterList", "__len__")
def _length(machine: Machine, self: Module) -> Value:
    if self.extra is not None:
        return self.extra.as_plain()
    if "n values" in self.attrs:
        return self.attrs["n values"]
    return len(self.modules)


@method("Sequential ModuleList", "__iter__")
def _iterate(machine: Machine, self: Module) -> Value:
    if not settled(machine, self):
        assert self.extra is not None
        raise Unsure(self.extra)
    return iterator(machine, iter(list(self.modules.values())))


@method("Sequential", "__add__")
def _add_sequential(machine: Machine, self: Module, other: Value) -> Value:
    found = instantiate(machine, self.cls if self.cls.layer else self.cls.layers[0], [], {})
    return _extend(machine, _extend(machine, found, self), other)


@method("ModuleList", "__add__")
def _add_list(machine: Machine, self: Module, other: Value) -> Value:
    found = instantiate(machine, self.cls.layers[0], [], {})
    return _extend(machine, _extend(machine, found, self), other)


@method("Sequential", "__mul__", "__rmul__")
def _multiply(machine: Machine, self: Module, n: Value) -> Value:
    require_index(machine, self, n)
    if n <= 0:
        raise machine.raised(ValueError, "a factor must be positive")
    found = instantiate(machine, self.cls.layers[0], [], {})
    for _ in range(n):
        _extend(machine, found, self)
    return found


@method("Sequential", "__imul__")
def _multiply_in_place(machine: Machine, self: Module, n: Value) -> Value:
    require_index(machine, self, n)
    if n <= 0:
        raise machine.raised(ValueError, "a factor must be positive")
    n_before = count(machine, self)
    for at in range(n_before, n * n_before):
        if str(at % n_before) not in self.modules:
            raise machine.raised(KeyError, str(at % n_before))
        register(machine, self, str(at), self.modules[str(at % n_before)])
    return self
