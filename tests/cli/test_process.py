"""The command as a process among others: exit codes, pipes, signals, terminals, and what stays behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ckptnames.cli import exits, progress
from ckptnames.cli.main import main
from tests.errors.made import entry, safetensors, save

COMMAND = [sys.executable, "-m", "ckptnames"]
ROOT = Path(progress.__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*args: str) -> int:
    return subprocess.run([*COMMAND, *args], capture_output=True).returncode


class TestExitCodes:
    """The numbers are a contract with scripts."""

    def test_their_values(self) -> None:
        assert (exits.SAME, exits.DONE, exits.DIFFERENT, exits.INCOMPLETE, exits.FAILED) == (0, 0, 1, 1, 2)
        assert (exits.INTERRUPTED, exits.BROKEN_PIPE) == (130, 141)

    @pytest.mark.parametrize(
        ("args", "code"),
        [
            ((), 0),
            (("--help",), 0),
            (("-h",), 0),
            (("--version",), 0),
            (("fix", "--help"), 0),
            (("ls", "a.pt"), 0),
            (("diff", "a.pt", "a.pt"), 0),
            (("diff", "a.pt", "b.pt"), 1),
            (("fix", "a.pt", "--strip", "module", "-o", "out.pt"), 0),
            (("fix", "a.pt", "--strip", "module", "-o", "out.pt", "--dry-run"), 0),
            (("fix", "b.pt", "--strip", "module", "-o", "out.pt"), 0),
            (("fix", "b.pt", "--like", "c.pt", "-o", "out.pt"), 1),
            (("fix", "a.pt", "--rule", "a", "-o", "out.pt"), 2),
            (("ls", "nowhere.pt"), 2),
            (("lss", "a.pt"), 2),
            (("ls",), 2),
        ],
    )
    def test_what_gives_them(self, args: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]) -> None:
        save("a.pt", "module.w")
        save("b.pt", "w")
        save("c.pt", "x")
        assert main(args) == code

    def test_a_process_gives_what_main_gives(self) -> None:
        save("a.pt", "module.w")
        save("b.pt", "w")
        assert [run("diff", "a.pt", target) for target in ("a.pt", "b.pt", "c.pt")] == [0, 1, 2]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_whoever_stops_reading_is_no_failure(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    header = {f"layer.{n}.{'w' * 60}": entry(8 * n, 8 * n + 8) for n in range(3000)}
    safetensors("many.safetensors", header, bytes(8 * 3000))
    args = [*COMMAND, "ls", "--flat", "many.safetensors"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


SLOW = """
import sys, time
from ckptnames.formats import writing
parts = writing._parts
def slow(*args):
    for part in parts(*args):
        yield part
        if len(part) > 10_000:
            time.sleep(60)
writing._parts = slow
from ckptnames.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGINT, 130, b"interrupted\n"), (signal.SIGTERM, 143, b""), (signal.SIGHUP, 129, b"")],
)
def test_a_signal_while_writing_leaves_no_file(number: int, code: int, told: bytes) -> None:
    safetensors("big.safetensors", {"module.w": entry(0, 400_000, shape=[100_000])}, bytes(400_000))
    before = Path("big.safetensors").read_bytes()
    args = [sys.executable, "-c", SLOW, "fix", "big.safetensors", "--strip", "module", "-o", "out.safetensors"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        beside = _appears(".out.safetensors.ckptnames-*")
        process.send_signal(number)
        out, err = process.communicate(timeout=200)
    assert (process.returncode, out, err) == (code, b"", told)
    assert not beside.exists()
    assert os.listdir() == ["big.safetensors"]
    assert Path("big.safetensors").read_bytes() == before


def _appears(pattern: str) -> Path:
    for _ in range(4000):
        for path in Path().glob(pattern):
            return path
        time.sleep(0.05)
    raise AssertionError(f"no {pattern}")


def test_signals_are_as_before_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) == before


# Terminals


