"""Two checkpoints that hold the same weights under other names: what the tensors hold says which is which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ckptnames.inference.cautions import Caution
from ckptnames.inference.inference import Answer, Inference
from ckptnames.inference.matching.filling import Filling
from ckptnames.inference.matching.neighbours import Group, Neighbours
from ckptnames.inference.search import Decided, Search
from ckptnames.inference.undecided import Ambiguity
from ckptnames.inference.wrappers.flattened import unflattened
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Rules
from ckptnames.rules.pattern import quoted
from ckptnames.rules.recipes import narrowed
from ckptnames.values.digests import Alike, Progress, alike
from ckptnames.values.opening import Payloads

_SAME = "they hold the same values"
_AROUND = "they hold the same values, as others do; what stands around them tells"
_BY_NAME = "they hold the same values, as others do; their names tell"
_UNTOLD = "their values are the same, and nothing around them or in their names tells which is which"
_MOST_LINES = 6


def inferred_by_value(
    source: Manifest,
    target: Manifest,
    payloads: Payloads,
    given: Rules | None = None,
    progress: Progress | None = None,
) -> Inference:
    """Find the rules between two checkpoints that hold the same weights; lines of ``given`` are taken as decided.

    Names decide only between tensors that hold the same. Raises ``cannot-read`` and ``source-changed``.
    """
    decided = Decided(source, target, None if given is None else narrowed(given, source))
    groups = alike(payloads.source, decided.source, payloads.target, decided.target, progress)
    flat = unflattened(Manifest(decided.source), Manifest(decided.target))
    if flat is not None and any(key in flat.names for each in groups if not each.is_constant for key in each.sources):
        # With their dots, names tell what stands around what.
        decided = Decided(source, target, Rules([*decided.given.stages, *flat.rules.stages]))
        groups = [_renamed(each, flat.names, decided) for each in groups]
    else:
        flat = None
    ties = [[decided.names[key] for key in tie if key in decided.names] for tie in source.ties]
    found = _ByValue(decided.source, decided.target, groups, ties)
    return replace(Answer(source, target, decided, found).inference(), by_value=True, flattened=flat)


def _renamed(group: Alike, names: Mapping[str, str], decided: Decided) -> Alike:
    """Call keys as they are called with their dots, and leave out those that are decided by that."""
    sources = (names.get(key, key) for key in group.sources)
    return group._replace(
        sources=tuple(key for key in sources if key in decided.source),
        targets=tuple(name for name in group.targets if name in decided.target),
    )


class _ByValue:
    """What values say, in the place of a search by names."""

    def __init__(
        self,
        source: Mapping[str, TensorInfo],
        target: Mapping[str, TensorInfo],
        groups: Sequence[Alike],
        ties: Iterable[Sequence[str]],
    ) -> None:
        self.source, self.target = source, target
        self.filled = Filling({}, {}, {})
        self.neighbours = Neighbours()
        first_of = {key: tie[0] for tie in ties for key in tie}
        shared: list[Group] = []
        for group in groups:
            if len(group.sources) == 1 and (len(group.targets) == 1 or not group.is_constant):
                self._fill([(group.sources[0], name) for name in group.targets], _SAME)
            elif len(group.targets) == 1 and len({first_of.get(key, key) for key in group.sources}) == 1:
                # Keys that are one tensor in the source: each of them is right.
                self._fill([(group.sources[0], group.targets[0])], _SAME)
            else:
                shared.append((group.sources, group.targets))
        left = self._settled(shared, _AROUND)
        self.left = self._settled(self._by_name(left), _AROUND) if left else []

    def _fill(self, pairs: Iterable[tuple[str, str]], why: str) -> None:
        for key, name in pairs:
            self.neighbours.pair(key, name)
            self.filled.pairs[name], self.filled.why[name] = key, why

    def _settled(self, groups: Sequence[Group], why: str) -> list[Group]:
        left = self.neighbours.settle(groups)
        for name, key in self.neighbours.pairs.items():
            if name not in self.filled.pairs:
                self.filled.pairs[name], self.filled.why[name] = key, why
        return left

    def _by_name(self, left: Sequence[Group]) -> list[Group]:
        """Take what names say of tensors that hold the same."""
        by_name = Search(self.source, self.target).filled.pairs
        for sources, targets in left:
            self._fill([(by_name[name], name) for name in targets if by_name.get(name) in sources], _BY_NAME)
        used = set(self.filled.pairs.values())
        return [
            ([key for key in sources if key not in used], [name for name in targets if name not in self.filled.pairs])
            for sources, targets in left
        ]

    def questions(self) -> list[Ambiguity]:
        """Ask what neither values nor names told."""
        return [
            Ambiguity(
                tuple(sources),
                tuple(targets),
                _UNTOLD,
                tuple(f"{quoted(key)} -> {quoted(targets[0])}" for key in sources[:_MOST_LINES]),
            )
            for sources, targets in self.left
        ]

    def cautions(self, target: Manifest) -> tuple[Caution, ...]:  # noqa: ARG002
        """Give none: what holds the same is laid out the same."""
        return ()
