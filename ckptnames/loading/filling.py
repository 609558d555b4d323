"""Write values into a model: one tensor after the other, through the model's own code for loading."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ckptnames.droppable import is_droppable
from ckptnames.errors import LoadInterrupted
from ckptnames.loading.complaints import interrupted, took_nothing
from ckptnames.loading.handing import Handing, places_of
from ckptnames.loading.hook import RENAMED, LoadHook
from ckptnames.loading.pairing import Pair
from ckptnames.loading.sources import Source
from ckptnames.loading.targets import Target
from ckptnames.prediction.walk import modules
from ckptnames.rules.module_paths import renamed_modules


class Deferred(torch.Tensor):
    """Stands for a tensor that is read when it is copied, straight into the place where it goes.

    It says its shape and dtype; any other question makes it first.
    """

    fill: Callable[[torch.Tensor], None]

    @staticmethod
    def __new__(cls, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[torch.Tensor], None]) -> Deferred:
        """Make one; ``fill`` reads into what it is given."""
        made: Deferred = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype)
        made.fill = fill
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.copy_ and isinstance(args[1], cls) and not isinstance(args[0], cls):
            args[1].fill(args[0])
            return args[0]
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        args, kwargs = tree_map_only(cls, cls.made, (args, kwargs or {}))
        return func(*args, **kwargs)

    def made(self) -> torch.Tensor:
        """Give the tensor itself."""
        found = torch.empty(tuple(self.shape), dtype=self.dtype)
        self.fill(found)
        return found


class Filling:
    """One load: what is written, and what has been."""

    def __init__(self, source: Source, target: Target, pairs: Mapping[str, Pair]) -> None:
        self.source, self.target, self.pairs = source, target, pairs
        self._written: dict[str, None] = {}
        self._emptied: set[str] = set()
        self.out_of_range: dict[str, None] = {}
        """Keys of which a value was beyond the range of the model's dtype."""
        self._handed: dict[str, torch.Tensor] = {}
        self._failure: Exception | None = None

    def run(self, *, assign: bool, keep_dtype: bool, device: torch.device | None) -> frozenset[str]:
        """Write everything, and give the keys without weights that the model's own code took no value for.

        Raises ``load-interrupted`` where something fails once a value may have been written.
        """
        made = self._made_before()
        try:
            with torch.no_grad():
                values = self._assigned(made, keep_dtype, device) if assign else self._deferred(made, keep_dtype)
            self._load(values, assign)
            self.source.check()
            return self._passed_over()
        except Exception as error:
            cause = self._failure or error
            raise self._interrupted(cause) from cause
        except BaseException as error:
            error.add_note(f"the load broke off when {len(self._written):,} of {len(self.pairs):,} keys were written")
            raise

    def _interrupted(self, error: Exception) -> LoadInterrupted:
        reason = getattr(error, "message", "") or _last_line(error)
        written = [key for key in self.pairs if key in self._written or key in self._emptied]
        return interrupted(self.source.manifest.name, reason, written, len(self.pairs))

    def _made_before(self) -> dict[str, Any]:
        """Make what is no run of bytes, so that what cannot be made is said before anything is written."""
        return {
            pair.source: self._value(pair.source)
            for pair in self.pairs.values()
            if pair.source not in self.source.manifest or not self.source.is_whole(pair.source)
        }

    def _value(self, key: str) -> Any:
        return self.source.tensor(key) if key in self.source.manifest else self.source.entry(key)

    def _deferred(self, made: Mapping[str, Any], keep_dtype: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, pair in self.pairs.items():
            own = self.target.registered(key)
            if keep_dtype and own is not None and pair.source in self.source.manifest:
                self._take_dtype(key, own, self.source.dtype(pair.source))
            if key not in self.target.seen_by_own_code and pair.source not in made and not hasattr(own, "device_mesh"):
                values[key] = self._deferred_tensor(pair)
                continue
            value = made[pair.source] if pair.source in made else self.source.tensor(pair.source)
            if hasattr(own, "device_mesh"):
                value = _distributed(value, own)
            self._note_range(key, value, own)
            values[key] = value
            if key in self.target.seen_by_own_code and isinstance(value, torch.Tensor):
                # What such code keeps has to be there when the file is not: one object for each key, nobody else's.
                values[key] = self._handed[key] = value.detach()
            else:
                self._written[key] = None
        return values

    def _take_dtype(self, key: str, own: torch.Tensor, dtype: torch.dtype) -> None:
        if own.dtype != dtype and not nn.parameter.is_lazy(own):
            own.data = torch.empty_like(own, dtype=dtype)
            self._emptied.add(key)

    def _deferred_tensor(self, pair: Pair) -> Deferred:
        """Make one; ``fill`` reads into what it is given."""
        shape = self.source.manifest[pair.source].shape
        assert shape is not None
        return Deferred(shape, self.source.dtype(pair.source), lambda place: self._read(pair, place))

    def _read(self, pair: Pair, place: torch.Tensor) -> None:
        # What comes after a failure would be half of something: torch goes on, and would copy all that can be read.
        if self._failure is not None:
            raise self._failure
        try:
            if _is_narrower(place.dtype, self.source.dtype(pair.source)):
                value = self.source.tensor(pair.source)
                self._note_range(pair.target, value, place)
                place.copy_(value)
            else:
                self.source.read_into(pair.source, place)
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._written[pair.target] = None

    def _note_range(self, key: str, value: Any, own: torch.Tensor | None) -> None:
        if isinstance(value, torch.Tensor) and own is not None and _is_out_of_range(value, own.dtype):
            self.out_of_range[key] = None

    def _assigned(self, made: Mapping[str, Any], keep_dtype: bool, device: torch.device | None) -> dict[str, Any]:
        """Put new tensors into the modules one by one, so that each old one goes before the next new one comes."""
        shared = {key: group[0] for group in self.target.manifest.ties for key in group}
        tied: dict[str, torch.Tensor] = {}
        values: dict[str, Any] = {}
        for key, pair in self.pairs.items():
            if pair.source not in self.source.manifest:
                values[key] = made[pair.source]
            elif shared.get(key) in tied:
                values[key] = tied[shared[key]]
            else:
                value = made[pair.source] if pair.source in made else self.source.tensor(pair.source)
                values[key] = self._new(key, value, keep_dtype, device)
                if key in shared:
                    tied[shared[key]] = values[key]
            self._put(key, values[key])
            self._written[key] = None
        return values

    def _new(self, key: str, value: torch.Tensor, keep_dtype: bool, device: torch.device | None) -> torch.Tensor:
        own = self.target.registered(key)
        if own is None:
            return value
        if not keep_dtype:
            self._note_range(key, value, own)
            value = value.to(own.dtype)
        if hasattr(own, "device_mesh"):
            value = _distributed(value, own)
        else:
            value = value.to(device or (torch.device("cpu") if own.is_meta else own.device))
            if not nn.parameter.is_lazy(own):
                value = value.reshape(own.shape)
        return nn.Parameter(value, requires_grad=own.requires_grad) if isinstance(own, nn.Parameter) else value

    def _put(self, key: str, value: Any) -> None:
        entry = self.target.entries.get(key)
        if entry is not None and self.target.registered(key) is not None:
            setattr(entry.owner, entry.leaf, value)

    def _load(self, values: dict[str, Any], assign: bool) -> None:
        """Hand all to the model's ``load_state_dict``, which may be its own."""
        handing = Handing(self._handed, self._note)
        given = OrderedDict(values)
        given._metadata = self._versions()  # type: ignore[attr-defined]
        with handing:
            found = self.target.model.load_state_dict(given, **_taken(self.target.model, strict=False, assign=assign))
        if self._failure is not None:
            raise self._failure
        for key in (*getattr(found, "missing_keys", ()), *getattr(found, "unexpected_keys", ())):
            self._written.pop(key, None)
        for held in (given, values, self._handed):
            held.clear()
        handing.note_kept(self.target.model)
        for place in places_of(Deferred, self.target.model):
            raise RuntimeError(f"the model's own code keeps in '{place}' what stands for a tensor of the checkpoint")

    def _note(self, key: str) -> None:
        self._written[key] = None

    def _passed_over(self) -> frozenset[str]:
        """Give what was never read, and has no weights; what is tied to something that was is filled."""
        filled = {*self._written}
        filled |= {key for group in self.target.manifest.ties if not filled.isdisjoint(group) for key in group}
        left = [key for key in self.pairs if key not in filled]
        manifest = self.target.manifest
        for key in left:
            if not is_droppable(key, manifest[key], manifest):
                raise RuntimeError(took_nothing(key))
        return frozenset(left)

    def _versions(self) -> dict[str, dict[str, Any]]:
        """Give what modules said of themselves under the paths that they have in the model."""
        told = self.source.versions or {}
        names: dict[str, list[str]] = {key: [] for key in self.source.manifest}
        for key, pair in self.pairs.items():
            names.setdefault(pair.source, []).append(key)
        paths, _ = renamed_modules(told, names)
        moved = {path: dict(told[module]) for module in told for path in paths.get(module, ())}
        for path, module in modules(self.target.model):
            hooks = module._load_state_dict_pre_hooks.values()
            if any(isinstance(getattr(hook, "hook", hook), LoadHook) for hook in hooks):
                moved.setdefault(path, {})[RENAMED] = True
        return moved


def _taken(model: nn.Module, **options: bool) -> dict[str, bool]:
    """Give the options that a model's ``load_state_dict`` has, which may be of its own making."""
    parameters = inspect.signature(model.load_state_dict).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in options.items() if name in parameters or (takes_all and name == "strict")}


def _is_out_of_range(value: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether a float of a tensor becomes infinite, or the largest there is, in another dtype."""
    if value.layout is not torch.strided or not _is_narrower(dtype, value.dtype):
        return False
    return bool((value.isfinite() & (value.abs() > torch.finfo(dtype).max)).any())


def _is_narrower(dtype: torch.dtype, other: torch.dtype) -> bool:
    is_float = dtype.is_floating_point and other.is_floating_point
    return is_float and torch.finfo(dtype).max < torch.finfo(other).max


def _distributed(value: torch.Tensor, own: Any) -> torch.Tensor:
    """Cut this process's part out of a whole tensor, as the model's own is cut."""
    from torch.distributed.tensor import distribute_tensor

    mesh = own.device_mesh
    return distribute_tensor(value.to(mesh.device_type), mesh, own.placements, src_data_rank=None)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
