"""What stopped a model from being imported or built, said in terms of the model's own code."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Iterator
from difflib import get_close_matches
from inspect import Parameter, Signature, isclass, signature
from pathlib import Path
from traceback import extract_tb
from typing import Any

from ckptnames.errors import (
    ArgumentNeedsCode,
    CkptnamesError,
    ConstructionFailed,
    ImportFailed,
    MissingArgument,
    MissingPackage,
    NeedsDevice,
    NeedsDownload,
    NeedsRealNumbers,
    UnexpectedArgument,
)
from ckptnames.prediction.arguments import Arguments, as_written, called_with
from ckptnames.prediction.locating import ModelOperand
from ckptnames.prediction.offline import Refused
from ckptnames.prediction.places import Place
from ckptnames.prediction.recording import OURS, TORCH

_DEVICE = re.compile(
    r"not compiled with \w+ enabled|no \w+ gpus? |no nvidia driver|no attribute '_cuda_|requires \w+ support"
    r"|cannot get \w+ generator|invalid device ordinal|from the '(CUDA|HIP|MPS|XPU|XLA|HPU|MTIA)' backend",
    re.IGNORECASE,
)
_HUB_IS_OFFLINE = frozenset({"OfflineModeIsEnabled", "LocalEntryNotFoundError"})
_INSTALLED_AS = {
    "cv2": "opencv-python",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "pytorch_lightning": "pytorch-lightning",
    "clip": "openai-clip",
    "torch_geometric": "torch-geometric",
}
"""Packages whose name on the index is not the one that is imported."""

_STANDARD = sysconfig.get_path("stdlib") + os.sep


def import_failure(operand: ModelOperand, error: BaseException, hosts: list[str]) -> CkptnamesError:
    """Say why importing the model's file or module failed; ``hosts`` are those that no connection was made to."""
    common = _common(operand, error, hosts)
    if common is not None:
        return common
    if isinstance(error, SyntaxError) and error.filename:
        place = str(Place(error.filename, error.lineno or 1))
        return ImportFailed(operand.place, f"SyntaxError: {error.msg}", place, (error.text or "").strip())
    return ImportFailed(operand.place, _reason(error), *_where(error), hosts)


def building_failure(operand: ModelOperand, error: BaseException, hosts: list[str], target: Any) -> CkptnamesError:
    """Say why building the model failed."""
    common = _common(operand, error, hosts, target)
    if common is not None:
        return common
    if is_for_want_of_numbers(error):
        return NeedsRealNumbers(operand.text, _reason(error), *_where(error))
    return ConstructionFailed(operand.text, _reason(error), *_where(error), hosts)


