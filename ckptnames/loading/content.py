"""What a load never does, whatever it may leave open: names that fit, and values that are not what the model means."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from torch import nn

from ckptnames.errors import CannotRename, MetaModel, TiedValuesDiffer
from ckptnames.inference.wrappers.obstacles import QUANTISED, obstacles
from ckptnames.loading.sources import Source
from ckptnames.manifest import Manifest
from ckptnames.prediction.walk import modules
from ckptnames.rules.siblings import companions
from ckptnames.wording import counted


def refuse_content(source: Manifest, target: Manifest, used: Collection[str], *, fills_all: bool) -> None:
    """Refuse a source of which not all is ``used`` where no rename turns it into the model's weights.

    What ``fills_all`` of the model is weights, if no scales are left over. Raises ``flat-parameters``,
    ``zero-placeholders``, ``quantised-weights``.
    """
    found = [each for each in obstacles(source, target) if each.code == QUANTISED or not fills_all]
    for obstacle in found[:1]:
        raise CannotRename.by_code(obstacle.code)(source.name, obstacle.message, obstacle.keys, obstacle.help)
    parted = [each.key for each in companions(source) if each.key not in used and each.owner in used]
    if parted:
        raise CannotRename.by_code(QUANTISED)(
            source.name,
            f"{counted(len(parted), 'weight')} would be loaded without the scales that give them meaning",
            parted,
            "build the model quantised in the same way, or dequantise the checkpoint with the library that wrote it",
        )


class Tie(NamedTuple):
    """Names of one tensor in a model, and the tensors of a source, more than one, that would fill it."""

    names: tuple[str, ...]
    keys: tuple[str, ...]


def contested_ties(source: Manifest, target: Manifest, matched: Mapping[str, str]) -> list[Tie]:
    """Find the tensors of the model that several tensors of the source would fill.

    >>> from ckptnames.manifest import TensorInfo
    >>> keys = dict.fromkeys("ab", TensorInfo("F32", (1,), 4))
    >>> contested_ties(Manifest(keys), Manifest(keys, ties=(("a", "b"),)), {"a": "a", "b": "b"})
    [Tie(names=('a', 'b'), keys=('a', 'b'))]
    """
    tied = {key: number for number, group in enumerate(source.ties) for key in group}
    found = []
    for group in target.ties:
        keys = [matched[name] for name in group if name in matched]
        distinct = {tied.get(key, key): key for key in keys}
        if len(distinct) > 1:
            found.append(Tie(group, tuple(distinct.values())))
    return found


def check_ties(opened: Source, target: Manifest, matched: Mapping[str, str]) -> None:
    """Hold that what is one tensor in the model has one value in the source; raises ``tied-values-differ``."""
    for tie in contested_ties(opened.manifest, target, matched):
        if not all(opened.is_equal(tie.keys[0], key) for key in tie.keys[1:]):
            raise TiedValuesDiffer(opened.manifest.name, *tie)


def refuse_misfits(source: Manifest, target: Manifest, matched: Mapping[str, str], misfits: Mapping[str, str]) -> None:
    """Hold that what is one tensor in the model has one shape in the source: ``misfits`` are keys of another one.

    A name of another shape would be said to keep what another name has written. Raises ``tied-values-differ``.
    """
    for group in target.ties:
        keys = [matched[name] for name in group if name in matched]
        odd = [misfits[name] for name in group if name in misfits]
        if keys and odd:
            raise TiedValuesDiffer(source.name, group, [keys[0], *odd])


def refuse_without_memory(source: Manifest, on_meta: Collection[str], matched: Collection[str]) -> None:
    """Hold that every tensor of a model has memory after the load; raises ``meta-model``."""
    left = [key for key in on_meta if key not in matched]
    if left:
        raise MetaModel(source.name, left)


def unsaved_on_meta(model: nn.Module) -> list[str]:
    """Say of buffers that are not saved that they have no values yet."""
    found = [
        f"{path}.{name}" if path else name
        for path, module in modules(model)
        for name in module._non_persistent_buffers_set
        if (buffer := module._buffers.get(name)) is not None and buffer.is_meta
    ]
    are = "is" if len(found) == 1 else "are"
    return [f"{', '.join(found[:3])} {are} not saved, and still without values"] if found else []
