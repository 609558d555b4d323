"""What ``torch.nn.Module`` does: how names are registered, and the methods that programs call on modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.values import (
    MODULE,
    Function,
    Instance,
    Method,
    Module,
    Names,
    Native,
    Tensor,
    Unknown,
    Value,
)

METHODS: dict[str, Value] = Names()
"""The methods of ``torch.nn.Module``."""
SAYS = frozenset({"state_dict", "_save_to_state_dict", "_register_state_dict_hook", "register_state_dict_pre_hook"})
"""What has a say in the names that a module saves."""


def method(*names: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Make a method of modules known."""

    def put(code: Callable[..., Value]) -> Callable[..., Value]:
        for name in names:
            METHODS[name] = Native(f"Module.{name}", code, binds=True)
        return code

    return put


def set_on_module(machine: Machine, module: Module, name: str, value: Value) -> bool:
    """Set an attribute as ``Module.__setattr__`` does; tells whether that registered something."""
    if isinstance(value, Unknown) and not value.plain:
        _take_off(machine, module, name, module.attrs, module.buffers, module.params)
        _put(machine, module, module.modules, name, value)
        return True
    if isinstance(value, Tensor) and value.is_parameter:
        _require_ready(machine, module, "parameters")
        _take_off(machine, module, name, module.attrs, module.buffers, module.modules)
        _register_by_method(machine, module, name, value)
        return True
    if name in module.params:
        _register_by_method(machine, module, name, _none(machine, module, name, value))
        return True
    if isinstance(value, Module):
        _require_ready(machine, module, "modules")
        _take_off(machine, module, name, module.attrs, module.buffers, module.params)
        _put(machine, module, module.modules, name, value)
        return True
    if isinstance(module.modules.get(name), Unknown) and value is not None and not isinstance(value, Unknown):
        # It cannot have been a module: something else takes its place without an error.
        _take_off(machine, module, name, module.modules)
    if name in module.modules:
        _put(machine, module, module.modules, name, _none(machine, module, name, value))
        return True
    if name in module.buffers:
        if not isinstance(value, Tensor):
            value = _none(machine, module, name, value)
        _put(machine, module, module.buffers, name, value)
        return True
    if isinstance(value, list | tuple | dict | Tensor) and machine.place is not None:
        module.sites[name] = machine.place
    return False


def _register_by_method(machine: Machine, module: Module, name: str, value: Value) -> None:
    """Register a parameter by ``register_parameter``, as torch does: the program may have one of its own."""
    found = module.cls.look_up("register_parameter")
    if found is not None and not found[0].layer:
        machine.call(machine.get(module, "register_parameter"), [name, value])
    else:
        _put(machine, module, module.params, name, value)


def _none(machine: Machine, module: Module, name: str, value: Value) -> Value:
    if value is None or isinstance(value, Unknown):
        return value
    raise machine.raised(TypeError, f"cannot assign '{type(value).__name__}' as '{name}'")


def _require_ready(machine: Machine, module: Module, what: str) -> None:
    if not module.ready and module.extra is None:
        raise machine.raised(AttributeError, f"cannot assign {what} before Module.__init__() call")


def _take_off(machine: Machine, module: Module, name: str, *held: dict[str, Value]) -> None:
    for names in held:
        if name in names:
            machine.touch(names)
            del names[name]
    if name in module.fleeting:
        machine.touch(module.fleeting)
        del module.fleeting[name]


def _put(machine: Machine, module: Module, names: dict[str, Value], name: str, value: Value) -> None:
    machine.touch(names)
    names[name] = value
    if machine.place is not None:
        module.sites[name] = machine.place


def _check_name(machine: Machine, module: Module, name: Value, kind: str) -> bool:
    """Hold that something can be registered under a name; ``False`` where that is not known."""
    if isinstance(name, Instance):
        name = name.payload
    if isinstance(name, Unknown):
        machine.open(module, name, all_of_it=True)
        return False
    if not isinstance(name, str):
        raise machine.raised(TypeError, f"{kind} name should be a string")
    if "." in name or not name:
        raise machine.raised(KeyError, f'{kind} name can\'t contain "." or be empty')
    return True


