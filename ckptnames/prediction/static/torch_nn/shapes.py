"""Tensors where torch is not installed: names and kinds, and shapes where they are given in so many words."""

from __future__ import annotations

from typing import Any

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.torch_nn.table import Leaf
from ckptnames.prediction.static.values import (
    Class,
    Function,
    Instance,
    Method,
    Names,
    Native,
    Storage,
    Tensor,
    Token,
    Unknown,
    Value,
    builtin_class,
)

_FLOAT = Token("torch.float32")
_SIZED = frozenset({"zeros", "ones", "empty", "rand", "randn"})
"""Functions that make a tensor of the sizes that they are given."""
_MAKES = """
    tensor full arange linspace logspace eye zeros_like ones_like empty_like rand_like randn_like full_like as_tensor
    from_numpy cat stack exp log sqrt rsqrt sin cos abs clamp outer einsum matmul mm bmm triu tril where cumsum flip
    pow sigmoid tanh softmax log_softmax normalize interpolate pad hann_window hamming_window kaiser_window
    randint randperm concat concatenate diag flatten roll
"""
_MAKE_ONE = _SIZED | frozenset(_MAKES.split())
"""Functions that give one tensor, whatever they are given."""
_COMPUTES = """
    view reshape expand repeat permute transpose t flatten squeeze unsqueeze clone contiguous float half double long
    int bool to type_as bfloat16 exp log sqrt abs sum mean prod cumsum masked_fill triu tril pow mul add sub div matmul
    detach new_zeros new_ones new_empty softmax sigmoid tanh flip roll cos sin neg round floor
"""
_METHODS = frozenset(_COMPUTES.split())
"""Methods of tensors that give one tensor."""
_IN_PLACE = frozenset({"requires_grad_", "cuda", "cpu"})
_OBJECT = builtin_class(object)


