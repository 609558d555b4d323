"""The fixtures are what ``fixtures/README.md`` says they are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
from safetensors.torch import load_file

from fixtures import make_example
from fixtures.realckpts.fetch import packages
from tests.torch_oracle import differences

FIXTURES = Path(make_example.__file__).parent


def test_small_checkpoints_are_the_pinned_files() -> None:
    rows = re.findall(r"\| `(\S+)` \| (\S+) (\S+) \| `(\S+)` \| (\S+) \|", (FIXTURES / "README.md").read_text("utf-8"))
    pinned = packages()
    for file, name, version, path, licence in rows:
        assert (version, licence) == (pinned[name].version, pinned[name].licence)
        digest = hashlib.sha256((FIXTURES / "checkpoints" / file).read_bytes()).hexdigest()
        assert digest == pinned[name].checkpoints[path]
        assert (FIXTURES / "checkpoints" / "licences" / f"{name}.txt").read_text("utf-8").count("Copyright (c)") == 1
    assert {row[0] for row in rows} == {p.name for p in (FIXTURES / "checkpoints").iterdir() if p.is_file()}


def test_the_example_is_what_its_script_makes(tmp_path: Path) -> None:
    make_example.main(tmp_path)
    kept, made = (torch.load(f / "trained_ddp.pt", weights_only=True) for f in (FIXTURES / "example", tmp_path))
    assert list(kept["model"]) == list(made["model"])
    assert differences(kept["args"], made["args"]) == []
    # Another processor may round the training step otherwise.
    assert all(torch.allclose(kept["model"][key], tensor) for key, tensor in made["model"].items())
    kept, made = (load_file(f / "model.safetensors") for f in (FIXTURES / "example", tmp_path))
    assert differences(kept, made) == []


def test_the_example_differs_by_its_wrappers_alone() -> None:
    trained = torch.load(FIXTURES / "example" / "trained_ddp.pt", weights_only=True)["model"]
    wanted = load_file(FIXTURES / "example" / "model.safetensors")
    assert sorted(trained) == sorted(f"module._orig_mod.{key}" for key in wanted)
