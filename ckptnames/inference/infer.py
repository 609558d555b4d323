"""The verb ``infer``, for whatever a caller holds."""

from __future__ import annotations

from ckptnames.inference.inference import Inference, inferred
from ckptnames.inference.wrappers.containers import chosen, source_for
from ckptnames.operands import Readable, manifest_of
from ckptnames.rules import Rules


def infer(source: Readable, target: Readable, given: Rules | str | None = None, *, by_value: bool = False) -> Inference:
    """Find the rules that lead from the names of one checkpoint or model to those of another, or say what is open.

    Names, shapes and dtypes decide; no weight is read. ``given`` holds lines that are right already; the rest is found.
    A pair that evidence does not decide is left open (``ambiguous``), and one whose values may have to be laid out
    anew carries a caution. With ``by_value``, both are files that hold the same weights: tensors are paired by what
    they hold.

    >>> found = infer("fixtures/example/trained_ddp.pt", "fixtures/example/model.safetensors")
    >>> print(found.rules, end="")
    module._orig_mod.** -> **
    >>> found.complete, found.ambiguous, found.cautions
    (True, (), ())

    Raises ``rule-syntax``, ``no-values``, and what reading and building raise.
    """
    rules = Rules.parse(given) if isinstance(given, str) else given
    if by_value:
        return _by_value(source, target, rules)
    wanted = manifest_of(target)
    return inferred(source_for(source, wanted), wanted, rules)


def _by_value(source: Readable, target: Readable, given: Rules | None) -> Inference:
    from ckptnames.inference.by_value import inferred_by_value
    from ckptnames.values.opening import open_file, payloads

    ours, theirs = open_file(source), open_file(target)
    wanted = theirs.checkpoint.manifest(theirs.container)
    with payloads(ours, theirs) as both:
        return inferred_by_value(chosen(*ours, wanted), wanted, both, given)