class ShapesOnly:
    """The part of the answers that is about tensors."""

    def __init__(self) -> None:
        self._tensor_classes: dict[str, Class] = {}

    def made(self, machine: Machine, leaf: Leaf, dtype: Value) -> Tensor:
        """Make a tensor of a layer."""
        kind: Value = Token(leaf.dtype) if leaf.dtype is not None else _FLOAT if dtype is None else dtype
        known = leaf.shape is not None and all(type(size) is int for size in leaf.shape)
        shape = leaf.shape if known else None
        return Tensor(shape, kind, leaf.kind == "parameters", lazy=leaf.shape is None)

    def function(self, full: str) -> Native:
        """Give a function that makes or computes tensors."""
        name = full.rpartition(".")[2]

        def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
            if name not in _MAKE_ONE:
                return machine.plain(f"'{full}' is not computed where torch is not installed")
            return Tensor(_shape(name, args, kwargs), self._dtype(machine, name, kwargs))

        return Native(full, code)

    def _dtype(self, machine: Machine, name: str, kwargs: dict[str, Value]) -> Value:
        dtype = kwargs.get("dtype")
        if isinstance(dtype, Token):
            return dtype
        if dtype is None and name in _SIZED:
            return _FLOAT
        return machine.plain("the dtype of a tensor is not known where torch is not installed")

    def parameter(self, machine: Machine, data: Value, requires_grad: Value = True) -> Tensor:
        """Make a parameter of a tensor."""
        needs = machine.truth(requires_grad)
        if isinstance(data, Tensor):
            return Tensor(data.shape, data.dtype, True, needs is True, data.storage, data.view)
        if data is None:
            return Tensor((0,), _FLOAT, True, True)
        if isinstance(data, Unknown):
            return Tensor(None, data.as_plain(), True, True)
        raise machine.raised(TypeError, f"a parameter is made of a tensor, not of a {type(data).__name__}")

    def items(self, machine: Machine, tensor: Tensor) -> list[Value]:
        """Cut a tensor along its first dimension."""
        from ckptnames.prediction.static.signals import Unsure

        if not tensor.shape:
            raise Unsure(machine.plain("the shape of a tensor is not known"))
        return [Tensor(tensor.shape[1:], tensor.dtype) for _ in range(tensor.shape[0])]

    def item(self, machine: Machine, tensor: Tensor, key: Value) -> Value:
        """Give a part of a tensor."""
        return Tensor(None, tensor.dtype)

    def length(self, machine: Machine, tensor: Tensor) -> Value:
        """Give the size of the first dimension."""
        return tensor.shape[0] if tensor.shape else machine.plain("the shape of a tensor is not known")

    def truth(self, machine: Machine, tensor: Tensor) -> bool | Unknown:
        """Tell whether a tensor counts as true."""
        return machine.plain("the numbers of a tensor are not known")

    def number(self, machine: Machine, tensor: Tensor, kind: type) -> Value:
        """Make a number of a tensor."""
        return machine.plain("the numbers of a tensor are not known")

    def as_number(self, value: Value) -> Value:
        """Give the whole number that a value stands for, or the value itself."""
        return value.payload if isinstance(value, Instance) and isinstance(value.payload, int) else value

    def operator(self, machine: Machine, name: str, left: Value, right: Value, *, in_place: bool = False) -> Value:
        """Apply an operator of which a side is a tensor."""
        if in_place and isinstance(left, Tensor):
            return left
        return Tensor(None, machine.plain("what is computed with tensors is not known where torch is not installed"))

    def method(self, machine: Machine, tensor: Tensor, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Call a method of a tensor."""
        if name in _IN_PLACE:
            return tensor
        if name.endswith("_") and not name.endswith("__"):
            return tensor
        if name in _METHODS:
            why = machine.plain(f"'{name}' of a tensor is not computed where torch is not installed")
            return Tensor(None, why, storage=tensor.storage, view=object())
        return machine.plain(f"'{name}' of a tensor is not computed where torch is not installed")

    def attribute(self, machine: Machine, tensor: Tensor, name: str) -> Value:
        """Give an attribute of a tensor."""
        if name in tensor.attrs:
            return tensor.attrs[name]
        if tensor.cls is not None and (own := tensor.cls.look_up(name)) is not None:
            return Method(own[1], tensor) if isinstance(own[1], Function) else own[1]
        if name == "shape" and tensor.shape is not None:
            return tensor.shape
        if name == "dtype":
            return tensor.dtype
        if name == "data":
            return Tensor(tensor.shape, tensor.dtype, False, False, tensor.storage, tensor.view)
        if name == "requires_grad":
            return tensor.requires_grad
        if name == "grad":
            return None
        if name == "__class__":
            return self.tensor_class(machine, tensor)
        if name in ("device", "shape", "ndim", "T", "is_cuda", "grad_fn"):
            return machine.plain(f"'{name}' of a tensor is not known where torch is not installed")
        return Native(f"Tensor.{name}", lambda m, *args, **kwargs: self.method(m, tensor, name, list(args), kwargs))

    def set_attribute(self, machine: Machine, tensor: Tensor, name: str, to: Value) -> None:
        """Set an attribute of a tensor."""
        if name == "data":
            known = isinstance(to, Tensor) and not machine.journal.depth
            tensor.shape, tensor.dtype = (to.shape, to.dtype) if known else (None, machine.plain("it was exchanged"))
        elif name == "requires_grad":
            tensor.requires_grad = to is not False
        elif name != "grad":
            machine.touch(tensor.attrs)
            tensor.attrs[name] = to

    def changed(self, machine: Machine, tensor: Tensor) -> None:
        """Note that the numbers of a tensor are not what they were: they are never known here."""

    def converted(self, machine: Machine, tensor: Tensor, dtype: Value) -> None:
        """Change the dtype of a tensor that a module holds."""
        if isinstance(tensor.dtype, Token) and "float" in tensor.dtype.name and isinstance(dtype, Token):
            tensor.dtype = dtype if not machine.journal.depth else machine.plain("whether it is converted is not known")

    def tensor_type(self, name: str) -> Class:
        """Give the class of tensors, or of parameters."""
        if name not in self._tensor_classes:
            own = Class(name, Names(), (), (), module="torch", known={"make": self._making(name)})
            base = self.tensor_type("Tensor") if name != "Tensor" else None
            own.mro = (own, base, _OBJECT) if base is not None else (own, _OBJECT)
            own.bases = own.mro[1:2]
            self._tensor_classes[name] = own
        return self._tensor_classes[name]

    def _making(self, name: str) -> Any:
        def make(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
            if name == "Parameter":
                data = args[0] if args else kwargs.get("data")
                needs = args[1] if len(args) > 1 else kwargs.get("requires_grad", True)
                found = self.parameter(machine, data, needs)
                found.cls = cls if cls.module != "torch" else None
                return found
            if cls.module != "torch":
                return machine.unknown(f"'{cls.name}', a tensor of the program's own, is not followed")
            kind: Value = _FLOAT if name in ("Tensor", "FloatTensor") else machine.plain("a dtype is not known")
            return Tensor(_sizes(tuple(args), {}) if args and isinstance(args[0], int) else None, kind)

        return make

    def tensor_class(self, machine: Machine, tensor: Tensor) -> Class:
        """Give the class of a tensor."""
        return self.tensor_type("Parameter" if tensor.is_parameter else "Tensor")

    def layout(self, tensor: Tensor) -> tuple[Any, ...]:
        """Say how a tensor looks at its storage: it has it to itself, or a view of its own."""
        shape = tensor.shape or ()
        strides: list[int] = []
        step = 1
        for size in reversed(shape):
            strides.insert(0, step)
            step *= max(size, 1)
        return (0, shape, tuple(strides), str(tensor.dtype), tensor.view)

    def clone(self, tensor: Tensor) -> Tensor:
        """Copy a tensor, as ``deepcopy`` does."""
        attrs = Names(tensor.attrs)
        return Tensor(
            tensor.shape,
            tensor.dtype,
            tensor.is_parameter,
            tensor.requires_grad,
            Storage(),
            attrs=attrs,
            cls=tensor.cls,
        )


def _shape(name: str, args: tuple[Value, ...], kwargs: dict[str, Value]) -> tuple[int, ...] | None:
    """Give the shape of what a function makes, where it is told in so many words."""
    if name in _SIZED:
        return _sizes(args, kwargs)
    steps = kwargs.get("steps", args[2] if len(args) > 2 else None)
    if name in ("linspace", "logspace") and type(steps) is int:
        return (steps,)
    if name == "arange" and args and all(type(arg) is int for arg in args):
        return (len(range(*args)),)
    return None


def _sizes(args: tuple[Value, ...], kwargs: dict[str, Value]) -> tuple[int, ...] | None:
    given = args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else kwargs.get("size", args)
    sizes = tuple(given) if isinstance(given, tuple | list) else (given,)
    return sizes if all(type(size) is int for size in sizes) else None
