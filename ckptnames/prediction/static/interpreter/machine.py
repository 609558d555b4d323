"""The interpreter: what it remembers while it follows a program, and the verbs that its parts call each other by.

Each verb looks into a table of one of the parts; a construct that no table has gives an unknown value.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.budget import Budget
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.journal import Journal
from ckptnames.prediction.static.signals import Raised, Stuck, Unsure
from ckptnames.prediction.static.values import Class, Instance, Module, Namespace, Unknown, Value, builtin_class

if TYPE_CHECKING:
    from ckptnames.prediction.static.sources.finder import Finder
    from ckptnames.prediction.static.torch_nn.room import Torch

Execute = Callable[["Machine", Any, Frame], None]
Evaluate = Callable[["Machine", Any, Frame], Value]

STATEMENTS: dict[type[ast.stmt], Execute] = {}
EXPRESSIONS: dict[type[ast.expr], Evaluate] = {}


class Machine:
    """Follows a program. One is made for each question, and nothing of it is kept."""

    def __init__(self, finder: Finder, torch: Torch) -> None:
        self.finder = finder
        self.torch = torch
        self.budget = Budget()
        self.journal = Journal()
        self.modules: dict[str, Namespace] = {}
        self.frames: list[Frame] = []
        self.importing = 0
        """How many modules are being run: while one is, registries are not full yet, as in Python itself."""
        self.waiting: dict[str, Place] = {}
        """Modules that would be imported by now, are not needed for their names, and may fill registries of others."""
        self.patched: dict[str, Value] = {}
        """What the program has put into modules that are known from tables."""
        self.registries: dict[int, Any] = {}
        """Dicts and lists that were made empty while a module ran."""
        self.has_subclass_hooks = False
        """True where a class of the program says what is done with classes that derive from it."""
        self._unsure: dict[int, tuple[Any, Unknown]] = {}
        self.given_away: list[Value] = []
        """What code that nothing is known of has been handed."""
        self.given_up: set[ast.stmt] = set()
        """Statements that took more steps than there were."""
        self.spoiled: Unknown | None = None
        """Why nothing is certain any more, where something changed that all else goes by."""
        self.classes: list[Class] = []
        """The classes that the program has made."""
        self.disordered: Place | None = None
        """Where a module was run before others that Python would have run first."""
        self.notes: dict[str, None] = {}
        self.doubts = 0
        """Counts what may raise an exception that nobody here can know of."""

    # Running code.

    def execute(self, block: Sequence[ast.stmt], frame: Frame) -> None:
        """Run statements one after the other."""
        from ckptnames.prediction.static.interpreter.blocks import run

        run(self, block, frame)

    def eval(self, node: ast.expr, frame: Frame) -> Value:
        """Give the value of an expression."""
        budget = self.budget
        budget.left -= 1
        if budget.left < 0:
            budget.exhausted(self.place)
        handler = EXPRESSIONS.get(type(node))
        if handler is None:
            return self.unknown(f"{type(node).__name__} is not followed", node, frame)
        value = handler(self, node, frame)
        if isinstance(value, Unknown):
            # What is done with it next may raise.
            self.doubts += 1
        return value

    def call(self, function: Value, args: Sequence[Value] = (), kwargs: Mapping[str, Value] | None = None) -> Value:
        """Call anything that can be called."""
        from ckptnames.prediction.static.interpreter.calls import call

        return call(self, function, list(args), dict(kwargs or {}))

    # Looking at values.

    def get(self, value: Value, name: str) -> Value:
        """Give an attribute. Raises ``Raised`` where there is none."""
        from ckptnames.prediction.static.interpreter.attributes import get

        return get(self, value, name)

    def find(self, value: Value, name: str, default: Value = None) -> Value:
        """Give an attribute, or ``default`` where there is none."""
        from ckptnames.prediction.static.interpreter.attributes import MISSING, look_up

        try:
            found = look_up(self, value, name)
        except Raised as raised:
            if not isinstance(raised.value, AttributeError):
                raise
            return default
        return default if found is MISSING else found

    def set(self, value: Value, name: str, to: Value) -> None:
        """Set an attribute."""
        from ckptnames.prediction.static.interpreter.setting import set_attribute

        set_attribute(self, value, name, to)

    def iterate(self, value: Value) -> Iterator[Value]:
        """Give the items of anything that can be looped over. Raises ``Unsure`` where they are not known."""
        from ckptnames.prediction.static.interpreter.items import iterate

        return iterate(self, value)

    def truth(self, value: Value) -> bool | Unknown:
        """Tell whether a value counts as true."""
        from ckptnames.prediction.static.interpreter.operators import truth

        found = truth(self, value)
        if isinstance(found, Unknown):
            self.doubts += 1
        return found

    def decided(self, value: Value) -> bool:
        """Tell whether a value counts as true. Raises ``Unsure`` where that is not known."""
        found = self.truth(value)
        if isinstance(found, Unknown):
            raise Unsure(found)
        return found

    # What is not known.

    def unknown(self, reason: str, node: ast.AST | None = None, frame: Frame | None = None) -> Unknown:
        """Make an unknown value, stopped by the line of a node or the one that runs."""
        if node is not None and frame is not None and hasattr(node, "lineno"):
            return Unknown(reason, Place(frame.namespace.file, node.lineno))
        return Unknown(reason, self.place)

    def plain(self, reason: str) -> Unknown:
        """Make an unknown value that is certainly no module."""
        return Unknown(reason, self.place, plain=True)

    def stuck(self, reason: str) -> Stuck:
        """Make the signal that ends what cannot be followed."""
        return Stuck(Unknown(reason, self.place))

    def doubt(self, reason: str, *, plain: bool = False) -> Unknown:
        """Make an unknown value of something that may as well raise an exception."""
        self.doubts += 1
        return Unknown(reason, self.place, plain)

    def unsure(self, collection: Any, why: Unknown) -> None:
        """Mark a list, dict or set: what it holds is not known any more; of what a module registers, open that."""
        self.doubts += 1
        owner = getattr(collection, "owner", None)
        if owner is not None:
            self.open(owner, why, all_of_it=True)
            return
        self._unsure.setdefault(id(collection), (collection, why.within(collection)))

    def is_unsure(self, collection: Any) -> Unknown | None:
        """Tell why the content of a collection is not known, where it is not."""
        found = self._unsure.get(id(collection))
        if found is None:
            return None
        self.doubts += 1
        return found[1]

    def check(self, collection: Any) -> None:
        """Raise ``Unsure`` where the content of a collection is not known."""
        why = self.is_unsure(collection)
        if why is not None:
            raise Unsure(why)

    def touch(self, collection: Any) -> None:
        """Say that a collection is about to be changed."""
        self.journal.touch(collection)

    def open(self, instance: Instance, why: Unknown, *, all_of_it: bool = False) -> None:
        """Note that an object may have more attributes than are known; ``all_of_it``: or others."""
        why = why.within(instance)
        names = [instance.attrs]
        if isinstance(instance, Module):
            names += [instance.params, instance.buffers, instance.modules]
            instance.extra = instance.extra or why
        instance.opened = instance.opened or why
        if all_of_it:
            for each in names:
                self.touch(each)
                each.clear()

    def taint(self, cls: Class, why: Unknown) -> None:
        """Note that a class, and with it those that derive from it, may not be what the program says."""
        for each in self.classes:
            if cls in each.mro:
                each.unknown = each.unknown or why.within()

    # Where it is.

    @property
    def place(self) -> Place | None:
        """The line that runs."""
        return Place(self.frames[-1].namespace.file, self.frames[-1].line) if self.frames else None

    def raised(self, kind: type[BaseException], text: str) -> Raised:
        """Make one of Python's own exceptions, raised by the line that runs."""
        return Raised(kind(text), self.place)

    def class_of(self, builtin: type) -> Class:
        """Give the class that stands for one of Python's own types."""
        return builtin_class(builtin)
