"""What is known of the arguments and methods of torch's layers, whether torch is installed or not."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

from ckptnames.prediction.static.values import Unknown, Value

QUIET = frozenset(
    [
        "reset_parameters",
        "_reset_parameters",
        "reset_running_stats",
        "extra_repr",
        "flatten_parameters",
        "check_input",
        "_check_input_dim",
        "check_forward_args",
        "__setstate__",
        "__repr__",
        "_log_api_usage_once",
    ]
)
"""Methods that change no name and no shape."""
SIZES = frozenset(
    [
        "in_features",
        "out_features",
        "in_channels",
        "out_channels",
        "num_features",
        "num_channels",
        "normalized_shape",
        "num_embeddings",
        "embedding_dim",
        "input_size",
        "hidden_size",
        "embed_dim",
        "d_model",
        "dim_feedforward",
        "in1_features",
        "in2_features",
        "num_parameters",
        "kernel_size",
    ]
)
"""Arguments that decide how large tensors are, and not whether they are there."""
FREE = frozenset(
    [
        "stride",
        "padding",
        "dilation",
        "output_padding",
        "padding_mode",
        "eps",
        "momentum",
        "dropout",
        "p",
        "inplace",
        "negative_slope",
        "init",
        "device",
        "nhead",
        "num_heads",
        "scale_factor",
        "size",
        "mode",
        "align_corners",
        "output_size",
        "batch_first",
        "norm_first",
    ]
)
"""Arguments that decide neither."""
_FIRST, _SECOND = 24, 48
"""Two sizes that stand for one that is not known: most heads and groups divide them."""


def probes(
    real: Any, args: tuple[Value, ...], kwargs: dict[str, Value]
) -> Iterator[tuple[list[Value], dict[str, Value]]]:
    """Give the arguments to build a layer with; where a size is not known, two sizes in turn."""
    values = [*args, *kwargs.values()]
    if not any(isinstance(value, Unknown) for value in values):
        yield list(args), kwargs
        return
    names = list(signature(real).parameters)
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    unknown = [name for name, value in given.items() if isinstance(value, Unknown)]
    if not all(name in SIZES or name in FREE for name in unknown) or len(args) > len(names):
        yield list(args), kwargs  # which then cannot be built
        return
    known = {name: value for name, value in given.items() if name not in FREE or name not in unknown}
    for size in (_FIRST, _SECOND):
        yield [], {name: size if isinstance(value, Unknown) else value for name, value in known.items()}


def names_device(value: Value) -> bool:
    """Tell whether a text names a device that may be lacking: what is put there may raise."""
    return isinstance(value, str) and value.partition(":")[0] not in ("cpu", "meta")
