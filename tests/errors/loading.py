"""Weights that cannot be put into a model as asked."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.checkpoint.state_dict_saver import save as save_shards
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

import ckptnames
from ckptnames import errors
from ckptnames.loading.files import FileSource
from tests.errors.made import manifest, save
from tests.errors.raising import raises


class Attention(nn.Module):
    def __init__(self, query: str, key: str) -> None:
        super().__init__()
        self.add_module(query, nn.Linear(8, 8, bias=False))
        self.add_module(key, nn.Linear(8, 8, bias=False))


class WithItsOwnCode(nn.Sequential):
    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *args: object) -> None:
        pass


def backbone(classes: int, head: str = "fc") -> nn.Module:
    return nn.Sequential(
        OrderedDict([("conv", nn.Linear(4, 4)), ("mid", nn.Linear(4, 4)), (head, nn.Linear(4, classes))])
    )


@raises(errors.IncompleteLoad)
def a_head_of_other_classes() -> None:
    """
    error[incomplete-load]: the checkpoint does not fill the model: 2 keys of another shape
      --> trained.pt
      of another shape   fc.weight   checkpoint 10×4, model 3×4
      of another shape   fc.bias     checkpoint 10, model 3
      help: if that is meant, say so: mismatched="keep". Nothing was loaded
    """
    torch.save({"state_dict": nn.DataParallel(backbone(10)).state_dict()}, "trained.pt")
    ckptnames.load(backbone(3), "trained.pt")


@raises(errors.IncompleteLoad)
def names_that_no_wrapper_explains() -> None:
    """
    error[incomplete-load]: the checkpoint does not fill the model: 3 keys missing, 3 keys unexpected
      --> old.safetensors
      missing      layer{1-3}.w
      unexpected   fc{1-3}.w
      help: the names suggest these rules: rules='fc{i:d}.w -> layer{i}.w'. Nothing was loaded
    """
    save_file({key: torch.zeros(n + 1, 2) for n, key in enumerate(("fc1.w", "fc2.w", "fc3.w"))}, "old.safetensors")
    model = nn.ModuleDict({f"layer{n}": nn.ParameterDict({"w": torch.zeros(n, 2)}) for n in (1, 2, 3)})
    ckptnames.load(model, "old.safetensors")


@raises(errors.IncompleteLoad)
def names_that_the_models_own_code_knows() -> None:
    """
    error[incomplete-load]: the checkpoint does not fill the model: 2 keys missing, 1 key unexpected
      missing      out.{weight,bias}
      unexpected   whole
      help: the model has code of its own for what it loads, 'WithItsOwnCode._load_from_state_dict': model.load_state_dict() runs it. Nothing was loaded
    """

    model = WithItsOwnCode(OrderedDict([("fc", nn.Linear(4, 4)), ("out", nn.Linear(4, 2))]))
    ckptnames.load(model, {**nn.ModuleDict({"fc": nn.Linear(4, 4)}).state_dict(), "whole": torch.zeros(10)})


@raises(errors.IncompleteLoad)
def a_report_that_is_held_against_it() -> None:
    """
    error[incomplete-load]: the checkpoint does not fill the model: 2 keys missing, 2 keys unexpected
      missing      head.{weight,bias}
      unexpected   fc.{weight,bias}
      help: if that is meant, say so: missing="keep", unexpected="ignore"
    """
    report = ckptnames.load(backbone(3, "head"), backbone(3).state_dict(), missing="keep", unexpected="ignore")
    report.raise_if_incomplete()


@raises(errors.NothingMatched)
def a_load_of_nothing() -> None:
    """
    error[nothing-matched]: none of the model's 2 keys would be filled
      --> vgg.pt
      in the checkpoint: features.0.w
      in the checkpoint: features.3.w
      in the model:      weight
      in the model:      bias
      help: give the rules that lead from one to the other: rules='source pattern -> target pattern'. Nothing was loaded
    """
    save("vgg.pt", "features.0.w", "features.3.w")
    ckptnames.load(nn.Linear(4, 2), "vgg.pt", missing="keep", unexpected="ignore")


@raises(errors.UndecidedCopies)
def two_copies() -> None:
    """
    error[ambiguous-inference]: 2 copies in this checkpoint fit the target equally well
      --> dino.pt
      student.** -> **   6 keys
      teacher.** -> **   6 keys
      help: name the one you want, as in: rules='student.** -> **', unexpected="ignore". Nothing was loaded
    """
    state = backbone(3).state_dict()
    torch.save({f"{copy}.{key}": value for copy in ("student", "teacher") for key, value in state.items()}, "dino.pt")
    ckptnames.load(backbone(3), "dino.pt")


@raises(errors.UndecidedCopies)
def two_copies_in_the_model() -> None:
    """
    error[ambiguous-inference]: 2 copies in the target fit this checkpoint equally well
      --> vit.pt
      ** -> net.**   6 keys
      ** -> ema.**   6 keys
      help: fill each of them: rules='** -> net.** & ema.**'; or one: rules='** -> net.**', missing="keep". Nothing was loaded
    """
    torch.save(backbone(3).state_dict(), "vit.pt")
    ckptnames.load(nn.ModuleDict({"net": backbone(3), "ema": backbone(3)}), "vit.pt")


@raises(errors.LossyCast)
def packed_weights() -> None:
    """
    error[lossy-cast]: 1 tensor would lose its values in a cast
      --> int8.pt
      weight   I8 to F32   such integers are packed numbers, not weights
      help: build the model with the dtype of the checkpoint, or dequantise the checkpoint first. Nothing was loaded
    """
    torch.save({"weight": torch.ones(2, 4, dtype=torch.int8), "bias": torch.zeros(2)}, "int8.pt")
    ckptnames.load(nn.Linear(4, 2), "int8.pt")


@raises(errors.TiedValuesDiffer)
def tied_weights_that_part() -> None:
    """
    error[tied-values-differ]: 'embed.weight' and 'head.weight' are one tensor in the model, and differ in the checkpoint
      --> lm.pt
      embed.weight
      head.weight
      help: untie them in the model, or leave one out with a rule: 'head.weight -> !drop'. Nothing was loaded
    """
    model = nn.ModuleDict({"embed": nn.Linear(2, 2, bias=False), "head": nn.Linear(2, 2, bias=False)})
    model["head"].weight = model["embed"].weight
    torch.save({"embed.weight": torch.zeros(2, 2), "head.weight": torch.ones(2, 2)}, "lm.pt")
    ckptnames.load(model, "lm.pt")


@raises(errors.OtherNorm)
def a_norm_in_the_checkpoint_only() -> None:
    """
    error[other-norm]: the checkpoint has 1 module under weight norm, and the model has their plain weights
      --> vocoder.pt
      0
      help: put torch.nn.utils.parametrizations.weight_norm on '0' before the load. Nothing was loaded
    """
    torch.save(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))).state_dict(), "vocoder.pt")
    ckptnames.load(nn.Sequential(nn.Linear(2, 2)), "vocoder.pt")


@raises(errors.OtherNorm)
def a_norm_in_the_model_only() -> None:
    """
    error[other-norm]: the model has 1 module under weight norm, and the checkpoint has their plain weights
      (the model itself)
      help: load before weight norm is put on the model: it computes its two parts from the weight. Nothing was loaded
    """
    ckptnames.load(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.Linear(2, 2).state_dict())


@raises(errors.UnacceptedCaution)
def rows_that_may_stand_in_another_order() -> None:
    """
    error[unchecked-caution]: [rotary-layout] 2 keys: queries and keys of rotary attention: one side's names are those of Meta's or torchtune's code, which pairs neighbouring numbers of a head, the other's are not; where it pairs the two halves, the rows of each head have to be permuted
      layers.0.self_attn.{q,k}_proj.weight
      help: where a rename is enough, say so: accept=['rotary-layout']. Nothing was loaded
    """
    ckptnames.load(
        nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleDict({"self_attn": Attention("q_proj", "k_proj")})])}),
        nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleDict({"attention": Attention("wq", "wk")})])}).state_dict(),
        infer=True,
    )


@raises(errors.MetaModel)
def a_part_without_memory() -> None:
    """
    error[meta-model]: 2 tensors of the model would stay on the meta device, without values
      1.weight
      1.bias
      help: give them values first, as in model.to_empty(device='cpu') and the initialisation of the model. Nothing was loaded
    """
    model = nn.Sequential(nn.Linear(2, 2, device="meta"), nn.Linear(2, 2, device="meta"))
    ckptnames.load(model, nn.Sequential(nn.Linear(2, 2)).state_dict(), missing="keep")


@raises(errors.NeedsAssign)
def a_device_for_tensors_that_stay() -> None:
    """
    error[needs-assign]: device='cpu' is for new tensors, and the model keeps its own
      help: pass assign=True with it, or move the model first: model.to(…). Nothing was loaded
    """
    ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2).state_dict(), device="cpu")


@raises(errors.NoValues)
def a_manifest() -> None:
    """
    error[no-values]: this is a manifest: it names tensors and holds none
      --> names.json
      help: name the checkpoint that it was made from
    """
    manifest("names.json", weight=[2, 2], bias=[2])
    ckptnames.load(nn.Linear(2, 2), "names.json")


@raises(errors.NoSuchEntry)
def a_container_of_another_name() -> None:
    """
    error[no-such-container]: there is no container 'ema'
      model       2 keys
      model_ema   2 keys
      help: name one of these, as in: container='model'
    """
    checkpoint = {"model": nn.Linear(2, 2).state_dict(), "model_ema": nn.Linear(2, 2).state_dict()}
    ckptnames.load(nn.Linear(2, 2), checkpoint, container="ema")


class Configured:
    pass


@raises(errors.CannotDecode)
def a_value_of_a_class_that_torch_does_not_know() -> None:
    """
    error[cannot-decode]: the value of '_extra_state' cannot be made: torch.load stops at tests.errors.loading.Configured
      --> counts.pt
      help: allow it first: from tests.errors.loading import Configured; torch.serialization.add_safe_globals([Configured]). Nothing was loaded
    """

    class Counts(nn.Linear):
        def get_extra_state(self) -> object:
            return Configured()

        def set_extra_state(self, state: object) -> None:
            pass

    torch.save(Counts(2, 2).state_dict(), "counts.pt")
    ckptnames.load(Counts(2, 2), "counts.pt")


@raises(errors.LoadInterrupted)
def a_disk_that_dies() -> None:
    """
    error[load-interrupted]: the load broke off when 3 of 6 keys were overwritten: [Errno 5] Input/output error
      --> trained.pt
      conv.{weight,bias}
      mid.weight
      help: load a checkpoint again before the model is used: some of its values are old, some are new
    """
    torch.save(backbone(3).state_dict(), "trained.pt")
    with pytest.MonkeyPatch.context() as patch:
        read_into = FileSource.read_into

        def failing(source: FileSource, key: str, destination: torch.Tensor) -> None:
            if key == "mid.weight":
                raise OSError(5, "Input/output error")
            read_into(source, key, destination)

        patch.setattr(FileSource, "read_into", failing)
        ckptnames.load(backbone(3), "trained.pt")


@raises(errors.MisalignedOptimizer)
def positions_of_other_parameters() -> None:
    """
    error[misaligned-optimizer]: the state of the optimizer does not fit: positions would get the state of another parameter
      position 0: 'conv.weight' before, 'mid.weight' in the model
      position 1: 'conv.bias' before, 'mid.bias' in the model
      position 2: 'mid.weight' before, 'conv.weight' in the model
      position 3: 'mid.bias' before, 'conv.bias' in the model
      help: start with a new state, or save one that has names: torch.optim.AdamW(model.named_parameters())
    """
    model = backbone(3)
    state = torch.optim.SGD(model.parameters(), momentum=0.9).state_dict()
    swapped = nn.Sequential(OrderedDict([("mid", nn.Linear(4, 4)), ("conv", nn.Linear(4, 4)), ("fc", nn.Linear(4, 3))]))
    ckptnames.remap_optimizer(state, model=swapped, weights=model)


@raises(errors.ExchangedNames)
def names_that_change_places() -> None:
    """
    error[exchanged-names]: the names are the model's before and after the rules: they do not tell whether the rules are due
      q.weight -> k.weight
      k.weight -> q.weight
      help: say it with the version of the file, which ckptnames.save stamps, or pass rules= where they are due. Nothing was loaded
    """
    model = nn.ModuleDict({"q": nn.Linear(2, 2, bias=False), "k": nn.Linear(2, 2, bias=False)})
    model.register_load_state_dict_pre_hook(ckptnames.load_hook("q.** -> k.**\nk.** -> q.**"))  # type: ignore[no-untyped-call]
    model.load_state_dict(model.state_dict())


@raises(errors.NamesTooNew)
def a_file_of_a_later_version() -> None:
    """
    error[names-too-new]: the names in the file are of version 3, and the model's of version 2
      --> later.safetensors
      help: update the code of the model to what wrote the file. Nothing was loaded
    """

    class Net(nn.Linear):
        names = ckptnames.Migrations(ckptnames.Rules.parse("--- version 2\nw -> weight"), 2)

    save_file(Net(2, 2).state_dict(), "later.safetensors", metadata={"names_version": "3"})
    ckptnames.load(Net(2, 2), "later.safetensors")


@raises(errors.MigrationStages)
def a_history_without_versions() -> None:
    """
    error[migration-stages]: the rules are no history of names: its first rules belong to no version
      --> names.rules
      help: write `--- version 2` above them
    """
    Path("names.rules").write_text("w -> weight\n")
    ckptnames.migrations("names.rules", version=2)


@raises(errors.UnknownChoice)
def a_choice_that_is_none() -> None:
    """
    error[unknown-choice]: missing='ignore' is no choice
      help: write missing= with 'raise' or 'keep'. Nothing was loaded
    """
    ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2), missing="ignore")  # type: ignore[arg-type]


@raises(errors.CannotAssign)
def new_tensors_for_flat_parameters() -> None:
    """
    error[cannot-assign]: FullyShardedDataParallel keeps the parameters in flat ones: no other tensors can take their place
      0
      help: leave assign=True out, or load before the model is sharded. Nothing was loaded
    """
    load_flat(assign=True)


@raises(errors.CannotAssign)
def another_dtype_for_flat_parameters() -> None:
    """
    error[cannot-assign]: FullyShardedDataParallel keeps the parameters in flat ones: no other tensors can take their place
      0
      help: leave dtype="file" out, or load before the model is sharded. Nothing was loaded
    """
    load_flat(dtype="file")


@raises(errors.CannotAssign)
def a_part_on_meta_beside_flat_parameters() -> None:
    """
    error[cannot-assign]: FullyShardedDataParallel keeps the parameters in flat ones: no other tensors can take their place
      0
      help: load before the model is sharded: a part of it is on the meta device. Nothing was loaded
    """
    load_flat(nn.Linear(2, 2, device="meta"))


@raises(errors.CannotPlace)
def a_device_without_values() -> None:
    """
    error[cannot-place]: device='meta' has no values
      help: name the device that is to hold them, as in device='cpu'. Nothing was loaded
    """
    ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2), assign=True, device="meta")


@raises(errors.CannotPlace)
def a_device_beside_the_mesh() -> None:
    """
    error[cannot-place]: device='cuda' is not where the model is sharded: that is 'cpu'
      help: leave it out: each part goes to the device of its mesh. Nothing was loaded
    """
    with one_process():
        model = nn.Linear(2, 2)
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        ckptnames.load(model, nn.Linear(2, 2), assign=True, device="cuda")


@raises(errors.ReservedEntry)
def an_entry_beside_the_weights_with_their_name() -> None:
    """
    error[cannot-write]: 'run.pt' cannot be written: 'beside' has the entry 'state_dict', which is for what belongs to the weights
      --> run.pt
      help: give it another name in 'beside'. Nothing was left behind
    """
    ckptnames.save(nn.Linear(2, 2), "run.pt", beside={"epoch": 3, "state_dict": {}})


@raises(errors.TwoContainers)
def two_names_of_containers() -> None:
    """
    error[two-containers]: the path names the container 'model', and container='ema' another
      --> both.pt#model
      help: name one: leave container='ema' out. Nothing was loaded
    """
    torch.save({"model": nn.Linear(2, 2).state_dict(), "ema": nn.Linear(2, 2).state_dict()}, "both.pt")
    ckptnames.load(nn.Linear(2, 2), "both.pt#model", container="ema")


@raises(errors.NoSuchContainer)
def a_container_of_a_model() -> None:
    """
    error[no-such-container]: there is no container 'ema'
      help: leave container= out: it has nothing else by name
    """
    ckptnames.load(nn.Linear(2, 2), nn.Linear(2, 2), container="ema")


@raises(errors.OptionNotSupported)
def new_tensors_from_a_folder_of_shards() -> None:
    """
    error[option-not-supported]: assign=True for a folder of shards is not supported yet
      help: leave it out: the shards go into the tensors that the model has
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single process
        save_shards(nn.Linear(2, 2).state_dict(), checkpoint_id="run", no_dist=True)
    ckptnames.load(nn.Linear(2, 2), "run", assign=True)


def load_flat(other: nn.Module | None = None, **options: Any) -> None:
    with one_process(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single process
        flat = FullyShardedDataParallel(nn.Linear(2, 2), device_id=torch.device("cpu"))
        model = nn.Sequential(flat, *([] if other is None else [other]))
        ckptnames.load(model, nn.Sequential(*(nn.Linear(2, 2) for _ in model)), **options)


@contextmanager
def one_process() -> Iterator[None]:
    alone = not dist.is_initialized()
    if alone:
        dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        if alone:
            dist.destroy_process_group()
