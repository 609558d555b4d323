"""What stands in a folder: the checkpoints it could be read as, and all the rest."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ckptnames.errors import DuplicateKey, InvalidIndex, MalformedJson, UnsafePath
from ckptnames.formats.heads import is_torch_zip, kind_of, read_head
from ckptnames.formats.strict_json import Document, read_document
from ckptnames.wording import counted

_INDEX = re.compile(r"(?P<of_weights>.*\.(?:safetensors|bin))?.*\.index(?:\.[^.]+)?\.json")
"""``model.safetensors.index.json``, and ``model.safetensors.index.fp16.json`` of a variant."""
_NUMBERED = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<n>\d{5})(?P<extension>\.safetensors|\.bin)")
_TRAINER_STATE = re.compile(
    r"training_args\.bin"
    r"|(?:optimizer|scheduler|lr_scheduler|scaler|sampler|dl_state_dict)(?:[._-].*)?\.(?:pt|pth|bin|pkl|safetensors)"
    r"|rng_state.*|random_states_.*|custom_checkpoint_.*\.pkl"
)
_ADAPTER = re.compile(r"(?:adapter_model|pytorch_lora_weights)\..*")
LEFTOVER = ".ckptnames-"
"""In the name of what is being written, until it is put in place."""
_NAMED_AS_WEIGHTS = re.compile(r".*\.safetensors|(?:pytorch_model|model)\b.*\.(?:bin|pt|pth|ckpt)")
_UNKNOWN = "not recognised"
_MOST_FOLDERS = 200


class Candidate(NamedTuple):
    """A checkpoint of a folder: the name to call it by, the files that make it up, what it is."""

    name: str
    files: tuple[str, ...]
    what: str
    document: Document | None = None
    """The index, where it is one."""


class Survey(NamedTuple):
    """What a folder holds: checkpoints, adapters to a checkpoint, and the names of all its files and folders."""

    candidates: tuple[Candidate, ...]
    adapters: tuple[Candidate, ...]
    files: tuple[str, ...]
    folders: tuple[str, ...]


def survey(folder: Path) -> Survey:
    """Tell the checkpoints of a folder apart. The state of a trainer (``optimizer.pt``, ``training_args.bin``) is none.

    Raises what a malformed index of weights raises.
    """
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_file(), entry.is_dir()) for entry in entries)
    files = tuple(name for name, is_file, _ in listed if is_file and LEFTOVER not in name)
    found = [_indexed(folder, index) for name in files if (index := _INDEX.fullmatch(name))]
    claimed = {file for each in found if each is not None for file in each.files}
    found += _numbered([name for name in files if name not in claimed])
    claimed |= {file for each in found if each is not None for file in each.files}
    for name in files:
        # A hidden file is not meant: what macOS leaves beside a file is named like it, after a dot.
        if name not in claimed and not name.startswith(".") and not _TRAINER_STATE.fullmatch(name):
            found.append(_single(folder, name))
    candidates = sorted((each for each in found if each is not None), key=lambda each: each.what.startswith(_UNKNOWN))
    return Survey(
        tuple(each for each in candidates if not _ADAPTER.fullmatch(each.name)),
        tuple(each for each in candidates if _ADAPTER.fullmatch(each.name)),
        files,
        tuple(name for name, _, is_folder in listed if is_folder),
    )


def _indexed(folder: Path, index: re.Match[str]) -> Candidate | None:
    name = index[0]
    try:
        document = read_document(folder / name)
    except (DuplicateKey, MalformedJson):
        if index["of_weights"]:
            raise
        return None  # an index of something else, perhaps, and none of JSON
    if not isinstance(document.value, dict) or "weight_map" not in document.value:
        return None
    return candidate_of_index(folder / name, document)


def candidate_of_index(path: Path, document: Document) -> Candidate:
    """Make the candidate that an index stands for.

    Raises ``invalid-index``, and ``unsafe-path`` where it points outside its folder.
    """
    shards = tuple(dict.fromkeys(weight_map_of(path, document).values()))
    return Candidate(path.name, (path.name, *shards), f"an index of {counted(len(shards), 'file')}", document)


def weight_map_of(path: Path, document: Document) -> dict[str, str]:
    """Give the keys of an index, each with its file, once every file is a path below the folder; ``./a`` is ``a``."""
    weight_map: Any = document.value["weight_map"]
    if not isinstance(weight_map, dict) or not weight_map:
        raise InvalidIndex(path, "has no keys in its 'weight_map'")
    for key, file in weight_map.items():
        if not isinstance(file, str) or not file:
            raise InvalidIndex(path, f"gives {file!r:.60} as the file of '{key}'")
    plain: dict[str, str] = {}
    for file in set(weight_map.values()):
        if file.startswith("/") or "\0" in file or ".." in re.split(r"[/\\]", file) or ":" in file:
            raise UnsafePath(path, file)
        plain[file] = PurePosixPath(file).as_posix()
    return {key: plain[file] for key, file in weight_map.items()}


def _numbered(names: list[str]) -> list[Candidate | None]:
    """Group ``model-00001-of-00002.safetensors`` and its like, which someone has parted from their index."""
    sets: dict[tuple[str, str, str], list[str]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match:
            sets.setdefault((match["stem"], match["n"], match["extension"]), []).append(name)
    return [
        Candidate(there[0], shards_of(there[0]), f"one of {counted(int(n), 'shard')} without an index")
        for (_, n, _), there in sets.items()
    ]


def shards_of(name: str) -> tuple[str, ...]:
    """Name all shards of the set that a numbered file belongs to; none where it has no number.

    >>> shards_of("model-00002-of-00002.bin"), shards_of("model.bin")
    (('model-00001-of-00002.bin', 'model-00002-of-00002.bin'), ())
    """
    match = _NUMBERED.fullmatch(name)
    if not match:
        return ()
    stem, n, extension = match.group("stem", "n", "extension")
    return tuple(f"{stem}-{i:05}-of-{n}{extension}" for i in range(1, int(n) + 1))


def _single(folder: Path, name: str) -> Candidate | None:
    path = folder / name
    try:
        head = read_head(path)
    except OSError:
        return Candidate(name, (name,), "unreadable") if _NAMED_AS_WEIGHTS.fullmatch(name) else None
    kind = kind_of(head)
    what = {"safetensors": "safetensors", "torch-legacy": "legacy torch.save"}.get(kind, "")
    if kind == "zip" and is_torch_zip(path, head):
        what = "torch.save"
    if not what and not _NAMED_AS_WEIGHTS.fullmatch(name):
        return None
    # A file named as weights that is none (a Git LFS pointer, say) is worth the error that opening it gives.
    size = path.stat().st_size
    return Candidate(name, (name,), f"{what or _UNKNOWN}, {size:,} bytes")


def files_beside(folder: Path, own: tuple[str, ...]) -> list[str]:
    """Name the files of a folder that belong to the checkpoint which ``own`` makes up: all but other checkpoints."""
    found = survey(folder)
    taken = {file for each in found.candidates for file in each.files} | set(own)
    return [name for name in found.files if name not in taken]


def folders_with_weights(folder: Path) -> list[str]:
    """Find folders below this one that hold files named as weights, looking at 200 folders at most."""
    found: list[str] = []
    for n, (at, below, names) in enumerate(os.walk(folder)):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(_NAMED_AS_WEIGHTS.fullmatch(name) for name in names) and at != str(folder):
            found.append(at)
        if n >= _MOST_FOLDERS or len(found) == 3:
            break
    return found
