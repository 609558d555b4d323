"""Rules and names that do not fit each other."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from ckptnames import errors, remap
from tests.errors.made import manifest, save, weights
from tests.errors.raising import command, raises

OUT = ("-o", "out.pt")


@raises(errors.KeyCollision)
def rules_that_make_one_name_of_two() -> None:
    """
    error[key-collision]: 2 source keys would both become 'layers.0.qkv.weight'
      layers.0.q_proj.weight   qkv.rules:1
      layers.0.k_proj.weight   qkv.rules:2
      … and 2 more collisions
      help: give qkv.rules:1 and qkv.rules:2 different targets. Nothing was written
    """
    keys = [f"layers.{n}.{p}_proj.weight" for n in range(3) for p in "qk"]
    save("model.pt", *keys)
    Path("qkv.rules").write_text("{m}.{i:d}.q_proj.** -> {m}.{i}.qkv.**\n{m}.{i:d}.k_proj.** -> {m}.{i}.qkv.**\n")
    command("fix", "model.pt", "--rules", "qkv.rules", *OUT)


@raises(errors.KeyCollision)
def a_rule_that_loses_what_tells_keys_apart() -> None:
    """
    error[key-collision]: 3 source keys would all become 'w'
      a.w   --rule:1
      b.w   --rule:1
      c.w   --rule:1
      help: put what tells these keys apart into the target of --rule:1, as a slot. Nothing was written
    """
    save("model.pt", "a.w", "b.w", "c.w")
    command("fix", "model.pt", "--rule", "{p}.w -> w", *OUT)


@raises(errors.KeyCollision)
def a_name_that_is_taken() -> None:
    """
    error[key-collision]: 2 source keys would both become 'w'
      module.w   --rule:1
      w          identity
      help: one of them has this name already: move it, or leave it out with --rule 'w -> !drop'. Nothing was written
    """
    save("model.pt", "module.w", "w")
    command("fix", "model.pt", "--rule", "module.** -> **", *OUT)


@raises(errors.OpenKey)
def a_key_that_is_not_decided() -> None:
    """
    error[open-key]: 'w2' is not decided
      w2   llama.rules:2
      help: replace `!open` in llama.rules:2 by a target, or by `!drop`. Nothing was written
    """
    save("model.pt", "w1", "w2")
    Path("llama.rules").write_text("w1 -> up\nw2 -> !open\n")
    command("fix", "model.pt", "--rules", "llama.rules", *OUT)


@raises(errors.UnmatchedRule)
def a_rule_with_a_typo() -> None:
    """
    error[unmatched-rule]: 1 rule matches no key
      --rule:2   decodr.** -> dec.**   nearest key: decoder.w
      help: correct --rule:2, or end it with ` ?` if it may match nothing. Nothing was written
    """
    save("model.pt", "encoder.w", "decoder.w")
    command("fix", "model.pt", "--rule", "encoder.** -> enc.**", "--rule", "decodr.** -> dec.**", *OUT)


@raises(errors.UnmatchedRule)
def a_rule_in_the_language_of_a_shell() -> None:
    """
    error[unmatched-rule]: 2 rules match no key
      --rule:2   fc.* -> head.*          signs mean themselves: {p} is any one segment, ** any number
      --rule:3   ^fc\\.(.*)$ -> head.\\1   signs mean themselves: {p} is any one segment, ** any number
      help: correct --rule:2, or end it with ` ?` if it may match nothing. Nothing was written
    """
    save("model.pt", "encoder.w", "fc.w")
    globs = ["--rule", "fc.* -> head.*", "--rule", r"^fc\.(.*)$ -> head.\1"]
    command("fix", "model.pt", "--rule", "encoder.** -> enc.**", *globs, *OUT)


@raises(errors.ShadowedRule)
def a_rule_that_comes_too_late() -> None:
    """
    error[shadowed-rule]: 1 rule never decides: earlier lines take the keys
      late.rules:2   a.w -> y   taken by late.rules:1
      help: move late.rules:2 above late.rules:1, or end it with ` ?` if that is meant. Nothing was written
    """
    save("model.pt", "a.w", "a.b")
    Path("late.rules").write_text("a.** -> x.**\na.w -> y\n")
    command("fix", "model.pt", "--rules", "late.rules", *OUT)


@raises(errors.ShapeMismatch)
def a_head_of_another_size() -> None:
    """
    error[shape-mismatch]: 2 tensors would fill keys of another shape
      fc.w   source 10×3, target 5×3   from module.fc.w
      fc.b   source 10, target 5       from module.fc.b
      help: to keep the target's own values there: --allow shape-mismatch='fc.**'. Nothing was written
    """
    state = {"conv.w": torch.zeros(3, 3), "bn.w": torch.zeros(3), "fc.w": torch.zeros(10, 3), "fc.b": torch.zeros(10)}
    torch.save({f"module.{key}": value for key, value in state.items()}, "ddp.pt")
    manifest("model.json", **{"conv.w": [3, 3], "bn.w": [3], "fc.w": [5, 3], "fc.b": [5]})
    command("fix", "ddp.pt", "--like", "model.json", *OUT)


@raises(errors.ShapeMismatch)
def another_model_of_the_same_names() -> None:
    """
    error[shape-mismatch]: 2 tensors would fill keys of another shape
      a   source 2, target 3
      b   source 2, target 3
      help: they may be different models: ckptnames diff model.pt other.json. Nothing was written
    """
    save("model.pt", "a", "b")
    manifest("other.json", a=[3], b=[3])
    command("fix", "model.pt", "--like", "other.json", *OUT)


@raises(errors.UnfilledTarget)
def a_weight_under_another_name() -> None:
    """
    error[unfilled-target]: nothing would fill 1 of 3 target keys
      fc_.w
      help: say what fills it, perhaps with --rule 'fc.w -> fc_.w'. Nothing was written
    """
    save("model.pt", "old.w", "bn.w", "fc.w")
    manifest("model.json", **{"conv.w": [2], "bn.w": [2], "fc_.w": [2]})
    command("fix", "model.pt", "--rule", "old.w -> conv.w", "--like", "model.json", *OUT)


@raises(errors.UnfilledTarget)
def a_head_that_the_source_does_not_have() -> None:
    """
    error[unfilled-target]: nothing would fill 1 of 3 target keys
      fc.w
      help: to keep the target's own values there: --allow unfilled-target=fc.w. Nothing was written
    """
    save("model.pt", "conv.w", "bn.w")
    manifest("model.json", **{"conv.w": [2], "bn.w": [2], "fc.w": [2]})
    command("fix", "model.pt", "--like", "model.json", *OUT)


@raises(errors.UnfilledTarget)
def another_model() -> None:
    """
    error[unfilled-target]: nothing would fill 12 of 12 target keys
      layers.0.attention
      layers.1.attention
      layers.2.attention
      layers.3.attention
      layers.4.attention
      … and 7 more
      help: they may be different models: ckptnames diff resnet.pt bert.json. Nothing was written
    """
    save("resnet.pt", "conv.w", "bn.w")
    manifest("bert.json", **{f"layers.{n}.attention": [7] for n in range(12)})
    command("fix", "resnet.pt", "--like", "bert.json", *OUT)


@raises(errors.SplitSiblings)
def a_weight_without_its_scale() -> None:
    """
    error[split-siblings]: 1 tensor would part from what gives it meaning
      fc.weight   without fc.weight_scale_inv, which belongs at head.weight_scale_inv
      help: move both alike: add --rule 'fc.weight_scale_inv -> head.weight_scale_inv'. Nothing was written
    """
    save("model.pt", "fc.weight", "fc.weight_scale_inv")
    command("fix", "model.pt", "--rule", "fc.weight -> head.weight", *OUT)


@raises(errors.PartialPrefix)
def a_prefix_on_some_keys_only() -> None:
    """
    error[partial-prefix]: 'module.' stands on 3 of 4 keys, not on all
      --> model.pt
      with:    module.a
      with:    module.b
      without: d
      help: to strip it where it stands: --rule 'module.** -> **'. Nothing was written
    """
    save("model.pt", "module.a", "module.b", "module.c", "d")
    command("fix", "model.pt", "--strip", "module.", *OUT)


@raises(errors.AmbiguousInference)
def two_copies() -> None:
    """
    error[ambiguous-inference]: 2 copies in this checkpoint fit the target equally well
      --> dino.pt
      student.** -> **   4 keys
      teacher.** -> **   4 keys
      help: name the one you want, as in: --rule 'student.** -> **' --drop-unexpected. Nothing was written
    """
    state = {f"{copy}.{key}.w": torch.zeros(n, n) for copy in ("student", "teacher") for n, key in enumerate("abcd")}
    torch.save(state, "dino.pt")
    manifest("vit.json", **{f"{key}.w": [n, n] for n, key in enumerate("abcd")})
    command("fix", "dino.pt", "--like", "vit.json", *OUT)


@raises(errors.AmbiguousInference)
def two_copies_in_the_target() -> None:
    """
    error[ambiguous-inference]: 2 copies in the target fit this checkpoint equally well
      --> vit.pt
      ** -> net.**   2 keys
      ** -> ema.**   2 keys
      help: fill the one you want, as in: --rule '** -> net.**'; or each of them: --rule '** -> net.** & ema.**'. Nothing was written
    """
    save("vit.pt", "a.w", "b.w")
    manifest("byol.json", **{f"{copy}.{key}.w": [2] for copy in ("net", "ema") for key in "ab"})
    command("fix", "vit.pt", "--like", "byol.json", *OUT)


@raises(errors.AmbiguousInference)
def two_copies_in_memory() -> None:
    """
    error[ambiguous-inference]: 2 copies in this checkpoint fit the target equally well
      ema.** -> **        2 keys
      "my net".** -> **   2 keys
      help: name the one you want, as in: --rule 'ema.** -> **' --drop-unexpected
    """
    remap(weights("my net.a.w", "my net.b.w", "ema.a.w", "ema.b.w"), like=weights("a.w", "b.w"))


@raises(errors.FlatParameters)
def flat_parameters() -> None:
    """
    error[flat-parameters]: FSDP flattened many weights into one tensor without names: 1 of 1 key
      --> fsdp.pt
      _fsdp_wrapped_module._flat_param
      help: save again with FullStateDictConfig, or consolidate with the shard metadata that the FSDP model holds. Nothing was written
    """
    save("fsdp.pt", "_fsdp_wrapped_module._flat_param")
    manifest("model.json", **{"a.w": [1], "b.w": [1]})
    command("fix", "fsdp.pt", "--like", "model.json", *OUT)


@raises(errors.UndecidedKeys)
def keys_that_fit_equally_well() -> None:
    """
    error[ambiguous-inference]: 2 keys could be filled in several ways: of equal shapes, and nothing in their names tells which is which
      a.** -> c.**
      b.** -> c.**
      help: `ckptnames infer SOURCE TARGET -o names.rules` writes down what is known: decide the lines that end in `!open`, and give the file as --rules
    """
    square = torch.zeros(5, 5)
    manifest("new.json", **{"first.weight": [3, 4], "c.weight": [5, 5], "d.weight": [5, 5]})
    remap({"stem.weight": torch.zeros(3, 4), "a.weight": square, "b.weight": square}, like="new.json")


_GPT = {"qkv_proj.weight": [12, 4], "out_proj.weight": [4, 4]}


@raises(errors.UncheckedCaution)
def a_caution_that_was_not_checked() -> None:
    """
    error[unchecked-caution]: [fused-layout] 2 keys: fused queries, keys and values: `query_key_value` mostly holds them head by head, other names one matrix after the other; the rows may have to be put in another order
      h.{0,1}.attn.qkv_proj.weight
      help: where a rename is enough, say so with --accept fused-layout
    """
    fused, out = torch.zeros(12, 4), torch.zeros(4, 4)
    names = {"attention.query_key_value.weight": fused, "attention.dense.weight": out}
    manifest("gpt.json", **{f"h.{i}.attn.{k}": s for i in (0, 1) for k, s in _GPT.items()})
    remap({f"layers.{i}.{name}": tensor for i in (0, 1) for name, tensor in names.items()}, like="gpt.json")


@raises(errors.TransposedWeights)
def weights_the_other_way_round() -> None:
    """
    error[transposed-weights]: the source holds weights transposed, as layers like GPT-2's Conv1D do: 12 of 24 keys; 3 of them are square, and would load without a word
      --> conv1d.pt
      h.0.c_attn.weight
      h.0.c_proj.weight
      h.0.c_fc.weight
      h.0.c_out.weight
      h.1.c_attn.weight
      … and 7 more
      help: transpose these with `.t()` in Python, and rename the rest. Nothing was written
    """
    layers = {"c_attn": (4, 12), "c_proj": (4, 4), "c_fc": (4, 16), "c_out": (16, 4)}
    state = {f"h.{i}.{name}.weight": torch.zeros(shape) for i in range(3) for name, shape in layers.items()}
    state |= {key.replace("weight", "bias"): torch.zeros(weight.shape[1]) for key, weight in state.items()}
    torch.save(state, "conv1d.pt")
    manifest("linear.json", **{key: list(tensor.shape)[::-1] for key, tensor in state.items()})
    command("fix", "conv1d.pt", "--like", "linear.json", *OUT)


@raises(errors.ZeroPlaceholders)
def zero_placeholders() -> None:
    """
    error[zero-placeholders]: DeepSpeed ZeRO-3 left placeholders of shape [0] or [1], not weights: 2 of 2 keys
      --> zero.pt
      a.w
      b.w
      help: run DeepSpeed's zero_to_fp32.py in the checkpoint folder, and use the file it writes. Nothing was written
    """
    torch.save({"a.w": torch.zeros(0), "b.w": torch.zeros(0)}, "zero.pt")
    manifest("model.json", **{"a.w": [4], "b.w": [4]})
    command("fix", "zero.pt", "--like", "model.json", *OUT)


@raises(errors.QuantisedWeights)
def quantised_weights() -> None:
    """
    error[quantised-weights]: the weights are packed numbers, with their quantisation state beside them: 1 of 2 keys
      --> nf4.pt
      fc.weight.absmax
      help: build the model quantised in the same way, or dequantise the checkpoint with the library that wrote it. Nothing was written
    """
    save("nf4.pt", "fc.weight", "fc.weight.absmax")
    manifest("model.json", **{"fc.weight": [4]})
    command("fix", "nf4.pt", "--like", "model.json", *OUT)


@raises(errors.EntryCollision)
def the_name_of_an_entry_that_is_no_tensor() -> None:
    """
    error[key-collision]: 'module.epoch' would become 'epoch', and so would 'epoch', which is no tensor (int 3)
      help: give 'module.epoch' another name. Nothing was written
    """
    torch.save({**weights("module.epoch"), "epoch": 3}, "ddp.pt")
    command("fix", "ddp.pt", "--strip", "module", *OUT)


@raises(errors.NothingLeft)
def rules_that_drop_all() -> None:
    """
    error[nothing-left]: all 2 keys would be left out
      --> model.pt
      help: drop less: a rule that ends in `-> !drop` takes every key that no earlier one does. Nothing was written
    """
    save("model.pt", "w", "b")
    command("fix", "model.pt", "--rule", "** -> !drop", *OUT)


@raises(errors.ReservedName)
def the_name_of_the_metadata() -> None:
    """
    error[reserved-name]: 'w' would become '__metadata__', which safetensors keeps for its metadata
      --> m.safetensors
      help: give the tensor another name. Nothing was written
    """
    save_file(weights("w"), "m.safetensors")
    command("fix", "m.safetensors", "--rule", "w -> __metadata__", "-o", "out.safetensors")
