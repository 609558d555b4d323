"""Make the checkpoints that the benchmarks read. A process of its own: what torch takes must not weigh on the others.

    python -m benchmarks.made PATH KEYS BYTES_PER_TENSOR [PREFIX]

The extension chooses the format, ``.safetensors`` or a torch zip. The names are those of a mixture-of-experts language
model, the contents are noise.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

N_EXPERTS = 256


def names() -> Iterator[str]:
    """Name the weights of layer after layer: per layer 8 outside the experts, 3 for each expert."""
    yield "model.embed_tokens.weight"
    for layer in itertools.count():
        at = f"model.layers.{layer}"
        yield from (f"{at}.self_attn.{p}_proj.weight" for p in ("q", "k", "v", "o"))
        yield from (f"{at}.{norm}_layernorm.weight" for norm in ("input", "post_attention"))
        yield from (f"{at}.mlp.gate.weight", f"{at}.mlp.gate.e_score_correction_bias")
        for expert in range(N_EXPERTS):
            yield from (f"{at}.mlp.experts.{expert}.{p}_proj.weight" for p in ("gate", "up", "down"))


def make(path: Path, n_keys: int, tensor_bytes: int, prefix: str = "") -> None:
    """Write a checkpoint of that many keys."""
    import torch
    from safetensors.torch import save_file

    noise = torch.randint(256, (tensor_bytes,), dtype=torch.uint8).view(torch.bfloat16).reshape(8, -1)
    weights = {prefix + name: noise.clone() for name in itertools.islice(names(), n_keys)}
    if path.suffix == ".safetensors":
        save_file(weights, path, metadata={"format": "pt"})
    else:
        torch.save(weights, path)


def made(path: Path, n_keys: int, tensor_bytes: int, prefix: str = "") -> Path:
    """Write a checkpoint in a process of its own."""
    arguments = [str(path), str(n_keys), str(tensor_bytes), prefix]
    subprocess.run([sys.executable, "-m", "benchmarks.made", *arguments], check=True)
    return path


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
