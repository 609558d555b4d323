"""What SOURCE and TARGET may be, and that whatever a name is, what is printed can be read and pasted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from ckptnames.cli.main import cli
from ckptnames.wording import in_shell, path_in_shell
from tests.errors.made import manifest, save, weights


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


class TestKinds:
    """In their order: an existing path, a URL, a revision, a file, a module; else a path that is not there."""

    @pytest.mark.parametrize("name", ["net.py:Net", "torch.nn:Linear", "git:HEAD:net.py:Net", "a#b.pt", "#", "a b"])
    def test_an_existing_path_comes_first(self, name: str) -> None:
        save(name, "w")
        assert run("ls", "--flat", name).stdout == "w\t2\tF32\n"

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("s3://bucket/model.py:Net", "operand-not-supported"),
            ("hf://org/model", "operand-not-supported"),
            ("git:v1.0:models/net.py:Net", "no-repository"),
            ("net.py:Net", "no-such-path"),
            ("models/net.py:Net(depth=3)", "no-such-path"),
            ("/abs/net.py:Net", "no-such-path"),
            ("torchwision.models:resnet18", "no-such-module"),
            ("torchwision.models:resnet18(num_classes=10, norm='a:b')", "no-such-module"),
        ],
    )
    def test_kinds_that_come_later_are_told_by_their_form(self, text: str, code: str) -> None:
        save("model.pt", "w")
        for args in (("ls", text), ("diff", "model.pt", text), ("fix", "model.pt", "--like", text, "-o", "out.pt")):
            result = run(*args)
            assert result.exit_code == 2
            assert result.stderr.startswith(f"error[{code}]: ")

    @pytest.mark.parametrize("text", ["modle.pt", "C:\\models\\a.pt", "c:a.pt", "run/model", "model"])
    def test_all_else_is_a_path_that_is_not_there(self, text: str) -> None:
        save("model.pt", "w")
        assert run("ls", text).stderr.startswith(f"error[no-such-path]: '{text}' does not exist")

    def test_the_nearest_names_are_offered(self) -> None:
        save("resnet50.pt", "w")
        save("vit.pt", "w")
        assert run("ls", "resnet5O.pt").stderr.endswith("help: did you mean 'resnet50.pt'?\n")


class TestContainers:
    """``PATH#container``: split at the last ``#``, segments as in rules, a bare ``#`` is the root."""

    def test_by_name(self) -> None:
        torch.save({"model": weights("a"), "ema": weights("b")}, "last.pt")
        assert run("ls", "--flat", "last.pt#ema").stdout == "b\t2\tF32\n"

    def test_a_nested_one(self) -> None:
        torch.save({"state": {"model": weights("a"), "net.g": weights("b")}}, "last.pt")
        assert run("ls", "--flat", "last.pt#state.model").stdout == "a\t2\tF32\n"
        assert run("ls", "--flat", 'last.pt#state."net.g"').stdout == "b\t2\tF32\n"

    def test_the_root(self) -> None:
        save("model.pt", "w")
        assert run("ls", "--flat", "model.pt#").stdout == "w\t2\tF32\n"

    def test_the_last_mark_counts(self) -> None:
        torch.save({"model": weights("a"), "ema": weights("b")}, "run#1.pt")
        assert run("ls", "--flat", "run#1.pt#ema").stdout == "b\t2\tF32\n"
        assert run("ls", "--flat", "run#1.pt").stdout == "a\t2\tF32\n"

    def test_of_a_file_that_is_not_there(self) -> None:
        result = run("ls", "nowhere.pt#ema")
        assert result.stderr.startswith("error[no-such-path]: 'nowhere.pt' does not exist")


AWKWARD = [
    "a b.pt",
    "it's.pt",
    'say "hi".pt',
    "-dash.pt",
    "--help.pt",
    "$HOME.pt",
    "`id`.pt",
    "a;b|c&d.pt",
    "back\\slash.pt",
    "модель-模型.pt",
    "new\nline.pt",
    "esc\x1b[31m.pt",
    "both'\n\\quote.pt",
    "hash#tag.pt",
    "~.pt",
    "*.pt",
    "bell\x07\u202e.pt",
    os.fsdecode(b"latin\xe9.pt"),
]


def parsed(command: str) -> list[str]:
    """Give the arguments that a shell makes of a command that begins with ``ckptnames``."""
    script = "ckptnames() { printf '%s\\0' \"$@\"; }\n" + command
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return [os.fsdecode(arg) for arg in done.stdout.split(b"\0")[:-1]]


