"""Functions of torch that are not about tensors: initialisers, contexts, norms on weights, loading, the machine."""

from __future__ import annotations

from typing import Any

from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.interpreter.spoiling import given_away
from ckptnames.prediction.static.signals import Unsure
from ckptnames.prediction.static.stdlib.table import known, put, same
from ckptnames.prediction.static.values import Class, Context, Module, Native, Tensor, Unknown, Value

_INITIALISERS = """
    uniform_ normal_ constant_ zeros_ ones_ eye_ dirac_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_
    trunc_normal_ orthogonal_ sparse_ xavier_uniform xavier_normal kaiming_uniform kaiming_normal uniform normal
    constant orthogonal
"""
_CONTEXTS = """
    no_grad enable_grad inference_mode autocast amp.autocast cuda.amp.autocast autograd.no_grad autograd.enable_grad
    set_grad_enabled autograd.profiler.record_function autograd.set_detect_anomaly random.fork_rng cuda.device
    autograd.set_grad_enabled utils.data.get_worker_info nn.utils.parametrize.cached overrides.TorchFunctionMode
"""
_IDENTITIES = """
    jit.script jit.ignore jit.export jit.unused jit.script_method jit.interface jit.trace jit.optimize_for_inference
    fx.wrap compiler.disable _dynamo.disable jit.script_if_tracing cuda.amp.custom_fwd cuda.amp.custom_bwd
    amp.custom_fwd amp.custom_bwd jit.Final jit.annotate compiler.allow_in_graph _dynamo.allow_in_graph
    autograd.function.once_differentiable
"""
_NOTHING = """
    manual_seed set_printoptions set_num_threads set_num_interop_threads cuda.manual_seed cuda.manual_seed_all
    cuda.empty_cache cuda.set_device cuda.synchronize set_float32_matmul_precision use_deterministic_algorithms seed
    _C._log_api_usage_once autograd.set_detect_anomaly set_rng_state cuda.set_rng_state jit.set_fusion_strategy
    _assert backends.cudnn.deterministic _dynamo.reset set_warn_always nn.utils.clip_grad_norm_
"""
_MACHINE = """
    cuda.is_available cuda.device_count cuda.current_device cuda.get_device_properties cuda.get_device_name
    cuda.is_bf16_supported cuda.get_device_capability backends.mps.is_available cuda.is_initialized
    distributed.is_available distributed.is_initialized distributed.get_rank distributed.get_world_size
    is_autocast_enabled get_autocast_gpu_dtype xpu.is_available version.cuda version.hip get_num_threads
    cuda.memory_allocated get_rng_state initial_seed distributed.get_backend jit.is_scripting jit.is_tracing
"""
_LOADS = """
    hub.load_state_dict_from_url hub.download_url_to_file utils.model_zoo.load_url hub.get_dir save
"""


def _returns(value: Value) -> Value:
    return lambda machine, *args, **kwargs: value


for _name in _INITIALISERS.split():

    def _initialise(machine: Machine, tensor: Value = None, *args: Value, **kwargs: Value) -> Value:
        if isinstance(tensor, Tensor):
            machine.torch.changed(machine, tensor)
        return tensor

    put(f"torch.nn.init.{_name}", Native(f"torch.nn.init.{_name}", _initialise))
for _name in ("calculate_gain", "_calculate_fan_in_and_fan_out", "_calculate_correct_fan"):
    put(
        f"torch.nn.init.{_name}",
        Native(_name, lambda machine, *args, **kwargs: machine.plain("how weights are initialised is not computed")),
    )


