"""Groups of processes on this machine that take part in one ``torch.distributed`` world, and checks that they run.

The processes are forked from a server that has torch loaded already, and serve for many checks: a check is a function
of ``tests/distributed/checks.py`` by name, which each rank calls with its own rank. A group that a check leaves broken
is ended with it.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.distributed.checks"])
TIMEOUT = 20
"""Seconds after which a collective that some rank does not join fails; a group answers within a few times that."""


class Group:
    """Ranks that wait for checks to run."""

    def __init__(self, n_ranks: int, folder: Path, timeout: int = TIMEOUT) -> None:
        self._ranks = []
        for rank in range(n_ranks):
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(
                target=_serve, args=(theirs, rank, n_ranks, str(folder / "store"), timeout), daemon=True
            )
            process.start()
            theirs.close()
            self._ranks.append((process, ours))

    def run(self, check: str, *args: Any, gone: tuple[int, ...] = ()) -> list[Any]:
        """Run a check on all ranks, and give what it returns on each; ``gone`` are ranks that end in it."""
        for _, pipe in self._ranks:
            pipe.send((check, args))
        answers: list[tuple[bool, Any]] = []
        for rank, (_, pipe) in enumerate(self._ranks):
            if rank not in gone:
                assert pipe.poll(3 * TIMEOUT), f"rank {rank} hangs in {check}"
                answers.append(pipe.recv())
        failures = [answer for failed, answer in answers if failed]
        assert not failures, "\n".join(failures)
        return [answer for _, answer in answers]

    def end(self) -> None:
        for process, pipe in self._ranks:
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


@contextmanager
def group(n_ranks: int, folder: Path, timeout: int = TIMEOUT) -> Iterator[Group]:
    found = Group(n_ranks, folder, timeout)
    try:
        yield found
    finally:
        found.end()


def _serve(pipe: Connection, rank: int, n_ranks: int, store: str, timeout: int) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    checks = import_module("tests.distributed.checks")
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=n_ranks, timeout=timedelta(seconds=timeout)
    )
    while True:
        try:
            name, args = pipe.recv()
        except EOFError:
            os._exit(0)
        check: Callable[..., Any] = getattr(checks, name)
        try:
            pipe.send((False, check(rank, *args)))
        except BaseException:
            pipe.send((True, traceback.format_exc()))
