"""What a file is, told from its first bytes, and what its name promises."""

from __future__ import annotations

import re
from pathlib import Path

HEAD_BYTES = 4096

_LEGACY_MAGIC = re.compile(
    rb"\x80[\x02-\x05].{0,10}\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19|L119547037146038801333356L\n", re.S
)
_TEXT_PICKLE = re.compile(rb"\((?:lp|dp)\d+\n|[}\]]q.|c[\w.]+\n[\w.]+\n(?:p\d+\n|[qr]|\()", re.S)
_ZIP_NAME = 30


def read_head(path: Path) -> bytes:
    """Read the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def kind_of(head: bytes) -> str:
    """Name what a file begins like: safetensors, zip, torch-legacy, pickle, json, gzip; ``""`` is none of these.

    >>> kind_of(b"PK\\x03\\x04..."), kind_of(b'{"tensors": {}}'), kind_of(b"<html>")
    ('zip', 'json', '')
    """
    if _is_safetensors(head):
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if _LEGACY_MAGIC.match(head):
        return "torch-legacy"
    if (head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")) or _TEXT_PICKLE.match(head):
        return "pickle"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if _is_json(head):
        return "json"
    return ""


def _is_safetensors(head: bytes) -> bool:
    # Of a length that is possible at all the upper bytes are zero, which tells it from text.
    return head[5:8] == b"\0\0\0" and head[8:].lstrip(b" \t\r\n")[:1] == b"{"


def _is_json(head: bytes) -> bool:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as Windows PowerShell redirects text
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return re.match(rb'\{\s*(?:["}]|$)|\[\s*["\[{\]\d-]', text) is not None


def first_member(head: bytes) -> str:
    """Give the name of the first member of a zip archive.

    >>> first_member(b"PK" + bytes(24) + b"\\x03\\x00\\x00\\x00a/b")
    'a/b'
    """
    length = int.from_bytes(head[26:28], "little")
    return head[_ZIP_NAME : _ZIP_NAME + length].decode("utf-8", "replace")


def is_torch_zip(path: Path, head: bytes) -> bool:
    """Tell whether a zip archive has the pickle that ``torch.save`` puts into it, or is too damaged to tell."""
    if first_member(head).rpartition("/")[2] == "data.pkl":
        return True
    names = members(path)
    return names is None or any(name.rpartition("/")[2] == "data.pkl" for name in names)


def members(path: Path) -> list[str] | None:
    """List the members of a zip archive, or ``None`` where its directory is damaged."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None


_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".th", ".tar", ".pkl", ".pickle")
_PROMISES = {
    "safetensors": (".safetensors", ".sft"),
    "torch": _TORCH,
    "json": (".json", ".json.gz"),
    "GGUF": (".gguf", ".ggml"),
    "HDF5": (".h5", ".hdf5", ".keras"),
    "NumPy": (".npy", ".npz"),
    "ONNX": (".onnx",),
    "msgpack": (".msgpack", ".flax"),
    "an archive": (".zip", ".gz", ".7z", ".xz", ".zst"),
    "TorchScript": (".jit", ".torchscript", ".ptl", ".pt2"),
}


def promised(path: Path) -> str:
    """Tell which family of formats the name of a file promises; ``""`` where it promises none.

    >>> promised(Path("model.fp16.safetensors")), promised(Path("best.pth.tar")), promised(Path("weights"))
    ('safetensors', 'torch', '')
    """
    name = path.name.lower()
    return next((family for family, extensions in _PROMISES.items() if name.endswith(extensions)), "")


def extensions_of(family: str) -> tuple[str, ...]:
    """Give the extensions that promise a family of formats, the usual ones first."""
    return _PROMISES.get(family, ())
