"""Torch itself, where it is installed: its layers are built on the meta device, its functions run on tensors there.

Nothing of the program is handed to torch but numbers, texts and the like. No tensor with more than a few thousand
numbers is ever made: those that have more have no numbers.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.items import SCALARS
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.spoiling import given_away
from ckptnames.prediction.static.signals import Raised, Stuck, Unsure
from ckptnames.prediction.static.stdlib.arrays import array_attribute, is_array
from ckptnames.prediction.static.stdlib.table import KNOWN
from ckptnames.prediction.static.torch_nn import containers, module
from ckptnames.prediction.static.torch_nn.layers import QUIET, probes
from ckptnames.prediction.static.torch_nn.names import FUNCTIONS_OF, canonical, is_computing
from ckptnames.prediction.static.values import (
    MODULE,
    Class,
    Function,
    Instance,
    KnownModule,
    Method,
    Module,
    Names,
    Native,
    Partial,
    Pure,
    Storage,
    Tensor,
    Unknown,
    Value,
    builtin_class,
)

_MOST_NUMBERS = 4_096
_META = torch.device("meta")
_TOKENS = (torch.dtype, torch.device, torch.memory_format, torch.layout, torch.Generator)
_INTERNAL = frozenset(vars(nn.Module())) - {"training"}
_DEVICE_METHODS = frozenset({"cuda", "cpu", "xpu", "pin_memory", "requires_grad_", "share_memory_"})
_NUMBERS = frozenset({"item", "tolist", "numpy", "__int__", "__float__", "__bool__", "__index__"})


class Held(NamedTuple):
    """A tensor on the meta device, and the same with its numbers where they are few and known."""

    meta: torch.Tensor
    real: torch.Tensor | None = None


class WithTorch:
    """Answers what the interpreter asks of torch by asking torch."""

    def __init__(self) -> None:
        self._classes: dict[type, Class] = {}
        self._templates: dict[object, Module] = {}
        self._tensor_classes: dict[str, Class] = {}

    # Names.

    def canonical(self, name: str) -> str | None:
        """Give the name under which a module of torch is known; ``None`` where it is none."""
        return canonical(name)

    def _real(self, full: str) -> Any:
        """Give what torch itself has under a name, of what is loaded already: some of its modules take seconds."""
        found: Any = torch
        for part in full.split(".")[1:]:
            found = (
                vars(found).get(part, MISSING) if isinstance(found, types.ModuleType) else getattr(found, part, MISSING)
            )
            if found is MISSING:
                return sys.modules.get(full, MISSING)
        return found

    def names_in(self, module: str) -> list[str]:
        """List what a star import brings from a module."""
        if module.partition(".")[0] != "torch":
            return [name.rpartition(".")[2] for name in KNOWN if name.rpartition(".")[0] == module]
        found = self._real(module)
        return list(getattr(found, "__all__", [name for name in dir(found) if not name.startswith("_")]))

    def is_absent(self, full: str) -> bool:
        """Tell whether a name is certainly not there, and not merely unknown."""
        if not full.startswith("torch."):
            return False
        if self._real(full) is not MISSING:
            return False
        above = self._real(full.rpartition(".")[0])
        return isinstance(above, types.ModuleType) and not _is_module(full)

    def named(self, machine: Machine, full: str) -> Value | None:
        """Give what a full name stands for, such as ``torch.nn.Conv2d``; ``None`` where it is not torch's."""
        if not full.startswith("torch."):
            return None
        found = self._real(full)
        if found is MISSING:
            if self.is_absent(full):
                return machine.unknown(f"torch {torch.__version__} has no '{full}'")
            return (
                KnownModule(full)
                if _is_module(full)
                else machine.unknown(f"'{full}' is not among what is known of torch")
            )
        return self._known(machine, found, full)

    def _known(self, machine: Machine, found: Any, full: str) -> Value:
        if isinstance(found, types.ModuleType):
            return KnownModule(full)
        if isinstance(found, type):
            if issubclass(found, nn.Module):
                return self.class_for(found)
            if found is nn.Parameter or issubclass(found, torch.Tensor):
                return self._tensor_type(found)
            if found is torch.Size:
                return tuple
        if isinstance(found, (_TOKENS, SCALARS)):
            return found
        if is_computing(found, full):
            return self._function(found, full)
        return machine.unknown(f"'{full}' is not among what is known of torch")

    def _function(self, found: Any, full: str) -> Native:
        def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
            return self.compute(machine, found, full, list(args), kwargs)

        return Native(full, code)

    # Classes.

    def class_for(self, real: type[nn.Module]) -> Class:
        """Give the class that stands for one of torch's modules."""
        found = self._classes.get(real)
        if found is None:
            name = f"{real.__module__}.{real.__qualname__}"
            full = FUNCTIONS_OF.get(name, name)
            if real is nn.Module:
                full = MODULE
            elif getattr(nn, real.__name__, None) is real:
                full = f"torch.nn.{real.__name__}"
            found = self._classes[real] = Class(real.__name__, Names(), module=real.__module__, layer=full)
            bases = [base for base in real.__mro__[1:] if issubclass(base, nn.Module)]
            found.mro = (found, *map(self.class_for, bases), _OBJECT)
            found.bases = found.mro[1:2]
            found.names = self._methods(real, full)
        return found

    def _methods(self, real: type[nn.Module], full: str) -> dict[str, Value]:
        if full == MODULE:
            return module.METHODS
        for base in real.__mro__:
            known = containers.CONTAINERS.get(
                f"torch.nn.{base.__name__}" if base.__module__.startswith("torch.nn") else ""
            )
            known = known or containers.CONTAINERS.get(full)
            if known is not None:
                return Names(known) if base is real else Names()
        return Names({"__init__": Native(full, lambda m, self_, *a, **k: self._init(m, real, self_, a, k), binds=True)})

    def class_attribute(self, machine: Machine, cls: Class, name: str) -> Value:
        """Give an attribute of a class of torch that no table has."""
        real = next((r for r, c in self._classes.items() if c is cls), None)
        found = getattr(real, name, MISSING) if real is not None else MISSING
        if found is MISSING:
            return None
        if callable(found):
            if name in QUIET:
                return Native(name, lambda m, *a, **k: None, binds=True)
            if name == "forward":
                return Native(name, lambda m, s, *a, **k: self.forward(m, s, list(a), k), binds=True)
            return Native(name, _not_followed(f"{cls.name}.{name}"), binds=True)
        return self._adopted(found)

    # Layers.

    def build(self, machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Module:
        """Build a layer."""
        made = Module(cls)
        machine.call(Method(cls.look_up("__init__")[1], made), args, kwargs)  # type: ignore[index]
        return made

    def _init(
        self, machine: Machine, real: type[nn.Module], made: Module, args: tuple[Value, ...], kwargs: dict[str, Value]
    ) -> Value:
        module.METHODS["__init__"].code(machine, made)
        for n, (positional, named) in enumerate(probes(real, args, kwargs)):
            template = self._template(machine, real, positional, named)
            if n == 0:
                self._take(machine, template, made)
            elif not _same_names(template, made):
                raise Unsure(next(v for v in (*args, *kwargs.values()) if isinstance(v, Unknown)))
            else:
                _forget_sizes(template, made)
        for name in ("reset_parameters", "_reset_parameters"):
            own = made.cls.look_up(name)
            if own is not None and isinstance(own[1], Function) and hasattr(real, name):
                machine.call(Method(own[1], made))
        return None

    def _template(self, machine: Machine, real: type[nn.Module], args: list[Value], kwargs: dict[str, Value]) -> Module:
        kwargs = {name: value for name, value in kwargs.items() if name != "device"}
        key = _key(real, args, kwargs)
        if key is None or key not in self._templates:
            built = self._built(machine, real, args, kwargs)
            template = self.adopt(built)
            if key is None:
                return template
            self._templates[key] = template
        return self._templates[key]

    def _built(self, machine: Machine, real: type[nn.Module], args: list[Value], kwargs: dict[str, Value]) -> nn.Module:
        given = [self._given(machine, value) for value in args]
        named = {name: self._given(machine, value) for name, value in kwargs.items()}
        try:
            with _META:
                return real(*given, **named)
        except NotImplementedError as error:
            raise machine.stuck(f"'{real.__name__}' cannot be built without numbers ({error})") from None
        except Exception as error:
            raise Raised(error, machine.place) from None

    def _given(self, machine: Machine, value: Value) -> Any:
        """Turn a value into what torch can be given."""
        if isinstance(value, Unknown):
            raise Unsure(value)
        if isinstance(value, (SCALARS, _TOKENS)) or is_array(value):
            return value
        if isinstance(value, Tensor):
            return self._meta(value)
        if isinstance(value, tuple | list):
            machine.check(value)
            items = [self._given(machine, each) for each in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, dict):
            machine.check(value)
            return {self._given(machine, k): self._given(machine, v) for k, v in value.items()}
        if isinstance(value, Native) and value.name.startswith("torch."):
            found = self._real(value.name)
            return found if found is not MISSING else _stand_in
        if isinstance(value, Function | Native | Pure | Method | Partial):
            return _stand_in
        if isinstance(value, Instance) and isinstance(value.payload, str | int | float | tuple):
            return value.payload
        if isinstance(value, slice | range):
            return value
        raise Unsure(machine.unknown("a value of the program's own is handed to torch"))

    def adopt(self, real: nn.Module, known: dict[int, Any] | None = None) -> Module:
        """Describe a module that torch made."""
        known = {} if known is None else known
        if id(real) in known:
            found: Module = known[id(real)]
            return found
        found = known[id(real)] = Module(self.class_for(type(real)), ready=True)
        for name, value in real.__dict__.items():
            if name not in _INTERNAL:
                found.attrs[name] = self._adopted(value, known)
        for name, parameter in real._parameters.items():
            found.params[name] = None if parameter is None else self.tensor(parameter, known)
        for name, buffer in real._buffers.items():
            found.buffers[name] = None if buffer is None else self.tensor(buffer, known)
        found.fleeting.update((name, True) for name in real._non_persistent_buffers_set)
        for name, child in real._modules.items():
            found.modules[name] = None if child is None else self.adopt(child, known)
        if real._state_dict_hooks and not any(is_lazy(p) for p in real._parameters.values() if p is not None):
            found.extra = Unknown(f"a state-dict hook of '{type(real).__name__}' decides what is saved")
        return found

    def _adopted(self, value: Any, known: dict[int, Any] | None = None) -> Value:
        if isinstance(value, (SCALARS, _TOKENS)):
            return value
        if isinstance(value, torch.Tensor):
            return self.tensor(value, known)
        if isinstance(value, nn.Module):
            return self.adopt(value, known)
        if type(value) in (tuple, list):
            return type(value)(self._adopted(each, known) for each in value)
        if isinstance(value, dict | OrderedDict):
            return {key: self._adopted(each, known) for key, each in value.items()}
        full = f"{getattr(value, '__module__', '')}.{getattr(value, '__name__', '')}"
        if full.startswith("torch.nn.functional.") and self._real(full) is value:
            return self._function(value, full)
        return Unknown(f"a {type(value).__name__} of torch's is not looked into", plain=True)

    def _take(self, machine: Machine, template: Module, made: Module) -> None:
        """Give a module what a layer like it has."""
        from ckptnames.prediction.static.stdlib.copying import deep_copy

        copied: Module = deep_copy(machine, template)
        for mine, theirs in (
            (made.attrs, copied.attrs),
            (made.params, copied.params),
            (made.buffers, copied.buffers),
            (made.modules, copied.modules),
            (made.fleeting, copied.fleeting),
        ):
            machine.touch(mine)
            mine.update(theirs)
        made.extra = made.extra or copied.extra
        place = machine.place
        if place is not None:
            for _, each in module.named_modules(made):
                each.sites.update(dict.fromkeys((*each.params, *each.buffers, *each.modules), place))

    def real_class(self, cls: Class) -> type[nn.Module]:
        """Give the class of torch that a class is, or that it derives from first."""
        return next((real for base in cls.mro for real, known in self._classes.items() if known is base), nn.Module)

    def as_real(self, made: Module, known: dict[int, nn.Module] | None = None) -> nn.Module:
        """Make of a module one that torch can work with, of the nearest class of torch, without the program's code."""
        known = {} if known is None else known
        if id(made) in known:
            return known[id(made)]
        if made.extra is not None:
            raise Unsure(made.extra)
        kind = self.real_class(made.cls)
        found = known[id(made)] = kind.__new__(kind)
        nn.Module.__init__(found)
        for name, value in made.attrs.items():
            if isinstance(value, (SCALARS, _TOKENS)) or (
                type(value) in (tuple, list) and all(isinstance(e, SCALARS) for e in value)
            ):
                found.__dict__[name] = value
            elif isinstance(value, Tensor):
                found.__dict__[name] = self._meta(value)
            elif (
                isinstance(value, Native)
                and value.name.startswith("torch.")
                and (function := self._real(value.name)) is not MISSING
            ):
                found.__dict__[name] = function
        tensors: dict[int, nn.Parameter] = {}
        for name, value in made.params.items():
            if isinstance(value, Tensor):
                tensors.setdefault(
                    id(value),
                    nn.Parameter(self._meta(value), value.requires_grad and self._meta(value).is_floating_point()),
                )
                found._parameters[name] = tensors[id(value)]
            else:
                found._parameters[name] = None
        for name, value in made.buffers.items():
            found._buffers[name] = self._meta(value) if isinstance(value, Tensor) else None
        found._non_persistent_buffers_set = set(made.fleeting)
        for name, value in made.modules.items():
            if isinstance(value, Unknown):
                raise Unsure(value)
            found._modules[name] = None if value is None else self.as_real(value, known)
        return found

    def apply(self, machine: Machine, name: str, made: Module, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Have a function of torch's change a module: put a norm on its weight, say."""
        function = self._real(name)
        if not isinstance(made, Module) or made.extra is not None or function is MISSING:
            why = made.extra if isinstance(made, Module) else made if isinstance(made, Unknown) else None
            raise Unsure(why or machine.unknown(f"'{name}' is not followed here"))
        for value in made.modules.values():
            if isinstance(value, Unknown):
                raise Unsure(value)
        shallow = Module(
            made.cls, made.attrs, None, None, made.params, made.buffers, Names(), made.fleeting, ready=True
        )
        real = self.as_real(shallow)
        before = {
            id(p): t for p, t in zip(real._parameters.values(), made.params.values(), strict=True) if p is not None
        }
        given = [self._given(machine, value) for value in args]
        named = {key: self._given(machine, value) for key, value in kwargs.items()}
        import warnings

        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                changed = function(real, *given, **named)
        except NotImplementedError as error:
            raise machine.stuck(f"'{name}' cannot be done without numbers ({error})") from None
        except Exception as error:
            raise Raised(error, machine.place) from None
        self._changed(machine, made, changed if isinstance(changed, nn.Module) else real, before)
        return made

    def _changed(self, machine: Machine, made: Module, real: nn.Module, before: Mapping[int, Tensor]) -> None:
        """Take over what a function of torch's did to a module."""
        for names in (made.params, made.buffers, made.fleeting):
            machine.touch(names)
        made.params.clear()
        made.buffers.clear()
        for name, parameter in real._parameters.items():
            if parameter is not None and name not in made.sites and machine.place is not None:
                made.sites[name] = machine.place
            made.params[name] = None if parameter is None else before.get(id(parameter)) or self.tensor(parameter)
        for name, buffer in real._buffers.items():
            if name not in made.sites and machine.place is not None:
                made.sites[name] = machine.place
            made.buffers[name] = None if buffer is None else self.tensor(buffer)
        known: dict[int, Any] = {}
        for name, child in real._modules.items():
            machine.touch(made.modules)
            adopted = self.adopt(child, known) if child is not None else None
            made.modules[name] = adopted
            if adopted is not None and machine.place is not None:
                made.sites[name] = machine.place
                for _, each in module.named_modules(adopted):
                    each.extra = None
                    each.sites.update(dict.fromkeys((*each.params, *each.buffers, *each.modules), machine.place))

    def forward(self, machine: Machine, made: Module, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Run a layer on tensors without numbers."""
        if not isinstance(made, Module) or not made.cls.layers:
            return machine.unknown("what a module computes is not known")
        if any(
            not c.layer and c.builtin is None for m in made.modules.values() if isinstance(m, Module) for c in m.cls.mro
        ):
            return self._one_by_one(machine, made, args)
        try:
            real = self.as_real(made)
            given = [self._given(machine, value) for value in args]
            named = {name: self._given(machine, value) for name, value in kwargs.items()}
            with torch.no_grad(), _META:
                return self._wrapped(real(*given, **named), [])
        except (Unsure, Stuck) as error:
            return error.why.as_plain()
        except Exception as error:
            return machine.plain(f"what '{made.cls.name}' computes is not known ({type(error).__name__})")

    def _one_by_one(self, machine: Machine, made: Module, args: list[Value]) -> Value:
        if made.cls.layers[0].layer != "torch.nn.Sequential" or len(args) != 1:
            return machine.unknown("what a module computes is not known")
        value = args[0]
        for child in made.modules.values():
            value = machine.call(child, [value])
        return value

    # Tensors.

    def tensor(self, real: torch.Tensor, known: dict[int, Any] | None = None) -> Tensor:
        """Describe a tensor that torch made; it has no numbers."""
        known = {} if known is None else known
        found = known.get(id(real))
        if found is not None:
            return found  # type: ignore[no-any-return]
        is_parameter = isinstance(real, nn.Parameter | UninitializedParameter)
        if is_lazy(real) or isinstance(real, UninitializedBuffer):
            found = Tensor(None, real.dtype, is_parameter, True, handle=Held(torch.empty(0, device=_META)), lazy=True)
        else:
            meta = (
                real.detach()
                if real.device == _META
                else torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device=_META)
            )
            found = Tensor(tuple(meta.shape), meta.dtype, is_parameter, real.requires_grad, handle=Held(meta))
        known[id(real)] = found
        return found

    def _meta(self, tensor: Tensor) -> torch.Tensor:
        if tensor.handle is None or tensor.shape is None:
            raise Unsure(
                tensor.dtype
                if isinstance(tensor.dtype, Unknown)
                else Unknown("the shape of a tensor is not known", plain=True)
            )
        return tensor.handle.meta  # type: ignore[no-any-return]

    def parameter(self, machine: Machine, data: Value, requires_grad: Value = True) -> Tensor:
        """Make a parameter of a tensor."""
        if isinstance(data, Unknown):
            return Tensor(None, data, is_parameter=True)
        if data is None:
            return Tensor((0,), torch.get_default_dtype(), True, True, handle=Held(torch.empty(0, device=_META)))
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

    def compute(self, machine: Machine, function: Any, full: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Run a function of torch's that computes tensors: on the meta device, and on numbers if they are few."""
        inputs: list[Tensor] = []
        try:
            given = [self._input(machine, value, inputs) for value in args]
            named = {
                k: self._input(machine, v, inputs)
                for k, v in kwargs.items()
                if k not in ("device", "pin_memory", "out")
            }
        except Unsure as unsure:
            return unsure.why.as_plain() if unsure.why.plain else Unknown(unsure.why.reason, unsure.why.place, True)
        in_place = full.endswith("_") and not full.endswith("__") and inputs
        result, error = self._on_meta(function, given, named)
        real: Any = MISSING
        few = error is not None or all(t.numel() <= _MOST_NUMBERS for t in _tensors_in(result))
        drawn = full.rpartition(".")[2].startswith(("rand", "normal", "empty", "bernoulli", "multinomial"))
        if few and not drawn and not in_place and all(t.handle.real is not None for t in inputs):
            real = self._on_numbers(function, given, named)
        if error is not None:
            if real is MISSING:
                if isinstance(error, NotImplementedError | RuntimeError) and not inputs:
                    raise Raised(error, machine.place)
                if isinstance(error, TypeError | ValueError | IndexError) and not _needs_numbers(error):
                    raise Raised(error, machine.place)
                line = str(error).partition("\n")[0][:100]
                return machine.plain(f"'{full}' cannot be computed without the numbers of a tensor ({line})")
            return self._wrapped_real(real, inputs)
        if in_place:
            self._replaced(machine, inputs[0], result)
            return inputs[0]
        return self._wrapped(result, inputs, real)

    def _input(self, machine: Machine, value: Value, inputs: list[Tensor]) -> Any:
        if isinstance(value, Tensor):
            self._meta(value)
            inputs.append(value)
            return value
        if isinstance(value, tuple | list):
            machine.check(value)
            items = [self._input(machine, each, inputs) for each in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, slice):
            return slice(*(self._input(machine, each, inputs) for each in (value.start, value.stop, value.step)))
        return self._given(machine, value)

    def _on_meta(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, Exception | None]:
        try:
            with _META, torch.no_grad():
                return function(*_each(args, _meta_of), **_each(kwargs, _meta_of)), None
        except Exception as error:
            return None, error

    def _on_numbers(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        try:
            with torch.no_grad():
                return function(*_each(args, _real_of), **_each(kwargs, _real_of))
        except Exception:
            return MISSING

    def _wrapped(self, result: Any, inputs: list[Tensor], real: Any = MISSING) -> Value:
        if isinstance(result, torch.Tensor):
            numbers = real if isinstance(real, torch.Tensor) and real.shape == result.shape else None
            return self._of(result, inputs, numbers)
        if isinstance(result, torch.Size):
            return tuple(result)
        if isinstance(result, tuple | list):
            others = real if isinstance(real, tuple | list) and len(real) == len(result) else [MISSING] * len(result)
            items = [self._wrapped(each, inputs, other) for each, other in zip(result, others, strict=True)]
            return items if isinstance(result, list) else tuple(items)
        if isinstance(result, (SCALARS, _TOKENS)):
            return result
        return Unknown("what torch computes is not looked into", plain=True)

    def _wrapped_real(self, real: Any, inputs: list[Tensor]) -> Value:
        if isinstance(real, torch.Tensor):
            meta = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device=_META)
            return Tensor(
                tuple(meta.shape), meta.dtype, handle=Held(meta, real if real.numel() <= _MOST_NUMBERS else None)
            )
        if isinstance(real, tuple | list) and not isinstance(real, torch.Size):
            items = [self._wrapped_real(each, inputs) for each in real]
            return items if isinstance(real, list) else tuple(items)
        return self._wrapped(real, inputs)

    def _of(self, meta: torch.Tensor, inputs: list[Tensor], real: torch.Tensor | None) -> Tensor:
        for each in inputs:
            if meta is each.handle.meta:
                return each
        base = next(
            (e for e in inputs if e.handle.meta.untyped_storage()._cdata == meta.untyped_storage()._cdata), None
        )
        if meta.is_sparse or meta.layout != torch.strided:
            base = None
        found = Tensor(tuple(meta.shape), meta.dtype, handle=Held(meta, real))
        if base is not None:
            found.storage = base.storage
        return found

    def _replaced(self, machine: Machine, tensor: Tensor, result: Any) -> None:
        """An operation in place: the numbers are others now, the shape may be."""
        meta = tensor.handle.meta
        if isinstance(result, torch.Tensor) and (result.shape != tensor.shape or result is not meta):
            tensor.shape, tensor.dtype = tuple(result.shape), result.dtype
            meta = result
        tensor.handle = Held(meta)

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

    # Values of torch and numpy that are neither modules nor tensors.

    def is_array(self, value: Value) -> bool:
        """Tell whether a value is a number or an array of numpy's."""
        return is_array(value)

    def is_token(self, value: Value) -> bool:
        """Tell whether a value is a dtype, a device or the like."""
        return isinstance(value, _TOKENS)

    def native_attribute(self, machine: Machine, value: Value, name: str) -> Value:
        """Give an attribute of such a value."""
        if is_array(value):
            return array_attribute(machine, value, name)
        if name.startswith("_") or not hasattr(value, name):
            return MISSING
        found = getattr(value, name)
        return found if isinstance(found, (SCALARS, _TOKENS)) else machine.plain(f"'{name}' is not known")


_OBJECT = builtin_class(object)


def _is_module(full: str) -> bool:
    """Tell whether torch has a module of that name, which need not be loaded."""
    path = Path(torch.__file__).parent.joinpath(*full.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def _stand_in(*args: Any, **kwargs: Any) -> None:
    """Stands where torch is handed a function of the program's: it is kept, and never called."""


def _get_item(tensor: torch.Tensor, key: Any) -> torch.Tensor:
    return tensor[key]


def _meta_of(tensor: Tensor) -> torch.Tensor:
    return tensor.handle.meta  # type: ignore[no-any-return]


def _real_of(tensor: Tensor) -> torch.Tensor:
    return tensor.handle.real  # type: ignore[no-any-return]


def _each(value: Any, give: Any) -> Any:
    """Put torch's tensors where ours stand."""
    if isinstance(value, Tensor):
        return give(value)
    if isinstance(value, dict):
        return {key: _each(each, give) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_each(each, give) for each in value)
    if isinstance(value, slice):
        return slice(*(_each(each, give) for each in (value.start, value.stop, value.step)))
    return value


def _tensors_in(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for each in result for t in _tensors_in(each)] if isinstance(result, tuple | list) else []


def _needs_numbers(error: Exception) -> bool:
    return "meta" in str(error).lower()


def _key(real: type, args: list[Value], kwargs: dict[str, Value]) -> object:
    """Tell layers that are built alike; ``None`` where that takes more than a look at the arguments."""

    def simple(value: Value) -> object:
        if isinstance(value, (SCALARS, torch.dtype)):
            return (type(value), value)
        if isinstance(value, tuple | list):
            return (type(value), *(simple(each) for each in value))
        raise TypeError

    try:
        return (real, tuple(simple(v) for v in args), tuple((k, simple(v)) for k, v in kwargs.items()))
    except TypeError:
        return None


def _same_names(one: Module, other: Module) -> bool:
    mine, theirs = dict(module.named_modules(one)), dict(module.named_modules(other))
    return list(mine) == list(theirs) and all(
        list(mine[p].params) == list(theirs[p].params)
        and list(mine[p].buffers) == list(theirs[p].buffers)
        and [t is None for t in mine[p].params.values()] == [t is None for t in theirs[p].params.values()]
        for p in mine
    )


def _forget_sizes(template: Module, made: Module) -> None:
    """Two layers with different sizes in place of an unknown one: where their shapes differ, the shape is unknown."""
    theirs = dict(module.named_modules(template))
    for path, each in module.named_modules(made):
        for mine, others in ((each.params, theirs[path].params), (each.buffers, theirs[path].buffers)):
            for name, tensor in mine.items():
                other = others[name]
                if tensor is not None and tensor.shape != other.shape:
                    tensor.shape, tensor.handle = None, None
        differing = [
            n for n, v in each.attrs.items() if isinstance(v, (*SCALARS, tuple)) and v != theirs[path].attrs.get(n)
        ]
        for name in differing:
            each.attrs[name] = Unknown("a size is not known", plain=True)


def _not_followed(name: str) -> Any:
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        why = machine.unknown(f"'{name}' is not among what is known of torch")
        given_away(machine, [*args, *kwargs.values()], why)
        return why

    return code


def _make_tensor(room: WithTorch, real: type) -> Any:
    def make(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if real is nn.Parameter or (real is not torch.Tensor and issubclass(real, nn.Parameter)):
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
