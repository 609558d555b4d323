"""Loads and saves that many processes take part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptnames.errors.base import MAX_EVIDENCE, FileError, LoadError
from ckptnames.wording import aligned, counted

_NOTHING = "Nothing was loaded"


class ShardsDoNotFill(LoadError):
    """A checkpoint that does not fill the model: every name that is missing, unexpected or of another shape.

    ``lines`` tell them in few patterns; ``rule`` leads from one that is unexpected to one that is missing.
    """

    code = "incomplete-load"

    def __init__(
        self,
        source: str,
        missing: Sequence[str],
        unexpected: Sequence[str],
        mismatched: Sequence[str],
        lines: Sequence[tuple[str, str, str]],
        rule: str = "",
    ) -> None:
        self.missing, self.unexpected, self.mismatched = tuple(missing), tuple(unexpected), tuple(mismatched)
        self.rule = rule
        found = [
            f"{len(names):,} {word}"
            for names, word in ((missing, "missing"), (unexpected, "unexpected"), (mismatched, "of another shape"))
            if names
        ]
        super().__init__(
            f"the checkpoint does not fill the model: {', '.join(found)}",
            where=source,
            evidence=aligned(lines, MAX_EVIDENCE),
            help=self._cure(),
            outcome=_NOTHING,
        )

    def _cure(self) -> str:
        if self.rule:
            return f"rename on loading with rules, as in: rules='{self.rule}'"
        if self.missing and self.unexpected:
            return "rename on loading: give rules that lead from the unexpected names to the missing ones"
        if self.unexpected and not self.mismatched:
            return "leave them out with rules that end in `-> !drop`, or with unexpected='ignore'"
        which = "missing" if self.missing else "mismatched"
        return f"load a checkpoint of this model; or, to keep the model's own values there: {which}='keep'"


class LossyShards(LoadError):
    """Tensors that the dtype of the model cannot hold."""

    code = "lossy-cast"

    def __init__(self, items: Sequence[tuple[str, str, str]]) -> None:
        self.items = tuple(items)
        rows = [(name, f"{stored} in the checkpoint", f"{wanted} in the model") for name, stored, wanted in items]
        super().__init__(
            f"{counted(len(items), 'tensor')} would lose what {'its' if len(items) == 1 else 'their'} dtype says",
            evidence=aligned(rows, MAX_EVIDENCE),
            help="build the model with the dtype of the checkpoint, or convert the checkpoint by a rule of your own",
            outcome=_NOTHING,
        )


class RankFailed(LoadError):
    """What went wrong on some of the ranks, told on all of them; ``failures`` has the text of each by its rank."""

    code = "rank-failed"

    def __init__(self, failures: Mapping[int, str], doing: str, outcome: str = _NOTHING) -> None:
        self.failures, self.doing = dict(failures), doing
        super().__init__(
            f"{_ranks(failures)} failed while {doing}",
            evidence=[f"rank {rank}: {text}" for rank, text in sorted(failures.items())],
            help="mend what is said of the first, and start all ranks again",
            outcome=outcome,
        )


class RanksParted(LoadError):
    """Ranks that no longer hear of each other: one ended, or took too long."""

    code = "rank-failed"

    def __init__(self, reason: str, outcome: str) -> None:
        self.reason = reason
        super().__init__(
            f"the ranks lost each other: {reason}",
            help="look for the first error in the output of the other ranks, and start all ranks again",
            outcome=outcome,
        )


class RankInterrupted(LoadError):
    """A load that failed on some rank after the first value was written; ``overwritten`` names what has new values."""

    code = "load-interrupted"

    def __init__(self, failures: Mapping[int, str], overwritten: Sequence[str], lines: Sequence[str]) -> None:
        self.failures, self.overwritten = dict(failures), tuple(overwritten)
        super().__init__(
            f"{_ranks(failures)} failed midway: {counted(len(overwritten), 'tensor')} of this rank "
            f"{'is' if len(overwritten) == 1 else 'are'} overwritten",
            evidence=[
                *[f"rank {rank}: {text}" for rank, text in sorted(failures.items())][:2],
                *[f"overwritten: {line}" for line in lines],
            ],
            help="mend what is said of the first, and load again: the model is part old and part new",
        )


def _ranks(failures: Mapping[int, str]) -> str:
    ranks = sorted(failures)
    shown = ", ".join(map(str, ranks[:MAX_EVIDENCE])) + (", …" if len(ranks) > MAX_EVIDENCE else "")
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {shown}"


class IncompleteTensor(FileError):
    """A tensor whose parts in the files of a folder overlap, or leave a hole."""

    code = "incomplete-tensor"

    def __init__(self, path: object, items: Sequence[tuple[str, str]]) -> None:
        self.path, self.items = str(path), tuple(items)
        super().__init__(
            f"the parts of {counted(len(items), 'tensor')} do not make it up",
            where=str(path),
            evidence=aligned(items, MAX_EVIDENCE),
            help="leave one checkpoint in the folder: files of two saves, or a shard too few, stand in it",
            outcome=_NOTHING,
        )


class UnsafeMetadata(FileError):
    """A folder whose ``.metadata`` names what no checkpoint needs."""

    code = "unsafe-pickle"

    def __init__(self, path: object, name: str) -> None:
        self.path, self.name = str(path), name
        super().__init__(
            f"its pickle names '{name}', which no distributed checkpoint needs: nothing of it was run",
            where=str(path),
            help="delete the folder, and get the weights from a source you trust",
            outcome=_NOTHING,
        )
