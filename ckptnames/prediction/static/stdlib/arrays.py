"""What is known of numpy, where it is installed: small arrays are computed, by numpy itself."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from math import prod
from typing import Any

from ckptnames.prediction.static.interpreter.items import SCALARS, is_concrete, unknown_in
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.stdlib.table import known, put
from ckptnames.prediction.static.values import Instance, Iterating, Native, Tensor, Token, Value

_LARGEST = 100_000
_MAKES = "zeros ones full empty arange linspace logspace eye array asarray"
_COMPUTES = (
    "prod sum cumsum cumprod sqrt log log2 log10 exp ceil floor round abs clip sin cos power mod max min mean argmax "
    "argmin concatenate stack hstack vstack meshgrid where unique sort argsort diff repeat reshape transpose outer "
    "isclose array_equal int_ int32 int64 float32 float64 uint8 bool_ tri tril triu diag maximum minimum flip roll "
    "expand_dims squeeze around rint trunc append isnan split array_split tile any all"
)
_METHODS = frozenset(
    [
        "tolist",
        "item",
        "astype",
        "sum",
        "mean",
        "max",
        "min",
        "prod",
        "cumsum",
        "reshape",
        "transpose",
        "flatten",
        "ravel",
        "copy",
        "round",
        "argmax",
        "argmin",
        "squeeze",
        "any",
        "all",
        "repeat",
        "clip",
        "dot",
    ]
)


def is_array(value: Value) -> bool:
    """Tell whether a value is a number or an array of numpy's."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def array_attribute(machine: Machine, value: Any, name: str) -> Value:
    """Give an attribute of a number or array of numpy's."""
    from ckptnames.prediction.static.interpreter.attributes import MISSING

    if name in ("shape", "ndim", "size", "T", "dtype"):
        found = getattr(value, name)
        return machine.plain("a dtype of numpy's is not looked into") if name == "dtype" else found
    if name in _METHODS:
        return Native(name, lambda m, *args, **kwargs: _run(m, getattr(value, name), list(args), kwargs))
    return MISSING if not hasattr(value, name) else machine.plain(f"'{name}' of an array is not known")


def _run(machine: Machine, function: Any, args: list[Value], kwargs: dict[str, Value]) -> Value:
    import numpy

    args = [list(machine.iterate(arg)) if isinstance(arg, Iterating) else arg for arg in args]
    args = [_bare(arg) for arg in args]
    values = [*args, *kwargs.values()]
    dtypes = [value for value in values if isinstance(value, Token | Native)]
    if not all(is_concrete(machine, value) for value in values if value not in dtypes):
        return unknown_in(machine, values).as_plain()
    given = [_dtype(numpy, value) for value in args]
    named = {name: _dtype(numpy, value) for name, value in kwargs.items()}
    try:
        found = function(*given, **named)
    except Exception as error:
        raise Raised(error, machine.place) from None
    return _kept(machine, found)


def _bare(value: Value) -> Value:
    if isinstance(value, Tensor) and value.handle is not None and getattr(value.handle, "real", None) is not None:
        return value.handle.real.numpy()
    return value.payload if isinstance(value, Instance) and value.payload is not None else value


def _dtype(numpy: Any, value: Value) -> Any:
    return getattr(numpy, value.name.rpartition(".")[2]) if isinstance(value, Token | Native) else value


def _kept(machine: Machine, found: Any) -> Value:
    import numpy

    if isinstance(found, numpy.ndarray) and found.size > _LARGEST:
        return machine.plain("an array of many numbers is not kept")
    if isinstance(found, tuple | list):
        return type(found)(_kept(machine, each) for each in found)
    if isinstance(found, SCALARS) or is_array(found):
        return found
    return machine.plain("what numpy computes is not looked into")


def _size(args: tuple[Value, ...]) -> int:
    sizes = [a for a in args if isinstance(a, int | float)] + [
        n for a in args if isinstance(a, tuple | list) for n in a
    ]
    return int(prod(abs(n) for n in sizes if isinstance(n, int | float) and n) or 1)


def _known(name: str) -> None:
    @known(f"numpy.{name}")
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        if find_spec("numpy") is None:
            return machine.plain("numpy is not installed")
        import numpy

        if name in _MAKES.split() and name not in ("array", "asarray") and _size(args) > _LARGEST:
            return machine.plain("an array of many numbers is not kept")
        return _run(machine, getattr(numpy, name), list(args), kwargs)


for _name in f"{_MAKES} {_COMPUTES}".split():
    _known(_name)
put("numpy.pi", 3.141592653589793)
put("numpy.e", 2.718281828459045)
put("numpy.inf", float("inf"))
put("numpy.nan", float("nan"))
put("numpy.newaxis", None)
put("numpy.ndarray", Token("numpy.ndarray"))
put(
    "numpy.load",
    Native("numpy.load", lambda machine, *args, **kwargs: machine.plain("a file is read, which is not followed")),
)
