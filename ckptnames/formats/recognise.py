"""Open whatever is at a path: its format is told from its content, never from its name."""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptnames.errors import CannotRead, FileError, JsonWithoutTensors, MessageAsPath, NoSuchPath, SpecialFile
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.formats.file_state import state_of
from ckptnames.formats.heads import is_torch_zip, kind_of, promised, read_head
from ckptnames.formats.torch_error import is_torch_error

_FAMILIES = {"torch-zip": "torch", "torch-legacy": "torch", "manifest": "json"}
_TITLES = {
    "torch-zip": "a torch zip archive",
    "torch-legacy": "a legacy torch.save file",
    "safetensors": "a safetensors file",
    "manifest": "a manifest in JSON",
}


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a file or a folder, reading its headers only.

    Raises ``FileError``: ``no-such-path``, ``cannot-read``, ``not-a-checkpoint`` (which says what it is instead),
    ``unsupported-format``, ``several-checkpoints``, and what the format's reader raises.

    >>> open_checkpoint(Path("fixtures/example/model.safetensors")).format
    'safetensors'
    """
    if "\0" in str(path):
        raise CannotRead(path, "no path holds a NUL character")
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            from ckptnames.formats.folder import open_folder

            return open_folder(path)
        if not stat.S_ISREG(mode):
            raise SpecialFile(path, _special(mode))
        return _open_json_or_weights(path)
    except OSError as error:
        if is_torch_error(str(path)):
            raise MessageAsPath() from None
        if isinstance(error, FileNotFoundError):
            raise no_such_path(Path(error.filename or path)) from None
        raise CannotRead(error.filename or path, error.strerror or str(error)) from None


def open_weights(path: Path, file: str = "") -> Checkpoint:
    """Open a file that is to hold tensors, as a shard does. ``file`` goes before the names of its storages."""
    state = state_of(path)
    return replace(_noted(_open_weights(path, file)), states={path: state})


def _open_weights(path: Path, file: str) -> Checkpoint:
    head = read_head(path)
    kind = kind_of(head)
    if kind == "safetensors":
        from ckptnames.formats.safetensors_file import open_safetensors

        return open_safetensors(path, file)
    if kind == "zip" and is_torch_zip(path, head):
        from ckptnames.formats.torch_zip import open_torch_zip

        return open_torch_zip(path)
    if kind in ("torch-legacy", "pickle"):
        from ckptnames.formats.torch_legacy import open_torch_legacy

        return open_torch_legacy(path)

    from ckptnames.formats.foreign import refusal, refused_zip

    raise refused_zip(path) if kind == "zip" else refusal(path, head, path.stat().st_size)


def _open_json_or_weights(path: Path) -> Checkpoint:
    head = read_head(path)
    kind = kind_of(head)
    if kind == "gzip":
        from ckptnames.formats.foreign import refused_gzip

        inner = _unpacked(head)
        if kind_of(inner) != "json":
            raise refused_gzip(path, inner)
    elif kind != "json":
        return open_weights(path)
    return _open_json(path, gzipped=kind == "gzip")


def _unpacked(head: bytes) -> bytes:
    import zlib

    try:
        return zlib.decompressobj(31).decompress(head, 512)
    except zlib.error:
        return b""


def _open_json(path: Path, gzipped: bool) -> Checkpoint:
    from ckptnames.formats.strict_json import read_document

    document = read_document(path, gzipped)
    value = document.value
    if isinstance(value, dict) and "weight_map" in value and not gzipped:
        from ckptnames.formats.folder import open_index

        return open_index(path, document)
    if isinstance(value, dict) and "tensors" in value:
        from ckptnames.formats.manifest_file import manifest_file

        return _noted(manifest_file(path, value))
    raise _without_tensors(path, value)


def _without_tensors(path: Path, value: Any) -> JsonWithoutTensors:
    from ckptnames.formats.survey import survey

    members = list(map(str, value)) if isinstance(value, dict) else []
    what = "a JSON file" if isinstance(value, dict) else f"a JSON {type(value).__name__}"
    names = value.get("architectures") if isinstance(value, dict) else None
    if isinstance(names, list) and names:
        what = f"the configuration of {names[0]}"
    beside: list[str] = []
    with suppress(FileError):
        beside = [str(path.parent / each.name) for each in survey(path.parent).candidates]
    return JsonWithoutTensors(path, what, members, beside[:3])


def _noted(checkpoint: Checkpoint) -> Checkpoint:
    """Add a note where the name of the file promises another format."""
    path = checkpoint.path
    family = promised(path)
    if family in ("", _FAMILIES.get(checkpoint.format, checkpoint.format)):
        return checkpoint
    title = _TITLES.get(checkpoint.format, checkpoint.format)
    return replace(checkpoint, notes=(*checkpoint.notes, f"named {path.suffix}, but is {title}"))


def no_such_path(path: Path) -> NoSuchPath:
    """Find the first part of the path that does not exist, and names there that are spelled like it."""
    import difflib

    if path.is_symlink():
        return NoSuchPath(path, path, [], str(path.readlink()))
    missing = path
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    try:
        there = sorted(each.name for each in missing.parent.iterdir())
    except OSError:
        there = []
    near = difflib.get_close_matches(missing.name, there, n=3, cutoff=0.7)
    alike = [difflib.SequenceMatcher(None, name, missing.name).ratio() for name in near]
    best = [name for name, ratio in zip(near, alike, strict=True) if ratio > alike[0] - 0.1]
    return NoSuchPath(path, missing, [str(missing.parent / name) for name in best])


def _special(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "no regular file")
