"""Where torch is not installed a table answers, which was made from torch: both say the same."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ckptnames.prediction.static.asking import load_knowledge
from ckptnames.prediction.static.interpreter.machine import Machine
from ckptnames.prediction.static.sources.finder import Finder
from ckptnames.prediction.static.torch_nn.module import named_modules
from ckptnames.prediction.static.torch_nn.table import TABLE, table
from ckptnames.prediction.static.torch_nn.with_torch import WithTorch
from ckptnames.prediction.static.torch_nn.without_torch import WithoutTorch
from tests.predict.test_teaching import LISTINGS, TEACHING

ROOT = Path(__file__).parents[3]
CALLS: dict[str, list[tuple[list[Any], dict[str, Any]]]] = {
    "Linear": [([4, 10], {}), ([4], {"out_features": 3, "bias": False})],
    "Bilinear": [([2, 3, 4], {})],
    "Conv1d": [([4, 6, 3], {"groups": 2, "padding": 1})],
    "Conv2d": [([3, 8, (1, 5)], {"bias": False}), ([4, 8, 3, 2, 1], {"dilation": 2})],
    "ConvTranspose2d": [([4, 6, 3], {"groups": 2})],
    "Conv3d": [([1, 2, 3], {})],
    "BatchNorm2d": [([5], {}), ([5], {"affine": False}), ([5], {"track_running_stats": False})],
    "SyncBatchNorm": [([5], {})],
    "InstanceNorm1d": [([5], {}), ([5], {"affine": True, "track_running_stats": True})],
    "GroupNorm": [([2, 6], {}), ([2, 6], {"affine": False})],
    "LayerNorm": [([7], {}), ([(2, 3)], {"bias": False}), ([[4]], {"elementwise_affine": False})],
    "RMSNorm": [([7], {})],
    "Embedding": [([5, 3], {"padding_idx": 0})],
    "EmbeddingBag": [([5, 3], {})],
    "PReLU": [([], {}), ([4], {})],
    "LSTM": [([3, 4, 2], {"bidirectional": True, "proj_size": 2}), ([3, 4], {"bias": False})],
    "GRU": [([3, 4], {"num_layers": 3})],
    "RNN": [([3, 4, 2, "relu"], {})],
    "LSTMCell": [([3, 4], {})],
    "MultiheadAttention": [([8, 2], {}), ([8, 2], {"kdim": 4}), ([8, 2], {"bias": False, "add_bias_kv": True})],
    "TransformerEncoderLayer": [([8, 2, 16], {}), ([8, 2], {"bias": False})],
    "TransformerDecoderLayer": [([8, 2, 16], {})],
    "LazyLinear": [([3], {})],
    "ReLU": [([True], {})],
    "Dropout": [([0.1], {})],
    "Upsample": [([], {"scale_factor": 2})],
    "CrossEntropyLoss": [([], {})],
}


def described(room: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> list[tuple[str, object, str]]:
    """Say what a layer registers, and what of it is saved."""
    load_knowledge()
    machine = Machine(Finder([]), room)
    made = machine.call(room.named(machine, f"torch.nn.{name}"), args, kwargs)
    found: list[tuple[str, object, str]] = []
    for path, each in named_modules(made):
        for held in (each.params, each.buffers):
            for leaf, tensor in held.items():
                said = (
                    (None, "")
                    if tensor is None
                    else (tensor.shape, str(tensor.dtype) + " fleeting" * (leaf in each.fleeting))
                )
                found.append((f"{path}.{leaf}", *said))
    return found


@pytest.mark.parametrize("name", CALLS)
def test_a_layer_of_the_table_is_that_of_torch(name: str) -> None:
    for args, kwargs in CALLS[name]:
        assert described(WithoutTorch(), name, args, kwargs) == described(WithTorch(), name, args, kwargs)


def test_the_table_is_what_the_script_makes_of_this_torch() -> None:
    spec = importlib.util.spec_from_file_location("make_torch_layers", ROOT / "scripts" / "make_torch_layers.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept, made = table(), json.loads(script.text())
    if kept["torch"] == torch.__version__.partition("+")[0]:
        assert made["layers"] == kept["layers"]
    assert set(made["layers"]) & set(kept["layers"]) > {f"torch.nn.{name}" for name in CALLS}
    assert TABLE.stat().st_size < 400_000


def test_torch_is_not_imported_and_not_needed(tmp_path: Path) -> None:
    """The teaching programs give their listings in an interpreter in which torch cannot be imported."""
    code = (
        "import sys, importlib.util as u\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch': raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "kept = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'torch' else kept(name, package)\n"
        "import ckptnames\n"
        "for operand in sys.argv[1:]:\n"
        "    found = ckptnames.predict(operand, static=True)\n"
        "    print(*found, *(str(part) for part in found.open))\n"
    )
    operands = [f"{TEACHING}/{name}" for name in LISTINGS]
    done = subprocess.run(
        [sys.executable, "-c", code, *operands], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stderr == ""
    listed = [[f"{m}.{leaf}" for m, leaves in each.items() for leaf in leaves] for each in LISTINGS.values()]
    assert [line.split() for line in done.stdout.splitlines()] == listed
