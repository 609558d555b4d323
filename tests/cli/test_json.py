"""``--json``: one object on stdout and nothing else, as the published schemas say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from ckptnames.cli.main import COMMANDS, cli
from fixtures import make_golden
from tests.schemas import SCHEMAS, validate

INPUTS = Path(make_golden.__file__).with_name("golden") / "inputs"
NAMES = sorted(path.name for path in INPUTS.iterdir())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(INPUTS, tmp_path / "inputs")
    monkeypatch.chdir(tmp_path / "inputs")


def run(*args: str) -> tuple[int, object]:
    result = CliRunner().invoke(cli, [*args, "--json"])
    assert result.stderr == ""
    return result.exit_code, validate(args[0], result.exit_code, result.stdout)


def test_every_command_has_a_schema_and_the_error_has_one() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == {*COMMANDS, "error", "recipes"}


@pytest.mark.parametrize("name", NAMES)
def test_ls(name: str) -> None:
    code, found = run("ls", name)
    assert code == (2 if name in ("cut.safetensors", "pointer.safetensors", "error.txt", "renamed.rules") else 0)
    if code == 0:
        Path("again.json").write_text(json.dumps(found))
        assert CliRunner().invoke(cli, ["ls", "--flat", "again.json"]).stdout == (
            CliRunner().invoke(cli, ["ls", "--flat", name]).stdout
        )


@pytest.mark.parametrize("name", NAMES)
def test_diff(name: str) -> None:
    for target in ("model.json", "five_classes.json", "wrapped.json"):
        assert run("diff", name, target)[0] in (0, 1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_fix(name: str) -> None:
    assert run("fix", name, "--like", "model.json", "-o", f"out{Path(name).suffix}")[0] in (0, 1, 2)
    assert run("fix", name, "--strip", "module", "-o", f"stripped{Path(name).suffix}")[0] in (0, 1, 2)


def test_predict() -> None:
    code, found = run("predict", "torch.nn:Sequential()")
    assert code == 0
    code, found = run("predict", "torch.nn:BatchNorm1d(4)", "--wrap", "ddp", "--explain")
    assert code == 0
    Path("again.json").write_text(json.dumps(found))
    assert CliRunner().invoke(cli, ["ls", "--flat", "again.json"]).stdout.splitlines()[-1] == (
        "module.num_batches_tracked\tscalar\tI64"
    )


@pytest.mark.parametrize("name", NAMES)
def test_infer(name: str) -> None:
    for target in ("model.json", "five_classes.json", "wrapped.json"):
        assert run("infer", name, target)[0] in (0, 1, 2)


def test_infer_with_all_that_it_can_say() -> None:
    manifests = {
        "source.json": {
            "stem.weight": [3, 4],
            "a.weight": [5, 5],
            "b.weight": [5, 5],
            "l.query_key_value.weight": [6, 2],
        },
        "target.json": {"first.weight": [3, 4], "c.weight": [5, 5], "d.weight": [5, 5], "l.c_attn.weight": [6, 2]},
    }
    for path, shapes in manifests.items():
        tensors = {key: {"dtype": "F32", "shape": shape} for key, shape in shapes.items()}
        Path(path).write_text(json.dumps({"tensors": tensors}))
    code, found = run("infer", "source.json", "target.json")
    assert isinstance(found, dict)
    assert (code, found["complete"]) == (1, False)
    assert found["mapping"] == {"first.weight": "stem.weight", "l.c_attn.weight": "l.query_key_value.weight"}
    assert [caution["code"] for caution in found["cautions"]] == ["fused-layout"]
    assert [each["targets"] for each in found["ambiguous"]] == [["c.weight", "d.weight"]]


def test_diff_says_why_there_are_no_rules() -> None:
    _, found = run("diff", "fsdp.pt", "model.json")
    assert isinstance(found, dict)
    assert found["rules"] is None
    assert [caution["code"] for caution in found["cautions"]] == ["flat-parameters"]
    _, found = run("diff", "dino.safetensors", "model.json")
    assert isinstance(found, dict)
    assert [caution["code"] for caution in found["cautions"]] == ["ambiguous-inference"]
    assert "'student.backbone.'" in found["cautions"][0]["message"]


def test_a_usage_error() -> None:
    assert run("ls", "lm.pt", "--flatt") == (
        2,
        {
            "error": {
                "code": "bad-usage",
                "message": "'ckptnames ls' has no option '--flatt'",
                "where": "",
                "help": "did you mean '--flat'?",
            }
        },
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"error": {"code": "no-such-path", "message": "", "where": ""}},
        {"error": {"code": "NoSuchPath", "message": "", "where": "", "help": ""}},
        {"error": {"code": "no-such-path", "message": "", "where": "", "help": "", "more": ""}},
    ],
)
def test_the_schema_sees_what_is_wrong(wrong: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate("ls", 2, json.dumps(wrong) + "\n")
