"""``infer`` on real conversion problems with a known answer, on the key lists of public threads, and on the clock.

python -m benchmarks.inferring run [--order ORDER ...] [--only RE] [--max-keys N] [--each] [--check]
python -m benchmarks.inferring threads [--check]
python -m benchmarks.inferring timing [--rounds N]

``benchmarks/scoring.py`` says what is right, wrong, false, unsafe and vain. ``recall`` is the mean over the problems of
the share of their renames that is right; ``replay`` counts answers whose rules, planned, do not give their mapping.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.made import names
from benchmarks.measure import run
from benchmarks.scoring import Score, score
from benchmarks.zoo import ORDERS, Pair, pairs, sides, threads
from ckptnames import infer, plan
from ckptnames.inference.inference import Inference

DIFFICULTIES = ("wrapper", "rename", "reindex", "structural", "ops", "all")
LEAST_RECALL = {"saved": 0.985, "sorted": 0.975, "shuffled": 0.975}
LEAST_EXACT = {"saved": 0.92, "sorted": 0.87, "shuffled": 0.87}
MOST_VAIN = 0.02
MOST_LINES = 30
"""Lines of rules that half of the answers may have."""

KEYS_PER_LINE = 5
LONG = 100
"""A problem with fewer keys may need a line for some of them each."""


class Row(NamedTuple):
    """One problem and how it came out."""

    pair: Pair
    score: Score
    n_lines: int
    is_replayed: bool
    seconds: float


class Gate(NamedTuple):
    """One thing that ``--check`` asks for, with what was found."""

    what: str
    is_met: bool
    found: str


def answered(pair: Pair, order: str) -> Row:
    """Infer one problem, score the answer, and plan with its rules."""
    source, target = sides(pair, order)
    started = time.perf_counter()
    found = infer(source, target)
    seconds = time.perf_counter() - started
    cautioned = {name for caution in found.cautions for name in caution.targets}
    result = score(pair, found.mapping, cautioned, source, target, order != "saved")
    return Row(pair, result, n_lines(found), is_replayed(found), seconds)


def n_lines(found: Inference) -> int:
    """Count the lines that say something."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in str(found.rules).splitlines())


def is_replayed(found: Inference) -> bool:
    """Tell whether a plan with the rules gives the very mapping."""
    return dict(plan(found.source, found.rules, found.target).mapping) == dict(found.mapping)


def show_rows(rows: Iterable[Row]) -> None:
    """Print a line for each problem."""
    print(f"{'problem':<56} {'kind':<10} {'renames':>7} right  open wrong false unsafe vain lines {'s':>6}")
    for r in rows:
        s = r.score
        marks = (
            [" undetermined"] * r.pair.is_undetermined + [" REPLAY"] * (not r.is_replayed) + [" -"] * (not s.is_exact)
        )
        print(
            f"{r.pair.id[:56]:<56} {r.pair.difficulty:<10} {s.renames:>7} {s.right:>5} {s.open:>5} {s.wrong:>5}"
            f" {s.false:>5} {s.unsafe:>6} {s.vain:>4} {r.n_lines:>5} {r.seconds:>6.2f}{''.join(marks)}"
        )


