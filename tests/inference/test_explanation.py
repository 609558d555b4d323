"""Wrappers and prefixes are found from the two whole key sets; torch's own wrappers make the names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from ckptnames.inference.wrappers.explanation import explain
from ckptnames.manifest import Manifest, TensorInfo


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.Linear(4, 4)
        self.mlp_module = nn.Linear(4, 8)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList([Block() for _ in range(3)])
        self.fc = nn.Linear(8, 10)


class OwnModule(nn.Module):
    """A model with a submodule that really is called ``module``."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)


class Holder(nn.Module):
    def __init__(self, name: str, inner: nn.Module) -> None:
        super().__init__()
        self.add_module(name, inner)


def names(model: nn.Module) -> Manifest:
    return Manifest({k: TensorInfo("F32", tuple(v.shape)) for k, v in model.state_dict().items()})


def parameters(model: nn.Module) -> Manifest:
    """What EMA helpers save: the names of ``named_parameters``, which show wrappers that ``state_dict`` hides."""
    return Manifest({k: TensorInfo("F32", tuple(v.shape)) for k, v in model.named_parameters()})


def keys(*names: str) -> Manifest:
    return Manifest({name: TensorInfo("F32", (n + 1,)) for n, name in enumerate(names)})


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


def compiled_blocks(model: Net) -> Net:
    for i, block in enumerate(model.blocks):
        model.blocks[i] = torch.compile(block, backend="eager")  # type: ignore[assignment]
    return model


def dp(model: nn.Module) -> nn.Module:
    return nn.DataParallel(model)


WRAPPED: dict[str, Callable[[Net], nn.Module]] = {
    "dp": dp,
    "dp of dp": lambda net: dp(dp(net)),
    "compile": compiled,
    "dp of compile": lambda net: dp(compiled(net)),
    "compile of dp": lambda net: compiled(dp(net)),
    "compiled blocks": compiled_blocks,
    "dp of compiled blocks": lambda net: dp(compiled_blocks(net)),
    "averaged": torch.optim.swa_utils.AveragedModel,
    "averaged dp": lambda net: torch.optim.swa_utils.AveragedModel(dp(net)),
    "attribute": lambda net: Holder("model", net),
    "any attribute": lambda net: Holder("backbone", net),
    "attribute of compile": lambda net: Holder("model", compiled(net)),
    "attribute of dp of compiled blocks": lambda net: Holder("net", dp(compiled_blocks(net))),
    "copy of weights": lambda net: Holder("ema_model", net),
    "forward module": lambda net: Holder("_forward_module", Holder("model", net)),
    "peft": lambda net: Holder("base_model", Holder("model", net)),
    "sentence transformers": lambda net: nn.Sequential(Holder("auto_model", net)),
    "all of them": lambda net: Holder("_forward_module", dp(Holder("model", dp(compiled(net))))),
}


def check(source: Manifest, target: Manifest) -> None:
    found = explain(source, target)
    assert found.rules is not None, "no rules were found"
    renamed = [found.rules(key) for key in source if key.rsplit(".", 1)[-1] != "n_averaged"]
    assert renamed == list(target)


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_a_wrapped_checkpoint_becomes_the_plain_model(wrapping: str) -> None:
    check(names(WRAPPED[wrapping](Net())), names(Net()))


@pytest.mark.parametrize("wrapping", [w for w in WRAPPED if "averaged" not in w])
def test_a_plain_checkpoint_becomes_the_wrapped_model(wrapping: str) -> None:
    check(names(Net()), names(WRAPPED[wrapping](Net())))


@pytest.mark.parametrize(
    ("first", "second"), [("dp of compile", "compile of dp"), ("dp of dp", "dp"), ("dp", "attribute")]
)
def test_one_wrapping_becomes_another(first: str, second: str) -> None:
    check(names(WRAPPED[first](Net())), names(WRAPPED[second](Net())))


def test_activation_checkpointing_shows_in_named_parameters_only() -> None:
    wrapped = Net()
    for i, block in enumerate(wrapped.blocks):
        wrapped.blocks[i] = checkpoint_wrapper(block)
    assert any("_checkpoint_wrapped_module" in key for key in parameters(wrapped))
    check(parameters(wrapped), parameters(Net()))


def test_fsdp_segments_at_every_unit() -> None:
    plain = parameters(Net())
    source = Manifest(
        {
            "_fsdp_wrapped_module." + key.replace("blocks.0.", "blocks.0._fsdp_wrapped_module."): info
            for key, info in plain.items()
        }
    )
    check(source, plain)
    check(plain, source)


def test_a_users_own_module_survives_when_the_target_has_it() -> None:
    check(names(dp(OwnModule())), names(OwnModule()))
    check(names(OwnModule()), names(dp(OwnModule())))
    assert explain(names(OwnModule()), names(OwnModule())).rules is None


