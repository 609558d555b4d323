"""The verb ``infer``, for whatever a caller holds."""

from __future__ import annotations

from ckptnames.inference.inference import Inference, inferred
from ckptnames.inference.wrappers.containers import source_for
from ckptnames.operands import Readable, manifest_of
from ckptnames.rules import Rules


def infer(source: Readable, target: Readable, given: Rules | str | None = None) -> Inference:
    """Find the rules that lead from the names of one checkpoint or model to those of another, or say what is open.

    Names, shapes and dtypes decide; no weight is read. ``given`` holds lines that are right already; the rest is found.
    A pair that evidence does not decide is left open (``ambiguous``), and one whose values may have to be laid out
    anew carries a caution.

    >>> found = infer("fixtures/example/trained_ddp.pt", "fixtures/example/model.safetensors")
    >>> print(found.rules, end="")
    module._orig_mod.** -> **
    >>> found.complete, found.ambiguous, found.cautions
    (True, (), ())

    Raises ``rule-syntax``, and what reading and building raise.
    """
    wanted = manifest_of(target)
    return inferred(source_for(source, wanted), wanted, Rules.parse(given) if isinstance(given, str) else given)
