"""What each opcode does to the machine's stack, for those that are not in the machine's loop."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from ckptnames.formats.pickle_scalars import (
    number_line,
    push_binbytes,
    push_binbytes8,
    push_binfloat,
    push_binint,
    push_binint2,
    push_binstring,
    push_binunicode8,
    push_buffer,
    push_false,
    push_float,
    push_int,
    push_long,
    push_long1,
    push_long4,
    push_none,
    push_short_binbytes,
    push_short_binstring,
    push_short_binunicode,
    push_string,
    push_true,
    push_unicode,
)
from ckptnames.formats.pickle_stack import Machine, Malformed, described
from ckptnames.formats.symbols import Dict, Global, Mapping, Object, Text

Opcode = Callable[[Machine, int], int]
"""Takes the machine and the position after the opcode's byte; gives the position of the next opcode."""

_u8 = Struct("<Q").unpack_from


# Containers


def _empty_tuple(machine: Machine, pos: int) -> int:
    machine.stack.append(())
    return pos


def _tuple1(machine: Machine, pos: int) -> int:
    machine.stack[-1] = (machine.stack[-1],)
    return pos


def _tuple2(machine: Machine, pos: int) -> int:
    machine.stack[-2:] = ((machine.stack[-2], machine.stack[-1]),)
    return pos


def _tuple3(machine: Machine, pos: int) -> int:
    machine.stack[-3:] = ((machine.stack[-3], machine.stack[-2], machine.stack[-1]),)
    return pos


def _empty_list(machine: Machine, pos: int) -> int:
    machine.stack.append([])
    return pos


def _list(machine: Machine, pos: int) -> int:
    machine.stack.append(machine.since_mark())
    return pos


def _empty_dict(machine: Machine, pos: int) -> int:
    machine.stack.append(Dict())
    return pos


def _dict(machine: Machine, pos: int) -> int:
    flat = machine.since_mark()
    machine.stack.append(Dict())
    _put_all(machine, flat)
    return pos


def _empty_set(machine: Machine, pos: int) -> int:
    machine.stack.append(Object(Global("builtins", "set"), ()))
    return pos


def _frozenset(machine: Machine, pos: int) -> int:
    members = machine.since_mark()
    machine.stack.append(Object(Global("builtins", "frozenset"), (members,)))
    return pos


