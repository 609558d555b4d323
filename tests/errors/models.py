"""Models in memory, and what is asked of them."""

from __future__ import annotations

from torch import nn

import ckptnames
from ckptnames import errors
from tests.errors.raising import raises


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 2)


@raises(errors.BadWrapper)
def a_wrapper_without_its_value() -> None:
    """
    error[bad-wrapper]: 'lightning' does not say how to wrap
      help: write it as lightning=ATTRIBUTE, the attribute of the LightningModule that holds the model
    """
    ckptnames.predict(Net(), wrap=["lightning"])


@raises(errors.CannotWrap)
def a_norm_on_what_is_compiled() -> None:
    """
    error[cannot-wrap]: 'weight_norm@head' cannot be put on this Linear: it is wrapped already, so weight_norm has to come before that
      help: leave out 'weight_norm@head', or name another module
    """
    ckptnames.predict(Net(), wrap=["compile@head", "weight_norm@head"])


@raises(errors.EndlessModel)
def a_model_inside_itself() -> None:
    """
    error[endless-model]: 'encoder.parent' is the model again, which it is inside of: the names never end
      help: keep it out of the registry, as in self.parent = [module]. state_dict() fails on this model, too
    """
    model = Net()
    model.encoder.add_module("parent", model)
    ckptnames.predict(model)


@raises(errors.NoStateDict)
def a_hook_that_gives_something() -> None:
    """
    error[no-state-dict]: state_dict() of 'Net' raises RuntimeError: state_dict post-hook must return None
      help: call model.state_dict() yourself, and mend what it names
    """
    model = Net()
    model.register_state_dict_post_hook(lambda *_: {})  # type: ignore[no-untyped-call]
    ckptnames.predict(model)


@raises(errors.NoSuchSubmodule)
def a_submodule_that_is_misspelled() -> None:
    """
    error[no-such-submodule]: no submodule 'encodr': the model has no 'encodr'
      encoder
      help: did you mean 'encoder'?
    """
    ckptnames.predict(Net(), wrap=["compile@encodr"])


@raises(errors.NoSuchSubmodule)
def a_submodule_below_the_last() -> None:
    """
    error[no-such-submodule]: no submodule 'head.weight': 'head' has no 'weight'
      help: name a module above it: this one holds no others
    """
    ckptnames.predict(Net(), wrap=["compile@head.weight"])


@raises(errors.NoWeight)
def a_norm_on_no_weight() -> None:
    """
    error[no-weight]: 'weight_norm' needs a parameter called 'weight', and Net has none of its own
      weight_norm@encoder.0
      weight_norm@head
      help: name the module that has it, as in 'weight_norm@encoder.0'
    """
    ckptnames.predict(Net(), wrap=["weight_norm"])


@raises(errors.NoWeight)
def a_norm_where_no_weight_is() -> None:
    """
    error[no-weight]: 'weight_norm@encoder.1' needs a parameter called 'weight', and ReLU has none of its own
      help: leave out 'weight_norm@encoder.1': no module in it has a 'weight'
    """
    ckptnames.predict(Net(), wrap=["weight_norm@encoder.1"])


@raises(errors.NotAModule)
def a_class_for_a_module() -> None:
    """
    error[not-a-module]: the class 'Net' is no module
      help: build one, and pass that: Net(...)
    """
    ckptnames.canonical(Net)  # type: ignore[arg-type]


@raises(errors.NotAModule)
def a_state_dict_for_a_module() -> None:
    """
    error[not-a-module]: a value of type 'OrderedDict' is no module
      help: pass a module, or say where one is: 'file.py:Net', 'package.module:name(kwarg=1)'
    """
    ckptnames.predict(Net().state_dict())  # type: ignore[arg-type]


@raises(errors.UnknownWrapper)
def a_wrapper_that_is_misspelled() -> None:
    """
    error[unknown-wrapper]: no wrapper is called 'compil'
      help: did you mean 'compile'?
    """
    ckptnames.predict(Net(), wrap=["compil"])


@raises(errors.UnknownWrapper)
def a_wrapper_that_is_none() -> None:
    """
    error[unknown-wrapper]: no wrapper is called 'jit'
      help: name one of these: dp, ddp, compile, fsdp1, fsdp2, checkpoint, averaged, lightning, weight_norm, spectral_norm, quant
    """
    ckptnames.predict(Net(), wrap=["jit"])
