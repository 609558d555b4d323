"""JSON files and folders of shards that do not say what they should."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import ckptnames
from ckptnames import errors
from tests.errors.made import index, save, weights
from tests.errors.raising import command, raises


@raises(errors.MalformedJson)
def json_that_is_none() -> None:
    """
    error[malformed-json]: the JSON of this file is malformed: Expecting value: line 1 column 19 (char 18)
      --> names.json
      help: get or write the file again: it is damaged, cut short, or was edited by hand
    """
    Path("names.json").write_text('{"tensors": {"w": }}')
    ckptnames.read("names.json")


@raises(errors.DuplicateKey)
def a_manifest_that_names_a_key_twice() -> None:
    """
    error[duplicate-key]: the key 'w' stands twice in this file
      --> names.json
      help: write the checkpoint again: readers differ in which of the two they take
    """
    Path("names.json").write_text('{"tensors": {"w": {}, "w": {}}}')
    ckptnames.read("names.json")


@raises(errors.InvalidManifest)
def a_manifest_with_a_shape_that_is_none() -> None:
    """
    error[invalid-manifest]: the entry of 'w' has the shape '2x2', not a list of sizes
      --> names.json
      help: write each tensor as {"dtype": "F32", "shape": [10, 4]}, as 'ckptnames ls --json' does
    """
    Path("names.json").write_text(json.dumps({"tensors": {"w": {"dtype": "F32", "shape": "2x2"}}}))
    ckptnames.read("names.json")


@raises(errors.InvalidManifest)
def a_manifest_with_a_list_of_tensors() -> None:
    """
    error[invalid-manifest]: the manifest has ['w'] for its tensors, not an object of keys
      --> names.json
      help: write each tensor as {"dtype": "F32", "shape": [10, 4]}, as 'ckptnames ls --json' does
    """
    Path("names.json").write_text(json.dumps({"tensors": ["w"]}))
    ckptnames.read("names.json")


@raises(errors.SeveralCheckpoints)
def two_checkpoints_in_a_folder() -> None:
    """
    error[several-checkpoints]: this folder holds 2 checkpoints
      --> my bert
      'my bert/model.safetensors'   safetensors, 72 bytes
      'my bert/pytorch_model.bin'   torch.save, 1,619 bytes
      help: name one of them, as in: ckptnames ls 'my bert/model.safetensors'
    """
    Path("my bert").mkdir()
    save_file(weights("w"), "my bert/model.safetensors")
    save("my bert/pytorch_model.bin", "w")
    command("ls", "my bert")


@raises(errors.MissingShard)
def a_shard_that_is_missing() -> None:
    """
    error[missing-shard]: 1 of 2 shards is missing, with 1 key
      --> pytorch_model.bin.index.json
      pytorch_model-00002-of-00002.bin
      help: get 'pytorch_model-00002-of-00002.bin' into the same folder
    """
    save("pytorch_model-00001-of-00002.bin", "a")
    index(
        "pytorch_model.bin.index.json",
        {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"},
    )
    ckptnames.read("pytorch_model.bin.index.json")


@raises(errors.MissingShard)
def a_number_that_is_missing() -> None:
    """
    error[missing-shard]: 2 of 3 shards are missing
      --> llama
      model-00001-of-00003.safetensors
      model-00003-of-00003.safetensors
      help: get 'model-00001-of-00003.safetensors' into the same folder, and 1 more
    """
    Path("llama").mkdir()
    save_file(weights("a"), "llama/model-00002-of-00003.safetensors")
    ckptnames.read("llama")


@raises(errors.InvalidIndex)
def an_index_that_maps_nothing() -> None:
    """
    error[invalid-index]: the index has no keys in its 'weight_map'
      --> model.safetensors.index.json
      help: get the index again from where it came, or name one of the shards instead
    """
    index("model.safetensors.index.json", ["a"])
    ckptnames.read("model.safetensors.index.json")


@raises(errors.IndexMismatch)
def an_index_of_other_shards() -> None:
    """
    error[index-mismatch]: the index puts 2 keys into shards that do not have them
      --> model.safetensors.index.json
      'b' is not in model-00001-of-00001.safetensors
      'c' is not in model-00001-of-00001.safetensors
      help: get the index and its shards again from one place: they do not belong together
    """
    save_file(weights("a"), "model-00001-of-00001.safetensors")
    index("model.safetensors.index.json", dict.fromkeys(["a", "b", "c"], "model-00001-of-00001.safetensors"))
    ckptnames.read("model.safetensors.index.json")


@raises(errors.UnsafePath)
def an_index_that_points_outside() -> None:
    """
    error[unsafe-path]: the index names a shard outside its folder: '../../etc/model.safetensors'
      --> model.safetensors.index.json
      help: move the shard beside the index, and write its bare name there
    """
    index("model.safetensors.index.json", {"a": "../../etc/model.safetensors"})
    ckptnames.read("model.safetensors.index.json")


@raises(errors.DuplicateKey)
def a_key_in_two_shards() -> None:
    """
    error[duplicate-key]: the key 'a' stands in 'pytorch_model-00001-of-00002.bin' and 'pytorch_model-00002-of-00002.bin'
      --> llama
      help: write the checkpoint again: readers differ in which of the two they take
    """
    Path("llama").mkdir()
    for n in (1, 2):
        torch.save(weights("a"), f"llama/pytorch_model-0000{n}-of-00002.bin")
    ckptnames.read("llama")
