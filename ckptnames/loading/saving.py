"""State dicts and files that no wrapper has left its name in."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from ckptnames.errors import CannotWrite, ReservedEntry
from ckptnames.formats.safetensors_file import STAMP
from ckptnames.loading.migrations import history_of
from ckptnames.prediction.canonical import canonical
from ckptnames.prediction.live import predict_live
from ckptnames.prediction.wrapper_types import unwrapped, unwrapped_paths


def canonical_state_dict(model: nn.Module, *, tied: bool = True) -> dict[str, Any]:
    """Give the state dict of a model under the names that it has without wrappers, with its ``_metadata``.

    With ``tied=False`` only the first of the names of one tensor stays, as safetensors wants it.

    >>> list(canonical_state_dict(nn.DataParallel(nn.Linear(2, 2))))
    ['weight', 'bias']
    """
    names = canonical(model)
    left_out = set() if tied else set(_aliases(model))
    state = model.state_dict()
    found = OrderedDict((names[key], value) for key, value in state.items() if key in names and key not in left_out)
    paths = unwrapped_paths(model)
    metadata = getattr(state, "_metadata", {})
    # Of a wrapper and what it holds, which have one path then, the inner one comes last.
    found._metadata = OrderedDict((paths.get(path, path), said) for path, said in metadata.items())  # type: ignore[attr-defined]
    return found


def save(model: nn.Module, path: str | os.PathLike[str], beside: Mapping[str, Any] | None = None) -> None:
    """Save a model's weights under the names that it has without wrappers, and the version of its names if it has one.

    ``.safetensors`` makes such a file, in which tied weights stand once; anything else a dict with ``state_dict`` and
    what is given as ``beside``, by ``torch.save``. The file is in place when it is whole. Of a sharded model every
    process has to call this, and the first one writes.

    Raises ``cannot-write``.
    """
    out = Path(path)
    for name in ("state_dict", STAMP):
        if name in (beside or {}):
            raise ReservedEntry(out, name)
    is_safetensors = out.suffix == ".safetensors"
    state = canonical_state_dict(model, tied=not is_safetensors)
    if _is_gathered(state) and dist.get_rank() != 0:
        return
    history = history_of(unwrapped(model))
    part = out.with_name(f".{out.name}.ckptnames-{os.getpid()}")
    try:
        if is_safetensors:
            odd = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
            if beside or odd:
                what = f"'{odd[0]}' is none" if odd else "'beside' is none"
                raise CannotWrite(out, f"safetensors holds nothing but tensors, and {what}")
            _save_safetensors(model, state, part, {STAMP: str(history.version)} if history else {})
        else:
            stamp = {STAMP: history.version} if history else {}
            torch.save({"state_dict": state, **stamp, **(beside or {})}, part)
        part.replace(out)
    except (OSError, RuntimeError) as error:
        raise CannotWrite(out, getattr(error, "strerror", "") or str(error).partition("\n")[0]) from error
    finally:
        part.unlink(missing_ok=True)


def _is_gathered(state: dict[str, Any]) -> bool:
    """Put together what is sharded, and tell whether anything was."""
    sharded = [key for key, value in state.items() if hasattr(value, "full_tensor")]
    for key in sharded:
        state[key] = state[key].full_tensor()
    return bool(sharded)


def _save_safetensors(model: nn.Module, state: Mapping[str, Any], out: Path, stamp: Mapping[str, str]) -> None:
    from safetensors.torch import save_file

    names = canonical(model)
    # As safetensors' own save_model tells of names that it leaves out.
    aliases = {names[alias]: names[kept] for alias, kept in _aliases(model).items()}
    whole = {key: value.detach().contiguous() for key, value in state.items()}
    save_file(whole, out, metadata={"format": "pt", **aliases, **stamp})


def _aliases(model: nn.Module) -> dict[str, str]:
    """Give for each further name of a tensor the first one."""
    return {alias: group[0] for group in predict_live(model).ties for alias in group[1:]}
