"""Python files that tests write, build models from, and find as they were."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

HEAD = "import torch\nfrom torch import nn\n\n\n"


def write(path: Path, text: str) -> Path:
    """Write a module of models below ``import torch`` and ``from torch import nn``: the text begins in line 5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + dedent(text).lstrip("\n"), encoding="utf-8")
    return path
