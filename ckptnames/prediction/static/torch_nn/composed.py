"""Wrappers, and layers that are made of other modules: what they register, under which names."""

from __future__ import annotations

from ckptnames.prediction.static.interpreter.classes import instantiate
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.stdlib.copying import deep_copy
from ckptnames.prediction.static.torch_nn.containers import CONTAINERS, method, start
from ckptnames.prediction.static.torch_nn.module import _put
from ckptnames.prediction.static.values import Module, Names, Native, Unknown, Value


def _wrapper(name: str, attribute: str) -> None:
    """A class that holds what it wraps under an attribute."""

    def init(machine: Machine, self: Module, module: Value, *args: Value, **kwargs: Value) -> Value:
        start(machine, self)
        _put(machine, self, self.modules, attribute, module)
        return None

    CONTAINERS[name] = Names({"__init__": Native(name, init, binds=True)})


for _full in (
    "torch.nn.DataParallel",
    "torch.nn.parallel.DistributedDataParallel",
    "torch.ao.quantization.stubs.QuantWrapper",
):
    _wrapper(_full, "module")
_wrapper("torch._dynamo.eval_frame.OptimizedModule", "_orig_mod")


@method("TransformerEncoder TransformerDecoder", "__init__")
def _layers(
    machine: Machine,
    self: Module,
    layer: Value = None,
    num_layers: Value = 1,
    norm: Value = None,
    *args: Value,
    **kwargs: Value,
) -> Value:
    layer = kwargs.get("encoder_layer", kwargs.get("decoder_layer", layer))
    start(machine, self)
    if isinstance(num_layers, Unknown):
        machine.open(self, num_layers, all_of_it=True)
        return None
    if isinstance(layer, Unknown):
        _put(machine, self, self.modules, "layers", layer)
    else:
        copies = [deep_copy(machine, layer) for _ in range(num_layers)]
        _put(machine, self, self.modules, "layers", instantiate(machine, _class(machine, "ModuleList"), [copies], {}))
    self.attrs["num_layers"] = num_layers
    if isinstance(norm, Module | Unknown):
        _put(machine, self, self.modules, "norm", norm)
    else:
        self.attrs["norm"] = norm
    return None


def _class(machine: Machine, name: str) -> Value:
    return machine.torch.named(machine, f"torch.nn.{name}")


@method("Transformer", "__init__")
def _transformer(
    machine: Machine,
    self: Module,
    d_model: Value = 512,
    nhead: Value = 8,
    num_encoder_layers: Value = 6,
    num_decoder_layers: Value = 6,
    dim_feedforward: Value = 2048,
    dropout: Value = 0.1,
    activation: Value = "relu",
    custom_encoder: Value = None,
    custom_decoder: Value = None,
    layer_norm_eps: Value = 1e-5,
    batch_first: Value = False,
    norm_first: Value = False,
    bias: Value = True,
    device: Value = None,
    dtype: Value = None,
) -> Value:
    start(machine, self)
    common = [
        d_model,
        nhead,
        dim_feedforward,
        dropout,
        activation,
        layer_norm_eps,
        batch_first,
        norm_first,
        bias,
        None,
        dtype,
    ]
    for name, custom, n in (
        ("encoder", custom_encoder, num_encoder_layers),
        ("decoder", custom_decoder, num_decoder_layers),
    ):
        if custom is None:
            kind = f"Transformer{name.title()}"
            layer = instantiate(machine, _class(machine, f"{kind}Layer"), list(common), {})
            norm_args = [d_model], {"eps": layer_norm_eps, "bias": bias, "dtype": dtype}
            norm = instantiate(machine, _class(machine, "LayerNorm"), *norm_args)
            custom = instantiate(machine, _class(machine, kind), [layer, n, norm], {})
        _put(machine, self, self.modules, name, custom)
    self.attrs.update(d_model=d_model, nhead=nhead, batch_first=batch_first)
    return None
