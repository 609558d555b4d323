"""What ``torch.nn.Module`` does: how names are registered, and the methods that programs call on modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Stuck
from ckptnames.prediction.static.values import (
    MODULE,
    Class,
    Function,
    Instance,
    Method,
    Module,
    Names,
    Native,
    Tensor,
    Token,
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
        _put(machine, module, module.params, name, value)
        return True
    if name in module.params:
        _put(machine, module, module.params, name, _none(machine, module, name, value))
        return True
    if isinstance(value, Module):
        _require_ready(machine, module, "modules")
        _take_off(machine, module, name, module.attrs, module.buffers, module.params)
        _put(machine, module, module.modules, name, value)
        return True
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
    module.fleeting.pop(name, None)


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
        self.attrs.setdefault("training", True)
    return None


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
        if isinstance(tensor, Unknown):
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


@method("add_module", "register_module")
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
    from ckptnames.prediction.static.interpreter.attributes import set_on_instance

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
    found = machine.torch.class_attribute(machine, (self.cls.layers or [_module_class(self.cls)])[0], name)
    if found is None:
        raise machine.raised(AttributeError, f"'{self.cls.name}' object has no attribute '{name}'")
    return Method(found, self) if isinstance(found, Native) and found.binds else found


def _module_class(cls: Class) -> Class:
    return next(base for base in cls.mro if base.layer == MODULE)


@method("__call__")
def _call(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Run a module on tensors: some models find out sizes that way."""
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
    """Visit a module and those below it, each once."""
    met = set() if met is None else met
    if id(module) in met:
        return
    met.add(id(module))
    yield prefix, module
    for name, child in list(module.modules.items()):
        if isinstance(child, Module):
            yield from named_modules(child, f"{prefix}.{name}" if prefix else name, met)


def require_known(machine: Machine, module: Module) -> None:
    """Raise ``Stuck`` where what is below a module is not known: whatever goes through it may miss something."""
    for _, each in named_modules(module):
        why = each.extra or next((child for child in each.modules.values() if isinstance(child, Unknown)), None)
        if why is not None:
            raise Stuck(why)


def _pairs(machine: Machine, module: Module) -> list[tuple[str, Module]]:
    require_known(machine, module)
    return list(named_modules(module))


@method("named_modules")
def _named_modules(
    machine: Machine, self: Module, memo: Value = None, prefix: str = "", remove_duplicate: Value = True
) -> Value:
    require_known(machine, self)
    return iterator(machine, iter(list(named_modules(self, prefix))))


@method("modules")
def _modules(machine: Machine, self: Module) -> Value:
    return iterator(machine, iter([module for _, module in _pairs(machine, self)]))


@method("named_children")
def _named_children(machine: Machine, self: Module) -> Value:
    _require_children(machine, self)
    return iterator(machine, iter([(name, child) for name, child in self.modules.items() if child is not None]))


@method("children")
def _children(machine: Machine, self: Module) -> Value:
    _require_children(machine, self)
    return iterator(machine, iter([child for child in self.modules.values() if child is not None]))


def _require_children(machine: Machine, self: Module) -> None:
    if self.extra is not None:
        raise Stuck(self.extra)


def _tensors(machine: Machine, module: Module, kind: str, recurse: bool) -> list[tuple[str, Tensor]]:
    found: dict[int, tuple[str, Tensor]] = {}
    for path, each in _pairs(machine, module) if recurse else [("", module)]:
        for name, tensor in getattr(each, kind).items():
            if isinstance(tensor, Unknown):
                raise Stuck(tensor)
            if tensor is not None:
                found.setdefault(id(tensor), (f"{path}.{name}" if path else name, tensor))
    return list(found.values())


