"""A ``LoadReport`` on one screen: how much was loaded, under which rules, and what kept its value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ckptnames.folding import fold
from ckptnames.loading.loaded import LoadReport
from ckptnames.report.text import columns
from ckptnames.wording import counted, shape_text, shown

_MOST_LINES = 6


def load_text(report: LoadReport) -> str:
    """Say on one screen what a load did.

    >>> from torch import nn
    >>> from ckptnames.loading.load import load
    >>> print(load_text(load(nn.Linear(2, 2), nn.DataParallel(nn.Linear(2, 2)))), end="")
    loaded 2 of 2 keys
      2 keys  module.** -> **
    """
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: LoadReport) -> Iterator[str]:
    container = f"#{shown(report.container)}" if report.container else ""
    origin = f" from {shown(report.source)}{container}" if report.source or container else ""
    yield f"loaded {len(report.matched):,} of {counted(report.n_keys, 'key')}{origin}"
    reasons = Counter(report.renamed.values())
    yield from columns(
        [(f"  {counted(n, 'key')}", shown(reason)) for reason, n in reasons.most_common(_MOST_LINES)],
    )
    if len(reasons) > _MOST_LINES:
        yield f"  … under {len(reasons) - _MOST_LINES:,} more rules"
    yield from _casts(report)
    yield from _section("missing: kept the model's own values", ((key, "") for key in report.missing))
    mismatched = ((m.key, f"{shape_text(m.source)}, {shape_text(m.target)}") for m in report.mismatched)
    yield from _section("of another shape (checkpoint, model): kept the model's own values", mismatched)
    counted_already = {*report.missing, *(m.key for m in report.mismatched)}
    buffers = [(key, "") for key in report.kept if key not in counted_already]
    yield from _section("without weights in the checkpoint: kept the model's own values", buffers)
    yield from _section("unexpected: not loaded", ((key, "") for key in report.unexpected))
    yield from _section("not needed: no weights, or those of another key", ((key, "") for key in report.left_out))
    yield from (f"note: {shown(note)}" for note in report.notes)


def _casts(report: LoadReport) -> Iterator[str]:
    kinds = Counter((cast.source, cast.target) for cast in report.cast)
    for (source, target), n in kinds.most_common(_MOST_LINES):
        yield f"cast {counted(n, 'key')} from {source} to {target}"


def _section(title: str, items: Iterable[tuple[str, str]]) -> Iterator[str]:
    listed = list(items)
    if not listed:
        return
    groups = fold(listed)
    yield f"{title}: {counted(len(listed), 'key')}"
    yield from columns([(f"  {shown(group.pattern)}", group.label) for group in groups[:_MOST_LINES]])
    if len(groups) > _MOST_LINES:
        yield f"  … and {counted(sum(group.n_keys for group in groups[_MOST_LINES:]), 'more key')}"
