"""Building without memory: tensors without numbers, and accelerators that need not be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

_META = torch.device("meta")
_HOSTS = frozenset({"cpu", "meta"})
_FILLS: frozenset[Any] = frozenset(getattr(torch.Tensor, name) for name in ("uniform_", "normal_", "fill_", "zero_"))
"""What initialises: on a tensor without numbers it does nothing, and takes most of the time that building takes."""
_INITIALISERS = {nn.init.uniform_: 0, nn.init.normal_: 0, nn.init.constant_: 0, nn.init.kaiming_uniform_: 2}
"""The same, asked for by name, with the dimensions that a tensor must have: what torch refuses is refused here, too."""
_MOVES: frozenset[Any] = frozenset(
    getattr(torch.Tensor, name) for name in ("cuda", "xpu", "ipu", "hpu", "mtia") if hasattr(torch.Tensor, name)
)


class Weightless(TorchFunctionMode):
    """Makes new tensors on ``default``, and those for an accelerator where they need none.

    >>> with Weightless(torch.device("meta")):
    ...     torch.zeros(3).device, torch.zeros(3, device="cuda").cuda().device, torch.zeros(3, device="cpu").device
    (device(type='meta'), device(type='meta'), device(type='cpu'))
    """

    def __init__(self, default: torch.device) -> None:
        super().__init__()
        self.default = default
        self._makers = _device_constructors()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func`` with another device, where it asks for one."""
        kwargs = kwargs or {}
        if func in self._makers:
            if kwargs.get("device") is None or _asks(kwargs):
                kwargs = {**kwargs, "device": self.default}
        elif func in _FILLS:
            if args[0].device == _META:
                return args[0]
        elif func in _INITIALISERS:
            tensor = kwargs["tensor"]
            if tensor.device == _META and tensor.dim() >= _INITIALISERS[func]:
                return tensor
        elif func is torch.Tensor.to:
            args = _unmoved(args)
            if _asks(kwargs):
                kwargs = {**kwargs, "device": args[0].device}
        elif func in _MOVES:
            return args[0]
        elif _asks(kwargs):
            kwargs = {**kwargs, "device": self.default}
        return func(*args, **kwargs)


def _asks(kwargs: dict[str, Any]) -> bool:
    return kwargs.get("device") is not None and _is_accelerator(kwargs["device"])


def _is_accelerator(device: Any) -> bool:
    if type(device) is int:
        return True
    return str(device).partition(":")[0] not in _HOSTS


def _unmoved(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let ``tensor.to(device)`` stay where the tensor is, unless it goes to the CPU or to the meta device."""
    tensor, *rest = args
    if rest and type(rest[0]) in (str, int, torch.device) and _is_accelerator(rest[0]):
        rest[0] = tensor.device
    return (tensor, *rest)


def emptying() -> Callable[[Any], nn.Parameter | None]:
    """Make what gives, for a parameter that is registered, the same without numbers; one parameter stays one.

    >>> one = nn.Parameter(torch.ones(2))
    >>> empty = emptying()
    >>> other = empty(one)
    >>> other.device.type, empty(one) is other
    ('meta', True)
    """
    known: dict[int, tuple[ref[nn.Parameter], nn.Parameter]] = {}

    def emptied(value: Any) -> nn.Parameter | None:
        # A subclass of Parameter, such as a lazy or a quantised one, has its own ways of being made.
        if type(value) is not nn.Parameter or value.device == _META or value.layout is not torch.strided:
            return None
        found = known.get(id(value))
        if found is not None and found[0]() is value:
            return found[1]
        other = nn.Parameter(value.detach().to(_META), requires_grad=value.requires_grad)
        other.__dict__.update(value.__dict__)
        known[id(value)] = ref(value), other
        return other

    return emptied


@contextmanager
def same_numbers_after() -> Iterator[None]:
    """Leave the random numbers that are drawn afterwards as they would have been."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