def _common(operand: ModelOperand, error: BaseException, hosts: list[str], target: Any = None) -> CkptnamesError | None:
    if isinstance(error, CkptnamesError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        install, folder = _INSTALLED_AS.get(package, package), _folder_of(package, operand)
        return MissingPackage(operand.place, error.name, *_where(error), install, folder)
    for each in _chain(error):
        if isinstance(each, Refused) or type(each).__name__ in _HUB_IS_OFFLINE:
            host = hosts[-1] if hosts else "huggingface.co"
            return NeedsDownload(operand.text, host, *_where(error), _offline(operand, target))
        if _DEVICE.search(str(each)):
            return NeedsDevice(operand.text, _reason(each), *_where(error))
    return None


def is_for_want_of_numbers(error: BaseException) -> bool:
    """Tell whether something failed because tensors on the meta device have no numbers."""
    return any("meta" in str(each).lower() for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it ends the program, with exit code {error.code}"
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _where(error: BaseException) -> tuple[str, str]:
    """Give the last line of the model's own code in a traceback, its place and its text."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if _is_the_models(frame.filename)]
    if not own:
        return "", ""
    return str(Place(own[-1].filename, own[-1].lineno or 1)), own[-1].line or ""


def _is_the_models(file: str) -> bool:
    if file.startswith((TORCH, OURS)):
        return False
    return not file.startswith(_STANDARD) or "site-packages" in Path(file).parts


def _folder_of(package: str, operand: ModelOperand) -> str:
    """Find a folder above the model's file in which the package stands, if it does: it need not be installed."""
    if not operand.in_file:
        return ""
    for folder in Path(operand.place).absolute().parents:
        if (folder / f"{package}.py").is_file() or (folder / package).is_dir():
            return str(folder)
    return ""


def _offline(operand: ModelOperand, target: Any) -> str:
    """Compose the operand that builds the model without weights to fetch, where its signature tells how."""
    positional, named = as_written(operand)
    try:
        takes = list(signature(target).parameters)
    except (TypeError, ValueError):
        takes = []
    for name, off in (("pretrained", "False"), ("weights", "None")):
        if name in takes[: len(positional)]:
            at = takes.index(name)
            return called_with(operand, [*positional[:at], off, *positional[at + 1 :]], named)
        if name in named or name in takes:
            return called_with(operand, positional, {**named, name: off})
    return ""


def check_arguments(operand: ModelOperand, target: Any, given: Arguments) -> None:
    """Hold the arguments against what the model takes.

    Raises ``missing-argument``, ``unexpected-argument``; nothing where a signature cannot be had.
    """
    try:
        takes = signature(target)
    except (TypeError, ValueError):
        return
    shown = f"{operand.name}{_signature_text(takes)}"
    where = _definition(target)
    try:
        takes.bind(*given.positional, **given.named)
    except TypeError:
        _refuse_unexpected(operand, takes, given, shown, where)
        raise _missing(operand, takes, given, shown, where) from None


def _signature_text(takes: Signature) -> str:
    bare = [p.replace(annotation=Parameter.empty) for p in takes.parameters.values()]
    return str(Signature(bare))


def _refuse_unexpected(operand: ModelOperand, takes: Signature, given: Arguments, shown: str, where: str) -> None:
    parameters = takes.parameters.values()
    by_position = [p.name for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    by_name = [p.name for p in parameters if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    kinds = {p.kind for p in parameters}
    positional, named = as_written(operand)
    n, most = len(positional), len(by_position)
    if n > most and Parameter.VAR_POSITIONAL not in kinds:
        found, instead = f"{n} arguments by position, at most {most}", called_with(operand, positional[:most], named)
        raise UnexpectedArgument(operand.text, found, shown, where, instead)
    for name in given.named:
        others = {each: value for each, value in named.items() if each != name}
        if name in by_position[:n]:
            instead = called_with(operand, positional, others)
            raise UnexpectedArgument(operand.text, f"'{name}' twice, by position and by name", shown, where, instead)
        if name not in by_name and Parameter.VAR_KEYWORD not in kinds:
            near = get_close_matches(name, [each for each in by_name if each not in named], n=1)
            instead = called_with(operand, positional, {**others, **({near[0]: named[name]} if near else {})})
            raise UnexpectedArgument(operand.text, f"'{name}'", shown, where, instead)


def _missing(
    operand: ModelOperand, takes: Signature, given: Arguments, shown: str, where: str
) -> MissingArgument | ArgumentNeedsCode:
    bound = takes.bind_partial(*given.positional, **given.named).arguments
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    missing = [
        p
        for p in takes.parameters.values()
        if p.name not in bound and p.default is Parameter.empty and p.kind not in variadic
    ]
    positional, named = as_written(operand)
    wanted = {p.name: _wanted_class(p) for p in missing}
    likely = {p.name: f"{wanted[p.name]}()" if wanted[p.name] else _EXAMPLES.get(_annotation(p), "10") for p in missing}
    example = called_with(operand, positional, {**named, **likely})
    for name, cls in wanted.items():
        if cls:
            return ArgumentNeedsCode(operand.text, name, cls, shown, where, example.partition(f"{operand.place}:")[2])
    return MissingArgument(operand.text, [p.name for p in missing], shown, where, example)


_EXAMPLES = {
    "int": "10",
    "float": "0.1",
    "bool": "True",
    "str": "'name'",
    **dict.fromkeys(("list", "sequence", "iterable"), "[2, 2]"),
    "tuple": "(2, 2)",
    "dict": "{}",
}
_NO_CLASSES = frozenset(
    {"Any", "Callable", "Dict", "Iterable", "List", "Mapping", "Sequence", "Tensor", "Tuple", "Type"}
)


def _annotation(parameter: Parameter) -> str:
    found = parameter.annotation
    text = found if isinstance(found, str) else getattr(found, "__name__", str(found))
    return re.split(r"[\[| ]", text.rpartition(".")[2] if "[" not in text else text)[0].lower()


def _wanted_class(parameter: Parameter) -> str:
    """Name the class that an annotation asks for, where literals are none of it."""
    found = parameter.annotation
    text = found if isinstance(found, str) else getattr(found, "__name__", "") if isclass(found) else ""
    name = text.strip("'\"").rpartition(".")[2]
    return name if name.isidentifier() and name[:1].isupper() and name not in _NO_CLASSES else ""


def _definition(target: Any) -> str:
    """Say where a class or a function is defined."""
    function = target.__init__ if isclass(target) else target
    code = getattr(function, "__code__", None)
    if code is None or not _is_the_models(code.co_filename):
        return ""
    return str(Place(code.co_filename, code.co_firstlineno))
