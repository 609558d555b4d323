"""Whole processes against each other: in turns, by the median, as ratios within one run."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

CKPTNAMES = [sys.executable, "-c", "from ckptnames.cli.main import main; main()"]  # what the installed script does
FOUND_DIFFERENCES = 1


class Run(NamedTuple):
    """What one process took."""

    seconds: float
    resident_bytes: int


class Target(NamedTuple):
    """A measured figure, and the most it may be."""

    what: str
    measured: float
    limit: float
    unit: str = "x"

    @property
    def met(self) -> bool:
        return self.measured <= self.limit


def run(command: Sequence[str]) -> Run:
    """Run a command to its end, its output thrown away; it fails where the command does."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, FOUND_DIFFERENCES) or "Traceback" in said:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}\n{said}")
    return Run(seconds, usage.ru_maxrss * 1024)


def in_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, before: Callable[[], None] = lambda: None
) -> dict[str, list[Run]]:
    """Run the commands in turns, A B A B; a first round, which fills the caches, does not count."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            before()
            measured = run(command)
            if turn:
                runs[name].append(measured)
    return runs


def median_seconds(runs: Sequence[Run]) -> float:
    """Give the median wall time."""
    return statistics.median(r.seconds for r in runs)


def show_times(title: str, runs: Mapping[str, Sequence[Run]]) -> None:
    """Print what each command took."""
    print(f"\n{title}")
    for name, measured in runs.items():
        times = sorted(r.seconds for r in measured)
        resident = max(r.resident_bytes for r in measured) / 1e6
        print(
            f"  {name:<44} {median_seconds(measured):8.3f} s  ({times[0]:.3f} to {times[-1]:.3f})  {resident:6.0f} MB"
        )


def conclude(targets: Sequence[Target], check: bool) -> int:
    """Print each target with what was measured; 1 where ``check`` is set and one is missed."""
    print(f"\n{'target':<64} {'at most':>10} {'measured':>10}")
    for t in targets:
        verdict = "" if t.met else "  missed"
        print(f"{t.what:<64} {t.limit:>8.3f} {t.unit:<2}{t.measured:>8.3f} {t.unit}{verdict}")
    return int(check and not all(t.met for t in targets))


def arguments(description: str) -> argparse.ArgumentParser:
    """Make the parser that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds of each command")
    return parser
