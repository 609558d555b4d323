"""What the names of modules say: their words, what the field means by them, and how alike two names are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile

from rapidfuzz import fuzz

from ckptnames.inference.naming.vocabulary import (
    DECIDING,
    HOLLOW,
    LOOSE,
    OPPOSITE,
    PHRASES,
    QUERIES,
    SILENT,
    SYNONYMS,
    TELLING,
)

OBJECTION = float("-inf")
"""How alike two names are of which one says what the other denies."""

_GUESS = "guess"
"""The aspect under which stands what a name says only by where its last word stands: no ground for an objection."""

_OUT = ("out", "output")

SAME = 10.0
"""How alike a name is to itself."""

_TOKENS = frozenset(("class", "distillation", "mask"))

_BLOCKS = frozenset(("attention", "mlp"))

_OF_LAYERS = (
    frozenset(PHRASES) - OPPOSITE - {"sort", "attention", "side", "area", "input", "stream", "copy", "direction"}
)
"""Aspects that are of a layer, whatever it stands in."""

_NOT_BARE = 2.0
_WRAPPED = 2.0
_VERBATIM = 0.4

_WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+")
_CUT = re.compile(r"[./]")
_COUNTED_IN = re.compile(r"(?:^|[._/])wi_?[0-9#]")
"""With a number `wi` is the gate or the up projection, alone it is the layer going in."""

_CACHED = 1 << 18


@lru_cache(_CACHED)
def words(path: str) -> tuple[str, ...]:
    """Cut a name into words and numbers, in small letters.

    >>> words("layer.0.SelfAttention.q_proj1")
    ('layer', '0', 'self', 'attention', 'q', 'proj', '1')
    """
    return tuple(word.lower() for segment in _CUT.split(path) for word in _WORD.findall(segment))


def _tables() -> tuple[dict[tuple[str, ...], list[tuple[str, str]]], dict[str, str]]:
    meanings: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for aspect, values in PHRASES.items():
        for value, phrases in values.items():
            for phrase in phrases.split(","):
                found = tuple(word for part in phrase.split() for word in words(part))
                meanings.setdefault(found, []).append((aspect, value))
    canon = {}
    for line in SYNONYMS.strip().splitlines():
        head, _, rest = line.strip().partition(":")
        canon.update(dict.fromkeys([head, *rest.split()], head))
    return meanings, canon


_MEANINGS, _CANON = _tables()
_LONGEST = max(map(len, _MEANINGS))


@lru_cache(_CACHED)
def content(path: str) -> tuple[str, ...]:
    """Give the words of a name that say something, each in the form that stands for its synonyms.

    >>> content("model.layers.0.attn.q_proj")
    ('attention', 'query', 'projection')
    """
    found = (_CANON.get(word, word) for word in words(path) if not word.isdigit())
    return tuple(word for word in found if word not in HOLLOW)


@lru_cache(_CACHED)
def meaning(path: str) -> Mapping[str, frozenset[str]]:
    """Give what a name says, by aspect.

    >>> meaning("decoder.self_attn.wq")["projection"]
    frozenset({'query'})
    """
    found = words(path)
    # A number that is a segment of its own counts members of a list: `layer.1` is no layer called `layer1`.
    indices = _indices(path)
    said: dict[str, set[str]] = {}
    at = 0
    while at < len(found):
        for length in range(min(_LONGEST, len(found) - at), 0, -1):
            phrase = found[at : at + length]
            if phrase in _MEANINGS and (length == 1 or indices.isdisjoint(range(at, at + length))):
                for aspect, value in _MEANINGS[phrase]:
                    said.setdefault(aspect, set()).add(value)
                at += length - 1
                break
        at += 1
    if _COUNTED_IN.search(path):
        said.get("feed-forward", set()).discard("in")
    _in_context(said, found)
    numbers = [word for word in found if word.isdigit()]
    if "place" not in said and numbers and not any(map(int, numbers)) and not content(path):
        said["place"] = {"first"}
    return {aspect: frozenset(values) for aspect, values in said.items() if values}


def _indices(path: str) -> set[int]:
    """Give the places among the words of a name where a segment is a number alone."""
    found: set[int] = set()
    at = 0
    for segment in _CUT.split(path):
        if segment.isdigit():
            found.add(at)
        at += len(_WORD.findall(segment))
    return found


def _in_context(said: dict[str, set[str]], path: Sequence[str]) -> None:
    """Settle words that mean one thing in an attention, another in a feed-forward block, and nothing in a norm."""
    sorts = said.get("sort", set())
    found = [word for word in path if not word.isdigit()]
    last = found[-1] if found else ""
    if "norm" in sorts:
        for aspect in ("projection", "feed-forward", "end"):
            said.pop(aspect, None)
        return
    projection = said.setdefault("projection", set())
    layer = said.setdefault("feed-forward", set())
    if "attention" in sorts:
        if not projection and last in ("proj", "dense", "out", "linear", "output", "projection"):
            projection.add("output")
            if last not in _OUT:
                said[_GUESS] = {"projection"}
        if len(projection) > 1:
            projection.discard("output")
    elif "mlp" in sorts or "experts" in sorts:
        if "output" in projection:
            projection.discard("output")
            layer.add("down")
        if not layer and (found[-2:] == ["in", "proj"] or path[-2:] == ("0", "proj")):
            projection.clear()
            layer.add("in")
        if not layer and last in ("out", "output", "proj", "wo"):
            layer.add("down")
            if last == "proj":
                said[_GUESS] = {"feed-forward"}
        if not layer and last == "gate" and "experts" not in sorts:
            layer.add("gate")
        if not layer and "in" in said.get("end", set()):
            layer.add("in")
    elif not layer and found[-2:] == ["output", "dense"]:
        layer.add("down")
    elif found == ["output"]:
        said["head"], said["area"] = {"head"}, {"head"}
    if "down" in layer:
        layer.discard("in")


@lru_cache(_CACHED)
def likeness(source: str, target: str) -> float:
    """Tell how alike two names are: 0 says nothing, 1 and more speaks for one thing, ``OBJECTION`` against it.

    >>> likeness("attention.wq", "self_attn.q_proj") > 1 > likeness("attention.wq", "mlp.fc1")
    True
    >>> likeness("attention.wq", "self_attn.k_proj")
    -inf
    """
    if source == target:
        return SAME
    if _is_wrapped(source, target) or _is_wrapped(target, source):
        return _WRAPPED
    return _rating(meaning(source), meaning(target), content(source), content(target), 0.5)


def _is_wrapped(outer: str, inner: str) -> bool:
    """Tell whether one name is the other with a segment more that says nothing: `conv2`, `conv2.lin`."""
    rest = inner[len(outer) + 1 :]
    return inner.startswith(f"{outer}.") and not content(rest) and not any(map(str.isdigit, rest))


def telling_likeness(
    sources: Collection[str], targets: Collection[str], are_norms: bool = False
) -> dict[tuple[str, str], float]:
    """Rate all pairs by what tells the names of a side apart: what all of them say is no evidence.

    Nor is that some are called norms where their shapes show that all of them are.

    >>> found = telling_likeness(["mlp.up_proj", "mlp.down_proj"], ["mlp.w1", "mlp.w2"])
    >>> len(set(found.values()))
    1
    """
    ours, theirs = _parted(sources, are_norms), _parted(targets, are_norms)
    counted = [Counter(map(_last, names)) for names in (sources, targets)]
    alone = {last for last, n_names in counted[0].items() if n_names == counted[1][last] == 1}
    found = {}
    for source, (said, spoken) in ours.items():
        for target, (heard, written) in theirs.items():
            found[source, target] = (
                OBJECTION if likeness(source, target) == OBJECTION else _rating(said, heard, spoken, written, 0.0)
            )
            if _last(source) == _last(target) and (spoken or _last(source) in alone):
                found[source, target] += _VERBATIM
    return found


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _parted(names: Collection[str], are_norms: bool) -> dict[str, tuple[Mapping[str, frozenset[str]], tuple[str, ...]]]:
    """Give what each name says that not all of them say; one alone has nobody to be told from."""
    if len(names) == 1:
        return {name: (meaning(name), content(name)) for name in names}
    # What all stand in tells nothing, though one of them may be called by a word of it.
    segments = zip(*(name.split(".") for name in names), strict=False)
    n_shared = sum(1 for _ in takewhile(lambda found: len(set(found)) == 1, segments))
    said = {name: meaning(name) for name in names}
    spoken = {name: content(".".join(name.split(".")[n_shared:])) for name in names}
    same = frozenset.intersection(*[frozenset(found.items()) for found in said.values()])
    common = frozenset.intersection(*map(frozenset, spoken.values()))
    if are_norms:
        said = {name: {**found, "sort": found.get("sort", frozenset()) - {"norm"}} for name, found in said.items()}
        common |= {"norm"}
    return {
        name: (
            {aspect: values for aspect, values in said[name].items() if (aspect, values) not in same},
            tuple(word for word in spoken[name] if word not in common),
        )
        for name in names
    }


def _rating(
    ours: Mapping[str, frozenset[str]],
    theirs: Mapping[str, frozenset[str]],
    spoken: Sequence[str],
    written: Sequence[str],
    silence: float,
) -> float:
    """Rate what two names say; ``silence`` is the share of common words where neither has any."""
    if any(found(*sides) for found in (_is_opposed, _is_no_norm) for sides in ((ours, theirs), (theirs, ours))):
        return OBJECTION
    score = 0.0
    guessed = {*ours.get(_GUESS, ()), *theirs.get(_GUESS, ())}
    for aspect in (ours.keys() | theirs.keys()) - {_GUESS}:
        said, heard = ours.get(aspect), theirs.get(aspect)
        if aspect in OPPOSITE:
            if said and heard and not said & heard:
                return OBJECTION
        elif said and heard:
            if said & heard:
                score += 1.3 if aspect in DECIDING else 0.3 if aspect in SILENT else 0.8
            elif aspect in LOOSE or (aspect in guessed and not (said | heard) & QUERIES):
                score -= 0.5
            else:
                return OBJECTION
        elif aspect in TELLING:
            score -= 0.6
        elif aspect not in SILENT:
            score -= 0.1
    if ("area" in ours) != ("area" in theirs) and "norm" in ours.get("sort", ()) and "norm" in theirs.get("sort", ()):
        score -= 0.6  # The norm after the embeddings is not the last one.
    shared = _overlap(spoken, written)[0] if spoken or written else silence
    score += 1.5 * shared
    if spoken and spoken[-1:] == written[-1:]:
        score += 0.3
    if _is_bare(ours, spoken, theirs) or _is_bare(theirs, written, ours):
        return score - _NOT_BARE
    return score + max(0.0, fuzz.ratio(" ".join(spoken), " ".join(written)) - 50) / 200


def _is_opposed(said: Mapping[str, frozenset[str]], heard: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether one is an attention or in one, and the other a feed-forward block or in one."""
    ours, theirs = said.get("sort", frozenset()), heard.get("sort", frozenset())
    if "attention" not in ours or not ours.isdisjoint(theirs):
        return False
    return "mlp" in theirs or ("projection" in said and "feed-forward" in heard and "projection" not in heard)


