"""From the calls that a torch pickle records to what each tensor is: dtype, shape, strides, place.

A tensor that is made of others (sparse, nested, a subclass) has the shape that torch shows for it and no storage of its
own; its bytes are those of its parts, which are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import mul
from typing import Any

from ckptnames.errors import MalformedTensor, TensorBeyondStorage
from ckptnames.formats.symbols import Dict, Global, Object, PersistentId
from ckptnames.formats.torch_dtypes import DTYPES, PACKED, STORAGES
from ckptnames.manifest import Storage, TensorInfo

Locate = Callable[[str, int], Storage]
"""Finds the storage of that key, of so many bytes; raises ``corrupt-checkpoint`` where it is not in the file."""

_Geometry = tuple[tuple[int, ...], tuple[int, ...], int, int, Any, Any]
"""Shape, strides, number of elements, how far the last one is from the first; and the objects that said so."""

_INTEGER = {int}
_MOST_DIMENSIONS = 1000
_MOST_WRAPPERS = 16
_NEARLY_PLAIN = 14
"""How deep the parts of a sparse tensor are said to be: several parts that have several parts would multiply."""
_INT64 = 1 << 63


class _NotATensor(Exception):
    """The arguments are not those of a tensor."""


class _Opaque(Exception):
    """A tensor is made from something that is not known here: a subclass with a function of its own."""


class TensorReader:
    """Reads the tensors of one file, each storage located once."""

    def __init__(self, locate: Locate, where: str) -> None:
        self._locate = locate
        self.where = where
        self._storages: dict[tuple[str, int], Storage] = {}
        self._geometries: dict[tuple[int, int], _Geometry] = {}

    def read(self, value: Any, key: str) -> TensorInfo | None:
        """Tell what a tensor is, or ``None`` where the value is none. ``key`` names it in errors.

        Raises ``corrupt-checkpoint`` for a tensor that torch would not build, or whose bytes are not in the file.
        """
        rebuild = rebuild_of(value)
        if rebuild is None:
            return None
        try:
            return rebuild(self, value, key, 0)
        except _Opaque:
            return None
        except (_NotATensor, IndexError):
            raise MalformedTensor(self.where, key, value.callable.path) from None

    def part(self, value: Any, key: str, depth: int) -> TensorInfo:
        """Read a tensor inside another one."""
        rebuild = rebuild_of(value)
        if rebuild is None:
            raise _Opaque
        if depth > _MOST_WRAPPERS:
            raise _NotATensor
        return rebuild(self, value, key, depth + 1)

    def strided(self, args: Sequence[Any], key: str, dtype: tuple[str, int] | None = None) -> TensorInfo:
        """Read ``(storage, offset, size, strides, …)``; without ``dtype`` the class of the storage says it."""
        identity = args[0].value if type(args[0]) is PersistentId else ()
        if type(identity) is not tuple or len(identity) < 5 or type(identity[1]) is not Global:
            raise _NotATensor
        name, count, offset = identity[2], identity[4], args[1]
        stored = STORAGES.get(identity[1].name)
        if stored is None or not isinstance(name, str) or type(count) is not int or type(offset) is not int:
            raise _NotATensor
        nbytes = count * stored[1]
        storage = self._storages.get((name, nbytes))
        if storage is None:
            storage = self._storages[name, nbytes] = self._locate(name, nbytes)
        if len(identity) > 5 and identity[5] is not None:
            start, nbytes = _view(identity[5], stored[1])
            offset += start
        spelled, itemsize = dtype or stored
        shape, strides, n_elements, reach, _, _ = self._geometry(args[2], args[3])
        if offset < 0:
            raise _NotATensor
        per_byte = PACKED.get(spelled, 1)
        needed = (offset + reach) * itemsize if n_elements else 0
        if needed > nbytes * per_byte:
            raise TensorBeyondStorage(self.where, key, name, -(-needed // per_byte), nbytes)
        return TensorInfo(spelled, shape, -(-n_elements * itemsize // per_byte), strides, offset, storage)

    def _geometry(self, size: Any, strides: Any) -> _Geometry:
        # By identity: most tensors share their sizes, and what a pickle holds may not be hashable. Both are kept alive.
        known = self._geometries.get((id(size), id(strides)))
        if known is None:
            shape, steps = sizes(size), sizes(strides)
            if len(shape) != len(steps):
                raise _NotATensor
            reach = sum(map(mul, shape, steps)) - sum(steps) + 1
            known = self._geometries[id(size), id(strides)] = (shape, steps, _count(shape), reach, size, strides)
        return known


Rebuild = Callable[[TensorReader, Object, str, int], TensorInfo]


def rebuild_of(value: Any) -> Rebuild | None:
    """Give the function that reads the tensor which the value makes, or ``None`` where it makes none."""
    if type(value) is not Object or type(value.callable) is not Global:
        return None
    made_by = value.callable
    if made_by.module.partition(".")[0] != "torch":
        return None
    if isinstance(value.state, tuple) and made_by.name.endswith("Tensor"):
        return _set_tensor
    return _REBUILDS.get(made_by.name)


def sizes(value: Any) -> tuple[int, ...]:
    """Give the sizes or strides that a tuple or a ``torch.Size`` holds."""
    if type(value) is Object and len(value.args) == 1:
        value = value.args[0]
    if isinstance(value, list):
        value = tuple(value)
    if type(value) is not tuple or len(value) > _MOST_DIMENSIONS:
        raise _NotATensor
    if value and (set(map(type, value)) != _INTEGER or min(value) < 0 or max(value) >= _INT64):
        raise _NotATensor
    return value


def _count(shape: tuple[int, ...]) -> int:
    """Count elements; torch does so in 64 bits."""
    if (n_elements := prod(shape)) >= _INT64:
        raise _NotATensor
    return n_elements


def _view(view: Any, itemsize: int) -> tuple[int, int]:
    """Give where a piece of a legacy storage starts, in elements, and the byte of the storage at which it ends."""
    if type(view) is not tuple or len(view) != 3 or type(view[1]) is not int or type(view[2]) is not int or view[1] < 0:
        raise _NotATensor
    return view[1], (view[1] + view[2]) * itemsize


def _dtype(value: Any) -> tuple[str, int]:
    found = DTYPES.get(value.name) if type(value) is Global and value.module == "torch" else None
    if found is None:
        raise _NotATensor
    return found


def _tensor(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:  # noqa: ARG001
    return reader.strided(value.args, key)


def _tensor_v3(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:  # noqa: ARG001
    return reader.strided(value.args, key, _dtype(value.args[6]))


def _set_tensor(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:  # noqa: ARG001
    # The oldest files make an empty tensor, and give it storage, offset, size and strides as its state.
    return reader.strided(value.state[:4], key)


def _first_argument(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:
    return reader.part(value.args[0], key, depth)


def _from_type(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:
    # The class and the attributes of the tensor follow the function and its arguments.
    if type(value.args[2]) is not tuple:
        raise _NotATensor
    return reader.part(Object(value.args[0], value.args[2]), key, depth)


def _meta(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:  # noqa: ARG001
    dtype, shape, strides = _dtype(value.args[0]), sizes(value.args[1]), sizes(value.args[2])
    return TensorInfo(dtype[0], shape, _count(shape) * dtype[1], strides)


def _wrapper(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:  # noqa: ARG001
    dtype, shape, strides = _dtype(value.args[1]), sizes(value.args[2]), sizes(value.args[3])
    return TensorInfo(dtype[0], shape, _count(shape) * dtype[1], strides)


def _sparse(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:
    parts = value.args[1]
    if type(parts) is not tuple or len(parts) not in (3, 4):
        raise _NotATensor
    compressed = type(parts[2]) is Object and rebuild_of(parts[2]) is not None
    depth = max(depth, _NEARLY_PLAIN)
    tensors = [reader.part(part, key, depth) for part in parts[: 3 if compressed else 2]]
    nbytes = sum(part.nbytes or 0 for part in tensors)
    values = tensors[-1]
    shape = sizes(parts[3 if compressed else 2])
    _count(shape)
    return TensorInfo(values.dtype, shape, nbytes)


def _nested(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:
    # The sizes of its rows are numbers inside a tensor, which is not read.
    values = reader.part(value.args[0], key, depth)
    return TensorInfo(values.dtype, None, values.nbytes)


def _jagged(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:
    keywords = value.args[0]
    if type(keywords) is not Dict:
        raise _NotATensor
    values = reader.part(keywords.get("values"), key, depth)
    return TensorInfo(values.dtype, None, values.nbytes)


def _from_cpu_tensor(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:
    inner = reader.part(value.args[0], key, depth)
    return inner._replace(dtype=_dtype(value.args[1])[0])


def _from_numpy(reader: TensorReader, value: Object, key: str, depth: int) -> TensorInfo:  # noqa: ARG001
    state = value.args[0].state if type(value.args[0]) is Object else None
    if type(state) is not tuple:
        raise _NotATensor
    dtype, shape = _dtype(value.args[1]), sizes(state[1])
    return TensorInfo(dtype[0], shape, _count(shape) * dtype[1])


_REBUILDS: dict[str, Rebuild] = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_v3,
    "_rebuild_qtensor": _tensor,
    "_rebuild_parameter": _first_argument,
    "_rebuild_parameter_with_state": _first_argument,
    "Parameter": _first_argument,
    "Buffer": _first_argument,
    "Variable": _first_argument,
    "_rebuild_from_type": _from_type,
    "_rebuild_from_type_v2": _from_type,
    "_rebuild_meta_tensor_no_storage": _meta,
    "_rebuild_wrapper_subclass": _wrapper,
    "_rebuild_sparse_tensor": _sparse,
    "_rebuild_nested_tensor": _nested,
    "_rebuild_njt": _jagged,
    "_rebuild_device_tensor_from_cpu_tensor": _from_cpu_tensor,
    "_rebuild_device_tensor_from_numpy": _from_numpy,
    "_rebuild_xla_tensor": _from_numpy,
    "_rebuild_mlc_tensor": _from_numpy,
}
