"""What a pickle says, as inert values: names where it says a class or function, records where it says a call.

``None``, ``bool``, ``int``, ``float``, ``str``, ``bytes``, ``tuple`` and ``list`` stand for themselves.
"""

from __future__ import annotations

from typing import Any


class Text(str):
    """A string that remembers which bytes of the pickle pushed it: ``start`` to ``end`` of one opcode."""

    __slots__ = ("end", "start")
    start: int
    end: int

    @classmethod
    def at(cls, text: str, start: int, end: int) -> Text:
        """Make the string that the opcode in ``start:end`` pushes."""
        made = cls(text)
        made.start = start
        made.end = end
        return made


class Global:
    """The name of a class or function. It is never looked up.

    >>> Global("os", "system").path
    'os.system'
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    @property
    def path(self) -> str:
        """The name with its module."""
        return f"{self.module}.{self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Global) and self.module == other.module and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.module, self.name))

    def __repr__(self) -> str:
        return f"Global({self.path})"


ORDERED_DICT = Global("collections", "OrderedDict")


class PersistentId:
    """A reference to something outside the pickle: in torch files, a storage."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


_NO_PLACES: dict[str, int] = {}


class Mapping:
    """What ``Dict`` and ``Object`` share: items in the order they came, a later value of a string key in its place.

    ``state`` is what BUILD gave: ``{'_metadata': …}`` for a state dict, the attributes of an instance. ``repeated`` are
    the string keys that the pickle writes once more: each such opcode makes the item again.
    """

    __slots__ = ("_places", "items", "repeated", "state")
    items: list[tuple[Any, Any]] | tuple[()]
    repeated: list[str] | tuple[()]
    state: Any
    _places: dict[str, int]

    def put(self, key: Any, value: Any) -> None:
        """Add an item, or replace the one of that string key."""
        # Most objects never get an item, and a checkpoint has several of them for each tensor.
        if isinstance(self.items, tuple):
            self.items = []
            self._places = {}
        # Other keys are not compared: hashing a tuple that a pickle made can exhaust the C stack.
        if isinstance(key, str):
            at = self._places.setdefault(key, len(self.items))
            if at < len(self.items):
                self.items[at] = (self.items[at][0], value)
                if isinstance(self.repeated, tuple):
                    self.repeated = []
                self.repeated.append(key)
                return
        self.items.append((key, value))

    def get(self, key: str) -> Any:
        """Give the value of a string key, or ``None``."""
        at = self._places.get(key)
        return None if at is None else self.items[at][1]

    def has(self, key: str) -> bool:
        """Tell whether there is an item of that string key."""
        return key in self._places


class Dict(Mapping):
    """A ``dict``, or an ``OrderedDict``: its ordered items."""

    __slots__ = ("cls",)

    def __init__(self, cls: str = "dict") -> None:
        self.items = self.repeated = ()
        self.state = None
        self._places = _NO_PLACES
        self.cls = cls


class Object(Mapping):
    """Anything else that a call makes: the callable and its arguments, and what was added to the result."""

    __slots__ = ("args", "callable", "elements")

    def __init__(self, callable: Any, args: tuple[Any, ...]) -> None:
        self.items = self.repeated = ()
        self.state = None
        self._places = _NO_PLACES
        self.callable = callable
        self.args = args
        self.elements: list[Any] | None = None
        """What APPEND and ADDITEMS gave: the members of a list subclass or a set."""

    @property
    def cls(self) -> Any:
        """The class of the object where the callable is one that makes instances, else the callable itself."""
        cls = self.callable
        if isinstance(cls, Global) and cls.name in _MAKERS and self.args:
            cls = self.args[0]
        if isinstance(cls, PersistentId) and isinstance(cls.value, tuple) and len(cls.value) > 1:
            # A legacy file keeps the source text of a module's class beside its name.
            cls = cls.value[1]
        return cls


_MAKERS = ("_reconstructor", "__newobj__", "__newobj_ex__")
