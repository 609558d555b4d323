"""The run of opcodes that torch writes for one tensor, read in one step.

A tensor takes some 38 opcodes, always the same ones: from the call of ``_rebuild_tensor_v2`` that the memo gives to the
REDUCE that makes it. Reading them as one pattern takes a fifth of the time, which is most of what listing a large file
costs. Whatever differs by one byte is left to the machine's loop: this does what the loop would, or nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from struct import Struct
from typing import Any

from ckptnames.formats.pickle_stack import Machine
from ckptnames.formats.symbols import ORDERED_DICT, Dict, Object, Text

_GET = rb"(h.|j....)"
_PUT = rb"r(....)"
_INT = rb"(?:K.|M..|J....|\x8a\x05.....)"
_TUPLE = rb"(?:\)|(INT\x85|INTINT\x86|INTINTINT\x87|\((?:INT){4,}t)PUT)".replace(b"INT", _INT).replace(b"PUT", _PUT)
_RUN = (
    rb"\(\(" + _GET + _GET + rb"X(.)\0\0\0([0-9]{1,20})" + _PUT,  # ('storage', FloatStorage, '7',
    _GET + b"(" + _INT + b")(N?)t" + _PUT + b"Q",  # 'cpu', 64), or in a legacy file 'cpu', 64, None)
    b"(" + _INT + b")" + _TUPLE + _TUPLE,  # offset, size, strides,
    rb"([\x88\x89])" + _GET + rb"\)R" + _PUT,  # requires_grad, OrderedDict()
    rb"t" + _PUT + rb"R" + _PUT,
)
match_tensor = re.compile(b"".join(_RUN), re.DOTALL).match

_u4 = Struct("<I").unpack
_i4 = Struct("<i").unpack


def read_tensor(machine: Machine, match: re.Match[bytes]) -> bool:
    """Do what the opcodes of the match do to the machine, whose stack holds the function; tell whether they fit."""
    memo = machine.memo
    storage, cls, length, key, put_key, device, numel, view, put_id, *rest = match.groups()
    offset, size, put_size, strides, put_strides, grad, hooks, put_hooks, put_args, put_tensor = rest
    try:
        kind, cls, place = memo[_index(storage)], memo[_index(cls)], memo[_index(device)]
        if memo[_index(hooks)] is not ORDERED_DICT or length[0] != len(key):
            return False
    except KeyError:
        return False
    name = str(key, "ascii")
    if machine.traced:
        name = Text.at(name, match.start(3) - 1, match.end(4))
    identity: tuple[Any, ...] = (kind, cls, name, place, _number(numel))
    if view:
        identity = (*identity, None)
    memo[_u4(put_key)[0]] = name
    memo[_u4(put_id)[0]] = identity
    shape = _numbers(size)
    if size:
        memo[_u4(put_size)[0]] = shape
    steps = _numbers(strides)
    if strides:
        memo[_u4(put_strides)[0]] = steps
    memo[_u4(put_hooks)[0]] = backward = Dict("OrderedDict")
    memo[_u4(put_args)[0]] = args = (
        machine.refer(identity),
        _number(offset),
        shape,
        steps,
        grad == b"\x88",
        backward,
    )
    memo[_u4(put_tensor)[0]] = machine.stack[-1] = Object(machine.stack[-1], args)
    return True


@lru_cache(4096)
def _index(get: bytes) -> int:
    return get[1] if len(get) == 2 else int(_u4(get[1:])[0])


@lru_cache(4096)
def _number(opcode: bytes) -> int:
    if opcode[0] == 0x4A:  # BININT
        return int(_i4(opcode[1:])[0])
    if opcode[0] == 0x8A:  # LONG1
        return int.from_bytes(opcode[2:], "little", signed=True)
    return int.from_bytes(opcode[1:], "little")


@lru_cache(4096)
def _numbers(opcodes: bytes | None) -> tuple[int, ...]:
    if not opcodes:
        return ()
    return tuple(_number(opcode) for opcode in re.findall(_INT, opcodes.lstrip(b"("), re.DOTALL))
