"""Weights that cannot be put into a model as asked."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import MAX_EVIDENCE, FileError, LoadError, nearest
from ckptnames.errors.operands import NoSuchContainer
from ckptnames.errors.plans import AmbiguousInference, UncheckedCaution
from ckptnames.wording import aligned, counted, either

_UNTOUCHED = "Nothing was loaded"


class IncompleteLoad(LoadError):
    """A checkpoint that does not fill the model: what each key lacks, and ``rules`` that the names suggest, if any do.

    ``rows`` describe the keys, folded; ``counts`` say how many there are of each kind.
    """

    code = "incomplete-load"

    def __init__(
        self,
        where: str,
        counts: Sequence[tuple[int, str]],
        rows: Sequence[tuple[str, ...]],
        help: str,
        rules: str = "",
        outcome: str = _UNTOUCHED,
    ) -> None:
        self.counts, self.rows, self.rules = tuple(counts), tuple(rows), rules
        said = ", ".join(f"{counted(n, 'key')} {what}" for n, what in counts)
        super().__init__(
            f"the checkpoint does not fill the model: {said}",
            where=where,
            evidence=aligned(rows, MAX_EVIDENCE),
            help=help,
            outcome=outcome,
        )


class NothingMatched(LoadError):
    """A load of which nothing would be left: no weight of the model has a counterpart in the checkpoint."""

    code = "nothing-matched"

    def __init__(self, where: str, source: Sequence[str], target: Sequence[str], n_target: int) -> None:
        self.n_target = n_target
        super().__init__(
            f"none of the model's {counted(n_target, 'key')} would be filled",
            where=where,
            evidence=[
                *(f"in the checkpoint: {key}" for key in source[:2]),
                *(f"in the model:      {key}" for key in target[:2]),
            ],
            help="give the rules that lead from one to the other: rules='source pattern -> target pattern'",
            outcome=_UNTOUCHED,
        )


class LossyCast(LoadError):
    """Values that the dtype of the model cannot hold."""

    code = "lossy-cast"

    def __init__(self, where: str, casts: Sequence[tuple[str, str, str, str]]) -> None:
        self.casts = tuple(casts)
        n = len(self.casts)
        super().__init__(
            f"{counted(n, 'tensor')} would lose {'its' if n == 1 else 'their'} values in a cast",
            where=where,
            evidence=aligned([(key, f"{a} to {b}", why) for key, a, b, why in self.casts], MAX_EVIDENCE),
            help="build the model with the dtype of the checkpoint, or dequantise the checkpoint first",
            outcome=_UNTOUCHED,
        )


class LoadInterrupted(LoadError):
    """A load that failed while it wrote: ``overwritten`` are the model's keys that have their new values."""

    code = "load-interrupted"

    def __init__(self, where: str, reason: str, overwritten: Sequence[str], patterns: Sequence[str], n: int) -> None:
        self.reason, self.overwritten, self.n_keys = reason, tuple(overwritten), n
        super().__init__(
            f"the load broke off when {len(overwritten):,} of {counted(n, 'key')} were overwritten: {reason}",
            where=where,
            evidence=patterns,
            help="load a checkpoint again before the model is used: some of its values are old, some are new",
        )


class TiedValuesDiffer(LoadError):
    """Keys that share one tensor in the model, and have different values in the checkpoint."""

    code = "tied-values-differ"

    def __init__(self, where: str, names: Sequence[str], keys: Sequence[str]) -> None:
        self.names, self.keys = tuple(names), tuple(keys)
        super().__init__(
            f"{either(self.names, 'and')} are one tensor in the model, and differ in the checkpoint",
            where=where,
            evidence=keys,
            help=f"untie them in the model, or leave one out with a rule: '{keys[-1]} -> !drop'",
            outcome=_UNTOUCHED,
        )


class OtherNorm(LoadError):
    """A weight that stands under a norm on one side only: another number, not another name."""

    code = "other-norm"

    def __init__(self, where: str, modules: Sequence[str], in_source: bool) -> None:
        self.modules, self.in_source = tuple(modules), in_source
        has, lacks = ("the checkpoint", "the model") if in_source else ("the model", "the checkpoint")
        first = f"'{self.modules[0]}'" if self.modules[0] else "the model"
        super().__init__(
            f"{has} has {counted(len(modules), 'module')} under weight norm, and {lacks} has their plain weights",
            where=where,
            evidence=[module or "(the model itself)" for module in modules],
            help=f"put torch.nn.utils.parametrizations.weight_norm on {first} before the load"
            if in_source
            else f"load before weight norm is put on {first}: it computes its two parts from the weight",
            outcome=_UNTOUCHED,
        )


class UnacceptedCaution(UncheckedCaution):
    """Inferred rules under which a value may have to be permuted or transposed as well."""

    def __init__(self, path: str, caution: str, message: str, patterns: Sequence[str], n_keys: int) -> None:
        super().__init__(path, caution, message, patterns, n_keys)
        self.help = f"where a rename is enough, say so: accept=[{caution!r}]"
        self.outcome = _UNTOUCHED


class UndecidedCopies(AmbiguousInference):
    """Several copies, in the source or in the model, fit the other side equally well."""

    def __init__(self, path: str, choices: Sequence[tuple[str, int]]) -> None:
        super().__init__(path, choices)
        self.help = f'name the one you want, as in: rules={self.choices[0][0]!r}, unexpected="ignore"'
        if self.of_all is not None:
            self.help = (
                f'fill each of them: rules={self.of_all!r}; or one: rules={self.choices[0][0]!r}, missing="keep"'
            )
        self.outcome = _UNTOUCHED


