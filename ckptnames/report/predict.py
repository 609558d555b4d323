"""The names that a model will have, why they are called that, and what a reader would trip over."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from textwrap import wrap as wrapped_lines
from typing import TYPE_CHECKING, Any

from ckptnames.errors import shown
from ckptnames.formats.checkpoint import Checkpoint
from ckptnames.manifest import Manifest
from ckptnames.report.ls import ls_json, ls_text
from ckptnames.report.text import PLAIN, WIDTH, Paint, columns

if TYPE_CHECKING:
    from ckptnames.prediction.doctor import Finding
    from ckptnames.prediction.origins import Step

_ASKED_FOR = "--wrap"
_WITHOUT_A_LINE = frozenset({"renamed", "made", "extra state"})
_MOST_OF_A_KIND = 4
"""Findings listed of one kind; the rest is counted, and stands in `--json`."""


def predict_text(
    checkpoint: Checkpoint,
    findings: Sequence[Finding],
    wrap: Sequence[str] = (),
    *,
    width: int = WIDTH,
    paint: Paint = PLAIN,
) -> str:
    """Say on one screen which keys a model will have, and what its reader should know."""
    # Ties are among the findings: whether a tensor or a whole module has two names is one line there, not ten.
    head, line, rest = ls_text(checkpoint, width=width, paint=paint, list_ties=False).partition("\n")
    wraps = f"wrapped in {shown(', then '.join(wrap))}\n" if wrap else ""
    return head + line + wraps + rest + "".join(f"{text}\n" for text in _doctor(findings, width, paint))


def _doctor(findings: Sequence[Finding], width: int, paint: Paint) -> Iterator[str]:
    if findings:
        yield ""
        yield paint("bold", "doctor:")
    for _, same in groupby(findings, key=lambda finding: finding.code):
        kind = list(same)
        for finding in kind[:_MOST_OF_A_KIND]:
            yield from wrapped_lines(
                finding_text(finding),
                width,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        if len(kind) > _MOST_OF_A_KIND:
            yield f"  … and {len(kind) - _MOST_OF_A_KIND:,} more like it"


def finding_text(finding: Finding) -> str:
    """Write a finding in one line, with its line of code where that is known."""
    return shown(finding.message) + (f" ({shown(str(finding.place))})" if finding.place is not None else "")


def predict_json(
    manifest: Manifest, findings: Sequence[Finding], origins: Mapping[str, Sequence[Step]] | None = None
) -> dict[str, Any]:
    """Compose what ``predict --json`` prints: that of ``ls``, with ``origins`` beside it where they were asked for."""
    found = ls_json(manifest)
    found["notes"] = [*manifest.notes, *map(finding_text, findings)]
    if origins is not None:
        found["origins"] = {key: [_step_json(step) for step in steps] for key, steps in origins.items()}
    return found


def _step_json(step: Step) -> dict[str, Any]:
    place = step.place
    return {
        "segment": step.segment,
        "rule": step.rule,
        "owner": step.owner,
        "was": step.was or None,
        "file": None if place is None else place.file,
        "line": None if place is None else place.line,
    }


def explain_text(origins: Mapping[str, Sequence[Step]], *, width: int = WIDTH, paint: Paint = PLAIN) -> str:
    """Say of one key how each of its segments came about; of several the same as a tree, in which like is joined."""
    if len(origins) == 1:
        lines = [line for key, steps in origins.items() for line in _path(key, steps, paint)]
    else:
        lines = list(_tree(origins, width))
    return "".join(f"{line}\n" for line in lines)


def _path(key: str, steps: Sequence[Step], paint: Paint) -> Iterator[str]:
    yield paint("bold", shown(key))
    rows = [(f"  {shown(step.segment)}", rule_text(step), _place_text(step)) for step in steps]
    followers = [step.place for step in steps[1:]]
    for line, step, after in zip(columns(rows, width=sys.maxsize), steps, [*followers, None], strict=True):
        yield line
        # A layer and its parameters come from one line of code, which is shown once, below the last of them.
        if step.place is not None and step.place != after and step.place.text:
            yield paint("dim", f"      {shown(step.place.text)}")


def rule_text(step: Step) -> str:
    """Say in words how a segment came about.

    >>> from ckptnames.prediction.origins import Step
    >>> rule_text(Step("0", "Sequential index", "Sequential")), rule_text(Step("fc", "attribute", "Net"))
    ('Sequential index', 'attribute of Net')
    """
    if step.owner == _ASKED_FOR:
        return f"{step.rule} ({step.owner})"
    if step.rule == "open":
        return f"open: {shown(step.owner)}"
    if step.rule == "renamed":
        return f"as {shown(step.owner)} saves it"
    if step.rule == "wrapper":
        return f"inside {shown(step.owner)}, a wrapper"
    was = f", was {shown(step.was)}" if step.was else ""
    container = step.rule.partition(" ")[0]
    if step.owner in (container, "ParametrizationList"):
        return step.rule + was
    return f"{step.rule} of {shown(step.owner)}{was}"


def _place_text(step: Step) -> str:
    if step.place is not None:
        return shown(str(step.place))
    return "" if step.owner == _ASKED_FOR or step.rule in _WITHOUT_A_LINE else "not recorded"


@dataclass(slots=True)
class _Node:
    """A segment of one or more keys, and what stands below it."""

    step: Step
    below: dict[str, _Node] = field(default_factory=dict)

    @property
    def like(self) -> tuple[object, ...]:
        """What two nodes have in common that differ in their name alone."""
        step = self.step
        return (
            step.rule,
            step.owner,
            step.place,
            step.was,
            tuple((name, node.like) for name, node in self.below.items()),
        )


def _tree(origins: Mapping[str, Sequence[Step]], width: int) -> Iterator[str]:
    roots: dict[str, _Node] = {}
    for steps in origins.values():
        level = roots
        for step in steps:
            node = level.setdefault(step.segment, _Node(step))
            level = node.below
    yield from columns(list(_rows(roots.values(), 0)), width=width)


def _rows(nodes: Iterable[_Node], depth: int) -> Iterator[tuple[str, str, str]]:
    for _, same in groupby(nodes, key=lambda node: node.like):
        alike = list(same)
        first = alike[0]
        yield (
            "  " * depth + _names([node.step.segment for node in alike]),
            rule_text(first.step),
            _place_text(first.step),
        )
        yield from _rows(first.below.values(), depth + 1)


def _names(segments: Sequence[str]) -> str:
    """Join names that stand for like things.

    >>> _names(["0", "1", "2"]), _names(["weight", "bias"]), _names(["fc"])
    ('{0-2}', 'weight, bias', 'fc')
    """
    if len(segments) > 2 and all(s.isdigit() for s in segments):
        numbers = list(map(int, segments))
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            return f"{{{segments[0]}-{segments[-1]}}}"
    return ", ".join(map(shown, segments))
