"""Files that are no checkpoint, told from their content, so that an error can say what they are instead."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from ckptnames.errors import (
    EmptyFile,
    FileError,
    ForeignFile,
    GitAnnexPointer,
    GitLfsPointer,
    HtmlPage,
    PlainText,
    UnknownBytes,
    UnsupportedFormat,
)
from ckptnames.formats.bare_pickle import unsafe_pickle
from ckptnames.formats.heads import kind_of, members
from ckptnames.formats.torch_error import is_torch_error

_OTHER_FRAMEWORK = "name the PyTorch or safetensors checkpoint of the same model"
_UNPACK = "unpack it, and name the checkpoint that was in it"
_AGAIN = "download it again: this is what a server answers when it refuses"

_MAGIC = (
    (0, b"GGUF", "a GGUF file (llama.cpp)", _OTHER_FRAMEWORK),
    (0, b"lmgg", "a GGML file (llama.cpp)", _OTHER_FRAMEWORK),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", _OTHER_FRAMEWORK),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", _OTHER_FRAMEWORK),
    (4, b"TFL3", "a TensorFlow Lite model", _OTHER_FRAMEWORK),
    (0, b"\x08\x01\x12", "a TensorFlow SavedModel", _OTHER_FRAMEWORK),
    (0, b"model_checkpoint_path:", "the text file in which TensorFlow names its checkpoints", _OTHER_FRAMEWORK),
    (0, b"<?xml", "an XML document", _AGAIN),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
)
# Unlocked, the file holds its key; locked, on a disk without links, where the link would lead.
_ANNEX = re.compile(rb"\S*/annex/objects/\S*?(?:-s(\d{1,18})[^\s/]*)?(?:\s|\Z)")
_TENSORFLOW_TAIL = bytes.fromhex("57fb808b247547db")
_ONNX = re.compile(rb"\x08[\x03-\x14][\x12\x1a\x22\x2a\x32\x3a\x42]")
_FLAX = re.compile(rb"(?:[\x81-\x8f]|\xde..|\xdf....)(?:[\xa0-\xbf]|\xd9|\xda)", re.S)
_TENSORFLOW_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_TORCH_TAR = (b"sys_info", b"pickle", b"tensors", b"storages")
_NAMES = {
    "safetensors": "a safetensors file",
    "zip": "a zip archive, perhaps of torch.save",
    "torch-legacy": "a legacy torch.save file",
    "pickle": "a pickle",
}


def refusal(path: Path, head: bytes, size: int) -> FileError:
    """Compose the error that says what a file is, given that it is no checkpoint."""
    if not size or not head.strip(b"\0"):
        return EmptyFile(path, size)
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        meant = re.search(rb"^size (\d{1,18})$", head, re.M)
        return GitLfsPointer(path, size, int(meant[1]) if meant else None)
    annexed = _ANNEX.match(head)
    if annexed:
        return GitAnnexPointer(path, size, int(annexed[1]) if annexed[1] else None)
    if _is_html(head):
        return HtmlPage(path, _title(path))
    text = _text(path, head)
    return _known(path, head) or unsafe_pickle(path, whole=bool(text)) or text or UnknownBytes(path, head, size)


def _is_html(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype html", b"<html", b"<head")) or (
        text.startswith((b"<?xml", b"<!--")) and b"<html" in text
    )


def _title(path: Path) -> str:
    import html

    with path.open("rb") as file:
        found = re.search(rb"<title[^>]*>([^<]*)</title>", file.read(1 << 16), re.I)
    return " ".join(html.unescape(found[1].decode("utf-8", "replace")).split())[:100] if found else ""


def _known(path: Path, head: bytes) -> FileError | None:
    if head[257:262] == b"ustar" and head[:100].rstrip(b"\0").removeprefix(b"./") in _TORCH_TAR:
        advice = "ask whoever made it to save its state dict again with torch 1.6 or later"
        return UnsupportedFormat(path, "the tar format of the first torch releases", advice)
    for at, magic, kind, advice in _MAGIC:
        if head[at:].startswith(magic):
            return ForeignFile(path, kind, advice)
    if _ONNX.match(head):
        return ForeignFile(path, "an ONNX model", _OTHER_FRAMEWORK)
    if _FLAX.match(head):
        return ForeignFile(path, "a msgpack file (Flax)", _OTHER_FRAMEWORK)
    if _TENSORFLOW_DATA.search(path.name) or _tail(path).endswith(_TENSORFLOW_TAIL):
        return ForeignFile(path, "part of a TensorFlow checkpoint", _OTHER_FRAMEWORK)
    return None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - len(_TENSORFLOW_TAIL)))
        return file.read()


def _text(path: Path, head: bytes) -> PlainText | None:
    try:
        # The head may end inside a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c in "\t\r\n\f\x1b" for c in text):
        return None
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return PlainText(path, f"{first:.80}", is_torch_error(text))


def refused_zip(path: Path) -> FileError:
    """Compose the error for a zip archive that ``torch.save`` did not write."""
    names = members(path) or []
    last = {name.rpartition("/")[2] for name in names}
    if names and all(name.endswith(".npy") for name in names):
        return ForeignFile(path, "a NumPy archive (.npz)", _OTHER_FRAMEWORK)
    if "archive_format" in last or "model_weights_config.json" in last:
        return UnsupportedFormat(path, "an archive of torch.export (.pt2)", _STATE_DICT)
    if "extern_modules" in last:
        return UnsupportedFormat(path, "an archive of torch.package", _STATE_DICT)
    if "model.weights.h5" in last:
        return ForeignFile(path, "a Keras archive", _OTHER_FRAMEWORK)
    return ForeignFile(path, "a zip archive" if names else "an empty zip archive", _UNPACK)


_STATE_DICT = "save the state dict of the model it was made from, with torch.save or safetensors, and name that"


def refused_gzip(path: Path, inner: bytes) -> FileError:
    """Compose the error for a gzipped file, given the first bytes of what was packed."""
    what = _NAMES.get(kind_of(inner), "a tar archive" if inner[257:262] == b"ustar" else "")
    return ForeignFile(path, f"a gzip archive of {what}" if what else "a gzip archive", _UNPACK)
