"""Files with one thing wrong, each as small as it can be."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


class Malicious:
    """A value that runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def weights(*keys: str) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(2) for key in keys}


def save(path: str, *keys: str) -> None:
    torch.save(weights(*keys), path)


def safetensors(path: str, header: Mapping[str, Any] | bytes, payload: bytes = b"") -> None:
    """Write a header as it is given: nothing is checked."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + payload)


def entry(start: int, end: int, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [2] if shape is None else shape, "data_offsets": [start, end]}


def edited(path: str, change: Mapping[str, bytes | None] = {}, old: bytes = b"", new: bytes = b"") -> None:
    """Save a tensor of two elements under the key ``w``, and change records of the archive or bytes of its pickle."""
    save("whole.pt", "w")
    with zipfile.ZipFile("whole.pt") as source, zipfile.ZipFile(path, "w") as target:
        for record in source.infolist():
            name = record.filename.partition("/")[2]
            data = change.get(name, source.read(record))
            if data is None:
                continue
            if name == "data.pkl":
                assert old in data
                data = data.replace(old, new)
            target.writestr(f"archive/{name}", data)


def manifest(path: str, **keys: list[int]) -> None:
    tensors = {key: {"dtype": "F32", "shape": shape} for key, shape in keys.items()}
    Path(path).write_text(json.dumps({"tensors": tensors}))


def index(path: str, weight_map: Any) -> None:
    Path(path).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
