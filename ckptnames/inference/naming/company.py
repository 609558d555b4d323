"""Words that say nothing by themselves, and what the members of the modules say that they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from ckptnames.inference.naming.vocabulary import QUERIES
from ckptnames.inference.naming.words import content, is_counted_in, meaning
from ckptnames.keys import is_index, segments

_COUNTED = frozenset(("w1", "w2", "w3"))
_LEAST = 3
_ATTENTION, _MLP = "attention", "mlp"


def told_by_members(keys: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Spell segments that say nothing with the sort that their members tell, unless the other side has them too.

    What holds queries and keys is an attention whatever it is called, so that its `output.dense` is no layer of a
    feed-forward block. A word that modules of two sorts share stays as it is.

    >>> told_by_members(["h.0.mixer.q.weight", "h.0.mixer.k.weight", "h.0.mixer.output.dense.weight"], ["h.0.attn.q"])
    {'mixer': 'mixer_attention'}
    """
    known = {segment for key in others for segment in segments(key)}
    members: defaultdict[str, defaultdict[tuple[str, ...], set[str]]] = defaultdict(lambda: defaultdict(set))
    for key in keys:
        path = segments(key)[:-1]
        for at, segment in enumerate(path[:-1]):
            if segment not in known and _says_nothing(segment):
                members[segment][tuple(path[:at])].add(".".join(path[at + 1 :]))
    found = {segment: {_sort(names) for names in modules.values()} - {None} for segment, modules in members.items()}
    return {
        segment: f"{segment}_{sort}" for segment, sorts in found.items() if len(sorts) == 1 for sort in sorts if sort
    }


def _says_nothing(segment: str) -> bool:
    return not is_index(segment) and bool(content(segment)) and not meaning(segment)


def _is_in_another(name: str) -> bool:
    """Tell whether a member stands in a module of its own, as the attention of a block does."""
    inner, _, rest = name.partition(".")
    return bool(rest) and (is_index(inner) or _says_nothing(inner))


def _sort(names: Collection[str]) -> str | None:
    """Tell what holds such members; ``None`` where they do not tell, or there are norms among them as in a block."""
    said = [meaning(name) for name in names]
    if any(found.get("sort") for found in said) or any(map(_is_in_another, names)):
        return None
    projections = frozenset().union(*(found.get("projection", frozenset()) for found in said))
    layers = frozenset().union(*(found.get("feed-forward", frozenset()) for found in said))
    if projections & QUERIES and len(names) >= _LEAST:
        return _ATTENTION
    is_mlp = len(layers) > 1 or any(map(is_counted_in, names)) or _COUNTED.issubset(names)
    return _MLP if is_mlp and not projections & QUERIES else None
