"""What the interpreter asks of torch. Two rooms answer: torch itself where it is installed, a table where it is not."""

from __future__ import annotations

from typing import Any, Protocol

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.values import Class, Module, Tensor, Unknown, Value


class Torch(Protocol):
    """The questions."""

    def canonical(self, name: str) -> str | None:
        """Give the name under which a module of torch is known; ``None`` where it is none."""

    def named(self, machine: Machine, full: str) -> Value | None:
        """Give what a full name stands for, such as ``torch.nn.Conv2d``; ``None`` where it is not torch's."""

    def names_in(self, module: str) -> list[str]:
        """List what a star import brings from a module."""

    def is_absent(self, full: str) -> bool:
        """Tell whether a name is certainly not there, and not merely unknown."""

    def class_attribute(self, machine: Machine, cls: Class, name: str) -> Value:
        """Give an attribute of a class of torch that no table has, or ``MISSING``."""

    def build(self, machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Module:
        """Build a layer."""

    def apply(self, machine: Machine, name: str, module: Module, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Have a function of torch's change a module: put a norm on its weight, say."""

    def forward(self, machine: Machine, module: Module, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Run a layer on tensors without numbers."""

    # Tensors.

    def parameter(self, machine: Machine, data: Value, requires_grad: Value = True) -> Tensor:
        """Make a parameter of a tensor."""

    def items(self, machine: Machine, tensor: Tensor) -> list[Value]:
        """Cut a tensor along its first dimension."""

    def item(self, machine: Machine, tensor: Tensor, key: Value) -> Value:
        """Give a part of a tensor."""

    def length(self, machine: Machine, tensor: Tensor) -> Value:
        """Give the size of the first dimension."""

    def truth(self, machine: Machine, tensor: Tensor) -> bool | Unknown:
        """Tell whether a tensor counts as true."""

    def number(self, machine: Machine, tensor: Tensor, kind: type) -> Value:
        """Make a number of a tensor."""

    def as_number(self, value: Value) -> Value:
        """Give the whole number that a value stands for, or the value itself."""

    def operator(self, machine: Machine, name: str, left: Value, right: Value, *, in_place: bool = False) -> Value:
        """Apply an operator of which a side is a tensor."""

    def method(self, machine: Machine, tensor: Tensor, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Call a method of a tensor."""

    def attribute(self, machine: Machine, tensor: Tensor, name: str) -> Value:
        """Give an attribute of a tensor."""

    def set_attribute(self, machine: Machine, tensor: Tensor, name: str, to: Value) -> None:
        """Set an attribute of a tensor."""

    def changed(self, machine: Machine, tensor: Tensor) -> None:
        """Note that the numbers of a tensor are not what they were."""

    def converted(self, machine: Machine, tensor: Tensor, dtype: Value) -> None:
        """Change the dtype of a tensor that a module holds."""

    def tensor_class(self, machine: Machine, tensor: Tensor) -> Class:
        """Give the class of a tensor."""

    def layout(self, tensor: Tensor) -> tuple[Any, ...]:
        """Say how a tensor looks at its storage."""

    def clone(self, tensor: Tensor) -> Tensor:
        """Copy a tensor, as ``deepcopy`` does."""

    # Values of torch and numpy that are neither modules nor tensors.

    def is_array(self, value: Value) -> bool:
        """Tell whether a value is a number or an array of numpy's."""

    def is_token(self, value: Value) -> bool:
        """Tell whether a value is a dtype, a device or the like."""

    def native_attribute(self, machine: Machine, value: Value, name: str) -> Value:
        """Give an attribute of such a value."""