def _is_no_norm(said: Mapping[str, frozenset[str]], heard: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether one is a norm, and the other a token that is no norm, and is a vector as well."""
    is_norm, is_other = ("norm" in sorts.get("sort", ()) for sorts in (said, heard))
    return is_norm and not is_other and not _TOKENS.isdisjoint(heard.get("embedding", ()))


def _is_bare(said: Mapping[str, frozenset[str]], spoken: Sequence[str], other: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether a name is the word for a layer alone, by which no one calls queries, keys or values."""
    return (
        "projection" not in said
        and tuple(spoken) == ("projection",)
        and bool(other.get("projection", frozenset()) & QUERIES)
    )


def told_apart(source: str, target: str) -> bool:
    """Tell whether one of two names speaks of what a name for the same thing would speak of too.

    >>> told_apart("norm", "fc_norm"), told_apart("norm", "encoder.ln")
    (True, False)
    """
    ours, theirs = meaning(source), meaning(target)
    return any((aspect in ours) != (aspect in theirs) for aspect in TELLING)


def names_block(segment: str) -> bool:
    """Tell whether a segment says that it is an attention, or a feed-forward block.

    >>> names_block("self_attn"), names_block("ffn"), names_block("q_proj")
    (True, True, False)
    """
    return not _BLOCKS.isdisjoint(meaning(segment).get("sort", ()))


def ends_alike(source: str, target: str) -> bool:
    """Tell whether two names are alike in what they say of the layer itself, and not only of what it stands in.

    >>> ends_alike("attn.proj", "attention.output.dense"), ends_alike("attn.fexidy", "attention.query")
    (True, False)
    """
    ours, theirs = meaning(source), meaning(target)
    if any(ours.get(aspect, frozenset()) & theirs.get(aspect, frozenset()) for aspect in _OF_LAYERS):
        return True
    last, other = (content(_layer(name)) for name in (source, target))
    return not (last or other) or _overlap(last, other)[0] > 0


def _layer(name: str) -> str:
    """Give the last segment that is no number."""
    return next((segment for segment in reversed(_CUT.split(name)) if not segment.isdigit()), name)


def counts_otherwise(source: str, target: str) -> bool:
    """Tell whether two names end in the same words with other numbers, which are no more alike than any two.

    >>> counts_otherwise("mlp.w1", "w3"), counts_otherwise("bn2", "norm2"), counts_otherwise("list.0", "list.1")
    (True, False, False)
    """
    said, counted = zip(*map(_ending, (source, target)), strict=True)
    return said[0] == said[1] != () and counted[0] != counted[1] and all(counted)


def is_counted_in(name: str) -> bool:
    """Tell whether a name is that of a gate or an up projection as T5 counts them: `wi_0`, `wi_1`."""
    return _COUNTED_IN.search(name) is not None


@lru_cache(_CACHED)
def _ending(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the words of the last segment, and its numbers."""
    found = words(name.rpartition(".")[2])
    said = tuple(_CANON.get(word, word) for word in found if not word.isdigit())
    return said, tuple(word for word in found if word.isdigit())


def overlap(source: str, target: str) -> tuple[float, tuple[str, ...], tuple[str, ...]]:
    """Give the share of the words of both names that have a counterpart, and those of each that have none.

    >>> overlap("norm", "fc_norm")
    (0.6666666666666666, (), ('head',))
    """
    return _overlap(content(source), content(target))


def says_the_same(source: str, target: str) -> bool:
    """Tell whether two names say the same with the same numbers, but for a prefix that one of them has.

    >>> says_the_same("lora_unet_conv_in.lora_A.weight", "conv_in.lora_A.weight"), says_the_same("conv2.w", "conv1.w")
    (True, False)
    """
    ours, theirs = content(source), content(target)
    n_shared = min(len(ours), len(theirs))
    counted = [[word for word in words(name) if word.isdigit()] for name in (source, target)]
    return (
        counted[0] == counted[1] and ours[len(ours) - n_shared :] == theirs[len(theirs) - n_shared :] and n_shared > 0
    )


def _overlap(ours: Sequence[str], theirs: Sequence[str]) -> tuple[float, tuple[str, ...], tuple[str, ...]]:
    left = list(theirs)
    alone = []
    for word in ours:
        if word in left:
            left.remove(word)
            continue
        found = next((other for other in left if _alike(word, other)), None)
        if found is None:
            alone.append(word)
        else:
            left.remove(found)
    n_words = len(ours) + len(theirs)
    if not n_words:
        return 0.0, (), ()
    return (n_words - len(alone) - len(left)) / n_words, tuple(alone), tuple(left)


def _alike(word: str, other: str) -> bool:
    if min(len(word), len(other)) < 3:
        return False
    return word.startswith(other) or other.startswith(word) or fuzz.ratio(word, other) >= 80