@pytest.fixture(params=AWKWARD, ids=ascii)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def training_file(name: str, *keys: str) -> None:
    # torch itself does not write to some of these names.
    torch.save({"model": weights(*keys), "ema": weights("x")}, "made.pt")
    Path("made.pt").rename(name)


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t" for character in text)


class TestAwkwardNames:
    """Paths with spaces, quotes, dashes in front, other scripts, control characters, bytes that are no text."""

    def test_the_command_that_diff_suggests_can_be_pasted(self, name: str) -> None:
        training_file(name, "module.w", "module.b")
        Path("to").mkdir()
        manifest("to/model.json", w=[2], b=[2])
        target = f"to/{name}.json"
        Path("to/model.json").rename(target)
        shown = run("diff", "--", name, target).stdout
        assert is_harmless(shown)
        (command,) = [line for line in shown.splitlines() if line.startswith("  ckptnames fix ")]
        args = parsed(command)
        assert run(*args).exit_code == 0
        assert sorted(torch.load(args[-1], weights_only=True)["model"]) == ["b", "w"]

    def test_what_errors_suggest_can_be_pasted(self, name: str) -> None:
        training_file(name, "module.w")
        missing = run("ls", f"./{name}#modle")
        assert is_harmless(missing.stderr)
        (operand,) = parsed("ckptnames " + missing.stderr.rpartition("as in: ")[2])
        assert run("ls", "--flat", operand).stdout == "module.w\t2\tF32\n"
        taken = run("fix", f"./{name}", "--strip", "module", "-o", f"./{name}", "--force")
        assert taken.stderr.startswith("error[output-is-source]")
        assert is_harmless(taken.stderr)
        advised = taken.stderr.rpartition("as in: ")[2].removesuffix(". Nothing was written\n")
        assert run("fix", f"./{name}", "--strip", "module", *parsed(f"ckptnames {advised}")).exit_code == 0

    def test_every_screen_shows_it_harmlessly(self, name: str) -> None:
        training_file(name, "module.w")
        for args in (("ls",), ("ls", "--flat"), ("ls", "--json"), ("fix", "--strip", "module", "-o", f"out {name}")):
            result = run(args[0], *args[1:], "--", name)
            assert result.exit_code == 0
            assert is_harmless(result.output)

    def test_quoting_is_read_back_by_a_shell(self, name: str) -> None:
        assert parsed(f"ckptnames {in_shell(name)}") == [name]
        assert parsed(f"ckptnames {path_in_shell(name)}") == [f"./{name}" if name.startswith("-") else name]


def test_hostile_keys_are_escaped_on_every_screen() -> None:
    keys = ["\x1b]0;owned\x07.weight", "a\nb.weight", "‮evil.weight", "tab\there.weight"]
    save("model.pt", *[f"module.{key}" for key in keys])
    save("target.pt", *keys[:3])
    for args in (
        ("ls", "model.pt"),
        ("ls", "--flat", "model.pt"),
        ("ls", "--json", "model.pt"),
        ("diff", "model.pt", "target.pt"),
        ("diff", "--json", "model.pt", "target.pt"),
        ("fix", "model.pt", "--strip", "module", "-o", "out.pt", "--dry-run"),
        ("fix", "model.pt", "--strip", "module", "--like", "target.pt", "-o", "out.pt", "--drop-unexpected"),
        ("fix", "model.pt", "--rule", "module.{k}.weight -> w", "-o", "none.pt"),
        ("ls", "model.pt#\x1b[31m"),
    ):
        assert is_harmless(run(*args).output), args


def test_rules_that_diff_suggests_are_quoted_for_rules_and_shell() -> None:
    state = weights(*[f"{copy}.{key}" for copy in ("it's one", "the other") for key in ("w", "b", "a.w", "a.b")])
    torch.save(state, "two.pt")
    manifest("model.json", **{key: [2] for key in ("w", "b", "a.w", "a.b")})
    shown = run("diff", "two.pt", "model.json").stdout
    commands = [line for line in shown.splitlines() if line.startswith("  ckptnames fix ")]
    assert len(commands) == 2
    for command in commands:
        args = parsed(command)
        assert run(*args).exit_code == 0
        assert sorted(torch.load(args[-1], weights_only=True)) == ["a.b", "a.w", "b", "w"]


def test_bash_is_there() -> None:
    assert shutil.which("bash")
