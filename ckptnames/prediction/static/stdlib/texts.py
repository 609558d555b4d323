"""What is known of ``re``, ``math``, ``string`` and ``os.path``: they compute, and that is done."""

from __future__ import annotations

import math
import posixpath
import re
import string
from typing import Any

from ckptnames.prediction.static.budget import check_length
from ckptnames.prediction.static.interpreter.items import is_concrete, iterator, unknown_in
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import apply
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.stdlib.table import known, pure, put
from ckptnames.prediction.static.values import Instance, Value

_MOST_REPEATS = 4
_LONGEST = 2_000

pure(
    "math",
    math,
    "acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees dist erf exp fabs floor fmod frexp fsum gcd "
    "hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf pow radians remainder sin "
    "sinh sqrt tan tanh trunc",
)
for _name in ("pi", "e", "inf", "nan", "tau"):
    put(f"math.{_name}", getattr(math, _name))
pure("os.path", posixpath, "join basename dirname splitext split normpath isabs commonprefix")
for _name in (
    "ascii_lowercase",
    "ascii_uppercase",
    "ascii_letters",
    "digits",
    "punctuation",
    "whitespace",
    "printable",
):
    put(f"string.{_name}", getattr(string, _name))


@known("math.prod")
def _prod(machine: Machine, values: Value, *, start: Value = 1) -> Value:
    import operator

    total = start
    for value in machine.iterate(values):
        total = apply(machine, "mul", operator.mul, total, value)
    return total


@known("math.factorial", "math.comb", "math.perm")
def _factorial(machine: Machine, n: Value, k: Value = None) -> Value:
    return machine.plain("a factorial is not computed")


for _name in ["I", "IGNORECASE", "M", "MULTILINE", "S", "DOTALL", "X", "VERBOSE", "A", "ASCII"]:
    put(f"re.{_name}", int(getattr(re, _name)))


def _is_quick(pattern: str) -> bool:
    """Tell whether a pattern cannot take long: no repeat in a repeat, and few of them."""
    import re._parser as parser  # type: ignore[import-not-found]

    n_repeats = 0

    def walk(parsed: Any, inside: bool) -> bool:
        nonlocal n_repeats
        for op, argument in parsed:
            name = str(op)
            if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                unbounded = argument[1] == parser.MAXREPEAT or argument[1] > 20
                n_repeats += unbounded
                if (inside and unbounded) or not walk(argument[2], inside or unbounded):
                    return False
            elif name == "SUBPATTERN":
                if not walk(argument[3], inside):
                    return False
            elif name == "BRANCH":
                if not all(walk(each, inside) for each in argument[1]):
                    return False
            elif name in ("ASSERT", "ASSERT_NOT") and not walk(argument[1], inside):
                return False
        return True

    return walk(parser.parse(pattern), inside=False) and n_repeats <= _MOST_REPEATS


def search(machine: Machine, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Run a function of ``re`` on texts that are known."""
    values = [arg for arg in (*args, *kwargs.values()) if not isinstance(arg, re.Pattern)]
    values = [value.payload if isinstance(value, Instance) else value for value in values]
    if name == "sub" and len(args) > 1 and not isinstance(args[1], str):
        return machine.plain("a replacement that is computed is not followed")
    if not is_concrete(machine, values):
        return unknown_in(machine, values).as_plain()
    pattern = args[0].pattern if isinstance(args[0], re.Pattern) else args[0]
    try:
        if not isinstance(pattern, str) or not _is_quick(pattern):
            return machine.plain("a regular expression that may take long is not tried")
        check_length(
            max((len(v) for v in values if isinstance(v, str)), default=0) * (2_000_000 // _LONGEST), machine.place
        )
        if isinstance(args[0], re.Pattern):
            found = getattr(args[0], name)(*args[1:], **kwargs)
        else:
            found = getattr(re, name)(*args, **kwargs)
    except (re.error, TypeError, IndexError) as error:
        raise Raised(error, machine.place) from None
    return iterator(machine, iter(list(found))) if name == "finditer" else found


def _of_re(name: str) -> None:
    @known(f"re.{name}")
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        return search(machine, name, list(args), kwargs)


for _name in ["match", "search", "fullmatch", "findall", "finditer", "split", "sub", "compile", "escape"]:
    _of_re(_name)
