"""``ModuleDict``, ``ParameterList`` and ``ParameterDict``: what they register, under which names."""

from __future__ import annotations

from collections.abc import Iterable

from ckptnames.prediction.static.interpreter.classes import instantiate
from ckptnames.prediction.static.interpreter.functions import as_keywords
from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.torch_nn.containers import method, register, require_index, start
from ckptnames.prediction.static.values import Instance, Module, Tensor, Unknown, Value


@method("ModuleDict", "__init__")
def _module_dict(machine: Machine, self: Module, modules: Value = None) -> Value:
    start(machine, self)
    if modules is not None:
        return _update(machine, self, modules)
    return None


@method("ModuleDict", "update")
def _update(machine: Machine, self: Module, modules: Value) -> Value:
    try:
        for name, module in _pairs(machine, modules):
            register(machine, self, name, module)
    except Unsure as unsure:
        machine.open(self, unsure.why, all_of_it=True)
    return None


def _pairs(machine: Machine, value: Value) -> Iterable[tuple[Value, Value]]:
    if isinstance(value, Module):
        if value.extra is not None:
            raise Unsure(value.extra)
        return list((value.modules or value.params).items())
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
    for names in (self.modules, self.params):
        if key in names:
            machine.touch(names)
            del names[key]
    return None


@method("ModuleDict ParameterDict", "pop")
def _pop_key(machine: Machine, self: Module, key: Value) -> Value:
    found = machine.call(machine.get(self, "__getitem__"), [key])
    _del_key(machine, self, key)
    return found


@method("ModuleDict ParameterDict", "__contains__")
def _has_key(machine: Machine, self: Module, key: Value) -> Value:
    if self.extra is not None or isinstance(key, Unknown):
        return (self.extra or key).as_plain()
    found = self.modules.get(key, self.params.get(key))
    return found.as_plain() if isinstance(found, Unknown) else key in self.modules or key in self.params


def _known(self: Module) -> dict[str, Value]:
    if self.extra is not None:
        raise Unsure(self.extra)
    return {**self.modules, **self.params}


@method("ModuleDict ParameterDict", "keys", "__iter__")
def _keys(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter(list(_known(self))))


@method("ModuleDict ParameterDict", "values")
def _values(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter(list(_known(self).values())))


@method("ModuleDict ParameterDict", "items")
def _items(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter(list(_known(self).items())))


@method("ModuleDict", "clear")
def _clear(machine: Machine, self: Module) -> Value:
    machine.touch(self.modules)
    self.modules.clear()
    return None


@method("ParameterList", "__init__")
def _parameter_list(machine: Machine, self: Module, values: Value = None) -> Value:
    start(machine, self)
    self.attrs["n values"] = 0
    if values is not None:
        return _extend_parameters(machine, self, values)
    return None


@method("ParameterList", "extend", "__iadd__")
def _extend_parameters(machine: Machine, self: Module, values: Value) -> Value:
    try:
        for value in list(machine.iterate(values)):
            _append_parameter(machine, self, value)
    except Unsure as unsure:
        machine.open(self, unsure.why)
    return self


@method("ParameterList", "append")
def _append_parameter(machine: Machine, self: Module, value: Value) -> Value:
    if self.extra is not None:
        return self
    n = self.attrs["n values"]
    self.attrs["n values"] = n + 1
    if isinstance(value, Tensor) and not value.is_parameter:
        value = machine.torch.parameter(machine, value)
    machine.set(self, str(n), value)
    return self


@method("ParameterList", "__getitem__")
def _get_parameter(machine: Machine, self: Module, index: Value) -> Value:
    if self.extra is not None or isinstance(index, Unknown):
        return self.extra or index.within(self)
    n = self.attrs["n values"]
    if isinstance(index, slice):
        return instantiate(machine, self.cls, [[machine.get(self, str(i)) for i in range(n)[index]]], {})
    index = machine.torch.as_number(index)
    if not -n <= index < n:
        raise machine.raised(IndexError, f"index {index} is out of range")
    return machine.get(self, str(index % n))


@method("ParameterList", "__setitem__")
def _set_parameter(machine: Machine, self: Module, index: Value, value: Value) -> Value:
    require_index(machine, self, index)
    if isinstance(value, Tensor) and not value.is_parameter:
        value = machine.torch.parameter(machine, value)
    machine.set(self, str(index % self.attrs["n values"]), value)
    return None


@method("ParameterList", "__iter__")
def _iterate_parameters(machine: Machine, self: Module) -> Value:
    if self.extra is not None:
        raise Unsure(self.extra)
    return iterator(machine, iter([machine.get(self, str(n)) for n in range(self.attrs["n values"])]))


@method("ParameterDict", "__init__")
def _parameter_dict(machine: Machine, self: Module, values: Value = None) -> Value:
    start(machine, self)
    if values is not None:
        return _update_parameters(machine, self, values)
    return None


@method("ParameterDict", "update")
def _update_parameters(machine: Machine, self: Module, values: Value) -> Value:
    try:
        pairs = list(_pairs(machine, values))
    except Unsure as unsure:
        machine.open(self, unsure.why, all_of_it=True)
        return None
    for name, value in pairs:
        _set_named_parameter(machine, self, name, value)
    return None


@method("ParameterDict", "__setitem__")
def _set_named_parameter(machine: Machine, self: Module, key: Value, value: Value) -> Value:
    if isinstance(key, Unknown):
        machine.open(self, key, all_of_it=True)
        return None
    if isinstance(value, Tensor) and not value.is_parameter:
        value = machine.torch.parameter(machine, value)
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
