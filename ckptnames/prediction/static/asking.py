"""From a model that is named in text to what the interpreter knows of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ckptnames.errors import MissingArgument, NamesNoModel, NoSuchModule, NoSuchName, NotPython, UnexpectedArgument
from ckptnames.prediction.arguments import Arguments, arguments, as_written, called_with
from ckptnames.prediction.importing import Source as File
from ckptnames.prediction.locating import ModelOperand, model_named, no_model
from ckptnames.prediction.places import Place
from ckptnames.prediction.static.budget import DEEPEST
from ckptnames.prediction.static.interpreter.exceptions import said
from ckptnames.prediction.static.interpreter.functions import bind
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised, Stuck, Unsure
from ckptnames.prediction.static.sources.finder import NOT_PYTHON, Directory, Finder, Folder, Source, installed
from ckptnames.prediction.static.sources.revisions import Revision, RevisionFolder
from ckptnames.prediction.static.values import Class, Function, Module, Namespace, Partial, Unknown, Value

_PRIVATE = "_ckptnames_"
_CALLS_FOR_ONE = 100
"""Calls of Python's that following one call of a program takes, at most."""


class Followed(NamedTuple):
    """What came of following a model's code: a module, or the reason why nothing is known of it."""

    operand: ModelOperand
    machine: Machine
    value: Value


class _Target(NamedTuple):
    """Where the code of a model is: the name of its module, and the folders in which it and others are looked for."""

    module: str
    folders: list[Folder]
    source: Source | None = None


def follow(text: str) -> Followed:
    """Follow the code of a model that is named as in ``"model.py:Net"``; no line of it runs.

    Raises ``ModelError``: ``no-such-name``, ``no-such-module``, ``missing-argument``, …, and ``no-such-path``.
    """
    operand = model_named(text)
    if operand is None:
        raise no_model(text)
    given = arguments(operand)
    target = _target(operand)
    machine = _machine(target)
    with _deep_enough():
        try:
            return Followed(operand, machine, _made(machine, target, operand, given))
        except (Unsure, Stuck) as error:
            return Followed(operand, machine, error.why)
        except Raised as raised:
            why = Unknown(f"building it raises {said(raised.value)}", raised.place)
            return Followed(operand, machine, why)


def _machine(target: _Target) -> Machine:
    load_knowledge()
    finder = Finder(target.folders)
    if target.source is not None:
        finder.given[target.module] = target.source
    return Machine(finder, _torch())


def load_knowledge() -> None:
    """Fill the tables."""
    from ckptnames.prediction.static.interpreter import comprehensions, expressions, statements  # noqa: F401
    from ckptnames.prediction.static.stdlib import (  # noqa: F401
        arrays,
        collections_,
        copying,
        dataclasses_,
        enums,
        packages,
        quiet,
        texts,
    )
    from ckptnames.prediction.static.torch_nn import composed, functions, keyed, module_methods  # noqa: F401


def _torch() -> Any:
    if find_spec("torch") is None:
        from ckptnames.prediction.static.torch_nn.without_torch import WithoutTorch

        return WithoutTorch()
    from ckptnames.prediction.static.torch_nn.with_torch import WithTorch

    return WithTorch()


def _target(operand: ModelOperand) -> _Target:
    if operand.revision:
        return _in_revision(operand)
    here = Directory(Path.cwd())
    if not operand.in_file:
        return _Target(operand.place, [here, *installed()])
    file = File(operand.place)
    package = file.package
    folders: list[Folder] = [
        Directory(file.path.parents[len(package)]),
        Directory(file.path.parent),
        here,
        *installed(),
    ]
    if package:
        return _Target(".".join([*package, file.path.stem]), folders)
    name = _private(file.path.stem)
    return _Target(name, folders, Source(file.text, operand.place, is_package=False))


def _in_revision(operand: ModelOperand) -> _Target:
    revision = Revision(operand.text, operand.revision)
    path = Path(revision.path_of(operand.place))
    place = RevisionFolder(revision, ".").place(str(path))
    text = RevisionFolder(revision, ".").read(str(path)) or b""
    source = Source(text, place, is_package=False)
    levels = [node.level for node in ast.walk(source.tree) if isinstance(node, ast.ImportFrom)]
    n_above = min(max(levels, default=0), len(path.parts) - 1)
    while 0 < n_above < len(path.parts) - 1 and str(path.parents[n_above - 1] / "__init__.py") in revision.files:
        n_above += 1
    package = path.parts[len(path.parts) - 1 - n_above : -1] if n_above else ()
    tops = [str(path.parents[n_above]), str(path.parent), "."]
    folders: list[Folder] = [RevisionFolder(revision, top) for top in dict.fromkeys(tops)]
    # What is in the working tree is of another revision.
    folders += [f for f in installed() if not (isinstance(f, Directory) and _is_worked_on(f.folder, revision.top))]
    if package:
        return _Target(".".join([*package, path.stem]), folders)
    return _Target(_private(path.stem), folders, source)


