"""Models whose source is to be read, and is not where it is said to be."""

from __future__ import annotations

from pathlib import Path

import torch

from ckptnames import errors
from tests.errors.raising import command, raises
from tests.predict.sources import write
from tests.prediction.static.committing import git


def committed() -> None:
    """Commit a model, in a repository of its own."""
    git("init", "-q", "-b", "main")
    write(Path("src/model.py"), "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 1)\n")
    git("add", ".")
    git("commit", "-q", "-m", "one")


@raises(errors.NoRepository)
def no_repository() -> None:
    """
    error[no-repository]: 'git:HEAD:model.py:Net' names a git revision, and the current folder is in no repository that git reads
      help: go to the folder of the repository first; this tells which it is: git rev-parse --show-toplevel
    """
    command("ls", "git:HEAD:model.py:Net")


@raises(errors.NoSuchRevision)
def a_misspelled_revision() -> None:
    """
    error[no-such-revision]: there is no revision 'mian' in this repository, as 'git:mian:src/model.py:Net' says
      help: did you mean 'main'?
    """
    committed()
    command("predict", "git:mian:src/model.py:Net")


@raises(errors.NoSuchRevision)
def a_revision_like_none() -> None:
    """
    error[no-such-revision]: there is no revision '-q' in this repository, as 'git:-q:src/model.py:Net' says
      help: git log --oneline lists the revisions that there are
    """
    committed()
    command("predict", "git:-q:src/model.py:Net")


@raises(errors.NotInRevision)
def a_file_that_a_revision_does_not_have() -> None:
    """
    error[no-such-path]: 'src/modle.py' is not in revision 'HEAD'
      help: did you mean 'src/model.py'?
    """
    committed()
    command("ls", "git:HEAD:src/modle.py:Net")


@raises(errors.NotPython)
def source_that_is_no_python() -> None:
    """
    error[not-python]: 'model.py' is no Python that can be read: invalid syntax
      --> model.py:2
      help: see what Python says of it: python -m py_compile model.py
    """
    Path("model.py").write_text("import torch\nclass Net(: pass\n", encoding="utf-8")
    command("predict", "model.py:Net", "--static")


@raises(errors.NoSuchName)
def a_name_that_the_source_does_not_have() -> None:
    """
    error[no-such-name]: 'model.py' has no 'Ner'
      help: did you mean 'model.py:Net'?
    """
    write(Path("model.py"), "class Net(nn.Linear):\n    pass\n")
    command("predict", "model.py:Ner", "--static")


@raises(errors.OpenTarget)
def a_target_that_is_known_in_part() -> None:
    """
    error[open-target]: 'git:HEAD:model.py:Net' tells only in part which keys it has: 1 part of it is open
      'encoder.?' is open: 'kernels_of_nobody' is not installed (git:HEAD:model.py:5)
      help: let it be built where its code runs, and give what that prints as the target: ckptnames predict model.py:Net --json > names.json. Nothing was written
    """
    git("init", "-q", "-b", "main")
    write(
        Path("model.py"),
        """
        import kernels_of_nobody

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = kernels_of_nobody.Encoder()
                self.head = nn.Linear(1, 1, bias=False)
        """,
    )
    git("add", ".")
    git("commit", "-q", "-m", "one")
    torch.save({"module.head.weight": torch.zeros(1, 1)}, "trained.pt")
    command("fix", "trained.pt", "--like", "git:HEAD:model.py:Net", "-o", "out.pt")
