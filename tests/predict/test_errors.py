"""Every error of a model in memory has a heading in ``docs/errors-models.md``, with the text that is raised."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

import ckptnames
from ckptnames import errors
from ckptnames.errors import CkptnamesError, ModelError

PAGE = Path(__file__).parent.parent.parent / "docs" / "errors-models.md"
SHOWN = dict(re.findall(r"^## (\S+)\n.*?^```says\n(.*?)\n```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 2)


def _endless() -> None:
    model = Net()
    model.encoder.add_module("parent", model)
    ckptnames.predict(model)


def _no_state_dict() -> None:
    model = Net()
    model.register_state_dict_post_hook(lambda *_: {})  # type: ignore[no-untyped-call]
    ckptnames.predict(model)


CASES: dict[str, Callable[[], object]] = {
    "bad-wrapper": lambda: ckptnames.predict(Net(), wrap=["lightning"]),
    "cannot-wrap": lambda: ckptnames.predict(Net(), wrap=["compile@head", "weight_norm@head"]),
    "endless-model": _endless,
    "no-state-dict": _no_state_dict,
    "no-such-submodule": lambda: ckptnames.predict(Net(), wrap=["compile@encodr"]),
    "no-weight": lambda: ckptnames.predict(Net(), wrap=["weight_norm"]),
    "not-a-module": lambda: ckptnames.canonical(Net),  # type: ignore[arg-type]
    "unknown-wrapper": lambda: ckptnames.predict(Net(), wrap=["compil"]),
}


def test_every_code_has_a_heading_and_a_case() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ModelError)]
    codes = {each.code for each in classes} - {ModelError.code}
    assert codes == CASES.keys() == SHOWN.keys()
    assert list(SHOWN) == sorted(SHOWN)


@pytest.mark.parametrize("code", CASES)
def test_the_page_shows_what_is_raised(code: str) -> None:
    with pytest.raises(CkptnamesError) as caught:
        CASES[code]()
    assert caught.value.code == code
    assert str(caught.value) == SHOWN[code]
    assert str(pickle.loads(pickle.dumps(caught.value))) == SHOWN[code]
