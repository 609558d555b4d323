"""A model that is named in text, ``file.py:Net`` or ``package.module:name(kwarg=1)``, and cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ckptnames.errors.base import ModelError
from ckptnames.wording import either, in_shell, path_in_shell


def _beside(place: str) -> str:
    """Write the command that goes to the folder of a model's file.

    >>> _beside("src/model.py"), _beside("model.py"), _beside("torchvision.models")
    ('cd src && ', '', '')
    """
    path = PurePath(place)
    return f"cd {path_in_shell(path.parent)} && " if path.suffix == ".py" and path.parent != PurePath() else ""


def _importing(place: str, name: str = "") -> str:
    """Write the statement that imports a name, or all, from a file or a module.

    >>> _importing("src/model.py", "Net"), _importing("my-net.py", "Net")
    ('from model import Net', "from importlib import import_module; Net = import_module('my-net').Net")
    """
    module = PurePath(place).stem if place.endswith(".py") else place
    if all(part.isidentifier() for part in module.split(".")):
        return f"from {module} import {name}" if name else f"import {module}"
    imported = f"import_module({module!r})"
    return f"from importlib import import_module; {f'{name} = {imported}.{name}' if name else imported}"


def _python(place: str, code: str) -> str:
    return f"{_beside(place)}python -c {in_shell(code)}"


def _split(operand: str) -> tuple[str, str, str]:
    """Cut an operand into file or module, the first name in it, and the whole expression behind the colon.

    >>> _split("src/model.py:Net.small(3)")
    ('src/model.py', 'Net', 'Net.small(3)')
    """
    place, mark, target = operand.partition(".py:")
    if mark:
        place += ".py"
    else:
        place, _, target = operand.partition(":")
    return place, target.partition("(")[0].partition(".")[0], target


def _building(operand: str) -> str:
    """Write the command that builds a model without ckptnames.

    >>> _building("src/model.py:Net(3)")
    "cd src && python -c 'from model import Net; Net(3)'"
    """
    place, name, target = _split(operand)
    return _python(place, f"{_importing(place, name)}; {_called(target)}")


def _called(target: str) -> str:
    return target if "(" in target else f"{target}()"


def _in_a_file(operand: str, expression: str) -> str:
    """Write the command that makes a file in which the model is built by code, and predicts from it.

    >>> _in_a_file("model.py:Net(width)", "Net(width)")
    "echo 'from model import Net, width; model = Net(width)' > built.py && ckptnames predict built.py:model"
    """
    import ast
    import builtins

    place, _, _ = _split(operand)
    used = [node.id for node in ast.walk(ast.parse(expression, mode="eval")) if isinstance(node, ast.Name)]
    names = [name for name in dict.fromkeys(used) if not hasattr(builtins, name)]
    statement = _importing(place, ", ".join(names))
    if "import_module" in statement:
        statement = "; ".join(_importing(place, name) for name in names)
    line = in_shell(f"{statement}; model = {expression}")
    return f"{_beside(place)}echo {line} > built.py && ckptnames predict built.py:model"


def _refused(hosts: Sequence[str]) -> list[str]:
    return [f"no connection was made to '{host}', which was asked for before" for host in dict.fromkeys(hosts)]


class TorchMissing(ModelError):
    """A model was named, and torch, which builds it, is not installed."""

    code = "torch-missing"

    def __init__(self, operand: str) -> None:
        self.operand = operand
        super().__init__(
            f"'{operand}' is a model, and torch, which builds models, is not installed",
            help="install it: pip install 'ckptnames[torch]'; or have the code read and not run: --static",
        )


class NamesNoModel(ModelError):
    """What was named is there, and is no ``torch.nn.Module`` and makes none."""

    code = "not-a-model"

    def __init__(self, operand: str, found: str, models: Sequence[str] = (), help: str = "") -> None:
        self.operand, self.found, self.models = operand, found, tuple(models)
        super().__init__(
            f"'{operand}' is {found}, not a model",
            evidence=models,
            help=help
            or (
                f"name one of these, as in {in_shell(models[0])}"
                if models
                else "name a class of torch.nn.Module, a function that returns a module, or a module"
            ),
        )


class NoModelOperand(ModelError):
    """A text that names no model where one is asked for: a path, or one that could mean ``instead``."""

    code = "not-a-model"

    def __init__(self, operand: str, is_path: bool, instead: str = "") -> None:
        self.operand, self.is_path, self.instead = operand, is_path, instead
        if is_path:
            offer = f"what is in it is shown by: ckptnames ls {in_shell(operand)}"
        elif instead:
            offer = f"did you mean {in_shell(instead)}?"
        else:
            offer = f"write it as file.py:NAME or package.module:NAME, as in {in_shell('model.py:Net(depth=18)')}"
        super().__init__(
            f"'{operand}' is {'a path, and no model' if is_path else 'not written as a model is'}", help=offer
        )


class ModelNotNamed(ModelError):
    """A Python file stands where a model should; ``models`` are the operands that its classes make."""

    code = "model-not-named"

    def __init__(self, path: str, models: Sequence[str]) -> None:
        self.path, self.models = path, tuple(models)
        super().__init__(
            f"'{path}' is Python source; which model in it is meant, is not said",
            evidence=models,
            help=f"name it behind a colon, as in {in_shell(models[0] if models else path + ':Net')}",
        )


class OperandSyntax(ModelError):
    """The call behind a model's name is not Python."""

    code = "operand-syntax"

    def __init__(self, operand: str, call: str, reason: str, position: int) -> None:
        self.operand, self.call, self.reason, self.position = operand, call, reason, position
        super().__init__(
            f"'{call}' in '{operand}' is no call: {reason}",
            evidence=[call, " " * position + "^"] if call.isprintable() else [],
            help=f"write the arguments as in Python, or leave them out: {in_shell(operand.removesuffix(call))}",
        )


