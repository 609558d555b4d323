"""The answer: what a model saves, what of it is open and why, and which line registers what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ckptnames.formats.torch_dtypes import DTYPES
from ckptnames.keys import join
from ckptnames.manifest import READ, Manifest, OpenPart, TensorInfo
from ckptnames.prediction.static.asking import Followed, follow
from ckptnames.prediction.static.listing import MARK, Key, Open, listed
from ckptnames.prediction.static.values import Tensor, Unknown

if TYPE_CHECKING:
    from ckptnames.prediction.doctor import Finding
    from ckptnames.prediction.origins import Step
    from ckptnames.prediction.static.shells import Shells

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
        """Give the manifest: the keys that are certain, and the parts that are open. Torch has to be there to wrap."""
        return (
            self._wrapped(wrap)
            if wrap
            else self._manifest(
                {entry.key: self._info(entry.value) for entry in self.entries if isinstance(entry, Key)},
                self._ties(),
                [entry for entry in self.entries if isinstance(entry, Open)],
                name=self.text,
            )
        )

    def _manifest(
        self,
        tensors: dict[str, TensorInfo],
        ties: Iterable[tuple[str, ...]],
        opened: Iterable[Open],
        notes: Sequence[str] = (),
        name: str = "",
    ) -> Manifest:
        parts = tuple(map(_part, opened))
        return Manifest(
            tensors=tensors,
            name=name,
            format=READ,
            ties=tuple(ties),
            notes=(*notes, *self.followed.machine.notes),
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
    def shells(self) -> Shells:
        """Makes the shells of the model; torch has to be there."""
        from ckptnames.prediction.static.shells import Shells

        return Shells(self.followed.machine.torch)  # type: ignore[arg-type]

    @cached_property
    def model(self) -> Any:
        """The model as a module of torch's, without its code."""
        return self.shells.of(self.followed.machine.spoiled or self.followed.value)

    def _wrapped(self, wrap: Sequence[str]) -> Manifest:
        from ckptnames.prediction.live import predict_live
        from ckptnames.prediction.wrappers import says_of, wrapped

        found = predict_live(wrapped(self.model, wrap))
        tensors = {key: info for key, info in found.items() if not _is_open(key)}
        # It has no name: that of the model would say less than what it is wrapped in.
        return self._manifest(tensors, found.ties, self._opened(wrap).values(), says_of(wrap))

    def _opened(self, wrap: Sequence[str]) -> dict[str, Open]:
        """Give the parts that are open by the key that stands for them, once the model is wrapped."""
        from ckptnames.prediction.live import answered
        from ckptnames.prediction.shadow import origin
        from ckptnames.prediction.wrappers import wrapped

        opened = {}
        for entry in answered(wrapped(self.model, wrap) if wrap else self.model)[0]:
            if _is_open(entry.key):
                found = self.shells.opening_of(origin(entry.owner))
                opened[entry.key] = found._replace(path=entry.key.removesuffix(MARK).removesuffix("."))
        return opened

    def explained(self, key: str | None = None, wrap: Sequence[str] = ()) -> dict[str, tuple[Step, ...]]:
        """Give for each key its segments, with what made each and the line that registers it.

        A key in a part that is open is answered with that part. Torch has to be there. Raises ``no-such-key``.
        """
        from ckptnames.prediction.origins import Step, explain

        opened = self._opened(wrap)
        for part in map(_part, opened.values()):
            if key is not None and part.all_of_it and part.covers(key):
                key = part.pattern
        found = explain(self.model, key, wrap=wrap, record=self.shells.record)
        for each, why in ((each, entry.why) for each, entry in opened.items() if each in found):
            found[each] = (*found[each][:-1], Step(MARK, "open", why.reason, why.place))
        return found

    def findings(self) -> list[Finding]:
        """Find what a reader of the code would trip over; torch has to be there."""
        from ckptnames.prediction.doctor import examine

        return examine(self.model, self.shells.record)


def _is_open(key: str) -> bool:
    return key.rpartition(".")[2] == MARK


def spelled(dtype: Any) -> str | None:
    """Spell a dtype as manifests do; ``None`` for one that is not known."""
    if isinstance(dtype, Unknown) or dtype is None:
        return None
    name = str(dtype).rpartition(".")[2]
    return DTYPES[name][0] if name in DTYPES else name.upper()


def _part(opened: Open) -> OpenPart:
    place = opened.why.place
    where = str(place) if place is not None else ""
    return OpenPart(join(opened.path, MARK), opened.why.reason, where, opened.all_of_it)
