"""Small manifests for what inference has to cope with, and what was made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptnames.inference.inference import Inference, inferred
from ckptnames.manifest import Manifest, TensorInfo

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def manifest(shapes: Shapes) -> Manifest:
    return Manifest({key: TensorInfo("F32", shape) for key, shape in shapes.items()})


def infer_shapes(source: Shapes, target: Shapes) -> Inference:
    return inferred(manifest(source), manifest(target))


def sorted_source(source: Shapes) -> Shapes:
    """List keys as safetensors does."""
    return {key: source[key] for key in sorted(source)}


def layers(name: str, n: int, parts: Mapping[str, Shape], first: int = 0) -> dict[str, Shape]:
    """Repeat the parts of a layer."""
    return {f"{name}.{i + first}.{part}": shape for i in range(n) for part, shape in parts.items()}


def pairs(source: Iterable[str], target: Iterable[str]) -> dict[str, str]:
    """Pair keys in order: target key to source key."""
    return dict(zip(target, source, strict=True))
