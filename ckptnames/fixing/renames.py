"""From a plan to what is renamed in each container of the file, entries that are not tensors included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckptnames.errors import EntryCollision, KeyCollision, NothingLeft
from ckptnames.formats.checkpoint import Checkpoint, Container, Renames
from ckptnames.rules import Decision, Plan
from ckptnames.rules import plan as plan_of
from ckptnames.rules.module_paths import following


def renames_of(checkpoint: Checkpoint, plan: Plan, also: Sequence[str] = ()) -> dict[str, Renames]:
    """Say for each container what its keys become: the planned one, those named ``also``, and other names of the same.

    Another container follows the plan, and the rules where the plan does not speak of a key. Raises ``key-collision``,
    ``nothing-left``, and ``no-such-container`` for a name in ``also`` at which nothing stands.
    """
    containers = {each.info.name: each for each in checkpoint.all_containers}
    planned = containers[plan.source.container]
    found = _under_every_name(checkpoint, planned, _with_entries(planned, plan.decisions))
    for name in also:
        if name in found:
            continue
        if name in containers:
            other = containers[name]
            found |= _under_every_name(checkpoint, other, _with_entries(other, _decisions(checkpoint, other, plan)))
        else:
            checkpoint.check_place(name)
            found[name] = plan.renames
    _check_something_is_left(checkpoint, found)
    return found


def _under_every_name(checkpoint: Checkpoint, container: Container, renames: Renames) -> dict[str, Renames]:
    """Give the renames by name: a file may hold one dict under several."""
    same = (each.info.name for each in checkpoint.all_containers if each.tensors is container.tensors)
    return dict.fromkeys(same, renames)


def _decisions(checkpoint: Checkpoint, container: Container, plan: Plan) -> list[Decision]:
    """Decide the keys of another container: as planned where the plan knows the key, else by its rules."""
    known = {decision.source: decision for decision in plan.decisions}
    decisions = plan_of(checkpoint.manifest(container.info.name), plan.rules).decisions
    decided = [known.get(decision.source, decision) for decision in decisions]
    claims: dict[str, list[tuple[str, str]]] = {}
    for decision in decided:
        for name in decision.targets:
            claims.setdefault(name, []).append((decision.source, decision.where))
    collisions = [(name, claimed) for name, claimed in claims.items() if len(claimed) > 1]
    if collisions:
        raise KeyCollision(*collisions[0], len(collisions) - 1)
    return decided


def _with_entries(container: Container, decisions: Sequence[Decision]) -> Renames:
    """Add the entries that are not tensors: each goes with its module."""
    renames: dict[str, Sequence[str]] = {decision.source: decision.targets for decision in decisions}
    holders = {name: key for key, names in renames.items() for name in names}
    entries = following(container.other, renames)
    for entry, names in entries.items():
        for name in names:
            holder = holders.setdefault(name, entry)
            if holder != entry:
                raise EntryCollision(name, holder, entry, container.other[entry])
    return {**renames, **entries}


def _check_something_is_left(checkpoint: Checkpoint, renames: Mapping[str, Renames]) -> None:
    for container in checkpoint.all_containers:
        planned = renames.get(container.info.name, {})
        if any(planned.get(key, (key,)) for key in container.tensors):
            return
    raise NothingLeft(checkpoint.path, sum(len(container.tensors) for container in checkpoint.containers))
