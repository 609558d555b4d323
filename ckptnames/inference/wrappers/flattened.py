"""Names whose dots were flattened to underscores or left out, as the names of buffers: undone with the target's names.

A buffer must not have a dot in its name. What keeps an averaged copy in buffers calls them `ema_backbone_conv1_weight`
or, under `model_ema.`, `input_blocks00weight`. Where the dots stood is no longer in the name; the target knows it.
Names are compared without dots and underscores, and a prefix is flattened only where nearly all under it are found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckptnames.inference.wrappers.pairing import fits
from ckptnames.inference.wrappers.respelling import Spelling, respelled
from ckptnames.keys import common_prefix, has_prefix
from ckptnames.manifest import Manifest
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Stage

_LEAST = 4
_LEAST_SHARE = 20
"""A group of fewer names, or of less than one for so many of the target, is no copy of a model."""
_PROBES = 24
_MOST_LEADS = 3
_NEARLY_ALL = 0.9


class Flattened(NamedTuple):
    """Flattened names, the rules that give their dots back, and the source as it is called then."""

    names: Mapping[str, str]
    """Each flattened key with its name."""
    beginnings: tuple[str, ...]
    """How the flattened keys of each group begin, for people."""
    paths: tuple[str, ...]
    """The module that each group stands under once it has its dots."""
    rules: Rules
    source: Manifest
    targets: Mapping[str, str]
    """Each flattened key with the key of the target that it is."""
    placed: Rules
    """The rules that lead from there to the target."""

    def fills(self, target: Collection[str], rules: Rules) -> bool:
        """Tell whether the rules that come after make a flattened key one of the target's."""
        return any(rules(name) in target for name in self.names.values())

    @property
    def words(self) -> str:
        """Say what was done to the names."""
        where = " and ".join(f"`{beginning}…`" for beginning in self.beginnings)
        return f"give back the dots that were flattened in {where}"


def unflattened(source: Manifest, target: Manifest) -> Flattened | None:
    """Find the names whose dots were flattened, and where they stood; ``None`` where there are no such names.

    >>> from ckptnames.manifest import TensorInfo
    >>> info = TensorInfo("F32", (2,), 8)
    >>> wanted = Manifest(dict.fromkeys(["a.b_c.0.w", "a.b_c.1.w", "a.d.w", "a.d.b"], info))
    >>> found = unflattened(Manifest(dict.fromkeys(["ema.ab_c0w", "ema.ab_c1w", "ema.adw", "ema.adb"], info)), wanted)
    >>> list(found.source)
    ['ema.a.b_c.0.w', 'ema.a.b_c.1.w', 'ema.a.d.w', 'ema.a.d.b']
    """
    groups = _groups(source, target)
    if not groups:
        return None
    index = _Index(target)
    found = [group for keys in groups if (group := _undone(keys, source, index)) is not None]
    names = {key: name for group in found for key, name in group.names.items()}
    if not found or len({*names.values(), *source} - names.keys()) < len(source):
        return None
    stages = [respelled([group.spelling for group in found], source)]
    tensors = {names.get(key, key): info for key, info in source.items()}
    ties = tuple(tuple(names.get(key, key) for key in tie) for tie in source.ties)
    return Flattened(
        names,
        tuple(group.beginning for group in found),
        tuple(group.spelling.prefix for group in found),
        Rules(stages),
        replace(source, tensors=tensors, ties=ties),
        {key: name for group in found for key, name in group.targets.items()},
        Rules([Stage([group.place for group in found if group.place is not None])]),
    )


