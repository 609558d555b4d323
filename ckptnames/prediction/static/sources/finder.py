"""Finding the source of a module by its name, as Python would, without importing it."""

from __future__ import annotations

import ast
import importlib.machinery
import re
import sys
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from ckptnames.prediction.static.sources.mangling import has_private_names, mangle

_BINARY = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_DOES_MORE = re.compile(rb"^(?:[A-Za-z_][\w.]*\(|[A-Za-z_]\w*(?:\.\w+)+\s*=[^=]|setattr\()", re.MULTILINE)
"""A line of a module that may change something outside it: a call, or a value set on something that has attributes."""
_HARMLESS = re.compile(
    rb"^(?:warnings|logging|logger|print|__all__|_logger)\b|^torch\.fx\.wrap|^\w+\.(?:append|extend|setLevel|addHandler)\("
)
_LARGEST = 8_000_000
"""Bytes of one source file."""


NOT_PYTHON = "it is not Python: "


class Source:
    """The text of a module."""

    def __init__(self, text: bytes, place: str, is_package: bool) -> None:
        self.text = text
        self.place = place
        self.is_package = is_package
        self.error = ""
        self.error_line = 1

    @cached_property
    def tree(self) -> ast.Module:
        """What the file says; nothing, and an ``error``, where that is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes of others
                tree = ast.parse(self.text)
            if has_private_names(self.text):
                mangle(tree)
            return tree
        except SyntaxError as error:
            self.error, self.error_line = f"{NOT_PYTHON}{error.msg}", error.lineno or 1
        except (ValueError, MemoryError, RecursionError) as error:
            self.error = f"{NOT_PYTHON}{error}"
        return ast.Module([], [])

    @cached_property
    def only_defines(self) -> bool:
        """True where the module, by the look of it, changes nothing outside itself when it is run."""
        return all(_HARMLESS.match(self.text, found.start()) for found in _DOES_MORE.finditer(self.text))


class Opaque:
    """A module that is there, and is not written in Python."""


class Folder(Protocol):
    """What sources are looked for in."""

    def read(self, path: str) -> bytes | None:
        """Give the bytes of a file, or ``None``."""

    def has_folder(self, path: str) -> bool:
        """Tell whether there is a folder of that path."""

    def has_binary(self, path: str) -> bool:
        """Tell whether there is a compiled module of that path, less its suffix."""

    def place(self, path: str) -> str:
        """Say where a file is, for people."""


class Directory:
    """A folder on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes | None:
        """Give the bytes of a file, or ``None``."""
        file = self.folder / path
        try:
            return file.read_bytes() if file.is_file() and file.stat().st_size <= _LARGEST else None
        except OSError:
            return None

    def has_folder(self, path: str) -> bool:
        """Tell whether there is a folder of that path."""
        return (self.folder / path).is_dir()

    def has_binary(self, path: str) -> bool:
        """Tell whether there is a compiled module of that path, less its suffix."""
        return any((self.folder / f"{path}{suffix}").is_file() for suffix in _BINARY)

    def place(self, path: str) -> str:
        """Say where a file is, for people."""
        return str(self.folder / path)


class Finder:
    """Finds modules in folders, the first that has one wins; and those that were given by hand."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        self.folders = folders
        self.given: dict[str, Source] = {}
        self._found: dict[str, Source | Opaque | None] = {}

    def find(self, name: str) -> Source | Opaque | None:
        """Give the source of a module by its full name; ``None`` where there is none."""
        if name in self.given:
            return self.given[name]
        if name not in self._found:
            self._found[name] = self._look_for(name)
        return self._found[name]

    def _look_for(self, name: str) -> Source | Opaque | None:
        top = name.partition(".")[0]
        path = name.replace(".", "/")
        namespace_package = False
        for folder in self.folders:
            for file, is_package in ((f"{path}/__init__.py", True), (f"{path}.py", False)):
                text = folder.read(file)
                if text is not None:
                    return (
                        None
                        if top in sys.stdlib_module_names and "/" not in path and _is_ours(folder)
                        else Source(text, folder.place(file), is_package)
                    )
            if folder.has_binary(path) or folder.has_binary(f"{path}/__init__"):
                return Opaque()
            namespace_package = namespace_package or folder.has_folder(path)
        return Source(b"", path, True) if namespace_package else None

    def only_defines(self, name: str) -> bool:
        """Tell whether a module, and the packages it is in, change nothing outside themselves when they are run."""
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            source = self.find(".".join(parts[:n]))
            if isinstance(source, Source) and not source.only_defines:
                return False
        return True


def _is_ours(folder: Folder) -> bool:
    return isinstance(folder, Directory) and folder.folder.name in ("site-packages", "dist-packages")


def installed() -> list[Folder]:
    """Give the folders from which Python imports installed packages; its own library is not among them."""
    own = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix)}
    found: list[Folder] = []
    for text in dict.fromkeys(sys.path):
        folder = Path(text or ".").resolve()
        is_library = (folder / "os.py").exists() or folder.name == "lib-dynload" or folder.suffix == ".zip"
        if folder.is_dir() and not is_library and folder not in own:
            found.append(Directory(folder))
    return found
