"""Every fence of README.md and of the pages in docs/ is run, and is as it says.

The fences of a page are run from top to bottom in one empty folder that has a copy of ``fixtures/``. The first word
behind the backticks says how:

``rules``    A rule file, which must parse.
``keys``     What the rules above make of keys, one a line: ``before => after``, ``=> after & second``, ``=> (dropped)``
             or ``=> (open)``, the ``=>`` aligned. Directly before an ``error``, only the keys.
``error``    The whole text of the error that the rules above raise: directly after ``rules`` when they are read,
             directly after ``keys`` when they are planned for these.
``says``     The whole text of an error, word for word that of a case in ``tests/errors``.
``python``   With ``>>>`` a doctest, else code that must run. Names live on through the page.
``console``  ``$ command`` and all that it prints, stdout and stderr. The commands share one shell, so ``$ echo $?``
             shows an exit code.
``sh``       Commands that must exit with 0; what they print is not held.
``json``     JSON that must parse.
``text``     A picture or a listing. It holds nothing that could be run.

A second word is a file name: the text is also written there, for the commands below (``rules llama.rules``, ``json
source.json``, ``text error.txt``). In ``keys``, ``error`` and ``console`` a line of ``...`` stands for any lines.
Fences under ``<!-- run: … -->`` install packages; ``.ci/run`` runs them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.fences import KINDS, ROOT, Page, fences

OF_OTHERS = {"accelerate.md", "lightning.md", "timm.md", "transformers.md"}
"""Pages about other libraries, which ``tests/frameworks`` runs with these."""
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("**/*.md")) if page.name not in OF_OTHERS)]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    monkeypatch.chdir(tmp_path)
    return Page(tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_fence_is_as_it_says(page: Page, path: Path) -> None:
    page.run(list(fences(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))))


def test_what_ci_runs_is_there_for_it() -> None:
    marks = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "<!-- run:" in line]
    assert marks == ["<!-- run: try -->", "<!-- run: test -->"]


RIGHT = """
```rules prefix.rules
module.** -> **   # a comment
w.position -> !drop ?
b -> a & c ?
o -> !open ?
```

```keys
module.a   => a
other      => other
w.position => (dropped)
b          => a & c
o          => (open)
```

```rules
a.** -> b
```

```error
error[rule-syntax]: 1 `**` on the left and 0 on the right
  --> <rules>:1:9
  a.** -> b
          ^
  help: write as many `**` on the right as on the left: the n-th stands for what the n-th found
```

```rules
{p}.w -> w
```

```keys
a.w
b.w
```

```error
error[key-collision]: 2 source keys would both become 'w'
...
```

```json source.json
{"tensors": {"module.a": {"dtype": "F32", "shape": [2]}}}
```

```console
$ ckptnames ls --flat \\
    source.json
module.a\t2\tF32
$ cat prefix.rules
module.** -> **   # a comment
...
$ (exit 3)
$ echo $?
3
$ ls nowhere.pt
...
```

```sh
test -f prefix.rules -a -d fixtures
```

```python
import ckptnames
n = len(ckptnames.read("source.json"))
```

```python
>>> n
1
```

```says
error[empty-path]: the path is '', as an unset variable of the shell gives it
  help: give the path of a checkpoint: a file, a folder, or PATH#container
```

```text
a ─> b
```
"""

CASES = {
    "rules that are none": "```rules\na.**\n```",
    "keys that become another": "```rules\na -> b\n```\n```keys\na => c\n```",
    "a key that is not dropped": "```rules\na -> b\n```\n```keys\na => (dropped)\n```",
    "keys that are out of line": "```rules\na -> b\n```\n```keys\na   => b\n```",
    "an error that is none": "```rules\na -> b\n```\n```error\nerror[rule-syntax]: no\n```",
    "another error": "```rules\na.** -> b\n```\n```error\nerror[rule-syntax]: no\n```",
    "an error that no case has": "```says\nerror[rule-syntax]: no\n```",
    "another result": "```python\n>>> 1 + 1\n3\n```",
    "another result of a name": "```python\nx = 1\n```\n```python\n>>> x\n2\n```",
    "code that fails": "```python\nassert False\n```",
    "another output": "```console\n$ echo a\nb\n```",
    "less output": "```console\n$ echo a; echo b\na\n```",
    "a console without a command": "```console\na\n```",
    "a shell that ends": "```console\n$ exit\n$ echo a\na\n```",
    "a command that fails": "```sh\nfalse\ntest -f nowhere\n```",
    "no JSON": "```json\n{]\n```",
    "a command in a text": "```text\n$ ckptnames ls\n```",
    "a rule in a text": "```text\na -> b\n```",
    "no kind": "```\na\n```",
    "an unknown kind": "```toml\na = 1\n```",
    "a fence that stays open": "```python\n1\n",
    "a fence with many words": "```python one two\n1\n```",
    "an indented fence": "- a\n\n  ```python\n  1\n  ```",
    "tildes": "~~~python\n1\n~~~",
}


class TestTheRunner:
    """It lets right pages through, and sees what is wrong."""

    def test_a_right_page(self, page: Page) -> None:
        found = list(fences(RIGHT, "right.md"))
        assert {fence.kind for fence in found} == KINDS.keys()
        page.run(found)

    @pytest.mark.parametrize("case", CASES)
    def test_a_wrong_page(self, page: Page, case: str) -> None:
        with pytest.raises(AssertionError, match=r"^wrong\.md:[0-9]+: "):
            page.run(list(fences(CASES[case], "wrong.md")))

    def test_the_place_of_a_fence(self) -> None:
        (found,) = fences("# Title\n\n```sh name\nfalse\n```\n", "page.md")
        assert (found.place, found.name, found.text) == ("page.md:3", "name", "false\n")

    def test_a_fence_that_ci_runs_is_left_out(self) -> None:
        assert list(fences("<!-- run: try -->\n```sh\nfalse\n```\n", "page.md")) == []
