"""What SOURCE and TARGET may be: a path, ``PATH#container``, and kinds that are known by name only so far."""

from __future__ import annotations

import re
from pathlib import Path

from ckptnames.errors import OperandNotSupported
from ckptnames.formats.reading import Opened, open_path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_IN_FILE = re.compile(r"[^(]+\.py:[A-Za-z_]\w*(\(.*\))?", re.DOTALL)
# A single letter before the colon is a drive.
_IN_MODULE = re.compile(r"[A-Za-z_]\w+(\.\w+)*:[A-Za-z_]\w*(\(.*\))?", re.DOTALL)

_SAVE_IT = "save its names and give that file: torch.save(model.state_dict(), 'target.pt')"


def open_operand(text: str) -> Opened:
    """Open what an operand names: a checkpoint, and the container of it that was asked for, if one was.

    An existing path comes before anything else that the text could mean. Raises ``no-such-path``,
    ``operand-not-supported``, and what the reader of the format raises.
    """
    if text and not (Path(text).exists() or Path(text.rpartition("#")[0] or text).exists()):
        _refuse_other_kinds(text)
    return open_path(text)


def _refuse_other_kinds(text: str) -> None:
    if _URL.match(text):
        raise OperandNotSupported(text, "a URL", "download it, and give the path of the file")
    if text.startswith("git:"):
        raise OperandNotSupported(text, "a model at a git revision", _SAVE_IT)
    if _IN_FILE.fullmatch(text):
        raise OperandNotSupported(text, "a model in a Python file", _SAVE_IT)
    if _IN_MODULE.fullmatch(text):
        raise OperandNotSupported(text, "a model in a Python module", _SAVE_IT)
