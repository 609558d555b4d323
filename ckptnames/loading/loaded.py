"""What a load did: a report that can be held against what was wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptnames.diffs import ShapeMismatch
from ckptnames.loading.casting import Cast
from ckptnames.rules import Rules
from ckptnames.wording import counted


@dataclass(frozen=True, slots=True, repr=False)
class LoadReport:
    """What was loaded, under which names, and what was not. ``str()`` of it is one screen."""

    source: str
    """Where the values come from: a path, or empty for what was in memory."""
    container: str
    n_keys: int
    """How many keys the model has."""
    matched: Mapping[str, str]
    """Each key of the model that was filled, with the key of the source that filled it."""
    renamed: Mapping[str, str]
    """Those of them that have another name in the source, with the rule, or what else, that says so."""
    missing: tuple[str, ...]
    """Keys of the model, with weights, for which the source has nothing."""
    unexpected: tuple[str, ...]
    """Keys of the source, with weights, for which the model has no place."""
    mismatched: tuple[ShapeMismatch, ...]
    """Keys of the model for which the source has a tensor of another shape."""
    kept: tuple[str, ...]
    """Every key of the model that kept the value it had: missing, mismatched, or without weights in the source."""
    left_out: tuple[str, ...]
    """Keys of the source without weights, or with the weights of another key, for which the model has no place."""
    cast: tuple[Cast, ...]
    rules: Rules = field(default_factory=Rules)
    """The rules that were applied."""
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """True where every weight of the model was loaded, and every weight of the source has found its place."""
        return not (self.missing or self.unexpected or self.mismatched)

    def raise_if_incomplete(self) -> None:
        """Raise ``incomplete-load`` where a weight of the model was not loaded, or one of the source not used."""
        if not self.is_complete:
            from ckptnames.loading.complaints import incomplete

            raise incomplete(self)

    def __str__(self) -> str:
        from ckptnames.report.load import load_text

        return load_text(self).removesuffix("\n")

    def __repr__(self) -> str:
        return f"<LoadReport: {len(self.matched)} of {counted(self.n_keys, 'key')} loaded>"
