"""A model in memory, or something asked of it, that cannot be answered."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import ModelError, nearest


class NotAModule(ModelError):
    """Something that is neither a module nor the name of one."""

    code = "not-a-module"

    def __init__(self, found: object) -> None:
        self.found = found.__name__ if isinstance(found, type) else type(found).__name__
        is_class = isinstance(found, type)
        super().__init__(
            f"{'the class' if is_class else 'a value of type'} '{self.found}' is no module",
            help=f"build one, and pass that: {self.found}(...)"
            if is_class
            else "pass a module, or say where one is: 'file.py:Net', 'package.module:name(kwarg=1)'",
        )


class EndlessModel(ModelError):
    """A module that is registered inside itself, at ``path``, so that its names never end."""

    code = "endless-model"

    def __init__(self, path: str, itself: str) -> None:
        self.path, self.itself = path, itself
        name, whole = path.rpartition(".")[2], f"'{itself}'" if itself else "the model"
        super().__init__(
            f"'{path}' is {whole} again, which it is inside of: the names never end",
            help=f"keep it out of the registry, as in self.{name} = [module]. state_dict() fails on this model, too",
        )


class NoStateDict(ModelError):
    """A model whose own ``state_dict()`` gives no names."""

    code = "no-state-dict"

    def __init__(self, model: str, reason: str) -> None:
        self.model, self.reason = model, reason
        super().__init__(
            f"state_dict() of '{model}' {reason}",
            help="call model.state_dict() yourself, and mend what it names",
        )


class UnknownWrapper(ModelError):
    """A wrapper of a name that is not known."""

    code = "unknown-wrapper"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        near = nearest(name, known)
        super().__init__(
            f"no wrapper is called '{name}'",
            help=f"did you mean '{near[0]}'?" if near else f"name one of these: {', '.join(known)}",
        )


class BadWrapper(ModelError):
    """A wrapper with a value that it does not take, or without the one it needs."""

    code = "bad-wrapper"

    def __init__(self, text: str, expected: str) -> None:
        self.text, self.expected = text, expected
        super().__init__(f"'{text}' does not say how to wrap", help=f"write it as {expected}")


class NoSuchSubmodule(ModelError):
    """A path that leads to no submodule of the model; ``inside`` is as far as it leads."""

    code = "no-such-submodule"

    def __init__(self, path: str, inside: str, names: Sequence[str]) -> None:
        self.path, self.inside, self.names = path, inside, tuple(names)
        last = path[len(inside) + 1 if inside else 0 :].partition(".")[0]
        near = [f"{inside}.{name}" if inside else name for name in nearest(last, names) or names]
        holder = f"'{inside}'" if inside else "the model"
        super().__init__(
            f"no submodule '{path}': {holder} has no '{last}'",
            evidence=near,
            help=f"did you mean '{near[0]}'?" if near else "name a module above it: this one holds no others",
        )


class NoWeight(ModelError):
    """A weight norm asked of a module that has no weight of its own."""

    code = "no-weight"

    def __init__(self, text: str, module: str, candidates: Sequence[str]) -> None:
        self.text, self.module, self.candidates = text, module, tuple(candidates)
        name = text.partition("@")[0]
        super().__init__(
            f"'{text}' needs a parameter called 'weight', and {module} has none of its own",
            evidence=[f"{name}@{path}" for path in candidates],
            help=f"name the module that has it, as in '{name}@{candidates[0]}'"
            if candidates
            else f"leave out '{text}': no module in it has a 'weight'",
        )


class CannotWrap(ModelError):
    """A wrapper that torch itself would refuse to put there."""

    code = "cannot-wrap"

    def __init__(self, text: str, module: str, reason: str) -> None:
        self.text, self.module, self.reason = text, module, reason
        super().__init__(
            f"'{text}' cannot be put on this {module}: {reason}", help=f"leave out '{text}', or name another module"
        )
