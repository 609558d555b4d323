"""``fix`` changes names and nothing else: torch and safetensors read back what they would read of the source."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptnames
from ckptnames.rules.pattern import quoted
from tests.fixing.checkpoints import Form, Made, checkpoints, forms, inside, load, renamed, renames
from tests.torch_oracle import differences

Names = Mapping[str, Sequence[str]]

many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def rules_of(names: Names) -> str:
    return "\n".join(f"{quoted(key)} -> {' & '.join(map(quoted, new)) or '!drop'}" for key, new in names.items())


def tensors_of(made: Made) -> list[str]:
    return [key for key, value in made.weights.items() if isinstance(value, torch.Tensor)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert not [path.name for path in tmp_path.iterdir() if ".ckptnames-" in path.name]


def fixed(folder: Path, made: Made, form: Form, names: Names, **options: Any) -> tuple[Path, Path]:
    """Save the checkpoint and rename its weights; give both files."""
    source, out = folder / "source.pt", folder / "out.pt"
    form.save(made.content, source)
    ckptnames.fix(source, out, rules=rules_of(names), container=made.container, force=True, **options)
    return source, out


def readable_by_torch(path: Path, **options: Any) -> bool:
    try:
        torch.load(path, weights_only=True, **options)
    except Exception:  # whatever it stops at
        return False
    return True


@many
@given(st.data(), checkpoints(), forms)
def test_keys_and_module_paths_change_and_nothing_else(
    folder: Path, draws: st.DataObject, made: Made, form: Form
) -> None:
    names = draws.draw(renames(tensors_of(made)))
    source, out = fixed(folder, made, form, names)
    expected = load(source)
    renamed(Made(expected, made.path), names)
    assert differences(expected, load(out)) == []
    assert readable_by_torch(out) >= readable_by_torch(source)


@many
@given(st.data(), checkpoints(), forms)
def test_keys_are_left_out_and_tied_and_nothing_else(
    folder: Path, draws: st.DataObject, made: Made, form: Form
) -> None:
    keys = tensors_of(made)
    kinds = draws.draw(st.lists(st.sampled_from(["keep", "drop", "tie"]), min_size=len(keys), max_size=len(keys)))
    kinds[0] = "keep"
    new: dict[str, list[str]] = {"keep": [""], "drop": [], "tie": ["one.", "two."]}
    names = {key: [prefix + key for prefix in new[kind]] for key, kind in zip(keys, kinds, strict=True)}
    source, out = fixed(folder, made, form, names)
    expected = load(source)
    without_metadata(inside(expected, made.path))
    renamed(Made(expected, made.path), names)
    written = load(out)
    without_metadata(inside(written, made.path))
    assert differences(expected, written) == []
    assert readable_by_torch(out) >= readable_by_torch(source)


def without_metadata(state: Any) -> None:
    """What becomes of a module that loses keys or gets two homes is held where it is decided."""
    getattr(state, "__dict__", {}).pop("_metadata", None)


@many
@given(st.data(), checkpoints(), forms)
def test_there_and_back_again(folder: Path, draws: st.DataObject, made: Made, form: Form) -> None:
    names = draws.draw(renames(tensors_of(made)))
    source, out = fixed(folder, made, form, names)
    rules = ckptnames.Rules.parse(rules_of(names))
    back = folder / "back.pt"
    ckptnames.fix(out, back, rules=rules.inverse(tensors_of(made)), container=made.container, force=True)
    assert differences(load(source), load(back)) == []
    if form.is_zip:
        before, after = records(source), records(back)
        assert list(before) == list(after)
        assert {name for name in before if before[name] != after[name]} <= {"source/data.pkl"}


def records(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@many
@given(st.data(), checkpoints(), st.integers(2, 5), st.sampled_from([64, 4096]))
def test_a_written_archive_can_be_mapped_into_memory(
    folder: Path, draws: st.DataObject, made: Made, protocol: int, alignment: int
) -> None:
    names = draws.draw(renames(tensors_of(made)))
    with torch.utils.serialization.config.patch("save.storage_alignment", alignment):  # type: ignore[attr-defined]
        source, out = fixed(folder, made, Form(True, protocol), names)
    assert differences(load(out), load(out, mmap=True)) == []
    for path in (source, out):
        with zipfile.ZipFile(path) as archive:
            starts = [data_start(path, info) for info in archive.infolist() if "/data/" in info.filename]
        assert not any(start % alignment for start in starts)


def data_start(path: Path, info: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
    return info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")


@many
@given(st.data(), checkpoints(rests=("optimizer", "optimizer_2", "model_ema", "names", "args")), forms)
def test_also_renames_where_it_is_asked_to_and_nowhere_else(
    folder: Path, draws: st.DataObject, made: Made, form: Form
) -> None:
    if not made.path:
        return
    names = draws.draw(renames(tensors_of(made)))
    also = [name for name in ("optimizer", "optimizer_2", "model_ema", "names") if name in made.content]
    source, out = fixed(folder, made, form, names, also=also)
    expected = load(source)
    renamed(Made(expected, made.path), names)
    if "model_ema" in also and made.weights is not made.content["model_ema"]:
        renamed(Made(expected, ("model_ema",)), names)
    one = {key: new[0] for key, new in names.items()}
    if "optimizer" in also:
        state, groups = expected["optimizer"]["state"], expected["optimizer"]["param_groups"]
        moments = {one.get(key, key): value for key, value in state.items()}
        state.clear()
        state.update(moments)
        groups[0]["params"] = [one.get(key, key) for key in groups[0]["params"]]
    if "optimizer_2" in also:
        group = expected["optimizer_2"]["param_groups"][0]
        group["param_names"] = [one.get(key, key) for key in group["param_names"]]
    if "names" in also:
        listed = {one.get(key, key): one.get(value, value) for key, value in expected["names"].items()}
        expected["names"].clear()
        expected["names"].update(listed)
    assert differences(expected, load(out)) == []


@many
@given(st.data(), checkpoints(), st.booleans())
def test_an_archive_that_was_packed_anew_is_copied_as_it_is_packed(
    folder: Path, draws: st.DataObject, made: Made, drop: bool
) -> None:
    names: Names = draws.draw(renames(tensors_of(made)))
    if drop:
        names = {key: new if n else [] for n, (key, new) in enumerate(names.items())} if len(names) > 1 else names
    Form(True, 2).save(made.content, folder / "torch.pt")
    source, out = folder / "source.pt", folder / "out.pt"
    with zipfile.ZipFile(folder / "torch.pt") as saved, zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in saved.namelist():
            packed.writestr(name, saved.read(name))
    ckptnames.fix(source, out, rules=rules_of(names), container=made.container, force=True)
    expected, written = load(source), load(out)
    renamed(Made(expected, made.path), names)
    if drop:
        for loaded in (expected, written):
            without_metadata(inside(loaded, made.path))
    assert differences(expected, written) == []
    before, after = records(source), records(out)
    assert {name: before[name] for name in after if name != "torch/data.pkl"} == {
        name: after[name] for name in after if name != "torch/data.pkl"
    }


def test_pickling_again_is_not_how_it_is_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an unknown class pickled stands in the new file byte for byte: no class was asked to write it again."""
    made = Made({"model": {"a.w": torch.zeros(2)}, "cfg": Opaque()}, ("model",))
    _, out = fixed(folder, made, Form(True, 2), {"a.w": ["b.w"]})
    assert b"secret of this class" in records(out)["source/data.pkl"]
    assert isinstance(load(out)["cfg"], Opaque)


class Opaque:
    """An object whose pickle says more than it remembers."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _opaque, (b"secret of this class",)


def _opaque(secret: bytes) -> Opaque:
    return Opaque()
