"""What a screen tells to paste, run as it stands there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

import ckptnames
from ckptnames.cli.main import cli

ROOT = Path(ckptnames.__file__).parents[1]


def screen(*args: str) -> str:
    """Run a command that finds something, and give what it prints."""
    result = CliRunner().invoke(cli, list(args))
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def commands(text: str, verb: str = "") -> list[str]:
    """Give the commands on a screen."""
    return [line.strip() for line in text.splitlines() if line.startswith(f"  ckptnames {verb}")]


def run(command: str) -> Result:
    """Run a command as a shell would, without the time that a shell and a process take."""
    name, *words = shlex.split(command)
    assert name == "ckptnames"
    return CliRunner().invoke(cli, words)


def pasted(command: str) -> str:
    """Run a command in bash, where it has to succeed, and give its output file."""
    script = f'ckptnames() {{ "{sys.executable}" -m ckptnames "$@"; }}\n{command}'
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].removeprefix("wrote ")
