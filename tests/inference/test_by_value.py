"""The same weights under other names: values tell which is which; else neighbours, names, or nobody."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import ckptnames
from ckptnames.cli.main import cli
from ckptnames.inference.matching.neighbours import Neighbours

State = dict[str, torch.Tensor]


def network(n_layers: int, seed: int = 0) -> State:
    """Make weights as they are when training begins: matrices at random, biases of zeros, norms of ones and zeros."""
    torch.manual_seed(seed)
    state: State = {}
    for i in range(n_layers):
        for name in ("query", "key", "value", "output"):
            state[f"encoder.layer.{i}.attention.{name}.weight"] = torch.rand(4, 4)
            state[f"encoder.layer.{i}.attention.{name}.bias"] = torch.zeros(4)
        state[f"encoder.layer.{i}.norm.weight"] = torch.ones(4)
        state[f"encoder.layer.{i}.norm.bias"] = torch.zeros(4)
        state[f"encoder.layer.{i}.norm.running_mean"] = torch.zeros(4)
        state[f"encoder.layer.{i}.norm.running_var"] = torch.ones(4)
    state["embedding.weight"] = torch.rand(9, 4)
    return state


# Words that tell nothing, in an order that tells nothing.
OTHER = {"encoder.layer": "b", "attention": "m", "query": "four", "key": "one", "value": "three", "output": "two"}


def renamed(key: str) -> str:
    for word, other in OTHER.items():
        key = key.replace(word, other)
    return key.replace("norm.", "n.").replace("embedding.", "e.")


def saved(path: Path, state: Mapping[str, torch.Tensor]) -> str:
    if path.suffix == ".safetensors":
        save_file({key: value.clone() for key, value in state.items()}, path)
    else:
        torch.save(dict(state), path)
    return str(path)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_values_tell_what_names_do_not(tmp_path: Path, ending: str) -> None:
    source = network(3)
    keys = list(source)
    random.Random(0).shuffle(keys)
    target = {renamed(key): source[key] for key in keys}
    paths = saved(tmp_path / "a.pt", source), saved(tmp_path / f"b.{ending}", target)
    found = ckptnames.infer(*paths, by_value=True)
    assert dict(found.mapping) == {renamed(key): key for key in source}
    assert (found.complete, found.ambiguous, found.cautions) == (True, (), ())
    assert ckptnames.plan(paths[0], found.rules, paths[1]).mapping == dict(found.mapping)
    assert len(found.rules) <= 4


def test_what_is_not_the_same_is_not_paired(tmp_path: Path) -> None:
    source = network(2)
    target = {renamed(key): value for key, value in source.items()}
    target["e.weight"] = target["e.weight"] + 1
    target["b.0.m.one.weight"] = target["b.0.m.one.weight"].double()
    found = ckptnames.infer(saved(tmp_path / "a.pt", source), saved(tmp_path / "b.pt", target), by_value=True)
    assert set(found.unfilled_target) == {"e.weight", "b.0.m.one.weight"}
    assert not found.complete
    assert all(renamed(key) == name for name, key in found.mapping.items())


def test_the_end_of_a_tensor_counts(tmp_path: Path) -> None:
    """What begins alike is read whole."""
    source = {f"a.{n}.w": torch.zeros(50_000) for n in range(3)}
    for n, value in enumerate(source.values()):
        value[-1] = n + 1
    target = {f"b.{(n + 1) % 3}.w": source[f"a.{n}.w"] for n in range(3)}
    found = ckptnames.infer(saved(tmp_path / "a.pt", source), saved(tmp_path / "b.pt", target), by_value=True)
    assert dict(found.mapping) == {f"b.{(n + 1) % 3}.w": f"a.{n}.w" for n in range(3)}


def test_a_transposed_view_is_what_it_shows(tmp_path: Path) -> None:
    weight, other = torch.rand(4, 4), torch.rand(4, 4)
    source = {"x.w": weight, "y.w": other}
    target = {"p.w": other.T.contiguous().T, "q.w": weight.T.contiguous().T, "r.w": weight.T.contiguous()}
    found = ckptnames.infer(saved(tmp_path / "a.pt", source), saved(tmp_path / "b.pt", target), by_value=True)
    assert dict(found.mapping) == {"p.w": "y.w", "q.w": "x.w"}
    assert found.unfilled_target == ("r.w",)


def test_nobody_decides_between_what_is_the_same_all_around(tmp_path: Path) -> None:
    source = {"left.w": torch.ones(4), "right.w": torch.ones(4), "rest.w": torch.rand(3)}
    target = {"up.w": torch.ones(4), "down.w": torch.ones(4), "other.w": source["rest.w"]}
    paths = saved(tmp_path / "a.pt", source), saved(tmp_path / "b.pt", target)
    found = ckptnames.infer(*paths, by_value=True)
    assert dict(found.mapping) == {"other.w": "rest.w"}
    (question,) = found.ambiguous
    assert (set(question.sources), set(question.targets)) == ({"left.w", "right.w"}, {"up.w", "down.w"})
    for line in question.lines:
        decided = ckptnames.infer(*paths, given=line, by_value=True)
        assert decided.complete
        source_key, _, target_key = line.partition(" -> ")
        assert decided.mapping[target_key] == source_key


def test_ties_of_the_source_are_one_tensor_and_those_of_the_target_are_filled_alike(tmp_path: Path) -> None:
    weight = torch.rand(5, 3)
    tied = saved(tmp_path / "tied.pt", {"embed.weight": weight, "head.weight": weight})
    one = saved(tmp_path / "one.pt", {"wte.weight": weight.clone()})
    copies = saved(tmp_path / "copies.safetensors", {"wte.weight": weight, "out.weight": weight})
    assert dict(ckptnames.infer(tied, one, by_value=True).mapping) == {"wte.weight": "embed.weight"}
    doubled = ckptnames.infer(one, copies, by_value=True)
    assert dict(doubled.mapping) == {"wte.weight": "wte.weight", "out.weight": "wte.weight"}
    assert ckptnames.plan(one, doubled.rules, copies).mapping == dict(doubled.mapping)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_no_pair_is_wrong_whatever_the_names(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_layers: int
) -> None:
    """Rename each level by words drawn at random, shuffle, and leave some out: what is paired is right."""
    drawn = random.Random(seed)
    folder = tmp_path_factory.mktemp("by_value")
    source = network(n_layers, seed)
    words = [f"w{n}" for n in range(40)]
    drawn.shuffle(words)
    table: dict[str, str] = {}

    def other(segment: str) -> str:
        return segment if segment.isdigit() else table.setdefault(segment, words[len(table)])

    truth = {".".join(map(other, key.split("."))): key for key in source}
    names = [name for name in truth if drawn.random() < 0.9]
    drawn.shuffle(names)
    target = {name: source[truth[name]] for name in names}
    found = ckptnames.infer(saved(folder / "a.pt", source), saved(folder / "b.pt", target), by_value=True)
    wrong = {name: key for name, key in found.mapping.items() if truth[name] != key}
    # Constant tensors of one module may change places where their words are drawn at random: nothing tells them apart.
    assert all(torch.equal(source[key], source[truth[name]]) for name, key in wrong.items())
    assert not [name for name in wrong if name.endswith(f".{table.get('weight')}") and source[truth[name]].dim() > 1]
    asked = {name for each in found.ambiguous for name in each.targets}
    assert set(names) == set(found.mapping) | asked | set(found.unfilled_target)


def test_flattened_names_get_their_dots_back_first(tmp_path: Path) -> None:
    """Then modules are seen, and constants told apart by them."""
    source = network(12)
    flat = {f"model_ema.{key.replace('.', '')}": value for key, value in source.items()}
    live = {f"model.{key}": value + 1 for key, value in source.items()}
    paths = saved(tmp_path / "a.pt", {**live, **flat}), saved(tmp_path / "b.pt", source)
    found = ckptnames.infer(*paths, by_value=True)
    assert dict(found.mapping) == {key: f"model_ema.{key.replace('.', '')}" for key in source}
    assert found.complete
    assert ckptnames.plan(paths[0], found.rules, paths[1]).mapping == dict(found.mapping)
    other = saved(tmp_path / "c.pt", {key: value + 1 for key, value in source.items()})
    of_live = ckptnames.infer(paths[0], other, by_value=True)
    assert (str(of_live.rules), of_live.complete) == ("model.** -> **\n", True)


def test_neighbours_tell_only_what_they_know() -> None:
    around = Neighbours()
    around.pair("a.fc.weight", "x.lin.weight")
    left = around.settle([(["a.fc.bias", "b.fc.bias"], ["x.lin.bias", "y.lin.bias"])])
    assert around.pairs == {"x.lin.weight": "a.fc.weight", "x.lin.bias": "a.fc.bias"}
    assert left == [(["b.fc.bias"], ["y.lin.bias"])]


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = network(2)
    saved(Path("theirs.pt"), {f"net.{renamed(key)}": value for key, value in source.items()})
    saved(Path("ours.safetensors"), source)
    result = CliRunner().invoke(cli, ["infer", "--by-value", "theirs.pt", "ours.safetensors", "-o", "names.rules"])
    assert (result.exit_code, result.stderr) == (0, "wrote names.rules\n")
    assert "they hold the same values" in result.stdout
    applied = "ckptnames fix theirs.pt --rules names.rules --like ours.safetensors -o theirs.fixed.pt"
    assert result.stdout.endswith(f"\nApply them:\n  {applied}\n")
    args = ["fix", "theirs.pt", "--rules", "names.rules", "--like", "ours.safetensors", "-o", "fixed.pt"]
    assert CliRunner().invoke(cli, args).exit_code == 0
    assert CliRunner().invoke(cli, ["diff", "fixed.pt", "ours.safetensors", "--values"]).exit_code == 0


def test_tensors_that_differ_after_a_like_beginning_are_not_the_same(tmp_path: Path) -> None:
    first, other = torch.rand(300, 100), torch.rand(50, 7)
    tuned = first.clone()
    tuned[-1, -1] += 1
    source = saved(tmp_path / "a.pt", {"embed.weight": first, "out.weight": other})
    target = saved(tmp_path / "b.pt", {"tokens.weight": tuned, "head.weight": other})
    found = ckptnames.infer(source, target, by_value=True)
    assert found.mapping == {"head.weight": "out.weight"}
