"""What is known of layers and helpers of other packages that many models use, where those are not installed.

Only what has stayed the same since it was first published: layers without a weight, and functions that touch no name.
"""

from __future__ import annotations

from typing import Any

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.spoiling import given_away
from ckptnames.prediction.static.stdlib.table import known, put, same
from ckptnames.prediction.static.values import MODULE, Class, Module, Names, Native, Tensor, Token, Unknown, Value

_WITHOUT_WEIGHTS = """
    einops.layers.torch.Rearrange einops.layers.torch.Reduce timm.layers.DropPath timm.models.layers.DropPath
    timm.models.layers.drop.DropPath timm.layers.drop.DropPath
"""
_INITIALISERS = """
    timm.layers.trunc_normal_ timm.models.layers.trunc_normal_ timm.models.layers.weight_init.trunc_normal_
    timm.layers.lecun_normal_ timm.models.layers.lecun_normal_
"""
_TENSORS = "einops.rearrange einops.reduce einops.repeat einops.einsum einops.pack einops.unpack einops.parse_shape"
_DECORATORS = """
    timm.models.registry.register_model timm.models.register_model mmcv.runner.auto_fp16 mmcv.runner.force_fp32
    tqdm.tqdm tqdm.auto.tqdm tqdm.trange
"""


def _without_weights(name: str) -> None:
    def make(machine: Machine, cls: Class, args: list[Value], kwargs: dict[str, Value]) -> Value:
        base: Any = machine.torch.named(machine, MODULE)
        own = Class(cls.name, Names(), (base,), (), module=cls.module)
        own.mro = (own, *base.mro)
        return Module(own, ready=True)

    above, _, last = name.rpartition(".")
    put(name, Class(last, Names(), module=above, known={"make": make}))


for _name in _WITHOUT_WEIGHTS.split():
    _without_weights(_name)
for _name in _INITIALISERS.split():
    put(_name, Native(_name, lambda machine, tensor=None, *args, **kwargs: tensor))
for _name in _DECORATORS.split():
    put(_name, Native(_name, same))


def _computed(name: str) -> None:
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        return Tensor(None, machine.plain(f"what '{name}' computes is not followed"))

    put(name, Native(name, code))


for _name in _TENSORS.split():
    _computed(_name)


def _to_tuple(n: int) -> Value:
    def code(machine: Machine, value: Value) -> Value:
        if isinstance(value, Unknown):
            return value
        return tuple(machine.iterate(value)) if isinstance(value, list | tuple) else (value,) * n

    return Native(f"to_{n}tuple", code)


for _n in (1, 2, 3, 4):
    for _home in ("timm.layers", "timm.models.layers", "timm.models.layers.helpers"):
        put(f"{_home}.to_{_n}tuple", _to_tuple(_n))


@known("yaml.dump", "wandb.init", "wandb.log")
def _nothing(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    given_away(machine, [*args, *kwargs.values()], machine.unknown("a package that is not followed has it"))
    return None


put("tqdm.std", Token("tqdm.std"))
