"""Tables of other libraries that rules cannot say, and rules that they cannot."""

from __future__ import annotations

from collections.abc import Sequence

from ckptnames.errors.base import RuleError
from ckptnames.wording import either


class CannotTranslate(RuleError):
    """An entry of another library's table that no rules can say."""

    code = "cannot-translate"

    def __init__(self, table: str, entry: str, reason: str, keys: Sequence[str] = ()) -> None:
        self.table, self.entry, self.reason, self.keys = table, entry, reason, tuple(keys)
        shown = f": {either(self.keys, 'and')}" if keys else ""
        super().__init__(
            f"an entry of the table {reason}{shown}",
            where=table,
            evidence=[entry] if entry else [],
            help=self._cure(),
        )

    def _cure(self) -> str:
        if self.keys:
            return "take the entry out, and do what it does in your own code after the rename"
        if "anywhere" in self.reason:
            return "give the keys that the rules are for: table.rules(keys)"
        return "leave it out with table.renames(), or take it out of the table"


class CannotExport(RuleError):
    """A rename that transformers' ``key_mapping`` cannot say: ``becomes`` is what the library would make of the key."""

    code = "cannot-export"

    def __init__(self, key: str, names: Sequence[str], where: str, becomes: str = "") -> None:
        self.key, self.names, self.becomes = key, tuple(names), becomes
        if not names:
            reason = f"'{key}' is left out, and a key_mapping can only rename"
        elif len(names) > 1:
            reason = f"'{key}' gets {len(names)} names, and a key_mapping gives one"
        else:
            reason = f"a key_mapping would make '{becomes}' of '{key}', and not '{names[0]}'"
        super().__init__(
            reason,
            where=where,
            help="rename the file first, as in: ckptnames.fix(source, out, rules=rules)",
        )
