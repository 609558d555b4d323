"""Pickles that would run something: no command imports, runs or opens anything for them, and each is told as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.formats import hostile
from tests.formats.hostile import GOOD, WEIGHT
from tests.formats.making import legacy, pickled, torch_zip

ROOT = Path(__file__).parents[2]

HARMLESS = {
    *("os.system", "posix.system", "os.popen", "builtins.exec", "builtins.eval", "builtins.compile", "builtins.open"),
    *("builtins.getattr", "importlib.import_module", "subprocess.Popen", "subprocess.check_output", "runpy.run_path"),
    *("runpy._run_code", "pydoc.pipepager", "timeit.timeit", "functools.partial", "functools.reduce", "marshal.loads"),
    *("operator.methodcaller", "operator.attrgetter", "pickle.loads", "__builtin__.eval"),
}
"""Payloads that may really be loaded here: all they can do is to leave a file behind."""

NEVER_RUNS = {"NEWOBJ", "NEWOBJ_EX", "extension"}
"""Streams that Python's own pickle stops at, before or after it has imported something."""

DATA_AT_HEART = {"torch.storage._load_from_bytes"}
"""What pickle itself calls for a tensor that was not saved by torch.save: it is no sign of harm."""


class Seen(NamedTuple):
    """What came of one file: its kind, the events, and the exit code and output of each command."""

    kind: str
    events: list[str]
    told: list[tuple[int, str]]


def benign(folder: Path) -> list[str]:
    """Write files of the same formats that are harmless, for whatever is imported late to be there already."""
    made = [
        torch_zip(folder / "good.pt", {"model": {"w": GOOD}}, {"0": WEIGHT}),
        torch_zip(folder / "other.pt", {"model": {"v": GOOD}}, {"0": WEIGHT}),
        legacy(folder / "old.pt", {"w": GOOD}, {"0": (6, WEIGHT)}),
        torch_zip(folder / "numbers.pt", {"n": 1}, {}),
        legacy(folder / "old numbers.pt", {"n": 1}, {}),
    ]
    for name, content in {
        "pickle": pickled({"n": 1}),
        "broken": b"\x80\x02cm\nf\n)R\xff",
        "noise": bytes(range(255, 1, -1)),
        "steers\x1b": pickled({"\x1b": 1}),
    }.items():
        (folder / name).write_bytes(content)
        made.append(folder / name)
    return list(map(str, made))


def watched(folder: Path, files: list[str], how: str) -> dict[str, Any]:
    (folder / "out").mkdir(exist_ok=True)
    (folder / "benign").mkdir(exist_ok=True)
    job = {"files": files, "benign": benign(folder / "benign"), "folder": str(folder / "out"), "how": how}
    (folder / "job").write_text(json.dumps(job))
    command = [sys.executable, "-m", "tests.formats.watching", str(folder / "job")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    seen: dict[str, Any] = json.loads(run.stdout)
    return seen


class Corpus(NamedTuple):
    """What came of every file, and whether any left its mark behind."""

    seen: dict[str, Seen]
    marked: bool


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "corpus").mkdir()
    kinds = {str(path): kind for kind, path in hostile.files(folder / "corpus", folder / "marker")}
    seen = watched(folder, list(kinds), "ckptnames")
    found = {
        Path(file).name: Seen(kinds[file], each["events"], [(code, text) for code, text in each["told"]])
        for file, each in seen.items()
    }
    return Corpus(found, (folder / "marker").exists())


def test_nothing_happens_that_a_file_asks_for(corpus: Corpus) -> None:
    assert len(corpus.seen) > 250
    assert {name: each.events for name, each in corpus.seen.items() if each.events} == {}
    assert not corpus.marked


def test_every_command_ends_as_it_should(corpus: Corpus) -> None:
    codes = {name: [code for code, _ in each.told] for name, each in corpus.seen.items()}
    assert {name for name, each in codes.items() if not set(each) <= {0, 1, 2}} == set()
    refused = {name for name, each in codes.items() if each == [2] * 3}
    assert refused >= {name for name, each in corpus.seen.items() if each.kind in ("raw", "zip", "legacy")}
    output = "".join(text for each in corpus.seen.values() for _, text in each.told)
    assert "internal-error" not in output
    assert "Traceback" not in output


def test_files_without_weights_name_the_call_and_say_that_nothing_ran(corpus: Corpus) -> None:
    for name, each in corpus.seen.items():
        if each.kind in ("raw", "zip", "legacy") and not any(data in name for data in DATA_AT_HEART):
            code, text = each.told[0]
            assert code == 2
            assert "nothing of it was run" in text.lower(), (name, text)
            assert "calls '" in text or "it names '" in text, (name, text)
            if name.endswith(" os.system") or name.partition(" ")[2] in hostile.streams(Path()).keys() - {"extension"}:
                assert "os.system'" in text, (name, text)


def test_files_with_weights_are_read_and_say_so_too(corpus: Corpus) -> None:
    for name, each in corpus.seen.items():
        if each.kind in ("weights", "tensor") and not any(data in name for data in DATA_AT_HEART):
            code, text = each.told[0]
            assert code == 2 or "w  " in text or "good" in text, (name, text)
            for _, text in each.told:
                assert "nothing of it was run" in text.lower(), (name, text)


def test_names_from_a_pickle_steer_no_terminal(corpus: Corpus) -> None:
    output = "".join(text for each in corpus.seen.values() for _, text in each.told)
    assert "\x1b" not in output
    assert "os\\x1b[31m.system" in output


def test_the_watch_sees_what_pickle_lets_these_files_do(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "corpus").mkdir()
    files = {}
    for name, payload in hostile.payloads(marker).items():
        if name in HARMLESS:
            files[str(tmp_path / "corpus" / name)] = pickled(payload)
    for name, stream in hostile.streams(marker).items():
        if name not in NEVER_RUNS:
            files[str(tmp_path / "corpus" / name)] = stream
    for path, content in files.items():
        Path(path).write_bytes(content)
    seen = watched(tmp_path, list(files), "pickle")
    assert {path for path, each in seen.items() if not each["events"]} == set()
    system = [
        event for event in seen[str(tmp_path / "corpus" / "os.system")]["events"] if event.startswith("os.system")
    ]
    assert len(system) == 1
    assert marker.exists()


def marked(folder: Path, content: bytes, load: Callable[[Path], Any]) -> bool:
    (folder / "f").write_bytes(content)
    try:
        load(folder / "f")
    except Exception:  # a payload gives no tensors
        return (folder / "marker").exists()
    return (folder / "marker").exists()


def test_the_payloads_are_real(tmp_path: Path) -> None:
    # torch runs them where it is told to trust the file: in an archive, in a legacy file, and inside a tensor.
    import torch

    payload = hostile.payloads(tmp_path / "marker")["os.system"]
    value = hostile.in_tensors(payload)["hooks"]
    for made in (
        torch_zip(tmp_path / "a", payload, {}),
        legacy(tmp_path / "b", payload, {}),
        torch_zip(tmp_path / "c", {"w": value}, {"0": WEIGHT}),
    ):
        assert marked(tmp_path, made.read_bytes(), lambda path: torch.load(path, weights_only=False))
        (tmp_path / "marker").unlink()
        assert not marked(tmp_path, made.read_bytes(), lambda path: torch.load(path, weights_only=True))
