"""Where a model's own code has a say in its state dict, that code is asked.

Code of torch's that only moves names is asked on the model itself: ``state_dict()`` copies nothing. Other code of
torch's is asked on shadows, which are copies of the modules over the same tensors, made ready to answer without
computing. Code that is not torch's meets shadows over tensors without data: it may copy, cast and change them as it
likes, and no memory is taken or touched. Code that fails on them is left out, and said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from ckptnames.errors import NoStateDict
from ckptnames.prediction.dataless import Dataless
from ckptnames.prediction.known import prepared
from ckptnames.prediction.say import METHODS, Say, has_a_say, says_of
from ckptnames.prediction.shadow import HOOKS, origin, shadow
from ckptnames.prediction.tensors import view_of
from ckptnames.prediction.walk import EXTRA_STATE, Entry, entries, modules


class Answer(NamedTuple):
    """What ``state_dict()`` of ``model``, or of what stands for it, gives; and how that was come by."""

    model: nn.Module
    values: Mapping[str, Any]
    notes: list[str]


def ask(model: nn.Module) -> Answer:
    """Ask a model for its state dict, without a copy of a tensor, or a change of one.

    Raises ``no-state-dict`` where ``state_dict()`` fails.
    """
    speaking = (module for _, module in modules(model) if has_a_say(module))
    if all(say.is_harmless for module in speaking for say in says_of(module)):
        return Answer(model, _state_dict(model), [])
    ready = prepared(shadow(model))
    foreign = _foreign(ready)
    if not foreign:
        return Answer(ready, _state_dict(ready), [])
    dataless = Dataless(ready)
    copy = shadow(ready, dataless.stand_in)
    failures = _Failures()
    for path, module, say in _foreign(copy):
        failures.guard(path, module, say)
    with dataless.running():
        values = _state_dict(copy)
    return Answer(copy, values, _notes(foreign, failures.said))


def _foreign(model: nn.Module) -> list[tuple[str, nn.Module, Say]]:
    """List the code that is not torch's, each module once, by the first of its names."""
    first: dict[int, tuple[str, nn.Module]] = {}
    for path, module in modules(model):
        first.setdefault(id(module), (path, module))
    return [(path, module, say) for path, module in first.values() for say in says_of(module) if not say.is_torch]


def _state_dict(model: nn.Module) -> Mapping[str, Any]:
    try:
        answer = model.state_dict()
    except Exception as error:
        raise NoStateDict(type(model).__name__, f"raises {_line(error)}") from error
    if not isinstance(answer, Mapping):
        raise NoStateDict(type(model).__name__, f"gives a {type(answer).__name__}")
    odd = [key for key in answer if not isinstance(key, str)]
    if odd:
        raise NoStateDict(type(model).__name__, f"has the key {odd[0]!r}")
    return answer


class _Failures:
    """Keeps code that fails from ending the answer: what it did is undone, and it is left out."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], str] = {}

    def guard(self, path: str, module: nn.Module, say: Say) -> None:
        """Put a guard before a piece of code of a shadow."""
        if say.method:
            guarded = self._guarded(path, say, getattr(module, say.method), _torch(say.method, module))
            module.__dict__[say.method] = guarded
        for hooks in HOOKS:
            own = getattr(module, hooks)
            own |= {key: self._guarded(path, say, hook) for key, hook in own.items() if hook is say.code}

    def _guarded(
        self, path: str, say: Say, code: Callable[..., Any], instead: Callable[..., Any] = lambda *_, **__: None
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            destination = next((a for a in (*args, *kwargs.values()) if isinstance(a, dict)), {})
            before = dict(destination)
            try:
                return code(*args, **kwargs)
            except Exception as error:
                self.said[path, say.name] = _line(error)
                destination.clear()
                destination.update(before)
                return instead(*args, **kwargs)

        call._from_public_api = getattr(code, "_from_public_api", False)  # type: ignore[attr-defined]
        return call


def _torch(method: str, module: nn.Module) -> Callable[..., Any]:
    """Bind torch's own method; the one for extra state only raises, so nothing stands for it."""
    if method not in METHODS:
        return lambda: None
    bound: Callable[..., Any] = getattr(nn.Module, method).__get__(module)
    return bound


def traced(model: nn.Module, answer: Mapping[str, Any]) -> list[Entry]:
    """Find for each key of an answer where in the model its value is registered."""
    registered = entries(modules(model))
    by_key = {entry.key: entry for entry in registered}
    by_view: dict[object, list[Entry]] = {}
    for entry in registered:
        if not _is_itself(entry, answer):
            by_view.setdefault(_mark(entry.leaf, entry.value), []).append(entry)
    owners = dict(modules(model))

    def trace(key: str, value: Any) -> Entry:
        entry = by_key.get(key)
        if entry is None or not _is_itself(entry, answer):
            moved = by_view.get(_mark(key.rpartition(".")[2], value))
            entry = moved.pop(0) if moved else entry
        if entry is None:
            path, leaf = _nearest(key, owners)
            entry = Entry(key, path, owners[path], leaf, "made", value)
        return entry._replace(key=key, owner=origin(entry.owner), value=value)

    return [trace(key, value) for key, value in answer.items()]


def _mark(leaf: str, value: Any) -> object:
    """Tell what moved by what it shows; an extra state, which may be anything, by its name."""
    return leaf if leaf == EXTRA_STATE else view_of(value)


def _is_itself(entry: Entry, answer: Mapping[str, Any]) -> bool:
    if entry.key not in answer:
        return False
    return _mark(entry.leaf, answer[entry.key]) == _mark(entry.leaf, entry.value)


def _nearest(key: str, owners: Mapping[str, nn.Module]) -> tuple[str, str]:
    path = key.rpartition(".")[0]
    while path not in owners:
        path = path.rpartition(".")[0]
    return path, key[len(path) + 1 :] if path else key


def _notes(foreign: Sequence[tuple[str, nn.Module, Say]], failed: Mapping[tuple[str, str], str]) -> list[str]:
    """Say of each piece of code once whether it was followed, however many modules have it."""
    where: dict[tuple[str, str], list[str]] = {}
    for path, _, say in foreign:
        reason = failed.get((path, say.name))
        outcome = (
            "was run on tensors without data, and these are the names it gives"
            if reason is None
            else f"fails on tensors without data ({reason}): these are the names without it"
        )
        where.setdefault((f"the {say.what} '{say.name}'", outcome), []).append(path)
    return [f"{what} of {_places(paths)} {outcome}" for (what, outcome), paths in where.items()]


def _places(paths: list[str]) -> str:
    first = f"'{paths[0]}'" if paths[0] else "the model"
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


def _line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