@method("named_parameters")
def _named_parameters(
    machine: Machine, self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Value:
    found = _tensors(machine, self, "params", recurse)
    return iterator(machine, iter([(f"{prefix}.{n}" if prefix else n, t) for n, t in found]))


@method("parameters")
def _parameters(machine: Machine, self: Module, recurse: bool = True) -> Value:
    return iterator(machine, iter([tensor for _, tensor in _tensors(machine, self, "params", recurse)]))


@method("named_buffers")
def _named_buffers(
    machine: Machine, self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Value:
    return iterator(machine, iter(_tensors(machine, self, "buffers", recurse)))


@method("buffers")
def _buffers(machine: Machine, self: Module, recurse: bool = True) -> Value:
    return iterator(machine, iter([tensor for _, tensor in _tensors(machine, self, "buffers", recurse)]))


@method("apply")
def _apply(machine: Machine, self: Module, fn: Value) -> Value:
    """Call a function with every module below this one, and then with this one."""
    if self.extra is not None:
        raise Stuck(self.extra)
    for child in list(self.modules.values()):
        if isinstance(child, Unknown):
            raise Stuck(child)
        if child is not None:
            machine.call(machine.get(child, "apply"), [fn])
    machine.call(fn, [self])
    return self


@method("train", "eval", "requires_grad_", "cuda", "cpu", "xpu", "share_memory", "zero_grad", "compile", "to_empty")
def _self(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Names, shapes and dtypes stay as they are."""
    return self


@method("to")
def _to(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Unknown) and not value.plain:
            machine.open(self, value, all_of_it=True)
        elif _is_dtype(value):
            _convert(machine, self, value)
        elif isinstance(value, Tensor):
            _convert(machine, self, value.dtype)
        elif isinstance(value, Unknown):
            _perhaps_converted(machine, self, value)
    return self


def _is_dtype(value: Value) -> bool:
    return type(value).__name__ == "dtype" or (isinstance(value, Token) and value.name.startswith("torch."))


def _perhaps_converted(machine: Machine, module: Module, why: Unknown) -> None:
    """A device, most often; where it could be a dtype, the dtypes are not known any more."""
    if "device" in why.reason or "GPU" in why.reason:
        return
    for _, tensor in [*_tensors(machine, module, "params", True), *_tensors(machine, module, "buffers", True)]:
        tensor.dtype = why


def _convert(machine: Machine, module: Module, dtype: Value) -> None:
    for _, tensor in [*_tensors(machine, module, "params", True), *_tensors(machine, module, "buffers", True)]:
        machine.torch.converted(machine, tensor, dtype)


@method("half", "float", "double", "bfloat16")
def _converted(machine: Machine, self: Module) -> Value:
    raise machine.stuck("a conversion of all tensors is not followed")


def _conversion(name: str, dtype: str) -> None:
    def code(machine: Machine, self: Module) -> Value:
        _convert(machine, self, machine.torch.named(machine, f"torch.{dtype}"))
        return self

    METHODS[name] = Native(f"Module.{name}", code, binds=True)


for _name, _dtype in (("half", "float16"), ("float", "float32"), ("double", "float64"), ("bfloat16", "bfloat16")):
    _conversion(_name, _dtype)


@method("type")
def _type(machine: Machine, self: Module, dtype: Value) -> Value:
    _convert(machine, self, dtype)
    return self


@method("get_submodule")
def _get_submodule(machine: Machine, self: Module, target: Value) -> Value:
    if isinstance(target, Unknown):
        return target.within(self)
    found: Value = self
    for name in target.split(".") if target else []:
        found = machine.get(found, name)
    return found


@method("get_parameter", "get_buffer")
def _get_parameter(machine: Machine, self: Module, target: Value) -> Value:
    return _get_submodule(machine, self, target)


@method("set_submodule")
def _set_submodule(machine: Machine, self: Module, target: Value, module: Value, strict: Value = False) -> Value:
    if isinstance(target, Unknown):
        machine.open(self, target, all_of_it=True)
        return None
    above, _, name = target.rpartition(".")
    machine.set(_get_submodule(machine, self, above), name, module)
    return None


@method("state_dict")
def _state_dict(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    found = {}
    for path, each in _pairs(machine, self):
        for held in (each.params, each.buffers):
            for name, tensor in held.items():
                if tensor is not None and name not in each.fleeting:
                    found[f"{path}.{name}" if path else name] = tensor
    return found


@method(
    "load_state_dict", "register_full_backward_hook", "register_backward_hook", "_register_load_state_dict_pre_hook"
)
def _plain(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Names stay as they are; what comes back is no module."""
    return machine.plain("what a hook or a loading gives back is not known")


for _name in [
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook",
    "register_full_backward_pre_hook",
    "load_my_state_dict",
]:
    METHODS[_name] = Native(f"Module.{_name}", _plain, binds=True)
del METHODS["load_my_state_dict"]


@method("_register_state_dict_hook", "register_state_dict_pre_hook", "register_state_dict_post_hook")
def _say(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """A hook has a say in what is saved, and is not run."""
    machine.open(self, machine.unknown("a state-dict hook decides what is saved"), all_of_it=True)
    return machine.plain("a hook is registered")


@method("extra_repr", "_get_name", "__repr__", "__dir__")
def _text(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    return machine.plain("the text of a module is not known")


METHODS["_get_name"] = Native("Module._get_name", lambda machine, self: self.cls.name, binds=True)
METHODS["_version"] = 1
METHODS["dump_patches"] = False
METHODS["call_super_init"] = False


def saying(module: Module) -> str:
    """Name the code of a class of the program that has a say in what its state dict holds, if there is any."""
    for cls in module.cls.mro:
        if not cls.layer and cls.builtin is None:
            for name in ("state_dict", "_save_to_state_dict"):
                if name in cls.names:
                    return f"{cls.name}.{name}"
    return ""


def has_extra_state(module: Module) -> bool:
    """Tell whether a class of the program saves a value of its own beside its tensors."""
    return any("get_extra_state" in cls.names for cls in module.cls.mro if not cls.layer)
