"""Models of torchvision, timm and transformers by name, each built without memory for its tensors.

These packages are installed by ``pip install -c constraints.txt '.[models]'``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.library import Library

_NO_DATA = "regnet"
"""torchvision's RegNets compute their widths with tensors, which have no data on the meta device."""

_KNOWN = """
    albert bart beit bert blip bloom clip convnext deberta-v2 detr dinov2 electra gemma2 gpt2 llama mamba
    mistral mixtral opt phi3 qwen2 roberta sam segformer swin t5 vit wav2vec2 whisper xlnet
"""

_NOT_BY_DEFAULT = {
    "autoformer": "needs a prediction length",
    "cohere_compass_text": "its default configuration is incomplete",
    "deepseek_ocr2": "its default configuration is incomplete",
    "dinat": "needs another library",
    "hunyuan_v1_dense": "its default configuration is incomplete",
    "layoutlmv2": "needs another library",
    "lfm2_moe": "its default configuration is incomplete",
    "pp_ocrv6_medium_det": "its default configuration is incomplete",
}
"""Models of transformers that cannot be built from their default configuration."""


class Built(NamedTuple):
    """A model, its name, and the module that defines its family."""

    name: str
    family: str
    model: nn.Module


def torchvision_models() -> Iterator[Built]:
    """Build every model of torchvision that needs no data."""
    models = torchvision().models
    for name in models.list_models():
        if not name.startswith(_NO_DATA):
            taken = signature(models.get_model_builder(name)).parameters
            options = {option: None for option in ("weights", "weights_backbone") if option in taken}
            with torch.device("meta"):
                yield _built(name, models.get_model(name, **options))


def timm_models() -> Iterator[Built]:
    """Build the first model of each family of timm, and every fortieth of all."""
    torchvision()
    timm: Any = import_module("timm")
    first = [timm.list_models(module=module)[0] for module in timm.list_modules()]
    for name in dict.fromkeys([*first, *timm.list_models()[::40]]):
        with torch.device("meta"):
            yield _built(name, timm.create_model(name))


def transformers_models() -> Iterator[Built]:
    """Build the best known models of transformers, and every fifth of all, from their default configurations."""
    torchvision()
    auto: Any = import_module("transformers.models.auto")
    for name in dict.fromkeys([*_KNOWN.split(), *list(auto.modeling_auto.MODEL_MAPPING_NAMES)[::5]]):
        if name not in _NOT_BY_DEFAULT:
            with torch.device("meta"):
                yield _built(name, auto.AutoModel.from_config(auto.AutoConfig.for_model(name)))


def _built(name: str, model: nn.Module) -> Built:
    return Built(name, type(model).__module__, model)


@cache
def torchvision() -> Any:
    """Import torchvision; its models need none of its operators, which want the torch that they were compiled for."""
    found = find_spec("torchvision")
    assert found is not None and found.submodule_search_locations, "install the extra 'models'"
    try:
        torch.ops.load_library(Path(found.submodule_search_locations[0], "_C.so"))  # type: ignore[no-untyped-call]
    except OSError:
        operators = Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            operators.define(name + schema)  # type: ignore[no-untyped-call]
        _KEPT.append(operators)
    return import_module("torchvision")


_KEPT: list[Library] = []
"""What is defined with these ends when they do."""
