"""The pickle machine: reads what a pickle says and runs none of it. Globals are names, calls are records.

Nothing is imported and nothing is called. There is no recursion; time and memory are bounded by `Limits` and by
the size of the pickle. `pickle_opcodes` has the opcodes that are not worth a place in the loop.
"""

from __future__ import annotations

import struct
from itertools import repeat
from typing import Any, NamedTuple

from ckptnames.errors import MalformedPickle, PickleCutShort
from ckptnames.formats.collecting import no_collection
from ckptnames.formats.pickle_opcodes import NAMES, RARE
from ckptnames.formats.pickle_stack import LIMITS, Buffer, CutShort, Limits, Machine, Malformed
from ckptnames.formats.pickle_tensors import match_tensor, read_tensor
from ckptnames.formats.symbols import Global, PersistentId, Text

__all__ = ["LIMITS", "Limits", "Reading", "read_pickle", "run"]

_STOP = 0x2E
_u4 = struct.Struct("<I").unpack_from


class Reading(NamedTuple):
    """What a pickle says, and where it ends."""

    value: Any
    end: int
    globals: tuple[Global, ...]
    """Every class and function that it names, in the order in which they first come."""
    outside: tuple[PersistentId, ...]
    """Every reference to something outside, in order."""
    filled: frozenset[Global] = frozenset()
    """The classes of instances that get their content item by item."""


def run(
    data: Buffer, start: int = 0, limits: Limits = LIMITS, traced: bool = False, where: str = ""
) -> tuple[Any, int]:
    r"""Read one pickle from ``start``; give what it says and the position after its STOP, as `read_pickle` does.

    >>> run(b"\x80\x02]q\x00K\x07a.")
    ([7], 9)
    """
    reading = read_pickle(data, start, limits, traced, where)
    return reading.value, reading.end


def read_pickle(
    data: Buffer, start: int = 0, limits: Limits = LIMITS, traced: bool = False, where: str = ""
) -> Reading:
    r"""Read one pickle from ``start``.

    With ``traced``, every string is a `Text` that knows the bytes of the opcode that pushed it, those in the references
    of a storage excepted. ``where`` names the file and member in errors.

    >>> read_pickle(b"cos\nsystem\n(S'rm -rf ~'\ntR.").globals
    (Global(os.system),)

    Raises ``corrupt-checkpoint`` for what is no pickle, ``pickle-limit`` for one beyond ``limits``.
    """
    machine = Machine(data, start, limits, traced, where)
    try:
        with no_collection():
            end = _interpret(machine)
        value = machine.stack.pop()
        globals_ = tuple(machine.globals.values())
        return Reading(value, end, globals_, tuple(machine.outside), frozenset(machine.filled))
    except (Malformed, LookupError, struct.error, ValueError, OverflowError) as fault:
        named = [each.path for each in machine.globals.values()]
        reason = _reason(machine, fault)
        if isinstance(reason, CutShort):
            raise PickleCutShort(where, f"{reason}", machine.position, named) from None
        raise MalformedPickle(where, f"{reason}", machine.position, named) from None


def _reason(machine: Machine, fault: Exception) -> Exception | str:
    if isinstance(fault, Malformed):
        return fault
    left = len(machine.data) - machine.position
    if left < 1 or (left == 1 and isinstance(fault, IndexError) and machine.data[machine.position] != _STOP):
        return CutShort("it ends before its STOP")
    opcode = NAMES.get(machine.data[machine.position], "an opcode")
    if isinstance(fault, KeyError):
        return f"{opcode} asks for a value that was never kept"
    if isinstance(fault, struct.error):
        return CutShort(f"it ends inside {opcode}")
    if isinstance(fault, IndexError):
        return f"{opcode} needs more values than there are"
    return f"{opcode} holds what it cannot mean: {fault}"


def _interpret(machine: Machine) -> int:
    """Run from the machine's position to STOP. The opcodes of which torch writes thousands stand here by frequency."""
    data, stack, marks, memo = machine.data, machine.stack, machine.marks, machine.memo
    push, traced, end = stack.append, machine.traced, machine.end
    pos = machine.position
    try:
        for _ in repeat(None, machine.limits.opcodes):
            op = data[pos]
            if op == 0x72:  # LONG_BINPUT
                memo[_u4(data, pos + 1)[0]] = stack[-1]
                pos += 5
            elif op == 0x58:  # BINUNICODE
                after = pos + 5 + _u4(data, pos + 1)[0]
                if after > end:
                    machine.refuse_length(after)
                text = str(data[pos + 5 : after], "utf-8", "surrogatepass")
                push(Text.at(text, pos, after) if traced else text)
                pos = after
            elif op == 0x68 or op == 0x6A:  # BINGET, LONG_BINGET
                after = pos + (2 if op == 0x68 else 5)
                kept = memo[data[pos + 1] if op == 0x68 else _u4(data, pos + 1)[0]]
                push(machine.again(kept, pos, after) if traced and type(kept) is Text else kept)
                if type(kept) is Global and (run := match_tensor(data, after)) and read_tensor(machine, run):
                    after = run.end()
                pos = after
            elif op == 0x4B:  # BININT1
                push(data[pos + 1])
                pos += 2
            elif op == 0x71:  # BINPUT
                memo[data[pos + 1]] = stack[-1]
                pos += 2
            elif op == 0x28:  # MARK
                marks.append(len(stack))
                pos += 1
            elif op == 0x74:  # TUPLE
                mark = marks.pop()
                stack[mark:] = (tuple(stack[mark:]),)
                pos += 1
            elif op == 0x52:  # REDUCE
                args = stack.pop()
                stack[-1] = machine.call(stack[-1], args)
                pos += 1
            elif op == 0x2E:  # STOP
                return pos + 1
            else:
                pos = RARE[op](machine, pos + 1)
        machine.refuse_opcodes()
    finally:
        machine.position = pos
