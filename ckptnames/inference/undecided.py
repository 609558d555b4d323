"""What stays undecided: keys that fit equally well, and for each candidate the line that would decide."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptnames.inference.matching.alignment import Alignment, Open
from ckptnames.inference.matching.copies import Copies
from ckptnames.inference.matching.units import Unit, template_of
from ckptnames.inference.rulemaking.choosing import Task, rules_for
from ckptnames.inference.wrappers.flattened import Flattened
from ckptnames.keys import common_prefix, has_prefix
from ckptnames.rules.pattern import quoted
from ckptnames.rules.rule import OPEN, Rule

_MOST_CANDIDATES = 6
_UNTOLD = "of equal shapes, and nothing in their names tells which is which"
_UNSAID = "of equal shapes, but nothing in their names says that they are the same"

Templates = tuple[str, ...]


class Ambiguity(NamedTuple):
    """Keys that fit each other equally well, why, and for each candidate of one of them the line that would decide."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    message: str
    lines: tuple[str, ...]
    open: tuple[str, ...] = ()
    """Lines that leave these keys open, for a file of rules that is not decided yet."""

    @property
    def code(self) -> str:
        """The code of the error that refuses to guess."""
        return "ambiguous-inference"


def ambiguities(copies: Sequence[Copies], alignment: Alignment, names: Mapping[str, str]) -> list[Ambiguity]:
    """Give what an alignment left open; what the same lines decide is one question.

    ``names`` are what the source keys are called by the time when such a line meets them.
    """
    found = [_between(each, names) for each in copies]
    found += [_undecided(groups, names) for groups in _alike(alignment.still_open())]
    questions: dict[frozenset[str], list[Ambiguity]] = {}
    for each in found:
        questions.setdefault(frozenset(each.lines), []).append(each)
    return [merged for same in questions.values() for merged in (_merged(same) if same[0].lines else same)]


def open_lines(
    found: Sequence[Ambiguity], used: Iterable[str], is_open: Collection[str]
) -> tuple[list[Ambiguity], Sequence[Rule]]:
    """Find lines that leave open what is asked and nothing that is ``used``: for each question, and in their order."""
    asked = {name: n for n, each in reversed(list(enumerate(found))) for name in each.sources if name not in is_open}
    if not asked:
        return list(found), ()
    written = rules_for(Task({**{name: name for name in used}, **dict.fromkeys(asked, OPEN)}), is_merged=False)
    lines: dict[int, list[str]] = {}
    for rule, keys in written.keys.items():
        for n in {asked[key] for key in keys if key in asked}:
            lines.setdefault(n, []).append(str(rule))
    return [each._replace(open=tuple(lines.get(n, ()))) for n, each in enumerate(found)], written.rules.stages[0].rules


def _merged(same: Sequence[Ambiguity]) -> list[Ambiguity]:
    sources = dict.fromkeys(key for each in same for key in each.sources)
    targets = dict.fromkeys(key for each in same for key in each.targets)
    return [same[0]._replace(sources=tuple(sources), targets=tuple(targets))]


def _alike(groups: Iterable[Open]) -> Iterator[list[Open]]:
    """Put together the groups that differ in their numbers only."""
    found: dict[tuple[Templates, Templates], list[Open]] = {}
    for group in groups:
        found.setdefault((_templates(group.sources), _templates(group.targets)), []).append(group)
    yield from found.values()


def _templates(columns: Sequence[Sequence[Unit]]) -> Templates:
    return tuple(sorted({template_of(".".join(units[0].path)) for units in columns}))


def _between(copies: Copies, names: Mapping[str, str]) -> Ambiguity:
    sides = [[names[key] for unit in node.units for key in unit.keys.values()] for node in copies.nodes]
    keys = tuple(key for side in sides for key in side)
    paths = [
        ".".join(node.path) if all(key in names and names[key] == key for key in side) else common_prefix(side)
        for node, side in zip(copies.nodes, sides, strict=True)
    ]
    named = " and ".join(f"`{path}.`" for path in paths)
    what = (
        "the same names and shapes: complete copies" if copies.are_whole else "nearly the same names and shapes: copies"
    )
    why = f"{named} hold {what} of one network, of which one is wanted"
    return Ambiguity(keys, (), why, tuple(f"{quoted(path)}.** -> !drop" for path in paths))


def between_flattened(flat: Flattened, rivals: Mapping[str, str]) -> Ambiguity:
    """Ask which copy is wanted, the one whose names have their dots or the one whose names lost them."""
    live, other = common_prefix(rivals.values()), flat.beginnings[0]
    under = common_prefix(flat.names)
    kind = "an averaged copy (EMA), " if "ema" in other.lower().replace(".", "_").split("_") else ""
    message = f"`{live}.` and `{other}…`, {kind}its dots flattened, hold the same network, of which one is wanted"
    is_apart = under and not has_prefix(live, under) and not has_prefix(under, live)
    without_other = f"{_quoted(under)}.**" if is_apart else f"{_quoted(other)}{{p}}"
    without_live = f"{_quoted(live)}.**" if is_apart else _below(live, rivals.values())
    lines = (f"{without_live} -> !drop", f"{without_other} -> !drop")
    return Ambiguity((*rivals.values(), *flat.names), tuple(rivals), message, lines)


def _below(path: str, keys: Iterable[str]) -> str:
    """Write the modules right below a path that hold keys as one pattern."""
    cut = len(path) + 1 if path else 0
    segments = list(dict.fromkeys(quoted(key[cut:].partition(".")[0]) for key in keys))
    found = segments[0] if len(segments) == 1 else f"{{p:{'|'.join(segments)}}}"
    return ".".join([*filter(None, [_quoted(path)]), found, "**"])


def _quoted(path: str) -> str:
    return ".".join(quoted(segment) if segment else "" for segment in path.split("."))


def _undecided(groups: Sequence[Open], names: Mapping[str, str]) -> Ambiguity:
    """Say of groups that are alike in all blocks what could fill their first target."""
    first = groups[0]
    place = _templates(first.targets[:1])
    found = []
    for number in range(min(len(first.sources), _MOST_CANDIDATES)):
        changes = {}
        for group in groups:
            if len(group.sources) > number and _templates(group.targets[:1]) == place:
                changes.update(_renamed(group.sources[number], group.targets[0], names))
        found += [str(rule) for rule in rules_for(Task(changes)).rules][:1]
    lines = tuple(dict.fromkeys(found))
    return Ambiguity(
        tuple(names[key] for group in groups for key in _keys(group.sources)),
        tuple(key for group in groups for key in _keys(group.targets)),
        _UNTOLD if len(lines) > 1 else _UNSAID,
        lines,
    )


def _keys(columns: Iterable[Iterable[Unit]]) -> Iterator[str]:
    return (key for units in columns for unit in units for key in unit.keys.values())


def _renamed(sources: Iterable[Unit], targets: Iterable[Unit], names: Mapping[str, str]) -> dict[str, str]:
    return {
        names[key]: target.keys[role]
        for source, target in zip(sources, targets, strict=True)
        for role, key in source.keys.items()
        if role in target.keys
    }
