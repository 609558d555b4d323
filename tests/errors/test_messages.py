"""Every error, by its whole text: each case makes one mistake through a public verb or the command line.

The cases stand in the modules beside this one, by subject; the docstring of a case is what it must say.
"""

from __future__ import annotations

import ast
import inspect
import pickle
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest

from ckptnames import errors
from ckptnames.errors import CkptnamesError
from tests.errors.raising import AS_JSON, Case, ToldAsJson, all_cases

CASES = all_cases()
PACKAGE = Path(errors.__file__).parent.parent


def classes() -> list[type[CkptnamesError]]:
    return [each for name in errors.__all__ if isinstance(each := getattr(errors, name), type)]


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.chdir(tmp_path)
    return CASES[request.param]


def caught(case: Case) -> CkptnamesError:
    with pytest.raises(CkptnamesError) as info:
        case.act()
    return info.value


def test_the_whole_text(case: Case) -> None:
    error = caught(case)
    assert str(error) == case.text
    assert type(error) is case.error
    _promises(error)
    _survives_a_pickle(error)
    # Whatever was asked for, nothing half-written is left.
    assert not list(Path().glob("**/*.ckptnames-*"))


def _promises(error: CkptnamesError) -> None:
    """What holds for every text: one line each, an action, and no advice to do without a check."""
    assert error.code in str(error).partition("]")[0]
    assert "\n" not in error.message + error.where + error.advice
    assert error.help
    for hazard in ("--force", "weights_only=False", "allow shape-mismatch='**'", "allow unfilled-target='**'"):
        assert hazard not in str(error)
    assert error.as_json() == {
        "code": error.code,
        "message": error.message,
        "where": error.where,
        "help": error.advice,
    }


def _survives_a_pickle(error: CkptnamesError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.__dict__, again.args) == (str(error), error.__dict__, error.args)


COMMANDS = [name for name, each in CASES.items() if "    command(" in inspect.getsource(each.act)]


@pytest.mark.parametrize("name", COMMANDS)
def test_json_says_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = CASES[name]
    context = copy_context()
    context.run(AS_JSON.set, True)
    with pytest.raises(ToldAsJson) as info:
        context.run(case.act)
    found = info.value.found
    if issubclass(case.error, errors.PlanError):
        assert (info.value.exit_code, found["written"]) == (1, None)
        assert case.error.code in {problem["code"] for problem in found["problems"]}
    else:
        assert (info.value.exit_code, case.text) == (2, _retold(case, **found["error"]))


def _retold(case: Case, code: str, message: str, where: str, help: str) -> str:
    """Put the text together from the JSON; the evidence is not in it."""
    head = [f"error[{code}]: {message}", *([f"  --> {where}"] if where else [])]
    return "\n".join([*head, *case.text.split("\n")[len(head) : -1], f"  help: {help}"])


def test_every_class_that_is_raised_has_a_case() -> None:
    raised = {name for path in PACKAGE.glob("**/*.py") if path.parent.name != "errors" for name in _made_in(path)}
    with_cases = {case.error.__name__ for case in CASES.values()}
    bases = {base.__name__ for each in classes() for base in each.__mro__[1:]}
    assert {each.__name__ for each in classes()} == with_cases | bases - {"Exception", "BaseException", "object"}
    assert raised <= with_cases
    assert with_cases - raised == BY_CODE


BY_CODE = {"FlatParameters", "ZeroPlaceholders", "QuantisedWeights", "TransposedWeights"}
"""Classes that no module names: `CannotRename.by_code` finds them."""


def _made_in(path: Path) -> Iterator[str]:
    """Name the error classes that a module calls."""
    known = {each.__name__ for each in classes()}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
            yield node.func.id


def test_every_class_is_exported_and_the_list_is_sorted() -> None:
    def below(cls: type[CkptnamesError]) -> set[str]:
        return {cls.__name__}.union(*map(below, cls.__subclasses__()))

    assert {each.__name__ for each in classes()} == below(CkptnamesError)
    assert errors.__all__ == sorted(errors.__all__)


def test_codes_are_kebab_case() -> None:
    for each in classes():
        assert each.code == each.code.lower().replace("_", "-").replace(" ", "-")


def test_long_evidence_is_counted() -> None:
    error = errors.OutputHoldsMore("out", [f"{n}.txt" for n in range(9)], "out-2")
    assert str(error) == (
        "error[output-holds-more]: replacing 'out' would lose 9 files that the new checkpoint does not have\n"
        "  --> out\n"
        "  0.txt\n"
        "  1.txt\n"
        "  2.txt\n"
        "  3.txt\n"
        "  4.txt\n"
        "  … and 4 more\n"
        "  help: choose another name, as in: -o out-2"
    )


def test_hostile_names_cannot_steer_the_terminal() -> None:
    path = "a\x1b]0;title\x07\n\u202eb.pt"
    for error in (errors.NoSuchPath(path, path, [path]), errors.OutputExists(path, path)):
        assert all(character.isprintable() for character in str(error).replace("\n  ", ""))
