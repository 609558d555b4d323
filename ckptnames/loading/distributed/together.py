"""Steps that all ranks take together: what fails on one is an error on all, and none waits for another in vain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException

from ckptnames.errors import CkptnamesError, RankFailed, RankInterrupted, RanksParted
from ckptnames.folding import fold
from ckptnames.loading.distributed.planners import RenamingLoadPlanner

Result = TypeVar("Result")

_DOING = {
    "plan": ("planning", "Nothing was loaded"),
    "read": ("reading", "The model may be part old and part new"),
    "write": ("writing", "What was written is no checkpoint"),
}
_OF_THE_NETWORK = re.compile(r"\bgloo\b|NCCL|\bMPI\b")
_PLACE_IN_SOURCE = re.compile(r"^(?:RuntimeError: )?(?:\[[^]]*\] )?")


@contextmanager
def as_ckptnames_errors(planner: RenamingLoadPlanner | None = None) -> Iterator[None]:
    """Let what DCP raises reach the caller as a ``CkptnamesError``, the same on every rank.

    Its own ``CheckpointException`` is a ``BaseException``, which ``except Exception`` does not catch. With the
    ``planner`` of the load, an error midway says what was overwritten.

    >>> with as_ckptnames_errors():
    ...     pass

    Raises what a rank raised, where all that failed say the same; ``rank-failed``, ``load-interrupted`` otherwise.
    """
    try:
        yield
    except CheckpointException as error:
        failures = {rank: found for rank, (found, _) in error.failures.items()}
        raise _told(failures, str(error.args[0]), planner) from error
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or _OF_THE_NETWORK.search(str(error))):
            raise
        written = planner is not None and planner.overwritten
        reason = _PLACE_IN_SOURCE.sub("", _first_line(error).partition(". ")[0])
        raise RanksParted(reason, _DOING["read" if written else "plan"][1]) from error


def _told(failures: Mapping[int, BaseException], step: str, planner: RenamingLoadPlanner | None) -> CkptnamesError:
    first = next(iter(failures.values()))
    if isinstance(first, CkptnamesError) and len({str(each) for each in failures.values()}) == 1:
        return first
    texts = {rank: _first_line(error) for rank, error in failures.items()}
    if step == "read" and planner is not None:
        lines = [group.pattern for group in fold((name, 0) for name in planner.overwritten)]
        return RankInterrupted(texts, list(planner.overwritten), lines)
    doing, outcome = _DOING.get(step, (step, "Nothing was loaded"))
    return RankFailed(texts, doing, outcome)


def together(step: Callable[[], Result], doing: str, group: dist.ProcessGroup | None = None) -> list[Result]:
    """Take a step on every rank, and give the results of all; raises on every rank what it raised on any."""
    if not is_distributed():
        return [step()]
    outcome: tuple[Any, BaseException | None]
    try:
        outcome = step(), None
    except Exception as error:
        outcome = None, _sendable(error)
    outcomes: list[Any] = [None] * dist.get_world_size(group)
    with as_ckptnames_errors():
        dist.all_gather_object(outcomes, outcome, group=group)
    failures = {rank: error for rank, (_, error) in enumerate(outcomes) if error is not None}
    if failures:
        raise _told(failures, doing, None) from outcome[1]
    return [result for result, _ in outcomes]


def is_distributed() -> bool:
    """Tell whether this process is one of a group."""
    return dist.is_available() and dist.is_initialized()


def _sendable(error: Exception) -> Exception:
    """Give an error that goes through a pickle: others' may not."""
    return error if isinstance(error, CkptnamesError) else RuntimeError(_first_line(error))


def _first_line(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, CkptnamesError):
        return text.partition("\n")[0]
    if type(error) is RuntimeError and text.partition(":")[0].isidentifier():
        return text.partition("\n")[0]
    return f"{type(error).__name__}: {text}".partition("\n")[0].removesuffix(": ")
