"""The tables of each library, as they stand in its code, as one kind of table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ckptnames.errors import CannotTranslate
from ckptnames.interop.entries import Entry, Renaming, Substitution, Template, Text
from ckptnames.interop.table import Table


def transformers_table(table: Mapping[str, str] | Iterable[Any], name: str = "transformers") -> Table:
    r"""Read a ``key_mapping``, a ``_checkpoint_conversion_mapping``, or a list of ``WeightRenaming`` of transformers 5.

    Elements of a list are its own objects or pairs of patterns. A ``WeightConverter`` is kept as an entry that changes
    values. Raises ``cannot-translate`` for kinds of entries that are not known.

    >>> transformers_table({r"^model\.": ""})("model.fc.weight")
    'fc.weight'
    """
    elements = table.items() if isinstance(table, Mapping) else table
    return Table("transformers", tuple(_renaming(element, name) for element in elements), name)


def _renaming(element: Any, name: str) -> Renaming:
    if isinstance(element, tuple | list):
        source, target = element
        return Renaming((source,), target)
    kind = type(element).__name__
    if kind not in ("WeightRenaming", "WeightConverter"):
        raise CannotTranslate(name, kind, "is a kind of entry of its own")
    if getattr(element, "scope_prefix", None) is not None:
        raise CannotTranslate(name, repr(element), "speaks of a part of the model only (scope_prefix)")
    sources = _patterns(element, "source_patterns")
    targets = _patterns(element, "target_patterns")
    operations = [type(each).__name__ for each in getattr(element, "operations", ())]
    if operations or len(targets) > 1:
        return Renaming(sources, targets[0], f"computes values ({', '.join(operations) or 'several targets'})")
    return Renaming(sources, targets[0])


def _patterns(element: Any, attribute: str) -> tuple[str, ...]:
    found = getattr(element, attribute)
    return (found,) if isinstance(found, str) else tuple(found)


def vllm_table(mapper: Any, name: str = "vLLM") -> Table:
    """Read a ``WeightsMapper`` of vLLM, or a mapping with its fields; a stacked entry is one that changes values.

    >>> vllm_table({"orig_to_new_prefix": {"model.": "language_model.model."}})("model.norm.weight")
    'language_model.model.norm.weight'
    """

    def field(which: str) -> Any:
        if isinstance(mapper, Mapping):
            return mapper.get(f"orig_to_new_{which}", {})
        return getattr(mapper, f"orig_to_new_{which}", {})

    entries: list[Entry] = [_renaming(element, name) for element in field("renaming")]
    entries += [Substitution(getattr(regex, "pattern", regex), new) for regex, new in field("regex").items()]
    entries += [Text(old, new, "substr") for old, new in field("substr").items()]
    for old, (new, shard) in field("stacked").items():
        entries.append(Text(old, new, "substr", f"puts a tensor into part {shard!r} of a larger one"))
    entries += [Text(old, new, "prefix") for old, new in field("prefix").items()]
    entries += [Text(old, new, "suffix") for old, new in field("suffix").items()]
    return Table("vllm", tuple(entries), name)


def torchtune_table(table: Mapping[str, str | None], name: str = "torchtune") -> Table:
    """Read a dict of torchtune: whole keys, ``{}`` for the number of a layer, ``None`` for what is left out.

    >>> torchtune_table({"layers.{}.attention.wq.weight": "layers.{}.attn.q_proj.weight"}).rules()
    Rules.parse('layers.{i:d}.attention.wq.weight -> layers.{i}.attn.q_proj.weight ?\\n')
    """
    return Table("torchtune", tuple(Template(old, new) for old, new in table.items()), name)


def mmengine_table(revise_keys: Sequence[tuple[str, str]], name: str = "mmengine") -> Table:
    r"""Read the ``revise_keys`` of mmengine: regular expressions, each replaced wherever it matches.

    >>> mmengine_table([(r"^module\.", "")])("module.fc.weight")
    'fc.weight'
    """
    return Table("mmengine", tuple(Substitution(old, new) for old, new in revise_keys), name)
