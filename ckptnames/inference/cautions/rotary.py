"""Rotary attention: two numbers that are turned together stand side by side, or in the two halves of a head.

Meta's code and torchtune's pair neighbouring numbers, Hugging Face's the halves; its converters permute the rows of
queries and keys.
"""

from __future__ import annotations

import re
from itertools import takewhile

from ckptnames.inference.cautions.caution import Caution, Renaming, Tensors
from ckptnames.inference.matching.units import template_of
from ckptnames.inference.naming.words import meaning, words

_INTERLEAVED = re.compile(r"(?:^|[./])(?:wq|wk|sa_norm|attention_norm|tok_embeddings)(?:[./]|$)")
"""Names of Meta's own code and of torchtune."""

_NUMBERED = re.compile(r"\.[0-9]+\.")
_LOW_RANK = {"a", "b"}


def rotary_layout(renaming: Renaming) -> Caution | None:
    """Meta's Llama pairs neighbouring numbers, Hugging Face's the two halves: queries and keys are permuted between."""
    source, target = renaming.source, renaming.target
    if _is_interleaved(source) == _is_interleaved(target):
        return None
    positioned, latent = _positioned(target), _latent(target)
    targets = tuple(
        name
        for name, key in renaming.mapping.items()
        if name != key
        and _is_query_or_key(name)
        and _is_query_or_key(key)
        and _list_of(name) not in positioned
        and _attention_of(name) not in latent
        and f"{name.rpartition('.')[0]}.bias" not in target
    )
    message = (
        "queries and keys of rotary attention: one side's names are those of Meta's or torchtune's code, which pairs "
        "neighbouring numbers of a head, the other's are not; where it pairs the two halves, the rows of each head "
        "have to be permuted"
    )
    return Caution("rotary-layout", targets, message) if targets else None


def _is_interleaved(tensors: Tensors) -> bool:
    return any(map(_INTERLEAVED.search, tensors))


def _positioned(tensors: Tensors) -> set[str]:
    """Name the lists of layers to whose input positions are added: such an attention is not rotary."""
    templates = {template_of(key): key for key in tensors}
    lists = {_list_of(key) for key in templates.values()} - {""}
    found: set[str] = set()
    for template, key in templates.items():
        if lists and "position" in meaning(template).get("embedding", ()):
            near = {name: _n_shared(name, key) for name in lists}
            found.update(name for name, length in near.items() if length == max(near.values()))
    return found


def _latent(tensors: Tensors) -> set[str]:
    """Name the attentions whose keys and values are of low rank, which are kept as they are by all who use them."""
    return {
        _attention_of(key)
        for key in tensors
        if "key value" in meaning(_module_of(key)).get("projection", ())
        and not _LOW_RANK.isdisjoint(words(_module_of(key)))
    }


def _attention_of(key: str) -> str:
    return key.rpartition(".")[0].rpartition(".")[0]


def _module_of(key: str) -> str:
    return key.rpartition(".")[0].rpartition(".")[2]


def _n_shared(name: str, key: str) -> int:
    """Count the segments that two names begin with."""
    same = (ours == theirs for ours, theirs in zip(name.split("."), key.split("."), strict=False))
    return sum(takewhile(bool, same))


def _list_of(key: str) -> str:
    """Give the path of the list of layers that a key stands in.

    >>> _list_of("model.layers.0.self_attn.q_proj.weight")
    'model.layers'
    """
    found = _NUMBERED.search(key)
    return key[: found.start()] if found else ""


def _is_query_or_key(key: str) -> bool:
    module = _module_of(key)
    said = meaning(module)
    # Queries and keys of low rank (q_a, q_b) are kept as they are by all who use them.
    return (
        said.get("projection") in (frozenset(("query",)), frozenset(("key",)))
        and "norm" not in said.get("sort", ())
        and _LOW_RANK.isdisjoint(words(module))
    )