class NotALiteral(ModelError):
    """An argument that would have to be computed; ``expression`` is the whole call."""

    code = "not-a-literal"

    def __init__(self, operand: str, argument: str, expression: str) -> None:
        self.operand, self.argument, self.expression = operand, argument, expression
        super().__init__(
            f"'{argument}' in '{operand}' is no literal; numbers, texts, None, True, lists, tuples and dicts are",
            help=f"let a file of its own compute it: {_in_a_file(operand, expression)}",
        )


class NoSuchModule(ModelError):
    """A module that cannot be found by its import path; ``missing`` is its first part that is not there."""

    code = "no-such-module"

    def __init__(self, operand: str, missing: str, nearest: Sequence[str]) -> None:
        self.operand, self.missing, self.nearest = operand, missing, tuple(nearest)
        super().__init__(
            f"there is no module '{missing}' to import '{operand}' from",
            help=f"did you mean {either(nearest)}?" if nearest else "'python -m pip list' shows what is installed",
        )


class NoSuchName(ModelError):
    """A module or file that does not have the name asked for."""

    code = "no-such-name"

    def __init__(self, place: str, name: str, nearest: Sequence[str], models: Sequence[str]) -> None:
        self.place, self.name, self.nearest, self.models = place, name, tuple(nearest), tuple(models)
        if nearest:
            offer = f"did you mean {either(nearest)}?"
        elif models:
            offer = f"name one of these, as in {in_shell(models[0])}"
        else:
            offer = "give the name of a class, of a function that returns a module, or of a module"
        super().__init__(f"'{place}' has no '{name}'", evidence=() if nearest else models, help=offer)


class MissingPackage(ModelError):
    """Code imports a package that is not installed; ``folder`` is where it stands instead, if it was found."""

    code = "missing-package"

    def __init__(self, place: str, package: str, where: str, line: str, install: str, folder: str = "") -> None:
        self.place, self.package, self.install, self.folder = place, package, install, folder
        super().__init__(
            f"'{place}' needs '{package}', which cannot be imported here",
            where=where,
            evidence=[line] if line else [],
            help=f"it stands in '{folder}': export PYTHONPATH={in_shell(folder)}"
            if folder
            else f"install it: pip install {in_shell(install)}; or have the code read and not run: --static",
        )


class ImportFailed(ModelError):
    """Importing a model's file or module ended in an exception of its own."""

    code = "import-failed"

    def __init__(self, place: str, reason: str, where: str, line: str, hosts: Sequence[str] = ()) -> None:
        self.place, self.reason = place, reason
        super().__init__(
            f"importing '{place}' fails: {reason}",
            where=where,
            evidence=[*([line] if line else []), *_refused(hosts)],
            help=f"see it fail without ckptnames: {_python(place, _importing(place))}",
        )


