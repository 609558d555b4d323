"""Where the weights are: every layout that training code is known to save, and the traps in telling them apart."""

from __future__ import annotations

import argparse
import itertools
from collections import OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import ckptnames
from ckptnames.cli.main import cli
from ckptnames.errors import CkptnamesError, NoSuchContainer
from ckptnames.formats.recognise import open_checkpoint

Containers = list[tuple[str, int, str]]


def weights(n: int = 3, prefix: str = "") -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((f"{prefix}layer{i}.weight", torch.ones(i + 1)) for i in range(n))


def optimizer() -> dict[str, Any]:
    """What ``Adam.state_dict()`` gives."""
    moments = {i: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)} for i in range(2)}
    return {"state": moments, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}


class Net(nn.Module):
    """What detectors keep beside their weights: numbers, names and a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.names = {0: "cat"}
        self.stride = torch.tensor([8.0])


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(value: Any) -> Path:
        torch.save(value, tmp_path / "m.pt")
        return tmp_path / "m.pt"

    return save


Saved = Callable[[Any], Path]


def found(path: Path) -> Containers:
    return [(each.name, each.n_keys, each.role) for each in ckptnames.read(path).containers]


LIGHTNING = {
    "epoch": 1,
    "global_step": 2,
    "pytorch-lightning_version": "2.0",
    "state_dict": weights(3, "model."),
    "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": 1}}},
    "callbacks": {"ModelCheckpoint": {"best_model_score": 0.1}},
    "optimizer_states": [optimizer()],
    "lr_schedulers": [{"last_epoch": 1}],
    "hyper_parameters": {"lr": 0.1},
}
DEEPSPEED: dict[str, Any] = {
    "module": weights(),
    "buffer_names": ["layer0.mean"],
    "optimizer": None,
    "param_shapes": [OrderedDict(layer0=torch.Size([1]))],
    "shared_params": {},
    "ds_version": "0.9",
}
COMPOSER = {
    "state": {"model": weights(), "optimizers": {"Adam": optimizer()}, "integrations": {"huggingface": {}}},
    "rng": [{"python": None}],
}
GLIGEN = {
    "model": weights(9),
    "autoencoder": weights(5),
    "text_encoder": weights(4),
    "diffusion": weights(6),
    "config_dict": {"model": {"target": "x"}},
}

# In the order of the choice: weights before averaged copies, larger before smaller, first before last.
LAYOUTS: dict[str, tuple[Any, Containers]] = {
    "root": (weights(), [("", 3, "weights")]),
    "state_dict": (
        {"epoch": 3, "arch": "resnet", "state_dict": weights(), "best_acc1": 0.5, "optimizer": optimizer()},
        [("state_dict", 3, "weights")],
    ),
    "Lightning": (LIGHTNING, [("state_dict", 3, "weights")]),
    "state_dict_ema": (
        {"state_dict": weights(), "state_dict_ema": weights()},
        [("state_dict", 3, "weights"), ("state_dict_ema", 3, "ema")],
    ),
    "model_ema": (
        {"model": weights(), "model_ema": weights(), "optimizer": optimizer(), "lr_scheduler": {"last": 1}},
        [("model", 3, "weights"), ("model_ema", 3, "ema")],
    ),
    "a larger ema_state_dict": (
        {"ema_state_dict": weights(9), "model": weights(2)},
        [("model", 2, "weights"), ("ema_state_dict", 9, "ema")],
    ),
    "fvcore": ({"model": weights(), "iteration": 9, "scheduler": {"x": 1}}, [("model", 3, "weights")]),
    "nanoGPT": (
        {"model": weights(), "optimizer": optimizer(), "model_args": {"n_layer": 1}, "config": {}},
        [("model", 3, "weights")],
    ),
    "model_state_dict": (
        {"model_state_dict": weights(), "optimizer_state_dict": optimizer(), "config": {"a": 1}},
        [("model_state_dict", 3, "weights")],
    ),
    "model_state": ({"model_state": weights(), "step": 3}, [("model_state", 3, "weights")]),
    "ema_model_state_dict": (
        {
            "model_state_dict": weights(),
            "ema_model_state_dict": {**weights(3, "ema_model."), "initted": torch.tensor(True), "step": torch.ones(1)},
            "update": 3,
        },
        [("model_state_dict", 3, "weights"), ("ema_model_state_dict", 5, "ema")],
    ),
    "net": ({"net": weights(), "acc": 0.9}, [("net", 3, "weights")]),
    "network": ({"network": weights()}, [("network", 3, "weights")]),
    "nnU-Net": (
        {
            "network_weights": weights(),
            "optimizer_state": optimizer(),
            "grad_scaler_state": None,
            "init_args": {"fold": 0},
            "inference_allowed_mirroring_axes": (0, 1),
        },
        [("network_weights", 3, "weights")],
    ),
    "net_state": ({"net_state": weights()}, [("net_state", 3, "weights")]),
    "params_ema": (
        {"params_ema": weights(), "params": weights()},
        [("params", 3, "weights"), ("params_ema", 3, "ema")],
    ),
    "params-ema": (
        {"params-ema": weights(), "params": weights()},
        [("params", 3, "weights"), ("params-ema", 3, "ema")],
    ),
    "params_ema alone": ({"params_ema": weights()}, [("params_ema", 3, "ema")]),
    "StyleGAN": (
        {
            "g": weights(4),
            "d": weights(5),
            "g_ema": weights(4),
            "g_optim": optimizer(),
            "d_optim": optimizer(),
            "args": None,
        },
        [("d", 5, "weights"), ("g", 4, "weights"), ("g_ema", 4, "ema")],
    ),
    "GAN": (
        {"generator": weights(4), "discriminator": weights(3)},
        [("generator", 4, "weights"), ("discriminator", 3, "weights")],
    ),
    "DeepSpeed": (DEEPSPEED, [("module", 3, "weights")]),
    "DINO": (
        {
            "student": weights(3, "module.backbone."),
            "teacher": weights(3, "backbone."),
            "optimizer": optimizer(),
            "epoch": 1,
        },
        [("student", 3, "weights"), ("teacher", 3, "weights")],
    ),
    "ema": ({"model": weights(), "ema": weights(), "updates": 9}, [("model", 3, "weights"), ("ema", 3, "ema")]),
    "Ultralytics": (
        {"epoch": 1, "model": Net(), "ema": Net(), "updates": 9, "optimizer": optimizer(), "train_args": {"a": 1}},
        [("model", 7, "module"), ("ema", 7, "ema")],
    ),
    "Ultralytics, stripped": ({"epoch": -1, "model": Net(), "ema": None, "optimizer": None}, [("model", 7, "module")]),
    "Ultralytics, ema alone": ({"model": None, "ema": Net()}, [("ema", 7, "ema")]),
    "weight": (
        {"weight": weights(), "epoch": 1, "iterations": 2, "opt_g": optimizer()},
        [("weight", 3, "weights")],
    ),
    "weights": ({"weights": weights(), "epoch": 1}, [("weights", 3, "weights")]),
    "Composer": (COMPOSER, [("state.model", 3, "weights")]),
    "policy": (
        {"policy_model_state_dict": weights(), "optimizer": optimizer()},
        [("policy_model_state_dict", 3, "weights")],
    ),
    "GNT": (
        {"optimizer": optimizer(), "scheduler": {}, "net_coarse": weights(2), "feature_net": weights(3)},
        [("feature_net", 3, "weights"), ("net_coarse", 2, "weights")],
    ),
    "GLIGEN": (
        GLIGEN,
        [
            ("model", 9, "weights"),
            ("diffusion", 6, "weights"),
            ("autoencoder", 5, "weights"),
            ("text_encoder", 4, "weights"),
        ],
    ),
    "XLA FSDP": (
        {"model": weights(), "shard_metadata": {"world_size": 2, "rank": 0}},
        [("model", 3, "weights")],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_weights_are_found_whatever_they_are_called(name: str, saved: Saved) -> None:
    value, expected = LAYOUTS[name]
    path = saved(value)
    assert found(path) == expected
    manifest = ckptnames.read(path)
    assert (manifest.container, len(manifest)) == expected[0][:2]
    for container, n_keys, _ in expected:
        assert len(ckptnames.read(path, container=container)) == n_keys
        assert len(ckptnames.read(f"{path}#{container}")) == n_keys


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_choice_and_all_candidates_are_stated(name: str, saved: Saved) -> None:
    value, expected = LAYOUTS[name]
    shown = CliRunner().invoke(cli, ["ls", str(saved(value))]).stdout
    chosen, *others = expected
    if chosen[0]:
        assert f"container: {chosen[0]}, {chosen[1]} keys" in shown
    for container, n_keys, role in others:
        (line,) = [line for line in shown.splitlines() if line.split()[:1] == [f"#{container}"]]
        assert f"{n_keys} keys" in line
        assert ("EMA" in line) == (role == "ema")


# The nine traps


def test_1_a_name_that_is_a_tensor_here_and_a_container_there(saved: Saved) -> None:
    assert found(saved({"weight": torch.ones(3, 2), "bias": torch.ones(3)})) == [("", 2, "weights")]
    assert found(saved({"weight": weights()})) == [("weight", 3, "weights")]
    assert found(saved({"weight": torch.ones(3)})) == [("", 1, "weights")]
    assert list(ckptnames.read(saved(nn.Linear(2, 3).state_dict()))) == ["weight", "bias"]
    # Sub-modules that are called as containers often are.
    assert found(saved({"model.weight": torch.ones(1), "module.bias": torch.ones(1)})) == [("", 2, "weights")]


def test_2_a_prefix_on_the_container_instead_of_the_weights(saved: Saved) -> None:
    path = saved({"epoch": 1, "module.model_state_dict": weights(), "module.optimizer_state_dict": optimizer()})
    assert found(path) == [('"module.model_state_dict"', 3, "weights")]
    assert len(ckptnames.read(f'{path}#"module.model_state_dict"')) == 3


def test_3_several_models_are_all_listed_and_one_is_stated(saved: Saved) -> None:
    path = saved(GLIGEN)
    manifest = ckptnames.read(path)
    assert manifest.container == "model"
    assert {each.name for each in manifest.containers} == {"model", "autoencoder", "text_encoder", "diffusion"}
    shown = CliRunner().invoke(cli, ["ls", f"{path}#text_encoder"]).stdout
    assert "container: text_encoder, 4 keys" in shown
    assert "#model" in shown


def named_optimizer() -> dict[str, Any]:
    state = {f"layer{i}.weight": {"exp_avg": torch.ones(2)} for i in range(9)}
    return {"state": state, "param_groups": [{"params": list(state)}]}


class Fused(torch.optim.SGD):
    """An optimizer that someone pickled whole."""


OPTIMIZERS: dict[str, Any] = {
    "optimizer": optimizer(),
    "opt": optimizer(),
    "adam": optimizer(),
    "state": optimizer(),
    "by name": named_optimizer(),
    "optim": {"layer0.weight": {"exp_avg": torch.ones(2), "step": torch.ones(1)}},
    "optimizer_states": [optimizer(), optimizer()],
    "optimizers": {"gen": optimizer(), "disc": optimizer()},
    "model_optimizer": {"fp32_groups": {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(2)}},
    "the_object": Fused([torch.ones(2, requires_grad=True)], lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_4_optimizer_state_is_never_taken_for_weights(name: str, saved: Saved) -> None:
    alone = {name: OPTIMIZERS[name], "epoch": 1}
    path = saved({"model": weights(2), **alone})
    assert found(path) == [("model", 2, "weights")]
    assert name in dict(open_checkpoint(path).contents)
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(saved(alone))
    assert caught.value.code == "not-a-checkpoint"


@pytest.mark.parametrize("make", [optimizer, named_optimizer, lambda: [optimizer()], lambda: Fused([torch.ones(1)])])
def test_4_a_file_of_an_optimizer_holds_no_weights(make: Callable[[], Any], saved: Saved) -> None:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(saved(make()))
    assert caught.value.code == "not-a-checkpoint"


def test_4_state_is_weights_where_it_is_a_wrapper(saved: Saved) -> None:
    assert found(saved(COMPOSER)) == [("state.model", 3, "weights")]
    assert found(saved({"state": weights(), "epoch": 1})) == [("state", 3, "weights")]
    assert found(saved({"state": torch.ones(1), "param_groups": torch.ones(1)})) == [("", 2, "weights")]


def test_5_containers_inside_containers(saved: Saved) -> None:
    value = {"state_dict": {"net": {"net_g": weights(4), "net_d": weights(3)}, "step": 1}, "epoch": 2}
    path = saved(value)
    assert found(path) == [("state_dict.net.net_g", 4, "weights"), ("state_dict.net.net_d", 3, "weights")]
    assert len(ckptnames.read(f"{path}#state_dict.net.net_d")) == 3
    assert open_checkpoint(path).contents == (("state_dict.step", "int 1"), ("epoch", "int 2"))


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda w: [w, optimizer()], "0"),
        (lambda w: (1, {"net": w}), "1.net"),
        (lambda w: {"models": [{"x": 1}, w]}, "models.1"),
        (lambda w: {0: w}, "0"),
        (lambda w: argparse.Namespace(state_dict=w, lr=0.1), "state_dict"),
        (lambda w: {"cfg": argparse.Namespace(inner=deque([w]))}, "cfg.inner.0"),
    ],
    ids=["list", "tuple", "list in dict", "integer key", "attribute", "member of an object"],
)
def test_5_containers_inside_what_is_no_dict(wrap: Callable[[Any], Any], name: str, saved: Saved) -> None:
    assert found(saved(wrap(weights()))) == [(name, 3, "weights")]


def test_6_modules_are_read_by_their_state_dict_wherever_they_are(saved: Saved) -> None:
    net = Net()
    for value, name in [(net, ""), ({"model": net}, "model"), ({"a": {"b": [net]}}, "a.b.0")]:
        path = saved(value)
        assert found(path) == [(name, 7, "module")]
        assert list(ckptnames.read(path)) == list(net.state_dict())
    both = saved({"model": net, "state_dict": net.state_dict()})
    assert found(both) == [("model", 7, "module"), ("state_dict", 7, "weights")]


@pytest.mark.parametrize("how", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}], ids=str)
def test_6_a_state_dict_that_was_not_called_is_its_module(how: dict[str, Any], tmp_path: Path) -> None:
    net = Net()
    for value, name in [(net.state_dict, ""), ({"epoch": 1, "model": net.state_dict}, "model"), (net.parameters, "")]:
        torch.save(value, tmp_path / "m.pt", **how)
        assert found(tmp_path / "m.pt") == [(name, 7, "module")]
        assert list(ckptnames.read(tmp_path / "m.pt")) == list(net.state_dict())


class Attributes(dict[str, Any]):
    """A dict of a user's own, as many configurations and some state dicts are."""