@method("__init__")
def _init(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Start a module: everything that was registered before is gone."""
    if isinstance(self, Module):
        for names in (self.params, self.buffers, self.modules, self.fleeting):
            machine.touch(names)
            names.clear()
        self.ready = True
        machine.touch(self.attrs)
        self.attrs.setdefault("training", True)
        _init_what_follows(machine, self, args, kwargs)
    return None


def _init_what_follows(machine: Machine, self: Module, args: tuple[Value, ...], kwargs: dict[str, Value]) -> None:
    """Go on with the ``__init__`` of the classes behind ``Module``, where a class asks for that."""
    asked = machine.truth(machine.find(self, "call_super_init", False))
    if isinstance(asked, Unknown):
        machine.open(self, asked, all_of_it=True)
    elif asked:
        found = self.cls.look_up("__init__", after=next(cls for cls in self.cls.mro if cls.layer == MODULE))
        if found is not None and found[0].builtin is None:
            machine.call(Method(found[1], self), args, kwargs)


@method("register_parameter")
def _register_parameter(machine: Machine, self: Module, name: Value, param: Value) -> Value:
    if _check_name(machine, self, name, "parameter"):
        if isinstance(param, Unknown):
            _put(machine, self, self.modules, name, param)
        else:
            _put(machine, self, self.params, name, param)
    return None


@method("register_buffer")
def _register_buffer(machine: Machine, self: Module, name: Value, tensor: Value, persistent: Value = True) -> Value:
    if not _check_name(machine, self, name, "buffer"):
        return None
    if name in self.attrs or name in self.params or name in self.modules:
        raise machine.raised(KeyError, f"attribute '{name}' already exists")
    if isinstance(tensor, Unknown):
        # Nothing, or a tensor of a shape that is not known.
        tensor = Tensor(None, tensor) if _is_computed(tensor) else tensor
        if isinstance(tensor, Unknown) and machine.truth(persistent) is not False:
            _put(machine, self, self.modules, name, tensor)
            return None
    kept = machine.truth(persistent)
    if isinstance(kept, Unknown):
        _put(machine, self, self.modules, name, kept)
        return None
    _put(machine, self, self.buffers, name, tensor)
    machine.touch(self.fleeting)
    self.fleeting.pop(name, None)
    if not kept:
        self.fleeting[name] = True
    return None


def _is_computed(value: Unknown) -> bool:
    return False


@method("register_module")
def _register_module(machine: Machine, self: Module, name: Value, module: Value) -> Value:
    return machine.call(machine.get(self, "add_module"), [name, module])


@method("add_module")
def _add_module(machine: Machine, self: Module, name: Value, module: Value) -> Value:
    if _check_name(machine, self, name, "module"):
        if name in self.attrs or name in self.params or name in self.buffers:
            raise machine.raised(KeyError, f"attribute '{name}' already exists")
        if module is not None and not isinstance(module, Module | Unknown):
            raise machine.raised(TypeError, "it is not a Module subclass")
        _put(machine, self, self.modules, name, module)
    return None


@method("__setattr__")
def _setattr(machine: Machine, self: Module, name: Value, value: Value) -> Value:
    from ckptnames.prediction.static.interpreter.setting import set_on_instance

    if isinstance(name, Unknown):
        machine.open(self, name, all_of_it=True)
    else:
        set_on_instance(machine, self, name, value)
    return None


@method("__delattr__")
def _delattr(machine: Machine, self: Module, name: Value) -> Value:
    for names in (self.params, self.buffers, self.modules, self.attrs):
        _take_off(machine, self, name, names)
    return None


@method("__getattr__")
def _getattr(machine: Machine, self: Module, name: Value) -> Value:
    for names in (self.params, self.buffers, self.modules):
        if name in names:
            return names[name]
    if self.opened is not None:
        return self.opened
    # What torch defines, and no table has.
    found = machine.torch.class_attribute(machine, next(base for base in self.cls.mro if base.layer), name)
    if found is MISSING:
        raise machine.raised(AttributeError, f"'{self.cls.name}' object has no attribute '{name}'")
    return Method(found, self) if isinstance(found, Native) and found.binds else found


@method("__call__")
def _call(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Run a module on tensors: some models find out sizes that way."""
    own = self.attrs.get("forward")
    if own is not None:
        return machine.call(own, args, kwargs)
    found = self.cls.look_up("forward")
    if found is not None and isinstance(found[1], Function):
        return machine.call(Method(found[1], self), args, kwargs)
    if found is not None and isinstance(found[1], Native):
        return machine.call(Method(found[1], self), args, kwargs)
    if self.extra is not None:
        return self.extra
    return machine.torch.forward(machine, self, list(args), kwargs)


METHODS["forward"] = Native(
    "Module.forward", lambda machine, self, *a, **k: machine.torch.forward(machine, self, list(a), k), True
)


def named_modules(module: Module, prefix: str = "", met: set[int] | None = None) -> Iterator[tuple[str, Module]]:
    """Visit a module and those below it as they are now, each once."""
    met = set() if met is None else met
    if id(module) in met:
        return
    met.add(id(module))
    yield prefix, module
    for name, child in list(module.modules.items()):
        if isinstance(child, Module):
            yield from named_modules(child, f"{prefix}.{name}" if prefix else name, met)


def saying(module: Module) -> str:
    """Name the code of the program that has a say in what the state dict of a module holds, if there is any."""
    for name in ("state_dict", "_save_to_state_dict"):
        if name in module.attrs:
            return f"{module.cls.name}.{name}"
    for cls in module.cls.mro:
        if not cls.layer and cls.builtin is None:
            for name in ("state_dict", "_save_to_state_dict"):
                if name in cls.names:
                    return f"{cls.name}.{name}"
    return ""


def has_extra_state(module: Module) -> bool:
    """Tell whether a class of the program saves a value of its own beside its tensors."""
    return any("get_extra_state" in cls.names for cls in module.cls.mro if not cls.layer)
