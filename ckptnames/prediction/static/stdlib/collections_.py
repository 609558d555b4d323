"""What is known of ``collections``, ``itertools``, ``functools`` and ``operator``."""

from __future__ import annotations

import itertools
import operator
import types
from collections import Counter, OrderedDict, deque, namedtuple
from collections.abc import Iterator

from ckptnames.prediction.static.budget import check_length
from ckptnames.prediction.static.interpreter.attributes import MISSING, look_up
from ckptnames.prediction.static.interpreter.classes import PARTIAL
from ckptnames.prediction.static.interpreter.items import Defaulting, hashable, is_concrete, item_of, iterator
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.operators import apply
from ckptnames.prediction.static.interpreter.registries import made_empty
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.stdlib.constructors import _pairs
from ckptnames.prediction.static.stdlib.table import known, pure, put
from ckptnames.prediction.static.values import Class, Function, Instance, Names, Native, Partial, Property, Token, Value

put("collections.OrderedDict", OrderedDict)
put("typing.OrderedDict", OrderedDict)
put("collections.deque", deque)
for _name in [
    "Sequence",
    "Iterable",
    "Mapping",
    "MutableMapping",
    "MutableSequence",
    "Callable",
    "Sized",
    "Hashable",
    "Iterator",
    "Set",
]:
    put(f"collections.abc.{_name}", Token(f"collections.abc.{_name}"))
    put(f"collections.{_name}", Token(f"collections.abc.{_name}"))


@known("collections.defaultdict")
def _defaultdict(machine: Machine, factory: Value = None, *args: Value, **kwargs: Value) -> Value:
    found = Defaulting()
    found.factory = factory
    for each in args:
        found.update(_pairs(machine, each))
    found.update(kwargs)
    return made_empty(machine, found)


@known("collections.Counter")
def _counter(machine: Machine, values: Value = ()) -> Value:
    return Counter(hashable(machine, value) for value in machine.iterate(values))


@known("collections.namedtuple")
def _namedtuple(
    machine: Machine, name: Value, fields: Value, *, rename: Value = False, defaults: Value = None, module: Value = None
) -> Value:
    names = fields if isinstance(fields, str) else list(machine.iterate(fields))
    given = None if defaults is None else list(machine.iterate(defaults))
    if not is_concrete(machine, [name, names]):
        return machine.unknown("the fields of a named tuple are not known")
    try:
        return namedtuple(name, names, rename=bool(rename), defaults=given)
    except (TypeError, ValueError) as error:
        raise Raised(error, machine.place) from None


# itertools


def _of(machine: Machine, values: Iterator[Value]) -> Value:
    return iterator(machine, values)


@known("itertools.chain")
def _chain(machine: Machine, *values: Value) -> Value:
    return _of(machine, (item for each in values for item in machine.iterate(each)))


@known("itertools.chain.from_iterable")
def _chain_from(machine: Machine, values: Value) -> Value:
    return _of(machine, (item for each in machine.iterate(values) for item in machine.iterate(each)))


@known("itertools.product")
def _product(machine: Machine, *values: Value, repeat: int = 1) -> Value:
    pools = [list(machine.iterate(value)) for value in values]
    check_length(sum(len(pool) for pool in pools) * repeat, machine.place)
    return _of(machine, itertools.product(*pools, repeat=repeat))


@known("itertools.combinations")
def _combinations(machine: Machine, values: Value, r: int) -> Value:
    return _of(machine, itertools.combinations(list(machine.iterate(values)), r))


@known("itertools.permutations")
def _permutations(machine: Machine, values: Value, r: Value = None) -> Value:
    return _of(machine, itertools.permutations(list(machine.iterate(values)), r))


@known("itertools.repeat")
def _repeat(machine: Machine, value: Value, times: Value = None) -> Value:
    return _of(machine, itertools.repeat(value) if times is None else itertools.repeat(value, times))


@known("itertools.count")
def _count(machine: Machine, start: Value = 0, step: Value = 1) -> Value:
    return _of(machine, itertools.count(start, step))


@known("itertools.cycle")
def _cycle(machine: Machine, values: Value) -> Value:
    return _of(machine, itertools.cycle(list(machine.iterate(values))))


@known("itertools.islice")
def _islice(machine: Machine, values: Value, *args: Value) -> Value:
    return _of(machine, itertools.islice(machine.iterate(values), *args))


@known("itertools.zip_longest")
def _zip_longest(machine: Machine, *values: Value, fillvalue: Value = None) -> Value:
    return _of(machine, itertools.zip_longest(*(machine.iterate(value) for value in values), fillvalue=fillvalue))


@known("itertools.pairwise")
def _pairwise(machine: Machine, values: Value) -> Value:
    return _of(machine, itertools.pairwise(machine.iterate(values)))


@known("itertools.starmap")
def _starmap(machine: Machine, function: Value, values: Value) -> Value:
    return _of(machine, (machine.call(function, list(machine.iterate(each))) for each in machine.iterate(values)))


