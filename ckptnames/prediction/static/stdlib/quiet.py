"""What is known of the rest of the standard library: most of it has no say in names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

from ckptnames.prediction.static.interpreter.imports import known_name, module
from ckptnames.prediction.static.interpreter.items import is_concrete
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.signals import Raised
from ckptnames.prediction.static.stdlib.table import known, put, same
from ckptnames.prediction.static.values import (
    Class,
    Context,
    Function,
    Instance,
    Iterating,
    Method,
    Names,
    Native,
    Token,
    Unknown,
    Value,
    builtin_class,
)

_IDENTITIES = """
    abc.abstractmethod abc.abstractproperty typing.overload typing.final typing.runtime_checkable typing.no_type_check
    typing.override typing_extensions.override typing_extensions.final typing_extensions.deprecated
    typing_extensions.runtime_checkable atexit.register
"""
_TOKENS = """
    Any Union Optional List Tuple Dict Set FrozenSet Callable Sequence Iterable Iterator Mapping MutableMapping
    MutableSequence Type TypeVar Generic Protocol ClassVar Literal Final NoReturn Annotated TypeAlias ParamSpec
    Concatenate Generator Collection Container Hashable Sized SupportsFloat SupportsInt IO AnyStr Deque DefaultDict
    Text Self Unpack TypeVarTuple Required NotRequired LiteralString Never TypeGuard AbstractSet Counter Awaitable
    Coroutine AsyncIterator Pattern Match SupportsIndex Reversible KeysView ValuesView ItemsView Concatenate Buffer
"""
_NOTHING = """
    warnings.warn warnings.filterwarnings warnings.simplefilter warnings.warn_explicit gc.collect time.sleep
    logging.basicConfig logging.info logging.warning logging.debug logging.error logging.critical logging.exception
    logging.disable logging.captureWarnings random.seed numpy.random.seed os.makedirs os.putenv sys.setrecursionlimit
    traceback.print_exc faulthandler.enable pprint.pprint numpy.set_printoptions
"""
_PLAIN = """
    time.time time.perf_counter time.monotonic time.strftime random.random random.randint random.uniform random.gauss
    random.randrange os.getcwd os.listdir os.path.exists
    os.path.isfile os.path.isdir os.path.abspath os.path.expanduser os.path.realpath os.path.getsize os.cpu_count
    json.load json.loads json.dump json.dumps pickle.dump yaml.safe_load yaml.load
    yaml.full_load uuid.uuid4 platform.system platform.machine platform.python_version socket.gethostname
    datetime.datetime.now subprocess.run subprocess.check_output subprocess.Popen shutil.copy glob.glob
    hashlib.md5 hashlib.sha256 tempfile.mkdtemp numpy.random.rand numpy.random.randn numpy.random.uniform
    numpy.random.normal numpy.random.randint numpy.random.choice numpy.random.permutation os.system
    urllib.request.urlopen urllib.parse.urlparse csv.reader inspect.getfile inspect.getsource os.popen
    pkg_resources.parse_version struct.unpack scipy.io.loadmat cv2.imread PIL.Image.open requests.get
