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
    r"(?:_ctypes|_frozen_importlib|_frozen_importlib_external|_functools|_imp|_io|_operator|_pickle|"
    r"_posixsubprocess|_socket|_thread|_winapi|aiohttp|asyncio|bdb|cProfile|cffi|cloudpickle|code|codeop|commands|"
    r"compileall|concurrent|ctypes|dill|distutils|doctest|ensurepip|fileinput|ftplib|functools|glob|http|httpx|"
    r"idlelib|imaplib|imp|importlib|io|lib2to3|linecache|marshal|modulefinder|multiprocessing|nntplib|nt|operator|"
    r"os|paramiko|pdb|pickle|pip|pkgutil|platform|popen2|poplib|posix|profile|pty|py_compile|pydoc|requests|"
    r"rlcompleter|runpy|setuptools|shelve|shutil|signal|site|smtplib|socket|socketserver|ssl|subprocess|sys|tarfile|"
    r"telnetlib|tempfile|threading|timeit|trace|types|urllib|urllib2|venv|webbrowser|winreg|xmlrpc|zipapp|zipfile|"
    r"zipimport)"
)
"""Modules of which a pickle has no use but to run something."""
_RUNS = re.compile(
    r"_?(?:(?:full_|unsafe_)?loads?(?:_[a-z_]+)?|load[A-Z]\w*|loadtxt|genfromtxt|fromfile|read_\w+|download\w*|open|"
    r"run(?:_?[a-z]\w*)?|exec\w*|eval\w*|system|popen\w*|spawn\w*|import_\w+|compile_file)"
)
"""Functions of any module that do so, by their name."""
_PLAIN = {
    "_io.BytesIO",
    "_io.StringIO",
    "copyreg.__newobj__",
    "copyreg.__newobj_ex__",
    "copyreg._reconstructor",
    "io.BytesIO",
    "io.StringIO",
    "torch.storage._load_from_bytes",
    "types.SimpleNamespace",
}
_PLAIN_BUILTINS = {
    "Ellipsis",
    "NotImplemented",
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
_RAISED = ("Error", "Exception", "Warning")
_PLAIN_FUNCTIONS = re.compile(r"numpy\.(?:_core|core)\.multiarray\.(?:_reconstruct|scalar)|copyreg\._reconstructor")
_NUMPY_DTYPES = (
    "import numpy; torch.serialization.add_safe_globals([numpy.dtype, *{type(numpy.dtype(c)) "
    "for c in numpy.typecodes['All']}])"
)


def blocked(named: Iterable[Global], filled: Iterable[Global] = ()) -> tuple[BlockedGlobal, ...]:
    """List what ``torch.load(weights_only=True)`` would stop at, each with the line that allows it where it is data.

    ``filled`` are the classes whose instances get their content item by item: torch does so for its own few only, and
    stops at the others though they are allowed.

    >>> blocked([Global("collections", "OrderedDict"), Global("os", "system")])
    (BlockedGlobal(name='os.system', cure='', runs=True),)
    """
    names = dict.fromkeys(map(_as_torch_reads, named))
    incurable = set(map(_as_torch_reads, filled))
    return tuple(
        BlockedGlobal(f"{m}.{n}", "" if (m, n) in incurable else _cure(m, n), _is_dangerous(m, n))
        for m, n in names
        if not _allowed(f"{m}.{n}")
    )


def _as_torch_reads(named: Global) -> tuple[str, str]:
    # torch leaves the exceptions of Python 2 where they were.
    return (named.module, named.name) if named.module == "exceptions" else modern(named)


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
    path = f"{module}.{name}"
    if path in _PLAIN or _allowed(path):
        return False
    if module == "builtins":
        return name not in _PLAIN_BUILTINS and not name.endswith(_RAISED)
    if module == "copyreg":
        return True
    last = name.rpartition(".")[2]
    return _RUNS_CODE.fullmatch(module.partition(".")[0]) is not None or _RUNS.fullmatch(last) is not None


def _cure(module: str, name: str) -> str:
    path = f"{module}.{name}"
    if _is_dangerous(module, name) or not all(part.isidentifier() for part in path.split(".")):
        return ""
    if path == "numpy.dtype":
        return _NUMPY_DTYPES
    if module == "exceptions":
        return f"torch.serialization.add_safe_globals([({name}, '{path}')])"
    # From its module by name: a package may have something else under the name of the module.
    given = f"from {module} import {name.partition('.')[0]}; "
    if _PLAIN_FUNCTIONS.fullmatch(path):
        # numpy 2 moved these: the name in the file is what torch compares.
        return f"{given}torch.serialization.add_safe_globals([({name}, '{path}')])"
    if not _is_class(module, name):
        return ""
    return f"{'' if module == 'builtins' else given}torch.serialization.add_safe_globals([{name}])"


def _is_class(module: str, name: str) -> bool:
    # A function that anyone may have written can do anything. Classes are told by their capital, as they are spelled.
    if module == "builtins":
        return name[:1].islower() or name.endswith(_RAISED)
    last = name.rpartition(".")[2].lstrip("_")
    return last[:1].isupper() or f"{module}.{name}" in _LOWER_CASE_CLASSES


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
