"""What ``fix`` leaves behind where it cannot finish: the source as it was, the output as it was, and nothing else."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ckptnames
from ckptnames.errors import (
    CannotWrite,
    CkptnamesError,
    FormatMismatch,
    NoSpace,
    OutputExists,
    OutputIsSource,
    PayloadDiffers,
    ReadbackDiffers,
    SourceChanged,
)
from ckptnames.fixing.fix import carry_out, prepare
from ckptnames.formats import safetensors_file, writing, zip_edit
from ckptnames.formats.pieces import Piece, Slice
from ckptnames.rules import Rules

STRIP = "m.** -> **"
WEIGHTS = {"m.a": torch.arange(300_000.0), "m.b": torch.arange(300_000.0) + 1, "m.c": torch.zeros(2, dtype=torch.int8)}
LEFTOVER = ".ckptnames-"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


Weights = Mapping[str, torch.Tensor]

SAVED: dict[str, Callable[[Weights, Path], Any]] = {
    ".pt": lambda weights, path: torch.save({"model": weights, "epoch": 3}, path),
    ".ckpt": lambda weights, path: torch.save(weights, path, _use_new_zipfile_serialization=False),
    ".safetensors": lambda weights, path: save_file(dict(weights), path),
}


@pytest.fixture(params=SAVED)
def source(request: pytest.FixtureRequest) -> Path:
    path = Path(f"x{request.param}")
    SAVED[request.param](WEIGHTS, path)
    return path


@pytest.fixture
def safe() -> Path:
    save_file(WEIGHTS, "x.safetensors")
    return Path("x.safetensors")


def out_of(source: Path) -> Path:
    return source.with_stem("out")


def contents() -> dict[str, bytes]:
    """All that stands in the folder."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@contextmanager
def unchanged(*expected: type[Exception], match: str | None = None) -> Iterator[pytest.ExceptionInfo[Any]]:
    """Ask for an error, and for a folder that is as it was."""
    before = contents()
    with pytest.raises(expected, match=match) as caught:
        yield caught
    after = contents()
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before)


def names_of(path: Path) -> list[str]:
    return sorted(ckptnames.read(path))


def rename(source: Path, out: Path, progress: Any = None, **options: Any) -> None:
    carry_out(prepare(source, [Rules.parse(STRIP)]), out, progress=progress, **options)


