"""Where a part stands among its like in one block: first or second norm, gate or up, number one or two.

Parts of equal shape in one block are told apart by what their names say of their place. Names in words
(``input_layernorm``) and names with numbers (``norm_1``) meet here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ckptnames.inference.matching.units import numbers_in, template_of
from ckptnames.inference.naming.vocabulary import PLAIN_LIST
from ckptnames.inference.naming.words import meaning, words

BEFORE_ATTENTION, AFTER_ATTENTION, CROSS, BEFORE_MLP, AFTER_MLP = range(1, 6)
"""The places of the norms of a transformer block; a block with two has the first and the fourth."""

_OF_TWO = (BEFORE_ATTENTION, BEFORE_MLP)
_OF_THREE = (BEFORE_ATTENTION, CROSS, BEFORE_MLP)

_ATTENTION = frozenset(("sa", "attn", "attention"))
_MLP = frozenset(("ffn", "mlp", "feedforward", "ff", "ffw"))
_TO_OUTPUT = re.compile(r"ups?|dec(?:oder)?s?|deconvs?|refine\w*|fusions?")
_SCALE = frozenset(("scale", "ls", "gamma", "lambda", "layerscale"))
_SANDWICH = re.compile(r"post[_.]?(?:feedforward|ffw|mlp|ffn)|pre[_.]?(?:feedforward|ffw)")
_IN_SEQUENCE = re.compile(r"([^0-9]*\.|)([0-9]+)(?:\.[^0-9]*)?")
_NUMBERED_LINEAR = re.compile(r"(?:.*[._])?(w|wi_?)([0-9])")


def is_sandwich(block: Collection[str]) -> bool:
    """Tell whether a block has norms before and after its parts, by the names of its parts."""
    return any(map(_SANDWICH.search, block))


def is_norm(name: str) -> bool:
    """Tell whether a name is that of a norm."""
    return "norm" in meaning(name).get("sort", ())


def norm_places(names: Collection[str], block: Collection[str], sandwich: bool = False) -> dict[str, int]:
    """Give the place of each norm whose name says it; ``block`` has the names of all parts of the block.

    With ``sandwich`` there are norms before and after each part, so that a name that says neither says nothing.

    >>> norm_places(["input_layernorm", "ln_2"], ["input_layernorm", "ln_1", "ln_2"])
    {'input_layernorm': 1, 'ln_2': 4}
    >>> norm_places(["layer.1.layer_norm"], ["layer.1.layer_norm", "layer.1.EncDecAttention.q"])
    {'layer.1.layer_norm': 3}
    """
    found = {
        name: place
        for name in names
        if (place := _norm_place(name, sandwich) or (None if sandwich else _by_company(name, block)))
    }
    numbered = _numbered([name for name in block if is_norm(name)], block)
    return found | {name: place for name, place in numbered.items() if name in names and name not in found}


def scale_places(names: Collection[str]) -> dict[str, int]:
    """Give the place of the scale of each branch of a block, by the branch that its name speaks of.

    >>> scale_places(["mlp_layer_scale", "self_attn_layer_scale", "ls_1"])
    {'mlp_layer_scale': 4, 'self_attn_layer_scale': 1}
    """
    found = {name: meaning(name).get("sort", frozenset()) for name in names if is_scale(name)}
    return {name: BEFORE_MLP if "mlp" in sort else BEFORE_ATTENTION for name, sort in found.items() if len(sort) == 1}


def is_scale(name: str) -> bool:
    """Tell whether a name is that of a scale of a residual branch."""
    return not _SCALE.isdisjoint(words(name))


def _by_company(name: str, block: Collection[str]) -> int | None:
    """Place a norm by what else stands in its own sub-layer."""
    layer = name.rpartition(".")[0]
    if not layer or not is_norm(name):
        return None
    beside = [other for other in block if other.startswith(f"{layer}.") and other != name]
    sorts = {sort for other in beside for sort in meaning(other).get("sort", ())}
    kinds = {kind for other in beside for kind in meaning(other).get("attention", ())}
    if sorts == {"mlp"}:
        return BEFORE_MLP
    if sorts == {"attention"} and len(kinds) < 2:
        return CROSS if kinds == {"cross"} else BEFORE_ATTENTION
    return None


def _norm_place(name: str, sandwich: bool) -> int | None:
    if not is_norm(name):
        return None
    said, found = meaning(name), {word for word in words(name) if not word.isdigit()}
    is_after = not found.isdisjoint(("post", "after"))
    if "cross" in said.get("attention", ()):
        return CROSS
    # Where there are norms before and after, a name that says neither could be either.
    is_told = not sandwich or is_after or not found.isdisjoint(("pre", "before"))
    if not found.isdisjoint(_MLP) or not said["sort"].isdisjoint(("mlp", "experts")):
        return AFTER_MLP if is_after else BEFORE_MLP if is_told else None
    if not found.isdisjoint(_ATTENTION) or "attention" in said["sort"]:
        if is_after:
            return AFTER_ATTENTION if sandwich else BEFORE_MLP
        return BEFORE_ATTENTION if is_told else None
    begins = {words(segment)[0] for segment in (name, name.rpartition(".")[2]) if words(segment)}
    if "before" in found or "input" in begins:
        return BEFORE_ATTENTION
    if not found.isdisjoint(("after", "final")) or "output" in begins:
        return BEFORE_MLP
    return None


def _numbered(names: Sequence[str], block: Collection[str]) -> dict[str, int]:
    """Place norms that are told apart by one number alone: two of them, or the three of torch's own decoder layer.

    Other decoders of three number the norms in the order of their parts, cross-attention first in some.
    """
    by_template: dict[tuple[str, int], list[str]] = {}
    for name in names:
        by_template.setdefault((template_of(name), len(numbers_in(name))), []).append(name)
    places: dict[str, int] = {}
    for group in by_template.values():
        is_torch = any(words(name)[:2] == ("multihead", "attn") for name in block)
        known = {len(_OF_TWO): _OF_TWO, len(_OF_THREE): _OF_THREE if is_torch else ()}.get(len(group), ())
        ordered = in_order(group) if known else None
        if ordered:
            places |= dict(zip(ordered, known, strict=True))
    return places


def in_order(names: Sequence[str]) -> list[str] | None:
    """Order names that are one template with one number that counts up; ``None`` where they are not.

    >>> in_order(["mlp.fc2", "mlp.fc1"]), in_order(["w1", "w3"])
    (['mlp.fc1', 'mlp.fc2'], None)
    """
    numbers = [numbers_in(name) for name in names]
    if len({template_of(name) for name in names}) != 1 or len(set(map(len, numbers))) != 1:
        return None
    varying = [at for at in range(len(numbers[0])) if len({found[at] for found in numbers}) > 1]
    if len(varying) != 1:
        return None
    counted = sorted((found[varying[0]], name) for found, name in zip(numbers, names, strict=True))
    first = counted[0][0]
    if [number for number, _ in counted] != list(range(first, first + len(counted))):
        return None
    return [name for _, name in counted]


def in_sequence(names: Sequence[str]) -> list[str] | None:
    """Order names that stand in one ``nn.Sequential``, whose numbers count what has no parameters too.

    >>> in_sequence(["net.2", "net.0.proj"]), in_sequence(["w1", "w3"])
    (['net.0.proj', 'net.2'], None)
    """
    matched = [_IN_SEQUENCE.fullmatch(name) for name in names]
    found = {int(match[2]): name for match, name in zip(matched, names, strict=True) if match}
    if len(found) < len(names) or len({match[1] for match in matched if match}) != 1:
        return None
    return [name for _, name in sorted(found.items())]


def may_count_backwards(source: str, target: str) -> bool:
    """Tell whether two lists of equal parts may be counted from two ends: what leads to the output often is.

    >>> may_count_backwards("refinenet1.conv", "fusion.layers.0.conv"), may_count_backwards("up.0.conv", "up.0.conv1")
    (True, False)
    """
    sides = [{_list_word(segment, before) for before, segment in _numbered_segments(name)} for name in (source, target)]
    odd = [word for word in sides[0] ^ sides[1] if not PLAIN_LIST.search(word)]
    return bool(odd) and any(map(_TO_OUTPUT.fullmatch, (*words(source), *words(target))))


def _numbered_segments(name: str) -> list[tuple[str, str]]:
    segments = name.split(".")
    return [pair for pair in zip(["", *segments], segments, strict=False) if re.search("[0-9#]", pair[1])]


def _list_word(segment: str, before: str) -> str:
    """Give the name of a list, which a bare number has before it."""
    return "_".join(word for word in words(segment) or words(before) if not word.isdigit()) or before


def has_role_number(segment: str) -> bool:
    """Tell whether the number in a word stands for a role and counts nothing, so that it never shifts: `w1` to `w3`.

    >>> has_role_number("w2"), has_role_number("conv2")
    (True, False)
    """
    return _NUMBERED_LINEAR.fullmatch(segment) is not None


def gate_and_up(names: Sequence[str], block: Collection[str] = ()) -> tuple[str, str] | None:
    """Tell the gate from the up projection of a gated feed-forward block; ``None`` where two names do not say it.

    ``w1`` is the gate and ``w3`` of its shape the up projection, as ``wi_0`` and ``wi_1`` are; ``w2`` is, where the
    ``block`` has a ``w3`` for the way down. ``fc_1`` and ``fc_2`` are used both ways, and say nothing.

    >>> gate_and_up(["mlp.up_proj", "mlp.gate_proj"]), gate_and_up(["w3", "w1"]), gate_and_up(["fc_1", "fc_2"])
    (('mlp.gate_proj', 'mlp.up_proj'), ('w1', 'w3'), None)
    >>> gate_and_up(["w1", "w2"], ["w1", "w2", "w3"]), gate_and_up(["w1", "w2"])
    (('w1', 'w2'), None)
    """
    if len(names) != 2:
        return None
    gates = [name for name in names if not {"gate", "g"}.isdisjoint(words(name)[-2:])]
    ups = [name for name in names if "up" in words(name)[-2:]]
    if len(gates) == 1 and ups in ([], [name for name in names if name not in gates]):
        return gates[0], next(name for name in names if name != gates[0])
    if len(ups) == 1 and not gates:
        return next(name for name in names if name != ups[0]), ups[0]
    matched = [_NUMBERED_LINEAR.fullmatch(name) for name in names]
    first, second = matched
    if first and second and first[1] == second[1]:
        low, high = sorted(names)
        numbers = low[-1] + high[-1]
        if numbers in ("01", "13") or (numbers == "12" and f"{low[:-1]}3" in block):
            return low, high
    return None
