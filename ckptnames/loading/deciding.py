"""Who says which name is which: the caller, the model's own history, wrappers, or what names and shapes tell."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ckptnames.errors import ExchangedNames, NamesTooNew, UnacceptedCaution, UndecidedCopies
from ckptnames.folding import fold
from ckptnames.inference.inference import Inference, inferred
from ckptnames.inference.wrappers.wrapping import WRAPPERS
from ckptnames.loading.complaints import Suggestion, suggested
from ckptnames.loading.hook import rules_of_hooks
from ckptnames.loading.migrations import Migrations, history_of
from ckptnames.loading.pairing import Pairing, explained, paired
from ckptnames.loading.sources import Source
from ckptnames.loading.targets import Target
from ckptnames.manifest import Manifest
from ckptnames.prediction.wrapper_types import unwrapped
from ckptnames.rules import Rules
from ckptnames.wording import counted

UNDECIDED = "infer=True applied nothing: names and shapes leave keys undecided"


class Decided(NamedTuple):
    """What fills what, how that was decided where it is worth a word, and what else the names suggest."""

    pairing: Pairing
    notes: tuple[str, ...] = ()
    suggestion: Suggestion | None = None


def decided(
    opened: Source, target: Target, rules: Rules | None, infer: bool, accept: Collection[str], partly: bool
) -> Decided:
    """Pair a source with a model; where it may be loaded ``partly``, what else the names suggest is not looked for.

    Raises the problems of rules, ``ambiguous-inference``, ``unchecked-caution``, ``exchanged-names`` and
    ``names-too-new``.
    """
    source = opened.manifest
    if rules is not None:
        return Decided(paired(source, target, rules), idle_note(source, rules))
    found = _by_the_model(opened, target) or Decided(paired(source, target, None))
    if not (found.pairing.missing and found.pairing.unexpected) or (partly and not infer):
        return found
    inference = _inferred(source, target)
    if infer and is_decided(inference, source.name, accept):
        return Decided(paired(source, target, inference.rules), ("the rules were inferred from names and shapes",))
    notes = (*found.notes, UNDECIDED) if infer else found.notes
    return found._replace(notes=notes, suggestion=suggested(inference, lambda: explained(source, target).rules))


def idle_note(source: Manifest, rules: Rules) -> tuple[str, ...]:
    """Say of rules of which none matches a key that they do, where they were not refused for it.

    >>> from ckptnames.manifest import TensorInfo
    >>> idle_note(Manifest({"weight": TensorInfo("F32", (2,), 8)}), Rules.parse("wieght -> !drop"))
    ('the names are those of the model already, and 1 rule matches no key: wieght -> !drop',)
    """
    idle = [str(rule) for stage in rules.stages for rule in stage.rules if not rule.optional]
    if not idle or any(fate.steps for key in source for fate in rules.fates(key)):
        return ()
    match = "matches" if len(idle) == 1 else "match"
    shown = "; ".join(idle[:3]) + ("; …" if len(idle) > 3 else "")
    return (f"the names are those of the model already, and {counted(len(idle), 'rule')} {match} no key: {shown}",)


def _inferred(source: Manifest, target: Target) -> Inference:
    return inferred(source, target.bare_manifest)


def is_decided(inference: Inference, name: str, accept: Collection[str]) -> bool:
    """Tell whether inferred rules may be applied; raises where only a word of the caller is missing."""
    copies = [each for each in inference.ambiguous if not each.targets]
    if copies:
        raise UndecidedCopies(name, [(line, len(copies[0].sources)) for line in copies[0].lines])
    if not inference.complete or inference.ambiguous or inference.transposed:
        return False
    for each in inference.cautions:
        if each.code not in accept:
            patterns = [group.pattern for group in fold((key, "") for key in each.targets)]
            raise UnacceptedCaution(name, each.code, each.message, patterns, len(each.targets))
    return True


def _by_the_model(opened: Source, target: Target) -> Decided | None:
    """Ask what the model itself knows of its former names."""
    history = history_of(unwrapped(target.model))
    if history is not None:
        return _by_history(opened, target, history)
    rules = rules_of_hooks(target.model)
    if rules is None:
        return None
    as_it_is = paired(opened.manifest, target, None)
    renamed = _paired_inside_wrappers(opened.manifest, target, rules)
    return _one_of([(as_it_is, ""), (renamed, "renamed by the load hook of the model")], opened.manifest.name)


def _by_history(opened: Source, target: Target, history: Migrations) -> Decided | None:
    """Apply the stages since the version of the file; where it does not say one, the one under which all fits."""
    source, stamp = opened.manifest, opened.stamp
    if stamp is not None:
        if stamp > history.version:
            raise NamesTooNew(source.name, stamp, history.version)
        return Decided(_since(stamp, source, target, history), _note(stamp, history))
    tried = [(_since(start, source, target, history), start) for start in history.starts()]
    return _one_of([(pairing, "".join(_note(start, history))) for pairing, start in tried], source.name)


def _note(start: int, history: Migrations) -> tuple[str, ...]:
    if start == history.version:
        return ()
    return (f"the names are of version {start}, and were led to version {history.version}",)


def _since(start: int, source: Manifest, target: Target, history: Migrations) -> Pairing:
    rules = history.since(start)
    return _paired_inside_wrappers(source, target, rules) if len(rules) else paired(source, target, None)


def _one_of(tried: list[tuple[Pairing, str]], name: str) -> Decided:
    """Take the reading that fills most of the model; raises where another fills as much, and otherwise."""
    best, note = max(tried, key=lambda each: _worth(each[0]))
    for pairing, _ in tried:
        parted = _parted(best, pairing) if _worth(pairing) == _worth(best) else []
        if parted:
            raise ExchangedNames(name, parted)
    return Decided(best, (note,) if note else ())


def _worth(pairing: Pairing) -> tuple[int, ...]:
    n_filled = sum(key not in pairing.no_weights for key in pairing.pairs)
    return n_filled, len(pairing.mismatched), -len(pairing.unexpected)


def _parted(one: Pairing, other: Pairing) -> list[tuple[str, str]]:
    """Say of entries of the source that go elsewhere under another reading where they go under both."""
    found = []
    first, second = _targets(one), _targets(other)
    for source in dict.fromkeys((*second, *first)):
        names = [", ".join(each.get(source, ())) or "nothing" for each in (first, second)]
        if names[0] != names[1]:
            found.append((source, " or ".join(names)))
    return found


def _targets(pairing: Pairing) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in pairing.pairs.values():
        found.setdefault(pair.source, []).append(pair.target)
    return found


def _paired_inside_wrappers(source: Manifest, target: Target, rules: Rules) -> Pairing:
    """Apply rules that were written for plain names, also to a file in which wrappers have left theirs."""
    found = paired(source, target, rules, lenient=True)
    words = [word for word in WRAPPERS if any(word in key.split(".")[:-1] for key in source)]
    if found.is_whole or not words:
        return found
    strip = Rules.parse("\n---\n".join(f"**.{word}.** -> **.**" for word in words))
    return paired(source, target, Rules([*strip.stages, *rules.stages]), lenient=True)
