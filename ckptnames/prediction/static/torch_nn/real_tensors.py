"""Tensors where torch is installed: parameters, parts, attributes and methods, as torch itself answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.stdlib.arrays import is_array
from ckptnames.prediction.static.torch_nn.computing import META, Computing, Held
from ckptnames.prediction.static.values import (
    Class,
    Function,
    Instance,
    Method,
    Names,
    Native,
    Storage,
    Tensor,
    Unknown,
    Value,
    builtin_class,
)

_DEVICE_METHODS = frozenset({"cuda", "cpu", "xpu", "pin_memory", "requires_grad_", "share_memory_"})
_NUMBERS = frozenset({"item", "tolist", "numpy", "__int__", "__float__", "__bool__", "__index__"})
_OBJECT = builtin_class(object)


class RealTensors(Computing):
    """The part of the answers that is about tensors."""

    def __init__(self) -> None:
        self._tensor_classes: dict[str, Class] = {}

    def parameter(self, machine: Machine, data: Value, requires_grad: Value = True) -> Tensor:
        """Make a parameter of a tensor."""
        if isinstance(data, Unknown):
            return Tensor(None, data, is_parameter=True)
        if data is None:
            return Tensor((0,), torch.get_default_dtype(), True, True, handle=Held(torch.empty(0, device=META)))
        if not isinstance(data, Tensor):
            raise machine.raised(TypeError, f"a parameter is made of a tensor, not of a {type(data).__name__}")
        needs = machine.truth(requires_grad)
        if (
            data.shape is not None
            and needs is True
            and not (data.handle.meta.is_floating_point() or data.handle.meta.is_complex())
        ):
            raise machine.raised(RuntimeError, "Only Tensors of floating point and complex dtype can require gradients")
        return Tensor(data.shape, data.dtype, True, needs is True, data.storage, data.view, data.handle)

    def items(self, machine: Machine, tensor: Tensor) -> list[Value]:
        """Cut a tensor along its first dimension."""
        meta = self._meta(tensor)
        if not meta.dim():
            raise machine.raised(TypeError, "iteration over a 0-d tensor")
        return [self.item(machine, tensor, n) for n in range(meta.shape[0])]

    def item(self, machine: Machine, tensor: Tensor, key: Value) -> Value:
        """Give a part of a tensor."""
        return self.compute(machine, _get_item, "torch.Tensor.__getitem__", [tensor, key], {})

    def length(self, machine: Machine, tensor: Tensor) -> Value:
        """Give the size of the first dimension."""
        return self._meta(tensor).shape[0]

    def truth(self, machine: Machine, tensor: Tensor) -> bool | Unknown:
        """Tell whether a tensor counts as true."""
        if tensor.handle is not None and tensor.handle.real is not None and tensor.handle.real.numel() == 1:
            return bool(tensor.handle.real)
        return machine.plain("the numbers of a tensor are not known")

    def number(self, machine: Machine, tensor: Tensor, kind: type) -> Value:
        """Make a number of a tensor."""
        if tensor.handle is not None and tensor.handle.real is not None and tensor.handle.real.numel() == 1:
            return kind(tensor.handle.real)
        return machine.plain("the numbers of a tensor are not known")

    def as_number(self, value: Value) -> Value:
        """Give the whole number that a value stands for, or the value itself."""
        if isinstance(value, Tensor) and value.handle is not None and value.handle.real is not None:
            return int(value.handle.real)
        if is_array(value) and getattr(value, "ndim", 1) == 0:
            return value.item()
        if isinstance(value, Instance) and isinstance(value.payload, int):
            return value.payload
        return value

    def operator(self, machine: Machine, name: str, left: Value, right: Value, *, in_place: bool = False) -> Value:
        """Apply an operator of which a side is a tensor."""
        import operator

        function = getattr(operator, {"and": "and_", "or": "or_"}.get(name, name))
        if isinstance(left, Unknown) or isinstance(right, Unknown):
            return (left if isinstance(left, Unknown) else right).as_plain()
        found = self.compute(machine, function, f"torch.{name}", [left, right], {})
        if in_place and isinstance(left, Tensor) and isinstance(found, Tensor):
            self._replaced(machine, left, left.handle.meta)
            return left
        return found

    def method(self, machine: Machine, tensor: Tensor, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Call a method of a tensor."""
        if name in _DEVICE_METHODS:
            return tensor
        if name in ("to", "type", "type_as"):
            return self._moved(machine, tensor, args, kwargs)
        if name in ("backward", "register_hook", "retain_grad", "__repr__"):
            return machine.plain("what is computed with a tensor is not known")
        if name in _NUMBERS:
            real = tensor.handle.real if tensor.handle is not None else None
            if real is None:
                return machine.plain("the numbers of a tensor are not known")
            return real if name == "numpy" else getattr(real, name)()
        if name == "copy_" and args:
            self.changed(machine, tensor)
            return tensor
        function = getattr(torch.Tensor, name, None)
        if function is None:
            raise machine.raised(AttributeError, f"'Tensor' object has no attribute '{name}'")
        if name.startswith("new_"):
            kwargs.pop("device", None)
        return self.compute(machine, function, f"torch.Tensor.{name}", [tensor, *args], kwargs)

    def _moved(self, machine: Machine, tensor: Tensor, args: list[Value], kwargs: dict[str, Value]) -> Value:
        for value in (*args, *kwargs.values()):
            dtype = value.dtype if isinstance(value, Tensor) else value
            if isinstance(dtype, torch.dtype) and dtype != tensor.dtype:
                return self.compute(machine, torch.Tensor.to, "torch.Tensor.to", [tensor, dtype], {})
            if isinstance(value, Unknown) and "GPU" not in value.reason and "device" not in value.reason:
                return Tensor(tensor.shape, value, handle=None)
        return tensor

    def attribute(self, machine: Machine, tensor: Tensor, name: str) -> Value:
        """Give an attribute of a tensor."""
        if name in tensor.attrs:
            return tensor.attrs[name]
        if tensor.cls is not None and (own := tensor.cls.look_up(name)) is not None:
            return Method(own[1], tensor) if isinstance(own[1], Function) else own[1]
        if name in ("data", "detach"):
            if name == "detach":
                return Native("detach", lambda m: self._detached(tensor))
            return self._detached(tensor)
        if name == "requires_grad":
            return tensor.requires_grad
        if name == "grad":
            return None
        if name in ("device", "is_cuda", "grad_fn"):
            return machine.plain("the device of a tensor depends on the machine")
        if name in ("shape", "dtype", "ndim", "T", "mT", "H", "real", "imag", "itemsize", "nbytes", "is_leaf"):
            if tensor.shape is None:
                return (
                    tensor.dtype.as_plain()
                    if isinstance(tensor.dtype, Unknown)
                    else machine.plain("the shape of a tensor is not known")
                )
            found = getattr(tensor.handle.meta, name)
            return self._wrapped(found, [tensor])
        if name == "__class__":
            return self.tensor_class(machine, tensor)
        if not hasattr(torch.Tensor, name):
            return MISSING
        if not callable(getattr(torch.Tensor, name)):
            return machine.plain(f"'{name}' of a tensor is not known")
        return Native(f"Tensor.{name}", lambda m, *args, **kwargs: self.method(m, tensor, name, list(args), kwargs))

    def _detached(self, tensor: Tensor) -> Tensor:
        return Tensor(tensor.shape, tensor.dtype, False, False, tensor.storage, tensor.view, tensor.handle)

    def set_attribute(self, machine: Machine, tensor: Tensor, name: str, to: Value) -> None:
        """Set an attribute of a tensor."""
        if name == "data":
            if machine.journal.depth:
                to = to if isinstance(to, Unknown) else machine.plain("whether its numbers are exchanged is not known")
            if isinstance(to, Tensor):
                tensor.shape, tensor.dtype, tensor.storage = to.shape, to.dtype, to.storage
                tensor.handle = to.handle
            else:
                tensor.shape, tensor.dtype, tensor.handle = None, to, None
        elif name == "requires_grad":
            tensor.requires_grad = to is not False
        elif name != "grad":
            machine.touch(tensor.attrs)
            tensor.attrs[name] = to

    def changed(self, machine: Machine, tensor: Tensor) -> None:
        """Note that the numbers of a tensor are not what they were."""
        if tensor.handle is not None:
            tensor.handle = Held(tensor.handle.meta)

    def converted(self, machine: Machine, tensor: Tensor, dtype: Value) -> None:
        """Change the dtype of a tensor that a module holds."""
        if tensor.shape is None or isinstance(tensor.dtype, Unknown):
            return
        if machine.journal.depth:
            tensor.dtype = machine.plain("whether it is converted is not known")
            return
        if isinstance(dtype, torch.dtype) and tensor.dtype.is_floating_point and dtype.is_floating_point:
            tensor.handle = Held(tensor.handle.meta.to(dtype))
            tensor.dtype = dtype

    def _tensor_type(self, real: type) -> Class:
        name = real.__name__
        if name not in self._tensor_classes:
            own = Class(name, Names(), (), (), module="torch", known={"make": _make_tensor(self, real)})
            base = self._tensor_type(torch.Tensor) if real is not torch.Tensor else None
            own.mro = (own, base, _OBJECT) if base is not None else (own, _OBJECT)
            own.bases = own.mro[1:2]
            self._tensor_classes[name] = own
        return self._tensor_classes[name]

    def tensor_class(self, machine: Machine, tensor: Tensor) -> Class:
        """Give the class of a tensor."""
        return self._tensor_type(nn.Parameter if tensor.is_parameter else torch.Tensor)

    def layout(self, tensor: Tensor) -> tuple[Any, ...]:
        """Say how a tensor looks at its storage."""
        meta = tensor.handle.meta
        return (meta.storage_offset(), tuple(meta.shape), meta.stride(), meta.dtype)

    def clone(self, tensor: Tensor) -> Tensor:
        """Copy a tensor, as ``deepcopy`` does."""
        return Tensor(
            tensor.shape,
            tensor.dtype,
            tensor.is_parameter,
            tensor.requires_grad,
            Storage(),
            tensor.view,
            tensor.handle,
            tensor.lazy,
            Names(tensor.attrs),
            tensor.cls,
        )


