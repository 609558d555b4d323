"""What mends a ``Diff``: the command to paste, the line for Python, and what they leave to the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

from ckptnames.diffs import Diff
from ckptnames.folding import fold
from ckptnames.inference.wrappers.pairing import Choice
from ckptnames.manifest import MODELS, READ, Manifest
from ckptnames.rules import Rules
from ckptnames.wording import counted, in_shell, path_in_shell

_IN_MEMORY = ("state-dict", "torch-error")
"""Formats of manifests that no path names."""
UNWRITTEN = (*_IN_MEMORY, "manifest", "model")
"""Formats of what `fix` cannot write again."""
_MOST_PATTERNS = 3
"""More patterns than this are no detail that could be accepted."""
_MOST_CHOICES = 6
_LONGEST_ARGUMENT = 80


class Remedy(NamedTuple):
    """Commands to paste, each for a shell, and what to know before one does; empty where nothing mends it."""

    lead: str = ""
    commands: tuple[str, ...] = ()
    python: str = ""
    otherwise: str = ""
    """What to do where that is not what is wanted, with ``other_commands``."""
    other_commands: tuple[str, ...] = ()


class _Left(NamedTuple):
    """What the rules leave, sorted by what can be done about it."""

    missing: list[str]
    missing_buffers: list[str]
    unexpected: list[str]
    unexpected_buffers: list[str]
    reshaped: list[str]


def remedy(diff: Diff) -> Remedy:
    """Find what mends a diff, or what has to be decided first."""
    if diff.same or diff.obstacles:
        return Remedy()
    if diff.source.format in MODELS:
        return _turned_round(diff)
    if diff.choices:
        return _of_choices(diff)
    left = _left(diff.after_rules or diff)
    if diff.ambiguous or (diff.evidence and not _is_small(left, diff.target)):
        return _undecided(diff, left)
    if not diff.evidence and _may_be_the_same(left, diff.after_rules or diff):
        return _by_hand(diff)
    if not _is_small(left, diff.target):
        return Remedy("Most of the target would stay as it is: these may be two different models.")
    if diff.rules is None and not any(left):
        return Remedy("torch converts dtypes when it loads: nothing here needs mending.")
    return _command_and_line(diff, left)


def _turned_round(diff: Diff) -> Remedy:
    """Say how to compare so that the checkpoint is what could be mended: no file holds the names of a model."""
    file = _like(diff.target)
    if not file or diff.target.format in MODELS:
        return Remedy()
    lead = "The source is a model, whose names no file holds. To mend the checkpoint, compare the other way round."
    static = _static(diff.source)
    if not diff.source.name:
        return Remedy(lead, python=f"print(ckptnames.diff({file!r}, model))")
    return Remedy(lead, (f"ckptnames diff {path_in_shell(file)} {path_in_shell(diff.source.name)}{static}",))


def _left(diff: Diff) -> _Left:
    def sorted_out(keys: Iterable[str]) -> tuple[list[str], list[str]]:
        keys = list(keys)
        return [k for k in keys if k not in diff.droppable], [k for k in keys if k in diff.droppable]

    reshaped = [mismatch.key for mismatch in diff.shape_mismatch]
    return _Left(*sorted_out(diff.missing), *sorted_out(diff.unexpected), reshaped)


def _is_small(left: _Left, target: Manifest) -> bool:
    kept = [left.missing, left.reshaped]
    return 2 * sum(map(len, kept)) <= len(target) and all(len(_patterns(keys)) <= _MOST_PATTERNS for keys in kept)


def _may_be_the_same(left: _Left, diff: Diff) -> bool:
    """Tell whether a key left over could fill one that is missing."""
    wanted = {diff.target[key].shape for key in left.missing}
    had = {diff.source[key].shape for key in left.unexpected}
    return bool(wanted & had) or (bool(wanted and had) and None in wanted | had)


def _patterns(keys: Sequence[str]) -> list[str]:
    return [group.pattern for group in fold((key, "") for key in keys)]


def _of_choices(diff: Diff) -> Remedy:
    commands = [line for choice in diff.choices[:_MOST_CHOICES] for line in _of_choice(diff, choice)]
    found = tuple(command for command in commands if command)
    return Remedy("Take the one you want:" if found else "", found)


def _of_choice(diff: Diff, choice: Choice) -> list[str]:
    like = _like(diff.target)
    without_others = ["--drop-unexpected"] if like else []
    word = choice.strip or choice.add
    if not choice.is_flattened:
        return [_fix(diff, [f"--rule {in_shell(choice.rule)}"], without_others, word=word)]
    if not (like and diff.source.name and choice.given):
        return []
    # Its names have to get their dots back first: what does that is written to a file, without the other copy.
    file = in_shell(_rule_file(diff, word))
    given = f"<(echo {in_shell(choice.given)})"
    infer = f"ckptnames infer {path_in_shell(_operand(diff.source))} {path_in_shell(like)} --given {given} -o {file}"
    return [infer, _fix(diff, [f"--rules {file}"], without_others, word=word)]


def _undecided(diff: Diff, left: _Left) -> Remedy:
    """Write down what is known for a person to decide the rest, or leave what is missing to the model."""
    like = _like(diff.target)
    if not (like and diff.source.name):
        return Remedy()
    rules = in_shell(_rule_file(diff))
    written = [
        f"ckptnames infer {path_in_shell(_operand(diff.source))} {path_in_shell(like)} -o {rules}",
        _fix(diff, [f"--rules {rules}"], []),
    ]
    commands = tuple(command for command in written if command)
    may_stay = all(each.targets for each in diff.ambiguous) and _is_small(left, diff.target)
    kept = _command_and_line(diff, left) if may_stay else Remedy()
    if not kept.commands:
        return Remedy("Write the rules to a file, decide there what is open, and apply it:", commands)
    lead = "If these are the same weights, write the rules to a file, decide there, and apply it:"
    return kept._replace(otherwise=lead, other_commands=commands)


def _by_hand(diff: Diff) -> Remedy:
    file = _rule_file(diff)
    command = _fix(diff, [*_edits(diff.rules), f"--rules {in_shell(file)}"], [])
    return Remedy(
        "If these are the same weights under other names, say which is which in a file\n"
        f"such as {in_shell(file)}, one `source -> target` a line.",
        (command,) if command else (),
    )


def _rule_file(diff: Diff, word: str = "") -> str:
    return PurePath(diff.source.name or "names").with_suffix(f".{word}.rules" if word else ".rules").name


def _command_and_line(diff: Diff, left: _Left) -> Remedy:
    dropped = [*left.unexpected, *left.unexpected_buffers]
    accepted: list[str] = []
    if _like(diff.target):
        # Without flags the rules are found again, from the target.
        is_short = diff.rules is not None and not diff.evidence and edit_flags(diff.rules) is not None
        edits = _edits_of(diff) if is_short or diff.recipe else []
        accepted += [f"--accept {caution.code}" for caution in diff.cautions]
        accepted += ["--drop-unexpected"] if dropped else []
        accepted += [f"--allow shape-mismatch={in_shell(pattern)}" for pattern in _patterns(left.reshaped)]
        accepted += [f"--allow unfilled-target={in_shell(pattern)}" for pattern in _patterns(left.missing)]
    else:
        edits = _edits(_and_without(diff.rules, [*dropped, *left.reshaped]))
    command = _fix(diff, edits, accepted) if edits or accepted or diff.rules is not None else ""
    python = _python(diff, left)
    return Remedy(_lead(diff, left) if command or python else "", (command,) if command else (), python)


def _and_without(rules: Rules | None, keys: Sequence[str]) -> Rules:
    """Add a stage that drops keys, by the names that they have then."""
    stages = [str(rules or "").strip(), "\n".join(f"{pattern} -> !drop" for pattern in _patterns(keys))]
    return Rules.parse("\n---\n".join(filter(None, stages)))


def _lead(diff: Diff, left: _Left) -> str:
    kept = [
        *([counted(len(left.missing), "missing key")] if left.missing else []),
        *([f"{counted(len(left.reshaped), 'key')} of another shape"] if left.reshaped else []),
        *([f"{counted(len(left.missing_buffers), 'buffer')} without weights"] if left.missing_buffers else []),
    ]
    sentences = []
    if diff.cautions:
        sentences.append(
            "Once the caution is checked:" if len(diff.cautions) == 1 else "Once the cautions are checked:"
        )
    if kept:
        # Even so torch refuses a tensor of another shape, and loads only what the command leaves.
        what = "\nload the file that this writes" if left.reshaped else " load"
        sentences.append(f"The model keeps its own {' and '.join(kept)}:{what} with strict=False.")
    if left.unexpected:
        are = "is" if len(left.unexpected) == 1 else "are"
        sentences.append(f"{counted(len(left.unexpected), 'key')} that the target does not have {are} left out.")
    return "\n".join(sentences)


def _python(diff: Diff, left: _Left) -> str:
    if left.missing or left.unexpected or left.reshaped or (diff.rules is None and not left.unexpected_buffers):
        return ""
    rules = str(_and_without(diff.rules, left.unexpected_buffers)).strip()
    if len(rules) <= _LONGEST_ARGUMENT:
        argument = f"rules={rules!r}"
    elif _like(diff.target) and not _static(diff.target) and not left.unexpected_buffers:
        argument = f"like={diff.target.name!r}"
        if diff.cautions:
            argument += f", accept={[caution.code for caution in diff.cautions]!r}"
    else:
        return ""
    strict = ", strict=False" if left.missing_buffers else ""
    return f"model.load_state_dict(ckptnames.remap(state_dict, {argument}){strict})"


def _like(target: Manifest) -> str:
    if not target.name or target.format in _IN_MEMORY or target.open:
        return ""
    return f"{target.name}#{target.container}" if target.container != _default(target) else target.name


def _static(manifest: Manifest) -> str:
    """Give the option under which a model is read again, where it was read."""
    return " --static" if manifest.format == READ and not manifest.name.startswith("git:") else ""


def _default(manifest: Manifest) -> str:
    return manifest.containers[0].name if manifest.containers else ""


def _fix(diff: Diff, edits: Sequence[str], accepted: Sequence[str], word: str = "fixed") -> str:
    """Compose the command, or nothing where the source cannot be written again."""
    source = diff.source
    roles = {info.name: info.role for info in source.containers}
    if not source.name or source.format in UNWRITTEN or roles.get(source.container) == "module":
        return ""
    operand = _operand(source)
    like = _like(diff.target)
    if not (edits or like):
        return ""
    parts = [
        "ckptnames fix",
        path_in_shell(operand),
        *edits,
        *([f"--like {path_in_shell(like)}{_static(diff.target)}"] if like else []),
        *accepted,
        f"-o {path_in_shell(_output(source.name, word))}",
    ]
    return " ".join(parts)


def _operand(source: Manifest) -> str:
    return source.name if source.container == _default(source) else f"{source.name}#{source.container}"


def _output(source: str, word: str) -> PurePath:
    """Give the name of the output: beside the source, and for an index beside its folder."""
    path = PurePath(source)
    if path.name.endswith(".index.json"):
        path = path.parent
    if path.name in ("", ".."):
        return path / ".." / word
    return path.with_name(f"{path.stem}.{word}{path.suffix}")


def _edits_of(diff: Diff) -> list[str]:
    """Spell the rules of a diff for a shell, those of a recipe by its name."""
    if not diff.recipe or diff.rules is None:
        return _edits(diff.rules)
    return [*_edits(Rules(diff.rules.stages[:-1])), f"--rules {diff.recipe}"]


def _edits(rules: Rules | None) -> list[str]:
    """Spell rules for a shell: as flags, else as a file that the shell makes up."""
    if rules is None or not len(rules):
        return []
    flags = edit_flags(rules)
    if flags is not None:
        return list(map(in_shell, flags))
    lines = " ".join(map(in_shell, str(rules).strip().splitlines()))
    return [f"--rules <(printf '%s\\n' {lines})"]


def edit_flags(rules: Rules) -> list[str] | None:
    """Spell rules as flags of ``fix``, or ``None`` where two stages of general rules would run into one.

    >>> edit_flags(Rules.parse("module.** -> **"))
    ['--strip', 'module']
    """
    flags: list[str] = []
    for stage in str(rules).strip().split("\n---\n"):
        lines = stage.splitlines()
        before, after = lines[0].split(" -> ", 1) if len(lines) == 1 else ("", "")
        if after == "**" and _is_literal(before.removesuffix(".**")):
            flags += ["--strip", before.removesuffix(".**")]
        elif before == "**" and _is_literal(after.removesuffix(".**")):
            flags += ["--add", after.removesuffix(".**")]
        elif flags[-2:-1] == ["--rule"]:
            return None
        else:
            for line in lines:
                flags += ["--rule", line]
    return flags


def _is_literal(pattern: str) -> bool:
    return bool(pattern) and not any(mark in pattern for mark in '*{}"?')
