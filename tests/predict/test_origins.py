"""Each segment of a key has the rule that made it, and the line of code that registered it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import ckptnames
from ckptnames.errors import NoSuchKey
from ckptnames.prediction.building import built
from ckptnames.prediction.origins import Step, explain
from ckptnames.prediction.recording import Record, recorded
from tests.predict.layers import CASES, public_classes
from tests.predict.sources import write

SOURCE = """
from torch.nn.utils import parametrizations


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)  # fc
        self.scale = nn.Parameter(torch.ones(1))  # scale


def pair():
    return nn.Sequential(nn.Linear(2, 2), Block())  # pair


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = pair()  # stem
        self.layers = nn.ModuleList(Block() for _ in range(3))  # layers
        del self.layers[0]
        self.add_module("named", nn.Sequential())  # named
        self.named.add_module("a", nn.BatchNorm1d(3))  # a
        self.heads = nn.ModuleDict({"x y": nn.Linear(2, 3)})  # heads
        self.list = nn.ParameterList([torch.ones(2)])  # list
        self.dict = nn.ParameterDict({"k": torch.ones(2)})  # dict
        self.register_buffer("mask", torch.ones(2))  # mask
        self.register_parameter("bare", nn.Parameter(torch.ones(2)))  # bare
        self.wrapped = nn.DataParallel(nn.Linear(2, 2))  # wrapped
        self.normed = parametrizations.weight_norm(  # normed
            nn.Linear(2, 2)  # inside
        )
        self.cut = self.stem[1:]  # cut
        self.copies = nn.ModuleList(copy.deepcopy(self.stem[0]) for _ in range(2))  # copies
        self.extra = Extra()  # extra


class Extra(nn.Module):
    def get_extra_state(self):
        return {}

    def set_extra_state(self, state):
        pass


