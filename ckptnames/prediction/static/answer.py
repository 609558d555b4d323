"""The answer: what a model saves, what of it is open and why, and which line registers what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.keys import join
from ckptnames.manifest import Manifest, OpenPart, TensorInfo
from ckptnames.prediction.static.asking import Followed, follow
from ckptnames.prediction.static.listing import MARK, Key, Open, listed
from ckptnames.prediction.static.values import Module, Tensor, Unknown

_SIZES = dict(DTYPES.values())


class Answer:
    """What is known of a model from its source.

    >>> answer = Answer("fixtures/teaching/cnn.py:CNN")
    >>> list(answer.manifest())[:2], answer.manifest().open
    (['conv1.weight', 'conv1.bias'], ())
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.followed: Followed = follow(text)

    @cached_property
    def entries(self) -> list[Key | Open]:
        """What is certain, and what is open, in the order in which it is saved."""
        return list(listed(self.followed.value, self.followed.machine.spoiled))

    def manifest(self, wrap: Sequence[str] = ()) -> Manifest:
        """Give the manifest: the keys that are certain, and the parts that are open."""
        if wrap:
            return self._wrapped(wrap)
        tensors = {entry.key: self._info(entry.value) for entry in self.entries if isinstance(entry, Key)}
        opened = [(entry.path, entry.why, entry.all_of_it) for entry in self.entries if isinstance(entry, Open)]
        return self._manifest(tensors, self._ties(), opened)

    def _manifest(
        self,
        tensors: dict[str, TensorInfo],
        ties: Iterable[tuple[str, ...]],
        opened: Iterable[tuple[str, Unknown, bool]],
        notes: Sequence[str] = (),
    ) -> Manifest:
        parts = tuple(_part(*each) for each in opened)
        value = self.followed.value
        return Manifest(
            tensors=tensors,
            name=value.cls.name if isinstance(value, Module) else self.followed.operand.name,
            format="model source",
            ties=tuple(ties),
            notes=(*map(str, parts), *notes, *self.followed.machine.notes),
            partial=bool(parts),
            open=parts,
        )

    def _info(self, value: Any) -> TensorInfo:
        if not isinstance(value, Tensor):
            return TensorInfo(None, None)
        dtype = spelled(value.dtype)
        if value.shape is None or dtype is None:
            return TensorInfo(dtype, value.shape)
        _, shape, strides, *_ = self.followed.machine.torch.layout(value)
        n_elements = 1
        for size in shape:
            n_elements *= size
        return TensorInfo(dtype, tuple(shape), n_elements * _SIZES.get(dtype, 1), tuple(strides))

    def _ties(self) -> list[tuple[str, ...]]:
        room = self.followed.machine.torch
        groups: dict[object, list[str]] = {}
        for entry in self.entries:
            value = entry.value if isinstance(entry, Key) else None
            if isinstance(value, Tensor) and isinstance(entry, Key):
                view: object = id(value)
                if value.shape is not None:
                    if 0 in value.shape:
                        continue
                    view = (id(value.storage), room.layout(value))
                groups.setdefault(view, []).append(entry.key)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    # With torch, a model that was followed can be wrapped, explained and examined as one that was built.

    @cached_property
    def shells(self) -> Any:
        """Makes the shells of the model; torch has to be there."""
        from ckptnames.prediction.static.shells import Shells

        return Shells(self.followed.machine.torch)  # type: ignore[arg-type]

    @cached_property
    def model(self) -> Any:
        """The model as a module of torch's, without its code."""
        return self.shells.of(self.followed.value if self.followed.machine.spoiled is None else None)

    def _wrapped(self, wrap: Sequence[str]) -> Manifest:
        from ckptnames.prediction.live import answered, predict_live
        from ckptnames.prediction.wrappers import says_of, wrapped

        names = [wrap] if isinstance(wrap, str) else list(wrap)
        root = wrapped(self.model, names)
        found = predict_live(root)
        reasons = {}
        for entry in answered(root)[0]:
            if entry.leaf == MARK:
                reasons[entry.key.removesuffix(MARK).removesuffix(".")] = self.shells.reason_of(entry.owner)
        opened = [entry for entry in self.entries if isinstance(entry, Open)]
        tensors = {key: info for key, info in found.items() if not key.endswith(MARK)}
        parts = [(path, why or opened[0].why, True) for path, why in reasons.items()]
        return self._manifest(tensors, found.ties, parts, says_of(names))


def spelled(dtype: Any) -> str | None:
    """Spell a dtype as manifests do; ``None`` for one that is not known."""
    if isinstance(dtype, Unknown) or dtype is None:
        return None
    name = str(dtype).rpartition(".")[2]
    return DTYPES[name][0] if name in DTYPES else name.upper()


def _part(path: str, why: Unknown, all_of_it: bool) -> OpenPart:
    place = why.place
    return OpenPart(join(path, MARK), why.reason, str(place) if place is not None else "", all_of_it)
