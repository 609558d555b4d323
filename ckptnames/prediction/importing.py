"""Import the file or the module that a model is in, and leave Python as it was."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from ckptnames.errors import CannotRead, NoSuchModule
from ckptnames.formats.recognise import no_such_path
from ckptnames.prediction.locating import ModelOperand

_PRIVATE = "_ckptnames_"
_OURS = frozenset({"ckptnames", "__main__"})


class Source:
    """A model's file: where it is, and what its text says of itself before it is run."""

    def __init__(self, place: str) -> None:
        self.path = Path(place).absolute()
        try:
            self.text = self.path.read_bytes()
        except FileNotFoundError:
            raise no_such_path(Path(place)) from None
        except OSError as error:
            raise CannotRead(place, error.strerror or str(error)) from None

    @cached_property
    def tree(self) -> ast.Module:
        """What the file says; nothing where it is no Python, which importing it will tell."""
        try:
            return ast.parse(self.text)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return ast.Module([], [])

    def defines(self, name: str) -> bool:
        """Tell whether a class, a function or an import of that name stands in the file: no module made on import."""
        kinds = ast.ClassDef, ast.FunctionDef, ast.Import, ast.ImportFrom
        for node in ast.walk(self.tree):
            if isinstance(node, kinds):
                names = [alias.asname or alias.name for alias in node.names] if hasattr(node, "names") else [node.name]
                if name in names:
                    return True
        return False

    @cached_property
    def package(self) -> list[str]:
        """The folders above the file that its relative imports need, from the outside in; none without such."""
        levels = [node.level for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom)]
        deepest = max(levels, default=0)
        folders: list[str] = []
        folder = self.path.parent
        while deepest and (len(folders) < deepest or (folder / "__init__.py").exists()) and folder.name:
            folders.insert(0, folder.name)
            folder = folder.parent
        return folders

    @property
    def models(self) -> list[str]:
        """The names of classes that derive from a ``Module`` by the look of it, without running anything."""
        classes = [node for node in self.tree.body if isinstance(node, ast.ClassDef)]
        return [node.name for node in classes if any(ast.unparse(base).endswith("Module") for base in node.bases)]


@contextmanager
def importable(source: Source | None) -> Iterator[None]:
    """Let a model's code import what lies beside its file and in the current folder, and forget that again.

    Two files in two folders may each have a ``layers.py`` beside them: what one imports is not the other's.
    """
    own = [os.getcwd()]  # noqa: PTH109, sys.path holds text
    if source is not None:
        own = [str(source.path.parent), str(source.path.parents[len(source.package)]), *own]
    path, arguments, no_bytecode = list(sys.path), sys.argv, sys.dont_write_bytecode
    hidden = _take_out(_strangers(own))
    before = set(sys.modules)
    sys.path[:0] = dict.fromkeys(own)
    importlib.invalidate_caches()
    # What a script reads from its command line is not ours.
    sys.argv = sys.argv[:1]
    if source is not None:
        sys.argv, sys.dont_write_bytecode = [str(source.path)], True
    try:
        yield
    finally:
        sys.path[:], sys.argv, sys.dont_write_bytecode = path, arguments, no_bytecode
        new = [name for name in sys.modules if name not in before and name.partition(".")[0] not in before]
        _take_out([name for name in new if name.startswith(_PRIVATE) or _is_in(name, own)])
        sys.modules.update(hidden)


def import_file(source: Source) -> ModuleType:
    """Run a file as a module: under its dotted name where it imports relatively, else under a name of its own."""
    package = source.package
    if package:
        module = importlib.import_module(".".join([*package, source.path.stem]))
        if not source.path.samefile(module.__file__ or ""):
            raise ImportError(f"'{package[0]}' is loaded already, from {module.__file__}")
        return module
    name = _PRIVATE + "".join(c if c.isalnum() else "_" for c in source.path.stem)
    spec = importlib.util.spec_from_file_location(name, source.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and others look their module up, until the model is built.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def import_named(operand: ModelOperand) -> ModuleType:
    """Import a module by its import path. Raises ``no-such-module``, and what the module's own code raises."""
    try:
        return importlib.import_module(operand.place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{operand.place}.".startswith(f"{missing}."):
            raise NoSuchModule(operand.text, missing, _near_modules(missing)) from None
        raise


def _near_modules(missing: str) -> list[str]:
    above, dot, last = missing.rpartition(".")
    there = getattr(sys.modules.get(above), "__path__", []) if above else None
    names = [module.name for module in iter_modules(there)]
    return [f"{above}{dot}{near}" for near in get_close_matches(last, names, n=3, cutoff=0.7)]


def _strangers(folders: Sequence[str]) -> list[str]:
    """Name the loaded modules that come from elsewhere, and would stand for a file in one of the folders."""
    if not folders:
        return []
    beside = {entry.removesuffix(".py") for folder in folders for entry in _entries(folder)}
    tops = {name for name in beside if name in sys.modules} - sys.stdlib_module_names - _OURS
    moved = {top for top in tops if not (_is_in(top, folders) or _is_installed(top))}
    return [name for name in sys.modules if name.partition(".")[0] in moved]


def _entries(folder: str) -> list[str]:
    try:
        return [entry.name for entry in Path(folder).iterdir()]
    except OSError:
        return []


def _is_installed(name: str) -> bool:
    places = _places(name.partition(".")[0])
    return any(folder in Path(place).parts for folder in ("site-packages", "dist-packages") for place in places)


def _is_in(name: str, folders: Sequence[str]) -> bool:
    """Tell whether the top of a module's name is a file or a folder right in one of the folders, not a package."""
    places = [Path(place) for place in _places(name.partition(".")[0])]
    return any(str(place.parent) in folders for place in places) and not _is_installed(name)


def _places(name: str) -> list[str]:
    """Give the file or the folders of a top-level module."""
    module = sys.modules.get(name)
    folders = getattr(module, "__path__", None)
    if folders is not None:
        return [str(folder) for folder in folders]
    file = getattr(module, "__file__", None)
    return [str(file)] if file else []


def _take_out(names: Sequence[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in names}