class MetaModel(LoadError):
    """Parts of the model that would stay without memory after the load."""

    code = "meta-model"

    def __init__(self, where: str, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"{counted(len(keys), 'tensor')} of the model would stay on the meta device, without values",
            where=where,
            evidence=keys,
            help="give them values first, as in model.to_empty(device='cpu') and the initialisation of the model",
            outcome=_UNTOUCHED,
        )


class CannotDecode(FileError):
    """A value that is more than its bytes, which the library that reads it does not make."""

    code = "cannot-decode"

    def __init__(
        self, path: object, key: str, reason: str, cures: Sequence[str] = (), unsafe: Sequence[str] = ()
    ) -> None:
        self.path, self.key, self.reason, self.cures = str(path), key, reason, tuple(cures)
        advice = "load it in your own code, and pass what that gives: ckptnames.load(model, state_dict)"
        if cures:
            advice = f"allow it first: {'; '.join(cures)}"
        if unsafe:
            advice = "do not load this file, which would run what it names: get the weights from a source you trust"
        super().__init__(
            f"the value of '{key}' cannot be made: {reason}", where=f"{path}", help=advice, outcome=_UNTOUCHED
        )


class MisalignedOptimizer(LoadError):
    """State of an optimizer that would go to another parameter than the one it belongs to."""

    code = "misaligned-optimizer"

    def __init__(self, reason: str, evidence: Sequence[str]) -> None:
        self.reason = reason
        super().__init__(
            f"the state of the optimizer does not fit: {reason}",
            evidence=evidence,
            help="start with a new state, or save one that has names: torch.optim.AdamW(model.named_parameters())",
        )


class ExchangedNames(LoadError):
    """Rules under which the names are right before and after, so that they do not say which of the two it is."""

    code = "exchanged-names"

    def __init__(self, where: str, moved: Sequence[tuple[str, str]]) -> None:
        self.moved = tuple(moved)
        super().__init__(
            "the names are the model's before and after the rules: they do not tell whether the rules are due",
            where=where,
            evidence=[f"{before} -> {after}" for before, after in moved],
            help="say it with the version of the file, which ckptnames.save stamps, or pass rules= where they are due",
            outcome=_UNTOUCHED,
        )


class NamesTooNew(LoadError):
    """A file whose names are of a later version than the model's."""

    code = "names-too-new"

    def __init__(self, where: str, found: int, known: int) -> None:
        self.found, self.known = found, known
        super().__init__(
            f"the names in the file are of version {found}, and the model's of version {known}",
            where=where,
            help="update the code of the model to what wrote the file",
            outcome=_UNTOUCHED,
        )


class NoSuchEntry(NoSuchContainer):
    """A dict in memory has no state dict of that name; ``there`` are those it has, each with its size."""

    def __init__(self, name: str, there: Sequence[tuple[str, str]]) -> None:
        super().__init__("", name, there)
        near = next(iter(nearest(name, [each for each, _ in there]) or [each for each, _ in there]), "")
        self.help = f"name one of these, as in: container={near!r}" if there else "pass the state dict itself"


class NeedsAssign(LoadError):
    """An option that says how new tensors are made, where the model keeps its own."""

    code = "needs-assign"

    def __init__(self, option: str) -> None:
        self.option = option
        super().__init__(
            f"{option} is for new tensors, and the model keeps its own",
            help="pass assign=True with it, or move the model first: model.to(…)",
            outcome=_UNTOUCHED,
        )


class UnknownChoice(LoadError):
    """A value that an option does not have."""

    code = "unknown-choice"

    def __init__(self, option: str, found: object, choices: Sequence[str]) -> None:
        self.option, self.found, self.choices = option, str(found), tuple(choices)
        super().__init__(
            f"{option}={found!r} is no choice", help=f"write {option}= with {either(choices)}", outcome=_UNTOUCHED
        )


class CannotAssign(LoadError):
    """New tensors for a model in which FSDP keeps the parameters as parts of one that is flat."""

    code = "cannot-assign"

    def __init__(self, modules: Sequence[str], option: str = "") -> None:
        self.modules, self.option = tuple(modules), option
        super().__init__(
            "FullyShardedDataParallel keeps the parameters in flat ones: no other tensors can take their place",
            evidence=[module or "(the model itself)" for module in modules],
            help=f"leave {option} out, or load before the model is sharded"
            if option
            else "load before the model is sharded: a part of it is on the meta device",
            outcome=_UNTOUCHED,
        )


class CannotPlace(LoadError):
    """A device on which the weights of the model cannot be."""

    code = "cannot-place"

    def __init__(self, device: object, reason: str, help: str) -> None:
        self.device, self.reason = str(device), reason
        super().__init__(f"device={self.device!r} {reason}", help=help, outcome=_UNTOUCHED)


class TwoContainers(LoadError):
    """A path and an option that name different containers."""

    code = "two-containers"

    def __init__(self, path: object, named: str, option: str) -> None:
        self.path, self.named, self.option = str(path), named, option
        super().__init__(
            f"the path names the container '{named}', and container={option!r} another",
            where=self.path,
            help=f"name one: leave container={option!r} out",
            outcome=_UNTOUCHED,
        )
