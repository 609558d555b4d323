"""What is no checkpoint is told what it is, in plain words and with exit code 2; what is one is read under any name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import shutil
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import ckptnames
from ckptnames.cli.main import cli
from ckptnames.errors import (
    CannotRead,
    CkptnamesError,
    GitAnnexPointer,
    GitLfsPointer,
    HtmlPage,
    NoSuchPath,
    SpecialFile,
)
from tests.formats.making import Called, pickled

TENSORS = {"a": torch.ones(2, 3)}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 438007537\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in &amp; wait</title></head><body></body></html>"


def refused(path: Path) -> Any:
    """Hold that the library and every command refuse the file alike, and give the error."""
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(path)
    for args in (
        ["ls", str(path)],
        ["diff", str(path), str(path)],
        ["fix", str(path), "--add", "x", "-o", f"{path}.out"],
    ):
        run = CliRunner().invoke(cli, args)
        assert (run.exit_code, run.stdout) == (2, "")
        assert run.stderr.startswith(f"error[{caught.value.code}]: ")
    report = json.loads(CliRunner().invoke(cli, ["ls", "--json", str(path)]).stdout)
    assert report == {"error": caught.value.as_json()}
    assert caught.value.help
    assert not Path(f"{path}.out").exists()
    return caught.value


def tar_of(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def saved_by_torch() -> bytes:
    out = io.BytesIO()
    torch.save(TENSORS, out)
    return out.getvalue()


def saved_by_numpy(save: Callable[..., None], *args: Any) -> bytes:
    out = io.BytesIO()
    save(out, *args)
    return out.getvalue()


def zip_of(**records: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in records.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def joblib() -> bytes:
    """What joblib writes: a pickle that is broken off, at each array, by the bytes of the array."""
    wrapper = Called("joblib.numpy_pickle.NumpyArrayWrapper")
    return pickled({"mean": wrapper}, 4)[:-2] + b"\xff\xff\x00\x3f" * 8 + b"u."


NO_CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty (0 bytes)"),
    "zeros": (bytes(5000), "begins with zeros (5,000 bytes"),
    "a Git LFS pointer": (POINTER, "Git LFS pointer of 76 bytes, not the file of 438,007,537 bytes"),
    "a web page": (PAGE, "HTML page titled 'Sign in & wait'"),
    "a web page in capitals": (b"\n\n <HTML lang='en'><HEAD>", "HTML page"),
    "a web page after a comment": (b"<!-- saved --><html>", "HTML page"),
    "an answer in XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
    "an answer in JSON": (b'{"error": "Repository not found"}', "a JSON file: it lists no tensors"),
    "an answer in text": (b"Entry not found", "plain text"),
    "text": ("import torch\nprint('é')\n".encode(), "plain text"),
    "text after a BOM": (b"\xef\xbb\xbfhello", "plain text"),
    "a pickle": (pickle.dumps([1, 2]), "list, 2 entries"),
    "a pickle in text": (pickle.dumps({"a": 1}, 0), "dict, 1 entry"),
    "a pickle of arrays": (pickle.dumps({"w": np.ones(2)}), "dict, 1 entry"),
    "a pickle of tensors": (pickle.dumps(TENSORS), "a pickle of tensors that torch.save did not write"),
    "joblib": (joblib(), "of something else"),
    "gzip of text": (gzip.compress(b"hello"), "a gzip archive"),
    "gzip of torch": (gzip.compress(saved_by_torch()), "a gzip archive of a zip archive, perhaps of torch.save"),
    "gzip of tar": (gzip.compress(tar_of("a")), "a gzip archive of a tar archive"),
    "gzip cut short": (gzip.compress(b"hello")[:11], "a gzip archive"),
    "bzip2": (bz2.compress(b"hello"), "a bzip2 archive"),
    "xz": (lzma.compress(b"hello"), "an xz archive"),
    "zstd": (b"\x28\xb5\x2f\xfd\x00", "a zstd archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00", "a 7z archive"),
    "tar": (tar_of("weights/a.bin"), "a tar archive"),
    "zip": (zip_of(readme=b"hello"), "a zip archive"),
    "an array": (saved_by_numpy(np.save, np.ones(2)), "a NumPy array"),
    "arrays": (zip_of(**{"a.npy": b"x"}), "a NumPy archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file"),
    "Keras": (zip_of(**{"config.json": b"{}", "model.weights.h5": b"x"}), "a Keras archive"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(16), "a GGUF file"),
    "GGML": (b"lmgg" + bytes(16), "a GGML file"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.0.0", "an ONNX model"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3\x14\0", "a TensorFlow Lite model"),
    "TensorFlow's list": (b'model_checkpoint_path: "model.ckpt-1"\n', "in which TensorFlow names its checkpoints"),
    "TensorFlow's index": (bytes(range(1, 60)) + bytes.fromhex("57fb808b247547db"), "part of a TensorFlow checkpoint"),
    "Flax": (b"\x82\xa6params\x81\xa1a\xc7", "a msgpack file"),
    "a program": (b"\x7fELF\2\1\1\0" + bytes(8), "no checkpoint format begins like this file of 16 bytes"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no checkpoint format begins like this"),
    "noise": (bytes(range(255, 0, -1)), "no checkpoint format begins like this"),
}


@pytest.mark.parametrize("name", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    content, words = NO_CHECKPOINTS[name]
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    error = refused(path)
    assert words in error.message
    assert error.where == str(path)
    assert error.code in ("not-a-checkpoint", "unsupported-format")


@pytest.mark.parametrize("extension", ["safetensors", "bin", "ckpt", "json", ""])
def test_the_answer_is_the_same_under_any_name(extension: str, tmp_path: Path) -> None:
    for content, kind in ((POINTER, GitLfsPointer), (PAGE, HtmlPage)):
        path = tmp_path / f"model.{extension}"
        path.write_bytes(content)
        assert type(refused(path)) is kind


def test_a_pointer_says_how_to_get_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(POINTER)
    error = refused(path)
    assert (error.meant, "lfs pull" in error.help) == (438007537, True)
    path.write_bytes(POINTER.replace(b"size 438007537\n", b""))
    assert refused(path).meant is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (b"/annex/objects/MD5E-s1234567--d41d8cd98f00b204.pt\n", 1234567),
        (b"../.git/annex/objects/f8/7X/SHA256E-s9--ab.pt/SHA256E-s9--ab.pt", 9),
        (b"/annex/objects/URL--http&c%%host%model.pt\n", None),
    ],
)
def test_what_git_annex_leaves_in_the_place_of_a_file(text: bytes, meant: int | None, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(text)
    error = refused(path)
    assert (type(error), error.meant) == (GitAnnexPointer, meant)
    assert error.help.endswith(f"git -C {tmp_path} annex get model.pt")


# Other formats of torch


def script(path: Path) -> None:
    torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.ReLU())).save(str(path))  # type: ignore[no-untyped-call]


def script_for_mobile(path: Path) -> None:
    torch.jit.script(nn.Linear(2, 3))._save_for_lite_interpreter(str(path))  # type: ignore[no-untyped-call]


def package(path: Path) -> None:
    from torch.package.package_exporter import PackageExporter

    with PackageExporter(path) as exporter:
        exporter.extern("**")
        exporter.save_pickle("res", "m.pkl", TENSORS)


def export(path: Path) -> None:
    """Write the records by which an archive of torch.export is told; exporting a model takes seconds."""
    records = {"m__archive_format": b"pt2", "m__archive_version": b"0", "m__byteorder": b"little"}
    path.write_bytes(zip_of(**records, **{"m__data__weights__model_weights_config.json": b"{}"}))


def first_tar(path: Path) -> None:
    path.write_bytes(tar_of("sys_info", "pickle", "tensors", "storages"))


OF_TORCH: dict[str, tuple[Callable[[Path], None], str]] = {
    "TorchScript": (script, "TorchScript"),
    "TorchScript for mobile": (script_for_mobile, "TorchScript"),
    "torch.package": (package, "torch.package"),
    "torch.export": (export, "torch.export"),
    "tar": (first_tar, "tar format of the first torch releases"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OF_TORCH)
def test_other_formats_of_torch_are_refused_by_name(name: str, tmp_path: Path) -> None:
    make, words = OF_TORCH[name]
    for file in ("m.pt", "m.bin"):
        make(tmp_path / file)
        error = refused(tmp_path / file)
        assert error.code == "unsupported-format"
        assert words in error.message


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_archive_that_torch_export_writes_is_refused_by_name(tmp_path: Path) -> None:
    program = torch.export.export(nn.Linear(2, 3), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "m.pt2")
    assert "torch.export" in refused(tmp_path / "m.pt2").message


# Another name than the content has


def as_zip(path: Path) -> None:
    torch.save(TENSORS, path)


def as_legacy(path: Path) -> None:
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)


def as_safetensors(path: Path) -> None:
    save_file(TENSORS, path)


def as_manifest(path: Path) -> None:
    path.write_text('{"tensors": {"a": {"dtype": "F32", "shape": [2, 3]}}}')


WRITERS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a torch zip archive": (as_zip, ["x.pt", "x.pth", "x.bin", "x.ckpt", "x.pth.tar", "x.pkl", "x.t7", "x"]),
    "a legacy torch.save file": (as_legacy, ["x.pt", "x.pth", "x.bin", "x.ckpt", "x.model", "x"]),
    "a safetensors file": (as_safetensors, ["x.safetensors", "x.sft", "x.SafeTensors", "x"]),
    "a manifest in JSON": (as_manifest, ["x.json", "x.json.gz", "x.txt", "x"]),
}
NAMES = ["x.pt", "x.bin", "x.safetensors", "x.json", "x.json.gz", "x.gguf", "x.h5", "x.npz", "x.onnx", "x.zip", "x.pt2"]


@pytest.mark.parametrize("title", WRITERS)
def test_content_decides_and_another_name_is_said(title: str, tmp_path: Path) -> None:
    write, fitting = WRITERS[title]
    family = {Path(name).suffix for name in fitting}
    for name in [*fitting, *NAMES]:
        path = tmp_path / name
        write(path)
        manifest = ckptnames.read(path)
        assert [(key, info.dtype, info.shape) for key, info in manifest.items()] == [("a", "F32", (2, 3))]
        said = [note for note in manifest.notes if title in note]
        expected = [] if path.suffix in family else [f"named {path.suffix}, but is {title}"]
        assert said == expected, name
        shown = CliRunner().invoke(cli, ["ls", str(path)]).stdout
        assert all(f"note: {note}" in shown for note in said)


# Paths


def test_a_path_that_is_not_there_is_answered_with_names_near_it(tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.fp16.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    error = refused(tmp_path / "modle.safetensors")
    assert type(error) is NoSuchPath
    assert error.nearest[0] == str(tmp_path / "model.safetensors")
    assert str(tmp_path / "notes.txt") not in error.nearest
    assert error.nearest[0] in error.help
    far = refused(tmp_path / "zzz")
    assert far.nearest == ()
    assert f"ls {tmp_path}" in far.help


def test_the_first_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    error = refused(tmp_path / "checkpoint" / "run" / "last.ckpt")
    assert error.missing == str(tmp_path / "checkpoint")
    assert error.nearest == (str(tmp_path / "checkpoints"),)
    assert "there is no" in error.message


def test_a_link_to_nothing_says_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link.pt").symlink_to(tmp_path / "gone.pt")
    error = refused(tmp_path / "link.pt")
    assert (type(error), error.link_to) == (NoSuchPath, str(tmp_path / "gone.pt"))


def test_a_link_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert type(refused(tmp_path / "a")) is CannotRead


@pytest.mark.parametrize("name", ["m.pt/inside", "x" * 300, "a\0b"])
def test_paths_that_cannot_be(name: str, tmp_path: Path) -> None:
    as_zip(tmp_path / "m.pt")
    with pytest.raises(CannotRead):
        ckptnames.read(tmp_path / name)


def test_what_the_system_does_not_let_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever is root may read everything: the system's answer is made up.
    for path in (tmp_path / "m.pt", tmp_path / "folder"):
        path.mkdir() if path.name == "folder" else as_zip(path)

        def denied(*args: Any, **kw: Any) -> Any:
            raise PermissionError(13, "Permission denied", str(path))  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", denied)
            patch.setattr(os, "scandir", denied)
            error = refused(path)
        assert (type(error), error.reason) == (CannotRead, "Permission denied")
        assert str(path) in error.message


def test_a_file_of_a_folder_that_cannot_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_safetensors(tmp_path / "model.safetensors")
    as_safetensors(tmp_path / "other.safetensors")
    original = Path.open

    def denied(self: Path, *args: Any, **kw: Any) -> Any:
        if self.name == "other.safetensors":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kw)

    monkeypatch.setattr(Path, "open", denied)
    error = refused(tmp_path)
    assert dict(error.candidates)[str(tmp_path / "other.safetensors")] == "unreadable"


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_zip(tmp_path / "m.pt")

    def fails(*args: Any, **kw: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fails)
    error = refused(tmp_path / "m.pt")
    assert (type(error), error.reason, error.path) == (CannotRead, "Input/output error", str(tmp_path / "m.pt"))


def test_pipes_sockets_and_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # the name of a socket is short
        listening.bind("socket")
        for path, word in [
            (tmp_path / "pipe", "a pipe"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/null"), "dev"),
        ]:
            error = refused(path)
            assert type(error) is SpecialFile
            assert word in error.message


def test_an_empty_path() -> None:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read("")
    assert caught.value.code == "empty-path"


def test_names_in_messages_steer_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n.pt"
    path.write_bytes(b"\x1b[31mhello\n")
    shown = CliRunner().invoke(cli, ["ls", str(path)]).stderr
    assert "\x1b" not in shown
    assert "a\\x1b[31m\\n.pt" in shown
    shutil.copy(path, tmp_path / "b")
    assert "\\x1b[31mhello" in CliRunner().invoke(cli, ["ls", str(tmp_path / "b")]).stderr