def _extend(machine: Machine, members: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(members)
    elif isinstance(target, Object):
        machine.note_filled(target)
        if target.elements is None:
            target.elements = []
        target.elements.extend(members)
    else:
        raise Malformed(f"members are added to {described(target)}")


def _append(machine: Machine, pos: int) -> int:
    member = machine.stack.pop()
    _extend(machine, [member])
    return pos


def _appends(machine: Machine, pos: int) -> int:
    _extend(machine, machine.since_mark())
    return pos


def _put_all(machine: Machine, flat: list[Any]) -> None:
    target = machine.mapping()
    if len(flat) % 2:
        raise Malformed("a key has no value")
    for at in range(0, len(flat), 2):
        target.put(flat[at], flat[at + 1])


def _setitem(machine: Machine, pos: int) -> int:
    value = machine.stack.pop()
    key = machine.stack.pop()
    machine.mapping().put(key, value)
    return pos


def _setitems(machine: Machine, pos: int) -> int:
    _put_all(machine, machine.since_mark())
    return pos


# The stack and the memo


def _pop(machine: Machine, pos: int) -> int:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()
    return pos


def _pop_mark(machine: Machine, pos: int) -> int:
    machine.since_mark()
    return pos


def _dup(machine: Machine, pos: int) -> int:
    top = machine.stack[-1]
    machine.stack.append(machine.again(top, pos - 1, pos) if isinstance(top, Text) else top)
    return pos


def _get(machine: Machine, pos: int) -> int:
    line = number_line(machine, pos)
    after = pos + len(line) + 1
    kept = machine.memo[int(line)]
    machine.stack.append(machine.again(kept, pos - 1, after) if isinstance(kept, Text) else kept)
    return after


def _put(machine: Machine, pos: int) -> int:
    line = number_line(machine, pos)
    machine.memo[int(line)] = machine.stack[-1]
    return pos + len(line) + 1


def _memoize(machine: Machine, pos: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return pos


# Globals and calls


def _two_lines(machine: Machine, pos: int) -> tuple[Global, int]:
    module = machine.line(pos)
    name = machine.line(pos + len(module) + 1)
    return machine.named(str(module, "utf-8"), str(name, "utf-8")), pos + len(module) + len(name) + 2


def _global(machine: Machine, pos: int) -> int:
    named, after = _two_lines(machine, pos)
    machine.stack.append(named)
    return after


def _stack_global(machine: Machine, pos: int) -> int:
    name = machine.stack.pop()
    module = machine.stack[-1]
    if not isinstance(module, str) or not isinstance(name, str):
        raise Malformed("a global has no name")
    machine.stack[-1] = machine.named(str(module), str(name))
    return pos


def _extension(machine: Machine, pos: int, size: int) -> int:
    code = int.from_bytes(machine.take(pos, size), "little")
    # The registry of copyreg is the writer's; here the number is all there is to know.
    machine.stack.append(machine.named("copyreg", f"extension {code}"))
    return pos + size


def _ext1(machine: Machine, pos: int) -> int:
    return _extension(machine, pos, 1)


def _ext2(machine: Machine, pos: int) -> int:
    return _extension(machine, pos, 2)


def _ext4(machine: Machine, pos: int) -> int:
    return _extension(machine, pos, 4)


def _newobj(machine: Machine, pos: int) -> int:
    args = machine.stack.pop()
    machine.stack[-1] = machine.call(machine.stack[-1], args)
    return pos


def _newobj_ex(machine: Machine, pos: int) -> int:
    keywords = machine.stack.pop()
    args = machine.stack.pop()
    made = machine.call(machine.stack[-1], args)
    if isinstance(keywords, Dict) and keywords.items and isinstance(made, Object):
        made.args = (*made.args, keywords)
    machine.stack[-1] = made
    return pos


def _inst(machine: Machine, pos: int) -> int:
    named, after = _two_lines(machine, pos)
    args = machine.since_mark()
    machine.stack.append(machine.call(named, tuple(args)))
    return after


def _obj(machine: Machine, pos: int) -> int:
    function, *args = machine.since_mark() or [None]
    machine.stack.append(machine.call(function, tuple(args)))
    return pos


def _build(machine: Machine, pos: int) -> int:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if not isinstance(target, Mapping):
        raise Malformed(f"state is given to {described(target)}")
    target.state = state
    return pos


def _persid(machine: Machine, pos: int) -> int:
    line = machine.line(pos)
    machine.push_text(str(line, "utf-8"), pos - 1, pos + len(line) + 1)
    machine.stack[-1] = machine.refer(machine.stack[-1])
    return pos + len(line) + 1


def _binpersid(machine: Machine, pos: int) -> int:
    machine.stack[-1] = machine.refer(machine.stack[-1])
    return pos


# The frame of a pickle


def _proto(machine: Machine, pos: int) -> int:
    if machine.data[pos] > 5:
        raise Malformed(f"protocol {machine.data[pos]} is not known")
    return pos + 1


def _frame(machine: Machine, pos: int) -> int:
    length = _u8(machine.data, pos)[0]
    if pos + 8 + length > machine.end:
        machine.refuse_length(pos + 8 + length)
    return pos + 8


def _unknown(machine: Machine, pos: int) -> int:
    raise Malformed(f"0x{machine.data[pos - 1]:02x} is no opcode")


_TABLE: dict[int, tuple[str, Opcode | None]] = {
    0x28: ("MARK", None),
    0x29: ("EMPTY_TUPLE", _empty_tuple),
    0x2E: ("STOP", None),
    0x30: ("POP", _pop),
    0x31: ("POP_MARK", _pop_mark),
    0x32: ("DUP", _dup),
    0x42: ("BINBYTES", push_binbytes),
    0x43: ("SHORT_BINBYTES", push_short_binbytes),
    0x46: ("FLOAT", push_float),
    0x47: ("BINFLOAT", push_binfloat),
    0x49: ("INT", push_int),
    0x4A: ("BININT", push_binint),
    0x4B: ("BININT1", None),
    0x4C: ("LONG", push_long),
    0x4D: ("BININT2", push_binint2),
    0x4E: ("NONE", push_none),
    0x50: ("PERSID", _persid),
    0x51: ("BINPERSID", _binpersid),
    0x52: ("REDUCE", None),
    0x53: ("STRING", push_string),
    0x54: ("BINSTRING", push_binstring),
    0x55: ("SHORT_BINSTRING", push_short_binstring),
    0x56: ("UNICODE", push_unicode),
    0x58: ("BINUNICODE", None),
    0x5D: ("EMPTY_LIST", _empty_list),
    0x61: ("APPEND", _append),
    0x62: ("BUILD", _build),
    0x63: ("GLOBAL", _global),
    0x64: ("DICT", _dict),
    0x65: ("APPENDS", _appends),
    0x67: ("GET", _get),
    0x68: ("BINGET", None),
    0x69: ("INST", _inst),
    0x6A: ("LONG_BINGET", None),
    0x6C: ("LIST", _list),
    0x6F: ("OBJ", _obj),
    0x70: ("PUT", _put),
    0x71: ("BINPUT", None),
    0x72: ("LONG_BINPUT", None),
    0x73: ("SETITEM", _setitem),
    0x74: ("TUPLE", None),
    0x75: ("SETITEMS", _setitems),
    0x7D: ("EMPTY_DICT", _empty_dict),
    0x80: ("PROTO", _proto),
    0x81: ("NEWOBJ", _newobj),
    0x82: ("EXT1", _ext1),
    0x83: ("EXT2", _ext2),
    0x84: ("EXT4", _ext4),
    0x85: ("TUPLE1", _tuple1),
    0x86: ("TUPLE2", _tuple2),
    0x87: ("TUPLE3", _tuple3),
    0x88: ("NEWTRUE", push_true),
    0x89: ("NEWFALSE", push_false),
    0x8A: ("LONG1", push_long1),
    0x8B: ("LONG4", push_long4),
    0x8C: ("SHORT_BINUNICODE", push_short_binunicode),
    0x8D: ("BINUNICODE8", push_binunicode8),
    0x8E: ("BINBYTES8", push_binbytes8),
    0x8F: ("EMPTY_SET", _empty_set),
    0x90: ("ADDITEMS", _appends),
    0x91: ("FROZENSET", _frozenset),
    0x92: ("NEWOBJ_EX", _newobj_ex),
    0x93: ("STACK_GLOBAL", _stack_global),
    0x94: ("MEMOIZE", _memoize),
    0x95: ("FRAME", _frame),
    0x96: ("BYTEARRAY8", push_binbytes8),
    0x97: ("NEXT_BUFFER", push_buffer),
    0x98: ("READONLY_BUFFER", push_buffer),
}
"""Every opcode of the protocols 0 to 5; ``None`` where the machine's loop handles it."""

NAMES = {code: name for code, (name, _) in _TABLE.items()}
RARE = [_TABLE.get(code, ("", None))[1] or _unknown for code in range(256)]