def _groups(source: Manifest, target: Manifest) -> list[list[str]]:
    """Group the keys that stand in one module and are called otherwise in the target."""
    least = max(_LEAST, len(target) // _LEAST_SHARE)
    n_keys = Counter([key.rpartition(".")[0] for key in source])
    large = {module for module, n in n_keys.items() if n >= least}
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, info in source.items() if large else ():
        module = key.rpartition(".")[0]
        if module in large and key not in target and info.shape != ():
            found[module].append(key)
    return [keys for keys in found.values() if len(keys) >= least]


def _squashed(text: str) -> str:
    return text.replace(".", "").replace("_", "")


class _Index:
    """The names of the target without dots and underscores."""

    def __init__(self, target: Manifest) -> None:
        self.target = target
        self.names: dict[str, str] = {}
        shared = set()
        for name in target:
            if self.names.setdefault(_squashed(name), name) != name:
                shared.add(_squashed(name))
        for squashed in shared:
            del self.names[squashed]
        self._backwards = sorted(squashed[::-1] for squashed in self.names)

    def most_alike(self, squashed: str) -> tuple[str, str]:
        """Give what stands before the longest ending that a name shares with one of the target, on both sides."""
        backwards = squashed[::-1]
        at = bisect_left(self._backwards, backwards)
        shared, other = max((_shared(backwards, near), near) for near in self._backwards[max(at - 1, 0) : at + 1])
        return squashed[: len(squashed) - shared], other[shared:][::-1]


def _shared(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def rivals_of(flat: Flattened, mapping: Mapping[str, str]) -> dict[str, str]:
    """Give what fills the places of most flattened names in a mapping that was found without them."""
    names = set(flat.targets.values())
    others = {name: key for name, key in mapping.items() if name in names and key not in flat.names}
    return others if 2 * len(others) >= len(flat.names) else {}


def is_beside_the_point(flat: Flattened, rivals: Mapping[str, str], mapping: Mapping[str, str]) -> bool:
    """Tell whether the other copy is what is meant.

    It is where it is called as in the target, or where the flattened copy, which often lacks the buffers of its layers,
    would fill far less than all of the other. What else the mapping fills does not count.
    """
    theirs, ours = common_prefix(rivals), common_prefix(rivals.values())
    n_filled = sum(has_prefix(name, theirs) and has_prefix(key, ours) for name, key in mapping.items())
    return len(flat.names) < _NEARLY_ALL * n_filled or all(key == name for name, key in rivals.items())


class _Group(NamedTuple):
    names: dict[str, str]
    targets: Mapping[str, str]
    beginning: str
    spelling: Spelling
    place: Rule | None


def _undone(keys: Sequence[str], source: Manifest, index: _Index) -> _Group | None:
    """Find what stands before the names of one group, and give them their dots back."""
    prefix = keys[0].rpartition(".")[0]
    cut = len(prefix) + 1 if prefix else 0
    squashed = {key: _squashed(key[cut:]) for key in keys}
    probes = list(squashed.values())[:: max(1, len(keys) // _PROBES)]
    leads = Counter(index.most_alike(probe) for probe in probes) if index.names else Counter()
    for (ours, theirs), _ in leads.most_common(_MOST_LEADS):
        asked = [key for key in keys if squashed[key].startswith(ours)]
        found = {key: name for key in asked if (name := index.names.get(theirs + squashed[key][len(ours) :]))}
        right = {key: name for key, name in found.items() if fits(source[key], index.target[name])}
        is_plain = len({squashed[key] for key in asked}) == len(asked)
        # A name of one word has lost nothing.
        n_dotted = sum("." in name for name in right.values())
        if is_plain and len(asked) >= _LEAST and len(right) >= _NEARLY_ALL * len(asked) and 2 * n_dotted > len(asked):
            return _group(prefix, right, ours, theirs)
    return None


def _group(prefix: str, found: Mapping[str, str], ours: str, theirs: str) -> _Group:
    """Write the names: the prefix, what stood before them in the source, and what they are called in the target."""
    cut = len(prefix) + 1 if prefix else 0
    first = next(iter(found))
    lead = _beginning(first[cut:], len(ours))
    whole = _beginning(next(iter(found.values())), len(theirs))
    # Only whole segments are left off the target's names.
    off = len(whole) + 1 if whole and all(name.startswith(f"{whole}.") for name in found.values()) else 0
    segments = [*filter(None, [prefix, lead.strip("_")])]
    names = {key: ".".join([*segments, name[off:]]) for key, name in found.items()}
    flat = f"{prefix}." if prefix else ""
    spelling = Spelling(flat + lead, ".".join(segments), {key: name[off:] for key, name in found.items()})
    left, right = (
        ".".join([*map(quoted, filter(None, path.split("."))), "**"])
        for path in (".".join(segments), whole if off else "")
    )
    return _Group(names, found, f"{flat}{lead}", spelling, Rule.parse(f"{left} -> {right}") if left != right else None)


def _beginning(text: str, n_letters: int) -> str:
    """Give the beginning of a text that has so many characters besides dots and underscores."""
    at = 0
    while n_letters or (at < len(text) and text[at] == "_" and at):
        n_letters -= text[at] not in "._"
        at += 1
    return text[:at]
