"""What stands in a collection: looping, subscripts, keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised, Stuck, Unsure
from ckptnames.prediction.static.values import (
    Class,
    Instance,
    Iterating,
    Module,
    Names,
    Native,
    Pure,
    Tensor,
    Token,
    Unknown,
    Value,
)

SCALARS = (int, float, str, bytes, bool, complex, type(None), type(Ellipsis))
COLLECTIONS = (list, tuple, dict, set, frozenset, deque)
_EMPTY: dict[Any, Any] = {}
_VIEWS = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))
_PLAIN_ITERABLES = (str, bytes, range)
_ITERATORS: tuple[type, ...] = tuple(
    type(iter(each)) for each in (list[Any](), (), _EMPTY, set[Any](), "", range(0), _EMPTY.items())
)
_MOST_LOOKED_AT = 20_000


class Defaulting(dict[Any, Any]):
    """A ``defaultdict`` of the program."""

    factory: Value = None

    def copy(self) -> Defaulting:
        """Copy with the factory."""
        other = Defaulting(self)
        other.factory = self.factory
        return other


def iterate(machine: Machine, value: Value) -> Iterator[Value]:
    """Give the items of a value, one after the other. Raises ``Unsure``, ``Raised``."""
    if machine.registries:
        from ckptnames.prediction.static.interpreter.registries import check_order, looked_into

        looked_into(machine, value)
        if isinstance(value, list | dict):
            check_order(machine, value)
    if isinstance(value, list | deque):
        return _of_list(machine, value)
    if isinstance(value, dict | set | frozenset | tuple):
        machine.check(value)
        check_names(value)
        if isinstance(value, set | frozenset) and not _has_order(value):
            raise Unsure(machine.unknown("the order of a set is known when it runs"))
        return iter(list(value))
    if isinstance(value, _VIEWS):
        machine.check(value.mapping)
        return iter(list(value))
    if isinstance(value, _PLAIN_ITERABLES):
        return iter(value)
    if isinstance(value, Iterating):
        return _of_iterator(machine, value)
    if isinstance(value, Unknown):
        raise Unsure(value)
    if isinstance(value, Tensor):
        return iter(machine.torch.items(machine, value))
    if isinstance(value, Class) and "members" in value.known:
        return iter(list(value.known["members"].values()))
    if isinstance(value, Instance):
        return _of_instance(machine, value)
    if machine.torch.is_array(value):
        return iter(list(value))
    raise machine.raised(TypeError, f"'{type(value).__name__}' object is not iterable")


def _has_order(value: set[Value] | frozenset[Value]) -> bool:
    """Tell whether a set gives its items in the same order in each run: that of texts and objects differs."""
    return len(value) < 2 or all(isinstance(each, int | float) for each in value)


def in_any_order(machine: Machine, value: Value) -> Iterator[Value]:
    """Give the items of a value for whom their order does not matter. Raises as ``iterate`` does."""
    if isinstance(value, set | frozenset):
        machine.check(value)
        return iter(list(value))
    return iterate(machine, value)


def check_names(value: Value) -> None:
    """Raise ``Unsure`` where names are asked for of which one is only perhaps there."""
    if isinstance(value, Names):
        for each in value.values():
            if isinstance(each, Unknown) and each.perhaps:
                raise Unsure(each)


def _of_list(machine: Machine, value: list[Value] | deque[Value]) -> Iterator[Value]:
    n = 0
    machine.check(value)
    while n < len(value):
        yield value[n]
        machine.check(value)
        n += 1


def _of_iterator(machine: Machine, value: Iterating) -> Iterator[Value]:
    while True:
        try:
            yield take(machine, value)
        except StopIteration:
            return


def take(machine: Machine, value: Iterating) -> Value:
    """Take the next item of an iterator. Raises ``StopIteration``."""
    if machine.journal.depth > value.depth:
        raise machine.stuck("it is not known how far an iterator has got")
    if value.why is not None:
        raise Stuck(value.why)
    machine.budget.spend(machine.place)
    return next(value.values)


def advance(machine: Machine, value: Iterating) -> Value:
    """Take the next item of an iterator as ``next`` does."""
    try:
        return take(machine, value)
    except StopIteration:
        raise machine.raised(StopIteration, "") from None


def iterator(machine: Machine, values: Iterator[Value]) -> Iterating:
    """Make an iterator for the program."""
    return Iterating(values, machine.journal.depth)


def _of_instance(machine: Machine, value: Instance) -> Iterator[Value]:
    found = value.cls.look_up("__iter__")
    if found is not None:
        other = machine.call(machine.get(value, "__iter__"))
        return iterate(machine, other) if other is not value else _by_next(machine, value)
    if value.payload is not None:
        return iterate(machine, value.payload)
    if value.opened is not None:
        raise Unsure(value.opened)
    if value.cls.look_up("__getitem__") is not None:
        return _by_number(machine, value)
    if value.cls.unknown is not None:
        raise Unsure(value.cls.unknown)
    raise machine.raised(TypeError, f"'{value.cls.name}' object is not iterable")


def _by_next(machine: Machine, value: Instance) -> Iterator[Value]:
    while True:
        try:
            yield machine.call(machine.get(value, "__next__"))
        except Raised as raised:
            if isinstance(raised.value, StopIteration):
                return
            raise


def _by_number(machine: Machine, value: Instance) -> Iterator[Value]:
    n = 0
    while True:
        try:
            yield machine.call(machine.get(value, "__getitem__"), [n])
        except Raised as raised:
            if isinstance(raised.value, IndexError):
                return
            raise
        n += 1


def item_of(machine: Machine, value: Value, key: Value) -> Value:
    """Give what stands in a value at a key."""
    if isinstance(value, Unknown):
        machine.doubts += 1
        return value
    if isinstance(value, Instance) and not _uses_payload(value, "__getitem__"):
        if value.cls.look_up("__getitem__") is None and (why := value.opened or value.cls.unknown) is not None:
            return why
        return machine.call(machine.get(value, "__getitem__"), [key])
    if isinstance(value, Instance):
        value = value.payload
    if isinstance(value, Tensor):
        return machine.torch.item(machine, value, key)
    if isinstance(value, Class):
        return _of_class(machine, value, key)
    if isinstance(value, type | Token | Native | Pure):
        return value  # `list[int]`
    if isinstance(key, Unknown):
        return _one_of(value, key)
    machine.check(value)
    if machine.torch.is_array(value):
        return _native(machine, value, key)
    if not isinstance(value, (*COLLECTIONS, str, bytes, range, *_VIEWS)):
        raise machine.raised(TypeError, f"'{type(value).__name__}' object is not subscriptable")
    if isinstance(value, dict) and hashable(machine, key) not in value:
        from ckptnames.prediction.static.interpreter.registries import looked_into

        looked_into(machine, value)
    if isinstance(value, Defaulting) and hashable(machine, key) not in value and value.factory is not None:
        machine.touch(value)
        value[key] = machine.call(value.factory)
    return _native(machine, value, hashable(machine, key) if isinstance(value, dict) else key)


def _native(machine: Machine, value: Any, key: Value) -> Value:
    try:
        return value[key]
    except (LookupError, TypeError, ValueError) as error:
        raise Raised(error, machine.place) from None


def _one_of(value: Value, why: Unknown) -> Unknown:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | str) else None
    plain = items is not None and all(
        isinstance(item, SCALARS) or (isinstance(item, Unknown) and item.plain) for item in items
    )
    return why.as_plain() if plain else why.within(value)


def _of_class(machine: Machine, cls: Class, key: Value) -> Value:
    if "members" in cls.known:
        if isinstance(key, Unknown):
            return key
        members = cls.known["members"]
        if key not in members:
            raise Raised(KeyError(key), machine.place)
        return members[key]
    found = cls.look_up("__class_getitem__")
    return cls if found is None else machine.call(machine.get(cls, "__class_getitem__"), [key])


def set_item(machine: Machine, value: Value, key: Value, to: Value) -> None:
    """Put something into a value at a key."""
    if isinstance(value, Instance):
        if not _uses_payload(value, "__setitem__"):
            if value.cls.look_up("__setitem__") is None and (value.opened or value.cls.unknown) is not None:
                return
            machine.call(machine.get(value, "__setitem__"), [key, to])
            return
        value = value.payload
    if isinstance(value, Unknown):
        from ckptnames.prediction.static.interpreter.spoiling import given_away

        given_away(machine, [value, to], value)
    elif isinstance(value, Tensor):
        machine.torch.changed(machine, value)
    elif isinstance(key, Unknown):
        machine.unsure(value, key)
    elif isinstance(value, list | dict | deque):
        if machine.is_unsure(value) is not None:
            return
        machine.touch(value)
        try:
            if isinstance(value, list) and isinstance(key, slice):
                value[key] = list(iterate(machine, to))
            else:
                value[hashable(machine, key) if isinstance(value, dict) else key] = to
        except (LookupError, TypeError, ValueError) as error:
            raise Raised(error, machine.place) from None
    elif machine.torch.is_array(value):
        raise machine.stuck("an array of numbers is changed in place")
    else:
        raise machine.raised(TypeError, f"'{type(value).__name__}' object does not support item assignment")


def delete_item(machine: Machine, value: Value, key: Value) -> None:
    """Take something out of a value."""
    if isinstance(value, Instance):
        if not _uses_payload(value, "__delitem__"):
            machine.call(machine.get(value, "__delitem__"), [key])
            return
        value = value.payload
    if isinstance(value, Unknown):
        from ckptnames.prediction.static.interpreter.spoiling import spoil

        spoil(machine, [value], value)
        return
    if machine.is_unsure(value) is not None:
        return
    if isinstance(key, Unknown):
        machine.unsure(value, key)
        return
    machine.touch(value)
    try:
        del value[hashable(machine, key) if isinstance(value, dict) else key]
    except (LookupError, TypeError) as error:
        raise Raised(error, machine.place) from None


def _uses_payload(value: Instance, method: str) -> bool:
    return value.payload is not None and value.cls.look_up(method) is None


def hashable(machine: Machine, key: Value) -> Value:
    """Hold that a value can be a key that is compared as Python would. Raises ``Unsure``, ``Raised``."""
    if isinstance(key, Unknown):
        raise Unsure(key)
    if isinstance(key, tuple):
        for each in key:
            hashable(machine, each)
    elif isinstance(key, list | dict | set) or (
        isinstance(key, Instance) and isinstance(key.payload, list | dict | set)
    ):
        raise machine.raised(TypeError, f"unhashable type: '{type(key).__name__}'")
    elif isinstance(key, Instance) and not isinstance(key, Module) and compares_itself(key):
        raise Unsure(machine.unknown("a key that compares itself with others is not followed"))
    return key


def compares_itself(value: Instance) -> bool:
    """Tell whether the class of an object says itself what it is equal to."""
    found = value.cls.look_up("__eq__")
    return found is not None and found[0].builtin is not object


def is_concrete(machine: Machine, value: Value) -> bool:
    """Tell whether a value is all of Python's own types, and known in all its parts."""
    stack, n = [value], 0
    while stack:
        each = stack.pop()
        n += 1
        if isinstance(each, (SCALARS, range | type)):
            continue
        if n > _MOST_LOOKED_AT or machine.is_unsure(each) is not None:
            return False
        if isinstance(each, dict):
            stack += [*each.keys(), *each.values()]
        elif isinstance(each, COLLECTIONS):
            stack += each
        elif isinstance(each, _VIEWS):
            stack += list(each)
        elif isinstance(each, slice):
            stack += [each.start, each.stop, each.step]
        elif isinstance(each, Instance) and isinstance(each.payload, str | int | float | tuple):
            stack.append(each.payload)
        elif not (machine.torch.is_array(each) or isinstance(each, BaseException)):
            return False
    return True


def unknown_in(machine: Machine, values: list[Value]) -> Unknown:
    """Give the reason why something that is computed from values is not known."""
    stack = list(values)
    n = 0
    while stack and n < _MOST_LOOKED_AT:
        each = stack.pop()
        n += 1
        if isinstance(each, Unknown):
            return each
        why = machine.is_unsure(each)
        if why is not None:
            return why
        if isinstance(each, dict):
            stack += each.values()
        elif isinstance(each, list | tuple | set):
            stack += each
    return machine.plain("a value that is not known here is computed with")