"""

for _name in _IDENTITIES.split():
    put(_name, Native(_name, same))
for _name in _TOKENS.split():
    for _home in ("typing", "typing_extensions"):
        put(f"{_home}.{_name}", Token(f"typing.{_name}"))
for _name in _NOTHING.split():
    put(_name, Native(_name, lambda machine, *args, **kwargs: None))


def _plain(name: str) -> None:
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        machine.doubts += 1
        return machine.plain(f"what '{name}' gives is known when it runs")

    put(name, Native(name, code))


for _name in _PLAIN.split():
    _plain(_name)


@known("random.choice", "random.sample", "random.choices", "random.shuffle")
def _drawn(machine: Machine, values: Value, *args: Value, **kwargs: Value) -> Value:
    """Draw from values, of which any may come, and in any order."""
    why = machine.unknown("what is drawn at random is known when it runs")
    if isinstance(values, list):
        machine.unsure(values, why)
    return why.within(values)


put("typing.TYPE_CHECKING", False)
put("typing.get_origin", Native("get_origin", lambda machine, value: machine.plain("a type is not looked into")))
put("typing.get_args", Native("get_args", lambda machine, value: machine.plain("a type is not looked into")))
put("typing.cast", Native("cast", lambda machine, kind, value: value))
put("typing.NewType", Native("NewType", lambda machine, name, kind: Native(name, lambda m, value: value)))
put("abc.ABCMeta", Token("abc.ABCMeta"))
_ABC = Class("ABC", Names(), module="abc")
_ABC.mro = (_ABC, builtin_class(object))
put("abc.ABC", _ABC)
_TYPED_DICT = Class("TypedDict", Names(), module="typing", known={"make": lambda m, cls, args, kwargs: dict(kwargs)})
_TYPED_DICT.mro = (_TYPED_DICT, builtin_class(object))
put("typing.TypedDict", _TYPED_DICT)
for _name in ("numbers.Number", "numbers.Integral", "numbers.Real", "os.PathLike"):
    put(_name, Token(_name))


# An object that may be called and asked for anything, and does nothing: loggers.

_NO_OP = Native("quiet", lambda machine, *args, **kwargs: None)
_QUIET = Class("Logger", Names(), module="logging")
_QUIET.mro = (_QUIET, builtin_class(object))
_QUIET.names["__getattr__"] = Native("__getattr__", lambda machine, self, name: _NO_OP, binds=True)
_QUIET.names["__call__"] = Native("__call__", lambda machine, self, *args, **kwargs: None, binds=True)


@known("logging.getLogger", "logging.StreamHandler", "logging.FileHandler", "logging.Formatter", "logging.NullHandler")
def _logger(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    return Instance(_QUIET)


for _name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    put(f"logging.{_name}", {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}[_name])
put("logging.Logger", _QUIET)


# sys, os, importlib, inspect, contextlib

put("sys.version_info", tuple(sys.version_info))
put("sys.version", sys.version)
put("sys.platform", sys.platform)
put("sys.maxsize", sys.maxsize)
put("sys.argv", [""])


class _Environment(dict[str, str]):
    """The environment, as it is when a program is followed."""

    def copy(self) -> dict[str, str]:
        return dict(os.environ)


put("sys.path", [])
put("sys.stdout", Instance(_QUIET))
put("sys.stderr", Instance(_QUIET))
put("os.environ", _Environment(os.environ))
put("os.sep", "/")


@known("os.getenv")
def _getenv(machine: Machine, name: Value, default: Value = None) -> Value:
    return machine.call(machine.get(known_name(machine, "os.environ"), "get"), [name, default])


@known("sys.exit")
def _exit(machine: Machine, code: Value = None) -> Value:
    raise Raised(SystemExit("the program ends here"), machine.place)


_LOADED = Class("modules", Names(), module="sys")
_LOADED.mro = (_LOADED, builtin_class(object))
_LOADED.names["__getitem__"] = Native("__getitem__", lambda machine, self, name: _loaded(machine, name), binds=True)
_LOADED.names["get"] = Native("get", lambda machine, self, name, default=None: _loaded(machine, name), binds=True)
_LOADED.names["__contains__"] = Native(
    "__contains__",
    lambda machine, self, name: name in machine.modules or machine.plain("which modules are loaded is not known"),
    binds=True,
)
put("sys.modules", Instance(_LOADED))


def _loaded(machine: Machine, name: Value) -> Value:
    if isinstance(name, str) and name in machine.modules:
        return machine.modules[name]
    return machine.unknown("a module that is loaded elsewhere is not known")


@known("importlib.import_module")
def _import_module(machine: Machine, name: Value, package: Value = None) -> Value:
    if not isinstance(name, str) or name.startswith("."):
        if not (isinstance(name, str) and isinstance(package, str)):
            return machine.unknown("which module is imported is not known")
        above = package.split(".")
        level = len(name) - len(name.lstrip("."))
        name = ".".join([*above[: len(above) - level + 1], name.lstrip(".")])
    return module(machine, name, machine.place)


@known("importlib.util.find_spec")
def _find_spec(machine: Machine, name: Value, package: Value = None) -> Value:
    if not isinstance(name, str):
        return machine.plain("which module is looked for is not known")
    top = name.partition(".")[0]
    found = machine.finder.find(name) is not None or top in sys.stdlib_module_names or machine.torch.canonical(name)
    return Token("a module's place") if found else None


@known("inspect.isclass")
def _isclass(machine: Machine, value: Value) -> Value:
    return value.as_plain() if isinstance(value, Unknown) else isinstance(value, Class | type)


@known("inspect.isfunction", "inspect.isroutine", "inspect.ismethod")
def _isfunction(machine: Machine, value: Value) -> Value:
    return value.as_plain() if isinstance(value, Unknown) else isinstance(value, Function | Native | Method)


@known("inspect.ismodule")
def _ismodule(machine: Machine, value: Value) -> Value:
    return machine.plain("whether something is a module is not known")


_EMPTY = Token("inspect.Parameter.empty")
put("inspect.Signature.empty", _EMPTY)
put("inspect._empty", _EMPTY)
_PARAMETER = Class("Parameter", Names(empty=_EMPTY), module="inspect")
_PARAMETER.mro = (_PARAMETER, builtin_class(object))
put("inspect.Parameter", _PARAMETER)
for _name in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL", "KEYWORD_ONLY", "VAR_KEYWORD"):
    _PARAMETER.names[_name] = Token(f"inspect.Parameter.{_name}")


@known("inspect.signature")
def _signature(machine: Machine, value: Value) -> Value:
    skipped = 0
    if isinstance(value, Class):
        init = value.look_up("__init__")
        value, skipped = (init[1] if init is not None else None), 1
    if isinstance(value, Method):
        value, skipped = value.function, 1
    while isinstance(value, Function) and "__wrapped__" in value.attrs:
        value = value.attrs["__wrapped__"]
    if not isinstance(value, Function):
        return machine.unknown("the signature of a function is not known")
    found = dict(list(_parameters(value))[skipped:])
    return Instance(builtin_class(object), Names(parameters=found), None, _NOT_ALL)


def _parameters(function: Function) -> Iterator[tuple[str, Value]]:
    spec = function.node.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults = [_EMPTY] * (len(positional) - len(function.defaults)) + function.defaults
    kinds = ["POSITIONAL_ONLY"] * len(spec.posonlyargs) + ["POSITIONAL_OR_KEYWORD"] * len(spec.args)
    for arg, default, kind in zip(positional, defaults, kinds, strict=True):
        yield arg.arg, _parameter(arg.arg, default, kind)
    if spec.vararg is not None:
        yield spec.vararg.arg, _parameter(spec.vararg.arg, _EMPTY, "VAR_POSITIONAL")
    for arg in spec.kwonlyargs:
        yield arg.arg, _parameter(arg.arg, function.keyword_defaults.get(arg.arg, _EMPTY), "KEYWORD_ONLY")
    if spec.kwarg is not None:
        yield spec.kwarg.arg, _parameter(spec.kwarg.arg, _EMPTY, "VAR_KEYWORD")


def _parameter(name: str, default: Value, kind: str) -> Value:
    return Instance(_PARAMETER, Names(name=name, default=default, kind=_PARAMETER.names[kind]), None, _NOT_ALL)


_NOT_ALL = Unknown("it is not looked into", plain=True)
"""Why some attributes of objects of Python's own are not known."""


