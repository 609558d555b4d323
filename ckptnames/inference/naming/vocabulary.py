"""The words of the field: what parts of a network are called, in whatever library.

General vocabulary only. A phrase is written as its words; `words.py` says how a name is cut into words, and that the
longest phrase counts. No table here knows the keys of any one architecture.
"""

from __future__ import annotations

import re

PHRASES: dict[str, dict[str, str]] = {
    # What sort of module it is.
    "sort": {
        "attention": """
            attn, attention, mha, msa, multi head attention, multi headed attention, multihead attention, attentions,
            attention layer, attn layer, self attn, self attention, selfattention, selfattn, slf attn, attention self,
            attn self, cross attn, cross attention, crossattention, crossattn, encoder attn, encoder attention,
            enc dec attention, encoder decoder attention, encdecattention, multihead attn, inter attention, src attn,
            attn 1, attn 2
        """,
        "mlp": """
            mlp, ffn, ff, feed forward, feedforward, dense relu dense, mlps, ffns, positionwise feed forward, pos ffn,
            intermediate, pwff, swiglu, ffw, feed forward layer
        """,
        "experts": "moe, block sparse moe, experts, expert",
        "norm": """
            norm, layernorm, layer norm, ln, rmsnorm, rms norm, norms, bn, batchnorm, batch norm, groupnorm, group norm,
            gn, normalization, layer normalization
        """,
    },
    # Which attention.
    "attention": {
        "self": """
            self attn, self attention, selfattention, selfattn, sa, slf attn, attn 1
        """,
        "cross": """
            cross attn, cross attention, crossattention, crossattn, encoder attn, encoder attention, enc dec attention,
            encoder decoder attention, encdecattention, multihead attn, ca, inter attention, src attn, attn 2
        """,
    },
    # Which of the projections of an attention.
    "projection": {
        "query": """
            q, query, q proj, to q, wq, q lin, query proj, proj q, q linear, linear q, w q, q layer, query layer, fc q,
            queries, query projection, q projection, lin q, attn q
        """,
        "key": """
            k, key, k proj, to k, wk, k lin, key proj, proj k, k linear, linear k, w k, key layer, fc k, keys,
            key projection, k projection, lin k, attn k
        """,
        "value": """
            v, value, v proj, to v, wv, v lin, value proj, proj v, v linear, linear v, w v, value layer, fc v, values,
            value projection, v projection, lin v, attn v
        """,
        "query key value": """
            qkv, query key value, wqkv, c attn, qkv proj, in proj, to qkv, attn qkv, w qkv, qkv linear,
            queries keys values, w pack
        """,
        "key value": "kv, to kv, key value, kv proj, wkv, keys values",
        "output": """
            o, o proj, out proj, wo, to out, out lin, linear out, w o, proj out, output proj, out projection,
            output projection, o linear, attn out, proj attn
        """,
    },
    # Which of the linear layers of a feed-forward block.
    "feed-forward": {
        "gate": "gate proj, w gate, linear gate, gate linear",
        "up": "up proj, w up",
        "in": """
            fc1, c fc, dense h to 4h, lin1, linear1, intermediate dense, wi, w in, dense in, fc in, linear in, lin 1,
            intermediate, dense 1, gate up proj, gate up, input linear
        """,
        "down": """
            down proj, w down, dense 4h to h, fc2, w out, fc out, linear2, lin2, dense out, lin 2, dense 2,
            output linear
        """,
    },
    "experts": {
        "routed": "expert, experts",
        "shared": "shared expert, shared experts",
        "router": "router, router gate",
    },
    # What is embedded.
    "embedding": {
        "position": """
            pos embed, position embeddings, position embedding, positional embedding, pos embedding, position, wpe,
            embed positions, pos emb, positions, positional encoding, embedding pos, absolute pos embed, position embed,
            pos enc
        """,
        "type": """
            token type embeddings, token type, segment, token type embedding, segment embeddings, type embeddings
        """,
        "token": """
            word embeddings, embed tokens, wte, tok embeddings, token embedding, token embedder, token embeddings,
            word embedding, embed in, tok emb, word emb, token emb
        """,
        "class": "cls token, class embedding, class token, cls embedding",
        "distillation": "dist token, distillation token",
        "mask": "mask token, mask emb, masked spec embed, mask embedding",
        "patch": "patch embed, patch embeddings, patch embedding, patchify, patch embedder",
    },
    # Where in the network.
    "area": {
        "embeddings": """
            embeddings, embedding, embed, emb, embedder, embed tokens, wte, wpe, tok embeddings, word embeddings,
            patch embed, pos embed, layernorm embedding, emb ln, embed norm
        """,
        "head": """
            lm head, classifier, cls head, logits, heads, prediction head, head, unembed, cls predictions, predictions
        """,
    },
    "place": {
        "first": """
            stem, embedder, patch embed, patch embeddings, conv stem, conv in, input conv, conv pre, conv first, conv1,
            patch embedding, conv proj, patch embeddings projection, img in, x embedder
        """,
        "last": "conv out, output conv, conv post, conv last, proj out, final layer, final linear",
    },
    "head": {
        "head": """
            head, lm head, classifier, fc, logits, score, cls head, output layer, embed out, logits dense,
            classification head, heads, unembed, prediction head, class embed, bbox embed
        """,
    },
    # For which task.
    "task": {
        "language model": "lm head, predictions, mlm, unembed, logits dense, embed out",
        "classification": "classifier, classification head, cls head",
        "question answering": "qa outputs",
        "next sentence": "seq relationship",
        "pooling": "pooler",
    },
    "norm after pooling": {"norm": "fc norm, pooler layernorm, pooler layer norm, pooler norm"},
    "side": {"encoder": "encoder, enc", "decoder": "decoder, dec"},
    "input": {
        "text": "text, text model, textual, language, language model, text encoder, llm",
        "image": "vision, visual, image, vision model, vision tower, vision encoder, image encoder, pixel",
        "sound": "audio, speech, audio tower",
    },
    "stream": {"context": "txt, context, added, add, ctx, context block, encoder hidden"},
    "copy": {
        "averaged": "teacher, ema, momentum, target network, model ema",
        "live": "student, online",
    },
    "direction": {
        "down": "down blocks, input blocks, downsample blocks",
        "up": "up blocks, output blocks",
        "middle": "mid block, middle block, middle, bottleneck block, mid",
    },
    "sampling": {
        "down": "downsample, downsamplers, downsampler, down sample",
        "up": "upsample, upsamplers, upsampler, upsamples",
    },
    "shortcut": {"shortcut": "shortcut, conv shortcut, skip connection, nin shortcut, skip, proj shortcut"},
    "low rank": {
        "a": "lora a, lora down, lora linear layer down",
        "b": "lora b, lora up, lora linear layer up",
    },
    "end": {"in": "in, input, inp", "out": "out, output"},
    "squeeze": {"reduce": "conv reduce, squeeze, reduce", "expand": "conv expand, excitation, expand"},
    "height": {"up": "up, upper", "down": "down, lower"},
    "hand": {"left": "left", "right": "right"},
    "adversary": {"generator": "generator", "discriminator": "discriminator"},
}
"""By aspect: what a name can say about it, and the phrases that say so."""

