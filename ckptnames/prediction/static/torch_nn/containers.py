"""Torch's containers, and those of its layers that are made of other modules: what they register, under which names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ckptnames.prediction.static.interpreter.classes import instantiate
from ckptnames.prediction.static.interpreter.functions import as_keywords
from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Stuck, Unsure
from ckptnames.prediction.static.stdlib.copying import deep_copy
from ckptnames.prediction.static.torch_nn.module import METHODS as OF_MODULE
from ckptnames.prediction.static.torch_nn.module import _put
from ckptnames.prediction.static.values import Instance, Module, Names, Native, Tensor, Unknown, Value

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


def _start(machine: Machine, module: Module) -> None:
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
    _start(machine, self)
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
    _start(machine, self)
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
    _require_index(machine, self, index)
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


def _require_index(machine: Machine, self: Module, index: Value) -> None:
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
    _require_index(machine, self, index)
    _put(machine, self, self.modules, list(self.modules)[_number(machine, self, index)], module)
    return None


@method("ModuleList", "__setitem__")
def _set_item_of_list(machine: Machine, self: Module, index: Value, module: Value) -> Value:
    _require_index(machine, self, index)
    machine.set(self, str(_number(machine, self, index)), module)
    return None


@method("Sequential ModuleList", "__delitem__")
def _del_item(machine: Machine, self: Module, index: Value) -> Value:
    _require_index(machine, self, index)
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


@method("ModuleDict", "__init__")
def _module_dict(machine: Machine, self: Module, modules: Value = None) -> Value:
    _start(machine, self)
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
    _start(machine, self)
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
    _require_index(machine, self, index)
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
    _start(machine, self)
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


# Modules around modules.


def _wrapper(name: str, attribute: str) -> None:
    """A class that holds what it wraps under an attribute."""

    def init(machine: Machine, self: Module, module: Value, *args: Value, **kwargs: Value) -> Value:
        _start(machine, self)
        _put(machine, self, self.modules, attribute, module)
        return None

    CONTAINERS[name] = Names({"__init__": Native(name, init, binds=True)})


for _full in (
    "torch.nn.DataParallel",
    "torch.nn.parallel.DistributedDataParallel",
    "torch.ao.quantization.stubs.QuantWrapper",
):
    _wrapper(_full, "module")
_wrapper("torch._dynamo.eval_frame.OptimizedModule", "_orig_mod")


@method("TransformerEncoder TransformerDecoder", "__init__")
def _layers(
    machine: Machine,
    self: Module,
    layer: Value = None,
    num_layers: Value = 1,
    norm: Value = None,
    *args: Value,
    **kwargs: Value,
) -> Value:
    layer = kwargs.get("encoder_layer", kwargs.get("decoder_layer", layer))
    _start(machine, self)
    if isinstance(num_layers, Unknown):
        machine.open(self, num_layers, all_of_it=True)
        return None
    if isinstance(layer, Unknown):
        _put(machine, self, self.modules, "layers", layer)
    else:
        copies = [deep_copy(machine, layer) for _ in range(num_layers)]
        _put(machine, self, self.modules, "layers", instantiate(machine, _class(machine, "ModuleList"), [copies], {}))
    self.attrs["num_layers"] = num_layers
    if isinstance(norm, Module | Unknown):
        _put(machine, self, self.modules, "norm", norm)
    else:
        self.attrs["norm"] = norm
    return None


def _class(machine: Machine, name: str) -> Value:
    return machine.torch.named(machine, f"torch.nn.{name}")


@method("Transformer", "__init__")
def _transformer(
    machine: Machine,
    self: Module,
    d_model: Value = 512,
    nhead: Value = 8,
    num_encoder_layers: Value = 6,
    num_decoder_layers: Value = 6,
    dim_feedforward: Value = 2048,
    dropout: Value = 0.1,
    activation: Value = "relu",
    custom_encoder: Value = None,
    custom_decoder: Value = None,
    layer_norm_eps: Value = 1e-5,
    batch_first: Value = False,
    norm_first: Value = False,
    bias: Value = True,
    device: Value = None,
    dtype: Value = None,
) -> Value:
    _start(machine, self)
    common = [
        d_model,
        nhead,
        dim_feedforward,
        dropout,
        activation,
        layer_norm_eps,
        batch_first,
        norm_first,
        bias,
        None,
        dtype,
    ]
    for name, custom, n in (
        ("encoder", custom_encoder, num_encoder_layers),
        ("decoder", custom_decoder, num_decoder_layers),
    ):
        if custom is None:
            kind = f"Transformer{name.title()}"
            layer = instantiate(machine, _class(machine, f"{kind}Layer"), list(common), {})
            norm_args = [d_model], {"eps": layer_norm_eps, "bias": bias, "dtype": dtype}
            norm = instantiate(machine, _class(machine, "LayerNorm"), *norm_args)
            custom = instantiate(machine, _class(machine, kind), [layer, n, norm], {})
        _put(machine, self, self.modules, name, custom)
    self.attrs.update(d_model=d_model, nhead=nhead, batch_first=batch_first)
    return None
