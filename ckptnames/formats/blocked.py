"""Which classes and functions of a pickle ``torch.load(weights_only=True)`` stops at, and what to do about each.

The list is that of torch 2.13; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ckptnames.formats.checkpoint import BlockedGlobal
from ckptnames.formats.symbols import Global
from ckptnames.formats.torch_dtypes import DTYPES

_KINDS = "BFloat16|Bool|Byte|Char|Double|Float|Half|Int|Long|Short"
_TENSOR_CLASS = re.compile(
    rf"torch\.(?:cuda\.)?(?:(?:{_KINDS})(?:Storage|Tensor)|Complex(?:Double|Float)Storage)"
    r"|torch\.(?:QInt8|QInt32|QUInt8|QUInt4x2|QUInt2x4)Storage"
    r"|torch\.(?:cuda\.)?sparse\.(?:BFloat16|Byte|Char|Double|Float|Half|Int|Long|Short)Tensor"
)
_ALLOWED = {
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
    "collections.Counter",
    "collections.OrderedDict",
    "torch.Size",
    "torch.Tensor",
    "torch._tensor._rebuild_from_type_v2",
    "torch.device",
    "torch.distributed._mesh_layout._FlatLayout",
    "torch.distributed._mesh_layout._MeshLayout",
    "torch.nested._internal.nested_tensor.NestedTensor",
    "torch.nested._internal.nested_tensor._rebuild_njt",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "torch.storage.TypedStorage",
    "torch.storage.UntypedStorage",
    *(f"torch.{dtype}" for dtype in DTYPES),
    *(f"torch.per_{what}" for what in ("tensor_affine", "tensor_symmetric", "channel_affine", "channel_symmetric")),
    "torch.per_channel_affine_float_qparams",
    *(
        f"torch._utils._rebuild_{what}"
        for what in (
            "device_tensor_from_cpu_tensor",
            "device_tensor_from_numpy",
            "meta_tensor_no_storage",
            "nested_tensor",
            "parameter",
            "parameter_with_state",
            "qtensor",
            "sparse_tensor",
            "tensor",
            "tensor_v2",
            "tensor_v3",
            "wrapper_subclass",
        )
    ),
}
_RUNS_CODE = re.compile(
    r"(?:_pickle|aiohttp|asyncio|bdb|cProfile|cloudpickle|code|codeop|commands|concurrent|ctypes|dill|"
    r"doctest|fileinput|ftplib|functools|glob|http|httpx|imaplib|importlib|io|linecache|marshal|"
    r"multiprocessing|nt|operator|os|pdb|pickle|pip|platform|popen2|poplib|posix|profile|pty|requests|"
    r"runpy|shelve|shutil|signal|site|smtplib|socket|socketserver|ssl|subprocess|sys|telnetlib|"
    r"tempfile|threading|timeit|trace|types|urllib|urllib2|venv|webbrowser|xmlrpc)"
)
_PLAIN_CLASSES = {"io.BytesIO", "io.StringIO", "types.SimpleNamespace"}
_PLAIN_BUILTINS = {
    "bool",
    "bytes",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "slice",
    "str",
    "tuple",
}
_PLAIN_FUNCTIONS = re.compile(r"numpy\.(?:_core|core)\.multiarray\.(?:_reconstruct|scalar)|copyreg\._reconstructor")
_NUMPY_DTYPES = (
    "import numpy; torch.serialization.add_safe_globals([numpy.dtype, *{type(numpy.dtype(c)) "
    "for c in '?' + numpy.typecodes['AllInteger'] + numpy.typecodes['AllFloat']}])"
)


def blocked(named: Iterable[Global]) -> tuple[BlockedGlobal, ...]:
    """List what ``torch.load(weights_only=True)`` would stop at, each with the line that allows it where it is data.

    >>> blocked([Global("collections", "OrderedDict"), Global("os", "system")])
    (BlockedGlobal(name='os.system', cure=''),)
    """
    names = dict.fromkeys(map(modern, named))
    return tuple(BlockedGlobal(f"{m}.{n}", _cure(m, n)) for m, n in names if not _allowed(f"{m}.{n}"))


def runs_code(named: Iterable[Global]) -> tuple[str, ...]:
    """List the names whose only use in a pickle is to run something.

    >>> runs_code([Global("posix", "system"), Global("argparse", "Namespace"), Global("builtins", "eval")])
    ('posix.system', 'builtins.eval')
    """
    return tuple(f"{m}.{n}" for m, n in dict.fromkeys(map(modern, named)) if _is_dangerous(m, n))


def modern(named: Global) -> tuple[str, str]:
    """Give the name that Python 3 has for what Python 2 wrote."""
    import _compat_pickle

    pair = (named.module, named.name)
    module, name = _compat_pickle.NAME_MAPPING.get(pair, pair)
    if (module, name) == pair:
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
    return module, name


def _allowed(path: str) -> bool:
    return path in _ALLOWED or _TENSOR_CLASS.fullmatch(path) is not None


def _is_dangerous(module: str, name: str) -> bool:
    if module == "builtins":
        return name not in _PLAIN_BUILTINS and not _allowed(f"builtins.{name}") and not name.endswith("Error")
    return _RUNS_CODE.fullmatch(module.partition(".")[0]) is not None and f"{module}.{name}" not in _PLAIN_CLASSES


def _cure(module: str, name: str) -> str:
    path = f"{module}.{name}"
    if _is_dangerous(module, name) or not all(part.isidentifier() for part in path.split(".")):
        return ""
    if path == "numpy.dtype":
        return _NUMPY_DTYPES
    if _PLAIN_FUNCTIONS.fullmatch(path):
        # numpy 2 moved these: the name in the file is what torch compares.
        return f"import {module}; torch.serialization.add_safe_globals([({path}, '{path}')])"
    if not _is_class(module, name):
        return ""
    expression = name if module == "builtins" else path
    allow = f"torch.serialization.add_safe_globals([{expression}])"
    return allow if module == "builtins" else f"import {module}; {allow}"


def _is_class(module: str, name: str) -> bool:
    # A function that anyone may have written can do anything. Classes are told by their capital, as they are spelled.
    last = name.rpartition(".")[2].lstrip("_")
    return last[:1].isupper() or module == "builtins" or f"{module}.{name}" in _LOWER_CASE_CLASSES


_LOWER_CASE_CLASSES = {
    "collections.defaultdict",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "numpy.ndarray",
}