import copy
"""

EXPLAINED = {
    "mask": [("mask", "buffer", "Net", "mask")],
    "bare": [("bare", "parameter", "Net", "bare")],
    "stem.0.weight": [
        ("stem", "attribute", "Net", "stem"),
        ("0", "Sequential index", "Sequential", "pair"),
        ("weight", "parameter", "Linear", "pair"),
    ],
    "stem.1.fc.bias": [
        ("stem", "attribute", "Net", "stem"),
        ("1", "Sequential index", "Sequential", "pair"),
        ("fc", "attribute", "Block", "fc"),
        ("bias", "parameter", "Linear", "fc"),
    ],
    "stem.1.scale": [
        ("stem", "attribute", "Net", "stem"),
        ("1", "Sequential index", "Sequential", "pair"),
        ("scale", "parameter", "Block", "scale"),
    ],
    "layers.1.scale": [
        ("layers", "attribute", "Net", "layers"),
        ("1", "ModuleList index", "ModuleList", "layers"),
        ("scale", "parameter", "Block", "scale"),
    ],
    "named.a.running_var": [
        ("named", "attribute", "Net", "named"),
        ("a", "Sequential name", "Sequential", "a"),
        ("running_var", "buffer", "BatchNorm1d", "a"),
    ],
    "heads.x y.weight": [
        ("heads", "attribute", "Net", "heads"),
        ("x y", "ModuleDict key", "ModuleDict", "heads"),
        ("weight", "parameter", "Linear", "heads"),
    ],
    "list.0": [("list", "attribute", "Net", "list"), ("0", "ParameterList index", "ParameterList", "list")],
    "dict.k": [("dict", "attribute", "Net", "dict"), ("k", "ParameterDict key", "ParameterDict", "dict")],
    "wrapped.module.weight": [
        ("wrapped", "attribute", "Net", "wrapped"),
        ("module", "wrapper", "DataParallel", "wrapped"),
        ("weight", "parameter", "Linear", "wrapped"),
    ],
    "normed.parametrizations.weight.original0": [
        ("normed", "attribute", "Net", "normed"),
        ("parametrizations", "parametrization", "Linear", "normed"),
        ("weight", "ModuleDict key", "ModuleDict", "normed"),
        ("original0", "parametrization", "ParametrizationList", "normed"),
    ],
    "normed.bias": [("normed", "attribute", "Net", "normed"), ("bias", "parameter", "Linear", "inside")],
    "cut.1.fc.weight": [
        ("cut", "attribute", "Net", "cut"),
        ("1", "Sequential index", "Sequential", "cut"),
        ("fc", "attribute", "Block", "fc"),
        ("weight", "parameter", "Linear", "fc"),
    ],
    "copies.1.bias": [
        ("copies", "attribute", "Net", "copies"),
        ("1", "ModuleList index", "ModuleList", "copies"),
        ("bias", "parameter", "Linear", "pair"),
    ],
    "extra._extra_state": [("extra", "attribute", "Net", "extra"), ("_extra_state", "extra state", "Extra", "")],
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def marked(path: Path, steps: tuple[Step, ...]) -> list[tuple[str, str, str, str]]:
    """Give the steps with the comment in the line of each for its place."""
    found = []
    for step in steps:
        comment = ""
        if step.place is not None:
            assert Path(step.place.file).samefile(path)
            assert step.place.text == path.read_text().splitlines()[step.place.line - 1].strip()
            comment = step.place.text.partition("# ")[2]
        found.append((step.segment, step.rule, step.owner, comment))
    return found


@pytest.mark.parametrize("key", EXPLAINED)
def test_rule_and_line_of_every_segment(key: str) -> None:
    path = write(Path("model.py"), SOURCE)
    found = explain("model.py:Net", key)
    assert {name: marked(path, steps) for name, steps in found.items()} == {key: EXPLAINED[key]}


def test_every_key_is_explained_segment_by_segment() -> None:
    write(Path("model.py"), SOURCE)
    found = explain("model.py:Net")
    assert {key: ".".join(step.segment for step in steps) for key, steps in found.items()} == {
        key: key for key in ckptnames.predict("model.py:Net")
    }


@pytest.mark.parametrize("name", ["Conv2d", "BatchNorm1d", "LSTM", "MultiheadAttention", "TransformerEncoder", "PReLU"])
@pytest.mark.filterwarnings("ignore")
def test_layers_of_torch_are_recorded(name: str) -> None:
    for way in CASES[name]:
        record = Record()
        with recorded(record):
            module = way(public_classes()[name])()
        for key, steps in explain(module, record=record).items():
            assert key == ".".join(step.segment for step in steps)
            # Modules that the test hands in were made before.
            assert steps[0].place is not None or steps[0].rule in ("extra state", "made")


def test_a_list_that_was_cut_short_says_what_an_index_was() -> None:
    write(Path("model.py"), SOURCE)
    steps = explain("model.py:Net", "layers.1.scale")["layers.1.scale"]
    assert [(step.segment, step.was) for step in steps] == [("layers", ""), ("1", "2"), ("scale", "")]


def test_a_list_that_was_inserted_into_says_where_each_came_from() -> None:
    path = write(
        Path("model.py"),
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList(nn.PReLU() for _ in range(3))  # first
                del self.layers[1]
                self.layers.insert(0, nn.PReLU(2))  # inserted
                self.layers.append(nn.PReLU(3))  # appended
                self.rest = nn.Sequential(nn.PReLU(), nn.PReLU())  # rest
                self.rest.insert(1, nn.PReLU(2))  # between
                self.head = nn.PReLU()  # head
                self.again = self.head  # again
        """,
    )
    found = explain("model.py:Net")
    assert {key: (steps[-2].was, marked(path, steps)[-2][-1]) for key, steps in found.items()} == {
        "layers.0.weight": ("", "inserted"),
        "layers.1.weight": ("0", "first"),
        "layers.2.weight": ("", "first"),
        "layers.3.weight": ("", "appended"),
        "rest.0.weight": ("", "rest"),
        "rest.1.weight": ("", "between"),
        "rest.2.weight": ("1", "rest"),
        "head.weight": ("", "head"),
        "again.weight": ("", "again"),
    }


def test_a_module_is_explained_with_all_below_it() -> None:
    write(Path("model.py"), SOURCE)
    assert list(explain("model.py:Net", "stem.1")) == ["stem.1.scale", "stem.1.fc.weight", "stem.1.fc.bias"]


