"""Rules as the ``key_mapping`` that ``from_pretrained`` of transformers 5 takes, where it can say them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ckptnames.errors import CannotExport
from ckptnames.interop.libraries import transformers_table
from ckptnames.rules import Rules, plan

_NUMBER = re.compile(r"(?<![0-9A-Za-z_])[0-9]+(?![0-9A-Za-z_])")


def key_mapping(rules: Rules | str, keys: Iterable[str]) -> dict[str, str]:
    r"""Give the ``key_mapping`` that does to ``keys`` what the rules do, proved on each of them.

    >>> key_mapping("encoder.{i:d}.** -> layers.{i}.**", ["encoder.0.w", "encoder.1.w"])
    {'^encoder\\.': 'layers.'}

    transformers applies entries one after another, and knows neither swaps nor dropped keys: raises ``cannot-export``
    for these, and what is wrong with the rules.
    """
    given = Rules.parse(rules) if isinstance(rules, str) else rules
    known = list(dict.fromkeys(keys))
    found = plan(known, given)
    found.check()
    for decision in found.decisions:
        if len(decision.targets) != 1:
            raise CannotExport(decision.source, decision.targets, decision.where)
    becomes = {decision.source: decision.targets[0] for decision in found.decisions}
    wrong = ""
    for n_kept in (None, 1, 0):
        entries = dict(_entries(becomes, n_kept))
        table = transformers_table(entries)
        wrong = next((key for key, name in becomes.items() if table(key) != name), "")
        if not wrong:
            return entries
    where = next(decision.where for decision in found.decisions if decision.source == wrong)
    raise CannotExport(wrong, (becomes[wrong],), where, table(wrong) or "")


def _entries(becomes: Mapping[str, str], n_kept: int | None) -> Iterator[tuple[str, str]]:
    """Write an entry for each key that changes: for its beginning, up to ``n_kept`` segments that stay at its end.

    Without a number, up to as many as stay. The number of a layer becomes the one group that an entry can have.
    """
    for key, name in becomes.items():
        if key == name:
            continue
        n_same = _n_same(key, name)
        n = n_same if n_kept is None else min(n_kept, n_same)
        yield _entry(_without(key, n), _without(name, n), is_whole=n == 0)


def _n_same(key: str, name: str) -> int:
    """Count the segments that both have at their end."""
    n = 0
    for one, other in zip(reversed(key.split(".")), reversed(name.split(".")), strict=False):
        if one != other:
            break
        n += 1
    return n


def _without(key: str, n: int) -> str:
    """Give the beginning of a key without its last segments, and with the dot before them."""
    segments = key.split(".")
    kept = segments[: len(segments) - n]
    return ".".join([*kept, ""] if n and kept else kept)


def _entry(source: str, target: str, is_whole: bool) -> tuple[str, str]:
    for number in dict.fromkeys(_NUMBER.findall(source)):
        if len(_places(number, source)) == 1 == len(_places(number, target)):
            (at,), (there,) = _places(number, source), _places(number, target)
            left = f"^{_escaped(source[:at])}([0-9]+){_escaped(source[at + len(number) :])}"
            return left + "$" * is_whole, f"{target[:there]}\\1{target[there + len(number) :]}"
    return f"^{_escaped(source)}" + "$" * is_whole, target


def _places(number: str, text: str) -> list[int]:
    return [found.start() for found in _NUMBER.finditer(text) if found[0] == number]


def _escaped(text: str) -> str:
    return re.escape(text).replace("\\_", "_").replace("\\-", "-")
