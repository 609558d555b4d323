"""The order of rooms, who may print, what an import costs, and how long a module may get."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import ckptnames

PACKAGE = Path(ckptnames.__file__).parent
ROOT = PACKAGE.parent

ROOMS = (
    ("wording",),
    ("errors",),
    ("keys", "manifest", "droppable"),
    ("rules",),
    ("folding",),
    ("formats",),
    ("prediction",),
    ("operands",),
    ("values",),
    ("inference",),
    ("interop",),
    ("diffs", "like", "fixing", "loading"),
    ("report",),
    ("cli",),
)
"""From the top down, as ``docs/design.md`` has them: a room imports from its own row and from those above."""

LEVELS = {room: level for level, row in enumerate(ROOMS) for room in row}
MOST_LINES = 450


class Import(NamedTuple):
    """One import of one module: what is imported, and the function that it stands in (``""`` at the top)."""

    module: str
    imported: str
    function: str

    def __str__(self) -> str:
        return f"{self.module} imports {self.imported}" + (f" in {self.function}" if self.function else "")


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.glob("**/*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(module: str, source: str) -> Iterator[Import]:
    """Give every import of a module, those for type checkers and those inside functions included."""
    inside: dict[ast.AST, str] = {}
    for node in ast.walk(ast.parse(source)):
        within = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else inside.get(node, "")
        inside.update(dict.fromkeys(ast.iter_child_nodes(node), within))
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, within) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            yield Import(module, node.module or "", within)


@cache
def all_imports() -> list[Import]:
    return [each for module, path in MODULES.items() for each in imports(module, path.read_text(encoding="utf-8"))]


def room(module: str) -> str:
    """Name the room of a module; the facade and ``__main__`` stand outside."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def wrong_arrows(found: Iterable[Import]) -> list[str]:
    return [str(each) for each in found if not _allowed(each)]


def _allowed(each: Import) -> bool:
    if each.imported.partition(".")[0] != "ckptnames" or room(each.module) in ("", "__main__"):
        return True
    if room(each.imported) == "report" and each.function == "__str__":
        return True
    if each.imported == "ckptnames":
        # The facade leads to everything: a room that imported it would import what is below it.
        return room(each.module) == "cli"
    return LEVELS[room(each.imported)] <= LEVELS[room(each.module)]


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in MODULES} - {"", "__main__"} == LEVELS.keys()


def test_the_design_page_has_the_same_rooms_in_the_same_order() -> None:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [tuple(name.strip(" `/") for name in cell.split(",")) for cell in table]
    assert named == [tuple(row) for row in ROOMS]


def test_a_room_imports_only_from_rooms_above() -> None:
    assert wrong_arrows(all_imports()) == []


def test_the_facade_imports_nothing_when_it_is_imported() -> None:
    tree = ast.parse(MODULES["ckptnames"].read_text(encoding="utf-8"))
    at_the_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in at_the_top] == [
        "from __future__ import annotations",
        "from typing import TYPE_CHECKING",
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ckptnames.keys", "from ckptnames.rules import Rules"),
        ("ckptnames.rules.rule", "def f():\n    from ckptnames.formats.reading import read"),
        ("ckptnames.formats.reading", "if TYPE_CHECKING:\n    import ckptnames.inference.wrappers.pairing"),
        ("ckptnames.diffs", "from ckptnames.report.diff import diff_text"),
        ("ckptnames.report.diff", "from ckptnames.cli.screen import out"),
        ("ckptnames.inference.wrappers.pairing", "import ckptnames"),
    ],
)
def test_wrong_arrows_are_seen(module: str, source: str) -> None:
    assert len(wrong_arrows(imports(module, source))) == 1


def test_right_arrows_are_let_through() -> None:
    source = "class A:\n    def __str__(self):\n        from ckptnames.report.diff import diff_text\nimport json\n"
    assert wrong_arrows(imports("ckptnames.diffs", source)) == []