class MissingArgument(ModelError):
    """A model that cannot be built without an argument; ``signature`` says all that it takes."""

    code = "missing-argument"

    def __init__(self, operand: str, names: Sequence[str], signature: str, where: str, example: str) -> None:
        self.operand, self.names, self.signature, self.example = operand, tuple(names), signature, example
        super().__init__(
            f"'{operand}' is not built without {either(names, 'and')}",
            where=where,
            evidence=[signature],
            help=f"give it in the operand, as in {in_shell(example)}",
        )


class ArgumentNeedsCode(ModelError):
    """A required argument that no literal can be: ``wanted`` is the class that its annotation names."""

    code = "missing-argument"

    def __init__(self, operand: str, name: str, wanted: str, signature: str, where: str, expression: str) -> None:
        self.operand, self.name, self.wanted, self.signature = operand, name, wanted, signature
        super().__init__(
            f"'{operand}' is not built without '{name}', which is to be of '{wanted}'",
            where=where,
            evidence=[signature],
            help=f"let a file of its own make it: {_in_a_file(operand, expression)}",
        )


class UnexpectedArgument(ModelError):
    """An argument that a model does not take; ``instead`` is the operand without it, or with the name most like it."""

    code = "unexpected-argument"

    def __init__(self, operand: str, argument: str, signature: str, where: str, instead: str) -> None:
        self.operand, self.argument, self.signature, self.instead = operand, argument, signature, instead
        super().__init__(
            f"'{operand.partition('(')[0]}' does not take {argument}",
            where=where,
            evidence=[signature] if signature else [],
            help=f"did you mean {in_shell(instead)}?",
        )


class ConstructionFailed(ModelError):
    """Building a model ended in an exception of its own."""

    code = "construction-failed"

    def __init__(self, operand: str, reason: str, where: str, line: str, hosts: Sequence[str] = ()) -> None:
        self.operand, self.reason = operand, reason
        super().__init__(
            f"'{operand}' cannot be built: {reason}",
            where=where,
            evidence=[*([line] if line else []), *_refused(hosts)],
            help=f"see it fail without ckptnames: {_building(operand)}",
        )


class NeedsRealNumbers(ModelError):
    """A constructor that reads numbers out of its own weights, which have none on the meta device."""

    code = "needs-real-numbers"

    def __init__(self, operand: str, reason: str, where: str, line: str) -> None:
        self.operand, self.reason = operand, reason
        place, name, target = _split(operand)
        code = f"import ckptnames; {_importing(place, name)}; print(*ckptnames.predict({_called(target)}), sep='\\n')"
        super().__init__(
            f"building '{operand}' reads numbers from weights, which have none yet: {reason}",
            where=where,
            evidence=[line] if line else [],
            help=f"build it in memory, and predict that: {_python(place, code)}",
        )


class NeedsDevice(ModelError):
    """A constructor that asks for a device that this machine does not have."""

    code = "needs-device"

    def __init__(self, operand: str, reason: str, where: str, line: str) -> None:
        self.operand, self.reason = operand, reason
        super().__init__(
            f"building '{operand}' needs a device that is not here: {reason}",
            where=where,
            evidence=[line] if line else [],
            help=f"save its names where the device is, and give that file instead of the model: "
            f"ckptnames predict {in_shell(operand)} --json > names.json",
        )


class NeedsDownload(ModelError):
    """A constructor that opens a connection; ``offline`` is the operand that builds without, where one is known."""

    code = "needs-download"

    def __init__(self, operand: str, host: str, where: str, line: str, offline: str = "") -> None:
        self.operand, self.host, self.offline = operand, host, offline
        super().__init__(
            f"building '{operand}' wants to fetch something from '{host}', and names need no download",
            where=where,
            evidence=[line] if line else [],
            help=f"build it without: {in_shell(offline)}"
            if offline
            else f"if it keeps what it fetches, build it once without ckptnames, then again: {_building(operand)}",
        )


class NoSuchKey(ModelError):
    """A key to explain that the model does not have."""

    code = "no-such-key"

    def __init__(self, model: str, key: str, nearest: Sequence[str]) -> None:
        self.model, self.key, self.nearest = model, key, tuple(nearest)
        super().__init__(
            f"'{key}' is no key of {model}, and no module above one",
            help=f"did you mean {either(nearest)}?" if nearest else "--explain without a key explains them all",
        )
