"""``ckptnames predict``."""

from __future__ import annotations

import json

import click

from ckptnames.cli import exits
from ckptnames.cli.operands import prints_on_stderr
from ckptnames.cli.screen import out, paint, width
from ckptnames.errors import BadUsage
from ckptnames.prediction.locating import model_named, no_model, require_torch

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
@click.option("--flat", is_flag=True, help="One key a line: key, shape and dtype, with tabs between.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, which can be read again as a manifest.")
def command(model: str | None, wrap: tuple[str, ...], explain: str | None, flat: bool, as_json: bool) -> int:
    """Say which names the state dict of MODEL will have, and why.

    MODEL is file.py:NAME or package.module:NAME, with arguments where it needs some: a class, a function that returns
    a module, or a module. Its code is imported, and it is built without memory for its weights.

    \b
    ckptnames predict model.py:Net
    ckptnames predict 'torchvision.models:resnet18(num_classes=10)' --wrap compile --wrap ddp
    ckptnames predict model.py:Net --explain layers.0.weight
    """
    if model is None and explain not in (None, _ALL):
        model, explain = explain, _ALL  # `--explain MODEL`: the model is no key.
    if model is None:
        raise BadUsage("there is no MODEL", _NAME, "name one, as in 'ckptnames predict model.py:Net'")
    if explain is not None and flat:
        raise BadUsage("--flat lists the keys, and --explain explains them", _NAME, "give one of the two")
    if model_named(model) is None:
        raise no_model(model)
    require_torch(model)
    with prints_on_stderr():
        text = _answer(model, wrap, explain, "json" if as_json else "flat" if flat else "text")
    out(text)
    return exits.DONE


def _answer(model: str, wrap: tuple[str, ...], explain: str | None, form: str) -> str:
    from ckptnames.prediction import predict
    from ckptnames.prediction.as_checkpoint import as_checkpoint
    from ckptnames.prediction.building import built
    from ckptnames.prediction.doctor import examine
    from ckptnames.prediction.origins import explain as explained
    from ckptnames.report.ls import ls_flat
    from ckptnames.report.predict import explain_text, predict_json, predict_text

    found, record = built(model)
    checkpoint = as_checkpoint(predict(found, wrap), model)
    origins = None
    if explain is not None:
        origins = explained(found, None if explain == _ALL else explain, wrap=wrap, record=record)
    if form == "json":
        return json.dumps(predict_json(checkpoint.manifest(), examine(found, record), origins)) + "\n"
    if form == "flat":
        return ls_flat(checkpoint.manifest())
    if origins is not None:
        return explain_text(origins, width=width(), paint=paint())
    return predict_text(checkpoint, examine(found, record), wrap, width=width(), paint=paint())
