"""Networks under two namings: what one library could call the parts of a network, and what another could.

A network is a list of parts whose paths are made of *slots*: roles (`q`, `mlp`), or numbers in a list. A naming says a
word for each slot, from where a list counts, and what stands around. The words of the field come in sets, since a word
means something among its like only; a *made-up* word means nothing anywhere, and never stands for two slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import NamedTuple

from ckptnames.manifest import Manifest, TensorInfo

Shape = tuple[int, ...]
Words = Mapping[str, str]


class Number(NamedTuple):
    """A number in a path: of which list, and the how manyeth."""

    list: str
    at: int


Slots = tuple[str | Number, ...]


class Part(NamedTuple):
    """A leaf module: its path, and the shape of each of its parameters."""

    path: Slots
    shapes: Mapping[str, Shape]


ATTENTION: Sequence[Words] = (
    {"attn": "self_attn", "q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"},
    {"attn": "self_attn", "q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"},
    {"attn": "attention", "q": "wq", "k": "wk", "v": "wv", "o": "wo"},
    {"attn": "attention", "q": "self.query", "k": "self.key", "v": "self.value", "o": "output.dense"},
    {"attn": "attn", "q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"},
    {"attn": "attn", "q": "query", "k": "key", "v": "value", "o": "proj"},
    {"attn": "SelfAttention", "q": "q", "k": "k", "v": "v", "o": "o"},
    {"attn": "attention", "q": "q_lin", "k": "k_lin", "v": "v_lin", "o": "out_lin"},
)
FEED_FORWARD: Sequence[Words] = (
    {"mlp": "mlp", "up": "fc1", "down": "fc2"},
    {"mlp": "mlp", "up": "c_fc", "down": "c_proj"},
    {"mlp": "ffn", "up": "lin1", "down": "lin2"},
    {"mlp": "mlp", "up": "dense_h_to_4h", "down": "dense_4h_to_h"},
    {"mlp": "feed_forward", "up": "linear1", "down": "linear2"},
    {"mlp": "", "up": "intermediate.dense", "down": "output.dense"},
)
GATED: Sequence[Words] = (
    {"mlp": "mlp", "gate": "gate_proj", "up": "up_proj", "down": "down_proj"},
    {"mlp": "feed_forward", "gate": "w1", "up": "w3", "down": "w2"},
    {"mlp": "DenseReluDense", "gate": "wi_0", "up": "wi_1", "down": "wo"},
)
NORMS: Sequence[Words] = (
    {"n1": "input_layernorm", "n2": "post_attention_layernorm"},
    {"n1": "norm1", "n2": "norm2"},
    {"n1": "ln_1", "n2": "ln_2"},
    {"n1": "attention_norm", "n2": "ffn_norm"},
    {"n1": "layernorm_before", "n2": "layernorm_after"},
)
THREE_NORMS: Sequence[Words] = (
    {"n1": "self_attn_layer_norm", "n3": "encoder_attn_layer_norm", "n2": "final_layer_norm"},
    {"n1": "self_attn_norm", "n3": "cross_attn_norm", "n2": "ffn_norm"},
)
CROSS: Sequence[Words] = (
    {"attn": "self_attn", "cross": "encoder_attn"},
    {"attn": "self_attention", "cross": "cross_attention"},
    {"attn": "SelfAttention", "cross": "EncDecAttention"},
)
AROUND: Sequence[Words] = (
    {"tokens": "embed_tokens", "positions": "embed_positions", "last": "norm", "head": "lm_head"},
    {"tokens": "wte", "positions": "wpe", "last": "ln_f", "head": "lm_head"},
    {"tokens": "embeddings.word_embeddings", "positions": "embeddings.position_embeddings", "last": "final_layer_norm"},
    {"tokens": "tok_embeddings", "positions": "pos_emb", "last": "final_norm", "head": "output"},
)
LAYERS: Sequence[Words] = (
    {"layers": "layers"},
    {"layers": "blocks"},
    {"layers": "h"},
    {"layers": "transformer.layers"},
    {"layers": "layer"},
)
SIDES: Sequence[Words] = (
    {"encoder": "encoder", "decoder": "decoder"},
    {"encoder": "model.encoder", "decoder": "model.decoder"},
)
RESIDUAL: Sequence[Words] = (
    {"c1": "conv1", "b1": "bn1", "c2": "conv2", "b2": "bn2", "cs": "downsample.0", "bs": "downsample.1"},
    {"c1": "conv1", "b1": "norm1", "c2": "conv2", "b2": "norm2", "cs": "downsample.conv", "bs": "downsample.norm"},
)
STEM: Sequence[Words] = (
    {"stem": "conv1", "stem norm": "bn1", "head": "fc"},
    {"stem": "stem.conv", "stem norm": "stem.norm", "head": "classifier"},
    {"stem": "stem.0", "stem norm": "stem.1", "head": "head"},
)
STAGES: Sequence[Words] = (
    {"stage": "layer", "blocks": ""},
    {"stage": "stages.", "blocks": "blocks"},
    {"stage": "stages.", "blocks": ""},
    {"stage": "res", "blocks": ""},
)
FIRST_STAGE = {"layer": 1, "stages.": 0, "res": 2}
WRAPPERS = ("", "", "module.", "_orig_mod.", "model.", "module._orig_mod.", "net.backbone.")
MADE_UP = (
    *("zorvex", "quilmo", "brantu", "fexidy", "glomp", "huvari", "jaskel", "kwindo", "mupply", "nyxora", "plutch"),
    *("rizzen", "smorgo", "tavlik", "udwar", "vimpo", "wexlar", "yondub", "crimbo", "drosk", "ilvane", "okruda"),
)


@dataclass(slots=True)
class Network:
    """Parts, the sets of words in which their slots can be said, and the lists in them."""

    parts: list[Part]
    sets: Sequence[Sequence[Words]]
    lists: Sequence[str] = ("layers",)
    norms: frozenset[str] = frozenset()
    """Slots whose weight and bias may be called gamma and beta."""


@dataclass(slots=True)
class Naming:
    """What one side calls everything."""

    words: dict[str, str]
    first: dict[str, int] = field(default_factory=dict)
    wrapper: str = ""
    is_gamma: bool = False

    def key(self, network: Network, part: Part, leaf: str) -> str:
        """Name a parameter."""
        said = []
        for slot in part.path:
            if isinstance(slot, str):
                said.append(self.words[slot])
            elif slot.list == "stages":
                # A number may be written at the word that it follows.
                said[-1] += str(slot.at + self.first["stages"])
            else:
                said.append(str(slot.at + self.first.get(slot.list, 0)))
        if self.is_gamma and part.path[-1] in network.norms:
            leaf = {"weight": "gamma", "bias": "beta"}.get(leaf, leaf)
        return self.wrapper + ".".join([*filter(None, said), leaf])


@dataclass(slots=True)
class Case:
    """Two manifests of one network, which target key is which source key, and whether all words are the field's."""

    source: Manifest
    target: Manifest
    truth: dict[str, str]
    is_structured: bool