def _context(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    """Use it with ``with``, or around a function."""
    if (
        len(args) == 1
        and not kwargs
        and not isinstance(args[0], Unknown | bool | str)
        and machine.find(args[0], "__name__")
    ):
        return args[0]
    return Context()


for _name in _CONTEXTS.split():
    put(f"torch.{_name}", Native(f"torch.{_name}", _context))
for _name in _IDENTITIES.split():
    put(f"torch.{_name}", Native(f"torch.{_name}", same))
for _name in _NOTHING.split():
    put(f"torch.{_name}", Native(f"torch.{_name}", _returns(None)))


def _depends(name: str) -> None:
    why = f"'torch.{name}' depends on the machine, and its GPU"
    put(f"torch.{name}", Native(f"torch.{name}", lambda machine, *args, **kwargs: machine.plain(why)))


for _name in _MACHINE.split():
    _depends(_name)
put("torch.jit.is_scripting", Native("torch.jit.is_scripting", _returns(False)))
put("torch.jit.is_tracing", Native("torch.jit.is_tracing", _returns(False)))
put("torch.is_grad_enabled", Native("torch.is_grad_enabled", _returns(True)))
put("torch.distributed.is_initialized", Native("torch.distributed.is_initialized", _returns(False)))
for _name in ("version.cuda", "version.hip"):
    put(f"torch.{_name}", Unknown("it depends on the machine, and its GPU", plain=True))


def _loads(name: str) -> None:
    def code(machine: Machine, *args: Value, **kwargs: Value) -> Value:
        machine.doubts += 1
        return machine.plain("a file is read, which is not followed")

    put(f"torch.{name}", Native(f"torch.{name}", code))


for _name in _LOADS.split():
    _loads(_name)


@known("torch.load", "torch.jit.load", "torch.hub.load", "torch.utils.cpp_extension.load")
def _load(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    """What comes out of a file may be a module."""
    machine.doubts += 1
    return machine.unknown("a file is read, which is not followed")


@known("torch.device")
def _device(machine: Machine, *args: Value, **kwargs: Value) -> Value:
    return machine.plain("a device depends on the machine, and its GPU")


@known("torch.set_default_dtype", "torch.set_default_device", "torch.set_default_tensor_type")
def _default(machine: Machine, value: Value) -> Value:
    """Every tensor that is made from here on is of another dtype."""
    machine.spoiled = machine.spoiled or machine.unknown("the default dtype is changed, which is not followed")
    return None


@known("torch.compile")
def _compile(machine: Machine, model: Value = None, **kwargs: Value) -> Value:
    """Wrap a module, under ``_orig_mod``; leave a function alone."""
    if model is None:
        return Native("torch.compile", lambda m, inner: _compile(m, inner))
    if not isinstance(model, Module):
        return model
    cls = _optimised(machine)
    return machine.call(cls, [model])


def _optimised(machine: Machine) -> Class:
    from ckptnames.prediction.static.torch_nn.containers import CONTAINERS
    from ckptnames.prediction.static.values import MODULE

    base: Any = machine.torch.named(machine, MODULE)
    full = "torch._dynamo.eval_frame.OptimizedModule"
    cls = Class("OptimizedModule", CONTAINERS[full], (base,), module="torch._dynamo.eval_frame", layer=full)
    cls.mro = (cls, *base.mro)
    return cls


@known("torch.nn.SyncBatchNorm.convert_sync_batchnorm", "torch.nn.utils.convert_sync_batchnorm")
def _synchronised(machine: Machine, module: Value, *args: Value, **kwargs: Value) -> Value:
    """Batch norms become others, of the same names and shapes."""
    return module


@known("torch.utils.checkpoint.checkpoint", "torch.utils.checkpoint.checkpoint_sequential")
def _checkpoint(machine: Machine, function: Value, *args: Value, **kwargs: Value) -> Value:
    kwargs = {name: value for name, value in kwargs.items() if name not in ("use_reentrant", "preserve_rng_state")}
    return machine.call(function, args, kwargs)


_CHANGES = """
    nn.utils.weight_norm nn.utils.spectral_norm nn.utils.remove_weight_norm nn.utils.remove_spectral_norm
    nn.utils.parametrizations.weight_norm nn.utils.parametrizations.spectral_norm
    nn.utils.parametrizations.orthogonal
"""


def _changing(name: str) -> None:
    def code(machine: Machine, module: Value, *args: Value, **kwargs: Value) -> Value:
        try:
            return machine.torch.apply(machine, name, module, list(args), kwargs)
        except Unsure as unsure:
            given_away(machine, [module], unsure.why)
            return module if isinstance(module, Module) else unsure.why

    put(name, Native(name, code))


for _name in _CHANGES.split():
    _changing(f"torch.{_name}")


@known("torch.nn.utils.skip_init")
def _skip_init(machine: Machine, cls: Value, *args: Value, **kwargs: Value) -> Value:
    return machine.call(cls, args, {name: value for name, value in kwargs.items() if name != "device"})


def _repeated(n: int) -> Value:
    def code(machine: Machine, value: Value) -> Value:
        if isinstance(value, Unknown):
            return value
        return tuple(machine.iterate(value)) if isinstance(value, list | tuple) else (value,) * n

    return Native("torch.nn.modules.utils", code)


for _n, _name in enumerate(("_single", "_pair", "_triple", "_quadruple"), start=1):
    put(f"torch.nn.modules.utils.{_name}", _repeated(_n))