def outsiders(found: Iterable[Import], name: str) -> set[str]:
    """Name the rooms that import a package."""
    return {room(each.module) for each in found if each.imported.partition(".")[0] == name}


def test_who_knows_click_torch_and_numpy() -> None:
    found = all_imports()
    assert outsiders(found, "click") == {"cli"}
    assert outsiders(found, "torch") == {"prediction", "loading"}
    assert outsiders(found, "numpy") == {"prediction", "values"}  # source may compute with it


def test_only_the_command_line_prints() -> None:
    assert {room(module) for module, path in MODULES.items() if printing(path.read_text("utf-8"))} == {"cli"}


def printing(source: str) -> list[str]:
    """Find what writes to the streams of the process, outside docstrings."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if _prints(node)]


def _prints(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="stdout" | "stderr" | "stdin"):
            return True
        case ast.Call(func=ast.Name(id="print" | "input")):
            return True
    return False


def test_printing_is_seen() -> None:
    assert printing("print(1)\nimport sys\nsys.stderr.write('a')") == ["print(1)", "sys.stderr"]


def test_no_module_has_two_subjects() -> None:
    lengths = {module: len(path.read_text("utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: n for module, n in lengths.items() if n > MOST_LINES} == {}


def test_the_facade_names_all_that_is_public_and_sorted() -> None:
    assert ckptnames.__all__ == sorted(ckptnames.__all__)
    assert set(ckptnames.__all__) == {
        "CkptnamesError",
        "Diff",
        "Inference",
        "LoadReport",
        "Manifest",
        "Migrations",
        "Plan",
        "Rules",
        "TensorInfo",
        "canonical",
        "canonical_state_dict",
        "diff",
        "fix",
        "infer",
        "load",
        "load_hook",
        "migrations",
        "plan",
        "predict",
        "read",
        "remap",
        "remap_optimizer",
        "save",
    }
    assert set(ckptnames._HOMES) == set(ckptnames.__all__)
    for name in ckptnames.__all__:
        assert getattr(ckptnames, name).__name__ == name
        assert getattr(ckptnames, name).__doc__
    assert dir(ckptnames) == sorted([*ckptnames.__all__, "__version__"])
    with pytest.raises(AttributeError, match="has no attribute 'rename'"):
        _ = ckptnames.rename


HEAVY = ("torch", "numpy", "click")


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter, and tell which heavy packages it has loaded in the end."""
    tail = f"\nimport sys, json\nprint('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_ckptnames_loads_nothing_heavy() -> None:
    assert loaded_by("import ckptnames") == set()


def test_reading_a_file_in_python_loads_nothing_heavy() -> None:
    assert loaded_by("import ckptnames\nckptnames.read('fixtures/example/trained_ddp.pt')") == set()


SOURCE, TARGET = "fixtures/example/trained_ddp.pt", "fixtures/example/model.safetensors"


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["ls", SOURCE],
        ["ls", "--json", TARGET],
        ["diff", SOURCE, TARGET],
        ["diff", SOURCE, SOURCE, "--values"],
        ["infer", SOURCE, TARGET, "--by-value"],
        ["fix", SOURCE, "--like", TARGET, "-o", "OUT", "--verify"],
    ],
    ids=lambda args: " ".join(arg for arg in args if arg not in (SOURCE, TARGET, "OUT")),
)
def test_commands_on_files_load_neither_torch_nor_numpy(args: list[str], tmp_path: Path) -> None:
    args = [str(tmp_path / "out.pt") if arg == "OUT" else arg for arg in args]
    code = f"from ckptnames.cli.main import main\nassert main({args!r}) in (0, 1)"
    assert loaded_by(code) == {"click"}


@pytest.mark.parametrize("name", ["numpy", "click"])
def test_the_detector_detects(name: str) -> None:
    assert name in loaded_by(f"import ckptnames, {name}")