def linear(out: int, in_: int, has_bias: bool) -> dict[str, Shape]:
    return {"weight": (out, in_), **({"bias": (out,)} if has_bias else {})}


def batch_norm(n: int) -> dict[str, Shape]:
    return {"weight": (n,), "bias": (n,), "running_mean": (n,), "running_var": (n,), "num_batches_tracked": ()}


def _layer(at: Slots, d: int, wide: int, is_gated: bool, is_cross: bool, has_bias: bool) -> Iterator[Part]:
    norm: dict[str, Shape] = {"weight": (d,), **({"bias": (d,)} if has_bias else {})}
    for attention in ("attn", "cross") if is_cross else ("attn",):
        yield from (Part((*at, attention, slot), linear(d, d, has_bias)) for slot in "qkvo")
    yield from (Part((*at, slot), norm) for slot in (("n1", "n3", "n2") if is_cross else ("n1", "n2")))
    yield from (
        Part((*at, "mlp", slot), linear(wide, d, has_bias)) for slot in (("gate", "up") if is_gated else ("up",))
    )
    yield Part((*at, "mlp", "down"), linear(d, wide, has_bias))


def transformer(random: Random) -> Network:
    """Make a stack of layers, or an encoder and a decoder."""
    d, is_gated, has_bias = random.choice((8, 16)), random.random() < 0.5, random.random() < 0.5
    wide = random.choice((4 * d, 3 * d, d))
    is_two = random.random() < 0.3
    parts = [Part(("tokens",), {"weight": (50, d)})]
    if random.random() < 0.5:
        parts.append(Part(("positions",), {"weight": (random.choice((20, 50)), d)}))
    for side in (("encoder",), ("decoder",)) if is_two else ((),):
        for n in range(random.randint(1, 2 if is_two else 3)):
            is_cross = side == ("decoder",)
            parts += _layer((*side, "layers", Number("layers", n)), d, wide, is_gated, is_cross, has_bias)
        parts.append(Part((*side, "last"), {"weight": (d,)}))
    if random.random() < 0.5:
        parts.append(Part(("head",), {"weight": (50, d)}))
    sets: list[Sequence[Words]] = [AROUND, ATTENTION, LAYERS, GATED if is_gated else FEED_FORWARD]
    sets += [THREE_NORMS, CROSS, SIDES] if is_two else [NORMS]
    return Network(parts, sets, norms=frozenset(("n1", "n2", "n3", "last")))


