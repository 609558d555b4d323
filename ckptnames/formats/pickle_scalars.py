"""The opcodes that push a number, a constant, a string or bytes.

Each takes the machine and the position after the opcode's byte, and gives the position of the next opcode.
"""
# ruff: noqa: D103

from __future__ import annotations

from codecs import escape_decode
from struct import Struct

from ckptnames.errors import PickleLimit
from ckptnames.formats.pickle_stack import Machine, Malformed

_u2, _u4, _u8, _i4 = (
    Struct("<H").unpack_from,
    Struct("<I").unpack_from,
    Struct("<Q").unpack_from,
    Struct("<i").unpack_from,
)
_f8 = Struct(">d").unpack_from


# Numbers and constants


def push_none(machine: Machine, pos: int) -> int:
    machine.stack.append(None)
    return pos


def push_true(machine: Machine, pos: int) -> int:
    machine.stack.append(True)
    return pos


def push_false(machine: Machine, pos: int) -> int:
    machine.stack.append(False)
    return pos


def push_binint2(machine: Machine, pos: int) -> int:
    machine.stack.append(_u2(machine.data, pos)[0])
    return pos + 2


def push_binint(machine: Machine, pos: int) -> int:
    machine.stack.append(_i4(machine.data, pos)[0])
    return pos + 4


def push_binfloat(machine: Machine, pos: int) -> int:
    machine.stack.append(_f8(machine.data, pos)[0])
    return pos + 8


def number_line(machine: Machine, pos: int) -> bytes:
    """Give the line of a number, which is short."""
    line = machine.line(pos)
    if len(line) > machine.limits.integer_bytes:
        raise PickleLimit(machine.where, "characters in one number", machine.limits.integer_bytes, len(line))
    return line


def push_int(machine: Machine, pos: int) -> int:
    line = number_line(machine, pos)
    machine.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))
    return pos + len(line) + 1


def push_long(machine: Machine, pos: int) -> int:
    line = number_line(machine, pos)
    machine.stack.append(int(line.removesuffix(b"L")))
    return pos + len(line) + 1


def push_float(machine: Machine, pos: int) -> int:
    line = number_line(machine, pos)
    machine.stack.append(float(line))
    return pos + len(line) + 1


def _long_of(machine: Machine, pos: int, length: int) -> int:
    if length > machine.limits.integer_bytes:
        raise PickleLimit(machine.where, "bytes in one number", machine.limits.integer_bytes, length)
    machine.stack.append(int.from_bytes(machine.take(pos, length), "little", signed=True))
    return pos + length


def push_long1(machine: Machine, pos: int) -> int:
    return _long_of(machine, pos + 1, machine.data[pos])


def push_long4(machine: Machine, pos: int) -> int:
    return _long_of(machine, pos + 4, _u4(machine.data, pos)[0])


# Strings and bytes


def push_short_binunicode(machine: Machine, pos: int) -> int:
    length = machine.data[pos]
    text = str(machine.take(pos + 1, length), "utf-8", "surrogatepass")
    return machine.push_text(text, pos - 1, pos + 1 + length)


def push_binunicode8(machine: Machine, pos: int) -> int:
    length = _u8(machine.data, pos)[0]
    text = str(machine.take(pos + 8, length), "utf-8", "surrogatepass")
    return machine.push_text(text, pos - 1, pos + 8 + length)


def push_unicode(machine: Machine, pos: int) -> int:
    line = machine.line(pos)
    return machine.push_text(str(line, "raw-unicode-escape"), pos - 1, pos + len(line) + 1)


def _python2_string(machine: Machine, raw: bytes, start: int, end: int) -> int:
    # torch reads a Python 2 string as UTF-8 text; what is none stays bytes.
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        machine.stack.append(raw)
        return end
    return machine.push_text(text, start, end)


def push_string(machine: Machine, pos: int) -> int:
    line = machine.line(pos)
    quoted = line.strip()
    if len(quoted) < 2 or quoted[:1] not in b"'\"" or quoted[:1] != quoted[-1:]:
        raise Malformed("a STRING is not quoted")
    return _python2_string(machine, escape_decode(quoted[1:-1])[0], pos - 1, pos + len(line) + 1)


def push_short_binstring(machine: Machine, pos: int) -> int:
    length = machine.data[pos]
    return _python2_string(machine, machine.take(pos + 1, length), pos - 1, pos + 1 + length)


def push_binstring(machine: Machine, pos: int) -> int:
    length = _u4(machine.data, pos)[0]
    return _python2_string(machine, machine.take(pos + 4, length), pos - 1, pos + 4 + length)


def _bytes_of(machine: Machine, pos: int, length: int) -> int:
    machine.stack.append(machine.take(pos, length))
    return pos + length


def push_short_binbytes(machine: Machine, pos: int) -> int:
    return _bytes_of(machine, pos + 1, machine.data[pos])


def push_binbytes(machine: Machine, pos: int) -> int:
    return _bytes_of(machine, pos + 4, _u4(machine.data, pos)[0])


def push_binbytes8(machine: Machine, pos: int) -> int:
    return _bytes_of(machine, pos + 8, _u8(machine.data, pos)[0])


def push_buffer(machine: Machine, pos: int) -> int:  # noqa: ARG001
    raise Malformed("it refers to a buffer outside the file")
