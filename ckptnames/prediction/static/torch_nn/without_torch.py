"""Torch where it is not installed: its layers come from a table, and of its tensors only shapes are known, if those."""

from __future__ import annotations

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised, Unsure
from ckptnames.prediction.static.stdlib.arrays import array_attribute, is_array
from ckptnames.prediction.static.stdlib.table import KNOWN
from ckptnames.prediction.static.torch_nn import containers, module
from ckptnames.prediction.static.torch_nn.layers import QUIET
from ckptnames.prediction.static.torch_nn.names import canonical
from ckptnames.prediction.static.torch_nn.shapes import ShapesOnly
from ckptnames.prediction.static.torch_nn.table import layer, table
from ckptnames.prediction.static.values import (
    MODULE,
    Class,
    Function,
    KnownModule,
    Method,
    Module,
    Names,
    Native,
    Token,
    Value,
    builtin_class,
)

_PARAMETERS = frozenset({"torch.nn.Parameter", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"})
_OBJECT = builtin_class(object)
_WRAPPERS = {"torch.nn.parallel.DistributedDataParallel", "torch.nn.parallel.DataParallel"}


class WithoutTorch(ShapesOnly):
    """Answers what the interpreter asks of torch from a table."""

    def __init__(self) -> None:
        super().__init__()
        self._classes: dict[str, Class] = {}

    # Names.

    def canonical(self, name: str) -> str | None:
        """Give the name under which a module of torch is known; ``None`` where it is none."""
        return canonical(name)

    def names_in(self, module: str) -> list[str]:
        """List what a star import brings from a module."""
        known = [*KNOWN, *table()["layers"], *containers.CONTAINERS]
        names = [full.rpartition(".")[2] for full in known if full.rpartition(".")[0] == module]
        return [*names, *table()["functions"].get(module, ())]

    def is_absent(self, full: str) -> bool:
        """Tell whether a name is certainly not there, and not merely unknown."""
        return False

    def named(self, machine: Machine, full: str) -> Value | None:
        """Give what a full name stands for, such as ``torch.nn.Conv2d``; ``None`` where it is not torch's."""
        if not full.startswith("torch."):
            return None
        above, _, last = full.rpartition(".")
        if above in ("torch.nn.modules", "torch.nn.parallel") or above.startswith("torch.nn.modules."):
            full = f"torch.nn.{last}" if f"torch.nn.{last}" in self._all_layers() else full
        if full == MODULE or full in self._all_layers() or full in _WRAPPERS:
            return self.class_named(full)
        if full in _PARAMETERS:
            return self.tensor_type("Parameter")
        if above == "torch" and last.endswith("Tensor"):
            return self.tensor_type(last)
        if above == "torch" and last in table()["dtypes"]:
            return Token(full)
        if full == "torch.Size":
            return tuple
        if full in table()["modules"]:
            return KnownModule(full)
        if last in table()["functions"].get(above, ()):
            return self.function(full)
        return machine.unknown(f"'{full}' is not known, and torch is not installed")

    def _all_layers(self) -> set[str]:
        return {*table()["layers"], *containers.CONTAINERS}

    # Classes.

    def class_named(self, full: str) -> Class:
        """Give the class that stands for one of torch's modules."""
        if full not in self._classes:
            found = self._classes[full] = Class(full.rpartition(".")[2], Names(), module="torch.nn", layer=full)
            entry = table()["layers"].get(full, {"mro": []})
            above = [] if full == MODULE else [*(f"torch.nn.{base}" for base in entry["mro"]), MODULE]
            found.mro = (found, *map(self.class_named, dict.fromkeys(above)), _OBJECT)
            found.bases = found.mro[1:2]
            found.names = self._methods(full)
        return self._classes[full]

    def _methods(self, full: str) -> dict[str, Value]:
        if full == MODULE:
            return Names(module.METHODS)
        if full in containers.CONTAINERS:
            return Names(containers.CONTAINERS[full])
        init = Native(full, lambda m, made, *args, **kwargs: self._init(m, full, made, args, kwargs), binds=True)
        return Names({"__init__": init})

    def class_attribute(self, machine: Machine, cls: Class, name: str) -> Value:
        """Give an attribute of a class of torch that no table has."""
        if name in QUIET:
            return Native(name, lambda m, *args, **kwargs: None, binds=True)
        if name == "forward":
            return Native(name, lambda m, made, *a, **k: self.forward(m, made, list(a), k), binds=True)
        return machine.unknown(f"'{cls.name}.{name}' is not known, and torch is not installed")

    # Layers.

    def build(self, machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Module:
        """Build a layer."""
        made = Module(cls)
        machine.call(Method(cls.look_up("__init__")[1], made), args, kwargs)  # type: ignore[index]
        return made

    def _init(
        self, machine: Machine, full: str, made: Module, args: tuple[Value, ...], kwargs: dict[str, Value]
    ) -> Value:
        module.METHODS["__init__"].code(machine, made)
        try:
            found = layer(full, args, kwargs)
        except TypeError as error:
            raise Raised(error, machine.place) from None
        dtype = kwargs.get("dtype")
        at = {"": made}
        for path, kind in found.modules:
            above, _, name = path.rpartition(".")
            at[path] = Module(self._inner(kind), ready=True)
            self._register(machine, at[above], at[above].modules, name, at[path])
        for leaf in found.leaves:
            path, _, name = leaf.name.rpartition(".")
            tensor = None if leaf.state == "none" else self.made(machine, leaf, dtype)
            held = at[path].params if leaf.kind == "parameters" else at[path].buffers
            self._register(machine, at[path], held, name, tensor)
            if leaf.state == "fleeting":
                at[path].fleeting[name] = True
        made.attrs.update(found.attributes)
        for name in ("reset_parameters", "_reset_parameters"):
            own = made.cls.look_up(name)
            if own is not None and isinstance(own[1], Function):
                machine.call(Method(own[1], made))
        return None

    def _inner(self, kind: str) -> Class:
        known = f"torch.nn.{kind}" if kind != "NonDynamicallyQuantizableLinear" else "torch.nn.Linear"
        return self.class_named(known)

    def _register(self, machine: Machine, owner: Module, held: dict[str, Value], name: str, value: Value) -> None:
        machine.touch(held)
        held[name] = value
        if machine.place is not None:
            owner.sites[name] = machine.place

    def apply(self, machine: Machine, name: str, module: Module, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Have a function of torch's change a module; which it cannot where it is not there."""
        raise Unsure(machine.unknown(f"'{name}' is not followed where torch is not installed"))

    def forward(self, machine: Machine, module: Module, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Run a layer on tensors without numbers: something comes out."""
        return machine.plain("what a layer computes is not known where torch is not installed")

    # Values that are neither modules nor tensors.

    def is_array(self, value: Value) -> bool:
        """Tell whether a value is a number or an array of numpy's."""
        return is_array(value)

    def is_token(self, value: Value) -> bool:
        """Tell whether a value is a dtype, a device or the like of torch's own: there are none."""
        return False

    def native_attribute(self, machine: Machine, value: Value, name: str) -> Value:
        """Give an attribute of such a value."""
        return array_attribute(machine, value, name) if is_array(value) else MISSING
