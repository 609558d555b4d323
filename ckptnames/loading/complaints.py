"""What stands in the way of a whole load, in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple, Protocol

from ckptnames.diffs import ShapeMismatch
from ckptnames.errors import IncompleteLoad, LoadInterrupted
from ckptnames.folding import fold
from ckptnames.inference.inference import Inference
from ckptnames.rules import Rules
from ckptnames.wording import shape_text

_LONGEST_RULES = 300
_MISSING, _UNEXPECTED, _MISMATCHED = "missing", "unexpected", "of another shape"
_ALLOWED = {_MISSING: 'missing="keep"', _UNEXPECTED: 'unexpected="ignore"', _MISMATCHED: 'mismatched="keep"'}


class Suggestion(NamedTuple):
    """Rules that names and shapes suggest, and what to know before they are pasted."""

    rules: str
    is_whole: bool = True
    """True where they leave nothing open."""
    caution: str = ""


def suggested(inference: Inference, explained: Callable[[], Rules | None]) -> Suggestion | None:
    """Give inferred rules that fill most of what is open, else the prefix that stands for another."""
    if not len(inference.rules) or 2 * len(inference.mapping) <= len(inference.unfilled_target):
        rules = explained()
        return None if rules is None else Suggestion(str(rules))
    caution = inference.cautions[0].code if inference.cautions else ""
    return Suggestion(str(inference.rules), inference.complete and not inference.ambiguous, caution)


class Unfinished(Protocol):
    """What an error needs to know of a load."""

    @property
    def missing(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def unexpected(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def mismatched(self) -> tuple[ShapeMismatch, ...]: ...  # noqa: D102


def incomplete(
    found: Unfinished,
    *,
    where: str = "",
    n_target: int = 0,
    suggestion: Suggestion | None = None,
    own_code: str = "",
    outcome: str = "",
) -> IncompleteLoad:
    """Compose the error of a load that is not whole; a suggestion may tell the rules that would make it so."""
    kinds = {
        _MISSING: [(key, "") for key in found.missing],
        _UNEXPECTED: [(key, "") for key in found.unexpected],
        _MISMATCHED: [(each.key, _shapes(each)) for each in found.mismatched],
    }
    counts = [(len(keys), what) for what, keys in kinds.items() if keys]
    rows = [[(what, group.pattern, group.label) for group in fold(keys)] for what, keys in kinds.items()]
    where = where or getattr(found, "source", "")
    n_target = n_target or getattr(found, "n_keys", 0)
    kept = len(found.missing) + len(found.mismatched)
    if suggestion:
        advice = _by_rules(suggestion)
    elif own_code and found.missing and found.unexpected:
        advice = f"the model has code of its own for what it loads, '{own_code}': model.load_state_dict() runs it"
    else:
        advice = _by_leave([what for _, what in counts], kept, n_target)
    return IncompleteLoad(where, counts, list(_balanced(rows)), advice, suggestion.rules if suggestion else "", outcome)


def interrupted(where: str, reason: str, written: Sequence[str], n_keys: int) -> LoadInterrupted:
    """Compose the error of a load that broke off when some keys were written."""
    patterns = [group.pattern for group in fold((key, "") for key in written)]
    return LoadInterrupted(where, reason, written, patterns, n_keys)


def took_nothing(key: str) -> str:
    """Say of a key that the model's own code for loading left it out."""
    return f"the model's own code took no value for '{key}'"


def _shapes(mismatch: ShapeMismatch) -> str:
    return f"checkpoint {shape_text(mismatch.source)}, model {shape_text(mismatch.target)}"


def _by_rules(suggestion: Suggestion) -> str:
    doubt = "" if suggestion.is_whole else ", which leave some undecided"
    layout = f". Check the layout first ({suggestion.caution})" if suggestion.caution else ""
    text = suggestion.rules.strip()
    if len(text) <= _LONGEST_RULES:
        return f"the names suggest these rules{doubt}: rules={text!r}{layout}"
    return f"the names suggest {text.count(chr(10)) + 1} rules{doubt}, which are in error.rules{layout}"


def _by_leave(kinds: Sequence[str], n_kept: int, n_target: int) -> str:
    """Say how to go without, where that is a detail; what is wrong with most of the model is none."""
    if 2 * n_kept > n_target:
        return "they may be two different models: print(ckptnames.diff(source, model))"
    allowed = ", ".join(_ALLOWED[kind] for kind in kinds)
    return f"if that is meant, say so: {allowed}"


def _balanced(rows: Sequence[Sequence[tuple[str, ...]]]) -> Iterator[tuple[str, ...]]:
    """Put the first rows of each kind among the first that are shown."""
    taken = [row for turn in zip_longest(*rows) for row in turn if row is not None]
    head = taken[:5]
    for kind in rows:
        yield from (row for row in kind if row in head)
    yield from taken[5:]
