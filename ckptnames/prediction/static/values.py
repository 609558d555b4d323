"""What the interpreter computes with.

Numbers, texts, ``None``, tuples, lists, dicts and sets stand for themselves, and so do Python's own types. What a
program makes beyond that is one of the classes here. Nothing here runs a line of the program.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from ckptnames.prediction.places import Place

if TYPE_CHECKING:
    from ckptnames.prediction.static.interpreter.frames import Frame

Value = Any


_BIRTHS = count()


class Names(dict[str, Any]):
    """The names of a scope, a class, an object: one that is only perhaps there has an unknown value."""

    __slots__ = ("born", "owner")
    owner: Module | None
    """The module that has registered what is named."""
    born: int
    """Counts all that were made, so that it is known which of two is younger."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.born = next(_BIRTHS)


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """A value that cannot be told, and the line that stopped it.

    ``plain`` is true where it is certainly no module, no parameter and nothing that holds one: a number, a text, a
    tensor that was computed, the data of a file.
    """

    reason: str
    place: Place | None = None
    plain: bool = False
    holder: Any = None
    """What it may be, or be a part of: whoever changes it may change that."""
    instance: Any = None
    """What it was found on, where it may be a method: calling it may change that."""
    perhaps: bool = False
    """True where it is not even known whether there is anything under its name."""

    def as_plain(self) -> Unknown:
        """The same, known to be no module."""
        return self if self.plain else Unknown(self.reason, self.place, True)

    def within(self, holder: Any = None) -> Unknown:
        """The same, which may be anything, or any part of ``holder``."""
        return Unknown(self.reason, self.place, holder=holder)


@dataclass(slots=True, eq=False, repr=False)
class Class:
    """A class: of the program, of Python (``builtin``) or of torch (``layer``, its full name)."""

    name: str
    names: dict[str, Value] = field(default_factory=Names)
    bases: tuple[Class, ...] = ()
    mro: tuple[Class, ...] = ()
    module: str = "builtins"
    builtin: type | None = None
    layer: str = ""
    known: dict[str, Any] = field(default_factory=dict)
    """What decorators and special bases noted of it: the fields of a dataclass, the members of an enumeration."""
    unknown: Unknown | None = None
    """Why not all of it is known, where a base class is not."""

    def look_up(self, name: str, after: Class | None = None) -> tuple[Class, Value] | None:
        """Find a name in the class or the classes it derives from, those behind ``after`` only."""
        mro = self.mro if after is None else self.mro[self.mro.index(after) + 1 :]
        for cls in mro:
            if name in cls.names:
                return cls, cls.names[name]
        return None

    @property
    def is_module(self) -> bool:
        """True where its instances are modules."""
        return any(cls.layer == MODULE for cls in self.mro)

    @property
    def layers(self) -> list[Class]:
        """The classes of torch it derives from, the nearest first, without ``Module`` itself."""
        return [cls for cls in self.mro if cls.layer and cls.layer != MODULE]

    @property
    def mixed_in(self) -> type | None:
        """The type of Python's own that its instances extend, if there is one."""
        return next((cls.builtin for cls in self.mro if cls.builtin not in (None, object)), None)


MODULE = "torch.nn.Module"


@dataclass(slots=True, eq=False, repr=False)
class Instance:
    """An object of a class of the program; ``payload`` is what it holds of a type of Python's own that it extends."""

    cls: Class
    attrs: dict[str, Value] = field(default_factory=Names)
    payload: Value = None
    opened: Unknown | None = None
    """Why its attributes are not known, where they are not."""

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        mine = self.payload
        if mine is None or isinstance(mine, BaseException):
            return False
        theirs = other.payload if isinstance(other, Instance) else other
        return bool(mine == theirs)

    def __hash__(self) -> int:
        if self.payload is None or isinstance(self.payload, BaseException):
            return id(self)
        return hash(self.payload)


