"""Commands to paste: what a manifest was read from as an operand, and what a command writes as a free-standing name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePath

from ckptnames.folding import fold
from ckptnames.manifest import MODELS, READ, Manifest
from ckptnames.wording import in_shell, path_in_shell

_IN_MEMORY = ("state-dict", "torch-error")
"""Formats of manifests that no path names."""
UNWRITTEN = (*_IN_MEMORY, "manifest", *MODELS)
"""Formats of what `fix` cannot write again."""
_LONGEST_WORD = 40


def operand(manifest: Manifest) -> str:
    """Give what names these keys again, with their container where the file has others; empty where no path does.

    >>> operand(Manifest({}, name="trained.pt", format="torch-zip"))
    'trained.pt'
    """
    if not manifest.name or manifest.format in _IN_MEMORY:
        return ""
    candidates = [info.name for info in manifest.containers if info.role != "optimizer"]
    is_the_one = len(candidates) < 2 and manifest.container in (candidates or [""])
    return manifest.name if is_the_one else f"{manifest.name}#{manifest.container}"


def like(target: Manifest) -> str:
    """Give the operand of a target that names can be held against: all of its keys are known."""
    return "" if target.open else operand(target)


def static(*manifests: Manifest) -> str:
    """Give the option under which a model is read again, where it was read."""
    return " --static" if any(m.format == READ and not m.name.startswith("git:") for m in manifests) else ""


def can_be_written(source: Manifest) -> bool:
    """Tell whether `fix` can write this source again under other names."""
    roles = {info.name: info.role for info in source.containers}
    return bool(source.name) and source.format not in UNWRITTEN and roles.get(source.container) != "module"


def fix(source: Manifest, target: Manifest, edits: Sequence[str], accepted: Sequence[str], word: str = "fixed") -> str:
    """Compose the command that writes the source again, or nothing where it cannot be written."""
    wanted = like(target)
    if not can_be_written(source) or not (edits or wanted):
        return ""
    parts = [
        "ckptnames fix",
        path_in_shell(operand(source)),
        *edits,
        *([f"--like {path_in_shell(wanted)}{static(target)}"] if wanted else []),
        *accepted,
        f"-o {path_in_shell(_output(source.name, word))}",
    ]
    return " ".join(parts)


def infer(source: Manifest, target: Manifest, file: str, *, given: str = "", by_value: bool = False) -> str:
    """Compose the command that writes the rules to a file; ``given`` is a file, or ``<(…)``, which a shell makes up."""
    ours, theirs = operand(source), operand(target)
    if not (ours and theirs):
        return ""
    parts = [
        "ckptnames infer",
        *["--by-value"] * by_value,
        path_in_shell(ours),
        f"{path_in_shell(theirs)}{static(source, target)}",
        *([f"--given {given if given.startswith('<(') else path_in_shell(given)}"] if given else []),
        f"-o {path_in_shell(file)}",
    ]
    return " ".join(parts)


def rule_file(source: Manifest, word: str = "") -> str:
    """Name a file of rules after the source: in the folder where one stands.

    >>> rule_file(Manifest({}, name="runs/trained.pt"))
    'trained.rules'
    """
    path = PurePath(source.name or "names")
    stem = "names" if path.name in ("", "..") else path.stem
    return f"{stem}.{_in_a_name(word)}.rules" if word else f"{stem}.rules"


def _output(source: str, word: str) -> PurePath:
    """Give the name of the output: beside the source, and for an index beside its folder."""
    path = PurePath(source)
    word = _in_a_name(word)
    if path.name.endswith(".index.json"):
        path = path.parent
    if path.name in ("", ".."):
        return path / ".." / word
    tarred = re.search(r"\.[a-z]+\.tar$", path.name)  # as old code calls what is no archive
    ending = tarred[0] if tarred else path.suffix
    return path.with_name(f"{path.name.removesuffix(ending)}.{word}{ending}")


def _in_a_name(word: str) -> str:
    """Make any text a part of the name of a file."""
    return re.sub(r"[^\w.-]+", "_", word)[:_LONGEST_WORD].strip(".") or "plain"


def allowed(code: str, keys: Collection[str], beside: Iterable[str]) -> list[str]:
    """Spell the option that accepts a problem for these keys, and for none that stand ``beside`` them.

    >>> allowed("unfilled-target", ["fc.weight", "fc.bias"], ["body.weight"])
    ["--allow unfilled-target='fc.{weight,bias}'"]
    >>> allowed("unfilled-target", ["head.fc.weight", "head.a.b", "head.norm.scale"], ["body.weight"])
    ["--allow unfilled-target='head.**'"]
    >>> allowed("unfilled-target", [], ["body.weight"])
    []
    """
    if not keys:
        return []
    patterns = min(patterns_of(keys), _whole_modules(keys, beside), key=len)
    return [f"--allow {code}={in_shell(pattern)}" for pattern in patterns]


def patterns_of(keys: Iterable[str]) -> list[str]:
    """Write keys as the fewest patterns."""
    return [group.pattern for group in fold((key, "") for key in keys)]


def _whole_modules(keys: Iterable[str], beside: Iterable[str]) -> list[str]:
    """Name the outermost modules that hold some of the keys and nothing else, and the keys that are in none."""
    others = {path for key in beside for path in (*_above(key), key)}
    within = {key: next((path for path in _above(key) if path not in others), "") for key in keys}
    modules = patterns_of(dict.fromkeys(filter(None, within.values())))
    return [*(f"{module}.**" for module in modules), *patterns_of(key for key, path in within.items() if not path)]


def _above(key: str) -> list[str]:
    segments = key.split(".")
    return [".".join(segments[:depth]) for depth in range(1, len(segments))]
