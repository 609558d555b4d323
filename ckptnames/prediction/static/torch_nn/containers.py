"""The table of torch's containers, and those that count what they hold: ``Sequential`` and ``ModuleList``."""

from __future__ import annotations

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


def register(machine: Machine, module: Module, name: str, value: Value) -> None:
    """Register a module under a name as ``add_module`` does, by the method of its class."""
    found = module.cls.look_up("add_module")
    if found is not None and not isinstance(found[1], Native):
        machine.call(machine.get(module, "add_module"), [name, value])
    else:
        OF_MODULE["add_module"].code(machine, module, name, value)


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
        return _extend(machine, self, modules)
    return None


@method("ModuleList Sequential", "extend", "__iadd__")
def _extend(machine: Machine, self: Module, modules: Value) -> Value:
    if self.extra is not None:
        return self
    try:
        values = list(machine.iterate(modules))
    except Unsure as unsure:
        machine.open(self, unsure.why)
        return self
    for value in values:
        _append(machine, self, value)
    return self


@method("ModuleList Sequential", "append")
def _append(machine: Machine, self: Module, module: Value) -> Value:
    if self.extra is None:  # else its number is not known
        if _not_a_module(machine, module):
            raise machine.raised(TypeError, f"{type(module).__name__} is not a Module subclass")
        register(machine, self, str(len(self.modules)), module)
    return self


@method("ModuleList Sequential", "insert")
def _insert(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    require_index(machine, self, index)
    values = list(self.modules.items())
    at = index if index >= 0 else max(len(values) + index, 0)
    sites = dict(self.sites)
    machine.touch(self.modules)
    self.modules.clear()
    for n, (name, value) in enumerate(values):
        moved = str(n + (n >= at))
        self.modules[moved] = value
        if name in sites:
            self.sites[moved] = sites[name]
    _put(machine, self, self.modules, str(at if at <= len(values) else len(values)), module)
    _in_order(machine, self)
    return None


def _in_order(machine: Machine, self: Module) -> None:
    machine.touch(self.modules)
    ordered = dict(sorted(self.modules.items(), key=lambda item: int(item[0])))
    self.modules.clear()
    self.modules.update(ordered)


def require_index(machine: Machine, self: Module, index: Value) -> None:
    """Raise ``Stuck`` where it is not known which item is meant."""
    if self.extra is not None:
        raise Stuck(self.extra)
    if isinstance(index, Unknown):
        machine.open(self, index, all_of_it=True)
        raise Stuck(index)


def _number(machine: Machine, self: Module, index: Value) -> int:
    index = machine.torch.as_number(index)
    n = len(self.modules)
    if not isinstance(index, int):
        raise machine.raised(TypeError, "an index must be a whole number")
    if not -n <= index < n:
        raise machine.raised(IndexError, f"index {index} is out of range")
    return index % n


@method("Sequential ModuleList", "__getitem__")
def _get_item(machine: Machine, self: Module, index: Value) -> Value:
    if self.extra is not None:
        return self.extra
    if isinstance(index, Unknown):
        return index.within(self)
    if isinstance(index, slice):
        return _sliced(machine, self, index)
    return list(self.modules.values())[_number(machine, self, index)]


def _sliced(machine: Machine, self: Module, index: slice) -> Value:
    """Cut a piece out: a Sequential keeps the names that it had, a list counts anew."""
    items = list(self.modules.items())[index]
    if self.cls.layer == "":
        return machine.call(self.cls, [dict(items) if _is_sequential(self) else [value for _, value in items]])
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
    _put(machine, self, self.modules, list(self.modules)[_number(machine, self, index)], module)
    return None


@method("ModuleList", "__setitem__")
def _set_item_of_list(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    require_index(machine, self, index)
    machine.set(self, str(_number(machine, self, index)), module)
    return None


@method("Sequential ModuleList", "__delitem__")
def _del_item(machine: Machine, self: Module, index: Value) -> Value:
    require_index(machine, self, index)
    names = list(self.modules)
    gone = names[index] if isinstance(index, slice) else [names[_number(machine, self, index)]]
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
    found = _get_item(machine, self, key)
    _del_item(machine, self, key)
    return found


@method("Sequential ModuleList ModuleDict ParameterList ParameterDict", "__len__")
def _length(machine: Machine, self: Module) -> Value:
    if self.extra is not None:
        return self.extra.as_plain()
    if "n values" in self.attrs:
        return self.attrs["n values"]
    return len(self.modules) or len(self.params)


@method("Sequential ModuleList", "__iter__")
def _iterate(machine: Machine, self: Module) -> Value:
    if self.extra is not None:
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
    if isinstance(n, Unknown) or self.extra is not None:
        raise Stuck(n if isinstance(n, Unknown) else self.extra)  # type: ignore[arg-type]
    found = instantiate(machine, self.cls.layers[0], [], {})
    for _ in range(n):
        for value in self.modules.values():
            _append(machine, found, value)
    return found