def test_what_is_written_reaches_the_disk_before_it_has_its_name(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a crash of the machine could leave the name, and no bytes behind it."""
    calls: list[tuple[str, int]] = []

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, *rest: Any, **more: Any) -> Any:
            state = os.fstat(file) if isinstance(file, int) else Path(file).stat()
            calls.append((name, state.st_ino))
            return real(file, *rest, **more)

        return call

    for name in ("fsync", "link", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    out = Path("out.safetensors")
    for force, put in ((False, "link"), (True, "replace")):
        calls.clear()
        ckptnames.fix(safe, out, rules=STRIP, force=force)
        made, folder = out.stat().st_ino, Path().stat().st_ino
        assert calls == [("fsync", made), (put, made), ("fsync", folder)]


# Where the output may not be


@pytest.mark.parametrize("force", [False, True])
def test_the_output_is_never_the_source_under_another_name(source: Path, force: bool) -> None:
    extension = source.suffix
    Path(f"hard{extension}").hardlink_to(source)
    Path(f"soft{extension}").symlink_to(source)
    Path(f"softer{extension}").symlink_to(f"soft{extension}")
    Path("folder").symlink_to(".")
    before = contents()
    for out in ("", f"hard{extension}", f"soft{extension}", f"softer{extension}", f"folder/{source}", f"./{source}"):
        for operand in (source, f"softer{extension}", Path.cwd() / source):
            with unchanged(OutputIsSource):
                ckptnames.fix(operand, out or source, rules=STRIP, force=force)
    assert contents() == before


def test_what_is_there_is_replaced_only_with_force(source: Path) -> None:
    out = out_of(source)
    out.write_bytes(b"mine")
    with unchanged(OutputExists):
        ckptnames.fix(source, out, rules=STRIP)
    assert out.read_bytes() == b"mine"
    ckptnames.fix(source, out, rules=STRIP, force=True)
    assert names_of(out) == ["a", "b", "c"]


def test_a_link_is_replaced_and_what_it_points_to_stays(safe: Path) -> None:
    Path("blob").write_bytes(b"mine")
    out = Path("out.safetensors")
    out.symlink_to("blob")
    ckptnames.fix(safe, out, rules=STRIP, force=True)
    assert not out.is_symlink()
    assert Path("blob").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("source", "extension"),
    [(".pt", ".safetensors"), (".ckpt", ".npz"), (".safetensors", ".bin")],
    indirect=["source"],
)
def test_a_name_that_promises_another_format_is_refused(source: Path, extension: str) -> None:
    for dry_run in (False, True):
        with unchanged(FormatMismatch):
            ckptnames.fix(source, f"out{extension}", rules=STRIP, dry_run=dry_run)


def test_the_longest_name_that_the_system_takes_is_a_name_like_others(safe: Path) -> None:
    out = Path("名" * 80 + ".safetensors")
    assert len(os.fsencode(out.name)) > 250
    ckptnames.fix(safe, out, rules=STRIP)
    assert names_of(out) == ["a", "b", "c"]


# What the system refuses


def test_a_folder_that_may_not_be_written_to(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    with unchanged(CannotWrite, match="Permission denied"):
        ckptnames.fix(safe, "out.safetensors", rules=STRIP)


def test_a_folder_that_is_not_there(safe: Path) -> None:
    for out in ("nowhere/out.safetensors", f"{safe}/out.safetensors"):
        with unchanged(CannotWrite):
            ckptnames.fix(safe, out, rules=STRIP)


def test_a_disk_that_is_known_to_be_too_small(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with unchanged(NoSpace) as caught:
        ckptnames.fix(safe, "out.safetensors", rules=STRIP)
    assert (caught.value.code, caught.value.free) == ("cannot-write", 1000)


def test_a_disk_that_does_not_know_its_size_is_tried(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(total=0, used=0, free=0))
    ckptnames.fix(safe, "out.safetensors", rules=STRIP)
    assert names_of(Path("out.safetensors")) == ["a", "b", "c"]


@pytest.mark.parametrize("force", [False, True])
def test_a_disk_that_fills_up_meanwhile(safe: Path, force: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with unchanged(NoSpace):
        ckptnames.fix(safe, "out.safetensors", rules=STRIP, force=force)


# Other processes


DRIVER = """
import sys, time
from contextlib import contextmanager
from ckptnames.cli import fix, main

@contextmanager
def progress_bar(label):
    def progress(done, total):
        print("writing", flush=True)
        time.sleep(60)
    yield progress

fix.progress_bar = progress_bar
code = main.main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


def started(*args: object) -> subprocess.Popen[bytes]:
    """Start a ``ckptnames fix`` that stops when it has written the first megabyte."""
    command = [sys.executable, "-c", DRIVER, "fix", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"writing\n", process.stderr.read()
    return process


@pytest.mark.parametrize("existing", [None, b"mine"])
def test_ctrl_c_leaves_nothing(source: Path, existing: bytes | None) -> None:
    out = out_of(source)
    if existing is not None:
        out.write_bytes(existing)
    before = contents()
    with started(source, "-o", out, "--strip", "m", "--force") as process:
        assert len(contents()) == len(before) + 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert contents() == before


def test_ctrl_c_between_shards_leaves_nothing() -> None:
    Path("source").mkdir()
    for n, (key, tensor) in enumerate(WEIGHTS.items(), 1):
        save_file({key: tensor}, f"source/model-{n:05}-of-00003.safetensors")
    before = contents()
    with started("source", "-o", "out", "--strip", "m") as process:
        assert any(LEFTOVER in path for path in contents())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert contents() == before
    assert [path.name for path in Path().iterdir()] == ["source"]


@pytest.mark.parametrize("existing", [None, b"mine"])
def test_a_kill_leaves_one_file_that_says_whose_it_is(safe: Path, existing: bytes | None) -> None:
    out = Path("out.safetensors")
    if existing is not None:
        out.write_bytes(existing)
    before = contents()
    with started(safe, "-o", out, "--strip", "m", "--force") as process:
        process.kill()
    left = contents().keys() - before.keys()
    assert len(left) == 1
    assert left.pop().startswith(f".out.safetensors{LEFTOVER}")
    assert {path: contents()[path] for path in before} == before
    ckptnames.fix(safe, out, rules=STRIP, force=True)
    assert names_of(out) == ["a", "b", "c"]


def test_a_file_longer_than_the_process_may_write(source: Path) -> None:
    before = contents()
    limit = 500_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "ckptnames", "fix", str(source), "-o", str(out_of(source)), "--strip", "m"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error[cannot-write]: ")
    assert contents() == before


MEASURED = """
import sys
from ckptnames.cli.main import main
status = main(sys.argv[1:])
with open("/proc/self/status") as file:  # getrusage would count what the process was started from
    print(next(line.split()[1] for line in file if line.startswith("VmHWM:")))
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.parametrize("extension", [".pt", ".ckpt", ".safetensors"])
def test_memory_does_not_grow_with_the_file(extension: str) -> None:
    source = Path(f"big{extension}")
    SAVED[extension]({f"m.{n}": torch.zeros(25_000_000) for n in range(3)}, source)
    assert source.stat().st_size > 300_000_000
    command = [sys.executable, "-c", MEASURED, "fix", str(source), "-o", str(out_of(source)), "--strip", "m"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert names_of(out_of(source)) == ["0", "1", "2"]
    assert int(done.stdout.split()[-1]) * 1024 < 150_000_000


KILLED = """
import os, signal, sys
import ckptnames
from ckptnames.fixing import fix
from ckptnames.formats import writing

EVENTS = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "open"}
left = 0

def watch(event, arguments):
    global left
    if event in EVENTS and ".ckptnames-" in str(arguments):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

ckptnames.read(sys.argv[1])
sys.addaudithook(watch)
for line in sys.stdin:
    child = os.fork()
    if not child:
        left = int(line)
        ckptnames.fix(sys.argv[1], sys.argv[2], rules="m.** -> **", force=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def outcomes(source: Path, out: Path, look: Callable[[], str], reset: Callable[[], None]) -> list[str]:
    """Kill a process at its first step on the disk, another at its second, and so on, and look each time."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(source), str(out)]
    seen: list[str] = []
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=environment, **pipes) as killer:
        assert killer.stdin is not None and killer.stdout is not None
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            reset()
            killer.stdin.write(f"{len(seen) + 1}\n")
            code = int(killer.stdout.readline())
            seen.append(look())
        killer.stdin.close()
    assert code == 0
    return seen


def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(safe: Path) -> None:
    out = Path("out.safetensors")
    original = safe.read_bytes()

    def reset() -> None:
        for path in Path().iterdir():
            if path != safe:
                path.unlink()
        save_file({"old": torch.zeros(2)}, out)

    def look() -> str:
        assert safe.read_bytes() == original
        assert all(LEFTOVER in path.name for path in Path().iterdir() if path not in (safe, out))
        found = load_file(out)
        if "old" in found:
            return "old"
        assert all(torch.equal(found[key.removeprefix("m.")], tensor) for key, tensor in WEIGHTS.items())
        return "new"

    seen = outcomes(safe, out, look, reset)
    assert seen == sorted(seen, reverse=True)
    assert {"old", "new"} == set(seen)


def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one() -> None:
    """But for one moment, in which each stands whole under a name that says whose it is."""
    source, out = Path("source"), Path("out")
    source.mkdir()
    save_file(WEIGHTS, source / "model.safetensors")
    (source / "config.json").write_text("{}")

    def reset() -> None:
        for path in Path().iterdir():
            if path != source:
                shutil.rmtree(path)
        out.mkdir()
        save_file({"old": torch.zeros(2)}, out / "model.safetensors")

    def look() -> str:
        assert names_of(source) == sorted(WEIGHTS)
        assert all(LEFTOVER in path.name for path in Path().iterdir() if path not in (source, out))
        if not out.exists():
            whole = [names_of(path) for path in Path().iterdir() if LEFTOVER in path.name]
            assert sorted(whole) == [["a", "b", "c"], ["old"]]
            return "none"
        return "old" if names_of(out) == ["old"] else "new" if names_of(out) == ["a", "b", "c"] else "half"

    seen = outcomes(source, out, look, reset)
    assert seen.count("none") <= 1
    assert [each for each in seen if each != "none"] == sorted([e for e in seen if e != "none"], reverse=True)
    assert {"old", "new"} <= set(seen) <= {"old", "none", "new"}


# A source that changes


def touch_later(path: Path) -> None:
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")
    touch_later(path)


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.replace(path)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1_500_000)


CHANGES: dict[str, Callable[[Path], None]] = {
    "append": append,
    "overwrite": overwrite,
    "replace": replace,
    "truncate": truncate,
    "remove": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_while_it_is_copied_is_noticed(source: Path, change: str) -> None:
    out = out_of(source)
    done: list[bool] = []
    out.write_bytes(b"mine")

    def progress(*_: int) -> None:
        if not done:
            CHANGES[change](source)
            done.append(True)

    with pytest.raises(SourceChanged):
        rename(source, out, progress, force=True)
    assert out.read_bytes() == b"mine"
    assert not [path for path in Path().iterdir() if LEFTOVER in path.name]


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_after_the_plan_was_made_is_noticed(source: Path, change: str) -> None:
    ready = prepare(source, [Rules.parse(STRIP)])
    CHANGES[change](source)
    with pytest.raises(SourceChanged):
        carry_out(ready, out_of(source))
    assert not out_of(source).exists()


def test_an_output_that_appears_meanwhile_is_not_replaced(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path("out.safetensors")

    def progress(*_: int) -> None:
        out.write_bytes(b"mine")

    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    for link in (os.link, no_links):
        monkeypatch.setattr(os, "link", link)
        out.unlink(missing_ok=True)
        with pytest.raises(OutputExists):
            rename(safe, out, progress)
        assert out.read_bytes() == b"mine"
        out.unlink()
        rename(safe, out)
        assert names_of(out) == ["a", "b", "c"]


# A copy that is wrong


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytearray], None]) -> None:
    """Let the disk give back something else than what was written."""
    real = writing._copy

    def spoiled(pieces: list[Piece], path: Path, mode: int) -> Iterator[int]:
        yield from real(pieces, path, mode)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    monkeypatch.setattr(writing, "_copy", spoiled)


def flipped(at: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[at] ^= 1

    return change


def test_a_byte_of_a_header_that_reads_back_wrong_is_found(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = prepare(source, [Rules.parse(STRIP)])
    (files,) = pieces.checkpoint.rewritten(pieces.renames).values()
    written = [(sum(map(length_of, files[:n])), piece) for n, piece in enumerate(files) if isinstance(piece, bytes)]
    for at, piece in written:
        for position in range(at, at + len(piece), max(1, len(piece) // 25)):
            with monkeypatch.context() as patch:
                spoil(patch, flipped(position))
                with unchanged(ReadbackDiffers) as caught:
                    ckptnames.fix(source, out_of(source), rules=STRIP)
            assert str(out_of(source)) in str(caught.value)


def length_of(piece: Piece) -> int:
    return piece.length if isinstance(piece, Slice) else len(piece)


def test_a_file_that_reads_back_shorter_or_longer_is_found(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for change in (lambda data: data.extend(b"x"), lambda data: data.pop()):
        with monkeypatch.context() as patch:
            spoil(patch, change)
            with unchanged(ReadbackDiffers):
                ckptnames.fix(source, out_of(source), rules=STRIP)


def test_a_byte_of_a_tensor_is_compared_where_it_is_asked_for(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents()
    spoil(monkeypatch, flipped(source.stat().st_size // 2))
    with unchanged(PayloadDiffers) as caught:
        ckptnames.fix(source, out_of(source), rules=STRIP, verify=True)
    assert caught.value.path == str(out_of(source))
    assert contents() == before
    ckptnames.fix(source, out_of(source), rules=STRIP)
    assert out_of(source).exists()


def test_a_good_copy_is_verified(source: Path) -> None:
    ckptnames.fix(source, out_of(source), rules=STRIP, verify=True)
    assert names_of(out_of(source)) == ["a", "b", "c"]


def test_offsets_of_a_header_that_are_composed_wrong_are_found(safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = safetensors_file.SafetensorsFile._payload

    def swapped(self: Any, names: Mapping[str, list[str]]) -> Any:
        offsets, pieces = real(self, names)
        return {**offsets, "a": offsets["b"], "b": offsets["a"]}, pieces

    monkeypatch.setattr(safetensors_file.SafetensorsFile, "_payload", swapped)
    with unchanged(ReadbackDiffers, match="does not point at the bytes of its source"):
        ckptnames.fix(safe, "out.safetensors", rules=STRIP)


@pytest.mark.parametrize("source", [".pt"], indirect=True)
def test_records_of_an_archive_that_are_composed_wrong_are_found(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = zip_edit._Archive.central

    def spoiled(shift: Callable[[str, dict[str, int]], int]) -> Any:
        def central(self: Any, entry: Any) -> bytes:
            right = self.headers[entry.name]
            self.headers[entry.name] = shift(entry.name, self.headers)
            made = real(self, entry)
            self.headers[entry.name] = right
            return made

        return central

    shifts: list[Callable[[str, dict[str, int]], int]] = [
        lambda name, headers: headers[name] + 64,
        lambda name, headers: headers[{"x/data/0": "x/data/1", "x/data/1": "x/data/0"}.get(name, name)],
    ]
    for shift in shifts:
        with monkeypatch.context() as patch:
            patch.setattr(zip_edit._Archive, "central", spoiled(shift))
            with unchanged(ReadbackDiffers):
                ckptnames.fix(source, "out.pt", rules=STRIP)


@pytest.mark.parametrize("source", [".ckpt"], indirect=True)
def test_storages_that_are_copied_from_the_wrong_place_are_found(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckptnames.formats import torch_legacy

    real = torch_legacy.TorchLegacy.rewritten

    def swapped(self: Any, renames: Any) -> Any:
        tail: Any
        *start, tail = real(self, renames)[Path()]
        half = tail.length // 2
        return {
            Path(): [*start, tail._replace(start=tail.start + 8, length=half), tail._replace(length=tail.length - half)]
        }

    monkeypatch.setattr(torch_legacy.TorchLegacy, "rewritten", swapped)
    with unchanged(ReadbackDiffers):
        ckptnames.fix(source, "out.ckpt", rules=STRIP)


# Who may read it


@pytest.mark.parametrize(
    ("umask", "mode", "expected"), [(0o022, 0o600, 0o600), (0o077, 0o664, 0o600), (0o022, 0o664, 0o644)]
)
def test_a_copy_is_as_private_as_its_source_from_its_first_byte(
    safe: Path, umask: int, mode: int, expected: int
) -> None:
    safe.chmod(mode)
    seen: set[int] = set()

    def progress(*_: int) -> None:
        seen.update(stat.S_IMODE(path.stat().st_mode) for path in Path().iterdir() if LEFTOVER in path.name)

    before = os.umask(umask)
    try:
        rename(safe, Path("out.safetensors"), progress)
    finally:
        os.umask(before)
    assert seen == {expected}
    assert stat.S_IMODE(Path("out.safetensors").stat().st_mode) == expected


def test_a_folder_is_as_private_as_its_source() -> None:
    Path("source").mkdir()
    save_file(WEIGHTS, "source/model.safetensors")
    Path("source/config.json").write_text("{}")
    Path("source/config.json").chmod(0o640)
    Path("source").chmod(0o500)
    ckptnames.fix("source", "out", rules=STRIP)
    assert stat.S_IMODE(Path("out").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("out/config.json").stat().st_mode) == 0o640


# What stands in a plan's way


@pytest.mark.parametrize(
    "rules",
    ["m.{p} -> same", "m.a -> m.b", "m.a -> !open", "m.a -> z\nm.typo -> x", "m.a -> x\nm.a -> y", "** -> !drop"],
)
def test_a_plan_with_problems_writes_nothing(source: Path, rules: str) -> None:
    for force in (False, True):
        with unchanged(CkptnamesError):
            ckptnames.fix(source, out_of(source), rules=rules, force=force)
