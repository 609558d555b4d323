"""What mends a ``Diff``: the command to paste, the line for Python, and what they leave to the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from ckptnames.diffs import Diff, compare, renamed
from ckptnames.errors import PartialPrefix
from ckptnames.fixing.edits import Strip, rules_of_edits
from ckptnames.inference.wrappers.pairing import Choice
from ckptnames.manifest import MODELS, Manifest
from ckptnames.report import commands
from ckptnames.report.commands import allowed, like, patterns_of
from ckptnames.rules import Rules
from ckptnames.wording import counted, in_one_line, in_shell, path_in_shell

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
    file = like(diff.target)
    if not file or diff.target.format in MODELS:
        return Remedy()
    lead = "The source is a model, whose names no file holds. To mend the checkpoint, compare the other way round."
    if not diff.source.name:
        return Remedy(lead, python=f"print(ckptnames.diff({file!r}, model))")
    return Remedy(
        lead, (f"ckptnames diff {path_in_shell(file)} {path_in_shell(diff.source.name)}{commands.static(diff.source)}",)
    )


def _left(diff: Diff) -> _Left:
    def sorted_out(keys: Iterable[str]) -> tuple[list[str], list[str]]:
        keys = list(keys)
        return [k for k in keys if k not in diff.droppable], [k for k in keys if k in diff.droppable]

    reshaped = [mismatch.key for mismatch in diff.shape_mismatch]
    return _Left(*sorted_out(diff.missing), *sorted_out(diff.unexpected), reshaped)


def _is_small(left: _Left, target: Manifest) -> bool:
    kept = [left.missing, left.reshaped]
    return 2 * sum(map(len, kept)) <= len(target) and all(len(patterns_of(keys)) <= _MOST_PATTERNS for keys in kept)


def _may_be_the_same(left: _Left, diff: Diff) -> bool:
    """Tell whether a key left over could fill one that is missing."""
    wanted = {diff.target[key].shape for key in left.missing}
    had = {diff.source[key].shape for key in left.unexpected}
    return bool(wanted & had) or (bool(wanted and had) and None in wanted | had)


def _of_choices(diff: Diff) -> Remedy:
    lines = [line for choice in diff.choices[:_MOST_CHOICES] for line in _of_choice(diff, choice)]
    to_all = in_one_line([choice.rule for choice in diff.choices])
    if to_all is not None:
        left = _left(compare(renamed(diff.source, Rules.parse(to_all)), diff.target))
        lines.append(_fix(diff, [f"--rule {in_shell(to_all)}"], _accepted(diff, left)))
    found = tuple(filter(None, lines))
    lead = "Take the one you want:" if to_all is None else "Fill the one you want, or all of them:"
    return Remedy(lead if found else "", found)


def _of_choice(diff: Diff, choice: Choice) -> list[str]:
    word = choice.strip or choice.add
    if not choice.is_flattened:
        lines = [choice.rule, *_out_of_the_way(diff, choice)]
        left = _left(compare(renamed(diff.source, Rules.parse("\n".join(lines))), diff.target))
        return [_fix(diff, [f"--rule {in_shell(line)}" for line in lines], _accepted(diff, left), word)]
    if not choice.given:
        return []
    # Its names have to get their dots back first: what does that is written to a file, without the other copy.
    file = commands.rule_file(diff.source, word)
    infer = commands.infer(diff.source, diff.target, file, given=f"<(echo {in_shell(choice.given)})")
    return [infer, _fix(diff, [f"--rules {path_in_shell(file)}"], ["--drop-unexpected"], word)] if infer else []


def _out_of_the_way(diff: Diff, choice: Choice) -> list[str]:
    """Leave out what has the names already that this copy gets."""
    rules = Rules.parse(choice.rule)
    gets = {name: key for key in diff.source if (name := rules(key)) is not None and name != key}
    stay = [key for key in diff.source if rules(key) == key]
    clashing = [key for key in stay if key in gets]
    if clashing and not any(key in diff.target for key in stay if key not in gets):
        return ["** -> !drop"]
    return [f"{pattern} -> !drop" for pattern in patterns_of(clashing)]


def _undecided(diff: Diff, left: _Left) -> Remedy:
    """Write down what is known for a person to decide the rest, or leave what is missing to the model."""
    file = commands.rule_file(diff.source)
    infer = commands.infer(diff.source, diff.target, file)
    if not (infer and like(diff.target)):
        return Remedy()
    asked = {key for each in diff.ambiguous for key in (*each.targets, *each.sources)}
    others = _Left(*([key for key in keys if key not in asked] for keys in left))
    # The file leaves open what the target has in another shape.
    opened = allowed("open-key", others.reshaped, [key for key in diff.target if key not in {*others.reshaped}])
    fix = _fix(diff, [f"--rules {path_in_shell(file)}"], [*opened, *_accepted(diff, others)])
    written = (infer, fix) if fix else (infer,)
    may_stay = all(each.targets for each in diff.ambiguous) and _is_small(left, diff.target)
    kept = _command_and_line(diff, left) if may_stay else Remedy()
    if not kept.commands:
        what = "decide there what is open, and apply it" if diff.ambiguous else "see to what is left, and apply it"
        return Remedy(f"Write the rules to a file, {what}:", written)
    lead = "If these are the same weights, write the rules to a file, decide there, and apply it:"
    return kept._replace(otherwise=lead, other_commands=written)


def _by_hand(diff: Diff) -> Remedy:
    file = path_in_shell(commands.rule_file(diff.source))
    command = _fix(diff, [*_edits(diff, diff.rules), f"--rules {file}"], [])
    return Remedy(
        "If these are the same weights under other names, say which is which in a file\n"
        f"such as {file}, one `source -> target` a line.",
        (command,) if command else (),
    )


def _command_and_line(diff: Diff, left: _Left) -> Remedy:
    accepted: list[str] = []
    if like(diff.target):
        # Without flags the rules are found again, from the target.
        is_short = diff.rules is not None and not diff.evidence and _flags(diff, diff.rules) is not None
        edits = _edits_of(diff) if is_short or diff.recipe else []
        accepted = [*(f"--accept {caution.code}" for caution in diff.cautions), *_accepted(diff, left)]
    else:
        edits = _edits(diff, _and_without(diff.rules, [*left.unexpected, *left.unexpected_buffers, *left.reshaped]))
    command = _fix(diff, edits, accepted) if edits or accepted or diff.rules is not None else ""
    python = _python(diff, left)
    return Remedy(_lead(diff, left) if command or python else "", (command,) if command else (), python)


def _accepted(diff: Diff, left: _Left) -> list[str]:
    """Spell the options under which `fix` takes what is left for what is wanted."""
    if not like(diff.target):
        return []
    kept = {*left.missing, *left.reshaped}
    beside = [key for key in diff.target if key not in kept]
    return [
        *["--drop-unexpected"] * bool(left.unexpected or left.unexpected_buffers),
        *allowed("shape-mismatch", left.reshaped, beside),
        *allowed("unfilled-target", left.missing, beside),
    ]


def _fix(diff: Diff, edits: Sequence[str], accepted: Sequence[str], word: str = "fixed") -> str:
    return commands.fix(diff.source, diff.target, edits, accepted, word)


def _and_without(rules: Rules | None, keys: Sequence[str]) -> Rules:
    """Add a stage that drops keys, by the names that they have then."""
    stages = [str(rules or "").strip(), "\n".join(f"{pattern} -> !drop" for pattern in patterns_of(keys))]
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
    if diff.target.partial:
        own = f"keeps its own {' and '.join(kept)}, and " if kept else ""
        sentences.append(
            f"The model {own}may have more keys than the message names:\n"
            "load the file with strict=True first, and torch says what strict=False would hide."
        )
    elif kept:
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
    elif like(diff.target) and not commands.static(diff.target) and not left.unexpected_buffers:
        argument = f"like={like(diff.target)!r}"
        if diff.cautions:
            argument += f", accept={[caution.code for caution in diff.cautions]!r}"
    else:
        return ""
    strict = ", strict=False" if left.missing_buffers else ""
    return f"model.load_state_dict(ckptnames.remap(state_dict, {argument}){strict})"


def _edits_of(diff: Diff) -> list[str]:
    """Spell the rules of a diff for a shell, those of a recipe by its name."""
    if not diff.recipe or diff.rules is None:
        return _edits(diff, diff.rules)
    return [*_edits(diff, Rules(diff.rules.stages[:-1])), f"--rules {diff.recipe}"]


def _edits(diff: Diff, rules: Rules | None) -> list[str]:
    """Spell rules for a shell: as flags, else as a file that the shell makes up."""
    if rules is None or not len(rules):
        return []
    flags = _flags(diff, rules)
    if flags is not None:
        return list(map(in_shell, flags))
    lines = " ".join(map(in_shell, str(rules).strip().splitlines()))
    return [f"--rules <(printf '%s\\n' {lines})"]


def _flags(diff: Diff, rules: Rules) -> list[str] | None:
    """Spell rules as flags of `fix`, or give ``None`` where it would refuse one: ``--strip`` is meant for every key."""
    flags = edit_flags(rules)
    strips = [Strip(value) for flag, value in pairwise(flags or []) if flag == "--strip"]
    try:
        rules_of_edits(strips, diff.source, diff.target if like(diff.target) else None)
    except PartialPrefix:
        return None
    return flags


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