def test_wrapping_is_told_apart_from_the_models_own_code() -> None:
    path = write(Path("model.py"), SOURCE)
    wrap = ["weight_norm@stem.0", "compile@stem", "averaged", "ddp"]
    found = explain("model.py:Net", wrap=wrap)
    assert list(found) == list(ckptnames.predict("model.py:Net", wrap=wrap))
    assert marked(path, found["module.n_averaged"]) == [
        ("module", "wrapper", "--wrap", ""),
        ("n_averaged", "buffer", "--wrap", ""),
    ]
    assert marked(path, found["module.module.stem._orig_mod.0.parametrizations.weight.original1"]) == [
        ("module", "wrapper", "--wrap", ""),
        ("module", "wrapper", "--wrap", ""),
        ("stem", "attribute", "Net", "stem"),
        ("_orig_mod", "wrapper", "--wrap", ""),
        ("0", "Sequential index", "Sequential", "pair"),
        ("parametrizations", "parametrization", "--wrap", ""),
        ("weight", "ModuleDict key", "--wrap", ""),
        ("original1", "parametrization", "--wrap", ""),
    ]
    assert marked(path, found["module.module.wrapped.module.bias"]) == [
        ("module", "wrapper", "--wrap", ""),
        ("module", "wrapper", "--wrap", ""),
        *[("wrapped", "attribute", "Net", "wrapped"), ("module", "wrapper", "DataParallel", "wrapped")],
        ("bias", "parameter", "Linear", "wrapped"),
    ]


def test_a_model_in_memory_is_explained_without_lines() -> None:
    found = explain(nn.Sequential(nn.Linear(1, 1)))
    assert found == {
        "0.weight": (Step("0", "Sequential index", "Sequential"), Step("weight", "parameter", "Linear")),
        "0.bias": (Step("0", "Sequential index", "Sequential"), Step("bias", "parameter", "Linear")),
    }


def test_a_model_of_torchs_own_is_explained_by_torchs_lines() -> None:
    model, record = built("torch.nn:TransformerEncoderLayer(4, 2)")
    steps = explain(model, "self_attn.out_proj.weight", record=record)["self_attn.out_proj.weight"]
    texts = [step.place.text if step.place else "" for step in steps]
    assert texts[0].startswith("self.self_attn = MultiheadAttention(")
    assert texts[1].startswith("self.out_proj = NonDynamicallyQuantizableLinear(")
    assert texts[2].startswith("self.weight = Parameter(")


def test_code_that_renames_in_the_state_dict_is_named() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(1, 1)
            self._register_state_dict_hook(self.add_version)  # type: ignore[no-untyped-call]

        def add_version(self, module: nn.Module, state: dict[str, object], prefix: str, metadata: object) -> None:
            state[prefix + "version"] = torch.tensor(1)

    found = explain(Net(), "version")
    assert [(step.segment, step.rule) for step in found["version"]] == [("version", "made")]


def test_a_key_that_the_models_code_renames_is_told_with_the_name_it_was_registered_under() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(1, 1, bias=False)
            self._register_state_dict_hook(self.rename)  # type: ignore[no-untyped-call]

        def rename(self, module: nn.Module, state: dict[str, object], prefix: str, metadata: object) -> None:
            state[prefix + "plain"] = state.pop(prefix + "fc.weight")

    model = Net()
    assert list(model.state_dict()) == ["plain"]
    assert [(step.segment, step.rule, step.owner) for step in explain(model)["plain"]] == [
        ("fc", "attribute", "Net"),
        ("weight", "parameter", "Linear"),
        ("plain", "renamed", "Net"),
    ]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("stem.0.weigth", ("stem.0.weight",)), ("stm", ("stem",)), ("stem.", ()), ("tem.0", ())],
)
def test_a_key_that_is_not_there(key: str, nearest: tuple[str, ...]) -> None:
    write(Path("model.py"), SOURCE)
    with pytest.raises(NoSuchKey) as caught:
        explain("model.py:Net", key)
    assert caught.value.nearest[: len(nearest)] == nearest
    assert caught.value.key == key


# The recorder


def test_recording_leaves_modules_as_they_were() -> None:
    record = Record()
    with recorded(record):
        model = nn.Sequential(nn.Linear(1, 1))
        other = copy.deepcopy(model)
    record.gather(other.modules())
    for module in (*model.modules(), *other.modules()):
        assert vars(module).keys() == vars(type(module)(*([1, 1] if type(module) is nn.Linear else []))).keys()


def test_recording_ends_where_the_block_ends() -> None:
    record = Record()
    with pytest.raises(ZeroDivisionError), recorded(record):
        raise ZeroDivisionError
    late = nn.Sequential(nn.Linear(1, 1))
    assert record.place(late, "0") is None
    assert {method.__module__.partition(".")[0] for method in (nn.Module.__setattr__, nn.ModuleList.insert)} == {
        "torch"
    }


def test_the_latest_registration_counts() -> None:
    path = write(
        Path("model.py"),
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(1, 1)
                self.fc = nn.Linear(2, 2)  # again
        """,
    )
    (steps,) = explain("model.py:Net", "fc.bias").values()
    assert [comment for *_, comment in marked(path, steps)] == ["again", "again"]
