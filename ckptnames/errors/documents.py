"""JSON files and folders of shards that do not say what they should."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import MAX_EVIDENCE, FileError
from ckptnames.wording import aligned, counted, either, path_in_shell


class MalformedJson(FileError):
    """A JSON file that is none."""

    code = "malformed-json"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"the JSON of this file is malformed: {reason}",
            where=f"{path}",
            help="get or write the file again: it is damaged, cut short, or was edited by hand",
        )


class DuplicateKey(FileError):
    """A key that stands twice where it may stand once."""

    code = "duplicate-key"

    def __init__(self, path: object, key: str, places: Sequence[str] = ()) -> None:
        self.path, self.key, self.places = str(path), key, tuple(places)
        super().__init__(
            f"the key '{key}' stands {'in ' + either(places, 'and') if places else 'twice in this file'}",
            where=f"{path}",
            help="write the checkpoint again: readers differ in which of the two they take",
        )


class InvalidManifest(FileError):
    """A manifest that does not say what its tensors are."""

    code = "invalid-manifest"

    def __init__(self, path: object, key: str | None, reason: str) -> None:
        self.path, self.key, self.reason = str(path), key, reason
        subject = "the manifest" if key is None else f"the entry of '{key}'"
        super().__init__(
            f"{subject} {reason}",
            where=f"{path}",
            help='write each tensor as {"dtype": "F32", "shape": [10, 4]}, as \'ckptnames ls --json\' does',
        )


class SeveralCheckpoints(FileError):
    """A folder with more than one checkpoint: they are never merged, and none is taken by guess."""

    code = "several-checkpoints"

    def __init__(self, path: object, candidates: Sequence[tuple[str, str]]) -> None:
        self.path, self.candidates = str(path), tuple(candidates)
        super().__init__(
            f"this folder holds {len(self.candidates)} checkpoints",
            where=f"{path}",
            evidence=aligned([(path_in_shell(each), what) for each, what in self.candidates], MAX_EVIDENCE),
            help=f"name one of them, as in: ckptnames ls {path_in_shell(self.candidates[0][0])}",
        )


class MissingShard(FileError):
    """A shard that the index names, or that the names of its neighbours imply, is not there."""

    code = "missing-shard"

    def __init__(self, path: object, shards: Sequence[str], n_shards: int, n_keys: int | None) -> None:
        self.path, self.shards, self.n_keys = str(path), tuple(shards), n_keys
        are = "is" if len(self.shards) == 1 else "are"
        with_keys = "" if n_keys is None else f", with {counted(n_keys, 'key')}"
        super().__init__(
            f"{len(self.shards)} of {counted(n_shards, 'shard')} {are} missing{with_keys}",
            where=f"{path}",
            evidence=self.shards,
            help=f"get '{self.shards[0]}' into the same folder"
            + (f", and {len(self.shards) - 1} more" if len(self.shards) > 1 else ""),
        )


class InvalidIndex(FileError):
    """An index of shards that does not say which shard holds which key."""

    code = "invalid-index"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"the index {reason}",
            where=f"{path}",
            help="get the index again from where it came, or name one of the shards instead",
        )


class IndexMismatch(FileError):
    """The index says that a shard holds keys which are not in it."""

    code = "index-mismatch"

    def __init__(self, path: object, absent: Sequence[tuple[str, str]]) -> None:
        self.path, self.absent = str(path), tuple(absent)
        super().__init__(
            f"the index puts {counted(len(self.absent), 'key')} into shards that do not have them",
            where=f"{path}",
            evidence=[f"'{key}' is not in {shard}" for key, shard in self.absent],
            help="get the index and its shards again from one place: they do not belong together",
        )


class UnsafePath(FileError):
    """An index points outside its folder."""

    code = "unsafe-path"

    def __init__(self, path: object, name: str) -> None:
        self.path, self.name = str(path), name
        super().__init__(
            f"the index names a shard outside its folder: '{name}'",
            where=f"{path}",
            help="move the shard beside the index, and write its bare name there",
        )