def test_6_state_dicts_of_a_class_of_their_own(saved: Saved) -> None:
    values: list[Any] = [Attributes(weights()), UserDict(weights()), defaultdict(torch.Tensor, weights())]
    for value in values:
        (each,) = found(saved({"model": value, "epoch": 1}))
        assert each[1] == 3


def test_7_classes_that_torch_would_stop_at_are_listed_beside_the_weights(saved: Saved) -> None:
    path = saved({"model": weights(), "args": argparse.Namespace(lr=0.1)})
    checkpoint = open_checkpoint(path)
    assert checkpoint.contents == (("args", "argparse.Namespace"),)
    assert [each.name for each in checkpoint.blocked] == ["argparse.Namespace"]


def test_8_entries_that_are_no_tensors_stay_out_of_the_keys(saved: Saved) -> None:
    value: dict[Any, Any] = {
        **weights(),
        "epoch": 7,
        "n_averaged": 2,
        "name": "x",
        "mean": np.ones(3),
        "nothing": None,
        5: torch.ones(1),
    }
    manifest = ckptnames.read(saved(value))
    assert list(manifest) == list(weights())
    assert dict(manifest.other) == {
        "epoch": "int 7",
        "n_averaged": "int 2",
        "name": "str 'x'",
        "mean": "numpy.ndarray",
        "nothing": "None",
        "5": "tensor",
    }
    tensors = {**weights(), "epoch": torch.tensor(7), "step": torch.tensor(1)}
    assert list(ckptnames.read(saved(tensors))) == list(tensors)


