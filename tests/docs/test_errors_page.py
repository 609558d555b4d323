"""``docs/errors.md`` has one heading for each code, and each heading is a code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from ckptnames import errors
from ckptnames.errors import CkptnamesError
from ckptnames.rules.plans import ALLOWABLE
from tests.docs.fences import ROOT, fences

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def classes() -> Iterator[type[CkptnamesError]]:
    for name in errors.__all__:
        each = getattr(errors, name)
        if isinstance(each, type) and issubclass(each, CkptnamesError) and each.code != CkptnamesError.code:
            yield each


CODES = {each.code for each in classes()} | set(ALLOWABLE)
"""Those that stop something, and those of warnings."""


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_one_heading_for_each_code_in_order() -> None:
    headings = [line.removeprefix("## ") for line in PAGE.splitlines() if line.startswith("#")][1:]
    assert headings == sorted(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_section_says_in_a_few_sentences_and_shows_it(code: str) -> None:
    text = sections()[code]
    found = list(fences(text, code))
    assert found
    for fence in found:
        assert f"[{code}]: " in fence.text
    words = text.partition("```")[0].split()
    assert 10 <= len(words) <= 80


def test_the_codes_of_plans_are_those_that_exit_with_1() -> None:
    sentence = re.search(r"The problems of plans are(.*?)\n\n", PAGE, re.DOTALL)
    assert sentence
    plans = {each.code for each in classes() if issubclass(each, errors.PlanError)} - {CkptnamesError.code}
    warnings = set(ALLOWABLE) - plans
    assert set(re.findall(r"`([a-z-]+)`", sentence[1])) == plans | warnings


def test_the_page_and_the_schema_name_the_same_members() -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "error.json").read_text(encoding="utf-8"))
    assert list(schema["properties"]["error"]["properties"]) == ["code", "message", "where", "help"]
    assert '`{"error": {"code", "message", "where", "help"}}`' in PAGE