def residual(random: Random) -> Network:
    """Make stages of residual blocks."""
    width, parts = random.choice((4, 6)), []
    parts += [Part(("stem",), {"weight": (width, 3, 7, 7)}), Part(("stem norm",), batch_norm(width))]
    grows = random.random() < 0.8
    n_in = width
    for s in range(random.randint(2, 3)):
        out = width * 2**s if grows else width
        for b in range(random.randint(1, 2)):
            at: Slots = ("stage", Number("stages", s), "blocks", Number("blocks", b))
            parts += [Part((*at, "c1"), {"weight": (out, n_in, 3, 3)}), Part((*at, "b1"), batch_norm(out))]
            parts += [Part((*at, "c2"), {"weight": (out, out, 3, 3)}), Part((*at, "b2"), batch_norm(out))]
            if n_in != out:
                parts += [Part((*at, "cs"), {"weight": (out, n_in, 1, 1)}), Part((*at, "bs"), batch_norm(out))]
            n_in = out
    parts.append(Part(("head",), linear(10, n_in, True)))
    return Network(parts, [STEM, RESIDUAL, STAGES], lists=())


def sequence(random: Random) -> Network:
    """Make a list of linear layers, of which some have one shape."""
    sizes = [random.choice((5, 6, 7)) for _ in range(random.randint(3, 7))]
    step = random.choice((1, 2, 3))
    parts = [
        Part(("layers", Number("layers", n * step)), linear(out, in_, True))
        for n, (in_, out) in enumerate(pairwise(sizes))
    ]
    return Network(parts, [LAYERS])


def _named(random: Random, network: Network, made_up: float, unused: list[str]) -> Naming:
    words: dict[str, str] = {}
    for found in network.sets:
        words |= random.choice(found)
    slots = {slot for part in network.parts for slot in part.path if isinstance(slot, str)}
    words |= {slot: slot for slot in slots - words.keys()}
    first = {name: random.choice((0, 0, 0, 1, 2)) for name in network.lists}
    if "stage" in words:
        first["stages"] = FIRST_STAGE[words["stage"]]
    for slot in sorted(slots):
        if slot != "stage" and random.random() < made_up and unused:
            words[slot] = unused.pop(random.randrange(len(unused)))
    return Naming(words, first, random.choice(WRAPPERS), random.random() < 0.2)


def renamed(random: Random) -> Case:
    """Make a network under two namings, with keys that one side lacks, in any order."""
    network = random.choice((transformer, transformer, residual, sequence))(random)
    made_up = random.choice((0.0, 0.0, 0.2, 0.5))
    unused = list(MADE_UP)
    ours, theirs = _named(random, network, made_up, unused), _named(random, network, made_up / 2, unused)
    lost, new = _missing(random, network)
    source = {
        ours.key(network, part, leaf): shape for part, leaf, shape in _tensors(network) if part.path[-1] not in lost
    }
    target = {
        theirs.key(network, part, leaf): shape for part, leaf, shape in _tensors(network) if part.path[-1] not in new
    }
    truth = {
        theirs.key(network, part, leaf): ours.key(network, part, leaf)
        for part, leaf, _ in _tensors(network)
        if part.path[-1] not in lost and part.path[-1] not in new
    }
    for side, name in ((source, ours.wrapper + "auxiliary.head"), (target, theirs.wrapper + "extra")):
        if random.random() < 0.3:
            side.update({f"{name}.weight": (11 + len(name), 4), f"{name}.bias": (11 + len(name),)})
    if random.random() < 0.2:
        source["num_updates"] = ()
    return Case(_ordered(random, source), _ordered(random, target), truth, made_up == 0.0)


def _missing(random: Random, network: Network) -> tuple[set[str], set[str]]:
    """Choose the parts that the source lacks or those that the target lacks, not both: one could pass for the other."""
    if random.random() < 0.7:
        return set(), set()
    slots = sorted({str(part.path[-1]) for part in network.parts if isinstance(part.path[-1], str)})
    found = set(random.sample(slots, min(len(slots) // 2, random.choice((1, 1, 2)))))
    return (found, set()) if random.random() < 0.5 else (set(), found)


def _tensors(network: Network) -> Iterator[tuple[Part, str, Shape]]:
    return ((part, leaf, shape) for part in network.parts for leaf, shape in part.shapes.items())


def _ordered(random: Random, shapes: Mapping[str, Shape]) -> Manifest:
    keys = list(shapes)
    order = random.choice(("saved", "sorted", "shuffled"))
    if order == "sorted":
        keys.sort()
    elif order == "shuffled":
        random.shuffle(keys)
    return Manifest({key: TensorInfo("F32", shapes[key]) for key in keys})
