"""How values stand in text, in errors and reports alike: escaped, quoted for the shell, counted."""

from __future__ import annotations

from collections.abc import Sequence


def shown(text: str) -> str:
    r"""Escape control characters, so that a hostile key or path cannot steer the terminal.

    >>> shown("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def in_shell(text: str) -> str:
    """Quote an argument, so that it can be pasted into a shell.

    >>> in_shell("my model.pt")
    "'my model.pt'"
    """
    from shlex import quote

    return quote(text)


def either(names: Sequence[str], word: str = "or") -> str:
    """List names in quotes, the last after ``or``.

    >>> either(["a", "b", "c"])
    "'a', 'b' or 'c'"
    """
    listed = [f"'{name}'" for name in names]
    return f" {word} ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def counted(n: int, noun: str) -> str:
    """Say how many there are.

    >>> counted(1, "key"), counted(1234, "key")
    ('1 key', '1,234 keys')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def shape_text(shape: Sequence[int] | None) -> str:
    """Write a shape as people read it.

    >>> shape_text((4096, 11008)), shape_text((7,)), shape_text(()), shape_text(None)
    ('4096×11008', '7', 'scalar', '?')
    """
    if shape is None:
        return "?"
    return "×".join(map(str, shape)) or "scalar"