LOOSE = frozenset(("sort", "head", "end", "shortcut", "sampling", "input", "place"))
"""Aspects in which two names for one thing may differ; in all others they may not."""

SILENT = frozenset(("sort", "end", "area"))
"""Aspects that one name may well leave out."""

TELLING = frozenset(("task", "norm after pooling", "copy", "low rank", "stream"))
"""Aspects that, where only one of two names speaks of them, tell the two apart."""

QUERIES = frozenset(("query", "key", "value"))
"""The projections that make an attention one."""

OPPOSITE = frozenset(("height", "hand"))
"""Aspects in which two names for one thing may not differ, and in which to agree says nothing."""

DECIDING = frozenset(
    ("projection", "feed-forward", "attention", "side", "low rank", "squeeze", "embedding", "direction")
)
"""Aspects in which agreement says most."""

SYNONYMS = """
    embedding: embeddings embed emb embeds embedder
    position: positional pos positions
    projection: proj projections
    attention: attn attentions
    norm: layernorm ln rmsnorm bn batchnorm gn groupnorm norms normalization
    convolution: conv
    feedforward: ff ffn mlp
    head: heads classifier fc logits
    linear: dense lin
    query: q queries
    key: k keys
    value: v values
    output: out outputs
    input: in inputs
    block: blocks
    layer: layers
    intermediate: inter
    token: tok tokens word
    relative: rel
    bias: biases
    visual: vision image
    downsample: downsampler downsamplers
    upsample: upsampler upsamplers
    activation: act
    encoder: enc
    decoder: dec
    final: f
    class: cls
    distillation: distill dist
    number: num
    feature: features feat
    hidden: h
    time: t temb timestep
"""
"""Words that mean the same, behind the one that stands for them."""

HOLLOW = frozenset(
    [
        "model",
        "module",
        "net",
        "network",
        "backbone",
        "layer",
        "block",
        "base",
        "transformer",
        "feature",
        "trunk",
        "body",
        "stage",
        "stages",
        "list",
        "modulelist",
        "main",
        "self",
        "bert",
        "roberta",
        "gpt",
        "vit",
        "swin",
        "convolution",
        "linear",
        "conv2d",
        "the",
        "x",
        "weight",
        "hidden",
        "inner",
        "group",
    ]
)
"""Words that say nothing about which part it is."""

PLAIN_LIST = re.compile(
    r"block|layer|stage|^(?:h|b|s|g)$|res(?:net)?s?$|att(?:n|ention)|transformer|encoder|mlp|conv|expert|cell|unit|group"
    r"|module|feature|downs|head|branch|trunk|^body$|^sub$"
)
"""Words that name a list of parts which is counted from the input on."""
