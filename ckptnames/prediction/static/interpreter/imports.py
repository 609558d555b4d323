"""Imports: modules are read from source, and run when one of their names is used for the first time.

Python runs them at once. Most of what a large package imports is never used by the model that was asked for, so a
module is left until one of its names is wanted, unless it does more than define names, or stands in a ``try``.
"""

from __future__ import annotations

import ast
import sys

from ckptnames.prediction.places import Place
from ckptnames.prediction.static.interpreter import registries
from ckptnames.prediction.static.interpreter.assigning import name_scope
from ckptnames.prediction.static.interpreter.exceptions import said
from ckptnames.prediction.static.interpreter.frames import Frame
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.names import in_namespace, mentions
from ckptnames.prediction.static.signals import Raised, Stuck
from ckptnames.prediction.static.sources.finder import Opaque, Source
from ckptnames.prediction.static.stdlib.table import COMPUTING, KNOWN, MODULES, PREFERRED
from ckptnames.prediction.static.values import Deferred, KnownModule, Names, Namespace, Native, Unknown, Value


def run_import(machine: Machine, node: ast.Import, frame: Frame) -> None:
    """Run ``import a.b as c``."""
    place = Place(frame.namespace.file, node.lineno)
    for alias in node.names:
        top = alias.name.partition(".")[0]
        if alias.asname is not None:
            _bind(machine, frame, alias.asname, Deferred(alias.name, None, place))
        else:
            _bind(machine, frame, top, Deferred(top, None, place))
            if "." in alias.name and _is_wanted(machine, frame):
                module(machine, alias.name, place)


def run_import_from(machine: Machine, node: ast.ImportFrom, frame: Frame) -> None:
    """Run ``from a import b``."""
    place = Place(frame.namespace.file, node.lineno)
    name = node.module or ""
    if node.level:
        package = frame.namespace.name if frame.namespace.is_package else frame.namespace.name.rpartition(".")[0]
        parts = package.split(".")
        if node.level > len(parts) or not package:
            raise machine.raised(ImportError, "attempted relative import beyond top-level package")
        above = ".".join(parts[: len(parts) - node.level + 1])
        name = f"{above}.{name}" if name else above
    for alias in node.names:
        if alias.name == "*":
            _star(machine, name, place, frame)
        else:
            _bind(machine, frame, alias.asname or alias.name, Deferred(name, alias.name, place))


def _bind(machine: Machine, frame: Frame, name: str, found: Deferred) -> None:
    value: Value = found
    if _is_wanted(machine, frame) or not machine.finder.only_defines(found.module):
        value = follow(machine, found)
    else:
        registries.wait(machine, found.module, found.place)
        if found.name is not None:
            registries.wait(machine, f"{found.module}.{found.name}", found.place)
    names = name_scope(frame, name)
    machine.touch(names)
    names[name] = value


def _is_wanted(machine: Machine, frame: Frame) -> bool:
    """Tell whether an import is to be followed at once: in a ``try``, where its failing is expected."""
    return frame.guarded > 0 or frame.kind != "module"


def _star(machine: Machine, name: str, place: Place, frame: Frame) -> None:
    if frame.kind == "module" and not frame.guarded and machine.finder.only_defines(name):
        frame.namespace.stars.append((name, place))
        registries.wait(machine, name, place)
    else:
        _take_all(machine, frame.namespace, name, place)


def from_stars(machine: Machine, namespace: Namespace, name: str) -> None:
    """Follow those star imports of a module that could bring a name."""
    for star in list(namespace.stars):
        if star in namespace.stars and _could_bring(machine, star[0], name, set()):
            namespace.stars.remove(star)
            _take_all(machine, namespace, *star)


def _could_bring(machine: Machine, module_name: str, name: str, met: set[str]) -> bool:
    if module_name in met:
        return False
    met.add(module_name)
    loaded = machine.modules.get(module_name)
    if loaded is not None and not loaded.running and not loaded.stars:
        return name in loaded.vars
    source = machine.finder.find(module_name)
    if not isinstance(source, Source):
        return True
    return mentions(source.text, name) or b"import *" in source.text or b"globals()" in source.text


def _take_all(machine: Machine, namespace: Namespace, name: str, place: Place) -> None:
    found = module(machine, name, place)
    if isinstance(found, KnownModule):
        for each in machine.torch.names_in(found.name):
            machine.touch(namespace.vars)
            namespace.vars[each] = known_name(machine, f"{found.name}.{each}")
        return
    if isinstance(found, Unknown):
        namespace.unknown = namespace.unknown or found
        return
    for star in list(found.stars):
        found.stars.remove(star)
        _take_all(machine, found, *star)
    public = found.vars.get("__all__")
    names = list(machine.iterate(public)) if public is not None else [n for n in found.vars if not n.startswith("_")]
    machine.touch(namespace.vars)
    for each in names:
        if isinstance(each, str):
            value = machine.find(found, each, Unknown(f"'{found.name}' has no '{each}'", place))
            namespace.vars[each] = value


