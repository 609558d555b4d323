"""Which modules are torch's, and which of its functions only make and compute tensors."""

from __future__ import annotations

import types
from typing import Any

_RENAMED = {
    "torch.nn.parallel.data_parallel": "torch.nn.parallel",
    "torch.nn.parallel.distributed": "torch.nn.parallel",
}
FUNCTIONS_OF = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.data_parallel.DataParallel": "torch.nn.DataParallel",
}
"""Names of classes by which they are known, where those differ from the module that defines them."""
ROOMS = frozenset({"torch", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special", "torch.Tensor"})
"""Where functions live that make and compute tensors."""
_NOT_COMPUTING = frozenset(
    [
        "load",
        "save",
        "compile",
        "set_default_dtype",
        "set_default_device",
        "set_default_tensor_type",
        "from_file",
        "set_num_threads",
        "set_num_interop_threads",
        "use_deterministic_algorithms",
        "manual_seed",
        "seed",
        "initial_seed",
        "set_rng_state",
        "get_rng_state",
        "set_grad_enabled",
        "set_printoptions",
        "set_warn_always",
        "set_float32_matmul_precision",
        "set_flush_denormal",
        "import_ir_module",
        "set_autocast_enabled",
        "set_anomaly_enabled",
        "vmap",
        "cond",
        "while_loop",
        "typename",
    ]
)
_KINDS = (types.BuiltinFunctionType, types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def canonical(name: str) -> str | None:
    """Give the name under which a module of torch is known; ``None`` where it is none.

    >>> canonical("torch.nn.parallel.distributed"), canonical("torchvision")
    ('torch.nn.parallel', None)
    """
    if name == "torch" or name.startswith("torch."):
        return _RENAMED.get(name, name)
    return None


def is_computing(found: Any, full: str) -> bool:
    """Tell whether something of torch's is a function that makes or computes tensors, and does nothing else."""
    above, _, name = full.rpartition(".")
    return above in ROOMS and isinstance(found, _KINDS) and not name.startswith("_") and name not in _NOT_COMPUTING
