"""Cases: a function that makes one mistake through a public verb or the command line, with the whole text it gets."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click.testing
import pytest

from ckptnames.cli import fix, main, screen
from ckptnames.errors import CkptnamesError, PlanError
from tests.schemas import validate

Act = Callable[[], object]


class Case(NamedTuple):
    """A mistake, the class that it raises, and what that says."""

    error: type[CkptnamesError]
    text: str
    act: Act


CASES: dict[str, Case] = {}
SUBJECTS = (
    "operands",
    "foreign",
    "damage",
    "safetensors_damage",
    "documents",
    "output",
    "rules",
    "plans",
    "models",
    "building",
    "distributed",
    "tables",
    "loading",
    "sources",
)


def all_cases() -> dict[str, Case]:
    """Give the cases of all subjects."""
    for subject in SUBJECTS:
        import_module(f"tests.errors.{subject}")
    return CASES


def raises(error: type[CkptnamesError]) -> Callable[[Act], Act]:
    """Register a case: its docstring is the whole text of the error."""

    def registered(act: Act) -> Act:
        name = f"{act.__module__.rpartition('.')[2]}:{act.__name__}"
        assert name not in CASES
        CASES[name] = Case(error, inspect.cleandoc(act.__doc__ or ""), act)
        return act

    return registered


class ToldAsJson(Exception):
    """What a command printed with ``--json``, and its exit code."""

    def __init__(self, found: dict[str, Any], exit_code: int) -> None:
        super().__init__(found, exit_code)
        self.found, self.exit_code = found, exit_code


AS_JSON = ContextVar("AS_JSON", default=False)
"""True where commands are to run with ``--json``, and raise what they print."""


def command(*args: str, stdin: str = "") -> NoReturn:
    """Run a command that must fail, hold where it prints and its exit code, and raise the error that it reports."""
    if AS_JSON.get():
        result = click.testing.CliRunner().invoke(main.cli, [args[0], "--json", *args[1:]], input=stdin)
        assert not result.stderr or "internal-error" in result.stdout
        raise ToldAsJson(validate(args[0], result.exit_code, result.stdout), result.exit_code)
    seen: list[CkptnamesError] = []

    def talk_error(error: CkptnamesError) -> None:
        seen.append(error)
        screen.talk_error(error)

    with pytest.MonkeyPatch.context() as patch:
        for module in (main, fix):
            patch.setattr(module, "talk_error", talk_error)
        result = click.testing.CliRunner().invoke(main.cli, list(args), input=stdin)
    (error,) = seen
    assert result.stdout == ""
    assert result.stderr.endswith(f"{error}\n")
    assert result.exit_code == exit_code_of(error)
    raise error


def exit_code_of(error: CkptnamesError) -> int:
    return 1 if isinstance(error, PlanError) else 2
