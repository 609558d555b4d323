"""What is inferred beside given lines: as without them, and anew only where a line takes part.

Two searches are held against each other. The *whole* one looks at everything under its own names, as if nothing were
given, so that what is decided still stands around the rest. The one of the rest *alone* looks at what the lines leave,
under the names that they made. The whole one is believed, but for pairs and questions of which a line speaks: what else
was in these is answered by the rest alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptnames.inference.cautions import Caution, cautions
from ckptnames.inference.matching.filling import Filling
from ckptnames.inference.search import Decided, Search
from ckptnames.inference.undecided import Ambiguity
from ckptnames.manifest import Manifest, TensorInfo


class InContext:
    """A search among what given lines leave, in names that these lines made."""

    source: Mapping[str, TensorInfo]
    filled: Filling

    def __init__(self, source: Manifest, target: Manifest, decided: Decided) -> None:
        self._manifest, self._decided = source, decided
        self._alone = Search(decided.source, decided.target)
        self.source = decided.source
        # Here all has its own name, with which what is decided fits what stands around it.
        self._whole = Search({key: source[key] for key in decided.names}, dict(target.items()))
        # What the rest alone answers, in the names that the lines made.
        self._asked_sources: set[str] = set()
        self._asked_targets: set[str] = set()
        self._untouched = [each for each in self._whole.questions(decided.names) if not self._takes_part(each)]
        self.filled = Filling(*self._pairs())

    def _takes_part(self, question: Ambiguity) -> bool:
        """Tell whether a given line speaks of what is asked; notes what else is, for the rest alone to answer."""
        landed, fixed = self._decided.landed, self._decided.fixed
        touched = any(name in landed for name in question.targets) or any(name in fixed for name in question.sources)
        if touched:
            self._note(question.sources, question.targets)
        return touched

    def _note(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        self._asked_sources.update(sources)
        self._asked_targets.update(targets)

    def _pairs(self) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        names, landed, fixed = self._decided.names, self._decided.landed, self._decided.fixed
        pairs: dict[str, str] = {}
        why: dict[str, str] = {}
        for name, key in self._whole.filled.pairs.items():
            if name in landed or names[key] in fixed:
                self._note([names[key]], [name])
            else:
                pairs[name], why[name] = names[key], self._whole.filled.why[name]
        used = set(pairs.values())
        for name, found in self._alone.filled.pairs.items():
            asked = name in self._asked_targets and found in self._asked_sources
            if asked and name not in pairs and found not in used:
                pairs[name], why[name] = found, self._alone.filled.why[name]
        turned = {
            name: names[key]
            for name, key in self._whole.filled.transposed.items()
            if name not in landed and names[key] not in fixed
        }
        return pairs, why, turned

    def questions(self) -> list[Ambiguity]:
        """Ask what is still open, of what the given lines speak of and of the rest."""
        left = [each for each in self._alone.questions() if self._asked_targets.issuperset(each.targets)]
        seen = {each.lines for each in self._untouched}
        asked = [*self._untouched, *(each for each in left if each.lines not in seen)]
        return [each for each in asked if self.filled.pairs.keys().isdisjoint(each.targets)]

    def cautions(self, target: Manifest) -> tuple[Caution, ...]:
        """Warn of all pairs, of the given ones too, under the names of the source."""
        origins = self._decided.origins
        pairs = {name: origins[key] for name, key in self.filled.pairs.items()}
        return cautions({**self._decided.pairs, **pairs}, self._manifest, target)
