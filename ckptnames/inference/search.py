"""The search by names and shapes, and what given lines take out of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ckptnames.inference.cautions import Caution, cautions
from ckptnames.inference.matching.alignment import Alignment
from ckptnames.inference.matching.copies import copies_in, superseded
from ckptnames.inference.matching.filling import Filling, filling
from ckptnames.inference.matching.orientation import is_turned, turned
from ckptnames.inference.matching.units import tree_of
from ckptnames.inference.naming.company import told_by_members
from ckptnames.inference.undecided import Ambiguity, ambiguities
from ckptnames.inference.wrappers.pairing import fits
from ckptnames.manifest import Manifest, TensorInfo
from ckptnames.rules import Rules
from ckptnames.rules.rule import OPEN
from ckptnames.rules.ruleset import Stage


class Decided:
    """What given lines decide, and the two sides without that."""

    def __init__(self, source: Manifest, target: Manifest, given: Rules | None) -> None:
        self.given = _without_open(given or Rules())
        self.names: dict[str, str] = {}
        """Each source key that is not left out, and the name that the given lines make of it."""
        self.landed: dict[str, str] = {}
        """Each name of the target that these lines give to a key, with the first such key."""
        self.collide = False
        """True where they give one name to several."""
        for key in source:
            for fate in self.given.fates(key):
                if fate.name is not None:
                    self.names[key] = fate.name
                    if fate.steps and not fate.is_open and fate.name in target:
                        self.collide |= self.landed.setdefault(fate.name, key) != key
        self.pairs = {name: key for name, key in self.landed.items() if fits(source[key], target[name])}
        """Those of them whose tensor has the shape that is wanted."""
        self.fixed = {self.names[key]: key for key in self.landed.values()}
        """What the keys are called that these lines decide; whatever else is called so cannot be told from them."""
        self.origins = {name: key for key, name in self.names.items()} | self.fixed
        self.source = {name: source[key] for key, name in self.names.items() if name not in self.fixed}
        self.target = {name: info for name, info in target.items() if name not in self.landed}


def _without_open(rules: Rules) -> Rules:
    """Leave out the lines that decide nothing."""
    stages = (Stage([rule for rule in stage.rules if rule.action != OPEN], stage.name) for stage in rules.stages)
    return Rules(stages, rules.name)


class Search:
    """The search itself, once more with the weights turned where that is what the shapes say."""

    def __init__(
        self, source: Mapping[str, TensorInfo], target: Mapping[str, TensorInfo], withheld: Collection[str] = ()
    ) -> None:
        self.source, self.target, self.withheld = source, target, withheld
        self._spellings = told_by_members(source, target), told_by_members(target, source)
        self.alignment, self.filled = self._run({})
        weights = (
            (key, name, source[key].shape, target[name].shape)
            for match in self.alignment.matches.values()
            if (key := match.source.keys.get("weight")) and (name := match.target.keys.get("weight"))
        )
        if is_turned(weights):
            self.alignment, self.filled = self._run(turned(source))

    def _run(self, other: Mapping[str, TensorInfo]) -> tuple[Alignment, Filling]:
        sources = {**self.source, **other}
        ours = tree_of({key: info for key, info in sources.items() if key not in self.withheld}, self._spellings[0])
        theirs = tree_of(self.target, self._spellings[1])
        self.copies = copies_in(ours, theirs)
        alignment = Alignment(ours, theirs)
        for node in (*superseded(ours), *(node for found in self.copies for node in found.nodes)):
            for unit in node.units:
                alignment.withhold(unit)
        alignment.run()
        return alignment, filling(alignment, self.source, self.target, other)

    def questions(self, names: Mapping[str, str] | None = None) -> list[Ambiguity]:
        """Ask what names and shapes leave open; ``names`` are what the source keys are called when that is decided."""
        return ambiguities(self.copies, self.alignment, names or {key: key for key in self.source})

    def cautions(self, target: Manifest) -> tuple[Caution, ...]:
        """Warn of pairs whose values may be laid out in different ways."""
        return cautions(self.filled.pairs, self.source, target)
