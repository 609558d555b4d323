"""Loads and saves that many processes take part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptnames.errors.base import MAX_EVIDENCE, FileError, LoadError
from ckptnames.wording import aligned, counted

_NOTHING = "Nothing was loaded"


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
