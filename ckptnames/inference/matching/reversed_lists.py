"""Lists that may be counted from two ends: what leads to the output of a network often is."""

from __future__ import annotations

from ckptnames.inference.matching.groups import Group, is_uniform
from ckptnames.inference.naming.places import may_count_backwards


def may_be_reversed(source: Group, target: Group) -> bool:
    """Tell whether units stand in two lists of equal members, of which no shape tells from which end they count."""
    return is_uniform(target) and may_count_backwards(source.name, target.name)
