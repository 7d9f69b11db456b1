"""All that a policy's clusters can be brought back from, out of what the catalogue knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drd.core.points import RecoveryPoint
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.errors import NotCovered
from drd.core.postgres.groups import ShippedGroup, archive_of, marks_of, systems
from drd.core.postgres.recovery import Base, Kept, RecoveryPlan, RestorePoint, choose_base
from drd.core.postgres.target import Target
from drd.core.postgres.wal import Segment


def bases_of(points: Iterable[RecoveryPoint], system_identifier: str) -> tuple[Base, ...]:
    """The base backups of a cluster among the good points."""
    found = ((point, BaseRecord.of_tags(facts)) for point in points if point.is_good for facts in point.facts.values())
    return tuple(
        Base.of(point.run, base)
        for point, base in found
        if base is not None and base.system_identifier == system_identifier
    )


def kept_of(
    points: Sequence[RecoveryPoint],
    shipped: Sequence[ShippedGroup],
    system_identifier: str,
    named: tuple[RestorePoint, ...] = (),
) -> Kept | None:
    """What there is of one cluster, with positions that somebody named; None without WAL of it, or base backup."""
    groups = [each for each in shipped if each.group.system_identifier == system_identifier]
    bases = bases_of(points, system_identifier)
    if not groups or not bases:
        return None
    return Kept(archive_of(groups, groups[0].group.first.size), bases, marks_of(groups), named)


def plan_recovery(
    points: Sequence[RecoveryPoint],
    shipped: Sequence[ShippedGroup],
    target: Target,
    named: tuple[RestorePoint, ...] = (),
) -> RecoveryPlan | None:
    """How a target is reached by replaying WAL; None when there is nothing to replay onto anything.

    Of several clusters the newest that leads there. Raises `NotCovered` with what is covered.
    """
    refused: NotCovered | None = None
    for system_identifier in reversed(systems(shipped)):
        kept = kept_of(points, shipped, system_identifier, named)
        if kept is None:
            continue
        try:
            return RecoveryPlan(system_identifier, choose_base(kept, target), target)
        except NotCovered as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return None


def needed_groups(
    recovery: RecoveryPlan, shipped: Iterable[ShippedGroup], stores: Sequence[str]
) -> tuple[ShippedGroup, ...]:
    """The groups that recovery reads from, each in the store that has the most of it, and of those the first.

    Beside those with its segments that is one of the target's timeline, for its history.
    """
    wanted = frozenset(recovery.choice.segments)
    timeline = recovery.choice.history.timeline
    best: dict[str, ShippedGroup] = {}
    for each in shipped:
        group = each.group
        if group.system_identifier != recovery.system_identifier or each.store not in stores:
            continue
        if not _has_any(each, wanted) and (timeline == recovery.choice.base.timeline or group.timeline != timeline):
            continue
        known = best.get(group.name)
        if known is None or _rank(each, stores) > _rank(known, stores):
            best[group.name] = each
    return tuple(sorted(best.values(), key=lambda each: each.group.first))


def _has_any(shipped: ShippedGroup, wanted: frozenset[Segment]) -> bool:
    partial = shipped.group.partial
    return partial in wanted or not wanted.isdisjoint(shipped.group.whole)


def _rank(shipped: ShippedGroup, stores: Sequence[str]) -> tuple[int, int]:
    return shipped.group.through.value, -stores.index(shipped.store)
