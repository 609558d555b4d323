"""A model that is named in text: ``file.py:Net`` or ``package.module:name(kwarg=1)``, read without importing it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ckptnames.errors import ModelNotNamed, NoModelOperand, OperandNotSupported, TorchMissing
from ckptnames.formats.reading import exists
from ckptnames.formats.recognise import no_such_path

_NAME = r"(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\(.*)?"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_AT_REVISION = re.compile(r"git:(?P<revision>.+?):(?P<model>.+\.py:.+)", re.DOTALL)
_IN_FILE = re.compile(r"(?P<place>.+?\.py):" + _NAME, re.DOTALL)
# A single letter before the colon is a drive.
_IN_MODULE = re.compile(r"(?P<place>[^\W\d]\w+(?:\.[^\W\d]\w*)*):" + _NAME, re.DOTALL)


class ModelOperand(NamedTuple):
    """A model as it was named: ``place`` is a file or a module's import path, ``call`` what stands in parentheses.

    ``revision`` is the git revision in which the file is to be read; ``""`` for the one that lies there.
    """

    text: str
    place: str
    in_file: bool
    name: str
    call: str
    revision: str = ""

    @property
    def uncalled(self) -> str:
        """The text without its call."""
        return f"{f'git:{self.revision}:' if self.revision else ''}{self.place}:{self.name}"


def model_operand(text: str) -> ModelOperand | None:
    """Read a text that names a model; ``None`` where it has another form.

    >>> model_operand("src/model.py:Net(depth=18)").call, model_operand("git:HEAD~1:src/model.py:Net").revision
    ('(depth=18)', 'HEAD~1')
    >>> model_operand("torchvision.models:resnet18").place, model_operand("weights.pt"), model_operand(r"C:net")
    ('torchvision.models', None, None)
    """
    at_revision = _AT_REVISION.fullmatch(text)
    if at_revision:
        inner = model_operand(at_revision["model"])
        return inner._replace(text=text, revision=at_revision["revision"]) if inner is not None else None
    for form in (_IN_FILE, _IN_MODULE):
        found = form.fullmatch(text)
        if found:
            return ModelOperand(text, found["place"], form is _IN_FILE, found["name"], found["call"] or "")
    return None


def model_named(text: str) -> ModelOperand | None:
    """Tell which model a text names; ``None`` where it is to be a path, or has another form.

    An existing path comes before anything else that the text could mean. Raises ``operand-not-supported``, and
    ``model-not-named`` for a file of Python source.
    """
    if not text or exists(text) or exists(text.rpartition("#")[0] or text):
        if text.endswith(".py") and Path(text).is_file():
            from ckptnames.prediction.importing import Source

            raise ModelNotNamed(text, [f"{text}:{name}" for name in Source(text).models])
        return None
    if _URL.match(text):
        raise OperandNotSupported(text, "a URL", "download it, and give the path of the file")
    return model_operand(text)


def is_read(text: str, static: bool) -> bool:
    """Tell whether the code of a model that a text names is read and not run: if so asked, and at a git revision.

    >>> is_read("model.py:Net", False), is_read("git:HEAD~1:model.py:Net", False)
    (False, True)
    """
    return static or _AT_REVISION.fullmatch(text) is not None


def no_model(text: str) -> NoModelOperand:
    """Say of a text that it names no model, and what it could mean."""
    from importlib.util import find_spec

    above, _, last = text.rpartition(".")
    could_be_imported = all(map(str.isidentifier, text.split("."))) and find_spec(text.partition(".")[0]) is not None
    return NoModelOperand(text, exists(text), f"{above}:{last}" if above and could_be_imported else "")


def require_torch(operand: str) -> None:
    """Raise ``torch-missing`` where torch is not installed; first ``no-such-path``, which torch would not mend."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        named = model_operand(operand)
        if named is not None and named.in_file and not exists(named.place):
            raise no_such_path(Path(named.place)) from None
        raise TorchMissing(operand) from None
