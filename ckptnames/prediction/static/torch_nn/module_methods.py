"""The methods of ``torch.nn.Module`` that go through modules, change them or ask for what they hold."""

from __future__ import annotations

from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Stuck
from ckptnames.prediction.static.torch_nn.layers import names_device
from ckptnames.prediction.static.torch_nn.module import METHODS, method, named_modules
from ckptnames.prediction.static.values import (
    Module,
    Native,
    Tensor,
    Token,
    Unknown,
    Value,
)


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


@method("train", "eval", "requires_grad_", "cpu", "share_memory", "zero_grad", "compile")
def _self(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Names, shapes and dtypes stay as they are."""
    return self


@method("cuda", "xpu", "to_empty")
def _moved(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    """Go to a device that this machine may lack."""
    machine.doubts += 1
    return self


@method("to")
def _to(machine: Machine, self: Module, *args: Value, **kwargs: Value) -> Value:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Unknown) and not value.plain:
            machine.open(self, value, all_of_it=True)
        elif isinstance(value, str):
            machine.doubts += names_device(value)
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
