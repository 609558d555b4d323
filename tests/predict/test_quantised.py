"""Quantised modules keep their weights packed; their keys are predicted without unpacking one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

import ckptnames
from tests.predict.agreement import NO_TENSOR, Said, as_said, as_saved

# None of these is typed.
static: Any = import_module("torch.ao.nn.quantized")
dynamic: Any = import_module("torch.ao.nn.quantized.dynamic")
quantization: Any = import_module("torch.ao.quantization")

ENGINE = "fbgemm"


@pytest.fixture(autouse=True)
def _engine() -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = ENGINE if ENGINE in torch.backends.quantized.supported_engines else "qnnpack"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all of this is deprecated in favour of another package
        yield
    torch.backends.quantized.engine = before


def assert_predicts_packed(model: nn.Module) -> None:
    """Hold a prediction to the state dict, but for what only unpacked weights could tell."""
    said, saved = dict(as_said(ckptnames.predict(model))), as_saved(model.state_dict())
    assert list(said) == list(saved)
    for key, known in said.items():
        if known != NO_TENSOR:  # strides of a packed weight are those it was given when packed
            assert known._replace(strides=None, nbytes=None) == saved[key]._replace(strides=None, nbytes=None)
            assert known.nbytes in (saved[key].nbytes, None)
        elif saved[key] != NO_TENSOR:
            assert key.rpartition(".")[2] == "bias"


@pytest.mark.parametrize(
    "make",
    [
        lambda: static.Linear(3, 4),
        lambda: static.Linear(3, 4, bias_=False),
        lambda: static.Conv1d(3, 4, 3),
        lambda: static.Conv2d(4, 6, 3, groups=2, bias=False),
        lambda: static.Conv3d(3, 4, 3),
        lambda: static.ConvTranspose2d(4, 6, 3, groups=2),
        lambda: static.Embedding(8, 12),
        lambda: static.EmbeddingBag(8, 12),
        lambda: static.QFunctional(),
        lambda: static.Quantize(1.0, 0, torch.quint8),
        lambda: static.BatchNorm2d(3),
        lambda: static.PReLU(1.0, 0),
        lambda: dynamic.Linear(3, 4),
        lambda: dynamic.Conv2d(3, 4, 3),
        lambda: dynamic.LSTM(3, 4, 2, bidirectional=True),
        lambda: dynamic.GRU(3, 4),
        lambda: dynamic.LSTMCell(3, 4),
        lambda: nn.Sequential(static.Conv2d(3, 4, 3), nn.Sequential(static.Linear(3, 4), nn.Linear(2, 1))),
    ],
)
def test_quantised_layers(make: Callable[[], nn.Module]) -> None:
    assert_predicts_packed(make())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant = quantization.QuantStub()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 5)
        self.dequant = quantization.DeQuantStub()

    def forward(self, x: torch.Tensor) -> Any:
        x = self.relu(self.bn(self.conv(self.quant(x))))
        return self.dequant(self.fc(x.mean((2, 3))))


LAYERS = [["conv", "bn", "relu"]]
IMAGE = torch.zeros(2, 3, 8, 8)


def test_every_step_of_eager_quantisation() -> None:
    model: nn.Module = quantization.fuse_modules(Net().eval(), LAYERS)
    assert_predicts_packed(model)
    model.qconfig = quantization.get_default_qconfig(ENGINE)
    model = quantization.prepare(model)
    assert_predicts_packed(model)
    model(IMAGE)
    assert_predicts_packed(model)
    assert_predicts_packed(quantization.convert(model))


def test_training_with_fake_quantisation() -> None:
    model: nn.Module = quantization.fuse_modules_qat(Net().train(), LAYERS)
    model.qconfig = quantization.get_default_qat_qconfig(ENGINE)
    model = quantization.prepare_qat(model)
    model(IMAGE)
    assert_predicts_packed(model)


def test_dynamic_quantisation() -> None:
    assert_predicts_packed(quantization.quantize_dynamic(Net(), {nn.Linear}))


@pytest.mark.slow
def test_quantisation_of_a_graph() -> None:
    graphs: Any = import_module("torch.ao.quantization.quantize_fx")
    mapping = quantization.get_default_qconfig_mapping(ENGINE)
    model = graphs.prepare_fx(Net().eval(), mapping, (IMAGE,))
    assert_predicts_packed(model)
    model(IMAGE)
    assert_predicts_packed(graphs.convert_fx(model))


def test_no_weight_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(static.Conv2d(3, 4, 3), static.Linear(3, 4), static.Embedding(8, 12))

    def refused(*_: object) -> None:
        raise AssertionError("a weight was unpacked")

    for name in ("conv2d_unpack", "linear_unpack", "embedding_bag_unpack"):
        monkeypatch.setattr(torch.ops.quantized, name, refused)
    with pytest.raises(AssertionError, match="unpacked"):
        model.state_dict()
    said = ckptnames.predict(model)
    assert dict(as_said(said))["0.weight"] == Said("QINT8", (4, 3, 3, 3), None, 108)
    assert said.notes == (
        "'0.bias' and 3 more are without a shape: what is saved there is no tensor, or is packed away",
    )
