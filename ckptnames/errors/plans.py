"""Rules and names that do not fit each other."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import MAX_EVIDENCE, PlanError
from ckptnames.wording import aligned, counted, in_one_line, in_shell, path_in_shell, shape_text


class KeyCollision(PlanError):
    """Several source keys would become one target key; ``leave_out`` is a rule that drops the one that has it."""

    code = "key-collision"

    def __init__(self, target: str, claims: Sequence[tuple[str, str]], n_more: int = 0, leave_out: str = "") -> None:
        self.target, self.claims, self.n_more, self.leave_out = target, tuple(claims), n_more, leave_out
        rows = aligned(self.claims, MAX_EVIDENCE)
        if n_more:
            rows = [*rows[: MAX_EVIDENCE - 1], f"… and {counted(n_more, 'more collision')}"]
        super().__init__(
            f"{counted(len(claims), 'source key')} would {'both' if len(claims) == 2 else 'all'} become '{target}'",
            evidence=rows,
            help=self._cure(),
        )

    def _cure(self) -> str:
        places = list(dict.fromkeys(where for _, where in self.claims))
        if self.leave_out:
            return f"one of them has this name already: move it, or leave it out with --rule {in_shell(self.leave_out)}"
        if len(places) == 1:
            return f"put what tells these keys apart into the target of {places[0]}, as a slot"
        return f"give {' and '.join(places[:2])} different targets"


class EntryCollision(KeyCollision):
    """A key would become the name of an entry that is no tensor."""

    def __init__(self, target: str, key: str, entry: str, what: str) -> None:
        self.target, self.claims, self.n_more, self.leave_out = target, ((key, ""), (entry, "")), 0, ""
        PlanError.__init__(
            self,
            f"'{key}' would become '{target}', and so would '{entry}', which is no tensor ({what})",
            help=f"give '{key}' another name",
        )


class OpenKey(PlanError):
    """Keys that a rule marks as not decided."""

    code = "open-key"

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"'{keys[0][0]}' {f'and {len(keys) - 1:,} more are' if len(keys) > 1 else 'is'} not decided",
            evidence=aligned(self.keys, MAX_EVIDENCE),
            help=f"replace `!open` in {keys[0][1]} by a target, or by `!drop`",
        )


class UnmatchedRule(PlanError):
    """Rules that match no key; each with its line and what may be wrong with it."""

    code = "unmatched-rule"

    def __init__(self, rules: Sequence[tuple[str, str, str]]) -> None:
        self.rules = tuple(rules)
        super().__init__(
            f"{counted(len(rules), 'rule')} match{'es' if len(rules) == 1 else ''} no key",
            evidence=aligned(rules, MAX_EVIDENCE),
            help=f"correct {rules[0][0]}, or end it with ` ?` if it may match nothing",
        )


class ShadowedRule(PlanError):
    """Rules that never decide, because earlier ones take every key they match."""

    code = "shadowed-rule"

    def __init__(self, rules: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        self.rules = tuple(rules)
        where, _, by = rules[0]
        super().__init__(
            f"{counted(len(rules), 'rule')} never decide{'s' if len(rules) == 1 else ''}: earlier lines take the keys",
            evidence=aligned([(at, rule, f"taken by {', '.join(by[:3])}") for at, rule, by in rules], MAX_EVIDENCE),
            help=f"move {where} above {by[0]}, or end it with ` ?` if that is meant",
        )


class ShapeMismatch(PlanError):
    """Tensors that would fill target keys of other shapes; ``patterns`` cover those keys, if few do.

    ``compared`` names source and target.
    """

    code = "shape-mismatch"

    def __init__(
        self,
        items: Sequence[tuple[str, str, tuple[int, ...], tuple[int, ...]]],
        patterns: Sequence[str],
        compared: Sequence[str],
    ) -> None:
        self.items, self.patterns, self.compared = tuple(items), tuple(patterns), tuple(compared)
        rows = [
            (name, f"source {shape_text(has)}, target {shape_text(wants)}", "" if source == name else f"from {source}")
            for source, name, has, wants in items
        ]
        super().__init__(
            f"{counted(len(items), 'tensor')} would fill {'a key' if len(items) == 1 else 'keys'} of another shape",
            evidence=aligned(rows, MAX_EVIDENCE),
            help=_kept(self.code, patterns, compared),
        )


def _kept(code: str, patterns: Sequence[str], compared: Sequence[str]) -> str:
    """Say how to keep the target's own values where few patterns cover the keys; many are no detail to be accepted."""
    if patterns:
        allowed = " ".join(f"--allow {code}={in_shell(pattern)}" for pattern in patterns)
        return f"to keep the target's own values there: {allowed}"
    return f"they may be different models: ckptnames diff {' '.join(map(path_in_shell, compared))}"


