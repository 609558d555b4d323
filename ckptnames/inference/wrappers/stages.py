"""From pairs of keys that differ by wrappers and prefixes to the few rules that say so.

The rules come in up to three phases, one stage each: wrapper segments off the source, one prefix for another, wrapper
segments onto the target. Every proposal is replayed on all pairs; what does not give exactly the pairs is not offered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ckptnames.errors import RuleError
from ckptnames.folding import fold
from ckptnames.inference.wrappers.wrapping import WRAPPERS, maker
from ckptnames.keys import is_index
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted

Segments = tuple[str, ...]

_MOST_PLACES = 3
_PROBES = 100


class Step(NamedTuple):
    """One stage of the explanation: its rule lines and what they do, in words."""

    lines: tuple[str, ...]
    words: str


class _Change(NamedTuple):
    """How one key becomes another: wrapper segments removed, a prefix exchanged, wrapper segments inserted.

    ``removed`` and ``inserted`` hold, outermost first, the path above the wrapper segment and the segment, each as
    spelled when the outer ones are still (or already) there.
    """

    removed: tuple[tuple[Segments, str], ...]
    strip: Segments
    add: Segments
    inserted: tuple[tuple[Segments, str], ...]


def steps(pairs: Mapping[str, str]) -> list[Step] | None:
    """Give the stages that turn each source key of ``pairs`` (target key -> source key) into its target key.

    An empty list means that the names are right as they stand; ``None`` that no few rules say it.
    """
    changed = {target: source for target, source in pairs.items() if target != source}
    if not changed:
        return []
    for propose in (_one_prefix, _phases_with_slots, _phases):
        found = propose(changed)
        if found is not None and _replays(found, pairs):
            return found
    return None


def rules_of(found: Sequence[Step]) -> Rules:
    """Put the stages of an explanation into one rule set."""
    return Rules.parse("\n---\n".join("\n".join(step.lines) for step in found))


def _replays(found: Sequence[Step], pairs: Mapping[str, str]) -> bool:
    try:
        rules = rules_of(found)
        return all(rules(source) == target for target, source in pairs.items())
    except RuleError:
        return False


def _one_prefix(pairs: Mapping[str, str]) -> list[Step] | None:
    """Take the one prefix that every pair exchanges, its wrapper segments included."""
    # Every pair has to have it: a few say what it may be.
    heads: Counter[tuple[Segments, Segments]] = Counter(
        _heads(tuple(source.split(".")), tuple(target.split("."))) for target, source in islice(pairs.items(), _PROBES)
    )
    for (strip, add), _ in heads.most_common(3):
        before, after = ".".join([*strip, ""]), ".".join([*add, ""])
        if all(
            source.startswith(before) and target.startswith(after) and source[len(before) :] == target[len(after) :]
            for target, source in pairs.items()
        ):
            return [_exchange(strip, add)]
    return None


def _heads(source: Segments, target: Segments) -> tuple[Segments, Segments]:
    """Cut off the longest common tail."""
    same = 0
    while same < min(len(source), len(target)) and source[-1 - same] == target[-1 - same]:
        same += 1
    return source[: len(source) - same], target[: len(target) - same]


def _exchange(strip: Segments, add: Segments) -> Step:
    before, after = _dotted(strip), _dotted(add)
    if not add:
        return Step((f"{before}.** -> **",), f"strip `{'.'.join(strip)}.`{_made_by(strip)}")
    if not strip:
        return Step((f"** -> {after}.**",), f"add `{'.'.join(add)}.`{_made_by(add)}")
    return Step((f"{before}.** -> {after}.**",), f"`{'.'.join(strip)}.` becomes `{'.'.join(add)}.`")


def _made_by(prefix: Segments) -> str:
    who = maker(prefix)
    return f" ({who})" if who else ""


def _dotted(path: Iterable[str]) -> str:
    return ".".join(quoted(segment) for segment in path)


def _phases_with_slots(pairs: Mapping[str, str]) -> list[Step]:
    """Say it for all indices at once: shorter, and wrong where only some blocks are wrapped."""
    return _phases(pairs, slots=True)


def _phases(pairs: Mapping[str, str], slots: bool = False) -> list[Step]:
    changes = {target: _change(tuple(source.split(".")), tuple(target.split("."))) for target, source in pairs.items()}
    sources = [(pairs[target].split("."), change.removed) for target, change in changes.items()]
    found = _wrapper_steps(sources, inserting=False, slots=slots)
    prefixes = Counter((change.strip, change.add) for change in changes.values())
    prefixes.pop(((), ()), None)
    if len(prefixes) > 1:
        by_depth = sorted(prefixes, key=lambda heads: -len(heads[0]))
        lines = tuple(line for heads in by_depth for line in _exchange(*heads).lines)
        found.append(Step(lines, "exchange prefixes"))
    found += [_exchange(*heads) for heads in prefixes if len(prefixes) == 1]
    targets = [(target.split("."), change.inserted) for target, change in changes.items()]
    return found + _wrapper_steps(targets, inserting=True, slots=slots)


def _change(source: Segments, target: Segments) -> _Change:
    """Walk both keys from the leaf up; a wrapper segment on one side only was added there."""
    removed: list[tuple[Segments, str]] = []
    inserted: list[tuple[Segments, str]] = []
    i, j = len(source) - 1, len(target) - 1
    while i >= 0 or j >= 0:
        if i >= 0 and j >= 0 and source[i] == target[j]:
            i, j = i - 1, j - 1
        elif i >= 0 and source[i] in WRAPPERS:
            removed.append((source[:i], source[i]))
            i -= 1
        elif j >= 0 and target[j] in WRAPPERS:
            inserted.append((target[:j], target[j]))
            j -= 1
        else:
            break
    return _Change(tuple(reversed(removed)), source[: i + 1], target[: j + 1], tuple(reversed(inserted)))


def _wrapper_steps(
    keys: Sequence[tuple[Sequence[str], Sequence[tuple[Segments, str]]]], *, inserting: bool, slots: bool
) -> list[Step]:
    """Give the steps that take the named wrapper segments out of the keys, or put them in.

    Inner sites go first on the way out and last on the way in: then every path is spelled as the keys stand.
    """
    sites: defaultdict[str, set[Segments]] = defaultdict(set)
    standing: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for key, places in keys:
        standing.update(segment for segment in key[:-1] if segment in WRAPPERS)
        for path, word in places:
            sites[word].add(path)
            named[word] += 1
    found: list[Step] = []
    by_depth: defaultdict[int, list[tuple[Segments, str]]] = defaultdict(list)
    for word, paths in sites.items():
        if not inserting and standing[word] == named[word] and paths != {()}:
            words = f"remove `{word}.` wherever it stands{_made_by((word,))}"
            found.append(Step((f"**.{word}.** -> **.**",), words))
        else:
            for path in paths:
                by_depth[len(path)].append((path, word))
    depths = sorted(by_depth, reverse=not inserting)
    return found + [_at_sites(by_depth[depth], inserting, slots) for depth in depths]


def _at_sites(sites: Iterable[tuple[Segments, str]], inserting: bool, slots: bool) -> Step:
    """Handle wrapper segments at these places, all equally deep; with ``slots`` indices stand for all indices."""
    lines: dict[str, None] = {}
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path, word in sorted(sites):
        typed = [f"{{i{n}:d}}" if slots and is_index(part) else quoted(part) for n, part in enumerate(path)]
        bare = [part.replace(":d}", "}") for part in typed]
        before = [*typed, "**"] if inserting else [*typed, word, "**"]
        after = [*bare, word, "**"] if inserting else [*bare, "**"]
        lines[f"{'.'.join(before)} -> {'.'.join(after)}"] = None
        places[word].append(".".join(path))
    verb = "insert" if inserting else "remove"
    return Step(
        tuple(lines), "; ".join(f"{verb} `{word}.` {_where(places[word])}{_made_by((word,))}" for word in places)
    )


def _where(paths: Sequence[str]) -> str:
    """Name the modules under which a wrapper segment stands, if they are few patterns."""
    modules = [f"under `{group.pattern}`" for group in fold((path, "") for path in paths if path)]
    if len(modules) > _MOST_PLACES:
        return f"in {len(paths)} places"
    return " and ".join([*(["in front"] if "" in paths else []), *modules])