def _is_worked_on(folder: Path, top: Path) -> bool:
    return folder.is_relative_to(top.resolve()) and "site-packages" not in folder.parts


def _private(stem: str) -> str:
    return _PRIVATE + "".join(c if c.isalnum() else "_" for c in stem)


def _made(machine: Machine, target: _Target, operand: ModelOperand, given: Arguments) -> Value:
    from ckptnames.prediction.static.interpreter import imports

    place = Place(operand.place, 1)
    module: Any = imports.module(machine, target.module, place)
    if isinstance(module, Unknown) and not operand.in_file:
        raise NoSuchModule(operand.text, operand.place, [])
    if isinstance(module, Namespace):
        _check_python(machine, module, operand)
    found = _named(machine, module, operand)
    if isinstance(found, Module):
        if operand.call:
            raise UnexpectedArgument(operand.text, "arguments: it is built already", "", "", operand.uncalled)
        return found
    if isinstance(found, Class) and not found.is_module and found.unknown is None:
        raise NamesNoModel(operand.text, "a class that does not derive from torch.nn.Module", _models(module, operand))
    if isinstance(found, Function | Class | Partial):
        _check_arguments(machine, found, operand, given)
    made = machine.call(found, list(given.positional), dict(given.named))
    if not isinstance(made, Module | Unknown):
        kind = made.cls.name if hasattr(made, "cls") else type(made).__name__
        raise NamesNoModel(
            operand.text, f"a function that returns a {kind}" if made is not None else "a function that returns None"
        )
    return made


def _check_python(machine: Machine, module: Namespace, operand: ModelOperand) -> None:
    source = machine.finder.find(module.name)
    if isinstance(source, Source) and source.error:
        raise NotPython(source.place, source.error.removeprefix(NOT_PYTHON), source.error_line)


def _named(machine: Machine, module: Value, operand: ModelOperand) -> Value:
    found = module
    place, mark = operand.place, ":"
    for name in operand.name.split("."):
        try:
            found = machine.get(found, name)
        except Raised as raised:
            if not isinstance(raised.value, AttributeError):
                raise
            names = [n for n in getattr(found, "vars", getattr(found, "names", {})) if not n.startswith("_")]
            near = [f"{place}{mark}{each}" for each in get_close_matches(name, names, n=3)]
            raise NoSuchName(place, name, near, _models(module, operand) if found is module else []) from None
        place, mark = f"{place}{mark}{name}", "."
    return found


def _models(module: Value, operand: ModelOperand) -> list[str]:
    names = module.vars if isinstance(module, Namespace) else {}
    own = [n for n, v in names.items() if isinstance(v, Class) and v.is_module and v.module == module.name]
    return [f"{operand.place}:{name}" for name in own]


def _check_arguments(machine: Machine, target: Value, operand: ModelOperand, given: Arguments) -> None:
    """Hold the arguments against what the model takes. Raises ``missing-argument``, ``unexpected-argument``."""
    function, args = target, list(given.positional)
    if isinstance(function, Class):
        if function.unknown is not None:
            return
        init = function.look_up("__init__")
        function, args = (init[1] if init is not None else None), [None, *args]
    if not isinstance(function, Function):
        return
    skipped = len(args) - len(given.positional)
    try:
        bind(machine, function, args, dict(given.named))
    except Raised as raised:
        spec = function.node.args
        shown = f"{operand.name}({_signature(spec, skipped)})"
        where = str(Place(function.frame.namespace.file, function.node.lineno))
        positional, named = as_written(operand)
        names = [a.arg for a in (*spec.posonlyargs, *spec.args)][skipped:]
        needed = names[: len(names) - len(function.defaults)] + [
            a.arg for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is None
        ]
        missing = [n for n in needed if n not in names[: len(positional)] and n not in named]
        if missing:
            example = called_with(operand, positional, {**named, **dict.fromkeys(missing, "10")})
            raise MissingArgument(operand.text, missing, shown, where, example) from None
        known = [*names, *(a.arg for a in spec.kwonlyargs)]
        odd = [name for name in named if name not in known]
        found = f"'{odd[0]}'" if odd else said(raised.value).partition(": ")[2]
        rest = {name: value for name, value in named.items() if name in known}
        raise UnexpectedArgument(
            operand.text, found, shown, where, called_with(operand, positional[: len(names)], rest)
        ) from None


def _signature(spec: ast.arguments, skipped: int) -> str:
    bare = ast.parse(f"def f({ast.unparse(spec)}): pass").body[0]
    assert isinstance(bare, ast.FunctionDef)
    everything = (*bare.args.posonlyargs, *bare.args.args, *bare.args.kwonlyargs, bare.args.vararg, bare.args.kwarg)
    for arg in everything:
        if arg is not None:
            arg.annotation = None
    del bare.args.args[:skipped]
    return ast.unparse(bare.args)


@contextmanager
def _deep_enough() -> Iterator[None]:
    """Let Python's own calls go as deep as following the program's may take."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST * _CALLS_FOR_ONE))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
