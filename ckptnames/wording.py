"""How values stand in text, in errors and reports alike: escaped, quoted for the shell, counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath


def shown(text: str) -> str:
    r"""Escape control characters, so that a hostile key or path cannot steer the terminal.

    >>> shown("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def in_shell(text: str) -> str:
    r"""Quote an argument, so that it can be pasted into a shell.

    >>> in_shell("my model.pt"), in_shell("two\nlines")
    ("'my model.pt'", "$'two\\x0alines'")
    """
    from shlex import quote

    if text.isprintable():
        return quote(text)
    # Control characters are not for the terminal even in quotes: bash, zsh and ksh know this other way to spell them.
    return "$'" + "".join(c if c.isprintable() and c not in "\\'" else _spelled(c) for c in text) + "'"


def _spelled(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    # A path that is no UTF-8 has surrogates for its bytes.
    undecoded = "\udc80" <= character <= "\udcff"
    return "".join(
        f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogate" + ("escape" if undecoded else "pass"))
    )


def path_in_shell(path: object) -> str:
    """Quote a path, so that it can be pasted as an operand: one that begins with ``-`` would be read as an option.

    >>> path_in_shell("-x.pt")
    './-x.pt'
    """
    text = str(path)
    return in_shell(f"./{text}" if text.startswith("-") else text)


def annex_get(path: object) -> str:
    """Give the command that has git-annex get the content of a file.

    >>> annex_get("models/weights.pt")
    'git -C models annex get weights.pt'
    """
    file = PurePath(str(path))
    return f"git -C {path_in_shell(file.parent)} annex get {path_in_shell(file.name)}"


def aligned(rows: Sequence[Sequence[str]], n_shown: int) -> list[str]:
    """Write rows in columns, which are as wide as the first ``n_shown`` rows need.

    >>> aligned([("fc.weight", "10×4"), ("fc.bias", "10")], 5)
    ['fc.weight   10×4', 'fc.bias     10']
    """
    table = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*table[:n_shown], strict=True)]
    return ["   ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in table]


def either(names: Sequence[str], word: str = "or") -> str:
    """List names in quotes, the last after ``or``.

    >>> either(["a", "b", "c"])
    "'a', 'b' or 'c'"
    """
    listed = [f"'{name}'" for name in names]
    return f" {word} ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def counted(n: int, noun: str) -> str:
    """Say how many there are.

    >>> counted(1, "key"), counted(1234, "key"), counted(2, "entry")
    ('1 key', '1,234 keys', '2 entries')
    """
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{n:,} {noun}s"


def not_run(names: Sequence[str]) -> str:
    """Say of a pickle that it names what runs something.

    >>> not_run(["posix.system"])
    'the pickle names posix.system: nothing of it was run'
    """
    return f"the pickle names {', '.join(names[:5])}: nothing of it was run"


def shape_text(shape: Sequence[int] | None) -> str:
    """Write a shape as people read it.

    >>> shape_text((4096, 11008)), shape_text((7,)), shape_text(()), shape_text(None)
    ('4096×11008', '7', 'scalar', '?')
    """
    if shape is None:
        return "?"
    return "×".join(map(str, shape)) or "scalar"


def in_one_line(rules: Sequence[str]) -> str | None:
    """Write several rules with one left side as one; ``None`` where their left sides differ.

    >>> in_one_line(["** -> net.**", "** -> ema.**"]), in_one_line(["a.** -> **", "b.** -> **"])
    ('** -> net.** & ema.**', None)
    """
    sides = [rule.split(" -> ") for rule in rules]
    if len({left for left, _ in sides}) > 1:
        return None
    return f"{sides[0][0]} -> {' & '.join(right for _, right in sides)}"