class UnfilledTarget(PlanError):
    """Target keys that nothing fills; ``rule`` fills one with what is left over, ``patterns`` cover them all if few do.

    ``compared`` names source and target.
    """

    code = "unfilled-target"

    def __init__(
        self, keys: Sequence[str], n_target: int, rule: str, patterns: Sequence[str], compared: Sequence[str]
    ) -> None:
        self.keys, self.n_target, self.rule = tuple(keys), n_target, rule
        self.patterns, self.compared = tuple(patterns), tuple(compared)
        super().__init__(
            f"nothing would fill {len(keys):,} of {counted(n_target, 'target key')}",
            evidence=keys,
            help=f"say what fills {'it' if len(keys) == 1 else 'each'}, perhaps with --rule {in_shell(rule)}"
            if rule
            else _kept(self.code, patterns, compared),
        )


class OpenTarget(PlanError):
    """Parts of a target of which the keys are not known: its source was read, and does not tell them."""

    code = "open-target"

    def __init__(self, parts: Sequence[str], target: str) -> None:
        self.parts, self.target = tuple(parts), target
        super().__init__(
            f"'{target}' tells only in part which keys it has: {counted(len(parts), 'part')} of it "
            f"{'is' if len(parts) == 1 else 'are'} open",
            evidence=parts,
            help="let it be built where its code runs, and give what that prints as the target: "
            f"ckptnames predict {in_shell(_on_disk(target))} --json > names.json",
        )


def _on_disk(target: str) -> str:
    """Leave out the revision that a model is named at: what is built is what is checked out.

    >>> _on_disk("git:HEAD~1:src/model.py:Net"), _on_disk("model.py:Net")
    ('src/model.py:Net', 'model.py:Net')
    """
    return target.split(":", 2)[-1] if target.startswith("git:") else target


class SplitSiblings(PlanError):
    """Tensors that would be parted from the companions that give them meaning; ``rule`` moves the first alike."""

    code = "split-siblings"

    def __init__(self, items: Sequence[tuple[str, str, str]], rule: str) -> None:
        self.items, self.rule = tuple(items), rule
        rows = [
            (key, f"without {other}" + (f", which belongs at {name}" if name else "")) for key, other, name in items
        ]
        super().__init__(
            f"{counted(len(items), 'tensor')} would part from what gives {'it' if len(items) == 1 else 'them'} meaning",
            evidence=aligned(rows, MAX_EVIDENCE),
            help=f"move both alike: add --rule {in_shell(rule)}",
        )


class PartialPrefix(PlanError):
    """A prefix to strip stands on some of the keys only; ``rule`` strips it from those."""

    code = "partial-prefix"

    def __init__(self, path: str, prefix: str, carriers: Sequence[str], rest: Sequence[str], rule: str) -> None:
        self.prefix, self.carriers, self.rest, self.rule = prefix, tuple(carriers), tuple(rest), rule
        n = len(self.carriers) + len(self.rest)
        super().__init__(
            f"'{prefix}.' stands on {len(self.carriers):,} of {counted(n, 'key')}, not on all",
            where=path,
            evidence=[
                *(f"with:    {key}" for key in self.carriers[:2]),
                *(f"without: {key}" for key in self.rest[:2]),
            ],
            help=f"to strip it where it stands: --rule {in_shell(rule)}",
        )


