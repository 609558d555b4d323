"""The methods of ``torch.nn.Module`` that go through modules, change them or ask for what they hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ckptnames.prediction.static.interpreter.items import iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Stuck
from ckptnames.prediction.static.torch_nn.layers import names_device
from ckptnames.prediction.static.torch_nn.module import METHODS, has_extra_state, method, named_modules, saying
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
        _require_children(each)


def _require_children(module: Module) -> None:
    why = module.extra or next((child for child in module.modules.values() if isinstance(child, Unknown)), None)
    if why is not None:
        raise Stuck(why)


def _items(machine: Machine, names: dict[str, Value]) -> Iterator[tuple[str, Value]]:
    """Go through names while the program runs on: what it puts in their places meanwhile is met, as in Python."""
    size = len(names)
    for name in list(names):
        if len(names) != size or name not in names:
            raise machine.raised(RuntimeError, "dictionary changed size during iteration")
        yield name, names[name]
    if len(names) != size:
        raise machine.raised(RuntimeError, "dictionary changed size during iteration")


def _walked(machine: Machine, module: Module, prefix: str, met: set[int] | None) -> Iterator[tuple[str, Module]]:
    """Visit a module and those below it, one after the other, while the program runs on; ``met``: each once."""
    if met is not None:
        if id(module) in met:
            return
        met.add(id(module))
    yield prefix, module
    _require_children(module)
    for name, child in _items(machine, module.modules):
        if child is not None:
            yield from _walked(machine, child, f"{prefix}.{name}" if prefix else name, met)


def _modules_of(
    machine: Machine, module: Module, prefix: Value = "", duplicates: bool = False
) -> Iterator[tuple[str, Module]]:
    require_known(machine, module)
    if not isinstance(prefix, str):
        raise Stuck(prefix if isinstance(prefix, Unknown) else machine.unknown("a prefix is not followed"))
    return _walked(machine, module, prefix, None if duplicates else set())


@method("named_modules")
def _named_modules(
    machine: Machine, self: Module, memo: Value = None, prefix: Value = "", remove_duplicate: Value = True
) -> Value:
    if memo is not None:
        raise machine.stuck("modules that were met before are not followed")
    return iterator(machine, _modules_of(machine, self, prefix, not machine.decided(remove_duplicate)))


@method("modules")
def _modules(machine: Machine, self: Module) -> Value:
    return iterator(machine, (module for _, module in _modules_of(machine, self)))


def _own_children(machine: Machine, self: Module) -> Iterator[tuple[str, Module]]:
    met = set[int]()
    for name, child in _items(machine, self.modules):
        if child is not None and id(child) not in met:
            met.add(id(child))
            yield name, child


def _unknown_child(self: Module) -> Unknown | None:
    """Give why it is not known how many children there are, as parts of the module."""
    if self.extra is not None:
        raise Stuck(self.extra)
    why = next((child for child in self.modules.values() if isinstance(child, Unknown)), None)
    return None if why is None else why.within(self)


@method("named_children")
def _named_children(machine: Machine, self: Module) -> Value:
    return _unknown_child(self) or iterator(machine, _own_children(machine, self))


@method("children")
def _children(machine: Machine, self: Module) -> Value:
    return _unknown_child(self) or iterator(machine, (child for _, child in _own_children(machine, self)))


def _tensors(
    machine: Machine, module: Module, kind: str, recurse: Value = True, prefix: Value = "", duplicates: bool = False
) -> Iterator[tuple[str, Tensor]]:
    """Go through the tensors of one kind, while the program runs on."""
    if machine.decided(recurse):
        paths = _modules_of(machine, module, prefix, duplicates)
    else:
        if module.extra is not None:
            raise Stuck(module.extra)
        paths = iter([(prefix, module)])
    return _tensors_in(machine, paths, kind, duplicates)


def _tensors_in(
    machine: Machine, paths: Iterator[tuple[str, Module]], kind: str, duplicates: bool
) -> Iterator[tuple[str, Tensor]]:
    met = set[int]()
    for path, each in paths:
        # What is registered and not known stands among the modules.
        _require_children(each)
        for name, tensor in _items(machine, getattr(each, kind)):
            if isinstance(tensor, Unknown):
                raise Stuck(tensor)
            if tensor is not None and (duplicates or id(tensor) not in met):
                met.add(id(tensor))
                yield f"{path}.{name}" if path else name, tensor


def _tensors_by_name(name: str, kind: str) -> None:
    @method(f"named_{name}")
    def named(
        machine: Machine,
        self: Module,
        prefix: Value = "",
        recurse: Value = True,
        remove_duplicate: Value = True,
    ) -> Value:
        duplicates = not machine.decided(remove_duplicate)
        return iterator(machine, _tensors(machine, self, kind, recurse, prefix, duplicates))

    @method(name)
    def bare(machine: Machine, self: Module, recurse: Value = True) -> Value:
        return iterator(machine, (tensor for _, tensor in _tensors(machine, self, kind, recurse)))


_tensors_by_name("parameters", "params")
_tensors_by_name("buffers", "buffers")


@method("apply")
def _apply(machine: Machine, self: Module, fn: Value) -> Value:
    """Call a function with every module below this one, and then with this one."""
    _require_children(self)
    for _, child in _own_children(machine, self):
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
    for _, tensor in [*_tensors(machine, module, "params"), *_tensors(machine, module, "buffers")]:
        tensor.dtype = why


def _convert(machine: Machine, module: Module, dtype: Value) -> None:
    for _, tensor in [*_tensors(machine, module, "params"), *_tensors(machine, module, "buffers")]:
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
    modules = list(_modules_of(machine, self, duplicates=True))
    prefix = kwargs.pop("prefix", "")
    if (
        args
        or kwargs
        or not isinstance(prefix, str)
        or any(saying(each) or has_extra_state(each) for _, each in modules)
    ):
        return machine.unknown("what a state dict of that kind holds is not followed").within(self)
    found = OrderedDict()
    for path, each in modules:
        for held in (each.params, each.buffers):
            for name, tensor in held.items():
                if isinstance(tensor, Unknown):
                    raise Stuck(tensor)
                if tensor is not None and name not in each.fleeting:
                    found[prefix + (f"{path}.{name}" if path else name)] = machine.torch.attribute(
                        machine, tensor, "data"
                    )
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
