"""What the tests of the rule language ask of one rule."""

from __future__ import annotations

import pytest

from ckptnames.errors import RuleSyntax
from ckptnames.rules import Rule, Rules


def made(rule: str, key: str) -> str | None:
    """Give what one rule makes of a key: several names with `&`, nothing where it is left out, `None` for no match."""
    found = Rule.parse(rule).apply(key)
    return None if found is None else " & ".join(found)


def refuses(rule: str, carets: str, found: str, help: str) -> None:
    """Hold the whole error for a line; ``carets`` stand under the part of it that is meant."""
    with pytest.raises(RuleSyntax) as caught:
        Rules.parse(rule, name="a.rules")
    column = len(carets) - len(carets.lstrip()) + 1
    assert str(caught.value).splitlines() == [
        f"error[rule-syntax]: {found}",
        f"  --> a.rules:1:{column}",
        f"  {rule}",
        f"  {carets}",
        f"  help: {help}",
    ]