def on_terminal(*args: str, **environment: str) -> str:
    """Give what a command prints where stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *args], stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environment}
    )
    os.close(theirs)
    data = b""
    with suppress(OSError):  # Linux says so where the other side is closed.
        while got := os.read(ours, 4096):
            data += got
    process.wait()
    os.close(ours)
    return data.decode().replace("\r\n", "\n")


def piped(*args: str) -> str:
    done = subprocess.run([*COMMAND, *args], capture_output=True, text=True)
    return done.stdout + done.stderr


COLOURED = {
    "ls": ("ls", "a.pt"),
    "diff": ("diff", "a.pt", "b.pt"),
    "error": ("ls", "nowhere.pt"),
    "problem": ("fix", "a.pt", "--rule", "{p}.w -> !open", "-o", "out.pt"),
}


@pytest.mark.parametrize("case", COLOURED)
def test_colour_is_for_terminals_that_want_it(case: str) -> None:
    save("a.pt", "module.w", "other.w")
    save("b.pt", "w")
    args = COLOURED[case]
    plain = piped(*args)
    assert "\x1b" not in plain
    coloured = on_terminal(*args, TERM="xterm-256color")
    assert "\x1b[" in coloured
    assert without_colour(coloured) == plain


@pytest.mark.parametrize("refusal", [{"NO_COLOR": "1", "TERM": "xterm-256color"}, {"TERM": "dumb"}], ids=str)
def test_colour_can_be_refused(refusal: dict[str, str]) -> None:
    save("a.pt", "w")
    for args in (("ls", "a.pt"), ("ls", "nowhere.pt")):
        assert "\x1b" not in on_terminal(*args, **refusal)


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[(?:[0-9]+m|\?25[lh])", "", text)


def test_an_empty_no_color_is_none() -> None:
    save("a.pt", "w")
    assert "\x1b[" in on_terminal("ls", "a.pt", NO_COLOR="", TERM="xterm")


def test_json_has_no_colour_on_a_terminal() -> None:
    save("a.pt", "w")
    assert "\x1b" not in on_terminal("ls", "--json", "a.pt", TERM="xterm")


def test_a_stream_that_knows_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    safetensors("ä.safetensors", {"w": entry(0, 24, shape=[2, 3])}, bytes(24))
    done = subprocess.run([*COMMAND, "ls", "ä.safetensors"], capture_output=True)
    assert done.returncode == 0
    assert b"2\\xd73" in done.stdout


# Progress


class Terminal:
    """A stderr that says what it is, and keeps what is written."""

    def __init__(self, is_terminal: bool = True) -> None:
        self.is_terminal, self.text = is_terminal, ""

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@contextmanager
def watching(terminal: Terminal, seconds_per_step: float) -> Iterator[None]:
    """Let the clock go on by so much each time that it is read."""
    now = iter(seconds_per_step * n for n in range(1_000_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        patch.setattr(time, "monotonic", lambda: next(now))
        patch.setattr("click._termui_impl.time.time", lambda: 100 * next(now))
        patch.setenv("COLUMNS", "80")
        yield


def fixed(terminal: Terminal, seconds_per_step: float) -> str:
    size = 8 << 20
    safetensors("big.safetensors", {"module.w": entry(0, size, shape=[size // 4])}, bytes(size))
    with watching(terminal, seconds_per_step):
        assert main(["fix", "big.safetensors", "--strip", "module", "-o", "out.safetensors"]) == 0
    return terminal.text


def test_a_long_write_shows_how_far_it_is() -> None:
    text = fixed(Terminal(), seconds_per_step=0.4)
    bars = [line for line in without_colour(text).replace("\r", "\n").splitlines() if "writing out" in line]
    assert len(bars) > 1
    assert "100%" in bars[-1]
    assert all(len(bar) <= 80 for bar in bars)
    assert text.endswith("wrote out.safetensors\n")


def test_a_short_write_shows_nothing() -> None:
    assert "writing" not in fixed(Terminal(), seconds_per_step=0.001)


def test_nobody_watches_a_log() -> None:
    assert fixed(Terminal(is_terminal=False), seconds_per_step=10) == (
        "1 of 1 key renamed:\n  module.** -> **\nwrote out.safetensors\n"
    )


def test_a_dumb_terminal_cannot_show_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "writing" not in fixed(Terminal(), seconds_per_step=0.4)


def test_a_long_name_does_not_wrap_the_bar() -> None:
    terminal = Terminal()
    with watching(terminal, 2.0), progress.progress_bar(f"writing {'x' * 300}") as tell:
        assert tell is not None
        for done in range(0, 101, 10):
            tell(done, 100)
    assert all(len(line) <= 80 for line in without_colour(terminal.text).replace("\r", "\n").splitlines())