def follow(machine: Machine, found: Deferred) -> Value:
    """Give what an import brings. Raises ``Raised`` where it fails in a ``try``."""
    value = module(machine, found.module, found.place)
    if found.name is None or isinstance(value, Unknown):
        return value
    if isinstance(value, KnownModule):
        known = known_name(machine, f"{value.name}.{found.name}")
        if isinstance(known, Unknown) and machine.torch.is_absent(f"{value.name}.{found.name}"):
            return _absent(machine, ImportError(f"cannot import name '{found.name}' from '{value.name}'"), found.place)
        return known
    # A package that imports one of its own modules, `from package import module`, looks for the name in itself.
    if value.vars.get(found.name, found) is not found or value.stars:
        try:
            return in_namespace(machine, value, found.name)
        except Raised as raised:
            if not isinstance(raised.value, NameError):
                raise
    inner = submodule(machine, value, found.name)
    if inner is not None:
        return inner
    if "__getattr__" in value.vars:
        return machine.call(value.vars["__getattr__"], [found.name])
    if value.unknown is not None:
        return value.unknown
    if value.running:
        return Unknown(f"'{found.name}' is imported from '{value.name}' while that is being imported", found.place)
    return _absent(machine, ImportError(f"cannot import name '{found.name}' from '{found.module}'"), found.place)


def _absent(machine: Machine, error: ImportError, place: Place) -> Value:
    if any(frame.guarded for frame in machine.frames):
        raise Raised(error, place)
    return Unknown(str(error), place)


def submodule(machine: Machine, namespace: Namespace, name: str) -> Value | None:
    """Give a module inside a package, if there is one."""
    if not namespace.is_package:
        return None
    full = f"{namespace.name}.{name}"
    if full in machine.modules or machine.finder.find(full) is not None:
        return module(machine, full, machine.place)
    return None


def module(machine: Machine, name: str, place: Place | None) -> Value:
    """Give a module by its full name: from tables, or from source, which is run now if it was not before."""
    known = machine.torch.canonical(name)
    if known is not None:
        return KnownModule(known)
    if name in machine.modules:
        return machine.modules[name]
    top = name.partition(".")[0]
    if top in PREFERRED and machine.finder.find(top) is not None:
        return KnownModule(name)
    source = machine.finder.find(name)
    if source is None:
        return _not_found(machine, name, top, place)
    if isinstance(source, Opaque):
        return Unknown(f"'{name}' is not written in Python", place)
    above = name.rpartition(".")[0]
    if above and above not in machine.modules:
        module(machine, above, place)
        if name in machine.modules:
            return machine.modules[name]
    return _run(machine, source, name)


def _not_found(machine: Machine, name: str, top: str, place: Place | None) -> Value:
    if top in sys.stdlib_module_names:
        return KnownModule(name)
    if any(frame.guarded for frame in machine.frames):
        machine.notes[f"'{name}' is not installed, and the code goes on without it ({place})"] = None
        raise Raised(ModuleNotFoundError(f"No module named '{name}'"), place)
    return KnownModule(name) if is_known_module(name) else Unknown(f"'{name}' is not installed", place)


def _run(machine: Machine, source: Source, name: str) -> Namespace:
    namespace = Namespace(name, source.place, is_package=source.is_package)
    machine.modules[name] = namespace
    special: dict[str, Value] = {
        "__name__": name,
        "__file__": source.place,
        "__package__": name if source.is_package else name.rpartition(".")[0],
        "__doc__": None,
    }
    namespace.vars = Names(special)
    frame = Frame(namespace, namespace.vars)
    body = source.tree.body
    if source.error:
        namespace.unknown = Unknown(source.error, Place(source.place, source.error_line))
        return namespace
    depth = len(machine.frames)
    machine.frames.append(frame)
    namespace.running = True
    machine.importing += 1
    registries.runs(machine, name)
    try:
        machine.execute(body, frame)
    except Stuck as stuck:
        namespace.unknown = stuck.why
    except Raised as raised:
        if any(frame.guarded for frame in machine.frames[:depth]):
            del machine.modules[name]
            raise
        namespace.unknown = Unknown(f"importing '{name}' raises {said(raised.value)}", raised.place)
    finally:
        namespace.running = False
        machine.importing -= 1
        del machine.frames[depth:]
    return namespace


def is_known_module(name: str) -> bool:
    """Tell whether tables say anything of what is in a module."""
    return name in MODULES


def known_name(machine: Machine, full: str) -> Value:
    """Give what a name of a module from the tables stands for."""
    if full in machine.patched:
        return machine.patched[full]
    if full in KNOWN:
        found = KNOWN[full]
        if isinstance(found, list | dict):  # what this program changes is not for the next one
            found = machine.patched[full] = found.copy()
        return found
    found = machine.torch.named(machine, full)
    if found is not None:
        return found
    if is_known_module(full):
        return KnownModule(full)
    if full.partition(".")[0] in COMPUTING:
        return Native(full, lambda machine, *args, **kwargs: machine.plain(f"what '{full}' computes is not known"))
    return machine.unknown(f"'{full}' is not among what is known")
