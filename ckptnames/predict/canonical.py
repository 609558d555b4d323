"""The unwrapped name of every key of a wrapped model."""

from __future__ import annotations

from torch import nn

from ckptnames.predict.walk import entries
from ckptnames.predict.wrapper_types import wrapped_as


def canonical(model: nn.Module) -> dict[str, str]:
    """Give for each key of ``model.state_dict()`` the name it has without wrappers, decided by the types of modules.

    An attribute of yours that is called ``module`` stays. What belongs to a wrapper itself, such as the ``n_averaged``
    of ``AveragedModel``, has no name in the unwrapped model and is left out.

    >>> canonical(nn.Sequential(nn.DataParallel(nn.Linear(2, 2))))
    {'0.module.weight': '0.weight', '0.module.bias': '0.bias'}
    """
    paths = _paths(model, "", "")
    return {
        entry.key: f"{paths[entry.path]}.{entry.leaf}".lstrip(".")
        for entry in entries(model)
        if wrapped_as(entry.owner) is None
    }


def _paths(module: nn.Module, path: str, without: str) -> dict[str, str]:
    found = {path: without}
    inner = wrapped_as(module)
    for name, child in module._modules.items():
        if child is not None:
            below = without if name == inner else f"{without}.{name}".lstrip(".")
            found |= _paths(child, f"{path}.{name}".lstrip("."), below)
    return found
