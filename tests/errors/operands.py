"""What the caller gives is not there, or is of a kind that is not read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import ckptnames
from ckptnames import errors
from tests.errors.made import save, weights
from tests.errors.raising import command, raises


@raises(errors.EmptyPath)
def an_empty_path() -> None:
    """
    error[empty-path]: the path is '', as an unset variable of the shell gives it
      help: give the path of a checkpoint: a file, a folder, or PATH#container
    """
    command("ls", "")


@raises(errors.NoSuchPath)
def a_path_misspelled() -> None:
    """
    error[no-such-path]: 'modle.pt' does not exist
      --> modle.pt
      help: did you mean 'model.pt'?
    """
    save("model.pt", "w")
    command("ls", "modle.pt")


@raises(errors.NoSuchPath)
def a_folder_that_is_not_there() -> None:
    """
    error[no-such-path]: 'my runs/7/model.pt' does not exist: there is no 'my runs/7'
      --> my runs/7/model.pt
      help: this shows what is there: ls 'my runs'
    """
    Path("my runs").mkdir()
    ckptnames.read("my runs/7/model.pt")


@raises(errors.NoSuchPath)
def a_link_to_nothing() -> None:
    """
    error[no-such-path]: 'model.pt' is a link to '/moved/model.pt', which does not exist
      --> model.pt
      help: this shows what is there: ls .
    """
    Path("model.pt").symlink_to("/moved/model.pt")
    ckptnames.read("model.pt")


@raises(errors.NoSuchPath)
def a_link_of_git_annex_to_nothing() -> None:
    """
    error[no-such-path]: 'model.pt' is a link to '.git/annex/objects/a0/MD5E-s72--d41d.pt', which does not exist
      --> model.pt
      help: its content is in another copy of the repository: git -C . annex get model.pt
    """
    Path("model.pt").symlink_to(".git/annex/objects/a0/MD5E-s72--d41d.pt")
    ckptnames.read("model.pt")


@raises(errors.MessageAsPath)
def the_message_of_torch_for_a_path() -> None:
    """
    error[no-such-path]: this is the message of load_state_dict, not the path of a checkpoint
      help: put it into a file, and hear what it means: ckptnames diff CHECKPOINT --error FILE
    """
    keys = ", ".join(f'"features.{n}.weight"' for n in range(200))
    save("model.pt", "w")
    command(
        "diff",
        "model.pt",
        f"RuntimeError: Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: {keys}.",
    )


@raises(errors.CannotRead)
def a_path_that_the_system_refuses() -> None:
    """
    error[cannot-read]: 'model.pt' cannot be read: Too many levels of symbolic links
      --> model.pt
      help: this shows who may read it: ls -ld model.pt
    """
    Path("model.pt").symlink_to("model.pt")
    ckptnames.read("model.pt")


@raises(errors.NoSuchContainer)
def a_container_misspelled() -> None:
    """
    error[no-such-container]: there is no container 'model_emma'
      --> last.pt
      model       1 key
      model_ema   1 key, EMA, an averaged copy
      help: name one of these, as in: 'last.pt#model_ema'
    """
    torch.save({"model": weights("w"), "model_ema": weights("w"), "epoch": 3}, "last.pt")
    command("ls", "last.pt#model_emma")


@raises(errors.NoSuchContainer)
def a_part_of_the_name_of_a_container() -> None:
    """
    error[no-such-container]: there is no container 'ema'
      --> last.pt
      model       1 key
      model_ema   1 key, EMA, an averaged copy
      help: name one of these, as in: 'last.pt#model_ema'
    """
    torch.save({"model": weights("w"), "model_ema": weights("w")}, "last.pt")
    command("ls", "last.pt#ema")


@raises(errors.NoSuchContainer)
def a_root_without_weights() -> None:
    """
    error[no-such-container]: the root of this file is no container of weights
      --> last.pt
      model   1 key
      help: name one of these, as in: 'last.pt#model'
    """
    torch.save({"model": weights("w")}, "last.pt")
    ckptnames.read("last.pt", container="")


@raises(errors.NoSuchContainer)
def optimizer_state_is_no_container() -> None:
    """
    error[no-such-container]: 'optimizer' is no container of weights: it is optimizer state, 1 tensor
      --> last.pt
      model   1 key
      help: name one of these, as in: 'last.pt#model'
    """
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"params": [0]}]}
    torch.save({"model": weights("w"), "optimizer": optimizer}, "last.pt")
    ckptnames.read("last.pt#optimizer")


@raises(errors.NoSuchContainer)
def also_nothing() -> None:
    """
    error[no-such-container]: there is no container 'optim'
      --> last.pt
      model       dict, 1 entry
      optimizer   dict, 1 entry
      help: name one of these, as in: --also optimizer. Nothing was written
    """
    torch.save({"model": weights("module.w"), "optimizer": {"names": ["module.w"]}, "epoch": 3}, "last.pt")
    command("fix", "last.pt", "--strip", "module", "--also", "optim", "-o", "out.pt")


@raises(errors.NoSuchContainer)
def also_in_a_file_of_weights_alone() -> None:
    """
    error[no-such-container]: there is no container 'optimizer'
      --> model.pt
      help: leave --also out: it has nothing else by name. Nothing was written
    """
    save("model.pt", "module.w")
    command("fix", "model.pt", "--strip", "module", "--also", "optimizer", "-o", "out.pt")


@raises(errors.OperandNotSupported)
def a_url() -> None:
    """
    error[operand-not-supported]: 'https://example.org/model.pt' is a URL, which is not read yet
      help: download it, and give the path of the file
    """
    command("ls", "https://example.org/model.pt")


@raises(errors.OptionNotSupported)
def in_place() -> None:
    """
    error[option-not-supported]: --in-place is not supported yet
      help: give another output with -o, and move it over the source yourself. Nothing was written
    """
    save("model.pt", "module.w")
    command("fix", "model.pt", "--strip", "module", "--in-place")


@raises(errors.NotAStateDict)
def a_dict_of_dicts() -> None:
    """
    error[not-a-state-dict]: this is a dict of dicts, not a dict of tensors by name
      'model'
      'optimizer'
      help: pass one of its entries, as in checkpoint['model']
    """
    ckptnames.diff({"model": weights("w"), "optimizer": {}}, weights("w"))


@raises(errors.NotAStateDict)
def a_key_that_is_no_text() -> None:
    """
    error[not-a-state-dict]: this is a dict with the key 0, not a dict of tensors by name
      help: pass a path, a Manifest, a model, or a dict of tensors by name
    """
    ckptnames.remap({0: torch.zeros(2)}, "a -> b")  # type: ignore[dict-item]


@raises(errors.NotAStateDict)
def a_number() -> None:
    """
    error[not-a-state-dict]: this is of type 'int', not a dict of tensors by name
      help: pass a path, a Manifest, a model, or a dict of tensors by name
    """
    ckptnames.diff(7, weights("w"))  # type: ignore[arg-type]


@raises(errors.NotATorchError)
def a_text_without_keys() -> None:
    """
    error[not-a-torch-error]: in 2 lines there is no 'Missing key(s)', 'Unexpected key(s)' or 'size mismatch for'
      --> log.txt
      it begins: epoch 1
      help: give the whole message of load_state_dict, from 'Error(s) in loading state_dict for' to its end
    """
    save("model.pt", "w")
    Path("log.txt").write_text("epoch 1\nepoch 2\n")
    command("diff", "model.pt", "--error", "log.txt")


@raises(errors.NotATorchError)
def an_empty_text() -> None:
    """
    error[not-a-torch-error]: the text is empty (0 lines)
      --> stdin
      help: give the whole message of load_state_dict, from 'Error(s) in loading state_dict for' to its end
    """
    save("model.pt", "w")
    command("diff", "model.pt", "--error", "-")


@raises(errors.IncompleteTorchError)
def only_the_end_of_a_message() -> None:
    """
    error[incomplete-torch-error]: this message names 2 unexpected keys, and none that the model has
      --> stdin
      help: give the whole message of load_state_dict: the list of 'Missing key(s)' comes first
    """
    save("model.pt", "module.w", "module.b")
    command("diff", "model.pt", "--error", "-", stdin='Unexpected key(s) in state_dict: "module.w", "module.b". ')


@raises(errors.BadUsage)
def no_such_command() -> None:
    """
    error[bad-usage]: 'dif' is no command
      help: did you mean 'ckptnames diff'?
    """
    command("dif", "a.pt", "b.pt")


@raises(errors.BadUsage)
def a_path_for_a_command() -> None:
    """
    error[bad-usage]: 'my model.pt' is no command, but a path
      help: try: ckptnames ls 'my model.pt'
    """
    save("my model.pt", "w")
    command("my model.pt")


@raises(errors.BadUsage)
def no_such_option() -> None:
    """
    error[bad-usage]: 'ckptnames ls' has no option '--flatt'
      help: did you mean '--flat'?
    """
    command("ls", "model.pt", "--flatt")


@raises(errors.BadUsage)
def a_path_that_looks_like_an_option() -> None:
    """
    error[bad-usage]: 'ckptnames ls' has no option '-m'
      help: a path that begins with '-' is written ./-model.pt
    """
    save("-model.pt", "w")
    command("ls", "-model.pt")


@raises(errors.BadUsage)
def no_source() -> None:
    """
    error[bad-usage]: SOURCE is missing
      help: write: ckptnames ls [OPTIONS] SOURCE
    """
    command("ls")


@raises(errors.BadUsage)
def no_output() -> None:
    """
    error[bad-usage]: -o OUT is missing
      help: write: ckptnames fix [OPTIONS] -o OUT SOURCE
    """
    save("model.pt", "module.w")
    command("fix", "model.pt", "--strip", "module")


@raises(errors.BadUsage)
def an_option_without_its_value() -> None:
    """
    error[bad-usage]: option '--strip' requires an argument
      help: this shows what there is: ckptnames fix --help
    """
    command("fix", "model.pt", "--strip")


@raises(errors.BadUsage)
def one_argument_too_many() -> None:
    """
    error[bad-usage]: got unexpected extra argument (b.pt)
      help: write: ckptnames ls [OPTIONS] SOURCE
    """
    command("ls", "a.pt", "b.pt")


@raises(errors.BadUsage)
def nothing_to_compare_with() -> None:
    """
    error[bad-usage]: there is no TARGET
      help: give one of the two: a TARGET to compare with, or --error FILE
    """
    command("diff", "model.pt")


@raises(errors.BadUsage)
def two_things_to_compare_with() -> None:
    """
    error[bad-usage]: TARGET and --error FILE are both there
      help: give one of the two: a TARGET to compare with, or --error FILE
    """
    command("diff", "model.pt", "target.pt", "--error", "error.txt")


@raises(errors.NoValuesToCompare)
def names_where_values_are_asked_for() -> None:
    """
    error[no-values]: 'names.json' is a manifest, which has names and shapes alone: there are no values to compare
      --> names.json
      help: give a checkpoint that holds the weights; without values, names and shapes are compared
    """
    save("model.pt", "w")
    Path("names.json").write_text('{"tensors": {"w": {"dtype": "F32", "shape": [2]}}}')
    command("infer", "model.pt", "names.json", "--by-value")


@raises(errors.NoValuesToCompare)
def a_state_dict_where_a_file_is_asked_for() -> None:
    """
    error[no-values]: 'dict' is not a file: there are no values to compare
      --> dict
      help: give a checkpoint that holds the weights; without values, names and shapes are compared
    """
    ckptnames.diff({"w": 1.0}, {"w": 2.0}, values=True)


@raises(errors.NumpyMissing)
def values_that_differ_where_there_is_no_numpy() -> None:
    """
    error[numpy-missing]: some values differ, and telling by how much takes numpy, which is not installed
      help: install it: pip install numpy
    """
    save("model.pt", "w")
    torch.save({"w": torch.ones(2)}, "other.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numpy", None)
        command("diff", "model.pt", "other.pt", "--values")


@raises(errors.BadUsage)
def values_of_a_message() -> None:
    """
    error[bad-usage]: an error message holds no values
      help: give a TARGET to compare values with
    """
    command("diff", "model.pt", "--error", "message.txt", "--values")


@raises(errors.BadUsage)
def one_operand_where_rules_are_inferred() -> None:
    """
    error[bad-usage]: TARGET is missing
      help: write: ckptnames infer [OPTIONS] SOURCE TARGET
    """
    command("infer", "model.pt")


@raises(errors.BadUsage)
def nothing_to_rename() -> None:
    """
    error[bad-usage]: no option says what the names become
      help: give --like TARGET, --strip PREFIX, --add PREFIX, --rule RULE or --rules FILE. Nothing was written
    """
    command("fix", "model.pt", "-o", "out.pt")


@raises(errors.BadUsage)
def nothing_tells_what_is_unexpected() -> None:
    """
    error[bad-usage]: --drop-unexpected goes by what TARGET has, and there is no --like TARGET
      help: give --like TARGET with it, or leave keys out with --rule 'KEY -> !drop'. Nothing was written
    """
    command("fix", "model.pt", "--strip", "module", "--drop-unexpected", "-o", "out.pt")


@raises(errors.BadUsage)
def an_allowance_without_a_pattern() -> None:
    """
    error[bad-usage]: 'shape-mismatch' is not CODE=PATTERN
      help: write it as in: --allow shape-mismatch='head.**'. Nothing was written
    """
    save("model.pt", "module.w")
    command("fix", "model.pt", "--strip", "module", "--allow", "shape-mismatch", "-o", "out.pt")


@raises(errors.InternalError)
def a_bug() -> None:
    """
    error[internal-error]: this is a bug in ckptnames: ZeroDivisionError: division by zero
      help: report it with the command and all of this text
    """
    save("model.pt", "w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ckptnames.cli.ls.open_operand", lambda *_: 1 / 0)
        command("ls", "model.pt")
