"""Pieces of text that all reports share: sizes, columns, and colour where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ckptnames.wording import counted

WIDTH = 80
"""Columns of text where no terminal says otherwise."""

_INDENT = 4
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Paint:
    """Colours text for a terminal, or leaves it as it is.

    >>> Paint(False)("dim", "note"), Paint(True)("dim", "note")
    ('note', '\\x1b[2mnote\\x1b[0m')
    """

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, style: str, text: str) -> str:
        """Give the text in this style."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.on and text else text


PLAIN = Paint(False)


def size_text(n_bytes: int) -> str:
    """Write a number of bytes, in powers of a thousand.

    >>> size_text(24), size_text(46_800_000), size_text(13_476_839_424)
    ('24 bytes', '46.8 MB', '13.5 GB')
    """
    return counted(n_bytes, "byte") if n_bytes < 1000 else _scaled(n_bytes, ("kB", "MB", "GB", "TB", "PB"))


def amount_text(n: int) -> str:
    """Write a large number in three digits.

    >>> amount_text(9_999), amount_text(11_689_512), amount_text(6_738_415_616)
    ('9,999', '11.7 M', '6.74 B')
    """
    return f"{n:,}" if n < 10_000 else _scaled(n, ("k", "M", "B", "T"))


def _scaled(n: int, units: Sequence[str]) -> str:
    scaled, unit = float(n), ""
    for unit in units:  # noqa: B007
        scaled /= 1000
        if scaled < 999.5:
            break
    return f"{scaled:.{max(0, 3 - len(str(int(scaled))))}f} {unit}"


def columns(rows: Iterable[Sequence[str]], *, width: int = WIDTH, right: Iterable[int] = ()) -> Iterator[str]:
    """Align cells in columns, those numbered in ``right`` to the right; nothing is ever broken or cut.

    A first cell that is too wide for the line stands on a line of its own, above the others.

    >>> list(columns([("fc.weight", "10×4"), ("fc.bias", "10")], right=[1]))
    ['fc.weight  10×4', 'fc.bias      10']
    """
    table = [tuple(row) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    if not widths:
        return
    others = sum(n + 2 for n in widths[1:] if n)
    widths[0] = max((len(row[0]) for row in table if len(row[0]) + others <= width), default=0)
    rights = frozenset(right)
    for row in table:
        cells = [
            "" if not n else cell.rjust(n) if at in rights else cell.ljust(n)
            for at, (cell, n) in enumerate(zip(row, widths, strict=True))
        ]
        details = "".join("  " + cell for cell in cells[1:] if cell).rstrip()
        if len(row[0]) > widths[0] and details:
            yield row[0]
            yield " " * max(widths[0], _INDENT) + details
        else:
            yield (row[0].ljust(widths[0]) + details).rstrip()