class AmbiguousInference(PlanError):
    """Several copies, in the source or in the target, fit the other side equally well.

    Each of ``choices`` is a rule that takes or fills a copy, with its keys.
    """

    code = "ambiguous-inference"

    def __init__(self, path: str, choices: Sequence[tuple[str, int]]) -> None:
        self.choices = tuple(choices)
        one = f"--rule {in_shell(self.choices[0][0])}"
        copies, fit = "copies in this checkpoint", "the target"
        action = f"name the one you want, as in: {one} --drop-unexpected"
        if self.of_all is not None:
            copies, fit = "copies in the target", "this checkpoint"
            action = f"fill the one you want, as in: {one}; or each of them: --rule {in_shell(self.of_all)}"
        super().__init__(
            f"{len(self.choices)} {copies} fit {fit} equally well",
            where=path,
            evidence=aligned([(rule, counted(n, "key")) for rule, n in self.choices], MAX_EVIDENCE),
            help=action,
        )

    @property
    def of_all(self) -> str | None:
        """The rule that fills all copies, where they are in the target."""
        return in_one_line([rule for rule, _ in self.choices])


class UndecidedKeys(AmbiguousInference):
    """Keys of the target that several keys of the source fit equally well; each line would decide it in one way."""

    def __init__(self, path: str, n_keys: int, lines: Sequence[str], message: str) -> None:
        self.n_keys, self.lines = n_keys, tuple(lines)
        PlanError.__init__(
            self,
            f"{counted(n_keys, 'key')} could be filled in several ways: {message}",
            where=path,
            evidence=self.lines,
            help="`ckptnames infer SOURCE TARGET -o names.rules` writes down what is known: decide the lines that end "
            "in `!open`, and give the file as --rules",
        )


class UncheckedCaution(PlanError):
    """Renames that fit in name and shape, of tensors whose values the two sides may lay out in different ways."""

    code = "unchecked-caution"

    def __init__(self, path: str, caution: str, message: str, patterns: Sequence[str], n_keys: int) -> None:
        self.caution, self.patterns, self.n_keys = caution, tuple(patterns), n_keys
        super().__init__(
            f"[{caution}] {counted(n_keys, 'key')}: {message}",
            where=path,
            evidence=self.patterns,
            help=f"where a rename is enough, say so with --accept {caution}",
        )


class CannotRename(PlanError):
    """The source holds content that no rename turns into the target's weights: each subclass is a reason."""

    def __init__(self, path: str, message: str, keys: Sequence[str], help: str) -> None:
        self.keys = tuple(keys)
        super().__init__(message, where=path, evidence=keys, help=help)

    @classmethod
    def by_code(cls, code: str) -> type[CannotRename]:
        """Give the class of this code."""
        return next(each for each in cls.__subclasses__() if each.code == code)


class NothingLeft(PlanError):
    """Rules that drop every key of the file."""

    code = "nothing-left"

    def __init__(self, path: object, n_keys: int) -> None:
        self.path, self.n_keys = str(path), n_keys
        super().__init__(
            f"all {counted(n_keys, 'key')} would be left out",
            where=f"{path}",
            help="drop less: a rule that ends in `-> !drop` takes every key that no earlier one does",
        )


class TransposedWeights(CannotRename):
    """The two sides multiply from different sides."""

    code = "transposed-weights"


class FlatParameters(CannotRename):
    """FSDP put many weights into one tensor without names."""

    code = "flat-parameters"


class ZeroPlaceholders(CannotRename):
    """DeepSpeed ZeRO-3 left empty tensors where the weights were."""

    code = "zero-placeholders"


class QuantisedWeights(CannotRename):
    """The weights are packed numbers, with their quantisation state beside them."""

    code = "quantised-weights"


class ReservedName(PlanError):
    """A tensor cannot have the name that the format keeps for itself."""

    code = "reserved-name"

    def __init__(self, path: object, key: str, name: str) -> None:
        self.path, self.key, self.name = str(path), key, name
        super().__init__(
            f"'{key}' would become '{name}', which safetensors keeps for its metadata",
            where=f"{path}",
            help="give the tensor another name",
        )
