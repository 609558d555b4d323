"""Layers where torch is installed: each is built on the meta device, and described."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ckptnames.prediction.static.interpreter.attributes import MISSING
from ckptnames.prediction.static.interpreter.items import SCALARS
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.spoiling import given_away
from ckptnames.prediction.static.signals import Raised, Stuck, Unsure
from ckptnames.prediction.static.torch_nn import containers, module
from ckptnames.prediction.static.torch_nn.computing import META, TOKENS
from ckptnames.prediction.static.torch_nn.layers import QUIET, probes
from ckptnames.prediction.static.torch_nn.names import FUNCTIONS_OF
from ckptnames.prediction.static.torch_nn.real_tensors import RealTensors
from ckptnames.prediction.static.values import (
    MODULE,
    Class,
    Function,
    Method,
    Module,
    Names,
    Native,
    Tensor,
    Unknown,
    Value,
    builtin_class,
)

_INTERNAL = frozenset(vars(nn.Module())) - {"training"}
_OBJECT = builtin_class(object)


class RealLayers(RealTensors):
    """The part of the answers that is about modules."""

    def __init__(self) -> None:
        super().__init__()
        self._classes: dict[type[nn.Module], Class] = {}
        self._templates: dict[object, Module] = {}

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
            return Names(module.METHODS)
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
        if real is None or not any(name in vars(base) for base in real.__mro__):
            return MISSING
        found = getattr(real, name)
        if callable(found):
            if name in QUIET:
                return Native(name, lambda m, *a, **k: None, binds=True)
            if name == "forward":
                return Native(name, lambda m, s, *a, **k: self.forward(m, s, list(a), k), binds=True)
            return Native(name, _not_followed(f"{cls.name}.{name}"), binds=True)
        return self._adopted(found)

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
            with META:
                return real(*given, **named)
        except NotImplementedError as error:
            raise machine.stuck(f"'{real.__name__}' cannot be built without numbers ({error})") from None
        except Exception as error:
            raise Raised(error, machine.place) from None

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
        if isinstance(value, (SCALARS, TOKENS)):
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
            if isinstance(value, (SCALARS, TOKENS)) or (
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
            with torch.no_grad(), META:
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
