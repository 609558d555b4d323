"""How much a test draws: a multiple of what the profile gives."""

from __future__ import annotations

from hypothesis import settings


def examples(times: int) -> settings:
    """Give the settings for so many times the examples of the profile, see ``tests/conftest.py``."""
    return settings(max_examples=times * settings().max_examples)
