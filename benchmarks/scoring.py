"""What an inferred mapping is worth, held against what the official conversion does.

right    a rename that was answered with its source, or with one that holds the same weight
wrong    a target answered with a source that has no part in it: the worst outcome
false    a target answered that nothing fills; `num_batches_tracked` aside, which some converters drop
unsafe   a target answered as a plain rename, without a caution, whose values need another layout in the same shape
vain     a rename that carries a caution
open     a rename that is not answered
exact    every rename is right, and nothing is wrong, false or unsafe

A target that another operation makes (a split, a concatenation) is not counted where one of its sources is answered,
and wrong where another is. Where a source holds two whole copies, either whole copy is right, and so is no answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchmarks.zoo import RENAME, Copies, Pair, Truth
from ckptnames.manifest import Manifest

_LAID_OUT_ANEW = ("transpose", "other")
_COUNTER = "num_batches_tracked"


@dataclass(slots=True)
class Score:
    """How the keys of one answer came out."""

    renames: int = 0
    right: int = 0
    wrong: int = 0
    false: int = 0
    unsafe: int = 0
    vain: int = 0
    open: int = 0

    @property
    def is_exact(self) -> bool:
        return self.right == self.renames and not (self.wrong or self.false or self.unsafe)

    @property
    def recall(self) -> float:
        """The share of the renames that is right; whole where there are none."""
        return self.right / self.renames if self.renames else 1.0


def score(
    pair: Pair,
    answer: Mapping[str, str],
    cautioned: Collection[str],
    source: Manifest,
    target: Manifest,
    is_reordered: bool = False,
) -> Score:
    """Score a mapping of target keys to source keys, and the targets that carry a caution.

    Where the source was put in another order, what only the saved order tells does not count.
    """
    if pair.copies is not None:
        if not answer:
            return Score()
        answer = _in_taken_copy(answer, pair.copies)
    skipped = pair.ignored | (pair.order_only if is_reordered else frozenset())
    held = {key: group[0] for group in pair.aliases for key in group}
    found = Score()
    for name, truth in pair.truth.items():
        if name not in skipped:
            right = truth.sources | (pair.alternatives or {}).get(name, frozenset())
            needs_layout = _is_laid_out_anew(truth, name, source, target)
            key = answer.get(name)
            is_right = key is not None and held.get(key, key) in {held.get(other, other) for other in right}
            _count(found, truth.op == RENAME, key, is_right, name in cautioned, needs_layout)
    found.false = sum(name in answer and name not in skipped and not name.endswith(_COUNTER) for name in pair.unfilled)
    return found


def _count(
    found: Score, is_rename: bool, key: str | None, is_right: bool, is_cautioned: bool, needs_layout: bool
) -> None:
    found.renames += is_rename
    if key is None:
        found.open += is_rename
    elif is_right:
        found.right += is_rename
        found.vain += is_rename and is_cautioned
        found.unsafe += needs_layout and not is_cautioned
    else:
        found.wrong += 1


def _in_taken_copy(answer: Mapping[str, str], copies: Copies) -> Mapping[str, str]:
    """Write an answer that keeps to the other copy as if it kept to the one that the truth takes; no mixture."""
    segments = {name: key.split(".") for name, key in answer.items()}
    if any(copies.taken in path for path in segments.values()):
        return answer
    return {
        name: ".".join(copies.taken if segment == copies.other else segment for segment in path)
        for name, path in segments.items()
    }


def _is_laid_out_anew(truth: Truth, name: str, source: Manifest, target: Manifest) -> bool:
    """Tell whether a target's values are its one source's in another order, though the shape is the same."""
    return (
        truth.op in _LAID_OUT_ANEW
        and len(truth.sources) == 1
        and all(source[key].shape == target[name].shape for key in truth.sources)
    )