def test_names_that_are_right_need_no_rules() -> None:
    assert explain(names(Net()), names(Net())).rules is None


def test_a_dict_where_only_half_the_keys_carry_the_prefix() -> None:
    plain = names(Net())
    half = Manifest({("module." if n % 2 else "") + key: info for n, (key, info) in enumerate(plain.items())})
    check(half, plain)


def test_a_backbone_fills_its_part_of_a_larger_model() -> None:
    target = names(Holder("encoder", Net()))
    larger = Manifest({**target, "head.weight": TensorInfo("F32", (3, 8)), "head.bias": TensorInfo("F32", (3,))})
    check(names(Net()), target)
    found = explain(names(Net()), larger)
    assert str(found.rules).strip() == "** -> encoder.**"


def test_two_complete_copies_are_a_choice_not_a_guess() -> None:
    plain = names(Net())
    both = Manifest({f"{copy}.{key}": info for copy in ("student", "teacher.module") for key, info in plain.items()})
    found = explain(both, plain)
    assert found.rules is None
    assert {choice.strip for choice in found.choices} == {"student", "teacher.module"}


def test_two_complete_copies_in_the_target_are_a_choice_too() -> None:
    plain = names(Net())
    both = Manifest({f"{copy}.{key}": info for copy in ("student", "teacher") for key, info in plain.items()})
    found = explain(plain, both)
    assert found.rules is None
    assert [(choice.rule, choice.n_keys) for choice in found.choices] == [
        ("** -> student.**", len(plain)),
        ("** -> teacher.**", len(plain)),
    ]
    # One module under two names is no second copy.
    tied = replace(both, ties=tuple((f"student.{key}", f"teacher.{key}") for key in plain))
    assert str(explain(plain, tied).rules).strip() == "** -> student.**"


def test_a_rival_that_is_spelled_without_wrapper_segments_is_a_choice_too() -> None:
    info = TensorInfo("F32", (2,), 8)
    wrapped = "bias.mlp_module._orig_mod._fsdp_wrapped_module.weight"
    found = explain(Manifest({"model.mlp_module.weight": info, f"net.{wrapped}": info}), Manifest({wrapped: info}))
    assert found.rules is None
    assert [choice.n_keys for choice in found.choices] == [1, 1]


def test_plain_names_beside_an_averaged_copy_stay_as_they_are() -> None:
    plain = names(Net())
    both = Manifest({**{f"ema_model.{key}": info for key, info in plain.items()}, **plain})
    found = explain(both, plain)
    assert (found.rules, found.choices) == (None, ())


def test_a_head_of_another_size_does_not_hide_the_wrapper() -> None:
    target = names(Net())
    resized = Manifest({**target, "fc.weight": TensorInfo("F32", (3, 8)), "fc.bias": TensorInfo("F32", (3,))})
    assert str(explain(names(dp(Net())), resized).rules).strip() == "module.** -> **"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (["fc.weight", "fc.bias"], ["head.weight", "head.bias"]),
        (["a.fc.weight", "a.fc.bias", "b.x", "c.x", "d.x"], ["weight", "bias"]),
        (["encoder.weight"], ["decoder.weight"]),
        (["mlp_module.weight", "x.bias"], ["mlp_.weight", "x.bias"]),
    ],
)
def test_too_little_evidence_is_no_rule(source: Iterable[str], target: Iterable[str]) -> None:
    assert explain(keys(*source), keys(*target)).rules is None


def test_shapes_that_disagree_are_no_evidence() -> None:
    source = Manifest({f"module.{i}.weight": TensorInfo("F32", (i + 1,)) for i in range(5)})
    target = Manifest({f"{i}.weight": TensorInfo("F32", (i + 7,)) for i in range(5)})
    assert explain(source, target).rules is None


def test_the_cause_is_counted_and_names_the_wrapper() -> None:
    found = explain(names(dp(Net())), names(Net()))
    assert [(cause.words, cause.n_keys, cause.n_source) for cause in found.causes] == [
        ("strip `module.` (DataParallel or DistributedDataParallel)", 21, 21)
    ]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"_fsdp_wrapped_module._flat_param": (1000,)}, "flat-parameters"),
        ({"fc.weight": (0,), "fc.bias": (0,), "n": ()}, "zero-placeholders"),
        (
            {"fc.weight": (32, 1), "fc.weight.absmax": (1,), "fc.weight.quant_state.bitsandbytes__nf4": (80,)},
            "quantised-weights",
        ),
    ],
)
def test_content_that_no_rename_mends_is_named(source: dict[str, tuple[int, ...]], code: str) -> None:
    made = Manifest({key: TensorInfo("F32", shape) for key, shape in source.items()})
    target = Manifest({"fc.weight": TensorInfo("F32", (8, 8)), "fc.bias": TensorInfo("F32", (8,))})
    assert [obstacle.code for obstacle in explain(made, target).obstacles] == [code]
