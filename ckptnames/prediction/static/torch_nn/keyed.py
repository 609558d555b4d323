"""``ModuleDict``, ``ParameterList`` and ``ParameterDict``: what they register, under which names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ckptnames.prediction.static.interpreter.classes import instantiate
from ckptnames.prediction.static.interpreter.functions import as_keywords
from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.torch_nn.containers import by_method, method, register, require_index, start
from ckptnames.prediction.static.values import Instance, Module, Tensor, Unknown, Value


@method("ModuleDict", "__init__")
def _module_dict(machine: Machine, self: Module, modules: Value = None) -> Value:
    start(machine, self)
    if modules is not None:
        return by_method(machine, self, "update", _update, modules)
    return None


@method("ModuleDict", "update")
def _update(machine: Machine, self: Module, modules: Value) -> Value:
    try:
        for name, module in _pairs(machine, modules):
            by_method(machine, self, "__setitem__", _set_key, name, module)
    except Unsure as unsure:
        machine.open(self, unsure.why, all_of_it=True)
    return None


def _pairs(machine: Machine, value: Value) -> Iterable[tuple[Value, Value]]:
    if isinstance(value, Module):
        return list(_known(machine, value).items())
    if isinstance(value, dict | Instance):
        return list(as_keywords(machine, value).items())
    found = []
    for pair in machine.iterate(value):
        name, item = list(machine.iterate(pair))
        found.append((name, item))
    return found


@method("ModuleDict", "__getitem__")
def _get_key(machine: Machine, self: Module, key: Value) -> Value:
    if isinstance(key, Unknown):
        return key.within(self)
    if isinstance(key, Instance):
        key = key.payload
    if key in self.modules:
        return self.modules[key]
    if self.extra is not None:
        return self.extra
    raise machine.raised(KeyError, str(key))


@method("ModuleDict", "__setitem__")
def _set_key(machine: Machine, self: Module, key: Value, module: Value) -> Value:
    register(machine, self, key, module)
    return None


@method("ModuleDict ParameterDict", "__delitem__")
def _del_key(machine: Machine, self: Module, key: Value) -> Value:
    if isinstance(key, Unknown):
        machine.open(self, key, all_of_it=True)
        return None
    if key not in _held(self) and self.extra is None:
        raise machine.raised(KeyError, str(key))
    for names in (self.modules, self.params):
        if key in _held(self) and key in names:
            machine.touch(names)
            del names[key]
    return None


def _held(self: Module) -> dict[str, Value]:
    """Give what a mapping holds: only one of parameters takes parameters for items."""
    return {**self.modules, **self.params} if _is_of_parameters(self) else self.modules


def _is_of_parameters(self: Module) -> bool:
    return any(cls.layer == "torch.nn.ParameterDict" for cls in self.cls.mro)


@method("ModuleDict ParameterDict", "pop")
def _pop_key(machine: Machine, self: Module, key: Value) -> Value:
    found = machine.call(machine.get(self, "__getitem__"), [key])
    by_method(machine, self, "__delitem__", _del_key, key)
    return found


@method("ModuleDict ParameterDict", "__contains__")
def _has_key(machine: Machine, self: Module, key: Value) -> Value:
    if self.extra is not None or isinstance(key, Unknown):
        return (self.extra or key).as_plain()
    found = _held(self).get(key)
    return found.as_plain() if isinstance(found, Unknown) else key in _held(self)


def _known(machine: Machine, self: Module) -> dict[str, Value]:
    perhaps = next((value for value in _held(self).values() if isinstance(value, Unknown) and value.perhaps), None)
    if self.extra is not None or perhaps is not None:
        raise Unsure(self.extra or perhaps)  # type: ignore[arg-type]
    return _held(self)


@method("ModuleDict ParameterDict", "__len__")
def _length(machine: Machine, self: Module) -> Value:
    return len(_known(machine, self))


@method("ModuleDict ParameterDict", "keys", "__iter__")
def _keys(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter(list(_known(machine, self))))


@method("ModuleDict ParameterDict", "values")
def _values(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter(list(_known(machine, self).values())))


@method("ModuleDict ParameterDict", "items")
def _items(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter(list(_known(machine, self).items())))


@method("ModuleDict", "clear")
def _clear(machine: Machine, self: Module) -> Value:
    machine.touch(self.modules)
    self.modules.clear()
    return None


@method("ParameterList", "__init__")
def _parameter_list(machine: Machine, self: Module, values: Value = None) -> Value:
    start(machine, self)
    machine.touch(self.attrs)
    self.attrs["n values"] = 0
    if values is not None:
        return by_method(machine, self, "__iadd__", _add_parameters, values)
    return None


@method("ParameterList", "__iadd__")
def _add_parameters(machine: Machine, self: Module, values: Value) -> Value:
    return by_method(machine, self, "extend", _extend_parameters, values)


@method("ParameterList", "extend")
def _extend_parameters(machine: Machine, self: Module, values: Value) -> Value:
    try:
        for value in list(machine.iterate(values)):
            by_method(machine, self, "append", _append_parameter, value)
    except Unsure as unsure:
        machine.open(self, unsure.why)
    return self


@method("ParameterList", "append")
def _append_parameter(machine: Machine, self: Module, value: Value) -> Value:
    if self.extra is not None:
        return self
    n = by_method(machine, self, "__len__", _n_values)
    if isinstance(n, Unknown):
        machine.open(self, n)
        return self
    machine.touch(self.attrs)
    self.attrs["n values"] += 1
    by_method(machine, self, "__setitem__", _set_parameter, n, value)
    return self


def _n_values(machine: Machine, self: Module) -> Value:
    return self.extra.as_plain() if self.extra is not None else self.attrs["n values"]


def _known_n(machine: Machine, self: Module) -> int:
    n = by_method(machine, self, "__len__", _n_values)
    if not isinstance(n, int):
        raise Unsure(n if isinstance(n, Unknown) else machine.unknown("a length is not followed"))
    return n


@method("ParameterList", "__getitem__")
def _get_parameter(machine: Machine, self: Module, index: Value) -> Value:
    if self.extra is not None or isinstance(index, Unknown):
        return self.extra or index.within(self)
    n = _known_n(machine, self)
    if isinstance(index, slice):
        return instantiate(machine, self.cls, [[machine.get(self, str(i)) for i in range(n)[index]]], {})
    index = machine.torch.as_number(index)
    if not -n <= index < n:
        raise machine.raised(IndexError, f"index {index} is out of range")
    return machine.get(self, str(index % n))


@method("ParameterList", "__setitem__")
def _set_parameter(machine: Machine, self: Module, index: Value, value: Value) -> Value:
    require_index(machine, self, index)
    n = _known_n(machine, self)
    if not -n <= index < n:
        raise machine.raised(IndexError, f"index {index} is out of range")
    if isinstance(value, Tensor) and not value.is_parameter:
        value = machine.torch.parameter(machine, value)
    machine.set(self, str(index % n), value)
    return None


@method("ParameterList", "__iter__")
def _iterate_parameters(machine: Machine, self: Module) -> Value:
    if self.extra is not None:
        raise Unsure(self.extra)
    return iterator(machine, iter([machine.get(self, str(n)) for n in range(_known_n(machine, self))]))


@method("ParameterDict", "__init__")
def _parameter_dict(machine: Machine, self: Module, values: Value = None) -> Value:
    start(machine, self)
    if values is not None:
        return by_method(machine, self, "update", _update_parameters, values)
    return None


@method("ParameterDict", "update")
def _update_parameters(machine: Machine, self: Module, values: Value) -> Value:
    try:
        pairs = list(_pairs(machine, values))
        if isinstance(values, dict) and not isinstance(values, OrderedDict):
            pairs.sort(key=lambda pair: pair[0])  # as torch does
    except Unsure as unsure:
        machine.open(self, unsure.why, all_of_it=True)
        return None
    for name, value in pairs:
        by_method(machine, self, "__setitem__", _set_named_parameter, name, value)
    return None


@method("ParameterDict", "__setitem__")
def _set_named_parameter(machine: Machine, self: Module, key: Value, value: Value) -> Value:
    if isinstance(key, Unknown):
        machine.open(self, key, all_of_it=True)
        return None
    if isinstance(value, Tensor) and not value.is_parameter:
        value = machine.torch.parameter(machine, value)
    elif not isinstance(value, Tensor):
        machine.open(self, machine.unknown("what is put among parameters is none"))
    machine.set(self, key, value)
    return None


@method("ParameterDict", "__getitem__")
def _get_named_parameter(machine: Machine, self: Module, key: Value) -> Value:
    if isinstance(key, Unknown):
        return key
    if key not in self.params and key not in self.attrs:
        if self.extra is not None:
            return self.extra
        raise machine.raised(KeyError, str(key))
    return machine.get(self, key)
