"""Every class in ``torch.nn``, with the ways of making one that decide which keys it has."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

Make = Callable[[], nn.Module]


@cache
def public_classes() -> dict[str, type[nn.Module]]:
    """Find every public module class that torch.nn defines."""
    found = {}
    for info in pkgutil.walk_packages(nn.__path__, "torch.nn."):
        if info.name.startswith("torch.nn.attention"):  # functions, which take seconds to import
            continue
        for name, cls in vars(importlib.import_module(info.name)).items():
            own = isinstance(cls, type) and issubclass(cls, nn.Module) and cls.__module__.startswith("torch.nn")
            if own and not name.startswith("_"):
                found[cls.__name__] = cls
    return found


def made(*arguments: Any, **options: Any) -> Callable[[type[nn.Module]], Make]:
    """Make a module of the class under which this stands."""
    return lambda cls: lambda: cls(*arguments, **options)


def _of(make: Make) -> Callable[[type[nn.Module]], Make]:
    return lambda cls: make  # noqa: ARG005


def _materialised(input: tuple[int, ...], *arguments: Any) -> Callable[[type[nn.Module]], Make]:
    def make(cls: type[nn.Module]) -> nn.Module:
        module = cls(*arguments)
        module(torch.zeros(input))
        return module

    return lambda cls: lambda: make(cls)


def _parametrised() -> nn.Module:
    parametrised: nn.Module = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    return parametrised.get_submodule("parametrizations.weight")


_PLAIN = [made()]
_SIZED = [made(2)]
_CONVOLUTION = [
    made(4, 8, 3),
    made(4, 8, 3, bias=False),
    made(4, 8, 3, groups=2),
    made(4, 8, 3, groups=4, bias=False),
    made(4, 8, 3, dilation=2, padding=1, padding_mode="circular"),
    made(4, 8, 3, dtype=torch.float16),
]
_TRANSPOSED = [
    made(4, 8, 3),
    made(4, 8, 3, bias=False),
    made(4, 8, 3, groups=2),
    made(4, 8, 3, groups=4, output_padding=1, stride=2),
]
_BATCH = [made(3, affine=affine, track_running_stats=tracked) for affine in (True, False) for tracked in (True, False)]
_INSTANCE = [made(3), *_BATCH]
_RECURRENT = [
    made(3, 4, num_layers=layers, bidirectional=both, bias=bias)
    for layers in (1, 2)
    for both in (True, False)
    for bias in (True, False)
]
_CELL = [made(3, 4), made(3, 4, bias=False)]
_LAZY_CONVOLUTION = [made(8, 3), made(8, 3, bias=False), made(8, 3, groups=2, dtype=torch.float64)]
_LAZY_NORM = [made(), made(affine=False), made(track_running_stats=False), made(affine=True)]
_WEIGHTED = [made(), made(weight=torch.ones(3)), made(weight=torch.ones(3, dtype=torch.float64))]

_CASES = {
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d": _SIZED,
    "AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d": _SIZED,
    "AvgPool1d AvgPool2d AvgPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d": _SIZED,
    "LPPool1d LPPool2d LPPool3d": [made(2, 3)],
    "FractionalMaxPool2d FractionalMaxPool3d": [made(2, output_size=2), made(2, output_ratio=0.5)],
    "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout": _PLAIN,
    "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish RReLU ReLU ReLU6": _PLAIN,
    "SELU SiLU Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink": _PLAIN,
    "Threshold": [made(0.1, 20)],
    "PReLU": [made(), made(5), made(5, dtype=torch.bfloat16)],
    "LogSoftmax Softmax Softmin": [made(dim=1)],
    "Softmax2d": _PLAIN,
    "AdaptiveLogSoftmaxWithLoss": [
        made(8, 20, [5, 10]),
        made(8, 20, [5, 10], head_bias=True),
        made(8, 20, [3, 6, 12], div_value=2.0),
    ],
    "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm": _BATCH,
    "InstanceNorm1d InstanceNorm2d InstanceNorm3d": _INSTANCE,
    "GroupNorm": [made(2, 4), made(2, 4, affine=False)],
    "LayerNorm": [made(4), made([2, 3]), made(4, elementwise_affine=False), made(4, bias=False)],
    "RMSNorm": [made(4), made([2, 3]), made(4, elementwise_affine=False)],
    "LocalResponseNorm CrossMapLRN2d": _SIZED,
    "Conv1d Conv2d Conv3d": _CONVOLUTION,
    "ConvTranspose1d ConvTranspose2d ConvTranspose3d": _TRANSPOSED,
    "Linear NonDynamicallyQuantizableLinear": [
        made(3, 4),
        made(3, 4, bias=False),
        made(0, 2),
        made(3, 4, dtype=torch.complex64),
    ],
    "Bilinear": [made(2, 3, 4), made(2, 3, 4, bias=False)],
    "Identity": [made(), made(1, "anything", key=2)],
    "RNN GRU": _RECURRENT,
    "LSTM": [*_RECURRENT, made(3, 4, 2, proj_size=2), made(3, 4, 2, proj_size=2, bidirectional=True, bias=False)],
    "RNNBase": [made("LSTM", 3, 4), made("GRU", 3, 4, 2), made("RNN_TANH", 3, 4, bidirectional=True)],
    "RNNCell LSTMCell GRUCell": _CELL,
    "RNNCellBase": [made(3, 4, True, 4), made(3, 4, False, 3)],
    "Embedding": [made(5, 3), made(5, 3, padding_idx=0), made(5, 3, sparse=True, _freeze=True)],
    "EmbeddingBag": [made(5, 3), made(5, 3, mode="sum", include_last_offset=True)],
    "MultiheadAttention": [
        made(8, 2),
        made(8, 2, bias=False),
        made(8, 2, kdim=4),
        made(8, 2, vdim=6),
        made(8, 2, kdim=4, vdim=6, add_bias_kv=True),
        made(8, 2, add_bias_kv=True, add_zero_attn=True),
    ],
    "TransformerEncoderLayer TransformerDecoderLayer": [
        made(8, 2, 16),
        made(8, 2, 16, bias=False),
        made(8, 2, 16, norm_first=True, activation=nn.PReLU()),
    ],
    "TransformerEncoder": [
        _of(lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)),
        _of(
            lambda: nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16), 1, norm=nn.LayerNorm(8), enable_nested_tensor=False
            )
        ),
    ],
    "TransformerDecoder": [
        _of(lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2)),
        _of(lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 1, norm=nn.LayerNorm(8))),
    ],
    "Transformer": [
        made(8, 2, 1, 2, 16, batch_first=True),
        made(8, 2, 1, 1, 16, bias=False, batch_first=True),
        made(8, 2, 1, 1, 16, custom_encoder=nn.Linear(1, 1), custom_decoder=nn.Identity()),
    ],
    "ChannelShuffle PixelShuffle PixelUnshuffle": _SIZED,
    "Upsample": [made(scale_factor=2), made(size=(3, 3), mode="bilinear")],
    "UpsamplingBilinear2d UpsamplingNearest2d": [made(scale_factor=2)],
    "CircularPad1d CircularPad2d CircularPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d": _SIZED,
    "ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d": _SIZED,
    "ConstantPad1d ConstantPad2d ConstantPad3d": [made(1, 0.5)],
    "Flatten": [made(), made(0, 1)],
    "Unflatten": [made(1, (2, 3))],
    "Fold": [made((4, 5), 2)],
    "Unfold": _SIZED,
    "CosineSimilarity PairwiseDistance": _PLAIN,
    "BCELoss MultiLabelSoftMarginLoss CrossEntropyLoss NLLLoss NLLLoss2d MultiMarginLoss": _WEIGHTED,
    "BCEWithLogitsLoss": [*_WEIGHTED, made(pos_weight=torch.ones(2)), made(torch.ones(2), pos_weight=torch.ones(2))],
    "LinearCrossEntropyLoss": [made(3, 4), made(3, 4, bias=True), made(3, 4, bias=True, weight=torch.ones(4))],
    "CTCLoss CosineEmbeddingLoss GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MSELoss": _PLAIN,
    "MarginRankingLoss MultiLabelMarginLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss TripletMarginLoss": _PLAIN,
    "TripletMarginWithDistanceLoss": [made(), made(distance_function=nn.PairwiseDistance())],
    "LazyLinear": [made(4), made(4, bias=False), _materialised((2, 3), 4)],
    "LazyConv1d": [*_LAZY_CONVOLUTION, _materialised((1, 2, 5), 8, 3)],
    "LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose3d": _LAZY_CONVOLUTION,
    "LazyConvTranspose2d": [*_LAZY_CONVOLUTION, _materialised((1, 2, 5, 5), 8, 3)],
    "LazyBatchNorm1d LazyInstanceNorm1d": [*_LAZY_NORM, _materialised((2, 3, 4))],
    "LazyBatchNorm2d LazyBatchNorm3d LazyInstanceNorm2d LazyInstanceNorm3d": _LAZY_NORM,
    "Module": [made()],
    "Container": [made(fc=nn.Linear(2, 3), act=nn.ReLU())],
    "Sequential": [
        made(),
        made(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)),
        _of(lambda: nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.PReLU())[1:]),
    ],
    "ModuleList": [made(), made([nn.Linear(2, 3), nn.ModuleList([nn.PReLU()])])],
    "ModuleDict": [made(), made({"b": nn.Linear(2, 3), "a b/é": nn.PReLU()})],
    "ParameterList": [made(), made([torch.ones(2), nn.Parameter(torch.ones(3)), 5])],
    "ParameterDict": [made(), made({"b": torch.ones(2), "a": nn.Parameter(torch.ones(3)), "c": None})],
    "DataParallel": [made(nn.Linear(2, 3)), made(nn.Sequential(nn.BatchNorm1d(2)))],
    "ParametrizationList": [_of(_parametrised)],
}

CASES = {name: ways for names, ways in _CASES.items() for name in names.split()}

BY_WRAPPING = {"DistributedDataParallel", "DistributedDataParallelCPU"}
"""These need a process group: the tests of wrappers have them."""

NOT_PYTHON = {"ModuleWrapper"}
"""Holds a module that is written in C++."""
