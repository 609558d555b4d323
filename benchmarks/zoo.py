"""Real conversion problems, as ``fixtures/zoo`` keeps them: two manifests each, and what the official conversion does.

What the fields of a problem mean is written in ``fixtures/zoo/README.md``.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ckptnames.manifest import Manifest, TensorInfo

ZOO = Path(__file__).parent.parent / "fixtures" / "zoo"
ORDERS = ("saved", "sorted", "shuffled")
RENAME = "rename"


class Truth(NamedTuple):
    """Which source keys make a target key, and by which operation."""

    sources: frozenset[str]
    op: str = RENAME


class Copies(NamedTuple):
    """Two whole copies of the weights in one source: the segment that names each."""

    taken: str
    other: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem: source and target by the names of their manifests, and what is true of their keys."""

    id: str
    difficulty: str
    source: str
    target: str
    truth: Mapping[str, Truth]
    unfilled: Sequence[str] = ()
    aliases: Sequence[Sequence[str]] = ()
    alternatives: Mapping[str, frozenset[str]] | None = None
    ignored: frozenset[str] = frozenset()
    order_only: frozenset[str] = frozenset()
    copies: Copies | None = None
    is_undetermined: bool = False

    @property
    def n_keys(self) -> int:
        """How many keys the target has."""
        return len(self.truth) + len(self.unfilled)


def pairs(only: str = "", most_keys: int | None = None) -> Iterator[Pair]:
    """Read the problems whose file name has ``only`` in it, a regular expression, and not too many keys."""
    for path in sorted((ZOO / "pairs").glob("*.json.gz")):
        if re.search(only, path.name):
            found = _pair(_read(path))
            if most_keys is None or found.n_keys <= most_keys:
                yield found


def sides(pair: Pair, order: str) -> tuple[Manifest, Manifest]:
    """Read source and target: as saved, with the source sorted as safetensors lists it, or with both shuffled."""
    return _manifest(pair.source, order), _manifest(pair.target, "saved" if order == "sorted" else order)


def _read(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def _pair(found: Mapping[str, Any]) -> Pair:
    copies = found.get("copies")
    others = found.get("alternatives", {})
    return Pair(
        id=found["id"],
        difficulty=found["difficulty"],
        source=found["source"],
        target=found["target"],
        truth={name: Truth(frozenset(true["from"]), true["op"]) for name, true in found["truth"].items()},
        unfilled=found["unfilled_target"],
        aliases=found.get("source_aliases", ()),
        alternatives={name: frozenset(key for group in groups for key in group) for name, groups in others.items()},
        ignored=frozenset(found.get("ignore_target", ())),
        order_only=frozenset(found.get("order_only", ())),
        copies=Copies(copies["truth_takes"], copies["other_copy"]) if copies else None,
        is_undetermined="undetermined" in found,
    )


def _manifest(name: str, order: str) -> Manifest:
    tensors: Mapping[str, Any] = _read(ZOO / "manifests" / name)["tensors"]
    keys = list(tensors)
    if order == "sorted":
        keys.sort()
    elif order == "shuffled":
        random.Random(len(keys)).shuffle(keys)
    return Manifest({key: TensorInfo(tensors[key]["dtype"], tuple(tensors[key]["shape"])) for key in keys}, name)


class Thread(NamedTuple):
    """What a public thread says of missing and unexpected keys: what fills what, or that nothing may be answered."""

    id: str
    source: Manifest
    target: Manifest
    truth: Mapping[str, str]
    is_negative: bool


def threads() -> Iterator[Thread]:
    """Read the key lists of public threads that have keys on both sides; most shapes are not known."""
    for case in json.loads((ZOO / "threads.json").read_text("utf-8")):
        stated = {key: [ends] if isinstance(ends, str) else ends for key, ends in (case["pairs"] or {}).items()}
        truth = {name: key for key, names in stated.items() for name in names}
        extra = [key for key in case["unexpected"] if key not in truth]
        source = dict.fromkeys([*truth.values(), *(case["drop"] or ()), *extra])
        target = dict.fromkeys([*truth, *(key for key in case["missing"] if key not in source)])
        shapes = case.get("shapes") or {}
        if source and target:
            yield Thread(case["id"], _unread(source, shapes), _unread(target, shapes), truth, case["negative"])


def _unread(keys: Mapping[str, None], shapes: Mapping[str, Any]) -> Manifest:
    known = {key: tuple(shapes[key]) if isinstance(shapes.get(key), list) else None for key in keys}
    return Manifest({key: TensorInfo(None, shape) for key, shape in known.items()})
