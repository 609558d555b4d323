"""The unwrapped name of every key of a wrapped model."""

from __future__ import annotations

from torch import nn

from ckptnames.prediction.known import prepared
from ckptnames.prediction.live import answered
from ckptnames.prediction.shadow import shadow
from ckptnames.prediction.wrapper_types import elided, unwrapped_paths, wrapped_as


def canonical(model: nn.Module) -> dict[str, str]:
    """Give for each key of ``model.state_dict()`` the name it has without wrappers, decided by the types of modules.

    An attribute of yours that is called ``module`` stays. What belongs to a wrapper itself, such as the ``n_averaged``
    of ``AveragedModel``, has no name in the unwrapped model and is left out.

    >>> canonical(nn.Sequential(nn.DataParallel(nn.Linear(2, 2))))
    {'0.module.weight': '0.weight', '0.module.bias': '0.bias'}
    """
    found, _ = answered(model)
    inner, _ = answered(elided(prepared(shadow(model))))
    names = {(entry.path, entry.leaf): entry.key for entry in inner}
    paths = unwrapped_paths(model)
    return {
        entry.key: names[place]
        for entry in found
        if wrapped_as(entry.owner) is None and (place := (paths[entry.path], entry.leaf)) in names
    }