@known("itertools.accumulate")
def _accumulate(machine: Machine, values: Value, function: Value = None, *, initial: Value = None) -> Value:
    def add(one: Value, other: Value) -> Value:
        if function is not None:
            return machine.call(function, [one, other])
        return apply(machine, "add", operator.add, one, other)

    return _of(machine, itertools.accumulate(machine.iterate(values), add, initial=initial))


# functools


def _partial(machine: Machine, cls: Class, given: list[Value], kwargs: dict[str, Value]) -> Value:
    function, *args = given
    if isinstance(function, Partial):
        return Partial(function.function, (*function.args, *args), {**function.kwargs, **kwargs})
    return Partial(function, tuple(args), kwargs)


PARTIAL.known["make"] = _partial
put("functools.partial", PARTIAL)


@known("functools.partialmethod")
def _partialmethod(machine: Machine, function: Value, *args: Value, **kwargs: Value) -> Value:
    return Native(
        "partialmethod", lambda m, self, *a, **k: m.call(function, [self, *args, *a], {**kwargs, **k}), binds=True
    )


@known("functools.wraps", "functools.update_wrapper")
def _wraps(machine: Machine, wrapped: Value, *args: Value, **kwargs: Value) -> Value:
    def copied(machine: Machine, function: Value) -> Value:
        if isinstance(function, Function):
            if isinstance(wrapped, Function):
                function.attrs.update(wrapped.attrs)
            function.attrs["__wrapped__"] = wrapped
            for name in ("__name__", "__module__"):
                if (found := look_up(machine, wrapped, name)) is not MISSING:
                    function.attrs[name] = found
        return function

    if args and not isinstance(args[0], tuple | list):  # update_wrapper(wrapper, wrapped)
        return wrapped
    return Native("wraps", copied)


@known("functools.lru_cache", "functools.cache")
def _cache(machine: Machine, function: Value = None, *args: Value, **kwargs: Value) -> Value:
    """A cached function gives what it gives; that two calls give one object is seen to for modules."""
    if function is None or isinstance(function, int):
        return Native("lru_cache", lambda m, inner: _cached(inner))
    return _cached(function)


def _cached(function: Value) -> Value:
    kept: list[tuple[list[Value], dict[str, Value], Value]] = []

    def call(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        if not is_concrete(machine, [*args, *kwargs.values()]):
            return machine.call(function, args, kwargs)
        for known_args, known_kwargs, value in kept:
            if known_args == list(args) and known_kwargs == kwargs:
                return value
        found = machine.call(function, args, kwargs)
        if not machine.journal.depth:
            kept.append((list(args), kwargs, found))
        return found

    return Native(getattr(function, "name", "cached"), call, binds=True)


@known("functools.cached_property")
def _cached_property(machine: Machine, getter: Value) -> Value:
    return Property(getter, None, cached=True)


@known("functools.reduce")
def _reduce(machine: Machine, function: Value, values: Value, *initial: Value) -> Value:
    items = machine.iterate(values)
    total = initial[0] if initial else next(items, MISSING)
    if total is MISSING:
        raise machine.raised(TypeError, "reduce() of empty iterable with no initial value")
    for item in items:
        total = machine.call(function, [total, item])
    return total


@known("functools.total_ordering")
def _same(machine: Machine, value: Value) -> Value:
    return value


# operator


@known("operator.itemgetter")
def _itemgetter(machine: Machine, *keys: Value) -> Value:
    def code(machine: Machine, value: Value) -> Value:
        found = tuple(item_of(machine, value, key) for key in keys)
        return found[0] if len(keys) == 1 else found

    return Native("itemgetter", code)


@known("operator.attrgetter")
def _attrgetter(machine: Machine, *names: str) -> Value:
    def code(machine: Machine, value: Value) -> Value:
        found = []
        for name in names:
            at = value
            for part in name.split("."):
                at = machine.get(at, part)
            found.append(at)
        return found[0] if len(names) == 1 else tuple(found)

    return Native("attrgetter", code)


@known("operator.getitem")
def _getitem(machine: Machine, value: Value, key: Value) -> Value:
    return item_of(machine, value, key)


@known("operator.index")
def _index(machine: Machine, value: Value) -> Value:
    return machine.torch.as_number(value)


def _operator(name: str) -> None:
    @known(f"operator.{name}")
    def code(machine: Machine, left: Value, right: Value) -> Value:
        return apply(machine, name, getattr(operator, name), left, right)


for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod"]:
    _operator(_name)
pure("operator", operator, "neg not_ eq ne lt le gt ge")


def _simple(machine: Machine, **kwargs: Value) -> Value:
    return Instance(machine.class_of(object), Names(kwargs))


put("types.SimpleNamespace", Native("SimpleNamespace", _simple))
put("argparse.Namespace", Native("Namespace", _simple))


@known("types.MappingProxyType")
def _proxy(machine: Machine, value: Value) -> Value:
    return value


for _name in [
    "FunctionType",
    "ModuleType",
    "MethodType",
    "LambdaType",
    "BuiltinFunctionType",
    "GeneratorType",
    "NoneType",
]:
    put(f"types.{_name}", getattr(types, _name))
