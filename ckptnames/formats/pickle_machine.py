"""The pickle machine: reads what a pickle says and runs none of it. Globals are names, calls are records.

Nothing is imported and nothing is called. There is no recursion; time and memory are bounded by `Limits` and by
the size of the pickle. `pickle_opcodes` has the opcodes that are not worth a place in the loop.
"""

from __future__ import annotations

import struct
from itertools import repeat
from typing import Any

from ckptnames.errors import MalformedPickle
from ckptnames.formats.pickle_opcodes import NAMES, RARE
from ckptnames.formats.pickle_stack import LIMITS, Buffer, Limits, Machine, Malformed
from ckptnames.formats.symbols import PersistentId, Text

__all__ = ["LIMITS", "Limits", "run"]

_u4 = struct.Struct("<I").unpack_from
_u2 = struct.Struct("<H").unpack_from


def run(
    data: Buffer, start: int = 0, limits: Limits = LIMITS, traced: bool = False, where: str = ""
) -> tuple[Any, int]:
    r"""Read one pickle from ``start``; give what it says and the position after its STOP.

    With ``traced``, every string is a `Text` that knows the bytes of the opcode that pushed it. ``where`` names the
    file and member in errors.

    >>> run(b"\x80\x02]q\x00K\x07a.")
    ([7], 10)

    Raises ``corrupt-checkpoint`` for what is no pickle, ``pickle-limit`` for one beyond ``limits``.
    """
    machine = Machine(data, start, limits, traced, where)
    try:
        end = _interpret(machine)
        return machine.stack.pop(), end
    except Malformed as fault:
        raise MalformedPickle(where, str(fault), machine.position) from None
    except (IndexError, KeyError, struct.error) as fault:
        raise MalformedPickle(where, _reason(machine, fault), machine.position) from None
    except (ValueError, OverflowError) as fault:
        raise MalformedPickle(
            where, f"{_opcode_at(machine)} holds what it cannot mean: {fault}", machine.position
        ) from None


def _reason(machine: Machine, fault: Exception) -> str:
    if machine.position >= len(machine.data):
        return "it ends before its STOP"
    if isinstance(fault, KeyError):
        return f"{_opcode_at(machine)} asks for a value that was never kept"
    if isinstance(fault, struct.error):
        return f"it ends inside {_opcode_at(machine)}"
    return f"{_opcode_at(machine)} needs more values than the stack holds"


def _opcode_at(machine: Machine) -> str:
    return NAMES.get(machine.data[machine.position], "an opcode")


def _interpret(machine: Machine) -> int:
    """Run from the machine's position to STOP. The opcodes of which torch writes thousands stand here by frequency."""
    data, stack, marks, memo = machine.data, machine.stack, machine.marks, machine.memo
    push, again, traced, end = stack.append, machine.again, machine.traced, machine.end
    pos = machine.position
    try:
        for _ in repeat(None, machine.limits.opcodes):
            op = data[pos]
            if op == 0x6A:  # LONG_BINGET
                kept = memo[_u4(data, pos + 1)[0]]
                push(again(kept, pos, pos + 5) if traced and type(kept) is Text else kept)
                pos += 5
            elif op == 0x72:  # LONG_BINPUT
                memo[_u4(data, pos + 1)[0]] = stack[-1]
                pos += 5
            elif op == 0x4B:  # BININT1
                push(data[pos + 1])
                pos += 2
            elif op == 0x28:  # MARK
                marks.append(len(stack))
                pos += 1
            elif op == 0x74:  # TUPLE
                mark = marks.pop()
                stack[mark:] = (tuple(stack[mark:]),)
                pos += 1
            elif op == 0x68:  # BINGET
                kept = memo[data[pos + 1]]
                push(again(kept, pos, pos + 2) if traced and type(kept) is Text else kept)
                pos += 2
            elif op == 0x58:  # BINUNICODE
                after = pos + 5 + _u4(data, pos + 1)[0]
                if after > end:
                    machine.refuse_length(after)
                text = str(data[pos + 5 : after], "utf-8", "surrogatepass")
                push(Text.at(text, pos, after) if traced else text)
                pos = after
            elif op == 0x86:  # TUPLE2
                stack[-2:] = ((stack[-2], stack[-1]),)
                pos += 1
            elif op == 0x52:  # REDUCE
                args = stack.pop()
                stack[-1] = machine.call(stack[-1], args)
                pos += 1
            elif op == 0x71:  # BINPUT
                memo[data[pos + 1]] = stack[-1]
                pos += 2
            elif op == 0x51:  # BINPERSID
                stack[-1] = PersistentId(stack[-1])
                pos += 1
            elif op == 0x29:  # EMPTY_TUPLE
                push(())
                pos += 1
            elif op == 0x89:  # NEWFALSE
                push(False)
                pos += 1
            elif op == 0x4D:  # BININT2
                push(_u2(data, pos + 1)[0])
                pos += 3
            elif op == 0x2E:  # STOP
                return pos + 1
            else:
                pos = RARE[op](machine, pos + 1)
        machine.refuse_opcodes()
    finally:
        machine.position = pos
    raise AssertionError
