"""Rules that cannot mean anything."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import RuleError
from ckptnames.wording import either, shown


class RuleSyntax(RuleError):
    """A line of a rule file that is no rule."""

    code = "rule-syntax"

    def __init__(self, found: str, *, name: str, line: int, text: str, start: int, end: int, help: str) -> None:
        self.name, self.line, self.text, self.start, self.end = name, line, text, start, end
        indent, width = len(shown(text[:start])), len(shown(text[start:end]))
        super().__init__(
            found,
            where=f"{name}:{line}:{start + 1}",
            evidence=[text, " " * indent + "~" * (width - 1) + "^"],
            help=help,
        )


class UnknownRulesVersion(RuleError):
    """A rule file of a version that this program does not read."""

    code = "rules-version"

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version
        super().__init__(
            f"these are rules of version '{version}': this ckptnames reads version 1",
            where=f"{name}:1",
            help="update ckptnames, or rewrite the file in version 1 and name that in its first line",
        )


class UnreadableRules(RuleError):
    """A rule file that cannot be opened or is no text."""

    code = "unreadable-rules"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"the rules '{path}' cannot be read: {reason}",
            where=f"{path}",
            help="name a file of rules in UTF-8, one `source pattern -> target pattern` a line",
        )


class UnknownRecipe(RuleError):
    """A recipe that does not come with this program."""

    code = "unknown-recipe"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        import difflib

        self.name, self.known = name, tuple(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        offered = either([f"recipe:{each}" for each in near]) if near else ""
        super().__init__(
            f"there is no recipe called '{name}'",
            help=f"did you mean {offered}?" if near else "list them all: ckptnames infer --recipes",
        )


class BadArithmetic(RuleError):
    """A rule that would compute an index that no key can have."""

    code = "bad-arithmetic"

    def __init__(self, where: str, rule: str, key: str, expression: str, reason: str, keep: str) -> None:
        self.rule, self.key, self.expression, self.reason = rule, key, expression, reason
        super().__init__(
            f"'{{{expression}}}' {reason} for the key '{key}'",
            where=where,
            evidence=[rule],
            help=f"put a rule for such keys before it, as in `{keep}`, which keeps the name",
        )


class KeyTooLong(RuleError):
    """A key that takes too many steps to match."""

    code = "key-too-long"

    def __init__(self, pattern: str, key: str) -> None:
        self.pattern, self.key = pattern, key
        super().__init__(
            f"a key of {len(key):,} characters is too long for the pattern '{pattern}'",
            evidence=[f"{key[:60]}…"],
            help="name each slot of the pattern once, and put dots around the slots",
        )


class NotInvertible(RuleError):
    """Rules that cannot be undone, and the line that loses information."""

    code = "not-invertible"

    def __init__(self, where: str, rule: str, reason: str, help: str) -> None:
        self.rule, self.reason = rule, reason
        super().__init__(f"the rules cannot be inverted: {reason}", where=where, evidence=[rule], help=help)


class CannotAllow(RuleError):
    """A problem that cannot be accepted for some keys."""

    code = "cannot-allow"

    def __init__(self, problem: str, accepted: Sequence[str]) -> None:
        self.problem, self.accepted = problem, tuple(accepted)
        super().__init__(
            f"'{problem}' is not a problem that can be allowed",
            help=f"name one of these: {', '.join(accepted)}",
        )


class CannotAccept(RuleError):
    """A caution that there is not."""

    code = "cannot-accept"

    def __init__(self, caution: str, known: Sequence[str]) -> None:
        self.caution, self.known = caution, tuple(known)
        super().__init__(f"there is no caution called '{caution}'", help=f"name one of these: {', '.join(known)}")


class MigrationStages(RuleError):
    """A history of names whose stages are not those of versions, in their order."""

    code = "migration-stages"

    def __init__(self, where: str, reason: str, help: str) -> None:
        self.reason = reason
        super().__init__(f"the rules are no history of names: {reason}", where=where, help=help)
