"""Whole processes against each other: in turns, by the quickest run of each, as ratios within one run.

What else a machine does makes a run slower and never quicker: the quickest of several is the least disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

CKPTNAMES = [sys.executable, "-c", "from ckptnames.cli.main import main; main()"]  # what the installed script does
FOUND_DIFFERENCES = 1
SLACK = 1.25
"""``--check`` passes where a target is missed by less: a busy machine is no finding."""


class Run(NamedTuple):
    """What one process took."""

    seconds: float
    resident_bytes: int
    cpu_seconds: float


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
    # Python keeps the bytecode of what it imports, as pip does of what it installs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, FOUND_DIFFERENCES) or "Traceback" in said:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}\n{said}")
    return Run(seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)


def in_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, before: Callable[[], None] = lambda: None
) -> dict[str, list[Run]]:
    """Run the commands in turns, in any order; a first round, which fills the caches, does not count."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name in random.sample(list(commands), len(commands)):
            before()
            measured = run(commands[name])
            if turn:
                runs[name].append(measured)
    return runs


def best_seconds(runs: Sequence[Run]) -> float:
    """Give the wall time of the quickest run."""
    return min(r.seconds for r in runs)


def show_times(title: str, runs: Mapping[str, Sequence[Run]]) -> None:
    """Print what each command took."""
    print(f"\n{title}")
    for name, measured in runs.items():
        slowest = max(r.seconds for r in measured)
        resident = max(r.resident_bytes for r in measured) / 1e6
        print(f"  {name:<44} {best_seconds(measured):8.3f} s  (slowest {slowest:.3f} s)  {resident:6.0f} MB")


def conclude(targets: Sequence[Target], check: bool) -> int:
    """Print each target with what was measured; 1 where ``check`` is set and one is missed by more than noise."""
    print(f"\n{'target':<64} {'at most':>10} {'measured':>10}")
    for t in targets:
        verdict = "" if t.met else "  missed, within the slack" if t.measured <= t.limit * SLACK else "  missed"
        print(f"{t.what:<64} {t.limit:>8.3f} {t.unit:<2}{t.measured:>8.3f} {t.unit}{verdict}")
    return int(check and any(t.measured > t.limit * SLACK for t in targets))


def arguments(description: str) -> argparse.ArgumentParser:
    """Make the parser that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed by a quarter")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds of each command")
    return parser