@known("contextlib.contextmanager")
def _contextmanager(machine: Machine, function: Value) -> Value:
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        made = machine.call(function, args, kwargs)
        if not isinstance(made, Iterating):
            return machine.unknown("a context manager is not followed")
        if made.frame is not None:
            made.frame.extra["managed"] = True
        return Context(generator=made.values, frame=made.frame)  # type: ignore[arg-type]

    return Native(getattr(function, "name", "contextmanager"), code, binds=True)


@known("contextlib.suppress")
def _suppress(machine: Machine, *kinds: Value) -> Value:
    return Context(suppresses=kinds)


@known("contextlib.nullcontext")
def _nullcontext(machine: Machine, value: Value = None) -> Value:
    return Context(value)


@known("warnings.catch_warnings")
def _catch_warnings(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    return Context()


_VERSION = Class("Version", Names(), module="packaging.version")
_VERSION.mro = (_VERSION, builtin_class(object))


@known("packaging.version.parse", "packaging.version.Version", "distutils.version.LooseVersion")
def _version(machine: Machine, text: Value) -> Value:
    if isinstance(text, Unknown) or not is_concrete(machine, text):
        return machine.plain("a version is not known")
    release = re.match(r"v?(\d+(?:\.\d+)*)", str(text))
    numbers = tuple(map(int, release[1].split("."))) if release is not None else ()
    names = Names(release=numbers, **dict(zip(("major", "minor", "micro"), (*numbers, 0, 0, 0), strict=False)))
    return Instance(_VERSION, names, numbers, _NOT_ALL)
