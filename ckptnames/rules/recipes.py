"""The rule files that come with ckptnames, for renames that many people need: what they are called, and say."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ckptnames.errors import UnknownRecipe
from ckptnames.rules.pattern import quoted
from ckptnames.rules.rule import Rule
from ckptnames.rules.ruleset import Rules, Stage

PREFIX = "recipe:"
"""What stands before the name of a recipe where a file of rules could be named, too."""

_FOLDER = Path(__file__).parent.parent / "recipes"
_TOGETHER = "# together:"


class Recipe(NamedTuple):
    """A rule file that comes with ckptnames: its name, the one line that says what it does, and its rules.

    ``together`` holds rules from each of the names that make sense only together to the others: a `weight_v` is half of
    a normed weight where a `weight_g` stands beside it, and else a weight like any other.
    """

    name: str
    title: str
    rules: Rules
    together: tuple[tuple[Rule, ...], ...]

    def for_keys(self, keys: Collection[str]) -> Rules:
        """Give the rules for a set of keys, with lines above them that keep what lacks a companion.

        >>> print(recipe_named("weight-norm").for_keys(["a.weight_g", "a.weight_v", "qkv.weight_v"]).stages[0].rules[0])
        qkv.weight_v -> qkv.weight_v
        """
        kept = [key for key in keys if self.rules(key) != key and not self._is_whole(key, keys)]
        if all(self.rules(key) == key for key in set(keys).difference(kept)):
            return Rules(name=self.rules.name) if kept else self.rules
        lines = [Rule.parse(f"{quoted(key)} -> {quoted(key)}", name=self.rules.name) for key in kept]
        return Rules([Stage([*lines, *self.rules])], self.rules.name)

    def _is_whole(self, key: str, keys: Collection[str]) -> bool:
        """Tell whether all that belongs to a key is there, as far as the recipe asks for it."""
        others = [[names[0] for rule in group if (names := rule.apply(key))] for group in self.together]
        concerned = [found for found in others if found]
        return not concerned or any(all(name in keys for name in found) for found in concerned)


def recipes() -> list[Recipe]:
    """Give every recipe, by name.

    >>> [recipe.name for recipe in recipes()][:2]
    ['esrgan', 'layer-norm']
    """
    return [recipe_named(name) for name in _names()]


def recipe_named(name: str) -> Recipe:
    """Give a recipe by its name; raises ``unknown-recipe`` with the names most like it."""
    if name not in _names():
        raise UnknownRecipe(name, _names())
    return _recipe(name)


def narrowed(rules: Rules, keys: Collection[str]) -> Rules:
    """Give the rules as they apply to these keys: a recipe's leave alone what only looks like what it renames."""
    if not rules.name.startswith(PREFIX):
        return rules
    return recipe_named(rules.name.removeprefix(PREFIX)).for_keys(keys)


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.rules")))


@cache
def _recipe(name: str) -> Recipe:
    text = (_FOLDER / f"{name}.rules").read_text(encoding="utf-8")
    lines = text.splitlines()
    title = lines[1].removeprefix("#").strip()
    together = [tuple(_companions(line)) for line in lines if line.startswith(_TOGETHER)]
    return Recipe(name, title, Rules.parse(text, name=f"{PREFIX}{name}"), tuple(together))


def _companions(line: str) -> Iterator[Rule]:
    endings = line.removeprefix(_TOGETHER).split()
    for ending in endings:
        yield from (Rule.parse(f"**.{ending} -> **.{other}") for other in endings if other != ending)