def test_8_a_count_of_averaged_models_tells_an_averaged_copy(saved: Saved) -> None:
    net = nn.Linear(2, 3)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    path = saved({"average": averaged.state_dict(), "model": net.state_dict()})
    assert found(path) == [("model", 2, "weights"), ("average", 3, "ema")]
    assert found(saved(averaged)) == [("", 3, "ema")]


def test_9_metadata_is_no_key_as_an_attribute_and_none_as_a_key(saved: Saved) -> None:
    state_dict = nn.BatchNorm1d(3).state_dict()
    assert hasattr(state_dict, "_metadata")
    assert list(ckptnames.read(saved(state_dict))) == list(state_dict)
    copied = {**state_dict, "_metadata": state_dict._metadata}
    manifest = ckptnames.read(saved(copied))
    assert list(manifest) == list(state_dict)
    assert set(manifest.other) == {"_metadata"}


# The choice, and naming another


def test_mappings_with_a_tensor_or_two_are_containers_only_where_there_is_nothing_better(saved: Saved) -> None:
    few = {"best": torch.tensor(0.5), "epoch": 1, "lr": 0.1, "name": "x"}
    assert found(saved({"model": weights(), "log": few})) == [("model", 3, "weights")]
    assert found(saved(few)) == [("", 1, "weights")]


