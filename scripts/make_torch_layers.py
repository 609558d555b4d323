"""Make the table of torch's layers, which stands in for torch where it is not installed.

    python scripts/make_torch_layers.py

Each layer of ``torch.nn`` is built on the meta device with several arguments. What its tensors are called, and how
their shapes follow from the arguments, is found out from what was built: no shape is written by hand.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import sys
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ckptnames.prediction.static.asking import load_knowledge  # noqa: E402
from ckptnames.prediction.static.torch_nn import containers  # noqa: E402
from ckptnames.prediction.static.torch_nn.names import ROOMS, is_computing  # noqa: E402
from ckptnames.prediction.static.torch_nn.table import TABLE  # noqa: E402

SIZES: tuple[dict[str, Any], ...] = (
    {
        "in_features": 6, "out_features": 10, "in1_features": 14, "in2_features": 22, "in_channels": 26,
        "out_channels": 34, "num_features": 38, "num_channels": 46, "num_embeddings": 58, "embedding_dim": 62,
        "input_size": 74, "hidden_size": 82, "embed_dim": 86, "d_model": 94, "num_parameters": 106,
        "dim_feedforward": 118, "kdim": 122, "vdim": 134, "proj_size": 9, "normalized_shape": [3, 5], "num_groups": 2,
        "groups": 2, "num_heads": 2, "nhead": 2, "kernel_size": 3, "n_classes": 300, "cutoffs": [10, 100],
        "output_size": 5, "scale_factor": 2, "upscale_factor": 2, "downscale_factor": 2, "padding": 1, "dim": 1,
        "unflattened_size": [2, 3], "lambd": 0.5, "threshold": 0.5, "value": 1.0,
    },
    {
        "in_features": 142, "out_features": 146, "in1_features": 158, "in2_features": 166, "in_channels": 178,
        "out_channels": 194, "num_features": 202, "num_channels": 206, "num_embeddings": 214, "embedding_dim": 218,
        "input_size": 226, "hidden_size": 254, "embed_dim": 262, "d_model": 274, "num_parameters": 278,
        "dim_feedforward": 298, "kdim": 302, "vdim": 314, "proj_size": 11, "normalized_shape": [7, 11], "num_groups": 1,
        "groups": 1, "num_heads": 1, "nhead": 1, "kernel_size": 5, "n_classes": 500, "cutoffs": [20, 200],
        "output_size": 7, "scale_factor": 3, "upscale_factor": 3, "downscale_factor": 3, "padding": 2, "dim": 2,
        "unflattened_size": [5, 7], "lambd": 0.25, "threshold": 0.25, "value": 2.0,
    },
)  # fmt: skip
"""Two sets of arguments in which no size is what another, or half of another, is."""
OPTIONS: dict[str, tuple[Any, ...]] = {
    "bias": (True, False), "affine": (True, False), "track_running_stats": (True, False),
    "elementwise_affine": (True, False), "add_bias_kv": (False, True), "bidirectional": (False, True),
    "head_bias": (False, True), "num_layers": (1, 2, 3, 4, 6, 8), "kdim": (None, int), "vdim": (None, int),
    "proj_size": (0, int), "device": (None,), "dtype": (None,),
}  # fmt: skip
"""Arguments that decide which tensors there are, with what they are tried with; ``int`` stands for a size."""
DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"


def main() -> None:
    """Write the table."""
    TABLE.write_text(text(), "utf-8")
    print(f"{TABLE}: {TABLE.stat().st_size:,} bytes")


def text() -> str:
    """Give the table as it is written: a line for each layer."""
    load_knowledge()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = {name: entry for name, real in sorted(real_layers().items()) if (entry := described(real)) is not None}
    table = {"torch": torch.__version__.partition("+")[0], "layers": layers, **names()}
    return json.dumps(table, separators=(",", ":")).replace('"torch.nn.', '\n"torch.nn.') + "\n"


def real_layers() -> dict[str, type[nn.Module]]:
    """Give the classes of ``torch.nn`` that are modules, and are not followed by their own methods."""
    return {
        f"torch.nn.{name}": each
        for name, each in vars(nn).items()
        if isinstance(each, type) and issubclass(each, nn.Module) and f"torch.nn.{name}" not in containers.CONTAINERS
    }


def described(real: type[nn.Module]) -> dict[str, Any] | None:
    """Describe a layer: its arguments, the classes it derives from, and its tensors in each of its variants."""
    spec = signature(real)
    entry: dict[str, Any] = {
        "mro": [base.__name__ for base in real.__mro__[1:-1] if getattr(nn, base.__name__, None) is base],
        "args": [[p.name, "required" if p.default is p.empty else "default", plain(p.default)] for p in spec],
    }
    if real is nn.Module:
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in spec):
        entry["args"] = None
    try:
        entry["variants"] = list(variants(real, spec)) or None
    except (TypeError, ValueError, NotFitting):
        return entry | {"variants": None}
    return entry


def signature(real: type[nn.Module]) -> list[inspect.Parameter]:
    """Give the arguments of a layer; recurrent ones pass most of theirs on to the class that they derive from."""
    if not issubclass(real, nn.RNNBase) or real is nn.RNNBase:
        return list(inspect.signature(real).parameters.values())
    found = [p for p in inspect.signature(nn.RNNBase).parameters.values() if p.name != "mode"]
    if real is not nn.LSTM:
        found = [p for p in found if p.name != "proj_size"]
    if real is nn.RNN:
        found.insert(3, inspect.Parameter("nonlinearity", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="tanh"))
    return found


class NotFitting(Exception):
    """The shape of a tensor does not follow from the arguments by a rule that the table has."""


def variants(real: type[nn.Module], spec: Sequence[inspect.Parameter]) -> Iterator[dict[str, Any]]:
    """Build a layer under each choice of the arguments that decide which tensors it has."""
    chosen = [p.name for p in spec if p.name in OPTIONS and len(OPTIONS[p.name]) > 1]
    for values in itertools.product(*(OPTIONS[name] for name in chosen)):
        options = dict(zip(chosen, values, strict=True))
        built = []
        for sizes in SIZES:
            given = {p.name: sizes[p.name] for p in spec if p.default is p.empty and p.name in sizes}
            given |= {n: sizes[n] for n in ("groups", "dim_feedforward", "output_size") if n in {p.name for p in spec}}
            given |= {n: sizes[n] if v is int else v for n, v in options.items()}
            missing = [
                p.name for p in spec if p.default is p.empty and p.name not in given and p.kind is not p.VAR_POSITIONAL
            ]
            if missing and not any(p.kind is p.VAR_POSITIONAL for p in spec):
                raise NotFitting(missing)
            with torch.device("meta"), contextlib.suppress(ValueError):  # arguments that do not go together
                built.append((given, real(**given)))
        if len(built) < len(SIZES):
            continue
        yield {"when": {n: "size" if v is int else v for n, v in options.items()}, **fitted(built, spec)}


def fitted(built: Sequence[tuple[dict[str, Any], nn.Module]], spec: Sequence[inspect.Parameter]) -> dict[str, Any]:
    """Describe the tensors, the modules and the attributes of a layer that was built twice."""
    one = built[0][1]
    known = [{p.name: p.default for p in spec if p.default is not p.empty} | g for g, _ in built]
    tensors: list[list[Any]] = []
    for path, module in one.named_modules():
        for kind in ("parameters", "buffers"):
            for name, tensor in getattr(module, f"_{kind}").items():
                full = f"{path}.{name}" if path else name
                if tensor is None:
                    tensors.append([full, "none", kind, None])
                    continue
                others = [_tensor(m, full) for _, m in built]
                shape = None if is_lazy(tensor) else fit([list(t.shape) for t in others], known)
                fleeting = name in module._non_persistent_buffers_set
                dtype = None if tensor.dtype == torch.get_default_dtype() else str(tensor.dtype)
                tensors.append([full, "fleeting" if fleeting else "saved", kind, shape, dtype])
    modules = [[path, type(m).__name__] for path, m in one.named_modules() if path]
    return {"modules": modules, "tensors": tensors, "attributes": dict(attributes(built, known))}


def _tensor(module: nn.Module, full: str) -> Any:
    path, _, name = full.rpartition(".")
    return getattr(module.get_submodule(path), name)


def attributes(
    built: Sequence[tuple[dict[str, Any], nn.Module]], known: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Any]]:
    """Give the plain attributes of a layer, as far as they follow from its arguments."""
    for name, value in vars(built[0][1]).items():
        if name.startswith("_") or name == "training" or not isinstance(value, int | float | str | tuple | None):
            continue
        values = [vars(module)[name] for _, module in built]
        own = [{name: k.get(name)} for k in known] if name in known[0] else []
        if own and all(k[name] == v and type(k[name]) is type(v) for k, v in zip(own, values, strict=True)):
            yield name, {"arg": name}
        elif own and all(isinstance(v, tuple) for v in values):
            try:
                yield name, {"shape": fit([list(v) for v in values], own)}
            except (NotFitting, TypeError):
                continue
        elif not own and values[0] == values[1] and isinstance(value, str):
            yield name, {"is": value}


def fit(shapes: Sequence[Sequence[int]], known: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Say how a shape follows from arguments, as that is so in every case that was built."""
    for name in known[0]:
        if all(isinstance(k[name], list) and k[name] == list(s) for k, s in zip(known, shapes, strict=True)):
            return [["*", name]]
    return [_dimension([shape[n] for shape in shapes], n, known) for n in range(len(shapes[0]))]


