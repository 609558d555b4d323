"""``ckptnames predict``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import prints_on_stderr, static_option
from ckptnames.cli.screen import out, out_json, paint, tell_what_is_open, width
from ckptnames.errors import BadUsage
from ckptnames.manifest import Manifest
from ckptnames.prediction.as_checkpoint import as_checkpoint
from ckptnames.prediction.locating import is_read, model_named, no_model, require_torch
from ckptnames.report.ls import ls_flat
from ckptnames.report.predict import explain_text, predict_json, predict_text

if TYPE_CHECKING:
    from ckptnames.prediction.doctor import Finding
    from ckptnames.prediction.origins import Step

_ALL = "*"
_NAME = "ckptnames predict"


@click.command("predict", short_help="The names that a model's state_dict will have, and why.")
@click.argument("model", required=False)
@click.option("--wrap", multiple=True, metavar="W", help="What wraps the model, outermost last: ddp, compile@encoder.")
@click.option(
    "--explain",
    is_flag=False,
    flag_value=_ALL,
    metavar="[KEY]",
    help="What made each segment of a key, or of all.",
)
@static_option
@click.option("--flat", is_flag=True, help="One key a line: key, shape and dtype, with tabs between.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, which can be read again as a manifest.")
def command(
    model: str | None, wrap: tuple[str, ...], explain: str | None, static: bool, flat: bool, as_json: bool
) -> int:
    """Say which names the state dict of MODEL will have, and why.

    MODEL is file.py:NAME or package.module:NAME, with arguments where it needs some: a class, a function that returns
    a module, or a module. Its code is imported, and it is built without memory for its weights. With --static, and at
    a git revision, git:REV:file.py:NAME, its code is read and not run; what that does not tell is said to be open, and
    the exit code is 1.

    \b
    ckptnames predict model.py:Net
    ckptnames predict 'torchvision.models:resnet18(num_classes=10)' --wrap compile --wrap ddp
    ckptnames predict model.py:Net --explain layers.0.weight
    ckptnames predict git:HEAD~1:model.py:Net
    """
    if model is None and explain not in (None, _ALL):
        model, explain = explain, _ALL  # `--explain MODEL`: the model is no key.
    if model is None:
        raise BadUsage("there is no MODEL", _NAME, "name one, as in 'ckptnames predict model.py:Net'")
    if explain is not None and flat:
        raise BadUsage("--flat lists the keys, and --explain explains them", _NAME, "give one of the two")
    if model_named(model) is None:
        raise no_model(model)
    key = None if explain == _ALL else explain
    answered = (
        _read(model, wrap, explain is not None, key)
        if is_read(model, static)
        else _built(model, wrap, explain is not None, key)
    )
    manifest, findings, origins = answered
    checkpoint = as_checkpoint(manifest, model)
    if as_json:
        out_json(predict_json(checkpoint.manifest(), findings, origins))
    elif flat:
        out(ls_flat(manifest))
        tell_what_is_open(manifest)
    elif origins is not None:
        out(explain_text(origins, width=width(), paint=paint()))
    else:
        out(predict_text(checkpoint, findings, wrap, width=width(), paint=paint()))
    return exits.INCOMPLETE if manifest.open else exits.DONE


class _Answer(NamedTuple):
    """What is said of a model: its names, what a reader would trip over and, if that is asked for, what made each."""

    manifest: Manifest
    findings: list[Finding]
    origins: dict[str, tuple[Step, ...]] | None


def _built(model: str, wrap: Sequence[str], explains: bool, key: str | None) -> _Answer:
    """Answer from the model that its code builds."""
    require_torch(model)
    from ckptnames.prediction import predict
    from ckptnames.prediction.building import built
    from ckptnames.prediction.doctor import examine
    from ckptnames.prediction.origins import explain

    with prints_on_stderr():
        found, record = built(model)
        origins = explain(found, key, wrap=wrap, record=record) if explains else None
        return _Answer(predict(found, wrap), examine(found, record), origins)


def _read(model: str, wrap: Sequence[str], explains: bool, key: str | None) -> _Answer:
    """Answer from what its code says."""
    from ckptnames.prediction.static.answer import Answer

    found = Answer(model)
    if explains or wrap:
        require_torch(model)
    findings = found.findings() if find_spec("torch") is not None else []
    return _Answer(found.manifest(wrap), findings, found.explained(key, wrap) if explains else None)