def test_one_object_under_two_names_is_said(saved: Saved) -> None:
    same = weights()
    manifest = ckptnames.read(saved({"state_dict": same, "model": same}))
    assert [each.name for each in manifest.containers] == ["state_dict", "model"]
    assert any("'state_dict', 'model' are one object" in note for note in manifest.notes)


WORDS = {"ema": "ema", "EMA": "ema", "modelEMA": "ema", "swa_model": "ema", "averaged": "ema", "net-ema.x": "ema"}
NO_WORDS = {"theme": "weights", "schema": "weights", "emanet": "weights", "swath": "weights"}


@pytest.mark.parametrize("name", [*WORDS, *NO_WORDS])
def test_an_averaged_copy_is_told_by_a_whole_word(name: str, saved: Saved) -> None:
    (each,) = ckptnames.read(saved({name: weights()})).containers
    assert each.role == {**WORDS, **NO_WORDS}[name]


NAMES = ["a.b", "c#d", "", 'q"x', "back\\slash", "sp ace", "é", "tab\t", "a.b#c", ".", "#", '"', "#.#"]


@pytest.mark.parametrize("inner", NAMES)
@pytest.mark.parametrize("outer", [None, "x.y", "x"])
def test_every_container_can_be_named_as_it_is_listed(outer: str | None, inner: str, saved: Saved) -> None:
    value = {inner: weights(4), "other": weights(5)}
    path = saved(value if outer is None else {outer: value})
    containers = ckptnames.read(path).containers
    assert sorted(each.n_keys for each in containers) == [4, 5]
    for each in containers:
        for manifest in (ckptnames.read(f"{path}#{each.name}"), ckptnames.read(path, container=each.name)):
            assert (manifest.container, len(manifest)) == (each.name, each.n_keys)


