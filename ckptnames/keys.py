"""Dotted keys: their segments, prefixes and the modules above them."""

from __future__ import annotations

from collections.abc import Iterable


def segments(key: str) -> list[str]:
    """Split a key at its dots.

    >>> segments("layers.0.weight")
    ['layers', '0', 'weight']
    """
    return key.split(".")


def is_index(segment: str) -> bool:
    """Tell whether a segment is all ASCII digits, as a ``Sequential`` or ``ModuleList`` makes it.

    >>> is_index("12"), is_index("conv1"), is_index("²")
    (True, False, False)
    """
    return segment.isascii() and segment.isdigit()


def has_prefix(key: str, prefix: str) -> bool:
    """Tell whether whole leading segments of ``key`` are ``prefix``; ``mod`` is no prefix of ``mod_scored``.

    >>> has_prefix("module.fc", "module"), has_prefix("module_list.fc", "module")
    (True, False)
    """
    return not prefix or key == prefix or key.startswith(prefix + ".")


def join(*parts: str) -> str:
    """Join the non-empty parts with dots.

    >>> join("", "fc", "weight")
    'fc.weight'
    """
    return ".".join(part for part in parts if part)


def common_prefix(keys: Iterable[str]) -> str:
    """Give the whole segments that all keys begin with.

    >>> common_prefix(["net.a.0.w", "net.a.1.w"]), common_prefix(["a.w", "b.w"])
    ('net.a', '')
    """
    paths = [key.split(".")[:-1] for key in keys]
    first, last = min(paths), max(paths)
    n = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return ".".join(first[:n])


def modules_of(keys: Iterable[str]) -> set[str]:
    """Name every module path that stands above some key, the root ``""`` included.

    >>> sorted(modules_of(["a.b.weight"]))
    ['', 'a', 'a.b']
    """
    found = {""}
    for key in keys:
        end = key.rfind(".")
        while end > 0 and key[:end] not in found:
            found.add(key[:end])
            end = key.rfind(".", 0, end)
    return found
