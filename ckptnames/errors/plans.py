"""Rules and names that do not fit each other."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import MAX_EVIDENCE, PlanError
from ckptnames.wording import counted, in_shell, shape_text


class KeyCollision(PlanError):
    """Several source keys would become one target key."""

    code = "key-collision"

    def __init__(self, target: str, claims: Sequence[tuple[str, str]], n_more: int = 0) -> None:
        self.target, self.claims, self.n_more = target, tuple(claims), n_more
        width = max(len(source) for source, _ in claims)
        rows = [f"{source:<{width}}   {where}" for source, where in claims]
        if n_more:
            rows = [*rows[: MAX_EVIDENCE - 1], f"… and {n_more} more collision{'s' if n_more > 1 else ''}"]
        super().__init__(
            f"{len(claims)} source keys would {'both' if len(claims) == 2 else 'all'} become '{target}'",
            evidence=rows,
            help=f"{self._cure()}. Nothing was written",
        )

    def _cure(self) -> str:
        places = list(dict.fromkeys(where for _, where in self.claims))
        kept = [source for source, where in self.claims if where == "identity"]
        if kept:
            return f"'{kept[0]}' has this name already: move it or leave it out with a rule, as in `{kept[0]} -> !drop`"
        if len(places) == 1:
            return f"put what tells these keys apart into the target of {places[0]}, as a slot"
        return f"give {' and '.join(places[:2])} different targets"


class OpenKey(PlanError):
    """Keys that a rule marks as not decided."""

    code = "open-key"

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"{counted(len(keys), 'key')} not decided, the first is '{keys[0][0]}'",
            evidence=[f"{key}   {where}" for key, where in keys],
            help=f"replace `!open` in {keys[0][1]} by a target, or by `!drop`. Nothing was written",
        )


class UnmatchedRule(PlanError):
    """Rules that match no key."""

    code = "unmatched-rule"

    def __init__(self, rules: Sequence[tuple[str, str, str]]) -> None:
        self.rules = tuple(rules)
        super().__init__(
            f"{counted(len(rules), 'rule')} match{'es' if len(rules) == 1 else ''} no key",
            evidence=[f"{where}   {rule}" + (f"   nearest: {near}" if near else "") for where, rule, near in rules],
            help=f"correct {rules[0][0]}, or end it with ` ?` if it may match nothing. Nothing was written",
        )


class ShadowedRule(PlanError):
    """Rules that never decide, because earlier ones take every key they match."""

    code = "shadowed-rule"

    def __init__(self, rules: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        self.rules = tuple(rules)
        where, _, by = rules[0]
        super().__init__(
            f"{counted(len(rules), 'rule')} never decide{'s' if len(rules) == 1 else ''}: earlier lines take the keys",
            evidence=[f"{where}   {rule}   taken by {', '.join(by[:3])}" for where, rule, by in rules],
            help=f"move {where} above {by[0]}, or end it with ` ?` if that is meant. Nothing was written",
        )


class ShapeMismatch(PlanError):
    """Tensors that would fill target keys of other shapes."""

    code = "shape-mismatch"

    def __init__(self, items: Sequence[tuple[str, str, tuple[int, ...], tuple[int, ...]]], pattern: str) -> None:
        self.items, self.pattern = tuple(items), pattern
        super().__init__(
            f"{counted(len(items), 'tensor')} would fill a key of another shape",
            evidence=[
                f"{target}   source {shape_text(source_shape)}, target {shape_text(target_shape)}"
                + ("" if source == target else f"   from {source}")
                for source, target, source_shape, target_shape in items
            ],
            help=f"to keep the target's own values there: --allow shape-mismatch={in_shell(pattern)}. "
            "Nothing was written",
        )


class UnfilledTarget(PlanError):
    """Target keys that nothing fills."""

    code = "unfilled-target"

    def __init__(self, keys: Sequence[str], n_target: int, suggestion: str = "") -> None:
        self.keys, self.n_target, self.suggestion = tuple(keys), n_target, suggestion
        super().__init__(
            f"{len(keys)} of {counted(n_target, 'target key')} would stay unfilled",
            evidence=keys,
            help=(f"add the rule that fills it, perhaps `{suggestion}`" if suggestion else "add rules that fill them")
            + ". Nothing was written",
        )


class SplitSiblings(PlanError):
    """Tensors that would be parted from the companions that give them meaning."""

    code = "split-siblings"

    def __init__(self, items: Sequence[tuple[str, str, str]]) -> None:
        self.items = tuple(items)
        _, companion, expected = items[0]
        cure = f"`{companion} -> {expected}`" if expected else f"`{companion} -> !drop`"
        super().__init__(
            f"{counted(len(items), 'tensor')} would part from what gives {'it' if len(items) == 1 else 'them'} meaning",
            evidence=[
                f"{key}   without {other}" + (f", which belongs at {name}" if name else "")
                for key, other, name in items
            ],
            help=f"move both alike: add {cure}. Nothing was written",
        )


class PartialPrefix(PlanError):
    """A prefix to strip stands on some of the keys only."""

    code = "partial-prefix"

    def __init__(self, path: str, prefix: str, carriers: Sequence[str], rest: Sequence[str]) -> None:
        self.prefix, self.carriers, self.rest = prefix, tuple(carriers), tuple(rest)
        n = len(self.carriers) + len(self.rest)
        super().__init__(
            f"'{prefix}.' stands on {len(self.carriers)} of {n} keys, not on all",
            where=path,
            evidence=[
                *(f"with:    {key}" for key in self.carriers[:2]),
                *(f"without: {key}" for key in self.rest[:2]),
            ],
            help=f"to strip it where it stands: --rule '{prefix}.** -> **'. Nothing was written",
        )


class AmbiguousInference(PlanError):
    """Several copies in the source fit the target equally well."""

    code = "ambiguous-inference"

    def __init__(self, path: str, choices: Sequence[tuple[str, str, int]]) -> None:
        self.choices = tuple(choices)
        lines = [f"{strip}.** -> {add + '.' if add else ''}**   {n} keys" for strip, add, n in self.choices]
        super().__init__(
            f"{len(self.choices)} copies in this checkpoint fit the target equally well",
            where=path,
            evidence=lines,
            help=f"name the one you want: --rule '{lines[0].split('   ')[0]}' --drop-unexpected. Nothing was written",
        )


class CannotRename(PlanError):
    """The source holds content that no rename turns into the target's weights."""

    code = "cannot-rename"

    def __init__(self, path: str, code: str, message: str, keys: Sequence[str], help: str) -> None:
        self.reason, self.keys = code, tuple(keys)
        super().__init__(message, where=path, evidence=keys, help=f"{help}. Nothing was written")


class ReservedName(PlanError):
    """A tensor cannot have the name that the format keeps for itself."""

    code = "reserved-name"

    def __init__(self, path: object, key: str, name: str) -> None:
        self.path, self.key, self.name = str(path), key, name
        super().__init__(
            f"'{key}' would become '{name}', which safetensors keeps for its metadata",
            where=f"{path}",
            help="give the tensor another name. Nothing was written",
        )