def test_a_bare_mark_is_the_root(saved: Saved) -> None:
    path = saved({"step": torch.ones(1), "model": weights()})
    assert ckptnames.read(path).container == "model"
    assert list(ckptnames.read(f"{path}#")) == ["step"]
    with pytest.raises(NoSuchContainer):
        ckptnames.read(f"{saved({'model': weights()})}#")


def test_an_existing_path_with_a_mark_in_it_comes_first(tmp_path: Path) -> None:
    torch.save({"in the name": torch.ones(1)}, tmp_path / "m#model.pt")
    torch.save({"a": weights(2), "model.pt": weights(3)}, tmp_path / "m")
    assert list(ckptnames.read(tmp_path / "m#model.pt")) == ["in the name"]
    torch.save({"a": weights(2), "b": weights(3)}, tmp_path / "m#n.pt")
    assert len(ckptnames.read(f"{tmp_path}/m#n.pt#a")) == 2
    (tmp_path / "#").mkdir()
    save_file(weights(), tmp_path / "#" / "model.safetensors")
    assert len(ckptnames.read(tmp_path / "#")) == 3


@pytest.mark.parametrize("name", ["nothing", "state_dict", "model.layer0", "MODEL", "model."])
def test_a_container_that_is_not_there_is_answered_with_those_that_are(name: str, saved: Saved) -> None:
    path = saved({"model": weights(), "model_ema": weights()})
    for operand, container in [(f"{path}#{name}", None), (f"{path}", name)]:
        with pytest.raises(NoSuchContainer) as caught:
            ckptnames.read(operand, container)
        assert caught.value.name == name
        listed = [line.replace("#", " ").split()[0] for line in caught.value.evidence]
        assert listed == ["model", "model_ema"]
    assert CliRunner().invoke(cli, ["ls", f"{path}#{name}"]).exit_code == 2


