"""Models that are named in text, and cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import ckptnames
from ckptnames import errors
from tests.errors.made import save
from tests.errors.raising import command, raises
from tests.predict.sources import write

MODEL = """
class Config:
    pass


class Net(nn.Module):
    def __init__(self, classes, depth: int = 2, *, drop: float = 0.1):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(depth))
        self.fc = nn.Linear(2, classes)


class Configured(nn.Module):
    def __init__(self, config: Config):
        super().__init__()


class Fussy(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        if width == 3:
            raise ValueError("3 is no width\\nbut 4 is")


class Summing(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.n = int(self.w.sum())


class Capable(nn.Module):
    def __init__(self):
        super().__init__()
        raise AssertionError("Torch not compiled with CUDA enabled")


class Ending(nn.Module):
    def __init__(self):
        super().__init__()
        raise SystemExit(4)


def fetch(pretrained=True):
    import urllib.request

    if pretrained:
        urllib.request.urlopen("https://example.org/weights.pt")
    return nn.Linear(2, 2)


def fetch_again():
    return fetch()


def pair():
    return nn.Linear(2, 2), 5


net = Net(3)
width = 3
"""


def built(operand: str) -> None:
    """Build what an operand names, beside the file ``model.py``."""
    write(Path("model.py"), MODEL)
    ckptnames.predict(operand)


def imported(line: str) -> None:
    """Import a file of one line."""
    write(Path("src/net.py"), f"{line}\n")
    ckptnames.predict("src/net.py:net")


@raises(errors.MissingArgument)
def an_argument_that_is_missing() -> None:
    """
    error[missing-argument]: 'model.py:Net' is not built without 'classes'
      --> model.py:10
      Net(classes, depth=2, *, drop=0.1)
      help: give it in the operand, as in 'model.py:Net(classes=10)'
    """
    built("model.py:Net")


@raises(errors.MissingArgument)
def one_of_two_arguments() -> None:
    """
    error[missing-argument]: 'model.py:Net(depth=3)' is not built without 'classes'
      --> model.py:10
      Net(classes, depth=2, *, drop=0.1)
      help: give it in the operand, as in 'model.py:Net(depth=3, classes=10)'
    """
    built("model.py:Net(depth=3)")


@raises(errors.MissingArgument)
def a_class_of_torch_without_arguments() -> None:
    """
    error[missing-argument]: 'torch.nn:Linear' is not built without 'in_features' and 'out_features'
      Linear(in_features, out_features, bias=True, device=None, dtype=None)
      help: give it in the operand, as in 'torch.nn:Linear(in_features=10, out_features=10)'
    """
    built("torch.nn:Linear")


@raises(errors.ArgumentNeedsCode)
def an_argument_that_no_literal_is() -> None:
    """
    error[missing-argument]: 'model.py:Configured' is not built without 'config', which is to be of 'Config'
      --> model.py:17
      Configured(config)
      help: let a file of its own make it: echo 'from model import Configured, Config; model = Configured(config=Config())' > built.py && ckptnames predict built.py:model
    """
    built("model.py:Configured")


@raises(errors.UnexpectedArgument)
def an_argument_that_is_misspelled() -> None:
    """
    error[unexpected-argument]: 'model.py:Net' does not take 'depht'
      --> model.py:10
      Net(classes, depth=2, *, drop=0.1)
      help: did you mean 'model.py:Net(3, depth=4)'?
    """
    built("model.py:Net(3, depht=4)")


@raises(errors.UnexpectedArgument)
def an_argument_that_is_not_taken() -> None:
    """
    error[unexpected-argument]: 'model.py:Net' does not take 'seed'
      --> model.py:10
      Net(classes, depth=2, *, drop=0.1)
      help: did you mean 'model.py:Net(3)'?
    """
    built("model.py:Net(3, seed=4)")


@raises(errors.UnexpectedArgument)
def too_many_arguments() -> None:
    """
    error[unexpected-argument]: 'model.py:Net' does not take 3 arguments by position, at most 2
      --> model.py:10
      Net(classes, depth=2, *, drop=0.1)
      help: did you mean 'model.py:Net(3, 2)'?
    """
    built("model.py:Net(3, 2, 0.5)")


@raises(errors.UnexpectedArgument)
def an_argument_that_is_given_twice() -> None:
    """
    error[unexpected-argument]: 'model.py:Net' does not take 'classes' twice, by position and by name
      --> model.py:10
      Net(classes, depth=2, *, drop=0.1)
      help: did you mean 'model.py:Net(3)'?
    """
    built("model.py:Net(3, classes=4)")


@raises(errors.UnexpectedArgument)
def arguments_for_a_module() -> None:
    """
    error[unexpected-argument]: 'model.py:net' does not take arguments: it is built already
      help: did you mean model.py:net?
    """
    built("model.py:net()")


@raises(errors.NotALiteral)
def a_name_for_an_argument() -> None:
    """
    error[not-a-literal]: 'width' in 'model.py:Net(width)' is no literal; numbers, texts, None, True, lists, tuples and dicts are
      help: let a file of its own compute it: echo 'from model import Net, width; model = Net(width)' > built.py && ckptnames predict built.py:model
    """
    built("model.py:Net(width)")


@raises(errors.NotALiteral)
def arguments_with_a_star() -> None:
    """
    error[not-a-literal]: '*[2]' in 'model.py:Net(3, *[2])' is no literal; numbers, texts, None, True, lists, tuples and dicts are
      help: let a file of its own compute it: echo 'from model import Net; model = Net(3, *[2])' > built.py && ckptnames predict built.py:model
    """
    built("model.py:Net(3, *[2])")


@raises(errors.OperandSyntax)
def a_call_that_stays_open() -> None:
    """
    error[operand-syntax]: '(3' in 'model.py:Net(3' is no call: '(' was never closed
      (3
      ^
      help: write the arguments as in Python, or leave them out: model.py:Net
    """
    built("model.py:Net(3")


@raises(errors.OperandSyntax)
def a_call_of_a_call() -> None:
    """
    error[operand-syntax]: '(3)(4)' in 'model.py:Net(3)(4)' is no call: more stands behind it
      (3)(4)
            ^
      help: write the arguments as in Python, or leave them out: model.py:Net
    """
    built("model.py:Net(3)(4)")


@raises(errors.NoSuchName)
def a_name_that_is_misspelled() -> None:
    """
    error[no-such-name]: 'model.py' has no 'net_'
      help: did you mean 'model.py:Net' or 'model.py:net'?
    """
    built("model.py:net_")


@raises(errors.NoSuchName)
def a_name_that_is_not_there() -> None:
    """
    error[no-such-name]: 'model.py' has no 'Transformer'
      model.py:Net
      model.py:Configured
      model.py:Fussy
      model.py:Summing
      model.py:Capable
      … and 2 more
      help: name one of these, as in model.py:Net
    """
    built("model.py:Transformer")


@raises(errors.NoSuchName)
def a_method_that_is_not_there() -> None:
    """
    error[no-such-name]: 'model.py:Net' has no 'smal'
      help: give the name of a class, of a function that returns a module, or of a module
    """
    built("model.py:Net.smal")


@raises(errors.NoSuchName)
def a_misspelled_class_of_torch() -> None:
    """
    error[no-such-name]: 'torch.nn' has no 'Liner'
      help: did you mean 'torch.nn:Linear', 'torch.nn:Bilinear' or 'torch.nn:LazyLinear'?
    """
    built("torch.nn:Liner")


@raises(errors.NamesNoModel)
def a_class_that_is_no_model() -> None:
    """
    error[not-a-model]: 'model.py:Config' is a class that does not derive from torch.nn.Module, not a model
      model.py:Net
      model.py:Configured
      model.py:Fussy
      model.py:Summing
      model.py:Capable
      … and 2 more
      help: name one of these, as in model.py:Net
    """
    built("model.py:Config")


@raises(errors.NamesNoModel)
def a_number_for_a_model() -> None:
    """
    error[not-a-model]: 'model.py:width' is an int, not a model
      model.py:Net
      model.py:Configured
      model.py:Fussy
      model.py:Summing
      model.py:Capable
      … and 2 more
      help: name one of these, as in model.py:Net
    """
    built("model.py:width")


@raises(errors.NamesNoModel)
def a_function_that_returns_two() -> None:
    """
    error[not-a-model]: 'model.py:pair' is a function that returns a tuple (Linear, int), not a model
      help: name a class of torch.nn.Module, a function that returns a module, or a module
    """
    built("model.py:pair")


@raises(errors.NoModelOperand)
def a_dot_for_a_colon() -> None:
    """
    error[not-a-model]: 'torch.nn.Linear' is not written as a model is
      help: did you mean torch.nn:Linear?
    """
    built("torch.nn.Linear")


@raises(errors.NoModelOperand)
def a_bare_word() -> None:
    """
    error[not-a-model]: 'model' is not written as a model is
      help: write it as file.py:NAME or package.module:NAME, as in 'model.py:Net(depth=18)'
    """
    built("model")


@raises(errors.ConstructionFailed)
def a_constructor_that_raises() -> None:
    """
    error[construction-failed]: 'model.py:Fussy' cannot be built: ValueError: 3 is no width
      --> model.py:25
      raise ValueError("3 is no width\\nbut 4 is")
      help: see it fail without ckptnames: python -c 'from model import Fussy; Fussy()'
    """
    built("model.py:Fussy")


@raises(errors.ConstructionFailed)
def an_argument_that_torch_refuses() -> None:
    """
    error[construction-failed]: 'model.py:Net(classes=-1)' cannot be built: RuntimeError: Trying to create tensor with negative dimension -1: [-1, 2]
      --> model.py:13
      self.fc = nn.Linear(2, classes)
      help: see it fail without ckptnames: python -c 'from model import Net; Net(classes=-1)'
    """
    built("model.py:Net(classes=-1)")


@raises(errors.ConstructionFailed)
def a_constructor_that_ends_the_program() -> None:
    """
    error[construction-failed]: 'model.py:Ending' cannot be built: it ends the program, with exit code 4
      --> model.py:44
      raise SystemExit(4)
      help: see it fail without ckptnames: python -c 'from model import Ending; Ending()'
    """
    built("model.py:Ending")


@raises(errors.NeedsRealNumbers)
def a_constructor_that_reads_its_weights() -> None:
    """
    error[needs-real-numbers]: building 'model.py:Summing' reads numbers from weights, which have none yet: RuntimeError: Tensor.item() cannot be called on meta tensors
      --> model.py:32
      self.n = int(self.w.sum())
      help: build it in memory, and predict that: python -c 'import ckptnames; from model import Summing; print(*ckptnames.predict(Summing()), sep='"'"'\\n'"'"')'
    """
    built("model.py:Summing")


@raises(errors.NeedsDevice)
def a_constructor_that_wants_a_gpu() -> None:
    """
    error[needs-device]: building 'model.py:Capable' needs a device that is not here: AssertionError: Torch not compiled with CUDA enabled
      --> model.py:38
      raise AssertionError("Torch not compiled with CUDA enabled")
      help: save its names where the device is, and give that file instead of the model: ckptnames predict model.py:Capable --json > names.json
    """
    built("model.py:Capable")


@raises(errors.NeedsDownload)
def weights_that_would_be_fetched() -> None:
    """
    error[needs-download]: building 'model.py:fetch' wants to fetch something from 'example.org', and names need no download
      --> model.py:51
      urllib.request.urlopen("https://example.org/weights.pt")
      help: build it without: 'model.py:fetch(pretrained=False)'
    """
    built("model.py:fetch")


@raises(errors.NeedsDownload)
def weights_that_were_asked_for() -> None:
    """
    error[needs-download]: building 'model.py:fetch(True)' wants to fetch something from 'example.org', and names need no download
      --> model.py:51
      urllib.request.urlopen("https://example.org/weights.pt")
      help: build it without: 'model.py:fetch(False)'
    """
    built("model.py:fetch(True)")


@raises(errors.NeedsDownload)
def a_fetch_that_nothing_turns_off() -> None:
    """
    error[needs-download]: building 'model.py:fetch_again' wants to fetch something from 'example.org', and names need no download
      --> model.py:51
      urllib.request.urlopen("https://example.org/weights.pt")
      help: if it keeps what it fetches, build it once without ckptnames, then again: python -c 'from model import fetch_again; fetch_again()'
    """
    built("model.py:fetch_again")


@raises(errors.NoSuchPath)
def a_file_that_is_misspelled() -> None:
    """
    error[no-such-path]: 'modle.py' does not exist
      --> modle.py
      help: did you mean 'model.py'?
    """
    built("modle.py:Net")


@raises(errors.NoSuchPath)
def a_folder_that_is_not_there() -> None:
    """
    error[no-such-path]: 'src/model.py' does not exist: there is no 'src'
      --> src/model.py
      help: this shows what is there: ls .
    """
    built("src/model.py:Net")


@raises(errors.NoSuchModule)
def a_package_that_is_misspelled() -> None:
    """
    error[no-such-module]: there is no module 'torhc' to import 'torhc.nn:Linear' from
      help: did you mean 'torch'?
    """
    built("torhc.nn:Linear")


@raises(errors.NoSuchModule)
def a_module_that_is_misspelled() -> None:
    """
    error[no-such-module]: there is no module 'torch.nn.functionl' to import 'torch.nn.functionl:relu' from
      help: did you mean 'torch.nn.functional'?
    """
    built("torch.nn.functionl:relu")


@raises(errors.NoSuchModule)
def a_package_that_is_nowhere() -> None:
    """
    error[no-such-module]: there is no module 'nowhere_to_be_found' to import 'nowhere_to_be_found:Net' from
      help: 'python -m pip list' shows what is installed
    """
    built("nowhere_to_be_found:Net")


@raises(errors.MissingPackage)
def a_package_that_is_not_installed() -> None:
    """
    error[missing-package]: 'src/net.py' needs 'einops_of_tomorrow', which cannot be imported here
      --> src/net.py:5
      import einops_of_tomorrow
      help: install it: pip install einops_of_tomorrow; or have the code read and not run: --static
    """
    imported("import einops_of_tomorrow")


@raises(errors.MissingPackage)
def a_package_of_another_name() -> None:
    """
    error[missing-package]: 'src/net.py' needs 'skimage', which cannot be imported here
      --> src/net.py:5
      from skimage.io import imread
      help: install it: pip install scikit-image; or have the code read and not run: --static
    """
    imported("from skimage.io import imread")


@raises(errors.ImportFailed)
def a_file_that_raises() -> None:
    """
    error[import-failed]: importing 'src/net.py' fails: NameError: name 'wdith' is not defined
      --> src/net.py:5
      net = nn.Linear(2, wdith)
      help: see it fail without ckptnames: cd src && python -c 'import net'
    """
    imported("net = nn.Linear(2, wdith)")


@raises(errors.ImportFailed)
def a_file_that_is_no_python() -> None:
    """
    error[import-failed]: importing 'src/net.py' fails: SyntaxError: '(' was never closed
      --> src/net.py:5
      net = nn.Linear(2, 3
      help: see it fail without ckptnames: cd src && python -c 'import net'
    """
    imported("net = nn.Linear(2, 3")


@raises(errors.ImportFailed)
def a_file_that_ends_the_program() -> None:
    """
    error[import-failed]: importing 'src/net.py' fails: it ends the program, with exit code no
      --> src/net.py:5
      raise SystemExit('no')
      help: see it fail without ckptnames: cd src && python -c 'import net'
    """
    imported("raise SystemExit('no')")


@raises(errors.NeedsDevice)
def a_file_that_wants_a_gpu() -> None:
    """
    error[needs-device]: building 'src/net.py:net' needs a device that is not here: RuntimeError: No CUDA GPUs are available
      --> src/net.py:5
      raise RuntimeError('No CUDA GPUs are available')
      help: save its names where the device is, and give that file instead of the model: ckptnames predict src/net.py:net --json > names.json
    """
    imported("raise RuntimeError('No CUDA GPUs are available')")


@raises(errors.NoModelOperand)
def a_checkpoint_for_a_model() -> None:
    """
    error[not-a-model]: 'trained.pt' is a path, and no model
      help: what is in it is shown by: ckptnames ls trained.pt
    """
    save("trained.pt", "w")
    command("predict", "trained.pt")


@raises(errors.ModelNotNamed)
def a_file_of_models() -> None:
    """
    error[model-not-named]: 'model.py' is Python source; which model in it is meant, is not said
      model.py:Net
      help: name it behind a colon, as in model.py:Net
    """
    write(Path("model.py"), "class Net(nn.Module):\n    pass\n")
    command("ls", "model.py")


@raises(errors.ModelNotNamed)
def a_file_without_models() -> None:
    """
    error[model-not-named]: 'train.py' is Python source; which model in it is meant, is not said
      help: name it behind a colon, as in train.py:Net
    """
    write(Path("train.py"), "steps = 3\n")
    ckptnames.predict("train.py")


@raises(errors.NoSuchKey)
def a_key_that_is_misspelled() -> None:
    """
    error[no-such-key]: 'layer.0.bias' is no key of Net, and no module above one
      help: did you mean 'layers.0.bias', 'layers.1.bias' or 'layers.0'?
    """
    write(Path("model.py"), MODEL)
    command("predict", "model.py:Net(10)", "--explain", "layer.0.bias")


@raises(errors.NoSuchKey)
def a_key_of_another_model() -> None:
    """
    error[no-such-key]: 'transformer.h.0.attn.c_attn.weight' is no key of Net, and no module above one
      help: --explain without a key explains them all
    """
    write(Path("model.py"), MODEL)
    command("predict", "model.py:Net(10)", "--explain", "transformer.h.0.attn.c_attn.weight")


@raises(errors.TorchMissing)
def a_model_without_torch() -> None:
    """
    error[torch-missing]: 'model.py:Net(3)' is a model, and torch, which builds models, is not installed
      help: install it: pip install 'ckptnames[torch]'; or have the code read and not run: --static
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        built("model.py:Net(3)")


@raises(errors.NoSuchPath)
def a_target_in_a_file_that_is_not_there() -> None:
    """
    error[no-such-path]: 'net.py' does not exist
      --> net.py
      help: this shows what is there: ls .
    """
    save("trained.pt", "w")
    command("diff", "trained.pt", "net.py:Net(classes=10)")


@raises(errors.NoSuchModule)
def a_target_in_a_package_that_is_nowhere() -> None:
    """
    error[no-such-module]: there is no module 'visionary' to import 'visionary.models:resnet18' from
      help: 'python -m pip list' shows what is installed. Nothing was written
    """
    save("trained.pt", "w")
    command("fix", "trained.pt", "--like", "visionary.models:resnet18", "-o", "out.pt")