@dataclass(slots=True, eq=False, repr=False)
class Module(Instance):
    """A module of torch or of the program: what is registered on it, and which line did that."""

    params: dict[str, Value] = field(default_factory=Names)
    buffers: dict[str, Value] = field(default_factory=Names)
    modules: dict[str, Value] = field(default_factory=Names)
    fleeting: dict[str, bool] = field(default_factory=Names)
    """The buffers that are not persistent."""
    sites: dict[str, Place] = field(default_factory=dict)
    ready: bool = False
    """True once ``Module.__init__`` has run."""
    extra: Unknown | None = None
    """Why it may have registered more than is known."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        for names in (self.params, self.buffers, self.modules):
            if isinstance(names, Names):
                names.owner = self


class Storage:
    """The memory of a tensor; two tensors with one storage and one view of it are tied."""


@dataclass(slots=True, eq=False, repr=False)
class Tensor:
    """A tensor: its shape and dtype where they are known, and its numbers only where they are few and known.

    ``handle`` is what the room that makes tensors keeps of it.
    """

    shape: tuple[int, ...] | None
    dtype: Value
    is_parameter: bool = False
    requires_grad: bool = False
    storage: Storage = field(default_factory=Storage)
    view: object = None
    """How it looks at its storage: ``None`` for all of it, from the start, in order."""
    handle: Any = None
    lazy: bool = False
    attrs: dict[str, Value] = field(default_factory=Names)
    cls: Class | None = None
    """The class of the program that it is of, where it is no plain tensor."""


@dataclass(slots=True, eq=False, repr=False)
class Function:
    """A function or lambda of the program, with the scopes around it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    name: str
    frame: Frame
    defaults: list[Value]
    keyword_defaults: dict[str, Value]
    attrs: dict[str, Value] = field(default_factory=Names)


@dataclass(slots=True, eq=False, repr=False)
class Native:
    """A function that the interpreter knows: ``code(machine, *args, **kwargs)``."""

    name: str
    code: Callable[..., Value]
    binds: bool = False
    """True where it takes the instance first when it is found in a class."""


@dataclass(slots=True, eq=False, repr=False)
class Pure:
    """A function of Python's own that only computes: it is called where all that it is given is known."""

    name: str
    code: Callable[..., Value]


@dataclass(slots=True, eq=False, repr=False)
class Method:
    """A function with the instance or the class that it is called on."""

    function: Value
    instance: Value


@dataclass(slots=True, eq=False, repr=False)
class OfValue:
    """A method of one of Python's own types, found on a value: ``[].append``."""

    value: Value
    name: str


@dataclass(slots=True, eq=False, repr=False)
class Partial:
    """A function with arguments that it will be called with."""

    function: Value
    args: tuple[Value, ...]
    kwargs: dict[str, Value]
    attrs: dict[str, Value] = field(default_factory=Names)


@dataclass(slots=True, eq=False, repr=False)
class Property:
    """A property, or a cached one."""

    getter: Value
    setter: Value = None
    cached: bool = False


@dataclass(slots=True, eq=False, repr=False)
class StaticMethod:
    """A function in a class that takes no instance."""

    function: Value


@dataclass(slots=True, eq=False, repr=False)
class ClassMethod:
    """A function in a class that takes the class."""

    function: Value


@dataclass(slots=True, eq=False, repr=False)
class Super:
    """What ``super()`` gives: the classes behind ``after``, for an instance or a class."""

    after: Class
    instance: Value
    cls: Class


@dataclass(slots=True, eq=False, repr=False)
class Namespace:
    """A module of source: its names, where its file is, and star imports that were not needed yet."""

    name: str
    file: str
    vars: dict[str, Value] = field(default_factory=Names)
    is_package: bool = False
    stars: list[tuple[str, Place]] = field(default_factory=list)
    running: bool = False
    unknown: Unknown | None = None


@dataclass(slots=True, eq=False, repr=False)
class KnownModule:
    """A module that is not read: what is known of it stands in tables."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class Deferred:
    """An import that has not been followed, since its name was not used yet."""

    module: str
    name: str | None
    place: Place
    package: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Iterating:
    """An iterator that the program can take from."""

    values: Iterator[Value]
    depth: int = 0
    """In how many branches that are perhaps not taken it was made: one further in must not take from it."""
    frame: Frame | None = None
    """The scope of the function of the program that yields the values, if there is one."""
    why: Unknown | None = None
    """Why it is not known what comes next, where it is not."""


@dataclass(slots=True, eq=False, repr=False)
class Context:
    """A context manager that does nothing to names: ``no_grad()``, or one made of a generator of the program."""

    value: Value = None
    generator: Generator[Value, None, None] | None = None
    frame: Frame | None = None
    """The scope of the function that yields."""
    suppresses: tuple[Value, ...] = ()


class Token:
    """A value of which only its identity and its name matter: a dtype without torch, ``typing.Any``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def builtin_class(builtin: type) -> Class:
    """Give the class that stands for one of Python's own types.

    >>> [cls.name for cls in builtin_class(bool).mro]
    ['bool', 'int', 'object']
    """
    found = _BUILTINS.get(builtin)
    if found is None:
        found = _BUILTINS[builtin] = Class(builtin.__name__, Names(), builtin=builtin)
        found.bases = tuple(builtin_class(base) for base in builtin.__bases__)
        found.mro = (found, *(builtin_class(base) for base in builtin.__mro__[1:]))
    return found


_BUILTINS: dict[type, Class] = {}