def test_a_folder_around_a_file_has_its_containers(tmp_path: Path) -> None:
    torch.save({"model": weights(), "model_ema": weights(2)}, tmp_path / "last.ckpt")
    assert found(tmp_path) == [("model", 3, "weights"), ("model_ema", 2, "ema")]
    assert len(ckptnames.read(f"{tmp_path}#model_ema")) == 2


def test_safetensors_have_a_root_and_nothing_else(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "m.safetensors")
    assert found(tmp_path / "m.safetensors") == [("", 3, "weights")]
    assert len(ckptnames.read(f"{tmp_path}/m.safetensors#")) == 3
    with pytest.raises(NoSuchContainer):
        ckptnames.read(f"{tmp_path}/m.safetensors#model")


NOTHING: dict[str, Any] = {
    "a tensor": torch.ones(2),
    "a parameter": nn.Parameter(torch.ones(2)),
    "a list of tensors": [torch.ones(2), torch.ones(2)],
    "tensors by number": {0: torch.ones(1), 1: torch.ones(1)},
    "tensors by bytes": {b"a": torch.ones(1)},
    "tensors by pairs": {(1, 2): torch.ones(1)},
    "numbers": {"epoch": 1, "loss": 0.5},
    "an empty state dict": {"state_dict": OrderedDict()},
    "nothing": None,
    "text": "hello",
    "arrays": {"a": np.ones(2)},
}


@pytest.mark.parametrize("name", NOTHING)
def test_files_without_weights_by_name_say_what_they_hold(name: str, saved: Saved) -> None:
    with pytest.raises(CkptnamesError) as caught:
        ckptnames.read(saved(NOTHING[name]))
    error = caught.value
    assert error.code == "not-a-checkpoint"
    assert "holds no weights by name" in error.message
    if isinstance(NOTHING[name], dict):
        shown = "\n".join(error.evidence)
        assert all(str(key) in shown for key in NOTHING[name] if isinstance(key, str | int))


def test_cycles_and_shared_values_end(saved: Saved) -> None:
    value: dict[str, Any] = {"model": weights()}
    value["self"] = value
    value["list"] = [value, weights(2)]
    shared = weights(4)
    value.update((f"again{i}", shared) for i in range(3))
    assert set(found(saved(value))) == {
        ("model", 3, "weights"),
        ("list.1", 2, "weights"),
        *((f"again{i}", 4, "weights") for i in range(3)),
    }


def test_a_container_deeper_than_anyone_nests(saved: Saved) -> None:
    def nested(levels: int) -> Any:
        value: Any = weights()
        for _ in range(levels):
            value = {"x": value}
        return value

    assert found(saved(nested(40))) == [(".".join(itertools.repeat("x", 40)), 3, "weights")]
    with pytest.raises(CkptnamesError):
        ckptnames.read(saved(nested(200)))