def _get_item(tensor: torch.Tensor, key: Any) -> torch.Tensor:
    return tensor[key]


def _make_tensor(room: RealTensors, real: type) -> Any:
    def make(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if isinstance(real, type) and issubclass(real, nn.Parameter):
            data = args[0] if args else kwargs.get("data")
            needs = args[1] if len(args) > 1 else kwargs.get("requires_grad", True)
            found = room.parameter(machine, data, needs)
            found.cls = cls if cls.module != "torch" else None
            return found
        if cls.module != "torch":
            return machine.unknown(f"'{cls.name}', a tensor of the program's own, is not followed")
        dtype = _LEGACY.get(real.__name__)
        if dtype is None:
            return machine.unknown(f"a '{real.__name__}' is not followed")
        if len(args) == 1 and (isinstance(args[0], list | tuple) or is_array(args[0])):
            return room.compute(machine, torch.tensor, "torch.tensor", [args[0]], {"dtype": dtype})
        if len(args) == 1 and isinstance(args[0], Tensor):
            return room.method(machine, args[0], "to", [dtype], {})
        return room.compute(machine, torch.empty, "torch.empty", [list(args)], {"dtype": dtype})

    return make


_LEGACY = {
    "Tensor": torch.float32,
    "FloatTensor": torch.float32,
    "DoubleTensor": torch.float64,
    "HalfTensor": torch.float16,
    "LongTensor": torch.int64,
    "IntTensor": torch.int32,
    "ByteTensor": torch.uint8,
    "BoolTensor": torch.bool,
}