def _dimension(sizes: Sequence[int], n: int, known: Sequence[Mapping[str, Any]]) -> Any:
    for term in _terms(known[0], n):
        if all(_value(term, k) == size for k, size in zip(known, sizes, strict=True)):
            return term
    if len(set(sizes)) == 1:
        return sizes[0]
    raise NotFitting(sizes)


def _terms(known: Mapping[str, Any], n: int) -> Iterator[list[Any]]:
    numbers = [name for name, value in known.items() if type(value) is int]
    yield from (["=", name, n] for name in numbers)
    yield from (["x", factor, name] for factor in (2, 3, 4) for name in numbers)
    yield from (["/", name, by] for name in numbers for by in numbers)


def _value(term: Sequence[Any], known: Mapping[str, Any]) -> int:
    kind, first, second = term
    if kind == "=":
        return int(known[first])
    if kind == "x":
        return int(first * known[second])
    return int(known[first]) // int(known[second]) if known[second] else -1


def plain(value: Any) -> Any:
    """Give a default as it stands in the table; what is no plain value is ``None``."""
    if isinstance(value, bool | int | float | str | None):
        return value
    return list(value) if isinstance(value, tuple) else None


def names() -> dict[str, Any]:
    """List the modules of torch that programs name, and the functions in them that only compute."""
    functions = {
        room: sorted(name for name, each in vars(_at(room)).items() if is_computing(each, f"{room}.{name}"))
        for room in sorted(ROOMS)
    }
    modules = sorted(
        name
        for name, each in sys.modules.items()
        if name.startswith("torch.") and isinstance(each, types.ModuleType) and "._" not in name
    )
    return {"functions": functions, "modules": [m for m in modules if m.count(".") <= 3], "dtypes": DTYPES.split()}


def _at(full: str) -> Any:
    found: Any = torch
    for part in full.split(".")[1:]:
        found = getattr(found, part)
    return found


if __name__ == "__main__":
    main()
