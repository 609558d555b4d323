"""The pages about other libraries, run with the real ones: install the extra ``frameworks`` first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ckptnames.errors import CannotTranslate
from ckptnames.interop import transformers_table
from tests.docs.fences import ROOT, Page, fences
from tests.predict.whole_models import torchvision

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]

PAGES = sorted((ROOT / "docs/frameworks").glob("*.md"))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torchvision()
    yield


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_fence_is_as_it_says(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    monkeypatch.chdir(tmp_path)
    Page(tmp_path).run(list(fences(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))))


def test_a_renaming_does_what_the_object_of_transformers_does() -> None:
    """Every plain renaming that the library has, on names that its patterns are cut from and on those of a model."""
    every: Any = import_module("transformers.conversion_mapping")._build_checkpoint_conversion_mapping()
    loading: Any = import_module("transformers.core_model_loading")
    models: Any = import_module("transformers")
    keys = [*models.BertModel(models.BertConfig()).state_dict(), *models.ViTModel(models.ViTConfig()).state_dict()]
    n_tables = n_renamed = 0
    for table in every.values():
        renamings = [each for each in table if type(each) is loading.WeightRenaming]
        ours = transformers_table(renamings)
        told = [sample for each in renamings for source in each.source_patterns for sample in samples(source)]
        for key in (*keys, *told):
            becomes = loading.apply_renamings(key, renamings)
            assert ours(key) == becomes
            n_renamed += key != becomes
        n_tables += bool(renamings)
    assert n_tables > 100 and n_renamed > 5000


def samples(pattern: str) -> Iterator[str]:
    """Write names that a pattern may match, by filling in what it leaves open."""
    text = pattern.removeprefix("^").replace("\\.", ".").replace("(\\d+)", "3").replace("\\d+", "3").replace("*.", "a.")
    for before in ("", "model.", "x.layers.0."):
        for after in ("", ".weight", "weight", "s.bias"):
            yield f"{before}{text}{after}"


def test_what_else_the_library_keeps_in_its_lists_is_refused_or_kept_apart() -> None:
    every: Any = import_module("transformers.conversion_mapping")._build_checkpoint_conversion_mapping()
    refused = read = 0
    for table in every.values():
        try:
            found = transformers_table(table)
        except CannotTranslate:
            refused += 1
            continue
        read += 1
        kinds = [type(each).__name__ for each in table]
        assert [bool(each.changes_values) for each in found.entries] == [kind == "WeightConverter" for kind in kinds]
    assert read > 4 * refused > 0