class Totals:
    """Sums over problems; those that names and shapes cannot decide are left out."""

    def __init__(self, rows: Iterable[Row], difficulty: str = "all") -> None:
        decidable = [row for row in rows if not row.pair.is_undetermined]
        self.rows = [row for row in decidable if difficulty in ("all", row.pair.difficulty)]
        scores = [row.score for row in self.rows]
        self.exact = sum(s.is_exact for s in scores)
        self.recall = statistics.fmean(s.recall for s in scores) if scores else 1.0
        self.renames, self.right = sum(s.renames for s in scores), sum(s.right for s in scores)
        self.wrong, self.false = sum(s.wrong for s in scores), sum(s.false for s in scores)
        self.unsafe, self.vain = sum(s.unsafe for s in scores), sum(s.vain for s in scores)
        self.open = sum(s.open for s in scores)
        self.with_vain = sum(s.vain > 0 for s in scores)
        self.unreplayed = sum(not row.is_replayed for row in self.rows)
        self.median_lines = sorted(row.n_lines for row in self.rows)[len(self.rows) // 2] if self.rows else 0


def show_totals(order: str, rows: Sequence[Row]) -> None:
    """Print a line for each kind of problem, and one for all."""
    print(
        f"\n{order:<10} {'cases':>5} {'exact':>5} {'share':>6} {'recall':>7} {'micro':>7} wrong false unsafe vain"
        f" {'open':>5} lines replay {'slowest':>8}"
    )
    for difficulty in DIFFICULTIES:
        t = Totals(rows, difficulty)
        if t.rows:
            print(
                f"{difficulty:<10} {len(t.rows):>5} {t.exact:>5} {t.exact / len(t.rows):>6.3f} {t.recall:>7.4f}"
                f" {t.right / max(1, t.renames):>7.4f} {t.wrong:>5} {t.false:>5} {t.unsafe:>6} {t.vain:>4} {t.open:>5}"
                f" {t.median_lines:>5} {t.unreplayed:>6} {max(row.seconds for row in t.rows):>6.2f} s"
            )


def gates(order: str, rows: Sequence[Row]) -> Iterator[Gate]:
    """Hold the totals of one order against what is asked for."""
    t = Totals(rows)
    long = [row.pair.id for row in t.rows if row.pair.n_keys >= LONG and row.n_lines * KEYS_PER_LINE > row.pair.n_keys]
    share = t.exact / max(1, len(t.rows))
    for what, count in (("wrong", t.wrong), ("false", t.false), ("unsafe", t.unsafe), ("not replayed", t.unreplayed)):
        yield Gate(f"{what}: none", count == 0, str(count))
    yield Gate(f"recall: at least {LEAST_RECALL[order]}", t.recall >= LEAST_RECALL[order], f"{t.recall:.4f}")
    yield Gate(f"exact: at least {LEAST_EXACT[order]}", share >= LEAST_EXACT[order], f"{share:.4f}")
    vain = max(t.vain / max(1, t.renames), t.with_vain / max(1, len(t.rows)))
    yield Gate(f"vain cautions, of keys and of problems: at most {MOST_VAIN}", vain <= MOST_VAIN, f"{vain:.4f}")
    yield Gate(f"lines in the middle: at most {MOST_LINES}", t.median_lines <= MOST_LINES, str(t.median_lines))
    yield Gate(f"more than a line for {KEYS_PER_LINE} keys: none", not long, ", ".join(long) or "0")


def run_zoo(options: argparse.Namespace) -> int:
    """Answer the problems in the orders that are asked for."""
    found = list(pairs(options.only, options.max_keys))
    missed = 0
    for order in options.order or ORDERS:
        rows = [answered(pair, order) for pair in found]
        if options.each:
            show_rows(rows)
        show_totals(order, rows)
        for gate in gates(order, rows) if options.check else ():
            missed += not gate.is_met
            if not gate.is_met:
                print(f"{order}: missed  {gate.what}  {gate.found}")
    return int(missed > 0)


def run_threads(options: argparse.Namespace) -> int:
    """Answer the key lists of public threads: where a thread settled on no rename, every answer is wrong."""
    n_cases = n_whole = n_right = n_stated = n_wrong = 0
    for case in threads():
        mapping = infer(case.source, case.target).mapping
        truth = {} if case.is_negative else case.truth
        wrong = sum(truth.get(name) != key for name, key in mapping.items())
        right = sum(mapping.get(name) == key for name, key in truth.items())
        is_whole = not wrong and right == len(truth)
        if not is_whole:
            print(f"{case.id:<40} right {right} of {len(truth)}, wrong {wrong}")
        n_cases, n_whole, n_right = n_cases + 1, n_whole + is_whole, n_right + right
        n_stated, n_wrong = n_stated + len(truth), n_wrong + wrong
    print(f"threads    cases {n_cases}  whole {n_whole}  right {n_right} of {n_stated}  wrong {n_wrong}")
    return int(options.check and n_wrong > 0)


OTHER_NAMES = (
    ("model.embed_tokens", "tok_embeddings"),
    ("model.layers.", "layers."),
    ("self_attn.q_proj", "attention.wq"),
    ("self_attn.k_proj", "attention.wk"),
    ("self_attn.v_proj", "attention.wv"),
    ("self_attn.o_proj", "attention.wo"),
    ("input_layernorm", "attention_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.", "feed_forward."),
    ("gate_proj", "w1"),
    ("up_proj", "w3"),
    ("down_proj", "w2"),
)
"""How a second library names the parts of the made language model of ``benchmarks/made.py``."""

SHAPES: Mapping[str, tuple[int, ...]] = {
    "embed_tokens": (1000, 64),
    "k_proj": (16, 64),
    "v_proj": (16, 64),
    "gate_proj": (96, 64),
    "up_proj": (96, 64),
    "down_proj": (64, 96),
    "layernorm": (64,),
    "bias": (256,),
    "mlp.gate": (256, 64),
    "_proj": (64, 64),
}
"""The shapes of these parts, by what their names have in them first."""


def made_sides(n_keys: int) -> tuple[dict[str, object], dict[str, object]]:
    """Name the tensors of one language model as two libraries do, as documents of names and shapes."""
    source: dict[str, object] = {}
    target: dict[str, object] = {}
    for name in islice(names(), n_keys):
        renamed = name
        for ours, theirs in OTHER_NAMES:
            renamed = renamed.replace(ours, theirs)
        shape = next(shape for part, shape in SHAPES.items() if part in name)
        target[name] = source[renamed] = {"dtype": "BF16", "shape": shape}
    return {"tensors": source}, {"tensors": target}


def time_processes(options: argparse.Namespace) -> int:
    """Run whole processes on few and on many keys, the source as saved and sorted; nothing is asked of the seconds."""
    print(f"{'keys':>7}  {'order':<8} {'CPU':>7} {'wall':>9} {'memory':>9}")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "source.json", Path(folder) / "target.json"]
        command = [sys.executable, "-m", "ckptnames", "infer", *map(str, paths)]
        for n_keys in (723, 90_000):
            source, target = made_sides(n_keys)
            paths[1].write_text(json.dumps(target))
            for order in ("saved", "sorted"):
                paths[0].write_text(json.dumps(source, sort_keys=order == "sorted"))
                quickest = min((run(command) for _ in range(options.rounds)), key=lambda measured: measured.cpu_seconds)
                print(
                    f"{n_keys:>7,}  {order:<8} {quickest.cpu_seconds:>5.2f} s {quickest.seconds:>7.2f} s"
                    f" {quickest.resident_bytes / 1e6:>6.0f} MB"
                )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="infer on real problems with a known answer")
    commands = parser.add_subparsers(required=True)
    zoo = commands.add_parser("run", help="answer the problems of fixtures/zoo")
    zoo.add_argument("--order", choices=ORDERS, action="append", help="of the source's keys; more than once; else all")
    zoo.add_argument("--only", default="", help="a regular expression that the problem's name has in it")
    zoo.add_argument("--max-keys", type=int, help="leave out larger problems")
    zoo.add_argument("--each", action="store_true", help="print a line for each problem")
    zoo.add_argument("--check", action="store_true", help="exit 1 where less is reached than is asked for")
    zoo.set_defaults(call=run_zoo)
    lists = commands.add_parser("threads", help="answer the key lists of public threads")
    lists.add_argument("--check", action="store_true", help="exit 1 where an answer is wrong")
    lists.set_defaults(call=run_threads)
    timing = commands.add_parser("timing", help="time whole processes")
    timing.add_argument("--rounds", type=int, default=2, help="runs of each, of which the quickest counts")
    timing.set_defaults(call=time_processes)
    options = parser.parse_args()
    return int(options.call(options))


if __name__ == "__main__":
    sys.exit(main())
