"""Bytes as numbers, for every dtype that has any: with numpy, which is imported only where values differ."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ckptnames.errors import NumpyMissing

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, Any]

_PLAIN = {
    **{f"F{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    "C64": "<c8",
    "C128": "<c16",
    "BOOL": "u1",
}
_EIGHT_BITS = {
    "F8_E4M3": (4, 7, 0x7F),
    "F8_E5M2": (5, 15, None),
    "F8_E4M3FNUZ": (4, 8, 0x80),
    "F8_E5M2FNUZ": (5, 16, 0x80),
}
"""Bits of the exponent, its bias, and which pattern alone is no number; without one it is as in IEEE 754."""


def numbers_of(dtype: str) -> Callable[[bytes], Numbers] | None:
    """Give what reads numbers of a dtype; ``None`` for packed and quantised ones, whose bytes are no plain numbers.

    >>> numbers_of("BF16")(bytes([0x80, 0x3F, 0x00, 0xC0])).tolist()
    [1.0, -2.0]
    """
    np = _numpy()
    if dtype in _PLAIN:
        return lambda data: np.frombuffer(data, _PLAIN[dtype])
    if dtype == "BF16":
        return lambda data: (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    if dtype == "C32":
        return _half_complex
    if dtype in _EIGHT_BITS or dtype == "F8_E8M0":
        table = np.array(_table(dtype), "<f4")
        return lambda data: table[np.frombuffer(data, "u1")]
    return None


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise NumpyMissing() from None
    return numpy


def _half_complex(data: bytes) -> Numbers:
    np = _numpy()
    with np.errstate(invalid="ignore"):
        found: Numbers = np.frombuffer(data, "<f2").astype("<f4").view("<c8")
    return found


@cache
def _table(dtype: str) -> list[float]:
    """Give the number that each of the 256 bytes stands for."""
    if dtype == "F8_E8M0":
        return [float("nan") if byte == 255 else 2.0 ** (byte - 127) for byte in range(256)]
    n_bits, bias, none = _EIGHT_BITS[dtype]
    return [_number(byte, n_bits, bias, none) for byte in range(256)]


def _number(byte: int, n_bits: int, bias: int, none: int | None) -> float:
    n_rest = 7 - n_bits
    exponent, rest = byte >> n_rest & (1 << n_bits) - 1, byte & (1 << n_rest) - 1
    sign = -1.0 if byte & 0x80 else 1.0
    if (none == 0x80 and byte == none) or (none == 0x7F and byte & 0x7F == none):
        return float("nan")
    if none is None and exponent == (1 << n_bits) - 1:
        return float("nan") if rest else sign * float("inf")
    if not exponent:
        return sign * rest * 2.0 ** (1 - bias - n_rest)
    return sign * (1 + rest / (1 << n_rest)) * 2.0 ** (exponent - bias)
