"""Which parts belong together when a service of several sources goes back to a moment.

A run saves all sources of its policy under one name. Where write-ahead log leads a database on from there to any later
moment, the other parts of that run are older than what the database becomes: they come from the newest run that had
read all of them by that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from drd.core.points import RecoveryPoint
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.lineage import Mark
from drd.core.postgres.recovery import RecoveryPlan
from drd.core.postgres.target import AtTime, Latest


@dataclass(frozen=True, slots=True)
class RecoverySet:
    """Parts of one or two runs that are put back together."""

    point: RecoveryPoint
    """All of them as one point, under the name of the run that the database begins from."""
    others: Mapping[str, RecoveryPoint] = field(default_factory=dict)
    """Part → the point of another run that it is taken from."""


def set_for(
    base: RecoveryPoint,
    points: Sequence[RecoveryPoint],
    recovery: RecoveryPlan,
    marks: Iterable[Mark] = (),
    store: str | None = None,
) -> RecoverySet:
    """What belongs to the cluster that is brought on from `base`: the other parts, of the newest good point that fits.

    `points` are the policy's, as they can be restored; `marks` tell when which position was reached. All has to stand
    in one store, in `store` where one is named. Where no other run fits, the parts of the base's own run are taken.
    """
    reached = _moment_reached(recovery, marks)
    fitting = [point for point in points if point.is_good and _has_others_by(point, recovery, reached)]
    for newest in sorted(fitting, key=lambda point: point.order, reverse=True):
        if newest.run == base.run:
            break
        found = _together(base, newest, recovery)
        if found.point.stores and (store is None or store in found.point.stores):
            return found
    return RecoverySet(base)


def is_of(facts: Sequence[str], recovery: RecoveryPlan) -> bool:
    """Whether a part is of the cluster that is brought on."""
    base = BaseRecord.of_tags(facts)
    return base is not None and base.system_identifier == recovery.system_identifier


def _together(base: RecoveryPoint, newest: RecoveryPoint, recovery: RecoveryPlan) -> RecoverySet:
    replayed = frozenset(part for part, facts in base.facts.items() if is_of(facts, recovery))
    others = frozenset(part for part in newest.parts if not is_of(newest.facts.get(part, ()), recovery))
    kept = tuple(copy for copy in base.copies if base.part_with(copy.part) in replayed)
    added = tuple(copy for copy in newest.copies if newest.part_with(copy.part) in others)
    names = {copy.part for copy in added}
    point = replace(
        base,
        # Nobody tells how much of either point one part is; a database and its files together are no more than one.
        total_bytes=max(base.total_bytes, newest.total_bytes),
        copies=(*kept, *added),
        facts={
            **{part: facts for part, facts in base.facts.items() if base.part_with(part) in replayed},
            **{part: facts for part, facts in newest.facts.items() if part in names},
        },
        moments={
            **{copy.part: base.moment_of(copy.part) for copy in kept},
            **{copy.part: newest.moment_of(copy.part) for copy in added},
        },
    )
    return RecoverySet(point, dict.fromkeys(sorted(names), newest))


def _has_others_by(point: RecoveryPoint, recovery: RecoveryPlan, reached: datetime | None) -> bool:
    others = [part for part in point.parts if not is_of(point.facts.get(part, ()), recovery)]
    return bool(others) and (reached is None or all(point.moment_of(part) <= reached for part in others))


def _moment_reached(recovery: RecoveryPlan, marks: Iterable[Mark]) -> datetime | None:
    """When the server was where recovery ends, as far as is known; None: now. Never later than it was."""
    if isinstance(recovery.target, AtTime):
        return recovery.target.moment
    if isinstance(recovery.target, Latest):
        return None
    history, until = recovery.choice.history, recovery.choice.until
    passed = [mark.moment for mark in marks if mark.lsn <= until and history.contains(mark.timeline, mark.lsn)]
    return max((recovery.choice.base.ended_at, *passed))
